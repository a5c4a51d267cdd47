"""The URL table: every path of the API and its resource, in the shorthand of the contract."""

import itertools
from collections.abc import Sequence

from flask import Flask

from oclapi.resources import (
    concepts,
    exports,
    extras,
    login,
    mappings,
    metrics,
    orgs,
    repositories,
    server,
    users,
    versions,
)
from oclapi.resources.endpoint import Endpoint
from oclapi.resources.errors import Api
from oclapi.resources.paths import ContentId, Id, Key, Username, VersionId
from oclapi.services import Services

ROUTES: tuple[tuple[str, type[Endpoint]], ...] = (
    ("/metrics/", metrics.Metrics),
    ("/version/", server.ServerVersion),
    ("/orgs/", orgs.OrgList),
    ("/orgs/:org/", orgs.Org),
    ("/orgs/:org/members/", orgs.MemberList),
    ("/orgs/:org/members/:user/", orgs.Member),
    ("/users/", users.UserList),
    ("/users/login/", login.LogIn),
    ("/users/signup/", login.SignUp),
    ("/users/signup/verify-email/:verification/", login.EmailVerification),
    ("/users/:user/", users.User),
    ("/users/:user/reactivate/", users.Reactivation),
    ("/user/", users.Self),
    ("{U}/orgs/", orgs.OrgsOfUser),
    ("{U}/orgs/sources/", users.SourcesOfUserOrgs),
    ("{U}/orgs/collections/", users.CollectionsOfUserOrgs),
    ("/sources/", repositories.AllSources),
    ("/concepts/", concepts.AllConcepts),
    ("/mappings/", mappings.AllMappings),
    ("{O}/sources/", repositories.SourceList),
    ("{R}/", repositories.Repository),
    ("{R}/versions/", versions.VersionList),
    ("{V}/", versions.Version),
    ("{V}/children/", versions.VersionChildren),
    ("{V}/processing/", versions.VersionProcessing),
    ("{V}/export/", exports.VersionExport),
    ("/exports/:version_id/:token/:expires/:signature/:key", exports.ExportFile),
    ("{A}/extras/", extras.RepositoryExtras),
    ("{A}/extras/:key/", extras.RepositoryExtra),
    ("{A}/concepts/", concepts.ConceptList),
    ("{A}/concepts/:concept/", concepts.Concept),
    ("{A}/concepts/:concept/versions/", concepts.ConceptVersions),
    ("{A}/concepts/:concept/mappings/", concepts.ConceptMappings),
    ("{A}/concepts/:concept/names/", concepts.NameList),
    ("{A}/concepts/:concept/names/:uuid/", concepts.Name),
    ("{A}/concepts/:concept/descriptions/", concepts.DescriptionList),
    ("{A}/concepts/:concept/descriptions/:uuid/", concepts.Description),
    ("{A}/concepts/:concept/extras/", extras.ConceptExtrasOfState),
    ("{A}/concepts/:concept/extras/:key/", extras.ConceptExtra),
    ("{A}/concepts/:concept/:item_version/", concepts.ConceptState),
    ("{A}/concepts/:concept/:item_version/names/", concepts.NameListOfState),
    ("{A}/concepts/:concept/:item_version/names/:uuid/", concepts.NameOfState),
    ("{A}/concepts/:concept/:item_version/descriptions/", concepts.DescriptionListOfState),
    ("{A}/concepts/:concept/:item_version/descriptions/:uuid/", concepts.DescriptionOfState),
    ("{A}/concepts/:concept/:item_version/extras/", extras.ConceptExtrasOfState),
    ("{A}/concepts/:concept/:item_version/extras/:key/", extras.ConceptExtraOfState),
    ("{A}/mappings/", mappings.MappingList),
    ("{A}/mappings/:mapping/", mappings.Mapping),
    ("{A}/mappings/:mapping/versions/", mappings.MappingVersions),
    ("{A}/mappings/:mapping/:item_version/", mappings.MappingState),
)

FAMILIES = {
    "{A}": ("{R}", "{V}"),
    "{V}": ("{R}/:version", "{R}/versions/:version"),
    "{R}": ("{S}",),  # Collections will add "{C}".
    "{S}": ("{O}/sources/:source",),
    "{O}": ("/orgs/:org", "{U}"),
    "{U}": ("/users/:user", "/user"),
}
"""The meaning of the shorthand. Each line may use the lines below it."""


CONVERTERS = {
    ":concept": "content",
    ":key": "key",
    ":mapping": "content",
    ":user": "user",
    ":verification": "key",
    ":version": "version",
}
"""Converters of the segments that are not plain ids."""


def expand(pattern: str) -> list[str]:
    """Return the paths of a pattern: `{R}/` gives `/orgs/:org/sources/:source/` and others."""
    paths = [pattern]
    for shorthand, meanings in FAMILIES.items():
        paths = [
            path.replace(shorthand, meaning)
            for path in paths
            for meaning in (meanings if shorthand in path else ("",))
        ]
    return paths


def rule(path: str) -> str:
    """Return a path in the syntax of Werkzeug's router."""
    segments = (
        f"<{CONVERTERS.get(segment, 'id')}:{segment[1:]}>" if segment.startswith(":") else segment
        for segment in path.split("/")
    )
    return "/".join(segments)


def add_routes(
    app: Flask, services: Services, routes: Sequence[tuple[str, type[Endpoint]]]
) -> None:
    """Add routes to the application, with and without a slash at the end."""
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.url_map.converters |= {
        "content": ContentId,
        "id": Id,
        "key": Key,
        "user": Username,
        "version": VersionId,
    }
    api = Api(app)
    by_resource = itertools.groupby(
        sorted(routes, key=lambda route: endpoint_name(route[1])), key=lambda route: route[1]
    )
    for resource, own in by_resource:
        rules = [rule(path) for pattern, _ in own for path in expand(pattern)]
        api.add_resource(
            resource,
            *rules,
            endpoint=endpoint_name(resource),
            resource_class_kwargs={"services": services},
        )


def endpoint_name(resource: type[Endpoint]) -> str:
    """Return the name of a resource: those of its module and class."""
    return f"{resource.__module__.rpartition('.')[2]}.{resource.__name__}"
