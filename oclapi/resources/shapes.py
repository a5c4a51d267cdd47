"""The types of response bodies, for the OpenAPI document.

They describe what oclapi/representations.py builds, with one TypedDict for each table of the
contract. They are documentation only; tests/api/test_fuzz.py compares real responses with them.
"""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from oclapi.bodies import Access
from oclapi.resources import examples

Url = Annotated[str, Field(pattern="^/", description="Path below the root of the server.")]
Moment = Annotated[
    str,
    Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", description="UTC, in milliseconds."),
]
Count = Annotated[int, Field(ge=0)]
Extras = dict[str, Any] | None
OwnerType = Literal["Organization", "User"]


class _Shape(TypedDict):
    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]


def _like(example: Any) -> ConfigDict:
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [example]})


class _Stamped(_Shape):
    created_on: Moment
    updated_on: Moment
    created_by: str
    updated_by: str


class Error(TypedDict):
    """An error. Each key of `errors` is repeated at the top level."""

    __pydantic_config__ = ConfigDict(  # type: ignore[misc]
        extra="allow", json_schema_extra={"examples": [examples.ERROR]}
    )
    detail: Annotated[str, Field(description="One readable sentence.")]


class Facets(_Shape):
    """How often each value of each filter occurs in the whole result, most frequent first."""

    fields: Annotated[
        dict[str, list[tuple[str, Count]]],
        Field(description="Pairs of value and count, by filter."),
    ]
    dates: dict[str, Any]
    queries: dict[str, Any]


class ServerVersion(_Shape):
    version: Annotated[str, Field(examples=["0.1.0"])]


# Users and organisations


class UserSummary(_Shape):
    username: str
    name: str
    url: Url


class Token(_Shape):
    token: Annotated[str, Field(pattern="^[0-9a-f]{40}$")]


class User(UserSummary, _Stamped):
    __pydantic_config__ = _like(examples.USER)  # type: ignore[misc]
    type: Literal["User"]
    uuid: str
    email: NotRequired[Annotated[str, Field(description="Only shown to authenticated users.")]]
    company: str | None
    location: str | None
    preferred_locale: str | None
    website: str | None
    extras: Extras
    is_staff: NotRequired[Annotated[bool, Field(description="Only shown to staff.")]]
    is_superuser: NotRequired[Annotated[bool, Field(description="Only shown to staff.")]]
    orgs: Count
    public_collections: Count
    public_sources: Count
    organizations_url: Url
    orgs_url: Url
    sources_url: Url
    collections_url: Url


class OrgSummary(_Shape):
    id: str
    name: str
    url: Url


class Org(OrgSummary, _Stamped):
    __pydantic_config__ = _like(examples.ORG)  # type: ignore[misc]
    type: Literal["Organization"]
    uuid: str
    company: str | None
    website: str | None
    location: str | None
    description: str | None
    public_access: Access
    extras: Extras
    members: Count
    public_collections: Count
    public_sources: Count
    members_url: Url
    sources_url: Url
    collections_url: Url


# Repositories and versions


class _Owned(_Shape):
    owner: str
    owner_type: OwnerType
    owner_url: Url


class RepositorySummary(_Owned):
    id: str
    short_code: str
    name: str
    url: Url


class _Repository(RepositorySummary, _Stamped):
    uuid: str
    full_name: str | None
    description: str | None
    public_access: Access
    default_locale: str
    supported_locales: list[str]
    website: str | None
    external_id: str | None
    custom_validation_schema: Literal["OpenMRS"] | None
    versions_url: Url
    concepts_url: Url
    mappings_url: Url
    active_concepts: Count
    active_mappings: Count
    versions: Annotated[int, Field(ge=1, description="Number of versions, including HEAD.")]
    extras: Extras


class Source(_Repository):
    __pydantic_config__ = _like(examples.SOURCE)  # type: ignore[misc]
    type: Literal["Source"]
    source_type: str | None


class VersionSummary(_Owned):
    id: str
    released: bool
    retired: bool
    description: str | None
    url: Annotated[Url, Field(description="URL of the repository.")]
    version_url: Url
    previous_version_url: Url | None
    created_on: Moment
    updated_on: Moment
    created_by: str


