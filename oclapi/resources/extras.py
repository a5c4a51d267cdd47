"""The extras of repositories, versions and concepts, as a whole or by key (contract section 11)."""

from datetime import UTC, datetime
from typing import Any

from flask import Response

from oclapi import access, jsonio
from oclapi.editing import concepts, repositories
from oclapi.errors import Invalid, NotFound
from oclapi.model import Json, Version
from oclapi.reading.views import View
from oclapi.resources import body, described, examples, resolve
from oclapi.resources.endpoint import Endpoint
from oclapi.resources.entries import EntryEndpoint
from oclapi.resources.responses import nothing, ok


class RepositoryExtras(Endpoint):
    """The extras of a repository or version."""

    about = described.EndpointDoc(tag="Extras", returns=described.ALL_EXTRAS)

    def get(self, **path: str) -> Response:
        return ok(self.extras(path))

    def extras(self, path: resolve.Path) -> Json:
        return resolve.view(self.store, path, self.caller).named.extras or {}


class RepositoryExtra(RepositoryExtras):
    """An extra of a repository or version."""

    about = described.EndpointDoc(
        tag="Extras",
        noun="extra",
        returns=described.ONE_EXTRA,
        accepts={"put": described.ONE_EXTRA},
        example=examples.EXTRA,
        summaries={"get": "An extra of a repository or version"},
    )

    def get(self, **path: str) -> Response:
        return ok(_extra(self.extras(path), path["key"]))

    def put(self, **path: str) -> Response:
        view, key = self._writable(path), path["key"]
        value = _value(body.read(self.settings), key)
        if view.version:
            self._rebuild(
                *repositories.set_version_extra(
                    self.store, view.repo, view.version.id, key, value, self.caller
                )
            )
        else:
            repositories.set_extra(self.store, view.repo, key, value, self.caller)
        return ok({key: value})

    post = patch = put

    def delete(self, **path: str) -> Response:
        view, key = self._writable(path), path["key"]
        if view.version:
            self._rebuild(
                *repositories.delete_version_extra(
                    self.store, view.repo, view.version.id, key, self.caller
                )
            )
        else:
            repositories.delete_extra(self.store, view.repo, key, self.caller)
        return nothing()

    def _writable(self, path: resolve.Path) -> View:
        view = resolve.view(self.store, path, self.caller)
        access.need(self.caller, "write", view.repo)
        return view

    def _rebuild(self, version: Version, stale: bool) -> None:
        if stale:
            self.exports.begin(version, datetime.now(UTC))


class ConceptExtrasOfState(EntryEndpoint):
    """The extras of a version of a concept."""

    about = described.EndpointDoc(tag="Extras", returns=described.ALL_EXTRAS)

    kind = "concept"

    def get(self, **path: str) -> Response:
        return ok(self.extras(path))

    def extras(self, path: resolve.Path) -> Json:
        with self.store.snapshot() as session:
            _, row, _ = self.state(path, session)
        return jsonio.loads_own(row.body)["extras"] or {}


class ConceptExtraOfState(ConceptExtrasOfState):
    """An extra of a version of a concept."""

    about = described.EndpointDoc(
        tag="Extras",
        returns=described.ONE_EXTRA,
        summaries={"get": "An extra of a version of a concept"},
    )

    def get(self, **path: str) -> Response:
        return ok(_extra(self.extras(path), path["key"]))


class ConceptExtra(ConceptExtraOfState):
    """An extra of a concept. Each write creates a version of the concept."""

    about = described.EndpointDoc(
        tag="Extras",
        noun="extra",
        returns=described.ONE_EXTRA,
        accepts={"put": described.ONE_EXTRA},
        example=examples.EXTRA,
        summaries={"get": "An extra of a concept"},
    )

    def put(self, **path: str) -> Response:
        repo, key = self.target(path), path["key"]
        value = _value(body.read(self.settings), key)
        self.write(
            repo,
            lambda unit, current: concepts.set_extra(unit, current, path["concept"], key, value),
        )
        return ok({key: value})

    post = patch = put

    def delete(self, **path: str) -> Response:
        repo, key = self.target(path), path["key"]
        self.write(
            repo, lambda unit, current: concepts.delete_extra(unit, current, path["concept"], key)
        )
        return nothing()


def _extra(extras: Json, key: str) -> Json:
    if key not in extras:
        raise NotFound(f"extra {key} not found")
    return {key: extras[key]}


def _value(body: Json, key: str) -> Any:
    if key not in body:
        raise Invalid.field(key, f"the body must contain the key {key}")
    return body[key]
