"""Reading content at a revision of a repository. The `living*` methods read the current rows.

Each takes the session that it reads through: a snapshot session outside commits, the transaction's
session inside one, None on mongomock. Lists are in commit order: by the commit that wrote the row,
then `url`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import Any

from pymongo import UpdateOne
from pymongo.client_session import ClientSession

from oclapi.errors import NotFound
from oclapi.model import LIVE, Counts, Json, Kind, Revision, Row, Selection
from oclapi.store import ranges
from oclapi.store.database import Database, Session

OWN_FIELDS = frozenset(("repo", "kind", "url", "id", "from_rev", "to_rev", "at", "retired", "body"))


AS_SHOWN: Sequence[Json] = (
    {
        "$addFields": {
            "weight": {"$ifNull": ["$weight", inf]},
            "created": {"$ifNull": ["$created", "$at"]},
        }
    },
    {"$sort": {"map_type": 1, "weight": 1, "created": 1, "url": 1}},
)
"""The order of a concept's mappings, as stages of an aggregation. `as_shown` is the same."""


def as_shown(mapping: Row) -> tuple[str, float, datetime, str]:
    """Return the sort key of a mapping among those of its concept (contract 12.1)."""
    header = mapping.header
    return (
        header["map_type"],
        header.get("weight", inf),
        header.get("created", mapping.at),
        mapping.url,
    )


@dataclass(frozen=True, slots=True)
class Range:
    """A part of an index."""

    index: str
    where: Json


