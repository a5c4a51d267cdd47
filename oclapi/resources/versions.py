"""Versions of a repository (contract section 9)."""

from dataclasses import replace
from datetime import UTC, datetime

from flask import Response

from oclapi import access, bodies, jsonio, model, representations, urls
from oclapi.editing import repositories
from oclapi.errors import Frozen
from oclapi.reading.views import View
from oclapi.resources import body, content, described, examples, paging, params, resolve, shapes
from oclapi.resources.endpoint import Endpoint
from oclapi.resources.responses import created, nothing, ok
from oclapi.store.database import Session
from oclapi.store.jobs import new_token
from oclapi.store.versions import VersionFilter


class VersionEndpoint(Endpoint):
    """The base class of the resources of versions."""

    def detail(self, version: model.Version, repo: model.Repository) -> model.Json:
        return representations.version_detail(version, repo, is_processing=self.busy(version))

    def busy(self, version: model.Version) -> bool:
        """Return whether the export of the version is queued or running. HEAD has no export."""
        return version.id != "HEAD" and self.exports.of(version, datetime.now(UTC)).busy

    def editable(self, path: resolve.Path, action: access.Action) -> View:
        """Return the version that the path names, which the caller may change.

        Raises what resolve.view and access.need raise, and Frozen for HEAD.
        """
        view = resolve.view(self.store, path, self.caller)
        access.need(self.caller, action, view.repo)
        if view.version is None:
            raise Frozen("HEAD can't be changed or deleted as a version")
        return view


class VersionList(VersionEndpoint):
    """The versions of a repository, newest first after HEAD. POST creates one."""

    about = described.EndpointDoc(
        tag="Versions",
        noun="version",
        returns=described.ListResponse(shapes.VersionSummary, shapes.SourceVersion),
        creates=shapes.SourceVersion,
        query=(
            *described.PAGE_PARAMS,
            "verbose",
            "updatedSince",
            "released",
            "retired",
            "processing",
        ),
        accepts={"post": bodies.Version},
        example=examples.NEW_VERSION,
        errors={"post": (409,)},
    )

    def get(self, **path: str) -> Response:
        with self.store.snapshot() as session:
            repo = resolve.repo(self.store, path, self.caller, session)
            params.no_order()
            pages, selected = paging.paging(self.settings), _filter()
            processing, verbose = params.flag("processing"), params.flag("verbose")
            if processing is None:
                total, found = self._page(repo, selected, pages, session)
            else:
                total, found = self._page_by_state(repo, selected, processing, pages, session)
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
        return created(jsonio.dumps(detail), urls.version_url(repo.url, version.id), self.settings)

    def _page(
        self,
        repo: model.Repository,
        selected: VersionFilter,
        pages: paging.Paging,
        session: Session,
    ) -> tuple[int, list[model.Version]]:
        """Return the number of versions that match, and one page of them."""
        head = [] if _excludes_head(selected, repo) else [representations.head_version(repo)]
        first = head if pages.offset == 0 else []
        remaining = pages.limit - len(first)
        skip = max(0, pages.skip - len(head))
        limit = 0 if pages.everything else max(1, remaining)
        total, found = self.store.versions.listing(
            repo.number, selected, limit=limit, skip=skip, session=session
        )
        return total + len(head), [*first, *(found if pages.everything else found[:remaining])]

    def _page_by_state(
        self,
        repo: model.Repository,
        selected: VersionFilter,
        processing: bool,
        pages: paging.Paging,
        session: Session,
    ) -> tuple[int, list[model.Version]]:
        """Like `_page`, but only with versions whose exports are (or are not) processing.

        Costs a read of the export of each version.
        """
        _, found = self._page(repo, selected, replace(pages, limit=0, offset=0), session)
        matches = [version for version in found if self.busy(version) == processing]
        if pages.everything:
            return len(matches), matches
        return len(matches), matches[pages.offset : pages.offset + pages.limit]


class Version(VersionEndpoint):
    """A version, with its content if the request includes it."""

    about = described.EndpointDoc(
        tag="Versions",
        noun="version",
        returns=shapes.SourceVersionContent,
        query=described.CONTENT_PARAMS,
        accepts={"put": bodies.VersionChange},
        example=examples.CHANGED_VERSION,
        headers=described.UPDATED_HEADER,
        errors={"put": (405,), "patch": (405,), "post": (405,), "delete": (405,)},
    )

    def get(self, **path: str) -> Response:
        with self.store.snapshot() as session:
            view = resolve.view(self.store, path, self.caller, session)
            wanted = content.included(self.settings, path.get("version", "HEAD"))
            detail = self.detail(view.shown_version, view.repo)
            return content.respond(self.store, session, self.settings, view, detail, wanted)

    def put(self, **path: str) -> Response:
        view = self.editable(path, "write")
        version, fields = view.shown_version.id, bodies.version_update(body.read(self.settings))
        updated, stale = repositories.update_version(
            self.store, view.repo, version, fields, self.caller
        )
        if stale:
            self.exports.begin(updated, datetime.now(UTC))
        return ok(self.detail(updated, view.repo))

    post = patch = put

    def delete(self, **path: str) -> Response:
        view = self.editable(path, "own")
        for follower in repositories.delete_version(
            self.store, view.repo, view.shown_version.id, self.caller
        ):
            self.exports.begin(follower, datetime.now(UTC))
        return nothing()


class VersionChildren(VersionEndpoint):
    """The versions that have this version as their parent (deprecated)."""

    about = described.EndpointDoc(
        tag="Versions",
        returns=described.ListResponse(shapes.VersionSummary, shapes.SourceVersion),
        query=(*described.PAGE_PARAMS, "verbose", "updatedSince"),
    )

    def get(self, **path: str) -> Response:
        with self.store.snapshot() as session:
            view = resolve.view(self.store, path, self.caller, session)
            params.no_order()
            pages, verbose = paging.paging(self.settings), params.flag("verbose")
            selected = VersionFilter(parent=view.shown_version.id, since=params.since())
            total, found = self.store.versions.listing(
                view.repo.number,
                selected,
                limit=pages.limit,
                skip=pages.skip,
                session=session,
            )
        present = self.detail if verbose else representations.version_summary
        return ok(
            [present(version, view.repo) for version in found],
            paging.headers(self.settings, pages, total, len(found)),
        )


class VersionProcessing(VersionEndpoint):
    """Whether the export of the version is queued or running. POST clears a flag that is stuck."""

    about = described.EndpointDoc(
        tag="Versions",
        returns={"type": "boolean"},
        responses={"post": {200: {"type": "boolean"}}},
        summaries={"post": "Clear a processing flag that is stuck"},
    )

    def get(self, **path: str) -> Response:
        view = resolve.view(self.store, path, self.caller)
        return ok(self.busy(view.shown_version))

    def post(self, **path: str) -> Response:
        view = resolve.view(self.store, path, self.caller)
        access.need(self.caller, "own", view.repo)
        if view.version:
            self.exports.clear(view.version, datetime.now(UTC))
        return ok(self.busy(view.shown_version))


def _filter() -> VersionFilter:
    """Return the versions that the query parameters select.

    With `released=true`, retired versions are left out unless the request asks for them.
    """
    released, retired = params.flag("released"), params.flag("retired")
    if retired is None and released:
        retired = False
    return VersionFilter(released, retired, since=params.since())


def _excludes_head(selected: VersionFilter, repo: model.Repository) -> bool:
    """Return whether the filter excludes HEAD, which is neither released nor retired."""
    older = selected.since is not None and repo.updated_on < selected.since
    return bool(selected.released or selected.retired or older)
