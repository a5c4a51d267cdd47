"""What concepts and mappings have in common: lists, details, histories (contract sections 10 and
12).
"""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
"""The version of a concept or mapping."""


class ItemEndpoint(Endpoint):
    """What the resources of concepts and mappings share."""

    kind: ClassVar[Kind]

    def write(self, repo: Json, edit: Callable[[Draft, Json], Result]) -> Result:
        """Commit one edit, which is given the repository as the transaction sees it. Raises as
        access.need when it was closed by then.
        """

        def locked(draft: Draft) -> Result:
            there = draft.repo(repo["url"])
            if there is None:
                raise access.refusal(self.caller)
            access.need(draft.caller, "write", there)
            return edit(draft, there)

        return write.write(self.store, self.caller, [repo], locked)

    def target(self, path: resolve.Path) -> Json:
        """The repository of the item that the path names, to write to it. Raises as
        resolve.writable.
        """
        return resolve.writable(self.store, path, self.caller, self.kind)

    def row(self, path: resolve.Path, session: Session) -> tuple[Place, Row]:
        """The item that the path names, as it stands there. Raises NotFound and what reading the
        repository raises.
        """
        place = resolve.place(self.store, path, self.caller, session)
        return place, resolve.item(self.store, place, self.kind, path[self.kind], session)

    def state(self, path: resolve.Path, session: Session) -> tuple[Place, Row, bool]:
        """One state of the item that the path names, and whether it is the newest there. Raises as
        `row`.
        """
        place, newest = self.row(path, session)
        wanted = path.get("item_version")
        if wanted is None:
            return place, newest, True
        row = None
        if VERSION.fullmatch(wanted):
            row = self.store.rows.state(session, place.revision, self.kind, newest.url, int(wanted))
        if row is None:
            raise NotFound(f"this {self.kind} has no version {wanted} here")
        return place, row, row.from_rev == newest.from_rev


@dataclass(frozen=True, slots=True)
class Listing:
    """What a list shows, the same on each of its pages."""

    scope: Scope
    query: Query
    # of the repositories listed, by number: what the mappings of their concepts are read at
    revisions: Mapping[int, Revision]


@dataclass(frozen=True, slots=True)
class Shape:
    """How entries are shown. Read from the request once, since a stream outlives it."""

    verbose: bool
    mappings: "MappingsOf | None"


class EntryList(ItemEndpoint):
    """A list of concepts or mappings: the search names them, the store shows them."""

    def shape(self) -> Shape:
        return Shape(bool(params.flag("verbose")), MappingsOf.asked_for(self.kind))

    def page(
        self,
        session: Session,
        listing: Listing,
        shape: Shape,
        pages: paging.Paging,
        after: Position | None,
    ) -> tuple[Answer, bytes, int]:
        """One page: what was found, the body, and the number of entries in it."""
        skip = 0 if after else min(pages.offset, listings.FAR)
        answer = self.services.search.find(
            session, listing.scope, listing.query, limit=pages.limit, skip=skip, after=after
        )
        shown = self._entries(listing, shape, answer.hits.keys, session)
        return answer, b"".join(_body(iter([shown]), listing, answer)), len(shown)

    def everything(
        self, session: Session, listing: Listing, shape: Shape
    ) -> tuple[Answer, Iterator[bytes]]:
        """All entries as a stream, which needs neither the session nor the request any more."""
        scope, query = listing.scope, listing.query
        if queries.is_plain(query) and len(scope.parts) == 1 and not scope.heads:
            answer = self.services.search.built_in(session, scope, query, limit=0)
            [part] = scope.parts
            wanted = Slice(query.kind, part.since, query.retired)
            bodies = self.store.rows.body_batches(
                part.revision, wanted, newest_first=query.descending
            )
            batches = (
                self._shown(shape, [(part.revision, body) for body in batch]) for batch in bodies
            )
        else:
            answer, keys = self.services.search.everything(session, scope, query)
            batches = (self._entries(listing, shape, batch) for batch in keys)
        return answer, _body(batches, listing, answer)

    def headers(
        self, pages: paging.Paging, answer: Answer, returned: int, cursor: Cursor | None = None
    ) -> dict[str, str]:
        engine = {"search-engine": answer.engine, "search-behind": str(answer.behind)}
        return {
            **paging.headers(self.settings, pages, answer.hits.total, returned, cursor),
            **engine,
        }

    def _entries(
        self, listing: Listing, shape: Shape, keys: Sequence[Key], session: Session = None
    ) -> Sequence[bytes]:
        bodies = self.store.rows.bodies_of(
            session, [(key.repo, key.url, key.from_rev) for key in keys]
        )
        return self._shown(
            shape, [(listing.revisions[repo], body) for repo, body in bodies], session
        )

    def _shown(
        self, shape: Shape, entries: Sequence[tuple[Revision, bytes]], session: Session = None
    ) -> Sequence[bytes]:
        """Stored bodies as the list shows them, each with the revision it is shown at: a detail
        without mappings is the body itself.
        """
        bodies = [body for _, body in entries]
        if shape.mappings is None:
            return (
                bodies
                if shape.verbose
                else [jsonio.dumps(representations.summary(self.kind, body)) for body in bodies]
            )
        addresses: list[str] = [jsonio.loads_own(body)["url"] for body in bodies]
        by_revision: dict[Revision, list[str]] = {}
        for (revision, _), url in zip(entries, addresses, strict=True):
            by_revision.setdefault(revision, []).append(url)
        found = {
            revision: shape.mappings.of(self, revision, urls, session)
            for revision, urls in by_revision.items()
        }
        present = (
            representations.detail
            if shape.verbose
            else lambda body, mappings: representations.summary(self.kind, body, mappings=mappings)
        )
        return [
            jsonio.dumps(present(body, mappings=found[revision][url]))
            for (revision, body), url in zip(entries, addresses, strict=True)
        ]


