"""Reading content: every function here is a function of (repository, revision).

Each takes the session that it reads through: a snapshot session outside commits, the transaction's
session inside one, None on mongomock. Lists come in commit order: by the commit that brought the
entry in, then `url`.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pymongo import UpdateOne
from pymongo.client_session import ClientSession

from oclapi.errors import NotFound
from oclapi.model import LIVE, Counts, Json, Kind, Revision, Row
from oclapi.store.commits import counts_of
from oclapi.store.database import Database, Session

BATCH = 100_000
"""Rows of a long read between two snapshots, at most."""
SNAPSHOT_AGE = 60
"""Seconds after which a long read takes another snapshot; whoever reads slowly must not outlive
one.
"""

LIST = 1000
LIST_BYTES = 8 * 2**20
"""What is handed on at once in a long read. Raw batches of the driver would cost more: it takes
them apart and joins them again.
"""

OWN_FIELDS = frozenset(("repo", "kind", "url", "id", "from_rev", "to_rev", "at", "retired", "body"))


@dataclass(frozen=True, slots=True)
class Slice:
    """Which of the rows visible at a revision are meant."""

    kind: Kind
    since: int = 0  # only rows that a commit from this revision on brought in
    retired: bool | None = False  # None: both


@dataclass(frozen=True, slots=True)
class Range:
    """A part of an index, to be read in order."""

    index: str
    asked: Json
    order: list[tuple[str, int]]


class Rows:
    """The rows of all repositories."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def one(self, session: Session, revision: Revision, url: str) -> Row | None:
        """The item as it stood at `revision`, None when it was not there. Cost: one index seek."""
        found = self._db.rows.find_one({**_at(revision), "url": url}, hint="item", session=session)
        return row_of(found) if found else None

    def state(
        self, session: Session, revision: Revision, kind: Kind, url: str, version: int
    ) -> Row | None:
        """That version of the item, None when there is none up to `revision`. A concept's version
        is the revision that wrote it.

        Cost: one index seek; of a mapping a look at its states.
        """
        asked = {**_until(revision, url), **({"number": version} if kind == "mapping" else {})}
        if kind == "concept":
            if version > revision.number:
                return None
            asked["from_rev"] = version
        found = self._db.rows.find_one(asked, hint="item", session=session)
        return row_of(found) if found else None

    def history(
        self, session: Session, revision: Revision, url: str, *, limit: int = 0, skip: int = 0
    ) -> list[Row]:
        """The item's states up to `revision`, newest first; `limit` 0: all."""
        asked = _until(revision, url)
        found = (
            self._db.rows.find(asked, hint="item", sort=[("from_rev", -1)], session=session)
            .skip(skip)
            .limit(limit)
        )
        return [row_of(document) for document in found]

    def history_batches(self, revision: Revision, url: str) -> Iterator[list[Row]]:
        """As `history`, all of it as a stream. Errors and memory as in `body_batches`."""
        return self._steady(revision, [Range("item", _until(revision, url), [("from_rev", -1)])])

    def history_count(self, session: Session, revision: Revision, url: str) -> int:
        """How many states `history` has. Cost: a walk over index keys."""
        return self._db.rows.count_documents(_until(revision, url), hint="item", session=session)

    def page(
        self,
        session: Session,
        revision: Revision,
        wanted: Slice,
        *,
        limit: int,
        skip: int = 0,
        after: tuple[int, str] | None = None,
        newest_first: bool = False,
    ) -> list[Row]:
        """At most `limit` rows in commit order, or its reverse. `after`: the key of the last row
        read before; else `skip` rows are left out.

        Cost: one index range; `after` seeks, `skip` walks over the index keys left out.
        """
        rows: list[Row] = []
        for part in _parts(after, newest_first):
            if len(rows) < limit:
                cursor = (
                    self._find(session, revision, wanted, part, newest_first)
                    .skip(0 if after else skip)
                    .limit(limit - len(rows))
                )
                rows += [row_of(found) for found in cursor]
        return rows

    def count(self, session: Session, revision: Revision, wanted: Slice) -> int:
        """How many rows the slice has. Cost: a walk over index keys only."""
        return self._db.rows.count_documents(
            _where(revision, wanted, {}), hint="order", session=session
        )

    def bodies(self, revision: Revision, wanted: Slice) -> Iterator[bytes]:
        """Every body of the slice in commit order, however long that takes: one revision from the
        first to the last.

        Memory: what the server sends at once (at most 16 MB), and one list. A read that goes on
        takes a new snapshot now and then, since a snapshot lives five minutes and a revision for
        ever.
        """
        for batch in self.body_batches(revision, wanted):
            yield from batch

    def body_batches(
        self, revision: Revision, wanted: Slice, size: int = BATCH, *, newest_first: bool = False
    ) -> Iterator[list[bytes]]:
        """As `bodies`, in lists of at most 1,000 bodies or about 8 MiB; `newest_first` in the
        reverse order.

        Raises NotFound when the repository was deleted on the way: its rows are being purged, and
        what is left must not pass for all.
        """
        after: tuple[int, str] | None = None
        only = {"_id": 0, "body": 1, "from_rev": 1, "url": 1}
        there_is_more = True
        while there_is_more:
            begun, left = time.monotonic(), size
            with self._db.snapshot() as session:
                there_is_more = False
                if (
                    self._db.repos.find_one({"_id": revision.repo}, {"_id": 1}, session=session)
                    is None
                ):
                    raise NotFound("the repository is gone")
                for part in _parts(after, newest_first):
                    cursor = (
                        self._find(session, revision, wanted, part, newest_first, only)
                        .batch_size(LIST)
                        .limit(left)
                    )
                    for found in _lists(cursor):
                        yield [row["body"] for row in found]
                        after = (found[-1]["from_rev"], found[-1]["url"])
                        left -= len(found)
                        there_is_more = left <= 0 or time.monotonic() - begun > SNAPSHOT_AGE
                        if there_is_more:
                            break
                    if there_is_more:
                        break

    def bodies_of(
        self, session: Session, keys: Sequence[tuple[int, str, int]]
    ) -> list[tuple[int, bytes]]:
        """The repositories and bodies of these (repo, url, from_rev), in the same order; those gone
        with their repository are passed over.

        A row's body never changes, so this is the same through any session. Cost: one query per
        repository.
        """
        wanted: dict[int, list[tuple[str, int]]] = {}
        for repo, url, from_rev in keys:
            wanted.setdefault(repo, []).append((url, from_rev))
        only = {"_id": 0, "url": 1, "from_rev": 1, "body": 1}
        found: dict[tuple[int, str, int], bytes] = {}
        for repo, places in wanted.items():
            asked = {
                "repo": repo,
                "url": {"$in": [url for url, _ in places]},
                "from_rev": {"$in": sorted({born for _, born in places})},
            }
            for row in self._db.rows.find(asked, only, hint="item", session=session).batch_size(
                LIST
            ):
                found[repo, row["url"], row["from_rev"]] = row["body"]
        return [(key[0], found[key]) for key in keys if key in found]

    def removed(self, session: Session, revision: Revision, kind: Kind, since: int) -> list[str]:
        """URLs of entries that were there before commit `since` and are not at `revision`, by url."""
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
        # a difference can name more than one command may hold
        for start in range(0, len(urls), LIST):
            there = {**_at(revision), "url": {"$in": urls[start : start + LIST]}}
            left.update(
                found["url"]
                for found in self._db.rows.find(
                    there, {"_id": 0, "url": 1}, hint="item", session=session
                )
            )
        return [url for url in urls if url not in left]

    def counts(self, session: Session, revision: Revision) -> Counts:
        """The numbers of entries at `revision`. Cost: one index seek."""
        found = (
            self._db.revisions.find_one(
                {"repo": revision.repo, "rev": revision.number}, session=session
            )
            if revision.number
            else None
        )
        return counts_of(found)

    def content_at(self, session: Session, revision: Revision) -> datetime | None:
        """When the newest commit at `revision` was made; None before the first."""
        found = (
            self._db.revisions.find_one(
                {"repo": revision.repo, "rev": revision.number}, {"at": 1}, session=session
            )
            if revision.number
            else None
        )
        return found["at"] if found else None

    def first_since(
        self,
        session: Session,
        repo: int,
        moment: datetime,
        *,
        whole_seconds: bool,
        margin: int = 2,
        reach: int = 100,
    ) -> int:
        """The number of the first revision that a client which asks for changes since `moment` must
        see.

        Exact moments: the first commit at or after it. Moments in whole seconds (cut, or a `Date`
        header): it is read `margin` seconds earlier, and the last commit before that is taken too
        if it became visible less than `reach` seconds before the moment given.
        """
        revisions = self._db.revisions
        if not whole_seconds:
            found = revisions.find_one(
                {"repo": repo, "at": {"$gte": moment}},
                {"rev": 1},
                sort=[("at", 1)],
                hint="at",
                session=session,
            )
            return int(found["rev"]) if found else LIVE
        early = moment - timedelta(seconds=margin)
        asked = {"repo": repo, "shown": {"$lt": early, "$gt": moment - timedelta(seconds=reach)}}
        last = revisions.find_one(
            asked, {"rev": 1}, sort=[("shown", -1)], hint="shown", session=session
        )
        if last:
            return int(last["rev"])
        found = revisions.find_one(
            {"repo": repo, "shown": {"$gte": early}},
            {"rev": 1},
            sort=[("shown", 1)],
            hint="shown",
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
        """How many of the repository's mappings start from the concept, and `limit` of them after
        the first `skip`, by map type and target.

        `inverse`: also those to it, after them. Cost: a look at every state of these mappings, at
        the server.
        """
        total, rows = 0, list[Row]()
        for part in _of_concept(revision, url, inverse, retired):
            count = self._db.rows.count_documents(part.asked, hint=part.index, session=session)
            if len(rows) < limit and skip < total + count:
                found = self._db.rows.find(
                    part.asked, hint=part.index, sort=part.order, session=session
                )
                rows += map(row_of, found.skip(max(0, skip - total)).limit(limit - len(rows)))
            total += count
        return total, rows

    def of_concept_batches(
        self, revision: Revision, url: str, *, inverse: bool = False, retired: bool | None = False
    ) -> Iterator[list[Row]]:
        """As `of_concept`, all of them as a stream. Errors and memory as in `body_batches`."""
        return self._steady(revision, _of_concept(revision, url, inverse, retired))

    def of_concepts(
        self,
        session: Session,
        revision: Revision,
        urls: Sequence[str],
        *,
        inverse: bool = False,
        retired: bool | None = False,
    ) -> dict[str, list[Row]]:
        """As `of_concept`, all mappings of each of these concepts. Cost: one query, `inverse` two."""
        found: dict[str, list[Row]] = {url: [] for url in urls}
        where, wanted = {**_at(revision), **_retired(retired)}, {"$in": sorted(found)}
        order = [("from", 1), ("map_type", 1), ("to", 1), ("from_rev", 1)]
        for row in map(
            row_of,
            self._db.rows.find({**where, "from": wanted}, hint="from", sort=order, session=session),
        ):
            found[row.header["from"]].append(row)
        if inverse:
            back = self._db.rows.find(
                {**where, "to": wanted},
                hint="to",
                sort=[("to", 1), ("from_rev", 1)],
                session=session,
            )
            for row in map(row_of, back):
                found[row.header["to"]].append(row)
        return found

    def living(
        self, session: Session, repo: int, kind: Kind, urls: Iterable[str], *, body: bool = True
    ) -> list[Row]:
        """The living rows of these items, in no order. For use inside a commit, where nothing can
        move.
        """
        asked = {"repo": repo, "kind": kind, "to_rev": LIVE, "url": {"$in": sorted(urls)}}
        found = self._db.rows.find(
            asked, None if body else {"body": 0}, hint="ends", session=session
        )
        return [row_of(document) for document in found]

    def living_names(self, session: Session, repo: int, urls: Iterable[str]) -> dict[str, str]:
        """The display names of those of these concepts that there are. For use inside a commit."""
        asked = {"repo": repo, "kind": "concept", "to_rev": LIVE, "url": {"$in": sorted(urls)}}
        found = self._db.rows.find(
            asked, {"_id": 0, "url": 1, "display": 1}, hint="ends", session=session
        )
        return {document["url"]: document["display"] for document in found}

    def living_mappings(
        self, session: Session, repo: int, keys: Sequence[tuple[str, str, str]]
    ) -> list[Row]:
        """The living mappings whose (from, map_type, to) is among `keys`, retired ones too, without
        bodies. For use inside a commit.
        """
        wanted = set(keys)
        asked = {
            "repo": repo,
            "from": {"$in": sorted({key[0] for key in keys})},
            "map_type": {"$in": sorted({key[1] for key in keys})},
            "to": {"$in": sorted({key[2] for key in keys})},
            "to_rev": LIVE,
        }
        rows = [
            row_of(found)
            for found in self._db.rows.find(asked, {"body": 0}, hint="from", session=session)
        ]
        return [
            row
            for row in rows
            if (row.header["from"], row.header["map_type"], row.header["to"]) in wanted
        ]

    def living_between(
        self, session: Session, repo: int, pairs: Iterable[tuple[str, str]]
    ) -> list[Row]:
        """The living, not retired mappings from one concept to another for each of these pairs, any
        type, without bodies.
        """
        wanted = set(pairs)
        asked = {
            "repo": repo,
            "from": {"$in": sorted({pair[0] for pair in wanted})},
            "to": {"$in": sorted({pair[1] for pair in wanted})},
            "to_rev": LIVE,
            "retired": False,
        }
        rows = [
            row_of(found)
            for found in self._db.rows.find(asked, {"body": 0}, hint="from", session=session)
        ]
        return [row for row in rows if (row.header["from"], row.header["to"]) in wanted]

    def living_showing(self, session: Session, repo: int, urls: Iterable[str]) -> Iterator[Row]:
        """The living mappings that show the name of one of these concepts, each once. For use
        inside a commit.
        """
        for hint, asked in _showing(repo, urls):
            yield from map(row_of, self._db.rows.find(asked, hint=hint, session=session))

    def count_showing(self, session: Session, repo: int, urls: Iterable[str]) -> int:
        """How many `living_showing` gives. Cost: a look at every state of every mapping of these
        concepts.
        """
        return sum(
            self._db.rows.count_documents(asked, hint=hint, session=session)
            for hint, asked in _showing(repo, urls)
        )

    def claimants(self, session: Session, repo: int, claims: Iterable[int]) -> list[Row]:
        """The living rows that hold one of these claims, without bodies. For use inside a commit."""
        asked = {"repo": repo, "claims": {"$in": sorted(claims)}, "to_rev": LIVE}
        return [
            row_of(found)
            for found in self._db.rows.find(asked, {"body": 0}, hint="claims", session=session)
        ]

    def keep_claims(self, repo: int, claims_of: Callable[[bytes], list[int]]) -> None:
        """Have every later commit keep its concepts' claims, then add those of the concepts that
        are there.

        Repositories without the schema OpenMRS do not pay for claims, which halve the speed of a
        bulk load. Readers see no difference, and what is interrupted is put right by the next call.
        """

        def mark(session: ClientSession) -> None:
            """A write to the repository's document: a commit that began before is either seen below
            or runs again.
            """
            self._db.repos.update_one(
                {"_id": repo}, {"$set": {"keeps_claims": True}}, session=session
            )

        self._db.transaction(mark)
        found = self._db.rows.find(
            {"repo": repo, "kind": "concept", "claims": {"$exists": False}},
            {"body": 1},
            hint="order",
        )
        for batch in _lists(found):
            changes = [
                UpdateOne({"_id": row["_id"]}, {"$set": {"claims": claims_of(row["body"])}})
                for row in batch
            ]
            self._db.rows.bulk_write(changes, ordered=False)

    def leaning_on(self, session: Session, repo_url: str) -> Iterator[Row]:
        """The living rows of other repositories that lean on content below `repo_url`, without
        bodies, retired ones too.
        """
        below = {"$gte": repo_url, "$lt": repo_url[:-1] + "0"}  # "0" follows "/"
        for found in self._db.rows.find(
            {"uses": {"$elemMatch": below}, "to_rev": LIVE},
            {"body": 0},
            hint="uses",
            session=session,
        ):
            yield row_of(found)

    def _steady(self, revision: Revision, parts: Sequence["Range"]) -> Iterator[list[Row]]:
        """The rows of these ranges as a stream. Their indexes do not hold `to_rev`, so nothing
        moves behind the scan when rows are ended, and what is visible at the revision stays so: a
        plain cursor gives what a snapshot would, and may live longer.
        """
        for part in parts:
            for found in _lists(
                self._db.rows.find(part.asked, hint=part.index, sort=part.order).batch_size(LIST)
            ):
                self._still_there(revision)
                yield [row_of(document) for document in found]
        self._still_there(revision)

    def _still_there(self, revision: Revision) -> None:
        """Raise NotFound when the repository is deleted: its rows are being purged, and what is
        left must not pass for all.
        """
        if self._db.repos.find_one({"_id": revision.repo}, {"_id": 1}) is None:
            raise NotFound("the repository is gone")

    def _find(
        self,
        session: Session,
        revision: Revision,
        wanted: Slice,
        part: Mapping[str, Any],
        newest_first: bool,
        only: Json | None = None,
    ) -> Any:
        way = -1 if newest_first else 1
        return self._db.rows.find(
            _where(revision, wanted, part),
            only,
            hint="order",
            sort=[("from_rev", way), ("url", way)],
            session=session,
        )


def _at(revision: Revision) -> Json:
    """The rows visible at a revision."""
    return {
        "repo": revision.repo,
        "from_rev": {"$lte": revision.number},
        "to_rev": {"$gt": revision.number},
    }


def _until(revision: Revision, url: str) -> Json:
    """The states of an item that commits up to a revision wrote."""
    return {"repo": revision.repo, "url": url, "from_rev": {"$lte": revision.number}}


def _of_concept(revision: Revision, url: str, inverse: bool, retired: bool | None) -> list[Range]:
    """The mappings that start from a concept at a revision; `inverse`: and those that point to it."""
    where = {**_at(revision), **_retired(retired)}
    parts = [Range("from", {**where, "from": url}, [("map_type", 1), ("to", 1), ("from_rev", 1)])]
    return [*parts, Range("to", {**where, "to": url}, [("from_rev", 1)])] if inverse else parts


def _showing(repo: int, urls: Iterable[str]) -> list[tuple[str, Json]]:
    """The living mappings that show one of these concepts' names, and by which index each part is
    found; the parts do not overlap.
    """
    wanted = {"$in": sorted(urls)}
    living = {"repo": repo, "to_rev": LIVE}
    return [
        ("from", {**living, "from": wanted}),
        ("to", {**living, "to": wanted, "from": {"$not": wanted}, "own_to_name": False}),
    ]


def _retired(retired: bool | None) -> Json:
    return {} if retired is None else {"retired": retired}


def _where(revision: Revision, wanted: Slice, part: Mapping[str, Any]) -> Json:
    born: Json = {"$lte": revision.number}
    if wanted.since:
        born["$gte"] = wanted.since
    where = {**_at(revision), "kind": wanted.kind, "from_rev": born, **_retired(wanted.retired)}
    for field, bound in part.items():
        where[field] = (
            {**born, **bound} if field == "from_rev" and isinstance(bound, dict) else bound
        )
    return where


def _parts(after: tuple[int, str] | None, newest_first: bool) -> list[Json]:
    """What comes behind a key in commit order: the rest of that commit, then the other commits.
    Each is one index range.
    """
    if after is None:
        return [{}]
    beyond = "$lt" if newest_first else "$gt"
    return [{"from_rev": after[0], "url": {beyond: after[1]}}, {"from_rev": {beyond: after[0]}}]


def _lists(cursor: Iterable[Json]) -> Iterator[list[Json]]:
    """The documents, which have bodies, in lists of at most LIST, or of the first that together
    have LIST_BYTES or more.
    """
    held: list[Json] = []
    size = 0
    for document in cursor:
        held.append(document)
        size += len(document["body"])
        if len(held) == LIST or size >= LIST_BYTES:
            yield held
            held, size = [], 0
    if held:
        yield held


def row_of(found: Mapping[str, Any]) -> Row:
    """A stored document as a value; without a body when only the header was read."""
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
