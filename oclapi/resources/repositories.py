"""Repositories: their lists, and one of them with its content (contract sections 8 and 5.2)."""

from flask import Response

from oclapi import access, bodies, jsonio, representations
from oclapi.editing import repositories
from oclapi.model import Json
from oclapi.resources import asked, content, listings, places
from oclapi.resources.answers import created, nothing, ok
from oclapi.resources.endpoint import Endpoint


class AllSources(Endpoint):
    """The sources of every owner that the caller may read."""

    kind = "source"

    def get(self, **path: str) -> Response:
        where = {"kind": self.kind, **self.of_owner(path), **access.readable(self.caller)}
        present = listings.each(
            representations.repo_detail if asked.flag("verbose") else representations.repo_summary
        )
        return listings.answer(
            self.settings, self.store.repos.listing, where, present, listings.SOURCES
        )

    def of_owner(self, path: places.Path) -> Json:
        """The filter that the path adds."""
        return {}


class SourceList(AllSources):
    """The sources of one owner."""

    def of_owner(self, path: places.Path) -> Json:
        url = places.owner_url(path, self.caller)
        places.owner(self.store, path, self.caller)
        return {"owner_url": url}

    def post(self, **path: str) -> Response:
        places.owner(self.store, path, self.caller)
        owner_url = places.owner_url(path, self.caller)
        access.need(self.caller, "create repository", {"owner_url": owner_url})
        body = bodies.source_create(asked.body(self.settings))
        made = repositories.create(self.store, self.kind, owner_url, body, self.caller)
        return created(jsonio.dumps(representations.repo_detail(made)), made["url"], self.settings)


class Repository(Endpoint):
    """One repository: its metadata, and HEAD's content where asked for."""

    def get(self, **path: str) -> Response:
        return content.answer(self, path, lambda place: representations.repo_detail(place.repo))

    def put(self, **path: str) -> Response:
        repo = places.repo(self.store, path, self.caller)
        access.need(self.caller, "write", repo)
        body = bodies.source_update(asked.body(self.settings))
        if body.get("public_access", repo["public_access"]) != repo["public_access"]:
            access.need(self.caller, "own", repo)
        return ok(
            representations.repo_detail(repositories.update(self.store, repo, body, self.caller))
        )

    post = patch = put

    def delete(self, **path: str) -> Response:
        repo = places.repo(self.store, path, self.caller)
        access.need(self.caller, "own", repo)
        repositories.delete(self.store, repo, self.caller)
        return nothing()
