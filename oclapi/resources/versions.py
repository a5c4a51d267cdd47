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
    """What the resources of versions share."""

    def detail(self, version: Json, repo: Json) -> Json:
        return representations.version_detail(version, repo, is_processing=self.busy(version))

    def busy(self, version: Json) -> bool:
        """Is its export queued or running? HEAD has none."""
        return version["id"] != "HEAD" and self.exports.of(version, datetime.now(UTC)).busy

    def editable(self, path: resolve.Path, action: access.Action) -> Place:
        """The version that the path names, which the caller may change. Raises as resolve.place;
        Frozen for HEAD.
        """
        place = resolve.place(self.store, path, self.caller)
        access.need(self.caller, action, place.repo)
        if place.version is None:
            raise Frozen("HEAD can't be changed or deleted as a version")
        return place


class VersionList(VersionEndpoint):
    """HEAD, then the versions, newest first."""

    def get(self, **path: str) -> Response:
        params.no_order()
        pages, where, processing, verbose = (
            paging.paging(self.settings),
            _where(),
            params.flag("processing"),
            params.flag("verbose"),
        )
        with self.store.snapshot() as session:
            repo = resolve.repo(self.store, path, self.caller, session)
            if processing is None:
                total, found = self._counted(repo, where, pages, session)
            else:
                total, found = self._filtered(repo, where, processing, pages, session)
        present = self.detail if verbose else representations.version_summary
        return ok(
            [present(version, repo) for version in found],
            paging.headers(self.settings, pages, total, len(found)),
        )

    def post(self, **path: str) -> Response:
        repo = resolve.repo(self.store, path, self.caller)
        access.need(self.caller, "write", repo)
        fields, job = bodies.version_create(body.read(self.settings)), new_token()
        made = repositories.create_version(self.store, repo, fields, self.caller, job)
        shown = representations.version_detail(
            made, repo, is_processing=self.exports.begin_first(made, job)
        )
        return created(jsonio.dumps(shown), f"{repo['url']}{made['id']}/", self.settings)

    def _counted(
        self, repo: Json, where: Json, pages: paging.Paging, session: Session
    ) -> tuple[int, list[Json]]:
        """How many versions match, and one page of them."""
        head = [] if _leaves_head_out(where, repo) else [representations.head_version(repo)]
        first = head if pages.offset == 0 else []
        rest = pages.limit - len(first)
        skip = min(max(0, pages.offset - len(head)), listings.FAR)
        most = 0 if pages.everything else max(1, rest)
        total, found = self.store.versions.listing(
            repo["_id"], where, limit=most, skip=skip, session=session
        )
        return total + len(head), [*first, *(found if pages.everything else found[:rest])]

    def _filtered(
        self, repo: Json, where: Json, processing: bool, pages: paging.Paging, session: Session
    ) -> tuple[int, list[Json]]:
        """The same where each version's export must be looked at."""
        _, found = self._counted(repo, where, paging.Paging(0), session)
        kept = [version for version in found if self.busy(version) == processing]
        return len(kept), kept if pages.everything else kept[
            pages.offset : pages.offset + pages.limit
        ]


class Version(VersionEndpoint):
    """One version: its record, and its content where asked for."""

    def get(self, **path: str) -> Response:
        return content.answer(
            self, path, lambda place: self.detail(place.shown_version, place.repo)
        )

    def put(self, **path: str) -> Response:
        place = self.editable(path, "write")
        version, fields = place.shown_version["id"], bodies.version_update(body.read(self.settings))
        edited, stale = repositories.update_version(
            self.store, place.repo, version, fields, self.caller
        )
        if stale:
            self.exports.begin(edited, datetime.now(UTC))
        return ok(self.detail(edited, place.repo))

    post = patch = put

    def delete(self, **path: str) -> Response:
        place = self.editable(path, "own")
        for follower in repositories.delete_version(
            self.store, place.repo, place.shown_version["id"], self.caller
        ):
            self.exports.begin(follower, datetime.now(UTC))
        return nothing()


class VersionChildren(VersionEndpoint):
    """The versions whose parent this one is (deprecated)."""

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
    """Whether the version's export is queued or running; a POST clears a flag that is stuck."""

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
    """The filter on stored versions that the request means: of released ones those that are retired
    only when asked for.
    """
    released, retired = params.flag("released"), params.flag("retired")
    if retired is None and released:
        retired = False
    chosen = {"released": released, "retired": retired}
    return {
        name: value for name, value in chosen.items() if value is not None
    } | listings.updated_since()


def _leaves_head_out(where: Json, repo: Json) -> bool:
    """HEAD is neither released nor retired."""
    since = where.get("updated_on", {"$gte": repo["updated_on"]})["$gte"]
    return bool(where.get("released") or where.get("retired") or repo["updated_on"] < since)
