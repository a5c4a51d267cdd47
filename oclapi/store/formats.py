"""The format of the database, and what a migration reads and writes.

The format is a number that grows when a program stores something else with the rows than older
programs did. Documents of the collection `meta`:

    {_id: "format", number}
        The format of everything in the database.
    {_id: "migration to 1", after}
        Until a migration is complete: the `_id` of the last row that it has updated.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pymongo import UpdateOne

from oclapi.model import Json, Row
from oclapi.store import digests, ranges
from oclapi.store.database import Database
from oclapi.store.rows import row_of

FORMAT = 1
"""The format that this program reads and writes."""

OLDEST = 0
"""The format of a database without a number."""

_POSITION = f"migration to {FORMAT}"
_MISSING = object()


class Formats:
    """The collection `meta`. Only `number` may be called while somebody writes content."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def number(self) -> int:
        """Return the format of the database. An empty one gets that of this program."""
        found = self._db.meta.find_one({"_id": "format"})
        if found is None:
            filled = self._db.rows.find_one({}, {"_id": 1}) or self._db.repos.find_one({})
            # Another process may store the number now, which then counts.
            found = self._db.meta.find_one_and_update(
                {"_id": "format"},
                {"$setOnInsert": {"number": OLDEST if filled else FORMAT}},
                upsert=True,
                return_document=True,
            )
        assert found is not None  # an upsert that returns the document after it
        return int(found["number"])

    def rows(self) -> int:
        """Return about how many rows there are. Cost: none."""
        return self._db.rows.estimated_document_count()

    def migrated(self) -> int:
        """Return how many rows an interrupted migration has updated."""
        after = self._after()
        return self._db.rows.count_documents({"_id": {"$lte": after}}) if after else 0

    def begin(self) -> None:
        """Make the documents readable for this program, before any row is updated."""
        self._db.repos.update_many(
            {"digest": {"$exists": False}}, {"$set": {"digest": digests.EMPTY}}
        )

    def row_batches(self, repos: Iterable[int]) -> Iterator[list[Row]]:
        """Yield the rows of these repositories that `update` has not had yet, in lists."""
        after, own = self._after(), {"repo": {"$in": sorted(repos)}}
        # The second part finds rows of an older program that ran after an interrupted migration.
        for where in ({"_id": {"$gt": after}} if after else {}, {"hash": {"$exists": False}}):
            found = self._db.rows.find({**own, **where}, hint="_id_", sort=[("_id", 1)])
            for batch in ranges.lists(found.batch_size(ranges.LIST)):
                yield [row_of(document) for document in batch]

    def update(self, rows: Sequence[tuple[Row, Json]]) -> None:
        """Replace the headers of these rows, and add their hashes. The bodies stay as they are."""
        changes = [UpdateOne({"_id": row.header["_id"]}, _update(row, new)) for row, new in rows]
        if changes:
            self._db.rows.bulk_write(changes, ordered=False)
            last = rows[-1][0].header["_id"]
            self._db.meta.update_one({"_id": _POSITION}, {"$max": {"after": last}}, upsert=True)

    def sum_up(self, repo: int) -> None:
        """Compute the digests of all revisions of a repository from the hashes of its rows.

        Memory: one number for each revision.
        """
        moved = Counter[int]()
        only = {"_id": 0, "hash": 1, "from_rev": 1, "to_rev": 1}
        for row in self._db.rows.find({"repo": repo}, only).batch_size(ranges.LIST):
            number = digests.number_of(row["hash"])
            moved[row["from_rev"]] += number
            moved[row["to_rev"]] -= number
        total, last = 0, 0
        log = self._db.revisions.find({"repo": repo}, {"rev": 1}).sort("rev", 1)
        for batch in ranges.lists(log):
            changes = []
            for revision in batch:
                last = revision["rev"]
                total += moved[last]
                digest = {"$set": {"digest": digests.digest_of(total)}}
                changes.append(UpdateOne({"_id": revision["_id"]}, digest))
            self._db.revisions.bulk_write(changes, ordered=False)
        self._db.repos.update_one(
            {"_id": repo, "rev": last}, {"$set": {"digest": digests.digest_of(total)}}
        )

    def finish(self) -> None:
        """Store that everything has the format of this program."""
        self._db.meta.update_one({"_id": "format"}, {"$set": {"number": FORMAT}})
        self._db.meta.delete_many({"_id": {"$ne": "format"}})

    def _after(self) -> Any:
        found = self._db.meta.find_one({"_id": _POSITION})
        return found["after"] if found else None


def _update(row: Row, new: Json) -> Json:
    """Return the update that gives a row this header and its hash."""
    changed = {
        name: value for name, value in new.items() if row.header.get(name, _MISSING) != value
    }
    obsolete = row.header.keys() - new.keys() - {"_id", "hash"}
    return {
        "$set": {**changed, "hash": digests.hash_of(row.url, row.body)},
        **({"$unset": dict.fromkeys(obsolete, "")} if obsolete else {}),
    }
