"""Which engine answers: Solr where there is one that has come far enough, else the built-in search."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

from oclapi import jsonio, metrics
from oclapi.errors import SearchBehind, SearchUnavailable
from oclapi.store.database import Session
from oclapi.store.store import Store
from search.base import Hits, Key, Position, Query, Scope, SearchIndex
from search.words import terms

STEP = 100_000
"""Keys that a stream asks for at once."""
IN_MEMORY = 8 * 2**20
"""Bytes of a stream's keys that are held in memory; what goes beyond lies in a temporary file."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found, and by whom."""

    hits: Hits
    engine: str
    behind: int = 0  # revisions that the answer may miss


class Search:
    """The engines as one. Keeps nothing of its own."""

    def __init__(self, store: Store, builtin: SearchIndex, solr: SearchIndex | None = None) -> None:
        self._store, self._builtin, self._solr = store, builtin, solr

    def find(
        self,
        session: Session,
        scope: Scope,
        query: Query,
        *,
        limit: int,
        skip: int = 0,
        after: Position | None = None,
    ) -> Answer:
        """As SearchIndex.find. Listings and filters see every finished write; words and facets may
        miss the last.

        Raises SearchUnavailable when no engine can answer.
        """
        answer = (
            self._from_solr(self._solr, session, scope, query, limit, skip, after)
            if self._solr
            else None
        )
        if answer is None:
            return self.built_in(session, scope, query, limit=limit, skip=skip, after=after)
        metrics.listings.labels(engine=answer.engine).inc()
        return answer

    def built_in(
        self,
        session: Session,
        scope: Scope,
        query: Query,
        *,
        limit: int,
        skip: int = 0,
        after: Position | None = None,
    ) -> Answer:
        """As `find`, from the store itself."""
        hits = self._builtin.find(session, scope, query, limit=limit, skip=skip, after=after)
        metrics.listings.labels(engine=self._builtin.name).inc()
        return Answer(hits, self._builtin.name)

    def _from_solr(
        self,
        solr: SearchIndex,
        session: Session,
        scope: Scope,
        query: Query,
        limit: int,
        skip: int,
        after: Position | None,
    ) -> Answer | None:
        """Solr's answer; None when it has none that is fresh enough."""
        fresh = not query.facets and not terms(query.text)
        try:
            hits = solr.find(
                session, scope, query, limit=limit, skip=skip, after=after, fresh=fresh
            )
        except (SearchBehind, SearchUnavailable):
            return None
        if not scope.heads:
            return Answer(hits, solr.name, hits.behind)
        # Bodies and names of heads come from this session. Sums of revisions only grow, so equal
        # ones mean that nobody wrote.
        seen, now = (
            self._store.repos.reached(scope.heads, session),
            self._store.repos.reached(scope.heads),
        )
        if fresh and not seen == hits.reached == now:
            return None
        return Answer(hits, solr.name, max(0, now - hits.reached))

    def everything(
        self, session: Session, scope: Scope, query: Query
    ) -> tuple[Answer, Iterator[Sequence[Key]]]:
        """The answer with all its keys, in batches of at most 500 that are read from a temporary
        file: they outlive the session.

        Words and facets are left to Solr where it answers; all else to the store, which sees one
        moment however many keys there are.
        """
        find = self.find if terms(query.text) or query.facets else self.built_in
        first = find(session, scope, query, limit=STEP)
        file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - `_batches` closes it
        answer, written = first, 0
        while answer.hits.keys:
            _write(file, answer.hits.keys)
            written += len(answer.hits.keys)
            if written >= first.hits.total:
                break
            last = answer.hits.last
            answer = find(
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
