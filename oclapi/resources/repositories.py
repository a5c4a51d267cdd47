"""Repositories: lists, and one repository with its content (contract sections 8 and 5.2)."""

from flask import Response

from oclapi import access, bodies, jsonio, representations
from oclapi.editing import repositories
from oclapi.model import Json
from oclapi.resources import body, content, listings, params, resolve
from oclapi.resources.endpoint import Endpoint
from oclapi.resources.responses import created, nothing, ok


class AllSources(Endpoint):
    """The sources of all owners that the caller may read."""

    kind = "source"

    def get(self, **path: str) -> Response:
        where = {"kind": self.kind, **self.of_owner(path), **access.readable(self.caller)}
        present = listings.each(
            representations.repo_detail if params.flag("verbose") else representations.repo_summary
        )
        return listings.respond(
            self.settings, self.store.repos.listing, where, present, listings.SOURCES
        )

    def of_owner(self, path: resolve.Path) -> Json:
        """Return the filter that the path adds."""
        return {}


class SourceList(AllSources):
    """The sources of an owner. POST creates one."""

    def of_owner(self, path: resolve.Path) -> Json:
        url = resolve.owner_url(path, self.caller)
        resolve.owner(self.store, path, self.caller)
        return {"owner_url": url}

    def post(self, **path: str) -> Response:
        resolve.owner(self.store, path, self.caller)
        owner_url = resolve.owner_url(path, self.caller)
        access.need(self.caller, "create repository", {"owner_url": owner_url})
        fields = bodies.source_create(body.read(self.settings))
        repo = repositories.create(self.store, self.kind, owner_url, fields, self.caller)
        return created(jsonio.dumps(representations.repo_detail(repo)), repo["url"], self.settings)


class Repository(Endpoint):
    """A repository, with its current content if the request includes it."""

    def get(self, **path: str) -> Response:
        return content.respond(self, path, lambda place: representations.repo_detail(place.repo))

    def put(self, **path: str) -> Response:
        repo = resolve.repo(self.store, path, self.caller)
        access.need(self.caller, "write", repo)
        fields = bodies.source_update(body.read(self.settings))
        if fields.get("public_access", repo["public_access"]) != repo["public_access"]:
            access.need(self.caller, "own", repo)
        updated = repositories.update(self.store, repo, fields, self.caller)
        return ok(representations.repo_detail(updated))

    post = patch = put

    def delete(self, **path: str) -> Response:
        repo = resolve.repo(self.store, path, self.caller)
        access.need(self.caller, "own", repo)
        repositories.delete(self.store, repo, self.caller)
        return nothing()
