"""What both engines take from a row: the values of its filters, sorts and facets, made and cut
alike. Pure.

A row's header holds them (`concept_header`, `mapping_header`), so an engine need not read bodies
for anything but words.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b, sha256
from typing import Any

from oclapi import jsonio, urls
from oclapi.model import Json, Row

LONGEST = 200
"""Characters of a token and of a facet's value. What is longer is cut, since an engine refuses long
terms and a cursor holds one.
"""
_DIGEST = 64


def fold(text: str) -> str:
    """A text as filters and sorts compare it: ignoring case."""
    return text.casefold()


@functools.lru_cache(maxsize=8192)  # classes, locales, map types and codes come again and again
def token(text: str) -> str:
    """A value as filters and sorts compare it: folded; a long one keeps its beginning and its
    sha256, so that only equal ones are equal.
    """
    folded = fold(text)
    if len(folded) <= LONGEST:
        return folded
    return folded[: LONGEST - _DIGEST] + sha256(folded.encode()).hexdigest()


def shown(text: str) -> str:
    """A value as facets count it: as written, a long one cut."""
    return text[:LONGEST]


def extras_token(path: Iterable[str], value: str) -> int:
    """What stands for one value of extras, or for one that is looked for: a signed 64-bit number.
    `path`: the keys that lead to it.
    """
    digest = blake2b(f"{'__'.join(path)}\0{fold(value)}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def extras_tokens(extras: Any) -> list[int]:
    """The tokens of every plain value inside extras. An entry of a list counts as a value at the
    list's own place.

    Numbers and true, false, null are looked for as JSON writes them.
    """
    return (
        sorted({extras_token(path, value) for path, value in _leaves(extras, ())}) if extras else []
    )


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Bounded by the nesting that a body may have."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _leaves(part, (*path, key))
    elif isinstance(value, list):
        for part in value:
            yield from _leaves(part, path)
    else:
        yield path, value if isinstance(value, str) else jsonio.dumps(value).decode()


def concept_header(concept: Mapping[str, Any], by: str) -> Json:
    """The header of a concept's row. `written` holds facet values that differ from their tokens; it
    and `extras` may be missing.
    """
    locales = list(dict.fromkeys(name["locale"] for name in concept["names"]))
    header = {
        "display": concept["display_name"],
        "name": token(concept["display_name"]),
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
    """The header of the row of a mapping's version `number`. `from_is`, `to_is`: tokens of the
    codes and names at its ends.
    """
    start = urls.item(mapping["from_concept_url"])
    ends = {
        "from_is": [start.id if start else None, mapping["from_concept_name"]],
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
        **{
            name: list(dict.fromkeys(token(value) for value in values if value))
            for name, values in ends.items()
        },
        **_extras(mapping),
    }


def _extras(value: Mapping[str, Any]) -> Json:
    tokens = extras_tokens(value["extras"])
    return {"extras": tokens} if tokens else {}


def facet_values(row: Row, repo_url: str) -> dict[str, tuple[str, ...]]:
    """The values of a row for each facet of its kind, as written; `repo_url`: of the repository
    that is listed. Needs no body.
    """
    source = urls.parts("/".join(row.url.split("/")[:5]) + "/")
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
    ends = {
        name: urls.parts("/".join(header[name].split("/")[:5]) + "/") for name in ("from", "to")
    }
    both = (ends["from"], ends["to"])
    found: dict[str, tuple[str, ...]] = {"mapType": (shown(header["map_type"]),), **common}
    for field, name in (("id", "Source"), ("owner", "Owner"), ("owner_type", "OwnerType")):
        found[f"concept{name}"] = tuple(dict.fromkeys(getattr(end, field) for end in both))
        for end, parts in ends.items():
            found[f"{end}Concept{name}"] = (getattr(parts, field),)
    return found
