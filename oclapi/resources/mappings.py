"""Mappings (contract section 12)."""

from flask import Response

from oclapi import bodies, representations
from oclapi.editing import mappings
from oclapi.resources import body, described, examples, resolve, shapes
from oclapi.resources.entries import AllEntries, EntryEndpoint, EntryList, EntryVersions
from oclapi.resources.responses import created, nothing, ok, ok_bytes


class MappingList(EntryList):
    """The mappings of a repository. POST creates one."""

    about = described.EndpointDoc(
        tag="Mappings",
        noun="mapping",
        returns=described.ListResponse(shapes.MappingSummary, shapes.Mapping),
        creates=shapes.Mapping,
        query=(*described.MAPPING_PARAMS, "cursor", *described.MAPPING_FLAGS),
        accepts={"post": bodies.Mapping},
        example=examples.NEW_MAPPING,
        headers=(*described.UPDATED_HEADER, *described.SEARCH_HEADERS),
    )

    kind = "mapping"

    def post(self, **path: str) -> Response:
        repo = resolve.writable(self.store, path, self.caller)
        fields = bodies.mapping_create(body.read(self.settings))
        item, _ = self.write(repo, lambda unit, current: mappings.create(unit, current, fields))
        return created(item.body, item.url, self.settings)


class AllMappings(AllEntries):
    """The mappings of all public sources."""

    about = described.EndpointDoc(
        tag="Mappings",
        returns=described.ListResponse(shapes.MappingSummary, shapes.Mapping),
        query=(*described.MAPPING_PARAMS, *described.MAPPING_FLAGS),
        headers=described.SEARCH_HEADERS,
    )

    kind = "mapping"


class MappingState(EntryEndpoint):
    """A version of a mapping."""

    about = described.EndpointDoc(tag="Mappings", returns=shapes.Mapping)

    kind = "mapping"

    def get(self, **path: str) -> Response:
        with self.store.snapshot() as session:
            _, row, latest = self.state(path, session)
        if latest:
            return ok_bytes(row.body)
        return ok(representations.detail(row.body, latest=False))


class Mapping(MappingState):
    """A mapping at its latest version."""

    about = described.EndpointDoc(
        tag="Mappings",
        noun="mapping",
        returns=shapes.Mapping,
        accepts={"put": bodies.MappingChange, "delete": bodies.Comment},
        example=examples.CHANGED_MAPPING,
        summaries={"delete": "Retire the mapping"},
    )

    def put(self, **path: str) -> Response:
        repo = self.target(path)
        fields = bodies.mapping_update(body.read(self.settings))
        item, _ = self.write(
            repo, lambda unit, current: mappings.update(unit, current, path["mapping"], fields)
        )
        return ok_bytes(item.body)

    post = patch = put

    def delete(self, **path: str) -> Response:
        repo = self.target(path)
        comment = bodies.comment(body.read_optional(self.settings)).get("update_comment")
        self.write(
            repo, lambda unit, current: mappings.retire(unit, current, path["mapping"], comment)
        )
        return nothing()


class MappingVersions(EntryVersions):
    """The versions of a mapping, as details."""

    about = described.EndpointDoc(
        tag="Mappings", returns=described.ListResponse(shapes.Mapping), query=described.PAGE_PARAMS
    )

    kind = "mapping"
