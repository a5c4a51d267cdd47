"""Versions of a repository (contract section 9)."""

from datetime import UTC, datetime

from flask import Response

from oclapi import access, bodies, jsonio, representations
from oclapi.editing import repositories
from oclapi.errors import Frozen
from oclapi.model import Json
from oclapi.resources import body, content, listings, paging, params, resolve
from oclapi.resources.endpoint import Endpoint
from oclapi.resources.resolve import Place
from oclapi.resources.responses import created, nothing, ok
from oclapi.store.database import Session
from oclapi.store.exports import new_token


class VersionEndpoint(Endpoint):
    """The base class of the resources of versions."""

    def detail(self, version: Json, repo: Json) -> Json:
        return representations.version_detail(version, repo, is_processing=self.busy(version))

    def busy(self, version: Json) -> bool:
        """Return whether the export of the version is queued or running. HEAD has no export."""
        return version["id"] != "HEAD" and self.exports.of(version, datetime.now(UTC)).busy

    def editable(self, path: resolve.Path, action: access.Action) -> Place:
        """Return the version that the path names, which the caller may change.

        Raises what resolve.place and access.need raise, and Frozen for HEAD.
        """
        place = resolve.place(self.store, path, self.caller)
        access.need(self.caller, action, place.repo)
        if place.version is None:
            raise Frozen("HEAD can't be changed or deleted as a version")
        return place


class VersionList(VersionEndpoint):
    """The versions of a repository, newest first after HEAD. POST creates one."""

    def get(self, **path: str) -> Response:
        params.no_order()
        pages, where = paging.paging(self.settings), _where()
        processing, verbose = params.flag("processing"), params.flag("verbose")
        with self.store.snapshot() as session:
            repo = resolve.repo(self.store, path, self.caller, session)
            if processing is None:
                total, found = self._page(repo, where, pages, session)
            else:
                total, found = self._page_by_state(repo, where, processing, pages, session)
        present = self.detail if verbose else representations.version_summary
        return ok(
            [present(version, repo) for version in found],
            paging.headers(self.settings, pages, total, len(found)),
        )

    def post(self, **path: str) -> Response:
        repo = resolve.repo(self.store, path, self.caller)
        access.need(self.caller, "write", repo)
        fields, job = bodies.version_create(body.read(self.settings)), new_token()
        version = repositories.create_version(self.store, repo, fields, self.caller, job)
        detail = representations.version_detail(
            version, repo, is_processing=self.exports.begin_first(version, job)
        )
        return created(jsonio.dumps(detail), f"{repo['url']}{version['id']}/", self.settings)

    def _page(
        self, repo: Json, where: Json, pages: paging.Paging, session: Session
    ) -> tuple[int, list[Json]]:
        """Return the number of versions that match, and one page of them."""
        head = [] if _excludes_head(where, repo) else [representations.head_version(repo)]
        first = head if pages.offset == 0 else []
        remaining = pages.limit - len(first)
        skip = min(max(0, pages.offset - len(head)), listings.FAR)
        limit = 0 if pages.everything else max(1, remaining)
        total, found = self.store.versions.listing(
            repo["_id"], where, limit=limit, skip=skip, session=session
        )
        return total + len(head), [*first, *(found if pages.everything else found[:remaining])]

    def _page_by_state(
        self, repo: Json, where: Json, processing: bool, pages: paging.Paging, session: Session
    ) -> tuple[int, list[Json]]:
        """Like `_page`, but only with versions whose exports are (or are not) processing.

        Costs a read of the export of each version.
        """
        _, found = self._page(repo, where, paging.Paging(0), session)
        matches = [version for version in found if self.busy(version) == processing]
        if pages.everything:
            return len(matches), matches
        return len(matches), matches[pages.offset : pages.offset + pages.limit]


class Version(VersionEndpoint):
    """A version, with its content if the request includes it."""

    def get(self, **path: str) -> Response:
        return content.respond(
            self, path, lambda place: self.detail(place.shown_version, place.repo)
        )

    def put(self, **path: str) -> Response:
        place = self.editable(path, "write")
        version, fields = place.shown_version["id"], bodies.version_update(body.read(self.settings))
        updated, stale = repositories.update_version(
            self.store, place.repo, version, fields, self.caller
        )
        if stale:
            self.exports.begin(updated, datetime.now(UTC))
        return ok(self.detail(updated, place.repo))

    post = patch = put

    def delete(self, **path: str) -> Response:
        place = self.editable(path, "own")
        for follower in repositories.delete_version(
            self.store, place.repo, place.shown_version["id"], self.caller
        ):
            self.exports.begin(follower, datetime.now(UTC))
        return nothing()


class VersionChildren(VersionEndpoint):
    """The versions that have this version as their parent (deprecated)."""

    def get(self, **path: str) -> Response:
        params.no_order()
        pages, verbose = paging.paging(self.settings), params.flag("verbose")
        with self.store.snapshot() as session:
            place = resolve.place(self.store, path, self.caller, session)
            where = {"parent_version": place.shown_version["id"], **listings.updated_since()}
            total, found = self.store.versions.listing(
                place.repo["_id"],
                where,
                limit=pages.limit,
                skip=min(pages.offset, listings.FAR),
                session=session,
            )
        present = self.detail if verbose else representations.version_summary
        return ok(
            [present(version, place.repo) for version in found],
            paging.headers(self.settings, pages, total, len(found)),
        )


class VersionProcessing(VersionEndpoint):
    """Whether the export of the version is queued or running. POST clears a flag that is stuck."""

    def get(self, **path: str) -> Response:
        place = resolve.place(self.store, path, self.caller)
        return ok(self.busy(place.shown_version))

    def post(self, **path: str) -> Response:
        place = resolve.place(self.store, path, self.caller)
        access.need(self.caller, "own", place.repo)
        if place.version:
            self.exports.clear(place.version, datetime.now(UTC))
        return ok(self.busy(place.shown_version))


def _where() -> Json:
    """Return the filter on stored versions for the query parameters.

    With `released=true`, retired versions are left out unless the request asks for them.
    """
    released, retired = params.flag("released"), params.flag("retired")
    if retired is None and released:
        retired = False
    flags = {"released": released, "retired": retired}
    given = {name: value for name, value in flags.items() if value is not None}
    return given | listings.updated_since()


def _excludes_head(where: Json, repo: Json) -> bool:
    """Return whether the filter excludes HEAD, which is neither released nor retired."""
    since = where.get("updated_on", {"$gte": repo["updated_on"]})["$gte"]
    return bool(where.get("released") or where.get("retired") or repo["updated_on"] < since)
