"""The rules of the validation schema OpenMRS for one concept or mapping (contract 18).

Retired entries are not checked, and retired names and descriptions take no part. Whether another
concept has the same fully specified or preferred name is decided by `claims`, and whether another
mapping joins the same concepts by `relation`.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

LOOKUP_SOURCES = ("Classes", "Datatypes", "NameTypes", "DescriptionTypes", "Locales")
"""Sources of the organisation OCL with the lists for concepts. `MapTypes` is for mappings."""

LIST_CLASSES = {"conceptclass", "datatype", "nametype", "descriptiontype", "maptype", "locale"}
"""Classes of the entries of lookup lists, which are not checked against the lists."""

FULL, SHORT, INDEX_TERM = "fullyspecified", "short", "indexterm"
_RELATIONS = {"qanda": "Q-AND-A", "conceptset": "CONCEPT-SET"}
"""Map types of which each has its own mappings between two concepts. All others share theirs."""
SHOWN = 80
"""Most characters of a given text in a message."""
EXTERNAL_ID = 36
"""Most characters of an external id."""
_IGNORED = re.compile(r"[\s_-]+")
_AFTER_LANGUAGE = re.compile("[_-]")

Lists = Mapping[str, frozenset[str] | None]
"""The values in each lookup source (`listed`). None: the source does not exist, is not checked."""


def loose(value: str) -> str:
    """Return a class, datatype or type as it is compared: without case, blanks, `-` and `_`."""
    return _IGNORED.sub("", value).casefold()


def listed(source: str, names: Iterable[str]) -> frozenset[str]:
    """Return the names in a lookup source as they are compared. Locales are compared exactly."""
    return frozenset(names if source == "Locales" else map(loose, names))


def concept_errors(concept: Mapping[str, Any], lists: Lists) -> dict[str, list[str]]:
    """Return the errors of an active concept by field."""
    found: dict[str, list[str]] = {
        "external_id": _too_long(concept),
        "names": [
            *_name_problems(concept["names"]),
            *_long_ids("names", concept["names"]),
        ],
        "descriptions": list(_long_ids("descriptions", concept["descriptions"])),
    }
    if loose(concept["concept_class"]) not in LIST_CLASSES:
        for part, type_field, types in (
            ("names", "name_type", "NameTypes"),
            ("descriptions", "description_type", "DescriptionTypes"),
        ):
            found[part] += _unlisted(
                part, concept[part], type_field, lists.get(types), lists.get("Locales")
            )
        if not _in(lists.get("Classes"), loose(concept["concept_class"])):
            found["concept_class"] = [
                f"{concept['concept_class'][:SHOWN]} is not in the list of concept classes"
            ]
        if not _in(lists.get("Datatypes"), _type(concept, "datatype")):
            text = f"{(concept['datatype'] or 'None')[:SHOWN]} is not in the list of datatypes"
            found |= {"data_type": [text], "datatype": [text]}
    return {field: texts for field, texts in found.items() if texts}


def mapping_errors(
    mapping: Mapping[str, Any], map_types: frozenset[str] | None
) -> dict[str, list[str]]:
    """Return the errors of an active mapping by field. `map_types` is the list `MapTypes`."""
    found = {"external_id": _too_long(mapping)}
    if not _in(map_types, loose(mapping["map_type"])):
        found["map_type"] = [f"{mapping['map_type'][:SHOWN]} is not in the list of map types"]
    return {field: texts for field, texts in found.items() if texts}


def relation(map_type: str) -> str:
    """Return the kind of a map type. Two concepts have at most one active mapping of each kind."""
    return _RELATIONS.get(loose(map_type), "")


def claims(concept: Mapping[str, Any]) -> list[int]:
    """Return the claims of an active concept: a number for each fully specified or preferred name.

    No other active concept of the source may have one of them. They are signed 64-bit numbers, and
    are stored in rows: change the database's format when they change.
    """
    if concept["retired"]:
        return []
    return sorted(
        {
            _claim(name)
            for _, name in _active(concept["names"])
            if name["locale_preferred"] or _type(name, "name_type") == FULL
        }
    )


def _claim(name: Mapping[str, Any]) -> int:
    text = f"{name['locale']}\0{_compared(name['name'])}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)


def _compared(name: str) -> str:
    """Return a name as it is compared: in form NFC, without case and blanks at its ends."""
    name = name.strip()
    if name.isascii():
        return name.lower()
    folded = unicodedata.normalize("NFD", name).casefold()
    return unicodedata.normalize("NFC", folded)


def _active(entries: Iterable[Mapping[str, Any]]) -> Iterable[tuple[int, Mapping[str, Any]]]:
    """Return the names or descriptions that are not retired, with their positions."""
    return ((place, entry) for place, entry in enumerate(entries) if not entry.get("retired"))


def _type(entry: Mapping[str, Any], field: str) -> str:
    return loose(entry[field] or "") or "none"


def _name_problems(names: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    seen: dict[tuple[str, str], int] = {}
    full = False
    for _, name in _active(names):
        kind, locale = _type(name, "name_type"), name["locale"]
        full = full or kind == FULL
        if kind == FULL:
            yield from _second(seen, ("fully specified name", locale))
        if kind == SHORT:
            yield from _second(seen, ("short name", locale))
        else:
            key = f"name {_compared(name['name'])}"
            yield from _second(seen, (f"name {name['name'][:SHOWN]!r}", locale), key)
        if name["locale_preferred"]:
            yield from _second(seen, ("preferred name", locale))
            if kind in (SHORT, INDEX_TERM):
                yield f"a short name or index term may not be preferred (locale {locale})"
    if not full:
        yield "at least one fully specified name is needed"


def _second(
    seen: dict[tuple[str, str], int], shown: tuple[str, str], key: str | None = None
) -> Iterable[str]:
    """Yield a message at the second occurrence in a locale."""
    counted = (key or shown[0], shown[1])
    seen[counted] = seen.get(counted, 0) + 1
    if seen[counted] == 2:
        yield f"more than one {shown[0]} in the locale {shown[1]}"


def _long_ids(part: str, entries: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for position, entry in _active(entries):
        for text in _too_long(entry):
            yield f"{part}[{position}].external_id: {text}"


def _too_long(value: Mapping[str, Any]) -> list[str]:
    too_long = len(value["external_id"] or "") > EXTERNAL_ID
    return [f"may have at most {EXTERNAL_ID} characters"] if too_long else []


def _unlisted(
    part: str,
    entries: Iterable[Mapping[str, Any]],
    type_field: str,
    types: frozenset[str] | None,
    locales: frozenset[str] | None,
) -> Iterable[str]:
    for position, entry in _active(entries):
        kind, locale = _type(entry, type_field), entry["locale"]
        if kind not in (FULL, SHORT) and not _in(types, kind):
            shown = (entry[type_field] or "None")[:SHOWN]
            yield f"{part}[{position}].{type_field}: {shown} is not in the list of types"
        language = _AFTER_LANGUAGE.split(locale, maxsplit=1)[0]
        if not (_in(locales, locale) or _in(locales, language)):
            yield f"{part}[{position}].locale: {locale} is not in the list of locales"


def _in(values: frozenset[str] | None, value: str) -> bool:
    return values is None or value in values
