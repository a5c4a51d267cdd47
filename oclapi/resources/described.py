"""What the API's document says of each resource beyond what its class and its addresses show
(oclapi/resources/openapi.py).

A new resource needs one entry of ENDPOINT_DOCS, under the name of its module and class. What an entry leaves
out has a good default: the summary of a read is the first sentence of the class's docstring, that
of a write comes from `noun` (or the method's docstring), the failures follow from the method and
the address. tests/api/test_openapi.py names what is missing, and what the code reads and no entry
tells.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from oclapi import bodies
from oclapi.model import Kind
from oclapi.resources import examples, shapes
from search.base import FILTERS

TAGS = {
    "Users": "Who asks: profiles, and the organisations that users belong to.",
    "Organisations": "Who owns sources and collections together, and who belongs to them.",
    "Sources": "Repositories of concepts and mappings. Every change is a revision; every page is read at one.",
    "Versions": "Named revisions of a repository: making one takes milliseconds, and nothing changes it afterwards.",
    "Exports": "A version as one archive, to be downloaded once; differences (`updatedSince`) take over from there.",
    "Concepts": "The entries of a source, with their names and descriptions in all languages.",
    "Mappings": "How a concept relates to another one, of the same source or elsewhere.",
    "Extras": "Free data of repositories, versions and concepts, key by key.",
    "Server": "The server itself.",
}
"""The chapters of the document, in this order."""

Schema = Mapping[str, Any]
FLAG: Schema = {"type": "boolean"}
TEXT: Schema = {"type": "string"}
MOMENT: Schema = {"type": "string", "examples": ["2026-02-01T12:00:00.250Z", "2026-02-01"]}

QUERY: dict[str, tuple[Schema, str]] = {
    "limit": (
        {"type": "integer", "minimum": 0, "default": 10},
        "Rows of a page; 0 is everything. Beyond the server's ceiling (500): 400.",
    ),
    "page": (
        {"type": "integer", "minimum": 1, "default": 1},
        "Which page. Past the end: an empty list.",
    ),
    "offset": ({"type": "integer", "minimum": 0}, "Rows before the page; wins over `page`."),
    "cursor": (
        TEXT,
        "From the `next` link: pins the revision, so that writes between two pages neither skip nor repeat a row.",
    ),
    "q": (
        TEXT,
        'Words that must all match; `"a phrase"`; a trailing `*` is a prefix. Case and accents are ignored.',
    ),
    "verbose": (FLAG, "Details instead of summaries."),
    "sortAsc": (TEXT, "The field to sort by."),
    "sortDesc": (TEXT, "The field to sort by, from the end. Wins over `sortAsc`."),
    "updatedSince": (
        MOMENT,
        "Only what changed at that moment or later: ISO 8601, or milliseconds since 1970.",
    ),
    "includeRetired": (FLAG, "Retired ones too."),
    "retired": (FLAG, "Only retired ones, or only others."),
    "released": (
        FLAG,
        "Only released ones, or only others; of content: as it stands in the newest release, or changed since.",
    ),
    "processing": (FLAG, "Only those whose export is being made, or only others."),
    "includeConcepts": (FLAG, "Add the concepts."),
    "includeMappings": (FLAG, "Add the mappings. Of concepts: those that start from them."),
    "includeInverseMappings": (FLAG, "Add the mappings in both directions."),
    "includeRemoved": (
        FLAG,
        "With `updatedSince`, on the first page: add the URLs of what is no longer there.",
    ),
    "locale": (TEXT, "Only these locales: alternatives with commas between them."),
    "name_type": (TEXT, "Only these types: alternatives with commas between them."),
    "description_type": (TEXT, "Only these types: alternatives with commas between them."),
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
            "Only these: alternatives with commas between them, each a whole value, in any case.",
        ),
    ),
    **dict.fromkeys(
        ("ownerType", "conceptOwnerType", "fromConceptOwnerType", "toConceptOwnerType"),
        (TEXT, "`Organization` or `User`: only these."),
    ),
    **dict.fromkeys(
        ("concept", "fromConcept", "toConcept"),
        (TEXT, "Only mappings of these concepts, by URL, code or name."),
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
            "Only mappings whose concepts (both, or the one named) are of these: ids with commas between them.",
        ),
    ),
    "extras": (
        {"type": "object", "propertyNames": {"pattern": "^extras__"}, "additionalProperties": TEXT},
        "Not a parameter of this name, but any number of these: `extras__a__b=value` for what `extras` hold at `a`, `b`; "
        "alternatives with commas between them; `extras__a__b!=value` for none of them.",
    ),
    "format": (
        {"enum": ["zip", "tgz"]},
        "The container; wins over `Accept`. Both hold one entry, `export.json`.",
    ),
}
"""Schema and meaning of every query parameter that is not a mere filter."""

PAGE = ("limit", "page", "offset")
LISTING = (*PAGE, "verbose", "sortAsc", "sortDesc", "updatedSince")
WORDS = ("q", *LISTING)
OF_REPOSITORIES = (
    *WORDS,
    "sourceType",
    "locale",
    "owner",
    "ownerType",
    "customValidationSchema",
    "user",
    "org",
    "extras",
)
OF_USERS = (*WORDS, "company", "location")
OF_ORGS = (*OF_USERS, "extras")
CONTENT = (
    "includeConcepts",
    "includeMappings",
    "includeRetired",
    "updatedSince",
    "includeRemoved",
    *PAGE,
    "cursor",
)
ENTRIES: Mapping[Kind, tuple[str, ...]] = {
    kind: (*WORDS, "includeRetired", "retired", "released", *filters, "extras")
    for kind, filters in FILTERS.items()
}
CONCEPTS = (*ENTRIES["concept"], "dataType")
MAPPINGS = ENTRIES["mapping"]
OF_CONCEPTS = ("includeMappings", "includeInverseMappings")


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of summaries, or of details with `verbose`; with its counts in headers."""

    summary: Any
    detail: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointDoc:
    """One resource. Shapes are TypedDicts, Listings, or schemas as they are."""

    tag: str
    noun: str = "item"
    # what GET answers; and PUT, PATCH and POST, but for a POST that makes something
    gives: Any = None
    makes: Any = None  # what POST adds and answers with 201
    query: tuple[str, ...] = ()  # of GET
    # bodies by method; "put" stands for PATCH and POST too
    takes: Mapping[str, Any] = field(default_factory=dict)
    forms: bool = False  # bodies may be forms
    example: Mapping[str, Any] | None = None  # of a body; not that of a DELETE
    # by method, in place of the usual good answers; None: no body
    answers: Mapping[str, Mapping[int, Any]] = field(default_factory=dict)
    # failures by method, beyond the usual ones
    also: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    headers: tuple[str, ...] = ()  # of good answers to GET
    # summaries by method, where the usual ones don't fit
    does: Mapping[str, str] = field(default_factory=dict)


