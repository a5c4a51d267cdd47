"""Rows and markers as Solr's documents; config/solr/configset/conf/schema.xml tells what each field
is for. Pure.
"""

import functools
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from oclapi import jsonio, urls
from oclapi.model import Json, Row
from search import fields

SCHEMA = 1
"""Raised with the name of the schema when documents written before no longer serve."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_LOOSE = re.compile("[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7]")
"""Accents that no composed character has, and the points of Hebrew."""
# Cyrillic io, its dots seldom written; micro and mu
_ALIKE = str.maketrans("\u0451\u0401\u00b5", "\u0435\u0415\u03bc")
_MARKS = str.maketrans(
    dict.fromkeys(
        ".,:;_'\u2019\u00b7\u0387\u05f4\u2024\u2027\u203f\u2040\u2044\ufe52\uff0e\uff07\uff1a", " "
    )
)
"""What Solr's tokenizer would keep inside of a word or a number; the built-in search parts words
there.
"""


@dataclass(frozen=True, slots=True)
class Marker:
    """How far the index has come with a repository. Written after the rows, on the same shard; a
    searcher that has it has them.
    """

    repo: int
    rev: int
    # of that revision in the store's log, "" for revision 0: tells a store that was put back from a
    # backup
    commit: str
    store: str  # identity of the database, so an index filled from another one counts as empty


def document(row: Row, head: int, repo_url: str) -> Json:
    """What Solr is given for a row that was read when its repository stood at revision `head`.

    `repo_url` is the repository's. The row has its header and its body. Cost: 30 microseconds, most
    of them for reading the body.
    """
    body, header = jsonio.loads_own(row.body), row.header
    made: Json = {
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
        **_place("/".join(row.url.split("/", 5)[:5]) + "/", repo_url),
    }
    if "extras" in header:
        made["extras"] = header["extras"]
    if row.kind == "concept":
        _concept(made, row.id, header, body)
    else:
        _mapping(made, row, body)
    return made


@functools.lru_cache(maxsize=1024)
def _place(source_url: str, repo_url: str) -> Mapping[str, str]:
    """What a source's rows in one repository share."""
    source, listed = urls.parts(source_url), urls.parts(repo_url)
    made = {"source": source.id, "owner": source.owner, "ownerType": source.owner_type}
    if "/collections/" in repo_url:
        made["collection"] = listed.id
    return {f"facet_{name}": value for name, value in made.items()} | {
        f"is_{n}": fields.token(v) for n, v in made.items()
    }


def _concept(made: Json, short_id: str, header: Mapping[str, Any], body: Json) -> None:
    written = header.get("written", header)
    made["is_conceptClass"], made["facet_conceptClass"] = (
        header["concept_class"],
        written.get("concept_class", header["concept_class"]),
    )
    made["is_datatype"], made["facet_datatype"] = (
        header["datatype"],
        written.get("datatype", header["datatype"]),
    )
    made["is_locale"], made["facet_locale"] = (
        header["locales"],
        written.get("locales", header["locales"]),
    )
    made["sort_name"], made["sort_id"], made["q_code"] = header["name"], short_id.lower(), short_id
    names, descriptions = body["names"], body["descriptions"]
    made["q_names"] = [parted(name["name"]) for name in names]
    if descriptions:
        made["q_text"] = [parted(description["description"]) for description in descriptions]
    external = [
        plain(part["external_id"]) for part in (body, *names, *descriptions) if part["external_id"]
    ]
    if external:
        made["q_external"] = external
    made["q_parts"] = [parted(code) for code in (short_id, *external) if not code.isalnum()]


def _mapping(made: Json, row: Row, body: Json) -> None:
    header = row.header
    made |= _ends(
        "/".join(header["from"].split("/", 5)[:5]) + "/",
        "/".join(header["to"].split("/", 5)[:5]) + "/",
    )
    made["is_mapType"], made["facet_mapType"] = header["type"], fields.shown(header["map_type"])
    made["is_fromConcept"] = [fields.token(header["from"]), *header["from_is"]]
    made["is_toConcept"] = [fields.token(header["to"]), *header["to_is"]]
    made["q_code"] = [
        plain(code) for code in (body["from_concept_code"], body["to_concept_code"]) if code
    ]
    made["q_names"] = [
        parted(name) for name in (body["from_concept_name"], body["to_concept_name"]) if name
    ]
    made["q_external"] = [plain(code) for code in (row.id, body["external_id"]) if code]
    made["q_parts"] = [
        parted(code) for code in (*made["q_code"], *made["q_external"]) if not code.isalnum()
    ]


@functools.lru_cache(maxsize=1024)
def _ends(from_source: str, to_source: str) -> Mapping[str, str | list[str]]:
    """What the mappings from one source to another share."""
    ends = (urls.parts(from_source), urls.parts(to_source))
    made: dict[str, str | list[str]] = {}
    for field, name in (("id", "Source"), ("owner", "Owner"), ("owner_type", "OwnerType")):
        start, end = (getattr(parts, field) for parts in ends)
        made |= {
            f"facet_fromConcept{name}": start,
            f"facet_toConcept{name}": end,
            f"facet_concept{name}": [*{start, end}],
        }
        made |= {
            f"is_fromConcept{name}": fields.token(start),
            f"is_toConcept{name}": fields.token(end),
        }
    return made


def document_id(repo: int, from_rev: int, url: str) -> str:
    return f"{repo}/{from_rev}/{url}"


def marker_id(repo: int) -> str:
    return f"marker/{repo}"


def marker_document(marker: Marker) -> Json:
    """What Solr is given for a marker; `store` holds SCHEMA too, so rows written for another schema
    count as missing.
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
    """A text as Solr's analysis is given it: composed (NFC), without accents that stand alone and
    without control characters.
    """
    if text.isascii():
        return _CONTROL.sub(" ", text)
    return _LOOSE.sub("", unicodedata.normalize("NFC", _CONTROL.sub(" ", text))).translate(_ALIKE)


def parted(text: str) -> str:
    """The same for a text of words: one space between any two, and no marks that Solr would keep
    inside of a word.
    """
    return " ".join(plain(text).translate(_MARKS).split())
