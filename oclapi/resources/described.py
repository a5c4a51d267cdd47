"""What the resources say of themselves, for the OpenAPI document (oclapi/reference).

Each resource has an EndpointDoc in `about`. Fields that it leaves out have defaults. The summary of
a read is the first sentence of the class's docstring. The summary of a write comes from the
method's docstring or from `noun`. The error statuses follow from the method and the path.
tests/api/test_openapi.py names resources without one, and query parameters that the code reads but
no resource lists.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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
        'Search words, all of which must match. `"..."` searches for a phrase. `*` at an end of a '
        "word stands for the rest of it. Case and accents are ignored. An item whose id or name is "
        "the whole text, with its signs, comes first.",
    ),
    "verbose": (FLAG, "Return details instead of summaries."),
    "sortAsc": (TEXT, "Sort by this field, ascending."),
    "sortDesc": (TEXT, "Sort by this field, descending. Takes precedence over `sortAsc`."),
    "facetsOnly": (FLAG, "Return the facets without the list. Needs no `includeFacets`."),
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
SEARCH_PARAMS = ("q", *LIST_PARAMS, "facetsOnly")
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
BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
ARCHIVE: dict[str, Any] = {"application/zip": BINARY, "application/gzip": BINARY}
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
