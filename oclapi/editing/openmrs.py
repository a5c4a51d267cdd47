"""The rules of the validation schema OpenMRS for one concept (contract 18).

Whether another active concept has the same fully specified or preferred name depends on the other
concepts: see `claims` and `rivals`.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

LOOKUP_SOURCES = ("Classes", "Datatypes", "NameTypes", "DescriptionTypes", "Locales")
"""Sources of the organisation OCL with the lists for concepts. `MapTypes` is for mappings."""

LIST_CLASSES = {"Concept Class", "Datatype", "NameType", "DescriptionType", "MapType", "Locale"}
"""Classes of the entries of lookup lists, which are not checked against the lists."""

_CANONICAL = {"Fully Specified": "FULLY_SPECIFIED", "Short": "SHORT", "Index Term": "INDEX_TERM"}
_SPELLINGS = {**_CANONICAL, **{short: long for long, short in _CANONICAL.items()}}
_ALWAYS = {"FULLY_SPECIFIED", "SHORT"}
SHOWN = 80
"""Most characters of a given text in a message."""

Lists = Mapping[str, frozenset[str] | None]
"""The names in each lookup source. None: the source does not exist and is not checked."""


def concept_errors(concept: Mapping[str, Any], lists: Lists) -> dict[str, list[str]]:
    """Return the errors of a concept by field."""
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
    """Return the claims of an active concept: a signed 64-bit number for each name but short ones.

    The number of a fully specified or preferred name is odd: no other concept may have that name.
    The number of any other name is even, and one less than the odd one of the same name.
    """
    if concept["retired"]:
        return []
    return sorted({_claim(name) for name in concept["names"] if _type(name) != "SHORT"})


def rivals(concept: Mapping[str, Any]) -> list[int]:
    """Return the claims of other concepts that conflict with this concept."""
    return against(claims(concept))


def against(claims: Iterable[int]) -> list[int]:
    """Return the claims that conflict with these."""
    return sorted(
        {other for claim in claims for other in ((claim, claim - 1) if claim % 2 else (claim + 1,))}
    )


def _claim(name: Mapping[str, Any]) -> int:
    digest = blake2b(f"{name['locale']}\0{name['name']}".encode(), digest_size=8).digest()
    number = int.from_bytes(digest, "big", signed=True)
    exclusive = _type(name) == "FULLY_SPECIFIED" or name["locale_preferred"]
    return number | 1 if exclusive else number & ~1


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
    """Yield a message at the second occurrence in a locale."""
    counted = (key or shown[0], shown[1])
    seen[counted] = seen.get(counted, 0) + 1
    if seen[counted] == 2:
        yield f"more than one {shown[0]} in the locale {shown[1]}"


def _entry_problems(
    part: str,
    entries: Iterable[Mapping[str, Any]],
    type_field: str,
    types: frozenset[str] | None,
    locales: frozenset[str] | None,
) -> Iterable[str]:
    for position, entry in enumerate(entries):
        kind = entry[type_field] or "None"
        known = (
            _CANONICAL.get(kind, kind) in _ALWAYS
            or _listed(kind, types)
            or _listed(_SPELLINGS.get(kind, kind), types)
        )
        if not known:
            yield f"{part}[{position}].{type_field}: {kind[:SHOWN]} is not in the list of types"
        if not _listed(entry["locale"], locales):
            yield f"{part}[{position}].locale: {entry['locale']} is not in the list of locales"


def _listed(value: str, names: frozenset[str] | None) -> bool:
    return names is None or value in names
