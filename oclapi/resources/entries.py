"""Base classes for concepts and mappings: lists, details, versions (contract sections 10, 12)."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from flask import Response

from config.settings import Settings
from oclapi import access, jsonio, representations
from oclapi.editing import write
from oclapi.editing.unit_of_work import UnitOfWork
from oclapi.errors import NotFound
from oclapi.model import LIVE, Json, Kind, Repository, Revision, Row
from oclapi.reading import changes, entries, mappings, views
from oclapi.reading.entries import Entry, EntryPage, EntryStream
from oclapi.reading.mappings import MappingOptions
from oclapi.reading.views import View
from oclapi.resources import paging, params, queries, resolve
from oclapi.resources.endpoint import Endpoint
from oclapi.resources.paging import Cursor, Cursors, Paging
from oclapi.resources.responses import address, array, last_updated, ok, ok_bytes
from oclapi.store.database import Session
from oclapi.store.repos import RepositoryFilter
from oclapi.store.store import Store
from oclapi.times import Moment
from search.base import Facets, Query, Scope, Span

Result = TypeVar("Result")

VERSION = re.compile("[1-9][0-9]{0,9}", re.ASCII)
"""The format of the version of a concept or mapping."""


class EntryEndpoint(Endpoint):
    """The base class of the resources of concepts and mappings."""

    kind: ClassVar[Kind]

    def write(self, repo: Repository, edit: Callable[[UnitOfWork, Repository], Result]) -> Result:
        """Commit one edit and return its result.

        The edit gets the repository as it is in the transaction. Raises what access.need raises if
        the caller has lost the permission in the meantime.
        """

        def checked_edit(unit: UnitOfWork) -> Result:
            current = unit.repo(repo.url)
            if current is None:
                raise access.refusal(self.caller)
            access.need(unit.caller, "write", current)
            return edit(unit, current)

        return write.write(self.store, self.caller, [repo], checked_edit)

    def target(self, path: resolve.Path) -> Repository:
        """Return the repository of the entry that the path names, for a write.

        Raises what resolve.writable raises.
        """
        return resolve.writable(self.store, path, self.caller, self.kind)

    def row(self, path: resolve.Path, session: Session) -> tuple[View, Row]:
        """Return the entry that the path names, at the latest version in the view.

        Raises NotFound, and what resolve.view raises.
        """
        view = resolve.view(self.store, path, self.caller, session)
        return view, resolve.entry(self.store, view, self.kind, path[self.kind], session)

    def state(self, path: resolve.Path, session: Session) -> tuple[View, Row, bool]:
        """Return the version of the entry that the path names, and whether it is the latest there.

        Raises what `row` raises.
        """
        view, newest = self.row(path, session)
        version = path.get("item_version")
        if version is None:
            return view, newest, True
        row = None
        if VERSION.fullmatch(version):
            row = self.store.rows.state(session, view.revision, self.kind, newest.url, int(version))
        if row is None:
            raise NotFound(f"this {self.kind} has no version {version}")
        return view, row, row.from_rev == newest.from_rev


@dataclass(frozen=True, slots=True)
class Shape:
    """How the entries of a list are presented."""

    kind: Kind
    verbose: bool
    mappings: MappingOptions | None  # of the concepts that are shown with them

    @classmethod
    def from_params(cls, kind: Kind) -> "Shape":
        """Return the shape that the request selects. Raises Invalid."""
        return cls(kind, bool(params.flag("verbose")), included_mappings(kind))


def mapping_options() -> MappingOptions:
    """Return the options of the request for the mappings of concepts. Raises Invalid."""
    return MappingOptions(
        inverse=bool(params.flag("includeInverseMappings")),
        retired=None if params.flag("includeRetired") else False,
        verbose=bool(params.flag("verbose")),
    )


def included_mappings(kind: Kind) -> MappingOptions | None:
    """Return the options, or None if the request includes no mappings. Raises Invalid."""
    # The other parameters are read in any case, so that invalid values are reported.
    included, options = params.flag("includeMappings"), mapping_options()
    return options if kind == "concept" and (included or options.inverse) else None


@dataclass(frozen=True, slots=True)
class ListRequest:
    """A request for a list of concepts or mappings."""

    query: Query
    shape: Shape
    pages: Paging
    updated_since: Moment | None
    released: bool | None
    facets_only: bool
    filters: str  # a digest of all that selects the entries of the list

    @classmethod
    def from_params(cls, kind: Kind, settings: Settings) -> "ListRequest":
        """Return the request. Raises Invalid."""
        query, released = queries.query(kind, address(settings)), params.flag("released")
        return cls(
            query,
            Shape.from_params(kind),
            paging.paging(settings),
            params.moment("updatedSince"),
            released,
            params.facets_only(),
            queries.digest(query, params.text("updatedSince"), released),
        )


class EntryList(EntryEndpoint):
    """The concepts or mappings of a repository, newest commit first."""

    def get(self, **path: str) -> Response:
        search = self.services.search
        with self.store.snapshot() as session:
            view = resolve.view(self.store, path, self.caller, session)
            request = ListRequest.from_params(self.kind, self.settings)
            pages, query = request.pages, request.query
            # Everything that selects the revision is part of the name.
            name = f"{self.kind}:{path.get('version', 'HEAD')}:{request.released}"
            cursor = Cursors(self.settings).read(params.cursor(), name, view.repo.number)
            view, since = self._selected(session, view, request, cursor)
            if not queries.in_source(query, view.repo.url):
                since = LIVE  # No entry matches.
            query = queries.without_source(query)
            if request.facets_only:
                page = entries.page(search, session, view, query, since=since, limit=0)
                return facets_only(page, last_updated(views.content_at(self.store, session, view)))
            if pages.everything:
                stream = entries.stream(search, session, view, query, since=since)
                updated = last_updated(views.content_at(self.store, session, view))
                return everything(self.store, request, stream, _revisions(view), updated)
            if cursor:
                after = cursor.position(request.filters, pages.offset).get(self.kind)
                page = entries.page(
                    search,
                    session,
                    view,
                    query,
                    since=since,
                    limit=pages.limit,
                    skip=pages.skip,
                    after=after,
                )
            else:
                view, page = entries.first_page(
                    search, session, view, query, since=since, limit=pages.limit, skip=pages.skip
                )
            updated = last_updated(views.content_at(self.store, session, view))
            body = _page_body(self.store, request, page, _revisions(view), session)
        following = Cursor(
            name,
            view.repo.number,
            view.revision.number,
            {self.kind: since},
            request.filters,
            pages.offset + pages.limit,
            {self.kind: page.last} if page.last else None,
        )
        returned = len(page.entries)
        paged = paging.headers(self.settings, pages, page.total, returned, following)
        return ok_bytes(body, {**paged, **_engine_headers(page), **updated})

    def _selected(
        self, session: Session, view: View, request: ListRequest, cursor: Cursor | None
    ) -> tuple[View, int]:
        """Return the view and the first revision that the request and its cursor select.

        `released` applies only to HEAD; it is ignored for versions.
        """
        if cursor:
            view = view.at(cursor.rev)
            if cursor.filters == request.filters:
                return view, cursor.since[self.kind]
        since = changes.first_revision_since(
            self.store,
            session,
            view.repo.number,
            request.updated_since,
            margin=self.settings.whole_second_margin,
            reach=self.settings.whole_second_reach,
        )
        if request.released is not None and view.version is None:
            release = self.store.versions.latest(view.repo.number, session)
            number = release.rev if release else 0
            if not request.released:
                since = max(since, number + 1)
            elif not cursor:
                view = view.at(number)
        return view, since


class AllEntries(EntryEndpoint):
    """The concepts or mappings of all public sources, newest first, the same for every caller."""

    def get(self) -> Response:
        request = ListRequest.from_params(self.kind, self.settings)
        pages, search = request.pages, self.services.search
        query = queries.without_source(request.query)
        with self.store.snapshot() as session:
            scope, revisions = self._scope(session, request)
            if request.facets_only:
                return facets_only(entries.page_of(search, session, scope, query, limit=0))
            if pages.everything:
                stream = entries.stream_of(search, session, scope, query)
                return everything(self.store, request, stream, revisions)
            page = entries.page_of(
                search, session, scope, query, limit=pages.limit, skip=pages.skip
            )
            body = _page_body(self.store, request, page, revisions, session)
        paged = paging.headers(self.settings, pages, page.total, len(page.entries))
        return ok_bytes(body, {**paged, **_engine_headers(page)})

    def _scope(
        self, session: Session, request: ListRequest
    ) -> tuple[Scope, Mapping[int, Revision]]:
        """Return what to search, and the revisions of the sources by number.

        That are the current entries of all public sources. With `released=true`, the entries of
        their latest releases; with `released=false`, the entries that changed since then.
        """
        public = RepositoryFilter(kind="source", readable_by=access.ANONYMOUS)
        revisions = {
            revision.repo: revision
            for url, revision in self.store.repos.heads(public, session).items()
            if queries.in_source(request.query, url)
        }
        updated_since = request.updated_since
        if request.released is None:
            time = updated_since.at if updated_since else None
            return Scope(heads=tuple(sorted(revisions)), since=time), revisions
        releases = self.store.versions.latest_of(list(revisions), session)
        if request.released:
            revisions = {number: Revision(number, rev) for number, rev in releases.items()}
        spans = []
        for number, revision in sorted(revisions.items()):
            since = 0
            if updated_since:
                since = self.store.rows.first_written(session, number, updated_since.at)
            if not request.released:
                since = max(since, releases.get(number, 0) + 1)
            if since <= revision.number:
                spans.append(Span(revision, since))
        return Scope(tuple(spans)), revisions


def everything(
    store: Store,
    request: ListRequest,
    stream: EntryStream,
    revisions: Mapping[int, Revision],
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return all entries of a list as a stream, which needs neither the session nor the request."""
    batches = (present(store, request.shape, batch, revisions) for batch in stream.batches)
    paged = paging.all_headers(stream.total)
    return ok_bytes(
        _body(batches, request.query, stream.facets),
        {**paged, **_engine_headers(stream), **(headers or {})},
    )