class SourceVersion(VersionSummary):
    __pydantic_config__ = _like(examples.SOURCE_VERSION)  # type: ignore[misc]
    type: Literal["Source Version"]
    version_external_id: str | None
    external_id: str | None
    extras: Extras
    is_processing: Annotated[bool, Field(description="Whether its export is queued or running.")]
    sourceUrl: Url
    source_url: Url
    previousVersionUrl: Url | None
    parentVersionUrl: Url | None
    parent_version_url: Url | None
    updated_by: str
    uuid: str
    short_code: str
    name: str
    full_name: str | None
    source_type: str | None
    public_access: Access
    default_locale: str
    supported_locales: list[str]
    website: str | None
    custom_validation_schema: Literal["OpenMRS"] | None
    versions_url: Url
    concepts_url: Url
    mappings_url: Url
    versions: Annotated[int, Field(ge=1)]
    active_concepts: Count
    active_mappings: Count
    source: Annotated[Source, Field(description="The source when the version was created.")]


# Content


Retired = Annotated[bool, Field(description="A retired one counts for nothing.")]
RetireReason = Annotated[str | None, Field(description="Entries of older servers lack it.")]


class ConceptName(_Shape):
    uuid: str
    external_id: str | None
    name: str
    locale: str
    locale_preferred: bool
    name_type: str | None
    retired: NotRequired[Retired]
    retire_reason: NotRequired[RetireReason]
    type: Literal["ConceptName"]


class ConceptDescription(_Shape):
    uuid: str
    external_id: str | None
    description: str
    locale: str
    locale_preferred: bool
    description_type: str | None
    retired: NotRequired[Retired]
    retire_reason: NotRequired[RetireReason]
    type: Literal["ConceptDescription"]


class MappingSummary(_Shape):
    id: str
    uuid: str
    map_type: str
    source: str
    owner: str
    owner_type: OwnerType
    external_id: str | None
    to_concept_name: str | None
    update_comment: str | None
    retired: bool
    is_latest_version: bool
    from_source_owner: str
    from_source_owner_type: OwnerType
    from_source_name: str
    from_source_url: Url
    from_concept_code: str
    from_concept_name: str | None
    from_concept_url: Url
    to_source_owner: str
    to_source_owner_type: OwnerType
    to_source_name: str
    to_source_url: Url
    to_concept_code: str
    to_concept_url: Annotated[Url | None, Field(description="Null for an external mapping.")]
    url: Url
    version_url: Url
    version: str
    versioned_object_id: str
    versioned_object_url: Url


class Mapping(MappingSummary, _Stamped):
    __pydantic_config__ = _like(examples.MAPPING)  # type: ignore[misc]
    type: Literal["Mapping"]
    retire_reason: NotRequired[RetireReason]
    sort_weight: float | None
    extras: Extras
    created_at: Moment
    updated_at: Moment


class ConceptSummary(_Owned):
    id: str
    concept_class: str
    datatype: str
    external_id: str | None
    display_name: str | None
    display_locale: str | None
    retired: bool
    source: str
    version: str
    url: Url
    version_url: Url
    is_latest_version: bool
    locale: str | None
    mappings: list[Mapping | MappingSummary]


class Concept(ConceptSummary, _Stamped):
    __pydantic_config__ = _like(examples.CONCEPT)  # type: ignore[misc]
    type: Literal["Concept"]
    retire_reason: NotRequired[RetireReason]
    uuid: str
    names: list[ConceptName]
    descriptions: list[ConceptDescription]
    source_url: Url
    extras: dict[str, Any]
    version_created_on: Moment
    version_created_by: str
    update_comment: str | None


class ConceptVersion(_Shape):
    version: str
    previous_version: str | None
    url: Url
    previous_version_url: Url | None
    version_created_on: Moment
    version_created_by: str
    is_latest_concept_version: bool
    is_root_concept_version: bool
    update_comment: str | None


class _Content(_Shape):
    """The keys that `includeConcepts`, `includeMappings` and `includeRemoved` add."""

    concepts: NotRequired[list[Concept]]
    mappings: NotRequired[list[Mapping]]
    removed_concepts: NotRequired[list[Url]]
    removed_mappings: NotRequired[list[Url]]


class SourceContent(Source, _Content):
    __pydantic_config__ = _like(examples.SOURCE)  # type: ignore[misc]


class SourceVersionContent(SourceVersion, _Content):
    __pydantic_config__ = _like(examples.SOURCE_VERSION)  # type: ignore[misc]


# Exports


class ExportState(_Shape):
    __pydantic_config__ = _like(examples.EXPORT_STATE)  # type: ignore[misc]
    detail: str
    exportStatus: Literal["ready", "processing", "missing", "failed"]
    processed: Annotated[int | None, Field(description="Entries written so far.")]
    total: int | None
