"""The values of filters, sorts and facets, computed in the same way for both engines.

They are stored in the header of a row (`concept_header`, `mapping_header`), so an engine reads
bodies only to search for words.
"""

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b, sha256
from typing import Any

from oclapi import jsonio, times, urls
from oclapi.model import Json, Row, not_retired
from search.words import letters

LONGEST = 200
"""Most characters of a token and of a facet's value.

Longer values are cut, because engines reject long terms and a cursor contains a token.
"""
_DIGEST = 64
KEY = 300
"""Most characters of a text that a sort key compares."""
_DIGITS = re.compile(r"\d+")
_CONTROL = re.compile("[\x00-\x1f]")
_BETWEEN = "\t"  # sorts before every character of the first half, as the end of the text does


def fold(text: str) -> str:
    """Return a text without its case, as filters and sorts compare it."""
    return text.casefold()


@functools.lru_cache(maxsize=256)  # a list tests the same filter for each of its items
def folded(values: tuple[str, ...]) -> frozenset[str]:
    """Return the values of a filter without their case."""
    return frozenset(map(fold, values))


@functools.lru_cache(maxsize=8192)  # classes, locales, map types and codes repeat
def token(text: str) -> str:
    """Return a value as filters and sorts compare it: folded, and at most LONGEST characters long.

    The end of a longer value is replaced by its SHA-256, so different values stay different.
    """
    return cut(fold(text))


def cut(text: str) -> str:
    """Return a text of at most LONGEST characters, which ends with a hash if it was longer."""
    if len(text) <= LONGEST:
        return text
    return text[: LONGEST - _DIGEST] + sha256(text.encode()).hexdigest()


def id_key(id_: str) -> str:
    """Return what to sort an id or code by.

    Numbers in it are compared by value, then everything without case, then the exact text. Numbers
    get their length before their digits, so that the keys can be compared as texts.
    """
    return _key(_DIGITS.sub(_number, fold(id_[:KEY])), id_)


def name_key(name: str) -> str:
    """Return what to sort a name by: first without case and accents, then by its exact text."""
    return _key(letters(name[:KEY]), name)


def _number(found: re.Match[str]) -> str:
    digits = str(int(found[0]))
    length = len(digits)
    return f"{length}{digits}" if length < 9 else f"9{length:03}{digits}"


def _key(folded: str, exact: str) -> str:
    if len(exact) > KEY:
        exact = exact[: KEY - _DIGEST] + sha256(exact.encode()).hexdigest()
    return _CONTROL.sub(" ", folded)[: 2 * KEY].strip() + _BETWEEN + exact


def shown(text: str) -> str:
    """Return a value as facets show it: as written, at most LONGEST characters."""
    return text[:LONGEST]