def facets_only(page: EntryPage, headers: Mapping[str, str] | None = None) -> Response:
    """Return the facets of a list without its entries."""
    return ok(
        {"facets": queries.shown_facets(page.facets)},
        {**paging.no_entries(page.total), **_engine_headers(page), **(headers or {})},
    )


def present(
    store: Store,
    shape: Shape,
    found: Sequence[Entry],
    revisions: Mapping[int, Revision],
    session: Session = None,
) -> Sequence[bytes]:
    """Return the entries in the format of the list.

    `revisions` are those at which the mappings of concepts are read, by repository. A detail
    without mappings is the stored body itself.
    """
    bodies = [body for _, body in found]
    if shape.mappings is None:
        if shape.verbose:
            return bodies
        return [jsonio.dumps(representations.summary(shape.kind, body)) for body in bodies]
    urls: list[str] = [jsonio.loads_own(body)["url"] for body in bodies]
    by_revision: dict[Revision, list[str]] = {}
    for (repo, _), url in zip(found, urls, strict=True):
        by_revision.setdefault(revisions[repo], []).append(url)
    shown = {
        revision: mappings.of_concepts(store, session, revision, concepts, shape.mappings)
        for revision, concepts in by_revision.items()
    }
    return [
        jsonio.dumps(
            representations.detail(body, mappings=shown[revisions[repo]][url])
            if shape.verbose
            else representations.summary(shape.kind, body, mappings=shown[revisions[repo]][url])
        )
        for (repo, body), url in zip(found, urls, strict=True)
    ]


