"""The choice of the engine: Solr when its index is recent enough, else the built-in search."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

from oclapi import jsonio, metrics
from oclapi.errors import SearchBehind, SearchUnavailable
from oclapi.store.database import Session
from oclapi.store.store import Store
from search.base import Hits, Key, Position, Query, Scope, SearchIndex
from search.words import asks

STEP = 100_000
"""Keys that a stream requests at once."""
IN_MEMORY = 8 * 2**20
"""Bytes of a stream's keys that are kept in memory. The rest goes to a temporary file."""


@dataclass(frozen=True, slots=True)
class Result:
    """A result and the engine that returned it."""

    hits: Hits
    engine: str
    behind: int = 0  # revisions that the result may lack


class Search:
    """Both engines behind one interface. It has no state."""

    def __init__(self, store: Store, builtin: SearchIndex, solr: SearchIndex | None = None) -> None:
        self.store, self._builtin, self._solr = store, builtin, solr

    def find(
        self,
        session: Session,
        scope: Scope,
        query: Query,
        *,
        limit: int,
        skip: int = 0,
        after: Position | None = None,
    ) -> Result:
        """Return one page, see `SearchIndex.find`.

        Listings and filters see every finished write. Words and facets may lack the latest ones.
        Raises SearchUnavailable when no engine can serve the query.
        """
        result = (
            self._from_solr(self._solr, session, scope, query, limit, skip, after)
            if self._solr
            else None
        )
        if result is None:
            return self.built_in(session, scope, query, limit=limit, skip=skip, after=after)
        metrics.listings.labels(engine=result.engine).inc()
        return result

    def built_in(
        self,
        session: Session,
        scope: Scope,
        query: Query,
        *,
        limit: int,
        skip: int = 0,
        after: Position | None = None,
    ) -> Result:
        """Like `find`, but always from MongoDB."""
        hits = self._builtin.find(session, scope, query, limit=limit, skip=skip, after=after)
        metrics.listings.labels(engine=self._builtin.name).inc()
        return Result(hits, self._builtin.name)

    def _from_solr(
        self,
        solr: SearchIndex,
        session: Session,
        scope: Scope,
        query: Query,
        limit: int,
        skip: int,
        after: Position | None,
    ) -> Result | None:
        """Return Solr's result, or None when Solr fails or is not fresh enough."""
        fresh = not query.facets and not asks(query.text)
        try:
            hits = solr.find(
                session, scope, query, limit=limit, skip=skip, after=after, fresh=fresh
            )
        except (SearchBehind, SearchUnavailable):
            return None
        if not scope.heads:
            return Result(hits, solr.name, hits.behind)
        # Bodies and names of heads are read in this session. Sums of revisions only grow, so equal
        # sums mean that nothing was written in between.
        seen, now = (
            self.store.repos.reached(scope.heads, session),
            self.store.repos.reached(scope.heads),
        )
        if fresh and not seen == hits.reached == now:
            return None
        return Result(hits, solr.name, max(0, now - hits.reached))

    def everything(
        self, session: Session, scope: Scope, query: Query
    ) -> tuple[Result, Iterator[Sequence[Key]]]:
        """Return the result and all its keys, in batches of at most 500.

        The keys are kept in a temporary file, so they can be read after the session has ended.
        Queries with words or facets go to Solr when it is available. All others go to the store,
        whose snapshot is consistent whatever the number of keys.
        """
        find = self.find if asks(query.text) or query.facets else self.built_in
        first = find(session, scope, query, limit=STEP)
        file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - `_batches` closes it
        result, written = first, 0
        while result.hits.keys:
            _write(file, result.hits.keys)
            written += len(result.hits.keys)
            if written >= first.hits.total:
                break
            last = result.hits.last
            result = find(
                session, scope, query, limit=STEP, skip=0 if last else written, after=last
            )
        file.seek(0)
        return first, _batches(file)


def _write(file: IO[bytes], keys: Sequence[Key]) -> None:
    for start in range(0, len(keys), 500):
        file.write(
            jsonio.dumps([(key.repo, key.url, key.from_rev) for key in keys[start : start + 500]])
            + b"\n"
        )


def _batches(file: IO[bytes]) -> Iterator[Sequence[Key]]:
    with file:
        for line in file:
            yield [Key(*parts) for parts in jsonio.loads_own(line)]
