"""The validation schema OpenMRS (contract 18) as far as one concept and the lookup lists tell.
Pure.

That a fully specified or preferred name is carried by no other active concept needs the others: see
`claims` and `rivals`.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

LOOKUP_SOURCES = ("Classes", "Datatypes", "NameTypes", "DescriptionTypes", "Locales")
"""Sources of the organisation OCL that concepts are checked against; `MapTypes` is for mappings."""

LIST_CLASSES = {"Concept Class", "Datatype", "NameType", "DescriptionType", "MapType", "Locale"}
"""Concepts of these classes are the entries of lookup lists themselves and are not looked up."""

_CANONICAL = {"Fully Specified": "FULLY_SPECIFIED", "Short": "SHORT", "Index Term": "INDEX_TERM"}
_SPELLINGS = {**_CANONICAL, **{short: spoken for spoken, short in _CANONICAL.items()}}
_ALWAYS = {"FULLY_SPECIFIED", "SHORT"}
SHOWN = 80
"""Characters of a given text that a message repeats."""

Lists = Mapping[str, frozenset[str] | None]
"""Lookup source -> the names in it; None: there is no such source, nothing is checked against it.
"""


def concept_errors(concept: Mapping[str, Any], lists: Lists) -> dict[str, list[str]]:
    """What is wrong with a concept, by field; empty when nothing is."""
    errors: dict[str, list[str]] = {}
    problems = list(_name_problems(concept["names"]))
    if concept["concept_class"] not in LIST_CLASSES:
        locales = lists.get("Locales")
        problems += _entry_problems(
            "names", concept["names"], "name_type", lists.get("NameTypes"), locales
        )
        types = lists.get("DescriptionTypes")
        descriptions = list(
            _entry_problems(
                "descriptions", concept["descriptions"], "description_type", types, locales
            )
        )
        if descriptions:
            errors["descriptions"] = descriptions
        if not _listed(concept["concept_class"], lists.get("Classes")):
            errors["concept_class"] = [
                f"{concept['concept_class'][:SHOWN]} is not in the list of concept classes"
            ]
        datatype = concept["datatype"] or "None"
        if not _listed(datatype, lists.get("Datatypes")):
            text = f"{datatype[:SHOWN]} is not in the list of datatypes"
            errors |= {"data_type": [text], "datatype": [text]}
    if problems:
        errors["names"] = problems
    return errors


def claims(concept: Mapping[str, Any]) -> list[int]:
    """What the store keeps of an active concept's names to find rivals: one signed 64-bit number
    per name, short names aside.

    Even: the concept carries the name. Odd: the same number plus one, it is fully specified or
    preferred, so nobody else may carry it.
    """
    if concept["retired"]:
        return []
    return sorted({_claim(name) for name in concept["names"] if _type(name) != "SHORT"})


def rivals(concept: Mapping[str, Any]) -> list[int]:
    """The claims of other concepts that are in conflict with this one's names."""
    return against(claims(concept))


def against(claims: Iterable[int]) -> list[int]:
    """The claims that are in conflict with these."""
    return sorted(
        {other for claim in claims for other in ((claim, claim - 1) if claim % 2 else (claim + 1,))}
    )


def _claim(name: Mapping[str, Any]) -> int:
    digest = blake2b(f"{name['locale']}\0{name['name']}".encode(), digest_size=8).digest()
    number = int.from_bytes(digest, "big", signed=True)
    alone = _type(name) == "FULLY_SPECIFIED" or name["locale_preferred"]
    return number | 1 if alone else number & ~1


def _type(entry: Mapping[str, Any]) -> str | None:
    kind: str | None = entry["name_type"]
    return _CANONICAL.get(kind, kind) if kind else None


def _name_problems(names: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    seen: dict[tuple[str, str], int] = {}
    full = False
    for name in names:
        kind, locale = _type(name), name["locale"]
        full = full or kind == "FULLY_SPECIFIED"
        if kind == "FULLY_SPECIFIED":
            yield from _second(seen, ("fully specified name", locale))
        if kind == "SHORT":
            yield from _second(seen, ("short name", locale))
        else:
            yield from _second(
                seen, (f"name {name['name'][:SHOWN]!r}", locale), f"name {name['name']}"
            )
        if name["locale_preferred"]:
            yield from _second(seen, ("preferred name", locale))
            if kind in ("SHORT", "INDEX_TERM"):
                yield f"a short name or index term may not be preferred (locale {locale})"
    if not full:
        yield "at least one fully specified name is needed"


def _second(
    seen: dict[tuple[str, str], int], shown: tuple[str, str], key: str | None = None
) -> Iterable[str]:
    """A message at the second of its kind in a locale, only once."""
    place = (key or shown[0], shown[1])
    seen[place] = seen.get(place, 0) + 1
    if seen[place] == 2:
        yield f"more than one {shown[0]} in the locale {shown[1]}"


def _entry_problems(
    part: str,
    entries: Iterable[Mapping[str, Any]],
    type_field: str,
    types: frozenset[str] | None,
    locales: frozenset[str] | None,
) -> Iterable[str]:
    for place, entry in enumerate(entries):
        kind = entry[type_field] or "None"
        known = (
            _CANONICAL.get(kind, kind) in _ALWAYS
            or _listed(kind, types)
            or _listed(_SPELLINGS.get(kind, kind), types)
        )
        if not known:
            yield f"{part}[{place}].{type_field}: {kind[:SHOWN]} is not in the list of types"
        if not _listed(entry["locale"], locales):
            yield f"{part}[{place}].locale: {entry['locale']} is not in the list of locales"


def _listed(value: str, names: frozenset[str] | None) -> bool:
    return names is None or value in names
