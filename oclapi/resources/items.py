"""Base classes for concepts and mappings: lists, details, versions (contract sections 10, 12)."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, TypeVar

from flask import Response

from oclapi import access, jsonio, representations
from oclapi.editing import write
from oclapi.editing.draft import Draft
from oclapi.errors import NotFound
from oclapi.model import Json, Kind, Revision, Row
from oclapi.resources import content, listings, paging, params, queries, resolve
from oclapi.resources.endpoint import Endpoint
from oclapi.resources.paging import Cursor, Cursors
from oclapi.resources.resolve import Place
from oclapi.resources.responses import last_updated, ok, ok_bytes
from oclapi.store.database import Session
from oclapi.store.rows import Slice
from search.base import Key, Part, Position, Query, Scope
from search.choice import Answer

Result = TypeVar("Result")

VERSION = re.compile("[1-9][0-9]{0,9}", re.ASCII)
"""The format of the version of a concept or mapping."""


class ItemEndpoint(Endpoint):
    """The base class of the resources of concepts and mappings."""

    kind: ClassVar[Kind]

    def write(self, repo: Json, edit: Callable[[Draft, Json], Result]) -> Result:
        """Commit one edit and return its result.

        The edit gets the repository as it is in the transaction. Raises what access.need raises if
        the caller has lost the permission in the meantime.
        """

        def checked_edit(draft: Draft) -> Result:
            current = draft.repo(repo["url"])
            if current is None:
                raise access.refusal(self.caller)
            access.need(draft.caller, "write", current)
            return edit(draft, current)

        return write.write(self.store, self.caller, [repo], checked_edit)

    def target(self, path: resolve.Path) -> Json:
        """Return the repository of the item that the path names, for a write.

        Raises what resolve.writable raises.
        """
        return resolve.writable(self.store, path, self.caller, self.kind)

    def row(self, path: resolve.Path, session: Session) -> tuple[Place, Row]:
        """Return the item that the path names, at the latest version there.

        Raises NotFound, and what resolve.place raises.
        """
        place = resolve.place(self.store, path, self.caller, session)
        return place, resolve.item(self.store, place, self.kind, path[self.kind], session)

    def state(self, path: resolve.Path, session: Session) -> tuple[Place, Row, bool]:
        """Return the version of the item that the path names, and whether it is the latest there.

        Raises what `row` raises.
        """
        place, newest = self.row(path, session)
        version = path.get("item_version")
        if version is None:
            return place, newest, True
        row = None
        if VERSION.fullmatch(version):
            row = self.store.rows.state(
                session, place.revision, self.kind, newest.url, int(version)
            )
        if row is None:
            raise NotFound(f"this {self.kind} has no version {version}")
        return place, row, row.from_rev == newest.from_rev


@dataclass(frozen=True, slots=True)
class Listing:
    """The entries that a list contains. It is the same on each page."""

    scope: Scope
    query: Query
    # By repository number: the revision at which the mappings of its concepts are read.
    revisions: Mapping[int, Revision]


@dataclass(frozen=True, slots=True)
class Shape:
    """How entries are presented. It is read first, because a stream outlives the request."""

    verbose: bool
    mappings: "MappingsOf | None"


class EntryList(ItemEndpoint):
    """A list of concepts or mappings. The search returns keys, the store returns their bodies."""

    def shape(self) -> Shape:
        return Shape(bool(params.flag("verbose")), MappingsOf.from_params(self.kind))

    def page(
        self,
        session: Session,
        listing: Listing,
        shape: Shape,
        pages: paging.Paging,
        after: Position | None,
    ) -> tuple[Answer, bytes, int]:
        """Return one page: the answer of the search, the body, and the number of entries in it."""
        skip = 0 if after else min(pages.offset, listings.FAR)
        answer = self.services.search.find(
            session, listing.scope, listing.query, limit=pages.limit, skip=skip, after=after
        )
        shown = self._entries(listing, shape, answer.hits.keys, session)
        return answer, b"".join(_body(iter([shown]), listing, answer)), len(shown)

    def everything(
        self, session: Session, listing: Listing, shape: Shape
    ) -> tuple[Answer, Iterator[bytes]]:
        """Return all entries as a stream, which needs neither the session nor the request."""
        scope, query = listing.scope, listing.query
        if queries.is_plain(query) and len(scope.parts) == 1 and not scope.heads:
            answer = self.services.search.built_in(session, scope, query, limit=0)
            [part] = scope.parts
            wanted = Slice(query.kind, part.since, query.retired)
            bodies = self.store.rows.body_batches(
                part.revision, wanted, newest_first=query.descending
            )
            batches = (
                self._present(shape, [(part.revision, body) for body in batch]) for batch in bodies
            )
        else:
            answer, keys = self.services.search.everything(session, scope, query)
            batches = (self._entries(listing, shape, batch) for batch in keys)
        return answer, _body(batches, listing, answer)

    def headers(
        self, pages: paging.Paging, answer: Answer, returned: int, cursor: Cursor | None = None
    ) -> dict[str, str]:
        return {
            **paging.headers(self.settings, pages, answer.hits.total, returned, cursor),
            "search-engine": answer.engine,
            "search-behind": str(answer.behind),
        }

    def _entries(
        self, listing: Listing, shape: Shape, keys: Sequence[Key], session: Session = None
    ) -> Sequence[bytes]:
        bodies = self.store.rows.bodies_of(
            session, [(key.repo, key.url, key.from_rev) for key in keys]
        )
        return self._present(
            shape, [(listing.revisions[repo], body) for repo, body in bodies], session
        )

    def _present(
        self, shape: Shape, entries: Sequence[tuple[Revision, bytes]], session: Session = None
    ) -> Sequence[bytes]:
        """Return the entries in the format of the list.

        Each stored body comes with the revision at which its mappings are read. A detail without
        mappings is the stored body itself.
        """
        bodies = [body for _, body in entries]
        if shape.mappings is None:
            if shape.verbose:
                return bodies
            return [jsonio.dumps(representations.summary(self.kind, body)) for body in bodies]
        urls: list[str] = [jsonio.loads_own(body)["url"] for body in bodies]
        by_revision: dict[Revision, list[str]] = {}
        for (revision, _), url in zip(entries, urls, strict=True):
            by_revision.setdefault(revision, []).append(url)
        mappings = {
            revision: shape.mappings.of(self, revision, concepts, session)
            for revision, concepts in by_revision.items()
        }
        present = (
            representations.detail
            if shape.verbose
            else lambda body, mappings: representations.summary(self.kind, body, mappings=mappings)
        )
        return [
            jsonio.dumps(present(body, mappings=mappings[revision][url]))
            for (revision, body), url in zip(entries, urls, strict=True)
        ]


class ItemList(EntryList):
    """The concepts or mappings of a repository, newest commit first."""

    def get(self, **path: str) -> Response:
        query, shape, pages = queries.query(self.kind), self.shape(), paging.paging(self.settings)
        # Everything that selects the revision is part of the name.
        name = f"{self.kind}:{path.get('version', 'HEAD')}:{params.flag('released')}"
        with self.store.snapshot() as session:
            place = resolve.place(self.store, path, self.caller, session)
            given = Cursors(self.settings).given(name, place.repo["_id"])
            part, filters = self._part(session, place, query, given)
            listing = Listing(
                _scope(place, part, query),
                queries.without_source(query),
                {part.revision.repo: part.revision},
            )
            updated = last_updated(content.content_at(self.store, session, part.revision, place))
            if pages.everything:
                answer, stream = self.everything(session, listing, shape)
                return ok_bytes(
                    stream, {**self.headers(pages, answer, answer.hits.total), **updated}
                )
            seek = None
            if given and given.filters == filters and given.offset == pages.offset:
                seek = given.after
            answer, body, returned = self.page(
                session, listing, shape, pages, seek.get(self.kind) if seek else None
            )
            if answer.behind and given is None and answer.hits.total > returned:
                # The index misses the newest revisions. All pages must show the revision that it
                # has reached, or the next pages would change when it catches up.
                part = _indexed(part, answer.behind)
                listing = Listing(
                    _scope(place, part, query), listing.query, {part.revision.repo: part.revision}
                )
                behind = answer.behind
                answer, body, returned = self.page(session, listing, shape, pages, None)
                answer = replace(answer, behind=max(behind, answer.behind))
                updated = last_updated(
                    content.content_at(self.store, session, part.revision, place)
                )
        after: dict[str, Position] | None = (
            {self.kind: answer.hits.last} if answer.hits.last else None
        )
        cursor = Cursor(
            name,
            part.revision.repo,
            part.revision.number,
            {self.kind: part.since},
            filters,
            pages.offset + pages.limit,
            after,
        )
        return ok_bytes(body, {**self.headers(pages, answer, returned, cursor), **updated})

    def _part(
        self, session: Session, place: Place, query: Query, given: Cursor | None
    ) -> tuple[Part, str]:
        """Return the rows that the cursor, `updatedSince` and `released` select.

        The second value is the digest of the query parameters. `released` applies only to HEAD; it
        is ignored for versions.
        """
        released = params.flag("released")
        filters = queries.digest(query, params.text("updatedSince"), released)
        revision = Revision(given.repo, given.rev) if given else place.revision
        if given and given.filters == filters:
            return Part(revision, given.since[self.kind]), filters
        since = content.first_since(self, session, revision.repo)
        if released is not None and place.version is None:
            release = self.store.versions.latest(place.repo["_id"], session)
            number = release["rev"] if release else 0
            if not released:
                since = max(since, number + 1)
            elif not given:
                revision = Revision(revision.repo, number)
        return Part(revision, since), filters


def _indexed(part: Part, behind: int) -> Part:
    """Return the part at the revision that the index has reached."""
    return replace(part, revision=Revision(part.revision.repo, part.revision.number - behind))


def _scope(place: Place, part: Part, query: Query) -> Scope:
    """Return the scope of the part, which is empty if no entry of it can match the query."""
    empty = part.since > part.revision.number or not queries.in_source(query, place.repo["url"])
    return Scope() if empty else Scope((part,))


class AllItems(EntryList):
    """The concepts or mappings of all public sources, newest first, the same for every caller."""

    def get(self) -> Response:
        query, shape, pages = queries.query(self.kind), self.shape(), paging.paging(self.settings)
        with self.store.snapshot() as session:
            listing = self._listing(session, query)
            if pages.everything:
                answer, stream = self.everything(session, listing, shape)
                return ok_bytes(stream, self.headers(pages, answer, answer.hits.total))
            answer, body, returned = self.page(session, listing, shape, pages, None)
        return ok_bytes(body, self.headers(pages, answer, returned))

    def _listing(self, session: Session, query: Query) -> Listing:
        """Return the current entries of all public sources.

        With `released=true`, the entries of their latest releases; with `released=false`, the
        entries that changed since then.
        """
        heads = self.store.repos.heads(
            {"kind": "source", **access.readable(access.ANONYMOUS)}, session
        )
        revisions = {
            repo["_id"]: Revision(repo["_id"], repo["rev"])
            for repo in heads
            if queries.in_source(query, repo["url"])
        }
        query = queries.without_source(query)
        released, updated_since = params.flag("released"), params.moment("updatedSince")
        if released is None:
            time = updated_since.at if updated_since else None
            return Listing(Scope(heads=tuple(sorted(revisions)), since=time), query, revisions)
        releases = self.store.versions.latest_of(list(revisions), session)
        if released:
            revisions = {number: Revision(number, rev) for number, rev in releases.items()}
        parts = []
        for number, revision in sorted(revisions.items()):
            since = 0
            if updated_since:
                since = self.store.rows.first_since(
                    session, number, updated_since.at, whole_seconds=False
                )
            if not released:
                since = max(since, releases.get(number, 0) + 1)
            if since <= revision.number:
                parts.append(Part(revision, since))
        return Listing(Scope(tuple(parts)), query, revisions)


def _body(batches: Iterator[Sequence[bytes]], listing: Listing, answer: Answer) -> Iterator[bytes]:
    """Return the JSON list of the entries, or an object with the list and its facets."""
    if not listing.query.facets:
        return content.array(batches)
    facets = jsonio.dumps(queries.shown_facets(answer.hits.facets))
    return itertools.chain([b'{"results":'], content.array(batches), [b',"facets":', facets, b"}"])


class ItemVersions(ItemEndpoint):
    """The versions of an item, newest first."""

    def get(self, **path: str) -> Response:
        params.no_order()
        pages = paging.paging(self.settings)
        with self.store.snapshot() as session:
            place, newest = self.row(path, session)
            total = self.store.rows.history_count(session, place.revision, newest.url)
            if not pages.everything:
                # One more row: a summary names the version before it.
                skip = min(pages.offset, listings.FAR)
                rows = self.store.rows.history(
                    session, place.revision, newest.url, limit=pages.limit + 1, skip=skip
                )
        if pages.everything:
            batches = self.store.rows.history_batches(place.revision, newest.url)
            stream = self.entries(itertools.chain.from_iterable(batches), newest)
            return ok_bytes(
                content.array([jsonio.dumps(entry)] for entry in stream),
                paging.headers(self.settings, pages, total, total),
            )
        found = list(itertools.islice(self.entries(rows, newest), pages.limit))
        return ok(found, paging.headers(self.settings, pages, total, len(found)))

    def entries(self, rows: Iterable[Row], newest: Row) -> Iterator[Json]:
        """Return the entries of the list for these rows, which are sorted newest first."""
        return (
            representations.detail(row.body, latest=row.from_rev == newest.from_rev) for row in rows
        )


class MappingsOf:
    """The mappings that the request includes in the details and summaries of concepts."""

    def __init__(self) -> None:
        self.inverse = bool(params.flag("includeInverseMappings"))
        self.retired = None if params.flag("includeRetired") else False
        self.verbose = bool(params.flag("verbose"))

    @classmethod
    def from_params(cls, kind: Kind) -> "MappingsOf | None":
        """Return None if the request includes no mappings. Raises Invalid."""
        # The other parameters are read in any case, so that invalid values are reported.
        included, mappings = params.flag("includeMappings"), cls()
        return mappings if kind == "concept" and (included or mappings.inverse) else None

    def of(
        self,
        endpoint: Endpoint,
        revision: Revision,
        concepts: Sequence[str],
        session: Session = None,
    ) -> dict[str, list[Json]]:
        """Return the mappings of each of these concepts at the revision, by concept URL."""
        if session is None:
            with endpoint.store.snapshot() as own:
                return self.of(endpoint, revision, concepts, own)
        found = endpoint.store.rows.of_concepts(
            session, revision, concepts, inverse=self.inverse, retired=self.retired
        )
        return {url: [self.present(row) for row in rows] for url, rows in found.items()}

    def page(
        self,
        endpoint: Endpoint,
        revision: Revision,
        concept: str,
        session: Session,
        *,
        limit: int,
        skip: int = 0,
    ) -> tuple[int, list[Json]]:
        """Return the number of mappings of a concept, and one page of them."""
        total, rows = endpoint.store.rows.of_concept(
            session,
            revision,
            concept,
            limit=limit,
            skip=skip,
            inverse=self.inverse,
            retired=self.retired,
        )
        return total, [self.present(row) for row in rows]

    def stream(self, endpoint: Endpoint, revision: Revision, concept: str) -> Iterator[bytes]:
        """Yield all mappings of a concept as a JSON array.

        The stream needs neither a session nor the request.
        """
        batches = endpoint.store.rows.of_concept_batches(
            revision, concept, inverse=self.inverse, retired=self.retired
        )
        return content.array(
            [jsonio.dumps(self.present(row)) for row in batch] for batch in batches
        )

    def present(self, row: Row) -> Json:
        return (
            representations.detail(row.body)
            if self.verbose
            else representations.summary("mapping", row.body)
        )