class Rows:
    """The rows of all repositories."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def one(self, session: Session, revision: Revision, url: str) -> Row | None:
        """Return the item at `revision`, None when it did not exist. Cost: one index seek."""
        found = self._db.rows.find_one({**_at(revision), "url": url}, hint="item", session=session)
        return row_of(found) if found else None

    def state(
        self, session: Session, revision: Revision, kind: Kind, url: str, version: int
    ) -> Row | None:
        """Return that version of the item, None when there is none up to `revision`.

        A concept's version is the revision that wrote it. Cost: one index seek; for a mapping, a
        scan of its states.
        """
        where = {**_until(revision, url), **({"number": version} if kind == "mapping" else {})}
        if kind == "concept":
            if version > revision.number:
                return None
            where["from_rev"] = version
        found = self._db.rows.find_one(where, hint="item", session=session)
        return row_of(found) if found else None

    def history(
        self, session: Session, revision: Revision, url: str, *, limit: int = 0, skip: int = 0
    ) -> list[Row]:
        """Return the item's states up to `revision`, newest first; `limit` 0: all."""
        where = _until(revision, url)
        found = (
            self._db.rows.find(where, hint="item", sort=[("from_rev", -1)], session=session)
            .skip(skip)
            .limit(limit)
        )
        return [row_of(document) for document in found]

    def history_batches(self, revision: Revision, url: str) -> Iterator[list[Row]]:
        """Yield all of `history` in lists. Errors and memory as in `body_batches`."""
        found = self._db.rows.find(_until(revision, url), hint="item", sort=[("from_rev", -1)])
        return self._stream(revision, [found.batch_size(ranges.LIST)])

    def history_count(self, session: Session, revision: Revision, url: str) -> int:
        """Return how many states `history` has. Cost: a scan of index keys."""
        return self._db.rows.count_documents(_until(revision, url), hint="item", session=session)

    def page(
        self,
        session: Session,
        revision: Revision,
        selection: Selection,
        *,
        limit: int,
        skip: int = 0,
        after: tuple[int, str] | None = None,
        newest_first: bool = False,
    ) -> list[Row]:
        """Return at most `limit` rows in commit order, or its reverse.

        `after` is the key of the last row of the page before; without it, `skip` rows are left
        out. Cost: one index range; `after` seeks, `skip` scans the index keys that are left out.
        """
        rows: list[Row] = []
        if selection.since > revision.number:  # clients often ask for changes when there are none
            return rows
        where, bounds = _where(revision, selection)
        for range_ in ranges.behind(after, "from_rev", descending=newest_first, bounds=bounds):
            if len(rows) < limit:
                cursor = (
                    self._db.rows.find(
                        {**where, **range_},
                        hint="order",
                        sort=ranges.order("from_rev", descending=newest_first),
                        session=session,
                    )
                    .skip(0 if after else skip)
                    .limit(limit - len(rows))
                )
                rows += [row_of(found) for found in cursor]
        return rows

    def count(self, session: Session, revision: Revision, selection: Selection) -> int:
        """Return how many rows the selection has.

        Cost: one index seek; with `since`, a scan of index keys.
        """
        if not selection.since:
            return self.counts(session, revision).selected(selection)
        if selection.since > revision.number:
            return 0
        where, bounds = _where(revision, selection)
        return self._db.rows.count_documents(
            {**where, "from_rev": bounds}, hint="order", session=session
        )

    def bodies(self, revision: Revision, selection: Selection) -> Iterator[bytes]:
        """Yield every selected body in commit order, see `body_batches`."""
        for batch in self.body_batches(revision, selection):
            yield from batch

    def body_batches(
        self,
        revision: Revision,
        selection: Selection,
        size: int = ranges.BATCH,
        *,
        newest_first: bool = False,
    ) -> Iterator[list[bytes]]:
        """Yield every selected body in lists of at most 1,000 or about 8 MiB, in commit order.

        All are of the same revision, however long that takes; `newest_first` reverses them. A
        snapshot serves at most `size` rows. Errors and memory: see `ranges.snapshots`.
        """
        where, bounds = _where(revision, selection)
        found = ranges.snapshots(
            self._db,
            revision.repo,
            where,
            field="from_rev",
            bounds=bounds,
            hint="order",
            only={"_id": 0, "body": 1, "from_rev": 1, "url": 1},
            descending=newest_first,
            size=size,
        )
        return ([row["body"] for row in rows] for _, rows in found)

    def bodies_of(
        self, session: Session, keys: Sequence[tuple[int, str, int]]
    ) -> list[tuple[int, bytes]]:
        """Return (repo, body) of these (repo, url, from_rev), in the same order.

        Rows of deleted repositories are left out. A row's body never changes, so the result is the
        same through any session. Cost: one query per repository.
        """
        wanted: dict[int, list[tuple[str, int]]] = {}
        for repo, url, from_rev in keys:
            wanted.setdefault(repo, []).append((url, from_rev))
        only = {"_id": 0, "url": 1, "from_rev": 1, "body": 1}
        found: dict[tuple[int, str, int], bytes] = {}
        for repo, rows in wanted.items():
            where = {
                "repo": repo,
                "url": {"$in": [url for url, _ in rows]},
                "from_rev": {"$in": sorted({from_rev for _, from_rev in rows})},
            }
            cursor = self._db.rows.find(where, only, hint="item", session=session)
            for row in cursor.batch_size(ranges.LIST):
                found[repo, row["url"], row["from_rev"]] = row["body"]
        return [(key[0], found[key]) for key in keys if key in found]

    def removed(self, session: Session, revision: Revision, kind: Kind, since: int) -> list[str]:
        """Return URLs of entries before commit `since` that do not exist at `revision`, sorted."""
        ended = {
            "repo": revision.repo,
            "kind": kind,
            "to_rev": {"$gte": since, "$lte": revision.number},
            "from_rev": {"$lt": since},
        }
        urls = sorted(
            {
                found["url"]
                for found in self._db.rows.find(
                    ended, {"_id": 0, "url": 1}, hint="ends", session=session
                )
            }
        )
        left: set[str] = set()
        # the URLs may be too many for one command
        for start in range(0, len(urls), ranges.LIST):
            where = {**_at(revision), "url": {"$in": urls[start : start + ranges.LIST]}}
            left.update(
                found["url"]
                for found in self._db.rows.find(
                    where, {"_id": 0, "url": 1}, hint="item", session=session
                )
            )
        return [url for url in urls if url not in left]

    def counts(self, session: Session, revision: Revision) -> Counts:
        """Return the numbers of entries at `revision`. Cost: one index seek."""
        found = (
            self._db.revisions.find_one(
                {"repo": revision.repo, "rev": revision.number}, session=session
            )
            if revision.number
            else None
        )
        return Counts(**found["counts"]) if found else Counts()

    def content_at(self, session: Session, revision: Revision) -> datetime | None:
        """Return the time of the newest commit at `revision`; None before the first."""
        found = (
            self._db.revisions.find_one(
                {"repo": revision.repo, "rev": revision.number}, {"at": 1}, session=session
            )
            if revision.number
            else None
        )
        return found["at"] if found else None

    def first_written(self, session: Session, repo: int, since: datetime) -> int:
        """Return the first revision written at `since` or later, LIVE when there is none."""
        return self._first(session, repo, "at", {"$gte": since})

    def first_shown(self, session: Session, repo: int, since: datetime) -> int:
        """Return the first revision that became visible at `since` or later, LIVE for none."""
        return self._first(session, repo, "shown", {"$gte": since})

    def last_shown(
        self, session: Session, repo: int, after: datetime, before: datetime
    ) -> int | None:
        """Return the last revision that became visible between these times, None for none."""
        found = self._db.revisions.find_one(
            {"repo": repo, "shown": {"$gt": after, "$lt": before}},
            {"rev": 1},
            sort=[("shown", -1)],
            hint="shown",
            session=session,
        )
        return int(found["rev"]) if found else None

    def _first(self, session: Session, repo: int, field: str, bounds: Json) -> int:
        found = self._db.revisions.find_one(
            {"repo": repo, field: bounds},
            {"rev": 1},
            sort=[(field, 1)],
            hint=field,
            session=session,
        )
        return int(found["rev"]) if found else LIVE

    def of_concept(
        self,
        session: Session,
        revision: Revision,
        url: str,
        *,
        limit: int,
        skip: int = 0,
        inverse: bool = False,
        retired: bool | None = False,
    ) -> tuple[int, list[Row]]:
        """Return the number of the concept's mappings, and `limit` of them after the first `skip`.

        These are the repository's mappings that start from the concept, by map type, weight,
        creation and URL. `inverse` adds those that point to it, after the others. Cost: the server
        scans every state of these mappings, and sorts them.
        """
        total, rows = 0, list[Row]()
        for part in _of_concept(revision, url, inverse, retired):
            count = self._db.rows.count_documents(part.where, hint=part.index, session=session)
            if len(rows) < limit and skip < total + count:
                page = [{"$skip": max(0, skip - total)}, {"$limit": limit - len(rows)}]
                rows += map(row_of, self._as_shown(part, session, page))
            total += count
        return total, rows

    def of_concept_batches(
        self, revision: Revision, url: str, *, inverse: bool = False, retired: bool | None = False
    ) -> Iterator[list[Row]]:
        """Yield all of `of_concept` in lists. Errors and memory as in `body_batches`."""
        parts = _of_concept(revision, url, inverse, retired)
        return self._stream(
            revision, (self._as_shown(part, None, batchSize=ranges.LIST) for part in parts)
        )

    def _as_shown(
        self, part: Range, session: Session, page: Sequence[Json] = (), **how: Any
    ) -> Iterable[Json]:
        return self._db.rows.aggregate(
            [{"$match": part.where}, *AS_SHOWN, *page],
            hint=part.index,
            session=session,
            allowDiskUse=True,
            **how,
        )

    def of_concepts(
        self,
        session: Session,
        revision: Revision,
        urls: Sequence[str],
        *,
        inverse: bool = False,
        retired: bool | None = False,
    ) -> dict[str, list[Row]]:
        """Return all mappings of each of these concepts in the order of `of_concept`.

        Cost: one query, `inverse` two.
        """
        found: dict[str, list[Row]] = {url: [] for url in urls}
        where, wanted = {**_at(revision), **_retired(retired)}, {"$in": sorted(found)}
        forth = self._db.rows.find({**where, "from": wanted}, hint="from", session=session)
        for row in sorted(map(row_of, forth), key=as_shown):
            found[row.header["from"]].append(row)
        if inverse:
            back = self._db.rows.find({**where, "to": wanted}, hint="to", session=session)
            for row in sorted(map(row_of, back), key=as_shown):
                if row.header["from"] != row.header["to"]:
                    found[row.header["to"]].append(row)
        return found

    def living(
        self, session: Session, repo: int, kind: Kind, urls: Iterable[str], *, body: bool = True
    ) -> list[Row]:
        """Return the living rows of these items, in no order. For use inside a commit."""
        where = {"repo": repo, "kind": kind, "to_rev": LIVE, "url": {"$in": sorted(urls)}}
        found = self._db.rows.find(
            where, None if body else {"body": 0}, hint="ends", session=session
        )
        return [row_of(document) for document in found]

    def living_names(self, session: Session, repo: int, urls: Iterable[str]) -> dict[str, str]:
        """Return the display names of the living concepts. For use inside a commit."""
        where = {"repo": repo, "kind": "concept", "to_rev": LIVE, "url": {"$in": sorted(urls)}}
        found = self._db.rows.find(
            where, {"_id": 0, "url": 1, "display": 1}, hint="ends", session=session
        )
        return {document["url"]: document["display"] for document in found}

    def living_mappings(
        self, session: Session, repo: int, keys: Sequence[tuple[str, str, str]]
    ) -> list[Row]:
        """Return the living mappings with these (from, map_type, to), without bodies.

        Retired ones are included. For use inside a commit.
        """
        wanted = set(keys)
        where = {
            "repo": repo,
            "from": {"$in": sorted({key[0] for key in keys})},
            "map_type": {"$in": sorted({key[1] for key in keys})},
            "to": {"$in": sorted({key[2] for key in keys})},
            "to_rev": LIVE,
        }
        rows = [
            row_of(found)
            for found in self._db.rows.find(where, {"body": 0}, hint="from", session=session)
        ]
        return [
            row
            for row in rows
            if (row.header["from"], row.header["map_type"], row.header["to"]) in wanted
        ]

    def living_between(
        self, session: Session, repo: int, pairs: Iterable[tuple[str, str]]
    ) -> list[Row]:
        """Return the living mappings of any type between these pairs of concepts, without bodies.

        Retired ones are left out.
        """
        wanted = set(pairs)
        where = {
            "repo": repo,
            "from": {"$in": sorted({pair[0] for pair in wanted})},
            "to": {"$in": sorted({pair[1] for pair in wanted})},
            "to_rev": LIVE,
            "retired": False,
        }
        rows = [
            row_of(found)
            for found in self._db.rows.find(where, {"body": 0}, hint="from", session=session)
        ]
        return [row for row in rows if (row.header["from"], row.header["to"]) in wanted]

    def living_showing(self, session: Session, repo: int, urls: Iterable[str]) -> Iterator[Row]:
        """Yield the living mappings that display the name of one of these concepts, each once.

        For use inside a commit.
        """
        for hint, where in _showing(repo, urls):
            yield from map(row_of, self._db.rows.find(where, hint=hint, session=session))

    def count_showing(self, session: Session, repo: int, urls: Iterable[str]) -> int:
        """Return how many mappings `living_showing` yields.

        Cost: a scan of every state of every mapping of these concepts.
        """
        return sum(
            self._db.rows.count_documents(where, hint=hint, session=session)
            for hint, where in _showing(repo, urls)
        )

    def claimants(self, session: Session, repo: int, claims: Iterable[int]) -> list[Row]:
        """Return the living rows with one of these claims, without bodies. For use in a commit."""
        where = {"repo": repo, "claims": {"$in": sorted(claims)}, "to_rev": LIVE}
        return [
            row_of(found)
            for found in self._db.rows.find(where, {"body": 0}, hint="claims", session=session)
        ]

    def keep_claims(self, repo: int, claims_of: Callable[[bytes], list[int]]) -> None:
        """Have every later commit store claims, then add those of the existing concepts.

        Claims halve the speed of a bulk load, so only repositories with the schema OpenMRS have
        them. Readers see no difference. The next call completes an interrupted one.
        """

        def mark(session: ClientSession) -> None:
            """Update the repository: commits that began before are seen below, or run again."""
            self._db.repos.update_one(
                {"_id": repo}, {"$set": {"keeps_claims": True}}, session=session
            )

        self._db.transaction(mark)
        found = self._db.rows.find(
            {"repo": repo, "kind": "concept", "claims": {"$exists": False}},
            {"body": 1},
            hint="order",
        )
        for batch in ranges.lists(found):
            changes = [
                UpdateOne({"_id": row["_id"]}, {"$set": {"claims": claims_of(row["body"])}})
                for row in batch
            ]
            self._db.rows.bulk_write(changes, ordered=False)

    def using(self, session: Session, repo_url: str) -> Iterator[Row]:
        """Yield the living rows of other repositories that refer to content below `repo_url`.

        They come without bodies. Retired ones are included.
        """
        below = {"$gte": repo_url, "$lt": repo_url[:-1] + "0"}  # "0" follows "/"
        for found in self._db.rows.find(
            {"uses": {"$elemMatch": below}, "to_rev": LIVE},
            {"body": 0},
            hint="uses",
            session=session,
        ):
            yield row_of(found)

    def _stream(self, revision: Revision, cursors: Iterable[Iterable[Json]]) -> Iterator[list[Row]]:
        """Yield the rows of these cursors in lists.

        Their indexes must not contain `to_rev`: then ending a row does not move its key, and what
        is visible at a revision stays visible. A plain cursor therefore finds the same rows as a
        snapshot, and may live longer.
        """
        for cursor in cursors:
            for found in ranges.lists(cursor):
                self._check_exists(revision)
                yield [row_of(document) for document in found]
        self._check_exists(revision)

    def _check_exists(self, revision: Revision) -> None:
        """Raise NotFound when the repository was deleted and the stream may be incomplete."""
        if self._db.repos.find_one({"_id": revision.repo}, {"_id": 1}) is None:
            raise NotFound("the repository was deleted")


