"""Concepts and mappings as an edit handles them: their own fields only, without what the place and
the commit add.

A concept's value: id, uuid, external_id, concept_class, datatype, display_name, display_locale,
names, descriptions, retired, extras, locale, update_comment, created_on, created_by (texts as
published, None for a new item).

A mapping's value: id, uuid, external_id, retired, map_type, from_concept_url, from_concept_name,
to_source_url, to_concept_code, to_concept_name, to_concept_url (None: external), to (the target's
URL, made up for an external one), own_to_name (the name shown is the mapping's own), sort_weight,
extras, update_comment, created_on, created_by.
"""

import random
from collections.abc import Mapping
from typing import Any

from oclapi import jsonio, urls
from oclapi.errors import Invalid
from oclapi.model import Json, Row

MAX_ITEM = 4 * 2**20
"""Bytes of one concept or mapping in all (contract 1.2)."""

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
    "extras",
    "locale",
    "update_comment",
    "created_on",
    "created_by",
)
MAPPING_FIELDS = (
    "id",
    "uuid",
    "external_id",
    "retired",
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
    """32 hex characters. Not a secret, so it need not cost a system call: a concept has one for
    each of its names.

    The generator is seeded by the system, and again in each process that is forked.
    """
    return f"{random.getrandbits(128):032x}"


def concept_value(row: Row) -> Json:
    """The stored concept's value."""
    body = jsonio.loads_own(row.body)
    return {name: body[name] for name in CONCEPT_FIELDS}


def mapping_value(row: Row) -> Json:
    """The stored mapping's value."""
    body = jsonio.loads_own(row.body)
    value = {name: body[name] for name in MAPPING_FIELDS}
    return {**value, "to": row.header["to"], "own_to_name": row.header["own_to_name"]}


def external_target(source_url: str, code: str) -> str:
    """The `to` of an external mapping: where that concept would be, so that it equals an internal
    mapping to the same concept.
    """
    return urls.item_url(source_url, "concept", code)


def shown_concepts(mapping: Mapping[str, Any]) -> list[str]:
    """The URL fields of a mapping whose concept's name it shows."""
    if mapping["to_concept_url"] and not mapping["own_to_name"]:
        return ["from_concept_url", "to_concept_url"]
    return ["from_concept_url"]


def same(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Is this no change? Types count (1 is not 1.0 nor true), the order of keys and the comment do
    not.
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


def changed(before: Mapping[str, Any], given: Mapping[str, Any]) -> Json:
    """What of `given` differs from before; types count as in `same`."""
    return {
        name: value
        for name, value in given.items()
        if jsonio.dumps_sorted(before[name]) != jsonio.dumps_sorted(value)
    }


def check_size(concept: Mapping[str, Any]) -> None:
    """Raise Invalid when a concept, as it is kept, is over the limit. The fields of a mapping are
    bounded to less than it in all.
    """
    if len(jsonio.dumps(concept)) > MAX_ITEM:
        raise Invalid.field("__all__", f"one concept or mapping may have {MAX_ITEM} bytes in all")
