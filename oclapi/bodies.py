"""The request bodies of the contract, checked field by field. Pure.

JSON objects in, checked objects out. A result contains only the keys that were present, as a
partial update needs it; unknown keys are left out. All wrong fields of a body are reported at once,
in `Invalid.errors` under the contract's names.
"""

import math
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, NotRequired

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    Strict,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from oclapi import booleans, jsonio, passwords, urls
from oclapi.errors import Invalid
from oclapi.model import Json

RESERVED_USERS = frozenset(("login", "signup"))
EMAIL = re.compile(r"[^\s@<>()\[\],;:\"\\\x00-\x1f\x7f]+@[^\s@<>()\[\],;:\"\\\x00-\x1f\x7f]+")
LINE, TEXT, LOCALE = 32_000, 100_000, 40  # characters
ENTRIES = 1000
EXTRAS_SIZE, EXTRAS_DEPTH = 2**20, 32


def boolean(value: Any) -> bool:
    """Read JSON true or false, or a text `true`, `false`, `1` or `0` in any case.

    Raises ValueError for anything else.
    """
    if value is True or value is False:
        return bool(value)
    found = booleans.parse(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("must be true or false")
    return found


def _extras(value: dict[str, Any]) -> dict[str, Any]:
    if value and len(jsonio.dumps(value)) > EXTRAS_SIZE:
        raise ValueError(f"may have at most {EXTRAS_SIZE} bytes as JSON")
    if value and jsonio.depth(value) > EXTRAS_DEPTH:
        raise ValueError(f"may be nested at most {EXTRAS_DEPTH} levels deep")
    return value


def _number(value: Any) -> float | None:
    if value is None or (
        isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    ):
        return value
    raise ValueError("must be a number")


def _or_false(value: Any) -> bool:
    return value is not None and boolean(value)


def _or_none_text(value: Any) -> Any:
    return "None" if value is None else value


def _none_as_null(value: str) -> str | None:
    return None if value == "None" else value


def _without_blank(value: Any) -> Any:
    """Leave out the descriptions without a text, which databases export for empty columns."""
    if not isinstance(value, list):
        return value
    return [entry for entry in value if not (isinstance(entry, dict) and _is_blank(entry))]


def _is_blank(entry: Json) -> bool:
    text = entry.get("description", "not given")
    return text is None or (isinstance(text, str) and not text.strip())


def _locales(value: Any) -> Any:
    return (
        [part.strip() for part in value.split(",") if part.strip()]
        if isinstance(value, str)
        else value
    )


def _schema(value: Any) -> Any:
    if value not in (None, "", "None", "OpenMRS"):
        raise ValueError("must be OpenMRS or null")
    return "OpenMRS" if value == "OpenMRS" else None


def _address(value: str) -> str:
    if not EMAIL.fullmatch(value):
        raise ValueError("must be an e-mail address")
    return value


def _not_a_path(value: str) -> str:
    if value in RESERVED_USERS:
        raise ValueError(f"the word {value} is reserved")
    return value


def _not_reserved(value: str) -> str:
    if value in urls.RESERVED_VERSIONS:
        raise ValueError(f"the word {value} is reserved")
    return value


Line = Annotated[str, StringConstraints(strict=True, max_length=LINE)]
Text = Annotated[str, StringConstraints(strict=True, max_length=TEXT)]
Filled = Annotated[str, StringConstraints(strict=True, max_length=LINE, pattern=r"\S")]
FilledText = Annotated[
    str,
    StringConstraints(strict=True, strip_whitespace=True, max_length=TEXT, pattern=r"\S"),
]
Label = Annotated[str, StringConstraints(strict=True, strip_whitespace=True, max_length=LINE)]
FilledLabel = Annotated[
    str,
    StringConstraints(strict=True, strip_whitespace=True, max_length=LINE, pattern=r"\S"),
]
Locale = Annotated[
    str,
    StringConstraints(strict=True, strip_whitespace=True, max_length=LOCALE, pattern=r"\S"),
]
Id = Annotated[
    str,
    Strict(),
    AfterValidator(urls.check_id),
    WithJsonSchema({"type": "string", "pattern": f"^{urls.ID}$"}),
]
ContentId = Annotated[
    str,
    Strict(),
    AfterValidator(urls.content_id),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": urls.LONGEST_ID}),
]
SameId = Annotated[Line, AfterValidator(urls.nfc)]
"""An id of content that an update may repeat, or the id of another version."""
Username = Annotated[Id, AfterValidator(_not_a_path)]
Email = Annotated[str, StringConstraints(strict=True, max_length=320), AfterValidator(_address)]
Hashed = Annotated[
    str, StringConstraints(strict=True, max_length=LINE), AfterValidator(passwords.check_form)
]
VersionId = Annotated[ContentId, AfterValidator(_not_reserved)]
Bool = Annotated[bool, BeforeValidator(boolean)]
Flag = Annotated[bool, BeforeValidator(_or_false), WithJsonSchema({"type": ["boolean", "null"]})]
"""False by default."""
TypeName = Annotated[Label, AfterValidator(_none_as_null)] | None
Datatype = Annotated[
    Label,
    BeforeValidator(_or_none_text),
    WithJsonSchema({"type": ["string", "null"], "maxLength": LINE}),
]
Extras = Annotated[dict[str, Any], AfterValidator(_extras)]
Access = Literal["View", "Edit", "None"]
Locales = Annotated[list[Locale], Field(max_length=ENTRIES), BeforeValidator(_locales)]
Schema = Annotated[
    str | None, BeforeValidator(_schema), WithJsonSchema({"enum": ["OpenMRS", "None", "", None]})
]
Number = Annotated[Any, BeforeValidator(_number), WithJsonSchema({"type": ["number", "null"]})]


class _Entry(TypedDict):
    locale_preferred: NotRequired[Flag]
    external_id: NotRequired[Line | None]
    retired: NotRequired[Flag]
    retire_reason: NotRequired[Line | None]
    uuid: NotRequired[Line | None]


class Name(_Entry):
    name: FilledLabel
    locale: Locale
    name_type: NotRequired[TypeName]


class NameChange(_Entry):
    name: NotRequired[FilledLabel]
    locale: NotRequired[Locale]
    name_type: NotRequired[TypeName]


class Description(_Entry):
    description: FilledText
    locale: Locale
    description_type: NotRequired[TypeName]


class DescriptionChange(_Entry):
    description: NotRequired[FilledText]
    locale: NotRequired[Locale]
    description_type: NotRequired[TypeName]


Names = Annotated[list[Name], Field(min_length=1, max_length=ENTRIES)]
Descriptions = Annotated[
    list[Description], Field(max_length=ENTRIES), BeforeValidator(_without_blank)
]


class Comment(TypedDict):
    update_comment: NotRequired[Line | None]


class _Concept(Comment):
    datatype: NotRequired[Datatype]
    descriptions: NotRequired[Descriptions | None]
    external_id: NotRequired[Line | None]
    retired: NotRequired[Flag]
    retire_reason: NotRequired[Line | None]
    extras: NotRequired[Extras | None]


class Concept(_Concept):
    id: ContentId
    concept_class: FilledLabel
    names: Names


class ConceptChange(_Concept):
    id: NotRequired[SameId]
    concept_class: NotRequired[FilledLabel]
    names: NotRequired[Names]


class _Mapping(Comment):
    to_concept_url: NotRequired[Line | None]
    to_source_url: NotRequired[Line | None]
    to_concept_code: NotRequired[Label | None]
    to_concept_name: NotRequired[Label | None]
    external_id: NotRequired[Line | None]
    retired: NotRequired[Flag]
    retire_reason: NotRequired[Line | None]
    sort_weight: NotRequired[Number]
    extras: NotRequired[Extras | None]


class Mapping(_Mapping):
    id: NotRequired[ContentId | None]
    map_type: FilledLabel
    from_concept_url: Filled


class MappingChange(_Mapping):
    id: NotRequired[SameId | None]
    map_type: NotRequired[FilledLabel]
    from_concept_url: NotRequired[Filled]


class _Repository(TypedDict):
    full_name: NotRequired[Line | None]
    description: NotRequired[Text | None]
    website: NotRequired[Line | None]
    external_id: NotRequired[Line | None]
    public_access: NotRequired[Access]
    default_locale: NotRequired[Locale]
    supported_locales: NotRequired[Locales]
    custom_validation_schema: NotRequired[Schema]
    extras: NotRequired[Extras | None]


class Source(_Repository):
    id: Id
    name: Filled
    source_type: NotRequired[Line | None]


class SourceChange(_Repository):
    id: NotRequired[Line]
    name: NotRequired[Filled]
    source_type: NotRequired[Line | None]


class _Org(TypedDict):
    company: NotRequired[Line | None]
    website: NotRequired[Line | None]
    location: NotRequired[Line | None]
    description: NotRequired[Text | None]
    public_access: NotRequired[Access]
    extras: NotRequired[Extras | None]


class Org(_Org):
    id: Id
    name: Filled


class OrgChange(_Org):
    id: NotRequired[Line]
    name: NotRequired[Filled]


class _User(TypedDict):
    password: NotRequired[Line]
    hashed_password: NotRequired[Hashed]
    company: NotRequired[Line | None]
    location: NotRequired[Line | None]
    preferred_locale: NotRequired[Line | None]
    website: NotRequired[Line | None]
    extras: NotRequired[Extras | None]


class SignUp(_User):
    username: Username
    name: Filled
    email: Email
    email_verify_success_url: Filled
    email_verify_failure_url: Filled


class User(_User):
    username: Username
    name: Filled
    email: Email
    is_staff: NotRequired[Bool]
    is_superuser: NotRequired[Bool]


class UserChange(_User):
    username: NotRequired[Line]
    name: NotRequired[Filled]
    email: NotRequired[Email]
    is_staff: NotRequired[Bool]
    is_superuser: NotRequired[Bool]


class LogIn(TypedDict):
    username: Line
    password: Line


class LogInByHash(TypedDict):
    username: Line
    hashed_password: Line


class _Version(TypedDict):
    description: NotRequired[Text | None]
    released: NotRequired[Bool]
    previous_version: NotRequired[SameId | None]
    parent_version: NotRequired[SameId | None]
    version_external_id: NotRequired[Line | None]
    external_id: NotRequired[Line | None]
    extras: NotRequired[Extras | None]


class Version(_Version):
    id: VersionId


class VersionChange(_Version):
    id: NotRequired[SameId]
    retired: NotRequired[Bool]


def _checker(form: Any) -> Callable[[Json], Json]:
    adapter: TypeAdapter[Json] = TypeAdapter(form)

    def check(body: Json) -> Json:
        """Return the checked body. Raises Invalid with every wrong field."""
        try:
            return adapter.validate_python(body)
        except ValidationError as error:
            raise _invalid(error) from error

    return check


name_create = _checker(Name)
name_update = _checker(NameChange)
description_create = _checker(Description)
description_update = _checker(DescriptionChange)
concept_update = _checker(ConceptChange)
mapping_update = _checker(MappingChange)
comment = _checker(Comment)
org_create = _checker(Org)
org_update = _checker(OrgChange)
user_create = _checker(User)
user_update = _checker(UserChange)
sign_up = _checker(SignUp)
log_in = _checker(LogIn)
log_in_by_hash = _checker(LogInByHash)
version_create = _checker(Version)
version_update = _checker(VersionChange)
concept_create = _checker(Concept)
mapping_create = _checker(Mapping)
_source_create = _checker(Source)
_source_update = _checker(SourceChange)


def source_create(body: Json) -> Json:
    """Check a new source. `short_code` may be used for `id`; two different values are refused."""
    return _with_short_code(_source_create, body)


def source_update(body: Json) -> Json:
    """Check a change of a source; `short_code` as in `source_create`."""
    return _with_short_code(_source_update, body)


def _with_short_code(check: Callable[[Json], Json], body: Json) -> Json:
    if "short_code" not in body:
        return check(body)
    wrong = (
        {"short_code": ["must be the same as id"]}
        if body.get("id", body["short_code"]) != body["short_code"]
        else {}
    )
    try:
        checked = check({"id": body["short_code"], **body})
    except Invalid as error:
        raise Invalid({**error.errors, **wrong}) from error
    if wrong:
        raise Invalid(wrong)
    return checked


_TEXTS: dict[str, str] = {
    "missing": "this field is required",
    "string_type": "must be a text",
    "string_unicode": "must be valid Unicode",
    "string_too_long": "may have at most {max_length} characters",
    "list_type": "must be a list",
    "too_short": "at least one is needed",
    "too_long": "may have at most {max_length} entries",
    "dict_type": "must be an object",
    "literal_error": "must be one of {expected}",
    "value_error": "{error}",
}


def _invalid(error: ValidationError) -> Invalid:
    errors: dict[str, list[str]] = {}
    for problem in error.errors(include_url=False, include_input=False):
        field, *inner = problem["loc"] or ("__all__",)
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in inner)
        if problem["type"] == "string_pattern_mismatch":
            text = "must not be empty"
        else:
            text = _TEXTS[problem["type"]].format(**problem.get("ctx", {}))
        errors.setdefault(str(field), []).append(f"{field}{path}: {text}" if path else text)
    return Invalid(errors)
