"""What the OpenAPI document (openapi.py) says about each resource, in addition to its routes.

A new resource needs one entry in ENDPOINT_DOCS, named after its module and class. Fields that an
entry leaves out have defaults. The summary of a read is the first sentence of the class's
docstring. The summary of a write comes from the method's docstring or from `noun`. The error
statuses follow from the method and the path. tests/api/test_openapi.py names missing entries, and
query parameters that the code reads but no entry lists.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from oclapi import bodies
from oclapi.model import Kind
from oclapi.resources import examples, shapes
from search.base import FILTERS

TAGS = {
    "Users": "User profiles, log-in, and the organisations that users belong to.",
    "Organisations": "Groups of users that own sources and collections together.",
    "Sources": (
        "Repositories of concepts and mappings. Every change creates a revision, and every page "
        "is read at one revision."
    ),
    "Versions": (
        "Named revisions of a repository. Creating a version takes milliseconds, and its content "
        "never changes afterwards."
    ),
    "Exports": (
        "A version as one archive. Download it once, then use `updatedSince` to fetch only what "
        "has changed."
    ),
    "Concepts": "The concepts of a source, with their names and descriptions in all languages.",
    "Mappings": "How a concept relates to another concept, in the same source or elsewhere.",
    "Extras": "Custom data of repositories, versions and concepts, by key.",
    "Server": "The server itself.",
}
"""The tags of the document, in this order."""

Schema = Mapping[str, Any]
FLAG: Schema = {"type": "boolean"}
TEXT: Schema = {"type": "string"}
TIMESTAMP: Schema = {"type": "string", "examples": ["2026-02-01T12:00:00.250Z", "2026-02-01"]}

QUERY: dict[str, tuple[Schema, str]] = {
    "limit": (
        {"type": "integer", "minimum": 0, "default": 10},
        "Items per page. 0 returns everything. A value above the server's maximum (500) is a 400.",
    ),
    "page": (
        {"type": "integer", "minimum": 1, "default": 1},
        "Page number. A page past the end is an empty list.",
    ),
    "offset": (
        {"type": "integer", "minimum": 0},
        "Number of items to skip. Takes precedence over `page`.",
    ),
    "cursor": (
        TEXT,
        "The cursor from the `next` link. It pins the revision, so that no item is skipped or "
        "repeated when the content changes between two pages.",
    ),
    "q": (
        TEXT,
        'Search words, all of which must match. `"..."` searches for a phrase, a trailing `*` for '
        "a prefix. Case and accents are ignored.",
    ),
    "verbose": (FLAG, "Return details instead of summaries."),
    "sortAsc": (TEXT, "Sort by this field, ascending."),
    "sortDesc": (TEXT, "Sort by this field, descending. Takes precedence over `sortAsc`."),
    "updatedSince": (
        TIMESTAMP,
        "Only what changed at this time or later. ISO 8601, or milliseconds since 1970.",
    ),
    "includeRetired": (FLAG, "Include retired items."),
    "retired": (FLAG, "true: only retired items. false: only items that are not retired."),
    "released": (
        FLAG,
        "Of versions: only released ones, or only unreleased ones. Of concepts and mappings: as "
        "they are in the latest release, or only those that changed since then.",
    ),
    "processing": (
        FLAG,
        "true: only versions whose export is queued or running. false: only the others.",
    ),
    "includeConcepts": (FLAG, "Include the concepts."),
    "includeMappings": (
        FLAG,
        "Include the mappings. For concepts: the mappings that start from them.",
    ),
    "includeInverseMappings": (
        FLAG,
        "Include the mappings that start from or point to the concept.",
    ),
    "includeRemoved": (
        FLAG,
        "With `updatedSince`, on the first page: include the URLs of entries that were removed "
        "since then.",
    ),
    "locale": (TEXT, "Only these locales, separated by commas."),
    "name_type": (TEXT, "Only these types, separated by commas."),
    "description_type": (TEXT, "Only these types, separated by commas."),
    **dict.fromkeys(
        (
            "conceptClass",
            "datatype",
            "dataType",
            "mapType",
            "updatedBy",
            "source",
            "collection",
            "owner",
            "user",
            "org",
            "sourceType",
            "customValidationSchema",
            "company",
            "location",
        ),
        (
            TEXT,
            "Only these values, separated by commas. Whole values match, in upper or lower case.",
        ),
    ),
    **dict.fromkeys(
        ("ownerType", "conceptOwnerType", "fromConceptOwnerType", "toConceptOwnerType"),
        (TEXT, "Only this type of owner: `Organization` or `User`."),
    ),
    **dict.fromkeys(
        ("concept", "fromConcept", "toConcept"),
        (TEXT, "Only mappings of these concepts, given by URL, code or name."),
    ),
    **dict.fromkeys(
        (
            "conceptSource",
            "fromConceptSource",
            "toConceptSource",
            "conceptOwner",
            "fromConceptOwner",
            "toConceptOwner",
        ),
        (
            TEXT,
            "Only mappings of concepts of these sources or owners: ids, separated by commas. "
            "Either concept of a mapping may match, or only the one that the name gives.",
        ),
    ),
    "extras": (
        {"type": "object", "propertyNames": {"pattern": "^extras__"}, "additionalProperties": TEXT},
        "Not a parameter of this name, but any number of filters on extras. `extras__a__b=value` "
        "matches the value of key `b` inside key `a`; separate alternatives with commas. "
        "`extras__a__b!=value` matches all other items.",
    ),
    "format": (
        {"enum": ["zip", "tgz"]},
        "Archive format. Takes precedence over `Accept`. Both contain one file, `export.json`.",
    ),
}
"""Schema and description of every query parameter."""

PAGE_PARAMS = ("limit", "page", "offset")
LIST_PARAMS = (*PAGE_PARAMS, "verbose", "sortAsc", "sortDesc", "updatedSince")
SEARCH_PARAMS = ("q", *LIST_PARAMS)
REPOSITORY_PARAMS = (
    *SEARCH_PARAMS,
    "sourceType",
    "locale",
    "owner",
    "ownerType",
    "customValidationSchema",
    "user",
    "org",
    "extras",
)
USER_PARAMS = (*SEARCH_PARAMS, "company", "location")
ORG_PARAMS = (*USER_PARAMS, "extras")
CONTENT_PARAMS = (
    "includeConcepts",
    "includeMappings",
    "includeRetired",
    "updatedSince",
    "includeRemoved",
    *PAGE_PARAMS,
    "cursor",
)
ENTRY_PARAMS: Mapping[Kind, tuple[str, ...]] = {
    kind: (*SEARCH_PARAMS, "includeRetired", "retired", "released", *filters, "extras")
    for kind, filters in FILTERS.items()
}
CONCEPT_PARAMS = (*ENTRY_PARAMS["concept"], "dataType")
MAPPING_PARAMS = ENTRY_PARAMS["mapping"]
MAPPING_FLAGS = ("includeMappings", "includeInverseMappings")


@dataclass(frozen=True, slots=True)
class ListResponse:
    """A list of summaries, or of details with `verbose`. Its counts are in headers."""

    summary: Any
    detail: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointDoc:
    """The documentation of one resource.

    A response is a TypedDict, a ListResponse or a JSON schema; a request body is a type of
    oclapi/bodies.py or a JSON schema.
    """

    tag: str
    noun: str = "item"
    # The body of a 200: of GET, and of PUT, PATCH and POST unless POST creates something.
    returns: Any = None
    # The body of a 201, where POST creates something.
    creates: Any = None
    # The query parameters of GET.
    query: tuple[str, ...] = ()
    # Request bodies by method. "put" also covers PATCH and POST on the same resource.
    accepts: Mapping[str, Any] = field(default_factory=dict)
    # Whether bodies may be sent as HTML forms.
    accepts_forms: bool = False
    # An example of the request body, except for DELETE.
    example: Mapping[str, Any] | None = None
    # Successful responses by method, instead of the usual ones. None: no body.
    responses: Mapping[str, Mapping[int, Any]] = field(default_factory=dict)
    # Error statuses by method, in addition to the usual ones.
    errors: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    # Headers of successful responses to GET.
    headers: tuple[str, ...] = ()
    # Summaries by method, instead of the usual ones.
    summaries: Mapping[str, str] = field(default_factory=dict)


UPDATED_HEADER = ("lastUpdated",)
SEARCH_HEADERS = ("search-engine", "search-behind")
ONE_EXTRA = {
    "type": "object",
    "description": "A key and its value.",
    "examples": [examples.EXTRA],
    "minProperties": 1,
    "maxProperties": 1,
}
ALL_EXTRAS = {"type": "object", "examples": [examples.EXTRA]}
ARCHIVE: dict[str, Any] = {"application/zip": {}, "application/gzip": {}}
"""A response that is not JSON, by media type."""
EXPORT_HEADERS = (
    "exportStatus",
    "exportURL",
    "lastUpdated",
    "Content-Disposition",
    "Content-Length",
    "Accept-Ranges",
    "ETag",
    "Last-Modified",
    "Cache-Control",
)
EXPORT_STARTED = {202: shapes.ExportState, 208: shapes.ExportState}
ARCHIVE_RESPONSES = {200: ARCHIVE, 206: ARCHIVE, 304: None}

NAME: dict[str, Any] = {
    "tag": "Concepts",
    "noun": "name",
    "returns": shapes.ConceptName,
    "example": examples.NEW_NAME,
    "summaries": {"get": "A name of a concept"},
}
DESCRIPTION: dict[str, Any] = {
    "tag": "Concepts",
    "noun": "description",
    "returns": shapes.ConceptDescription,
    "example": examples.NEW_DESCRIPTION,
    "summaries": {"get": "A description of a concept"},
}
NAMES: dict[str, Any] = {
    **NAME,
    "returns": {"type": "array", "items": shapes.ConceptName},
    "query": ("q", "locale", "name_type"),
    "summaries": {"get": "The names of a concept"},
}
DESCRIPTIONS: dict[str, Any] = {
    **DESCRIPTION,
    "returns": {"type": "array", "items": shapes.ConceptDescription},
    "query": ("q", "locale", "description_type"),
    "summaries": {"get": "The descriptions of a concept"},
}
ENDPOINT_DOCS: dict[str, EndpointDoc] = {
    "orgs.OrgList": EndpointDoc(
        tag="Organisations",
        noun="organisation",
        returns=ListResponse(shapes.OrgSummary, shapes.Org),
        creates=shapes.Org,
        query=ORG_PARAMS,
        accepts={"post": bodies.Org},
        example=examples.NEW_ORG,
    ),
    "orgs.Org": EndpointDoc(
        tag="Organisations",
        noun="organisation",
        returns=shapes.Org,
        accepts={"put": bodies.OrgChange},
        example=examples.CHANGED_ORG,
    ),
    "orgs.MemberList": EndpointDoc(
        tag="Organisations",
        returns=ListResponse(shapes.UserSummary, shapes.User),
        query=USER_PARAMS,
    ),
    "orgs.Member": EndpointDoc(
        tag="Organisations",
        noun="member",
        responses={"get": {204: None}, "put": {204: None}},
        errors={"delete": (400,)},
        summaries={
            "get": "Check whether the user is a member",
            "put": "Add the user as a member",
            "delete": "Remove the member",
        },
    ),
    "users.UserList": EndpointDoc(
        tag="Users",
        noun="user",
        returns=ListResponse(shapes.UserSummary, shapes.User),
        creates=shapes.User,
        query=USER_PARAMS,
        accepts={"post": bodies.User},
        accepts_forms=True,
        example=examples.NEW_USER,
    ),
    "login.LogIn": EndpointDoc(
        tag="Users",
        accepts={"post": bodies.LogIn},
        accepts_forms=True,
        responses={"post": {200: shapes.Token}},
        errors={"post": (429,)},
        summaries={"post": "Get a token for a username and password"},
    ),
    "login.SignUp": EndpointDoc(
        tag="Users",
        noun="user",
        creates=shapes.User,
        accepts={"post": bodies.SignUp},
        accepts_forms=True,
        errors={"post": (404, 429)},
        summaries={"post": "Sign up. The server sends an e-mail with a verification link"},
    ),
    "login.EmailVerification": EndpointDoc(
        tag="Users",
        responses={"get": {302: None}},
        summaries={"get": "Verify the e-mail address of a new user"},
    ),
    "users.User": EndpointDoc(
        tag="Users",
        noun="user",
        returns=shapes.User,
        accepts={"put": bodies.UserChange},
        accepts_forms=True,
        errors={"delete": (400,)},
        summaries={"delete": "Deactivate the user and hide everything that they own"},
    ),
    "users.Reactivation": EndpointDoc(
        tag="Users",
        responses={"put": {204: None}},
        summaries={"put": "Reactivate a user and show everything that they own"},
    ),
    "users.Self": EndpointDoc(
        tag="Users",
        noun="profile",
        returns=shapes.User,
        accepts={"put": bodies.UserChange},
        accepts_forms=True,
    ),
    "orgs.OrgsOfUser": EndpointDoc(
        tag="Users", returns=ListResponse(shapes.OrgSummary, shapes.Org), query=ORG_PARAMS
    ),
    "users.SourcesOfUserOrgs": EndpointDoc(
        tag="Users",
        returns=ListResponse(shapes.RepositorySummary, shapes.Source),
        query=REPOSITORY_PARAMS,
    ),
    "users.CollectionsOfUserOrgs": EndpointDoc(
        tag="Users", returns=ListResponse(shapes.RepositorySummary), query=REPOSITORY_PARAMS
    ),
    "repositories.AllSources": EndpointDoc(
        tag="Sources",
        returns=ListResponse(shapes.RepositorySummary, shapes.Source),
        query=REPOSITORY_PARAMS,
    ),
    "repositories.SourceList": EndpointDoc(
        tag="Sources",
        noun="source",
        returns=ListResponse(shapes.RepositorySummary, shapes.Source),
        creates=shapes.Source,
        query=REPOSITORY_PARAMS,
        accepts={"post": bodies.Source},
        example=examples.NEW_SOURCE,
    ),
    "repositories.Repository": EndpointDoc(
        tag="Sources",
        noun="repository",
        returns=shapes.SourceContent,
        query=CONTENT_PARAMS,
        accepts={"put": bodies.SourceChange},
        errors={"delete": (400,)},
        headers=UPDATED_HEADER,
        example=examples.CHANGED_SOURCE,
    ),
    "versions.VersionList": EndpointDoc(
        tag="Versions",
        noun="version",
        returns=ListResponse(shapes.VersionSummary, shapes.SourceVersion),
        creates=shapes.SourceVersion,
        query=(*PAGE_PARAMS, "verbose", "updatedSince", "released", "retired", "processing"),
        accepts={"post": bodies.Version},
        example=examples.NEW_VERSION,
        errors={"post": (409,)},
    ),
    "versions.Version": EndpointDoc(
        tag="Versions",
        noun="version",
        returns=shapes.SourceVersionContent,
        query=CONTENT_PARAMS,
        accepts={"put": bodies.VersionChange},
        example=examples.CHANGED_VERSION,
        headers=UPDATED_HEADER,
        errors={"put": (405,), "patch": (405,), "post": (405,), "delete": (405,)},
    ),
    "versions.VersionChildren": EndpointDoc(
        tag="Versions",
        returns=ListResponse(shapes.VersionSummary, shapes.SourceVersion),
        query=(*PAGE_PARAMS, "verbose", "updatedSince"),
    ),
    "versions.VersionProcessing": EndpointDoc(
        tag="Versions",
        returns={"type": "boolean"},
        responses={"post": {200: {"type": "boolean"}}},
        summaries={"post": "Clear a processing flag that is stuck"},
    ),
    "exports.VersionExport": EndpointDoc(
        tag="Exports",
        noun="export",
        query=("format",),
        headers=EXPORT_HEADERS,
        responses={
            "get": {**ARCHIVE_RESPONSES, 208: shapes.ExportState},
            "head": {200: None, 304: None, 208: None, 204: None},
            "post": EXPORT_STARTED,
            "delete": {204: None},
        },
        errors={"get": (405, 416), "head": (405,), "post": (405,), "delete": (405,)},
        summaries={
            "head": "Check whether there is an export, without starting one",
            "post": "Build the export, again if there is one",
        },
    ),
    "exports.ExportFile": EndpointDoc(
        tag="Exports",
        headers=EXPORT_HEADERS,
        responses={"get": ARCHIVE_RESPONSES},
        errors={"get": (416,)},
    ),
    "concepts.AllConcepts": EndpointDoc(
        tag="Concepts",
        returns=ListResponse(shapes.ConceptSummary, shapes.Concept),
        query=(*CONCEPT_PARAMS, *MAPPING_FLAGS),
        headers=SEARCH_HEADERS,
    ),
    "concepts.ConceptList": EndpointDoc(
        tag="Concepts",
        noun="concept",
        returns=ListResponse(shapes.ConceptSummary, shapes.Concept),
        creates=shapes.Concept,
        query=(*CONCEPT_PARAMS, "cursor", *MAPPING_FLAGS),
        accepts={"post": bodies.Concept},
        example=examples.NEW_CONCEPT,
        headers=(*UPDATED_HEADER, *SEARCH_HEADERS),
    ),
    "concepts.Concept": EndpointDoc(
        tag="Concepts",
        noun="concept",
        returns=shapes.Concept,
        query=(*MAPPING_FLAGS, "includeRetired", "verbose"),
        accepts={"put": bodies.ConceptChange, "delete": bodies.Comment},
        example=examples.CHANGED_CONCEPT,
        summaries={"delete": "Retire the concept"},
    ),
    "concepts.ConceptState": EndpointDoc(
        tag="Concepts", returns=shapes.Concept, query=(*MAPPING_FLAGS, "includeRetired", "verbose")
    ),
    "concepts.ConceptVersions": EndpointDoc(
        tag="Concepts",
        returns=ListResponse(shapes.ConceptVersion, shapes.Concept),
        query=(*PAGE_PARAMS, "verbose"),
    ),
    "concepts.ConceptMappings": EndpointDoc(
        tag="Concepts",
        returns=ListResponse(shapes.MappingSummary, shapes.Mapping),
        query=(*PAGE_PARAMS, "verbose", "includeInverseMappings", "includeRetired"),
    ),
    "concepts.NameList": EndpointDoc(
        **NAMES, creates=shapes.ConceptName, accepts={"post": bodies.Name}
    ),
    "concepts.Name": EndpointDoc(
        **NAME, accepts={"put": bodies.NameChange}, errors={"delete": (400,)}
    ),
    "concepts.NameListOfState": EndpointDoc(
        **{**NAMES, "summaries": {"get": "The names of a version of a concept"}}
    ),
    "concepts.NameOfState": EndpointDoc(
        **{**NAME, "summaries": {"get": "A name of a version of a concept"}}
    ),
    "concepts.DescriptionList": EndpointDoc(
        **DESCRIPTIONS, creates=shapes.ConceptDescription, accepts={"post": bodies.Description}
    ),
    "concepts.Description": EndpointDoc(**DESCRIPTION, accepts={"put": bodies.DescriptionChange}),
    "concepts.DescriptionListOfState": EndpointDoc(
        **{**DESCRIPTIONS, "summaries": {"get": "The descriptions of a version of a concept"}}
    ),
    "concepts.DescriptionOfState": EndpointDoc(
        **{**DESCRIPTION, "summaries": {"get": "A description of a version of a concept"}}
    ),
    "mappings.AllMappings": EndpointDoc(
        tag="Mappings",
        returns=ListResponse(shapes.MappingSummary, shapes.Mapping),
        query=(*MAPPING_PARAMS, *MAPPING_FLAGS),
        headers=SEARCH_HEADERS,
    ),
    "mappings.MappingList": EndpointDoc(
        tag="Mappings",
        noun="mapping",
        returns=ListResponse(shapes.MappingSummary, shapes.Mapping),
        creates=shapes.Mapping,
        query=(*MAPPING_PARAMS, "cursor", *MAPPING_FLAGS),
        accepts={"post": bodies.Mapping},
        example=examples.NEW_MAPPING,
        headers=(*UPDATED_HEADER, *SEARCH_HEADERS),
    ),
    "mappings.Mapping": EndpointDoc(
        tag="Mappings",
        noun="mapping",
        returns=shapes.Mapping,
        accepts={"put": bodies.MappingChange, "delete": bodies.Comment},
        example=examples.CHANGED_MAPPING,
        summaries={"delete": "Retire the mapping"},
    ),
    "mappings.MappingState": EndpointDoc(tag="Mappings", returns=shapes.Mapping),
    "mappings.MappingVersions": EndpointDoc(
        tag="Mappings", returns=ListResponse(shapes.Mapping), query=PAGE_PARAMS
    ),
    "extras.RepositoryExtras": EndpointDoc(tag="Extras", returns=ALL_EXTRAS),
    "extras.RepositoryExtra": EndpointDoc(
        tag="Extras",
        noun="extra",
        returns=ONE_EXTRA,
        accepts={"put": ONE_EXTRA},
        example=examples.EXTRA,
        summaries={"get": "An extra of a repository or version"},
    ),
    "extras.ConceptExtrasOfState": EndpointDoc(tag="Extras", returns=ALL_EXTRAS),
    "extras.ConceptExtraOfState": EndpointDoc(
        tag="Extras", returns=ONE_EXTRA, summaries={"get": "An extra of a version of a concept"}
    ),
    "extras.ConceptExtra": EndpointDoc(
        tag="Extras",
        noun="extra",
        returns=ONE_EXTRA,
        accepts={"put": ONE_EXTRA},
        example=examples.EXTRA,
        summaries={"get": "An extra of a concept"},
    ),
    "openapi.Document": EndpointDoc(tag="Server", returns={"type": "object"}),
    "docs.Reference": EndpointDoc(tag="Server", responses={"get": {200: {"text/html": {}}}}),
    "metrics.Metrics": EndpointDoc(tag="Server", responses={"get": {200: {"text/plain": {}}}}),
    "server.ServerVersion": EndpointDoc(tag="Server", returns=shapes.ServerVersion),
}
"""The documentation by endpoint (module and class of the resource), in the document's order."""