class ItemList(EntryList):
    """The concepts or mappings of a repository, newest commit first."""

    def get(self, **path: str) -> Response:
        wanted, shape, pages = queries.query(self.kind), self.shape(), paging.paging(self.settings)
        # all that chooses a revision
        name = f"{self.kind}:{path.get('version', 'HEAD')}:{params.flag('released')}"
        with self.store.snapshot() as session:
            place = resolve.place(self.store, path, self.caller, session)
            given = Cursors(self.settings).given(name, place.repo["_id"])
            part, mark = self._part(session, place, wanted, given)
            listing = Listing(
                _narrowed(place, part, wanted),
                queries.without_source(wanted),
                {part.revision.repo: part.revision},
            )
            updated = last_updated(content.content_at(self.store, session, part.revision, place))
            if pages.everything:
                answer, stream = self.everything(session, listing, shape)
                return ok_bytes(
                    stream, {**self.headers(pages, answer, answer.hits.total), **updated}
                )
            seek = (
                given.after
                if given and given.filters == mark and given.offset == pages.offset
                else None
            )
            answer, body, returned = self.page(
                session, listing, shape, pages, seek.get(self.kind) if seek else None
            )
        after: dict[str, Position] | None = (
            {self.kind: answer.hits.last} if answer.hits.last else None
        )
        cursor = Cursor(
            name,
            part.revision.repo,
            part.revision.number,
            {self.kind: part.since},
            mark,
            pages.offset + pages.limit,
            after,
        )
        return ok_bytes(body, {**self.headers(pages, answer, returned, cursor), **updated})

    def _part(
        self, session: Session, place: Place, wanted: Query, given: Cursor | None
    ) -> tuple[Part, str]:
        """The rows that the cursor, `updatedSince` and `released` choose, and the mark of the
        request's parameters.

        `released` speaks of HEAD; a version stands as it is.
        """
        released = params.flag("released")
        mark = queries.mark(wanted, params.text("updatedSince"), released)
        revision = Revision(given.repo, given.rev) if given else place.revision
        if given and given.filters == mark:
            return Part(revision, given.since[self.kind]), mark
        since = content.first_since(self, session, revision.repo)
        if released is not None and place.version is None:
            release = self.store.versions.latest(place.repo["_id"], session)
            number = release["rev"] if release else 0
            if not released:
                since = max(since, number + 1)
            elif not given:
                revision = Revision(revision.repo, number)
        return Part(revision, since), mark


