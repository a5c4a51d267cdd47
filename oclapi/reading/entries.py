"""Lists of concepts and mappings: the search finds their keys, the store has their bodies."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from oclapi.model import Selection
from oclapi.reading.views import View
from oclapi.store.database import Session
from oclapi.store.store import Store
from search.base import Facets, Key, Position, Query, Scope
from search.choice import Result, Search

Entry = tuple[int, bytes]
"""The number of the repository, and the stored body."""


@dataclass(frozen=True, slots=True)
class EntryPage:
    """One page of a list."""

    entries: Sequence[Entry]
    total: int  # of the whole list
    last: Position | None  # the next page starts behind it; None: the list is paged by offset
    engine: str  # the name of the search engine that found them
    behind: int  # revisions that the list may lack
    facets: Facets = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EntryStream:
    """All entries of a list, in batches, which need no session."""

    batches: Iterator[Sequence[Entry]]
    total: int
    engine: str
    behind: int
    facets: Facets = field(default_factory=dict)


def page(
    search: Search,
    session: Session,
    view: View,
    query: Query,
    *,
    since: int = 0,
    limit: int,
    skip: int = 0,
    after: Position | None = None,
) -> EntryPage:
    """Return at most `limit` entries of a view that commit `since` or a later one wrote.

    Order: that of the query. They follow `after`, or without it the first `skip` entries.
    Errors and cost: see `Search.find`.
    """
    return page_of(search, session, view.scope(since), query, limit=limit, skip=skip, after=after)


def first_page(
    search: Search,
    session: Session,
    view: View,
    query: Query,
    *,
    since: int = 0,
    limit: int,
    skip: int = 0,
) -> tuple[View, EntryPage]:
    """Like `page`, and return the view at the revision that all pages have to show.

    If the index misses the newest revisions and further pages follow, it is the revision that the
    index has reached. Otherwise the list would change between its pages, as the index catches up.
    """
    found = page(search, session, view, query, since=since, limit=limit, skip=skip)
    if not found.behind or found.total <= len(found.entries):
        return view, found
    reached = view.at(view.revision.number - found.behind)
    again = page(search, session, reached, query, since=since, limit=limit, skip=skip)
    return reached, replace(again, behind=max(found.behind, again.behind))


def page_of(
    search: Search,
    session: Session,
    scope: Scope,
    query: Query,
    *,
    limit: int,
    skip: int = 0,
    after: Position | None = None,
) -> EntryPage:
    """Like `page`, for several repositories."""
    skip = 0 if after else skip
    found = search.find(session, scope, query, limit=limit, skip=skip, after=after)
    return EntryPage(
        _bodies(search.store, session, found.hits.keys),
        found.hits.total,
        found.hits.last,
        found.engine,
        found.behind,
        found.hits.facets,
    )


def stream(
    search: Search, session: Session, view: View, query: Query, *, since: int = 0
) -> EntryStream:
    """Return all entries of `page`.

    Without search words, filters and facets they are read from the store, in commit order.
    """
    scope = view.scope(since)
    if not query.is_plain or scope == Scope():
        return stream_of(search, session, scope, query)
    found = search.built_in(session, scope, query, limit=0)
    bodies = search.store.rows.body_batches(
        view.revision,
        Selection(query.kind, since, query.retired),
        newest_first=query.descending,
    )
    number = view.repo.number
    return _stream(found, ([(number, body) for body in batch] for batch in bodies))


def stream_of(search: Search, session: Session, scope: Scope, query: Query) -> EntryStream:
    """Like `stream`, for several repositories."""
    found, keys = search.everything(session, scope, query)
    return _stream(found, (_bodies(search.store, None, batch) for batch in keys))


def count(store: Store, session: Session, view: View, selection: Selection) -> int:
    """Return the number of selected entries.

    Cost: those of whole revisions are stored; with `since`, a scan of index keys.
    """
    if not selection.since and view.revision == view.named.revision:
        return view.named.counts.selected(selection)
    return store.rows.count(session, view.revision, selection)


def _bodies(store: Store, session: Session, keys: Sequence[Key]) -> Sequence[Entry]:
    return store.rows.bodies_of(session, [(key.repo, key.url, key.from_rev) for key in keys])


def _stream(found: Result, batches: Iterator[Sequence[Entry]]) -> EntryStream:
    return EntryStream(batches, found.hits.total, found.engine, found.behind, found.hits.facets)
