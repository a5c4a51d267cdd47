"""Following the revision log: what a copy that has reached one revision of a repository needs to
reach another.

A row is in the copy with the `to_rev` that it had when it was read, which is right for every
revision up to the head of that moment.
"""

import heapq
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from typing import Any

from oclapi.errors import NotFound
from oclapi.model import LIVE, Json, Kind, Row
from oclapi.store.database import Database, Session
from oclapi.store.rows import LIST, SNAPSHOT_AGE, row_of

KINDS: tuple[Kind, ...] = ("concept", "mapping")

TOGETHER = 500
"""Questions about different repositories that go into one query."""


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
        """None when the repository is gone."""
        found = self._db.repos.find_one({"_id": repo}, HEAD, session=session)
        return _head_of(found) if found else None

    def heads(self) -> list[RepoHead]:
        """Of all repositories, by number. Cost: one document each."""
        return [_head_of(found) for found in self._db.repos.find({}, HEAD).sort("_id", 1)]

    def changed_since(self, moment: datetime) -> list[RepoHead]:
        """Of the repositories that were changed then or later. Cost: what is found, by index."""
        return [
            _head_of(found)
            for found in self._db.repos.find({"updated_on": {"$gte": moment}}, HEAD, hint="changed")
        ]

    def commit(self, repo: int, rev: int) -> str | None:
        """The token of the commit that made the revision, "" for revision 0; None when there is no
        such revision.
        """
        if rev == 0:
            return ""
        found = self._db.revisions.find_one({"repo": repo, "rev": rev}, {"commit": 1}, hint="rev")
        return found["commit"] if found else None

    def revisions(self, wanted: Sequence[tuple[int, int]]) -> dict[int, Json]:
        """`at` and `commit` of these (repository, revision), by repository, where there are such.
        Cost: an index seek for each.
        """
        found: dict[int, Json] = {}
        for start in range(0, len(wanted), TOGETHER):
            asked = [{"repo": repo, "rev": rev} for repo, rev in wanted[start : start + TOGETHER]]
            found |= {
                one["repo"]: one
                for one in self._db.revisions.find(
                    {"$or": asked}, {"repo": 1, "at": 1, "commit": 1}
                )
            }
        return found

    def sizes(self, repo: int, after: int, upto: int) -> list[tuple[int, int]]:
        """The revisions in (after, upto], oldest first, each with the number of its changes. Cost:
        one document each.
        """
        asked = {"repo": repo, "rev": {"$gt": after, "$lte": upto}}
        return [
            (found["rev"], found["changes"])
            for found in self._db.revisions.find(asked, {"rev": 1, "changes": 1}).sort("rev", 1)
        ]

    def count(self, repo: int, upto: int, session: Session = None) -> int:
        """How many rows, ended ones too, the commits up to that revision wrote. Cost: a walk over
        their index keys.
        """
        asked = {"repo": repo, "kind": {"$in": KINDS}, "from_rev": {"$lte": upto}}
        return self._db.rows.count_documents(asked, hint="order", session=session)

    def news(self, repo: int, after: int, upto: int) -> Iterator[RowChange]:
        """What brings a copy from revision `after` to `upto`: each row that began in between, and
        each older one that ended, once.

        Order: by revision. A row that began and ended in between comes with its beginning. However
        long the reader takes: a snapshot lives five minutes, so each stream takes a new one now and
        then and goes on behind its last key. Raises NotFound when the repository is gone. Memory:
        four batches of the driver.
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
        """That row as it stands now."""
        with self._db.snapshot() as session:
            head = self.head(repo, session)
            found = self._db.rows.find_one(
                {"repo": repo, "url": url, "from_rev": from_rev}, hint="item", session=session
            )
        return (
            _news(found, "from_rev", head.rev) if head and found and from_rev <= head.rev else None
        )

    def headers(self, repo: int, upto: int) -> Iterator[Row]:
        """Every row, ended ones too, that began up to that revision, as of `upto` and without its
        body: concepts, then mappings, in commit order. The same care for long reads as in `news`.
        """
        for kind in KINDS:
            for news in self._stream(repo, kind, "from_rev", 0, upto, {"body": 0}):
                yield _as_of(news.row, upto)

    def sample(self, repo: int, upto: int, size: int) -> Iterator[Row]:
        """Some of these rows, chosen at random. Cost: a walk over the repository's index keys."""
        asked = {"repo": repo, "kind": {"$in": KINDS}, "from_rev": {"$lte": upto}}
        steps: list[Json] = [{"$match": asked}, {"$sample": {"size": size}}, {"$unset": "body"}]
        with self._db.snapshot() as session:
            for found in self._db.rows.aggregate(steps, hint="order", session=session):
                yield _as_of(row_of(found), upto)

    def _stream(
        self, repo: int, kind: Kind, by: str, after: int, upto: int, only: Json | None = None
    ) -> Generator[RowChange, None, None]:
        """The rows of one kind whose beginning (`by` from_rev) or end (to_rev, of rows that began
        up to `after`) is in (after, upto].
        """
        older = {} if by == "from_rev" else {"from_rev": {"$lte": after}}
        hint = "order" if by == "from_rev" else "ends"
        last: tuple[int, str] | None = None
        there_is_more = True
        while there_is_more:
            begun = time.monotonic()
            with self._db.snapshot() as session:
                head = self.head(repo, session)
                if head is None:
                    raise NotFound("the repository is gone")
                there_is_more = False
                for part in _behind(last, by, after, upto):
                    asked = {"repo": repo, "kind": kind, **older, **part}
                    cursor = self._db.rows.find(
                        asked,
                        only,
                        hint=hint,
                        sort=[(by, 1), ("url", 1)],
                        session=session,
                        batch_size=LIST,
                    )
                    for found in cursor:
                        yield _news(found, by, head.rev)
                        last = (found[by], found["url"])
                        there_is_more = time.monotonic() - begun > SNAPSHOT_AGE
                        if there_is_more:
                            break
                    if there_is_more:
                        break


HEAD = {"url": 1, "rev": 1, "updated_on": 1}


def _head_of(found: Json) -> RepoHead:
    return RepoHead(found["_id"], found["url"], found["rev"], found["updated_on"])


def _news(found: Json, by: str, head: int) -> RowChange:
    """An end that lies beyond the head belongs to an import that may still be given up."""
    row = row_of(found)
    return RowChange(found[by], _as_of(row, head), head)


def _as_of(row: Row, rev: int) -> Row:
    """The row as a reader at that revision knows it: one that ends later lives."""
    return replace(row, to_rev=LIVE) if rev < row.to_rev < LIVE else row


def _behind(last: tuple[int, str] | None, by: str, after: int, upto: int) -> list[dict[str, Any]]:
    """What comes behind a key: the rest of its revision, then the other revisions. Each is one
    index range.
    """
    if last is None:
        return [{by: {"$gt": after, "$lte": upto}}]
    return [{by: last[0], "url": {"$gt": last[1]}}, {by: {"$gt": last[0], "$lte": upto}}]