def _narrowed(place: Place, part: Part, wanted: Query) -> Scope:
    """The part, or nowhere when nothing of it can be meant."""
    nothing = part.since > part.revision.number or not queries.in_source(wanted, place.repo["url"])
    return Scope() if nothing else Scope((part,))


class AllItems(EntryList):
    """The concepts or mappings of all public sources, newest first; for every caller the same."""

    def get(self) -> Response:
        wanted, shape, pages = queries.query(self.kind), self.shape(), paging.paging(self.settings)
        with self.store.snapshot() as session:
            listing = self._everywhere(session, wanted)
            if pages.everything:
                answer, stream = self.everything(session, listing, shape)
                return ok_bytes(stream, self.headers(pages, answer, answer.hits.total))
            answer, body, returned = self.page(session, listing, shape, pages, None)
        return ok_bytes(body, self.headers(pages, answer, returned))

    def _everywhere(self, session: Session, wanted: Query) -> Listing:
        """The living rows of all public sources; with `released` those of their newest releases, or
        what came after.
        """
        heads = self.store.repos.heads(
            {"kind": "source", **access.readable(access.ANYBODY)}, session
        )
        there = {
            repo["_id"]: Revision(repo["_id"], repo["rev"])
            for repo in heads
            if queries.in_source(wanted, repo["url"])
        }
        query, released, moment = (
            queries.without_source(wanted),
            params.flag("released"),
            params.moment("updatedSince"),
        )
        if released is None:
            return Listing(
                Scope(heads=tuple(sorted(there)), since=moment.at if moment else None), query, there
            )
        releases = self.store.versions.latest_of(list(there), session)
        if released:
            there = {number: Revision(number, rev) for number, rev in releases.items()}
        parts = []
        for number, revision in sorted(there.items()):
            since = (
                self.store.rows.first_since(session, number, moment.at, whole_seconds=False)
                if moment
                else 0
            )
            parts.append(
                Part(revision, since if released else max(since, releases.get(number, 0) + 1))
            )
        return Listing(
            Scope(tuple(part for part in parts if part.since <= part.revision.number)), query, there
        )


def _body(batches: Iterator[Sequence[bytes]], listing: Listing, answer: Answer) -> Iterator[bytes]:
    """The JSON list of the entries; beside its facets where they are asked for."""
    if not listing.query.facets:
        return content.array(batches)
    facets = jsonio.dumps(queries.shown_facets(answer.hits.facets))
    return itertools.chain([b'{"results":'], content.array(batches), [b',"facets":', facets, b"}"])


class ItemVersions(ItemEndpoint):
    """Every state of one item, newest first."""

    def get(self, **path: str) -> Response:
        params.no_order()
        pages = paging.paging(self.settings)
        with self.store.snapshot() as session:
            place, newest = self.row(path, session)
            total = self.store.rows.history_count(session, place.revision, newest.url)
            if not pages.everything:  # and one more: an entry may tell of the version before it
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
        part = list(itertools.islice(self.entries(rows, newest), pages.limit))
        return ok(part, paging.headers(self.settings, pages, total, len(part)))

    def entries(self, rows: Iterable[Row], newest: Row) -> Iterator[Json]:
        """The entries of these states, which are newest first."""
        return (
            representations.detail(row.body, latest=row.from_rev == newest.from_rev) for row in rows
        )


class MappingsOf:
    """What the request wants to see of concepts' mappings inside their details and summaries."""

    def __init__(self) -> None:
        self.inverse = bool(params.flag("includeInverseMappings"))
        self.retired = None if params.flag("includeRetired") else False
        self.verbose = bool(params.flag("verbose"))

    @classmethod
    def asked_for(cls, kind: Kind) -> "MappingsOf | None":
        """None where none are wanted."""
        # a bad value is told also where no mappings are wanted
        wanted, found = params.flag("includeMappings"), cls()
        return found if kind == "concept" and (wanted or found.inverse) else None

    def of(
        self,
        endpoint: Endpoint,
        revision: Revision,
        concepts: Sequence[str],
        session: Session = None,
    ) -> dict[str, list[Json]]:
        """The mappings of each of these concepts as they stood at `revision`, by URL."""
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
        """How many mappings one concept has, and a part of them."""
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
        """All mappings of one concept as a JSON list. Needs neither a session nor the request any
        more.
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