UPDATED = ("lastUpdated",)
ENGINE = ("search-engine", "search-behind")
EXTRA = {
    "type": "object",
    "description": "One key and its value.",
    "examples": [examples.EXTRA],
    "minProperties": 1,
    "maxProperties": 1,
}
EXTRAS = {"type": "object", "examples": [examples.EXTRA]}
ARCHIVE: dict[str, Any] = {"application/zip": {}, "application/gzip": {}}
"""An answer that is no JSON: by media type."""
EXPORT = (
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
ON_ITS_WAY = {202: shapes.ExportState, 208: shapes.ExportState}
BINARY = {200: ARCHIVE, 206: ARCHIVE, 304: None}

NAME: dict[str, Any] = {
    "tag": "Concepts",
    "noun": "name",
    "gives": shapes.ConceptName,
    "example": examples.NEW_NAME,
    "does": {"get": "One name of a concept"},
}
DESCRIPTION: dict[str, Any] = {
    "tag": "Concepts",
    "noun": "description",
    "gives": shapes.ConceptDescription,
    "example": examples.NEW_DESCRIPTION,
    "does": {"get": "One description of a concept"},
}
NAMES: dict[str, Any] = {
    **NAME,
    "gives": {"type": "array", "items": shapes.ConceptName},
    "query": ("q", "locale", "name_type"),
    "does": {"get": "The names of a concept"},
}
DESCRIPTIONS: dict[str, Any] = {
    **DESCRIPTION,
    "gives": {"type": "array", "items": shapes.ConceptDescription},
    "query": ("q", "locale", "description_type"),
    "does": {"get": "The descriptions of a concept"},
}
ENDPOINT_DOCS: dict[str, EndpointDoc] = {
    "orgs.OrgList": EndpointDoc(
        tag="Organisations",
        noun="organisation",
        gives=Listing(shapes.OrgSummary, shapes.Org),
        makes=shapes.Org,
        query=OF_ORGS,
        takes={"post": bodies.Org},
        example=examples.NEW_ORG,
    ),
    "orgs.Org": EndpointDoc(
        tag="Organisations",
        noun="organisation",
        gives=shapes.Org,
        takes={"put": bodies.OrgChange},
        example=examples.CHANGED_ORG,
    ),
    "orgs.MemberList": EndpointDoc(
        tag="Organisations", gives=Listing(shapes.UserSummary, shapes.User), query=OF_USERS
    ),
    "orgs.Member": EndpointDoc(
        tag="Organisations",
        noun="member",
        answers={"get": {204: None}, "put": {204: None}},
        also={"delete": (400,)},
        does={
            "get": "Whether the user is a member",
            "put": "Make the user a member",
            "delete": "End the membership",
        },
    ),
    "users.UserList": EndpointDoc(
        tag="Users",
        noun="user",
        gives=Listing(shapes.UserSummary, shapes.User),
        makes=shapes.User,
        query=OF_USERS,
        takes={"post": bodies.User},
        forms=True,
        example=examples.NEW_USER,
    ),
    "login.LogIn": EndpointDoc(
        tag="Users",
        takes={"post": bodies.LogIn},
        forms=True,
        answers={"post": {200: shapes.Token}},
        also={"post": (429,)},
        does={"post": "Get a token for a name and a password"},
    ),
    "login.SignUp": EndpointDoc(
        tag="Users",
        noun="user",
        makes=shapes.User,
        takes={"post": bodies.SignUp},
        forms=True,
        also={"post": (404, 429)},
        does={"post": "Sign up; a mail with a link verifies the address"},
    ),
    "login.EmailVerification": EndpointDoc(
        tag="Users", answers={"get": {302: None}}, does={"get": "Verify the address of a new user"}
    ),
    "users.User": EndpointDoc(
        tag="Users",
        noun="user",
        gives=shapes.User,
        takes={"put": bodies.UserChange},
        forms=True,
        also={"delete": (400,)},
        does={"delete": "Deactivate the user: hidden with all it owns, until it is reactivated"},
    ),
    "users.Reactivation": EndpointDoc(
        tag="Users",
        answers={"put": {204: None}},
        does={"put": "Show a deactivated user again with all it owns"},
    ),
    "users.Self": EndpointDoc(
        tag="Users", noun="profile", gives=shapes.User, takes={"put": bodies.UserChange}, forms=True
    ),
    "orgs.OrgsOfUser": EndpointDoc(
        tag="Users", gives=Listing(shapes.OrgSummary, shapes.Org), query=OF_ORGS
    ),
    "users.SourcesOfUserOrgs": EndpointDoc(
        tag="Users", gives=Listing(shapes.RepositorySummary, shapes.Source), query=OF_REPOSITORIES
    ),
    "users.CollectionsOfUserOrgs": EndpointDoc(
        tag="Users", gives=Listing(shapes.RepositorySummary), query=OF_REPOSITORIES
    ),
    "repositories.AllSources": EndpointDoc(
        tag="Sources", gives=Listing(shapes.RepositorySummary, shapes.Source), query=OF_REPOSITORIES
    ),
    "repositories.SourceList": EndpointDoc(
        tag="Sources",
        noun="source",
        gives=Listing(shapes.RepositorySummary, shapes.Source),
        makes=shapes.Source,
        query=OF_REPOSITORIES,
        takes={"post": bodies.Source},
        example=examples.NEW_SOURCE,
    ),
    "repositories.Repository": EndpointDoc(
        tag="Sources",
        noun="repository",
        gives=shapes.SourceContent,
        query=CONTENT,
        takes={"put": bodies.SourceChange},
        also={"delete": (400,)},
        headers=UPDATED,
        example=examples.CHANGED_SOURCE,
    ),
    "versions.VersionList": EndpointDoc(
        tag="Versions",
        noun="version",
        gives=Listing(shapes.VersionSummary, shapes.SourceVersion),
        makes=shapes.SourceVersion,
        query=(*PAGE, "verbose", "updatedSince", "released", "retired", "processing"),
        takes={"post": bodies.Version},
        example=examples.NEW_VERSION,
        also={"post": (409,)},
    ),
    "versions.Version": EndpointDoc(
        tag="Versions",
        noun="version",
        gives=shapes.SourceVersionContent,
        query=CONTENT,
        takes={"put": bodies.VersionChange},
        example=examples.CHANGED_VERSION,
        headers=UPDATED,
        also={"put": (405,), "patch": (405,), "post": (405,), "delete": (405,)},
    ),
    "versions.VersionChildren": EndpointDoc(
        tag="Versions",
        gives=Listing(shapes.VersionSummary, shapes.SourceVersion),
        query=(*PAGE, "verbose", "updatedSince"),
    ),
    "versions.VersionProcessing": EndpointDoc(
        tag="Versions",
        gives={"type": "boolean"},
        answers={"post": {200: {"type": "boolean"}}},
        does={"post": "Clear a flag that is stuck"},
    ),
    "exports.VersionExport": EndpointDoc(
        tag="Exports",
        noun="export",
        query=("format",),
        headers=EXPORT,
        answers={
            "get": {**BINARY, 208: shapes.ExportState},
            "head": {200: None, 304: None, 208: None, 204: None},
            "post": ON_ITS_WAY,
            "delete": {204: None},
        },
        also={"get": (405, 416), "head": (405,), "post": (405,), "delete": (405,)},
        does={
            "head": "Whether there is an export; starts none",
            "post": "Make the export, anew where there is one",
        },
    ),
    "exports.ExportFile": EndpointDoc(
        tag="Exports", headers=EXPORT, answers={"get": BINARY}, also={"get": (416,)}
    ),
    "concepts.AllConcepts": EndpointDoc(
        tag="Concepts",
        gives=Listing(shapes.ConceptSummary, shapes.Concept),
        query=(*CONCEPTS, *OF_CONCEPTS),
        headers=ENGINE,
    ),
    "concepts.ConceptList": EndpointDoc(
        tag="Concepts",
        noun="concept",
        gives=Listing(shapes.ConceptSummary, shapes.Concept),
        makes=shapes.Concept,
        query=(*CONCEPTS, "cursor", *OF_CONCEPTS),
        takes={"post": bodies.Concept},
        example=examples.NEW_CONCEPT,
        headers=(*UPDATED, *ENGINE),
    ),
    "concepts.Concept": EndpointDoc(
        tag="Concepts",
        noun="concept",
        gives=shapes.Concept,
        query=(*OF_CONCEPTS, "includeRetired", "verbose"),
        takes={"put": bodies.ConceptChange, "delete": bodies.Comment},
        example=examples.CHANGED_CONCEPT,
        does={"delete": "Retire the concept"},
    ),
    "concepts.ConceptState": EndpointDoc(
        tag="Concepts", gives=shapes.Concept, query=(*OF_CONCEPTS, "includeRetired", "verbose")
    ),
    "concepts.ConceptVersions": EndpointDoc(
        tag="Concepts",
        gives=Listing(shapes.ConceptVersion, shapes.Concept),
        query=(*PAGE, "verbose"),
    ),
    "concepts.ConceptMappings": EndpointDoc(
        tag="Concepts",
        gives=Listing(shapes.MappingSummary, shapes.Mapping),
        query=(*PAGE, "verbose", "includeInverseMappings", "includeRetired"),
    ),
    "concepts.NameList": EndpointDoc(
        **NAMES, makes=shapes.ConceptName, takes={"post": bodies.Name}
    ),
    "concepts.Name": EndpointDoc(**NAME, takes={"put": bodies.NameChange}, also={"delete": (400,)}),
    "concepts.NameListOfState": EndpointDoc(
        **{**NAMES, "does": {"get": "The names of a concept at one of its versions"}}
    ),
    "concepts.NameOfState": EndpointDoc(
        **{**NAME, "does": {"get": "One name of a concept at one of its versions"}}
    ),
    "concepts.DescriptionList": EndpointDoc(
        **DESCRIPTIONS, makes=shapes.ConceptDescription, takes={"post": bodies.Description}
    ),
    "concepts.Description": EndpointDoc(**DESCRIPTION, takes={"put": bodies.DescriptionChange}),
    "concepts.DescriptionListOfState": EndpointDoc(
        **{**DESCRIPTIONS, "does": {"get": "The descriptions of a concept at one of its versions"}}
    ),
    "concepts.DescriptionOfState": EndpointDoc(
        **{**DESCRIPTION, "does": {"get": "One description of a concept at one of its versions"}}
    ),
    "mappings.AllMappings": EndpointDoc(
        tag="Mappings",
        gives=Listing(shapes.MappingSummary, shapes.Mapping),
        query=(*MAPPINGS, *OF_CONCEPTS),
        headers=ENGINE,
    ),
    "mappings.MappingList": EndpointDoc(
        tag="Mappings",
        noun="mapping",
        gives=Listing(shapes.MappingSummary, shapes.Mapping),
        makes=shapes.Mapping,
        query=(*MAPPINGS, "cursor", *OF_CONCEPTS),
        takes={"post": bodies.Mapping},
        example=examples.NEW_MAPPING,
        headers=(*UPDATED, *ENGINE),
    ),
    "mappings.Mapping": EndpointDoc(
        tag="Mappings",
        noun="mapping",
        gives=shapes.Mapping,
        takes={"put": bodies.MappingChange, "delete": bodies.Comment},
        example=examples.CHANGED_MAPPING,
        does={"delete": "Retire the mapping"},
    ),
    "mappings.MappingState": EndpointDoc(tag="Mappings", gives=shapes.Mapping),
    "mappings.MappingVersions": EndpointDoc(
        tag="Mappings", gives=Listing(shapes.Mapping), query=PAGE
    ),
    "extras.RepositoryExtras": EndpointDoc(tag="Extras", gives=EXTRAS),
    "extras.RepositoryExtra": EndpointDoc(
        tag="Extras",
        noun="extra",
        gives=EXTRA,
        takes={"put": EXTRA},
        example=examples.EXTRA,
        does={"get": "One extra of a repository or of a version's record"},
    ),
    "extras.ConceptExtrasOfState": EndpointDoc(tag="Extras", gives=EXTRAS),
    "extras.ConceptExtraOfState": EndpointDoc(
        tag="Extras", gives=EXTRA, does={"get": "One extra of one version of a concept"}
    ),
    "extras.ConceptExtra": EndpointDoc(
        tag="Extras",
        noun="extra",
        gives=EXTRA,
        takes={"put": EXTRA},
        example=examples.EXTRA,
        does={"get": "One extra of a concept"},
    ),
    "openapi.Document": EndpointDoc(tag="Server", gives={"type": "object"}),
    "docs.Reference": EndpointDoc(tag="Server", answers={"get": {200: {"text/html": {}}}}),
    "metrics.Metrics": EndpointDoc(tag="Server", answers={"get": {200: {"text/plain": {}}}}),
    "server.ServerVersion": EndpointDoc(tag="Server", gives=shapes.ServerVersion),
}
"""By endpoint: module and class of the resource. The order is that of the document."""