def extras_token(path: Iterable[str], value: str) -> int:
    """Return the signed 64-bit number that represents a value inside extras.

    `path` is the list of keys that lead to the value.
    """
    digest = blake2b(f"{'__'.join(path)}\0{fold(value)}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def extras_tokens(extras: Any) -> list[int]:
    """Return the tokens of all scalar values inside extras.

    An element of a list has the path of the list. Numbers, true, false and null are compared in
    their JSON notation.
    """
    return (
        sorted({extras_token(path, value) for path, value in _leaves(extras, ())}) if extras else []
    )


def extras_values(extras: Any, path: Iterable[str]) -> Iterator[str]:
    """Yield the scalar values that `extras_tokens` would find under this path, folded.

    Other values are not read. Cost: that of the keys and list elements on the way.
    """
    return _under(extras, "__".join(path)) if extras else iter(())


def _under(value: Any, rest: str | None) -> Iterator[str]:
    """`rest` are the keys that are left, joined; None when none is left."""
    if isinstance(value, list):
        for part in value:
            yield from _under(part, rest)
    elif rest is None:
        if not isinstance(value, dict):
            yield fold(_text(value))
    elif isinstance(value, dict):
        for key, part in value.items():
            if key == rest:
                yield from _under(part, None)
            if rest.startswith(f"{key}__"):
                yield from _under(part, rest[len(key) + 2 :])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else jsonio.dumps(value).decode()


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield all scalar values with their paths. The nesting of a body bounds the recursion."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _leaves(part, (*path, key))
    elif isinstance(value, list):
        for part in value:
            yield from _leaves(part, path)
    else:
        yield path, _text(value)


def concept_header(concept: Mapping[str, Any], by: str) -> Json:
    """Return the header of a concept's row.

    `written` contains the facet values that differ from their tokens. It is left out when it is
    empty, and so is `extras`.
    """
    locales = list(dict.fromkeys(name["locale"] for name in not_retired(concept["names"])))
    header = {
        "display": concept["display_name"],
        "name": name_key(concept["display_name"]),
        "sort_id": id_key(concept["id"]),
        "concept_class": token(concept["concept_class"]),
        "datatype": token(concept["datatype"]),
        "locales": sorted(map(token, locales)),
        "by": token(by),
    }
    as_written = {
        "concept_class": shown(concept["concept_class"]),
        "datatype": shown(concept["datatype"]),
        "locales": sorted(map(shown, locales)),
    }
    written = {name: value for name, value in as_written.items() if value != header[name]}
    return {**header, **({"written": written} if written else {}), **_extras(concept)}


def mapping_header(mapping: Mapping[str, Any], number: int, by: str) -> Json:
    """Return the header of the row of a mapping's version `number`.

    `from_is` and `to_is` contain the tokens of the codes and names of the two concepts, `sort_from`
    and `sort_to` what to sort the codes by. `weight` is left out when the mapping has none, and
    `created` when this version is its first.
    """
    start = urls.item(mapping["from_concept_url"])
    from_code = start.id if start else ""
    ends = {
        "from_is": [from_code, mapping["from_concept_name"]],
        "to_is": [mapping["to_concept_code"], mapping["to_concept_name"]],
    }
    return {
        "from": mapping["from_concept_url"],
        "map_type": mapping["map_type"],
        "to": mapping["to"],
        "number": number,
        "own_to_name": mapping["own_to_name"],
        "by": token(by),
        "type": token(mapping["map_type"]),
        "sort_id": id_key(mapping["id"]),
        "sort_from": id_key(from_code),
        "sort_to": id_key(mapping["to_concept_code"]),
        **{
            name: list(dict.fromkeys(token(value) for value in values if value))
            for name, values in ends.items()
        },
        **({"weight": weight} if (weight := mapping["sort_weight"]) is not None else {}),
        **({"created": times.read(created).at} if (created := mapping["created_on"]) else {}),
        **_extras(mapping),
    }


@functools.lru_cache(maxsize=1024)
def source_keys(source_url: str) -> tuple[str, str]:
    """Return what to sort the entries of a source by, by its id and by its owner's."""
    source = urls.parts(source_url)
    return id_key(source.id), id_key(source.owner)


def _extras(value: Mapping[str, Any]) -> Json:
    tokens = extras_tokens(value["extras"])
    return {"extras": tokens} if tokens else {}


def facet_values(row: Row, repo_url: str) -> dict[str, tuple[str, ...]]:
    """Return the values of a row for each facet of its kind, as written.

    `repo_url` is the URL of the listed repository. The body is not needed.
    """
    source = urls.parts(urls.repo_of(row.url))
    listed = urls.parts(repo_url)
    common: dict[str, tuple[str, ...]] = {
        "retired": ("true" if row.retired else "false",),
        "source": (source.id,),
        "owner": (source.owner,),
        "ownerType": (source.owner_type,),
        "collection": (listed.id,) if "/collections/" in repo_url else (),
    }
    header = row.header
    if row.kind == "concept":
        written = {**header, **header.get("written", {})}
        return {
            "conceptClass": (written["concept_class"],),
            "datatype": (written["datatype"],),
            "locale": tuple(written["locales"]),
            **common,
        }
    ends = {name: urls.parts(urls.repo_of(header[name])) for name in ("from", "to")}
    both = (ends["from"], ends["to"])
    found: dict[str, tuple[str, ...]] = {"mapType": (shown(header["map_type"]),), **common}
    for field, name in (("id", "Source"), ("owner", "Owner"), ("owner_type", "OwnerType")):
        found[f"concept{name}"] = tuple(dict.fromkeys(getattr(end, field) for end in both))
        for end, parts in ends.items():
            found[f"{end}Concept{name}"] = (getattr(parts, field),)
    return found