def _at(revision: Revision) -> Json:
    """Return the filter for the rows that are visible at a revision."""
    return {
        "repo": revision.repo,
        "from_rev": {"$lte": revision.number},
        "to_rev": {"$gt": revision.number},
    }


def _until(revision: Revision, url: str) -> Json:
    """Return the filter for the states of an item up to a revision."""
    return {"repo": revision.repo, "url": url, "from_rev": {"$lte": revision.number}}


def _of_concept(revision: Revision, url: str, inverse: bool, retired: bool | None) -> list[Range]:
    """Return the ranges of mappings from a concept at a revision; `inverse`: and of those to it.

    A mapping from the concept to itself is in the first range only.
    """
    where = {**_at(revision), **_retired(retired)}
    forth = Range("from", {**where, "from": url})
    back = Range("to", {**where, "to": url, "from": {"$ne": url}})
    return [forth, back] if inverse else [forth]


def _showing(repo: int, urls: Iterable[str]) -> list[tuple[str, Json]]:
    """Return index and filter for the living mappings that display one of these concepts' names.

    The two parts do not overlap.
    """
    wanted = {"$in": sorted(urls)}
    living = {"repo": repo, "to_rev": LIVE}
    return [
        ("from", {**living, "from": wanted}),
        ("to", {**living, "to": wanted, "from": {"$not": wanted}, "own_to_name": False}),
    ]


def _retired(retired: bool | None) -> Json:
    return {} if retired is None else {"retired": retired}


def _where(revision: Revision, selection: Selection) -> tuple[Json, Json]:
    """Return the filter for the selected rows, without `from_rev`, and that for `from_rev`."""
    since = {"$gte": selection.since} if selection.since else {}
    where = {**_at(revision), "kind": selection.kind, **_retired(selection.retired)}
    bounds = {**where.pop("from_rev"), **since}
    return where, bounds


def row_of(found: Mapping[str, Any]) -> Row:
    """Return a stored document as a row; its body is empty when only the header was read."""
    header = {name: value for name, value in found.items() if name not in OWN_FIELDS}
    return Row(
        found["repo"],
        found["kind"],
        found["url"],
        found["id"],
        found["from_rev"],
        found["to_rev"],
        found["at"],
        found["retired"],
        found.get("body", b""),
        header,
    )
