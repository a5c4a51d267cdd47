"""Repositories: lists, and one repository with its content (contract sections 8 and 5.2)."""

from collections.abc import Collection
from typing import ClassVar

from flask import Response

from oclapi import access, bodies, jsonio, representations
from oclapi.editing import repositories
from oclapi.model import RepositoryKind
from oclapi.resources import body, content, described, examples, listings, resolve, shapes
from oclapi.resources.endpoint import Endpoint
from oclapi.resources.responses import created, nothing, ok
from oclapi.store.repos import RepositoryFilter


class AllSources(Endpoint):
    """The sources of all owners that the caller may read."""

    about = described.EndpointDoc(
        tag="Sources",
        returns=described.ListResponse(shapes.RepositorySummary, shapes.Source),
        query=described.REPOSITORY_PARAMS,
    )

    kind: ClassVar[RepositoryKind] = "source"

    def get(self, **path: str) -> Response:
        selected = RepositoryFilter(self.kind, self.owner_urls(path), self.caller)
        request = listings.ListRequest.from_params(listings.SOURCES, self.settings)
        present = listings.each(
            representations.repo_detail if request.verbose else representations.repo_summary
        )
        return listings.respond(
            self.settings, request, self.store.repos, selected, present, listings.SOURCES
        )

    def owner_urls(self, path: resolve.Path) -> Collection[str] | None:
        """Return the owners whose repositories are listed, None for all."""
        return None


class SourceList(AllSources):
    """The sources of an owner. POST creates one."""

    about = described.EndpointDoc(
        tag="Sources",
        noun="source",
        returns=described.ListResponse(shapes.RepositorySummary, shapes.Source),
        creates=shapes.Source,
        query=described.REPOSITORY_PARAMS,
        accepts={"post": bodies.Source},
        example=examples.NEW_SOURCE,
    )

    def owner_urls(self, path: resolve.Path) -> Collection[str]:
        url = resolve.owner_url(path, self.caller)
        resolve.owner(self.store, path, self.caller)
        return [url]

    def post(self, **path: str) -> Response:
        resolve.owner(self.store, path, self.caller)
        owner_url = resolve.owner_url(path, self.caller)
        access.need(self.caller, "create repository", access.Under(owner_url))
        fields = bodies.source_create(body.read(self.settings))
        repo = repositories.create(self.store, self.kind, owner_url, fields, self.caller)
        return created(jsonio.dumps(representations.repo_detail(repo)), repo.url, self.settings)


class Repository(Endpoint):
    """A repository, with its current content if the request includes it."""

    about = described.EndpointDoc(
        tag="Sources",
        noun="repository",
        returns=shapes.SourceContent,
        query=described.CONTENT_PARAMS,
        accepts={"put": bodies.SourceChange},
        errors={"delete": (400,)},
        headers=described.UPDATED_HEADER,
        example=examples.CHANGED_SOURCE,
    )

    def get(self, **path: str) -> Response:
        with self.store.snapshot() as session:
            view = resolve.view(self.store, path, self.caller, session)
            wanted = content.included(self.settings)
            detail = representations.repo_detail(view.repo)
            return content.respond(self.store, session, self.settings, view, detail, wanted)

    def put(self, **path: str) -> Response:
        repo = resolve.repo(self.store, path, self.caller)
        access.need(self.caller, "write", repo)
        fields = bodies.source_update(body.read(self.settings))
        if fields.get("public_access", repo.public_access) != repo.public_access:
            access.need(self.caller, "own", repo)
        updated, _ = repositories.update(self.store, repo, fields, self.caller)
        return ok(representations.repo_detail(updated))

    post = patch = put

    def delete(self, **path: str) -> Response:
        repo = resolve.repo(self.store, path, self.caller)
        access.need(self.caller, "own", repo)
        repositories.delete(self.store, repo, self.caller)
        return nothing()
