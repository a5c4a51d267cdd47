"""Rows and markers as Solr documents.

config/solr/configset/conf/schema.xml documents the fields.
"""

import functools
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from oclapi import jsonio, urls
from oclapi.model import Json, Row, not_retired
from search import fields

SCHEMA = 2
"""Version of the schema. Increase it, and its name in schema.xml, when documents change."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_LOOSE = re.compile("[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7]")
"""Combining accents that remain after composition, and Hebrew points."""
# Cyrillic io is mostly written without its dots. The micro sign is the letter mu.
_ALIKE = str.maketrans("\u0451\u0401\u00b5", "\u0435\u0415\u03bc")
_MARKS = str.maketrans(
    dict.fromkeys(
        ".,:;_'\u2019\u00b7\u0387\u05f4\u2024\u2027\u203f\u2040\u2044\ufe52\uff0e\uff07\uff1a", " "
    )
)
"""Characters that Solr's tokenizer keeps inside words and numbers.

The built-in search separates words at them, so they become spaces.
"""


@dataclass(frozen=True, slots=True)
class Marker:
    """The revision up to which a repository is indexed.

    It is written after the rows, to the same shard. A searcher that sees it sees the rows too.
    """

    repo: int
    rev: int
    # Commit id of that revision, "" for revision 0. It detects a store restored from a backup.
    commit: str
    store: str  # identity of the database: an index filled from another one counts as empty


def document(row: Row, head: int, repo_url: str) -> Json:
    """Return the Solr document of a row that was read when its repository was at revision `head`.

    The row must have its header and its body. Cost: about 30 microseconds, mostly for parsing the
    body.
    """
    body, header = jsonio.loads_own(row.body), row.header
    result: Json = {
        "id": document_id(row.repo, row.from_rev, row.url),
        "repo": str(row.repo),
        "kind": row.kind,
        "url": row.url,
        "from_rev": row.from_rev,
        "to_rev": row.to_rev,
        "at": int(row.at.timestamp() * 1000 + 0.5),
        "retired": row.retired,
        "head": head,
        "is_updatedBy": header["by"],
        "sort_id": header["sort_id"],
        **_origin(urls.repo_of(row.url), repo_url),
    }
    if "extras" in header:
        result["extras"] = header["extras"]
    if row.kind == "concept":
        _concept(result, row.id, header, body)
    else:
        _mapping(result, row, body)
    return result


@functools.lru_cache(maxsize=1024)
def _origin(source_url: str, repo_url: str) -> Mapping[str, str]:
    """Return the fields that all rows of a source in one repository share."""
    source, listed = urls.parts(source_url), urls.parts(repo_url)
    result = {"source": source.id, "owner": source.owner, "ownerType": source.owner_type}
    if "/collections/" in repo_url:
        result["collection"] = listed.id
    sorts = dict(zip(("sort_source", "sort_owner"), fields.source_keys(source_url), strict=True))
    return (
        {f"facet_{name}": value for name, value in result.items()}
        | {f"is_{n}": fields.token(v) for n, v in result.items()}
        | sorts
    )


def _concept(result: Json, short_id: str, header: Mapping[str, Any], body: Json) -> None:
    written = header.get("written", header)
    result["is_conceptClass"], result["facet_conceptClass"] = (
        header["concept_class"],
        written.get("concept_class", header["concept_class"]),
    )
    result["is_datatype"], result["facet_datatype"] = (
        header["datatype"],
        written.get("datatype", header["datatype"]),
    )
    result["is_locale"], result["facet_locale"] = (
        header["locales"],
        written.get("locales", header["locales"]),
    )
    result["sort_name"], result["q_code"] = header["name"], short_id
    names, descriptions = not_retired(body["names"]), not_retired(body["descriptions"])
    result["q_names"] = [parted(name["name"]) for name in names]
    if descriptions:
        result["q_text"] = [parted(description["description"]) for description in descriptions]
    external = [
        plain(part["external_id"]) for part in (body, *names, *descriptions) if part["external_id"]
    ]
    if external:
        result["q_external"] = external
    result["q_parts"] = [parted(code) for code in (short_id, *external) if not code.isalnum()]


def _mapping(result: Json, row: Row, body: Json) -> None:
    header = row.header
    result |= _ends(urls.repo_of(header["from"]), urls.repo_of(header["to"]))
    result["is_mapType"], result["facet_mapType"] = header["type"], fields.shown(header["map_type"])
    result["sort_fromConcept"], result["sort_toConcept"] = header["sort_from"], header["sort_to"]
    result["is_fromConcept"] = [fields.token(header["from"]), *header["from_is"]]
    result["is_toConcept"] = [fields.token(header["to"]), *header["to_is"]]
    result["q_code"] = [
        plain(code) for code in (body["from_concept_code"], body["to_concept_code"]) if code
    ]
    result["q_names"] = [
        parted(name) for name in (body["from_concept_name"], body["to_concept_name"]) if name
    ]
    result["q_external"] = [plain(code) for code in (row.id, body["external_id"]) if code]
    result["q_parts"] = [
        parted(code) for code in (*result["q_code"], *result["q_external"]) if not code.isalnum()
    ]


@functools.lru_cache(maxsize=1024)
def _ends(from_source: str, to_source: str) -> Mapping[str, str | list[str]]:
    """Return the fields that all mappings from one source to another share."""
    ends = (urls.parts(from_source), urls.parts(to_source))
    result: dict[str, str | list[str]] = {}
    for field, name in (("id", "Source"), ("owner", "Owner"), ("owner_type", "OwnerType")):
        start, end = (getattr(parts, field) for parts in ends)
        result |= {
            f"facet_fromConcept{name}": start,
            f"facet_toConcept{name}": end,
            f"facet_concept{name}": [*{start, end}],
        }
        result |= {
            f"is_fromConcept{name}": fields.token(start),
            f"is_toConcept{name}": fields.token(end),
        }
    return result


def document_id(repo: int, from_rev: int, url: str) -> str:
    return f"{repo}/{from_rev}/{url}"


def marker_id(repo: int) -> str:
    return f"marker/{repo}"


def marker_document(marker: Marker) -> Json:
    """Return the Solr document of a marker.

    `store` contains SCHEMA too, so rows written for another schema count as missing.
    """
    return {
        "id": marker_id(marker.repo),
        "repo": str(marker.repo),
        "kind": "marker",
        "head": marker.rev,
        "rev": marker.rev,
        "commit": marker.commit,
        "store": store_name(marker.store),
    }


def store_name(store: str) -> str:
    return f"{store}/{SCHEMA}"


def plain(text: str) -> str:
    """Return a text in form NFC, without remaining combining accents and control characters."""
    if text.isascii():
        return _CONTROL.sub(" ", text)
    return _LOOSE.sub("", unicodedata.normalize("NFC", _CONTROL.sub(" ", text))).translate(_ALIKE)


def parted(text: str) -> str:
    """Like `plain`, but words are separated by single spaces and at _MARKS."""
    return " ".join(plain(text).translate(_MARKS).split())
