"""Mappings (contract section 12)."""

from flask import Response

from oclapi import bodies, representations
from oclapi.editing import mappings
from oclapi.resources import asked, places
from oclapi.resources.answers import created, nothing, ok, ok_bytes
from oclapi.resources.items import AllItems, ItemEndpoint, ItemList, ItemVersions


class MappingList(ItemList):
    """The mappings of a repository; POST adds one."""

    kind = "mapping"

    def post(self, **path: str) -> Response:
        repo = places.writable(self.store, path, self.caller)
        body = bodies.mapping_create(asked.body(self.settings))
        item, _ = self.write(repo, lambda draft, here: mappings.create(draft, here, body))
        return created(item.body, item.url, self.settings)


class AllMappings(AllItems):
    """The mappings of all public sources."""

    kind = "mapping"


class MappingState(ItemEndpoint):
    """One version of a mapping."""

    kind = "mapping"

    def get(self, **path: str) -> Response:
        with self.store.snapshot() as session:
            _, row, latest = self.state(path, session)
        return ok_bytes(row.body) if latest else ok(representations.detail(row.body, latest=False))


class Mapping(MappingState):
    """One mapping at its newest version."""

    def put(self, **path: str) -> Response:
        repo = self.target(path)
        body = bodies.mapping_update(asked.body(self.settings))
        item, _ = self.write(
            repo, lambda draft, here: mappings.update(draft, here, path["mapping"], body)
        )
        return ok_bytes(item.body)

    post = patch = put

    def delete(self, **path: str) -> Response:
        repo = self.target(path)
        comment = bodies.comment(asked.optional_body(self.settings)).get("update_comment")
        self.write(repo, lambda draft, here: mappings.retire(draft, here, path["mapping"], comment))
        return nothing()


class MappingVersions(ItemVersions):
    """The versions of a mapping, in full."""

    kind = "mapping"
