"""The values of concepts and mappings that edits change.

A value has the entry's own fields, without those of its repository and commit. `created_on` and
`created_by` are None for a new entry. Fields that did not exist when an entry was written have
their defaults.

The value of a concept has CONCEPT_FIELDS. The value of a mapping has MAPPING_FIELDS and:

- `to`: the URL of the target, also for an external one;
- `own_to_name`: whether the name of the target is the mapping's own.

`to_concept_url` is None for an external mapping.
"""

import random
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from oclapi import jsonio, urls
from oclapi.errors import Invalid
from oclapi.model import Json, Row

MAX_ITEM = 4 * 2**20
"""Most bytes of a concept or mapping (contract 1.2)."""

CONCEPT_FIELDS = (
    "id",
    "uuid",
    "external_id",
    "concept_class",
    "datatype",
    "display_name",
    "display_locale",
    "names",
    "descriptions",
    "retired",
    "retire_reason",
    "extras",
    "locale",
    "update_comment",
    "created_on",
    "created_by",
)
TEXT_FIELDS = ("names", "descriptions")
MAPPING_FIELDS = (
    "id",
    "uuid",
    "external_id",
    "retired",
    "retire_reason",
    "map_type",
    "from_concept_url",
    "from_concept_name",
    "to_source_url",
    "to_concept_code",
    "to_concept_name",
    "to_concept_url",
    "sort_weight",
    "extras",
    "update_comment",
    "created_on",
    "created_by",
)


def new_uuid() -> str:
    """Return 32 random hex characters.

    They are no secret, so a fast generator serves. Python seeds it again in each forked process.
    """
    return f"{random.getrandbits(128):032x}"


def arrival_uuid(at: datetime, place: int) -> str:
    """Return a uuid of version 7 as 32 hex characters, which sorts by time and then by `place`.

    It has the milliseconds of the time in 48 bits, the place in 24 and 50 random bits.
    """
    milliseconds = int(at.timestamp() * 1000 + 0.5)
    high = milliseconds << 16 | 7 << 12 | place >> 12
    low = 0b10 << 62 | (place & 0xFFF) << 50 | random.getrandbits(50)
    return f"{high:016x}{low:016x}"


def concept_value(row: Row) -> Json:
    """Return the value of a stored concept."""
    body = jsonio.loads_own(row.body)
    value = {name: body.get(name) for name in CONCEPT_FIELDS}
    return {**value, **{part: [_whole(text) for text in value[part]] for part in TEXT_FIELDS}}


def _whole(text: Json) -> Json:
    """Return a stored name or description with the fields that it was written without."""
    if "retired" in text:
        return text
    *fields, (last, type_name) = text.items()
    return {**dict(fields), "retired": False, "retire_reason": None, last: type_name}


def mapping_value(row: Row) -> Json:
    """Return the value of a stored mapping."""
    body = jsonio.loads_own(row.body)
    value = {name: body.get(name) for name in MAPPING_FIELDS}
    return {
        **value,
        "to": external_target(value["to_source_url"], value["to_concept_code"]),
        "own_to_name": row.header["own_to_name"],
    }


def external_target(source_url: str, code: str) -> str:
    """Return the `to` of an external mapping: the URL that the concept would have.

    So an external and an internal mapping to the same concept are equal.
    """
    return urls.item_url(source_url, "concept", urls.nfc(code))


def shown_concepts(mapping: Mapping[str, Any]) -> list[str]:
    """Return the URL fields of a mapping whose concepts it shows by name."""
    if mapping["to_concept_url"] and not mapping["own_to_name"]:
        return ["from_concept_url", "to_concept_url"]
    return ["from_concept_url"]


def same(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Return whether two values are equal.

    Types count (1 differs from 1.0 and true). The order of keys and the comment do not.
    """
    return _content(before) == _content(after)


def _content(value: Mapping[str, Any]) -> bytes:
    return jsonio.dumps_sorted(
        {
            name: part
            for name, part in value.items()
            if name not in ("update_comment", "display_name", "display_locale")
        }
    )


def changed(before: object, given: Mapping[str, Any]) -> Json:
    """Return those of the `given` fields that differ from the value before, see `same`."""
    return {
        name: value
        for name, value in given.items()
        if jsonio.dumps_sorted(getattr(before, name)) != jsonio.dumps_sorted(value)
    }


def check_size(concept: Mapping[str, Any]) -> None:
    """Raise Invalid when a concept is too large. The fields of a mapping have limits instead."""
    if len(jsonio.dumps(concept)) > MAX_ITEM:
        raise Invalid.field("__all__", f"a concept or mapping may have at most {MAX_ITEM} bytes")
