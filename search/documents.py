"""Rows and markers as Solr documents.

config/solr/configset/conf/schema.xml documents the fields.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from oclapi import jsonio, urls
from oclapi.model import Json, Row
from search import fields
from search.matching import Texts, line, texts_of, words
from search.words import exact

SCHEMA = 2
"""Version of the schema. Increase it, and its name in schema.xml, when documents change."""


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
        _concept(result, header)
    else:
        _mapping(result, header)
    return result | _searched(texts_of(row.kind, body), header.get("display", ""))


def _searched(texts: Texts, display: str) -> Json:
    """Return what `q` searches, as `search.matching` compares it."""
    codes, names = list(map(line, texts.codes)), list(map(line, texts.names))
    return {
        "q_names": names,
        "q_others": [*codes, *map(line, texts.others)],
        "q_code_words": list(map(fields.cut, codes)),
        "q_name_words": list(map(fields.cut, names)),
        "q_code": [fields.cut(exact(code)) for code in texts.codes],
        "q_name": [fields.cut(exact(name)) for name in texts.names],
        "length": len(words(display)),
    }


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


def _concept(result: Json, header: Mapping[str, Any]) -> None:
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
    result["sort_name"] = header["name"]


def _mapping(result: Json, header: Mapping[str, Any]) -> None:
    result |= _ends(urls.repo_of(header["from"]), urls.repo_of(header["to"]))
    result["is_mapType"], result["facet_mapType"] = header["type"], fields.shown(header["map_type"])
    result["sort_fromConcept"], result["sort_toConcept"] = header["sort_from"], header["sort_to"]
    result["is_fromConcept"] = [fields.token(header["from"]), *header["from_is"]]
    result["is_toConcept"] = [fields.token(header["to"]), *header["to_is"]]


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
