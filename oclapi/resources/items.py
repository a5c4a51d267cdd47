"""What concepts and mappings have in common: lists, details, histories (contract sections 10 and 12)."""

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, TypeVar

from flask import Response

from oclapi import jsonio, representations
from oclapi.editing import write
from oclapi.editing.draft import Draft
from oclapi.errors import NotFound
from oclapi.model import Json, Kind, Revision, Row
from oclapi.resources import asked, content, paging, places
from oclapi.resources.answers import last_updated, ok, ok_bytes
from oclapi.resources.content import View
from oclapi.resources.endpoint import Endpoint
from oclapi.resources.paging import Cursor, Cursors
from oclapi.resources.places import Place
from oclapi.store.database import Session
from oclapi.store.rows import Slice

Result = TypeVar("Result")


class ItemEndpoint(Endpoint):
    """What the resources of concepts and mappings share."""

    kind: ClassVar[Kind]

    def write(self, repo: Json, edit: Callable[[Draft, Json], Result]) -> Result:
        """Commit one edit, which is given the repository as the transaction sees it."""

        def locked(draft: Draft) -> Result:
            there = draft.repo(repo["url"])
            if there is None:
                raise NotFound("the repository is gone")
            return edit(draft, there)

        return write.write(self.store, self.caller, [repo], locked)

    def target(self, path: places.Path) -> Json:
        """The repository of the item that the path names, to write to it. Raises as places.writable."""
        return places.writable(self.store, path, self.caller, self.kind)

    def row(self, path: places.Path, session: Session) -> tuple[Place, Row]:
        """The item that the path names, as it stands there. Raises NotFound and what reading the repository raises."""
        place = places.place(self.store, path, self.caller, session)
        return place, places.item(self.store, place, self.kind, path[self.kind], session)

    def state(self, path: places.Path, session: Session) -> tuple[Place, Row, bool]:
        """One state of the item that the path names, and whether it is the newest there. Raises as `row`."""
        place, newest = self.row(path, session)
        wanted = path.get("item_version")
        if wanted is None:
            return place, newest, True
        for row in self.store.rows.history(session, place.revision, newest.url):
            if jsonio.loads_own(row.body)["version"] == wanted:
                return place, row, row.from_rev == newest.from_rev
        raise NotFound(f"this {self.kind} has no version {wanted} here")


class ItemList(ItemEndpoint):
    """The concepts or mappings of a repository, newest commit first."""

    def get(self, **path: str) -> Response:
        verbose, mappings = bool(asked.flag("verbose")), MappingsOf.asked_for(self.kind)
        pages = paging.paging(self.settings)
        listing = f"{self.kind}:{path.get('version', 'HEAD')}"
        with self.store.snapshot() as session:
            place = places.place(self.store, path, self.caller, session)
            given = Cursors(self.settings).given(listing, place.repo["_id"])
            view = self._view(session, place, given)
            updated = last_updated(content.content_at(self.store, session, view.revision, place))
            if pages.everything:
                total = content.count(self.store, session, view, place)[self.kind]
                return ok_bytes(self._stream(view, verbose, mappings), {**paging.headers(self.settings, pages, total, total), **updated})
            part = content.page(self.store, session, place, view, pages, given, listing)
            rows = [row.body for row in part.rows[self.kind]]
            shown = self._shown(rows, view.revision, verbose, mappings, session)
        body = b"".join(content.array(iter([shown])))
        return ok_bytes(body, {**paging.headers(self.settings, pages, part.totals[self.kind], len(shown), part.cursor), **updated})

    def _view(self, session: Session, place: Place, given: Cursor | None) -> View:
        """The rows that the request's parameters choose. `released` speaks of HEAD; a version stands as it is."""
        retired = asked.flag("retired")
        if retired is None and not asked.flag("includeRetired"):
            retired = False
        newest_first, released = asked.newest_first(), asked.flag("released")
        filters = f"{asked.text('updatedSince')} {retired} {newest_first} {released}"
        if given:
            revision = Revision(given.repo, given.rev)
            same = given.filters == filters
            since = given.since[self.kind] if same else content.first_since(self, session, given.repo)
            return View(revision, {self.kind: Slice(self.kind, since, retired)}, newest_first, filters)
        revision, since = place.revision, content.first_since(self, session, place.revision.repo)
        if released is not None and place.version is None:
            release = self.store.versions.latest(place.repo["_id"], session)
            number = release["rev"] if release else 0
            if released:
                revision = Revision(revision.repo, number)
            else:
                since = max(since, number + 1)
        return View(revision, {self.kind: Slice(self.kind, since, retired)}, newest_first, filters)

    def _stream(self, view: View, verbose: bool, mappings: "MappingsOf | None") -> Iterator[bytes]:
        batches = self.store.rows.body_batches(view.revision, view.slices[self.kind], newest_first=view.newest_first)
        return content.array(self._shown(batch, view.revision, verbose, mappings) for batch in batches)

    def _shown(
        self, bodies: Sequence[bytes], revision: Revision, verbose: bool, mappings: "MappingsOf | None", session: Session = None
    ) -> Sequence[bytes]:
        """Stored bodies as the list shows them: a detail without mappings is the body itself."""
        if mappings is None:
            return bodies if verbose else [jsonio.dumps(representations.summary(self.kind, body)) for body in bodies]
        ids = [jsonio.loads_own(body)["url"] for body in bodies]
        found = mappings.of(self, revision, ids, session)
        present = representations.detail if verbose else lambda body, mappings: representations.summary(self.kind, body, mappings=mappings)
        return [jsonio.dumps(present(body, mappings=found[url])) for url, body in zip(ids, bodies, strict=True)]


class ItemVersions(ItemEndpoint):
    """Every state of one item, newest first."""

    def get(self, **path: str) -> Response:
        pages = paging.paging(self.settings)
        with self.store.snapshot() as session:
            place, row = self.row(path, session)
            history = self.store.rows.history(session, place.revision, row.url)
        listed = self.present(history)
        part = listed if pages.everything else listed[pages.offset : pages.offset + pages.limit]
        return ok(part, paging.headers(self.settings, pages, len(listed), len(part)))

    def present(self, history: Sequence[Row]) -> list[Json]:
        return [representations.detail(row.body, latest=place == 0) for place, row in enumerate(history)]


class MappingsOf:
    """What the request wants to see of concepts' mappings inside their details and summaries."""

    def __init__(self) -> None:
        self.inverse = bool(asked.flag("includeInverseMappings"))
        self.retired = None if asked.flag("includeRetired") else False
        self.verbose = bool(asked.flag("verbose"))

    @classmethod
    def asked_for(cls, kind: Kind) -> "MappingsOf | None":
        """None where none are wanted."""
        wanted = [asked.flag("includeMappings"), asked.flag("includeInverseMappings")]
        return cls() if kind == "concept" and any(wanted) else None

    def of(self, endpoint: Endpoint, revision: Revision, concepts: Sequence[str], session: Session = None) -> dict[str, list[Json]]:
        """The mappings of each of these concepts as they stood at `revision`, by URL."""
        if session is None:
            with endpoint.store.snapshot() as own:
                return self.of(endpoint, revision, concepts, own)
        found = endpoint.store.rows.of_concepts(session, revision, concepts, inverse=self.inverse, retired=self.retired)
        return {url: [self.present(row) for row in rows] for url, rows in found.items()}

    def present(self, row: Row) -> Json:
        return representations.detail(row.body) if self.verbose else representations.summary("mapping", row.body)