def _revisions(view: View) -> Mapping[int, Revision]:
    return {view.repo.number: view.revision}


def _page_body(
    store: Store,
    request: ListRequest,
    page: EntryPage,
    revisions: Mapping[int, Revision],
    session: Session,
) -> bytes:
    shown = present(store, request.shape, page.entries, revisions, session)
    return b"".join(_body(iter([shown]), request.query, page.facets))


def _body(batches: Iterator[Sequence[bytes]], query: Query, facets: Facets) -> Iterator[bytes]:
    """Return the JSON list of the entries, or an object with the list and its facets."""
    if not query.facets:
        return array(batches)
    shown = jsonio.dumps(queries.shown_facets(facets))
    return itertools.chain([b'{"results":'], array(batches), [b',"facets":', shown, b"}"])


def _engine_headers(found: EntryPage | EntryStream) -> dict[str, str]:
    return {"search-engine": found.engine, "search-behind": str(found.behind)}


class EntryVersions(EntryEndpoint):
    """The versions of an entry, newest first."""

    def get(self, **path: str) -> Response:
        with self.store.snapshot() as session:
            view, newest = self.row(path, session)
            params.no_order()
            pages = paging.paging(self.settings)
            verbose = self.kind == "mapping" or bool(params.flag("verbose"))
            total = self.store.rows.history_count(session, view.revision, newest.url)
            if not pages.everything:
                # One more row: a summary names the version before it.
                rows = self.store.rows.history(
                    session, view.revision, newest.url, limit=pages.limit + 1, skip=pages.skip
                )
        if pages.everything:
            batches = self.store.rows.history_batches(view.revision, newest.url)
            stream = self.shown(itertools.chain.from_iterable(batches), newest, verbose)
            return ok_bytes(
                array([jsonio.dumps(entry)] for entry in stream), paging.all_headers(total)
            )
        found = list(itertools.islice(self.shown(rows, newest, verbose), pages.limit))
        return ok(found, paging.headers(self.settings, pages, total, len(found)))

    def shown(self, rows: Iterable[Row], newest: Row, verbose: bool) -> Iterator[Json]:
        """Return the elements of the list for these rows, which are sorted newest first."""
        return (
            representations.detail(row.body, latest=row.from_rev == newest.from_rev) for row in rows
        )
