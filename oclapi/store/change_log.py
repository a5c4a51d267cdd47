"""Reading the revision log: what brings a copy from one revision of a repository to another.

A copy contains each row with the `to_rev` that it had when it was read. That is correct for every
revision up to the head at that time.
"""

import heapq
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter

from oclapi.model import LIVE, Json, Kind, Row
from oclapi.store import ranges
from oclapi.store.database import Database, Session
from oclapi.store.rows import row_of

KINDS: tuple[Kind, ...] = ("concept", "mapping")

TOGETHER = 500
"""Repositories per query of `revisions`."""


@dataclass(frozen=True, slots=True)
class RepoHead:
    """A repository and the newest revision of its content."""

    repo: int
    url: str
    rev: int
    updated_on: datetime


@dataclass(frozen=True, slots=True)
class RowChange:
    """A row that revision `rev` began or ended."""

    rev: int
    row: Row  # `to_rev` as of `head`: LIVE when it ends later
    head: int


class ChangeLog:
    """Reads revisions and the rows that they changed."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def head(self, repo: int, session: Session = None) -> RepoHead | None:
        """Return the repository's head, None when it was deleted."""
        found = self._db.repos.find_one({"_id": repo}, HEAD, session=session)
        return _head_of(found) if found else None

    def heads(self) -> list[RepoHead]:
        """Return the heads of all repositories, by number. Cost: one document each."""
        return [_head_of(found) for found in self._db.repos.find({}, HEAD).sort("_id", 1)]

    def changed_since(self, since: datetime) -> list[RepoHead]:
        """Return the heads of repositories changed at that time or later. Cost: an index range."""
        return [
            _head_of(found)
            for found in self._db.repos.find({"updated_on": {"$gte": since}}, HEAD, hint="changed")
        ]

    def commit(self, repo: int, rev: int) -> str | None:
        """Return the token of the commit that created the revision.

        It is "" for revision 0, and None when the revision does not exist.
        """
        if rev == 0:
            return ""
        found = self._db.revisions.find_one({"repo": repo, "rev": rev}, {"commit": 1}, hint="rev")
        return found["commit"] if found else None

    def revisions(self, wanted: Sequence[tuple[int, int]]) -> dict[int, Json]:
        """Return `at` and `commit` of those (repository, revision) that exist, by repository.

        Cost: an index seek for each.
        """
        found: dict[int, Json] = {}
        for start in range(0, len(wanted), TOGETHER):
            keys = [{"repo": repo, "rev": rev} for repo, rev in wanted[start : start + TOGETHER]]
            found |= {
                one["repo"]: one
                for one in self._db.revisions.find({"$or": keys}, {"repo": 1, "at": 1, "commit": 1})
            }
        return found

    def sizes(self, repo: int, after: int, upto: int) -> list[tuple[int, int]]:
        """Return the revisions in (after, upto] with their numbers of changes, oldest first.

        Cost: one document each.
        """
        where = {"repo": repo, "rev": {"$gt": after, "$lte": upto}}
        return [
            (found["rev"], found["changes"])
            for found in self._db.revisions.find(where, {"rev": 1, "changes": 1}).sort("rev", 1)
        ]

    def count(self, repo: int, upto: int, session: Session = None) -> int:
        """Return how many rows the commits up to that revision wrote, ended ones included.

        Cost: a scan of their index keys.
        """
        where = {"repo": repo, "kind": {"$in": KINDS}, "from_rev": {"$lte": upto}}
        return self._db.rows.count_documents(where, hint="order", session=session)

    def changes(self, repo: int, after: int, upto: int) -> Iterator[RowChange]:
        """Yield what brings a copy from revision `after` to `upto`.

        Yields each row that began in between, and each older one that ended, once, by revision. A
        row that began and ended in between is yielded at its beginning. The reader may be slow, see
        `ranges.snapshots`. Memory: four times what it says there.
        """
        with ExitStack() as stack:
            streams: list[Iterable[RowChange]] = []
            for kind in KINDS:
                streams.append(
                    stack.enter_context(closing(self._stream(repo, kind, "from_rev", after, upto)))
                )
                if after:
                    streams.append(
                        stack.enter_context(
                            closing(self._stream(repo, kind, "to_rev", after, upto))
                        )
                    )
            yield from heapq.merge(*streams, key=attrgetter("rev"))

    def row(self, repo: int, url: str, from_rev: int) -> RowChange | None:
        """Return the current state of that row, None when it does not exist."""
        with self._db.snapshot() as session:
            head = self.head(repo, session)
            found = self._db.rows.find_one(
                {"repo": repo, "url": url, "from_rev": from_rev}, hint="item", session=session
            )
        return (
            _change(found, "from_rev", head.rev)
            if head and found and from_rev <= head.rev
            else None
        )

    def headers(self, repo: int, upto: int) -> Iterator[Row]:
        """Yield every row that began up to that revision, as of `upto` and without its body.

        Ended rows are included. Order: concepts, then mappings, in commit order. Long reads work
        as in `changes`.
        """
        for kind in KINDS:
            for change in self._stream(repo, kind, "from_rev", 0, upto, {"body": 0}):
                yield _as_of(change.row, upto)

    def sample(self, repo: int, upto: int, size: int) -> Iterator[Row]:
        """Yield `size` of these rows, chosen at random. Cost: a scan of the index keys."""
        where = {"repo": repo, "kind": {"$in": KINDS}, "from_rev": {"$lte": upto}}
        steps: list[Json] = [{"$match": where}, {"$sample": {"size": size}}, {"$unset": "body"}]
        with self._db.snapshot() as session:
            for found in self._db.rows.aggregate(steps, hint="order", session=session):
                yield _as_of(row_of(found), upto)

    def _stream(
        self, repo: int, kind: Kind, by: str, after: int, upto: int, only: Json | None = None
    ) -> Generator[RowChange, None, None]:
        """Yield the rows of one kind that began or ended in (after, upto].

        `by` is from_rev or to_rev; by to_rev, only rows that began up to `after` are included.
        """
        older = {} if by == "from_rev" else {"from_rev": {"$lte": after}}
        lists = ranges.snapshots(
            self._db,
            repo,
            {"kind": kind, **older},
            field=by,
            bounds={"$gt": after, "$lte": upto},
            hint="order" if by == "from_rev" else "ends",
            only=only,
        )
        for head, found in lists:
            for document in found:
                yield _change(document, by, head)


HEAD = {"url": 1, "rev": 1, "updated_on": 1}


def _head_of(found: Json) -> RepoHead:
    return RepoHead(found["_id"], found["url"], found["rev"], found["updated_on"])


def _change(found: Json, by: str, head: int) -> RowChange:
    """Return the change; an end after the head belongs to an import that may be undone."""
    row = row_of(found)
    return RowChange(found[by], _as_of(row, head), head)


def _as_of(row: Row, rev: int) -> Row:
    """Return the row as seen at that revision: one that ends later is alive."""
    return replace(row, to_rev=LIVE) if rev < row.to_rev < LIVE else row
