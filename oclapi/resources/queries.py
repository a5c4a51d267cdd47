"""The query parameters of lists of concepts and mappings, as a Query (contract 5.4)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b

from flask import request

from oclapi import urls
from oclapi.model import Kind
from oclapi.resources import params
from search import fields
from search.base import FILTERS, Filter, Query, Sort
from search.words import asks

SORTS: Mapping[Kind, Mapping[str, Sort]] = {
    "concept": {
        **params.ID,
        **params.NAME,
        **params.LAST_UPDATE,
        "conceptClass": "conceptClass",
        "concept_class": "conceptClass",
        "datatype": "datatype",
        "dataType": "datatype",
        "source": "source",
        "owner": "owner",
        **params.BEST_MATCH,
    },
    "mapping": {
        **params.ID,
        **params.LAST_UPDATE,
        "mapType": "mapType",
        "map_type": "mapType",
        "fromConcept": "fromConcept",
        "toConcept": "toConcept",
        "source": "source",
        "owner": "owner",
        **params.BEST_MATCH,
    },
}
"""Fields to sort by, by the spellings that clients may use."""
ALIASES = {"datatype": ("datatype", "dataType")}
"""The spellings of filters that have more than one."""
CONCEPTS = ("concept", "fromConcept", "toConcept")
"""Filters of mappings on a concept, by its URL, code or name."""
SOURCE_FILTERS = ("source", "owner", "ownerType", "user", "org", "collection")
"""Filters on the source. All entries of a source match them, or none."""


def query(kind: Kind, address: str) -> Query:
    """Return the query of the request. `address` is the server's. Raises Invalid."""
    text = params.words()
    text = text if asks(text) else ""
    sort, descending = params.order(
        SORTS[kind], ("bestMatch", True) if text else ("lastUpdate", True)
    )
    retired = params.flag("retired")
    if retired is None and not params.flag("includeRetired"):
        retired = False
    return Query(
        kind,
        text,
        retired,
        (*_filters(kind, address), *extras()),
        sort,
        descending,
        params.wants_facets(),
    )


def _filters(kind: Kind, address: str) -> list[Filter]:
    found = []
    for name in FILTERS[kind]:
        for spelling in ALIASES.get(name, (name,)):
            is_concept = name in CONCEPTS
            most = urls.LONGEST if is_concept else params.LONGEST
            values = params.alternatives(spelling, most)
            if values is not None:
                if is_concept:
                    values = [one for value in values for one in _stored(value, address)]
                found.append(Filter(name, tuple(values)))
    return found


def _stored(value: str, address: str) -> Sequence[str]:
    """Return the values that mappings may store for a concept that a filter names.

    For a URL that is the canonical one without a version. Ids are in form NFC, but the codes of
    external mappings and the names are as they were given.
    """
    found = urls.item(urls.without_address(value, address)) if "/" in value else None
    return [found.stable] if found else list(dict.fromkeys((value, urls.nfc(value))))


def extras() -> list[Filter]:
    """Return the filters `extras__a__b=value`. A name that ends with `!` negates the filter."""
    found = []
    for name in dict.fromkeys(request.args):
        if name.startswith("extras__"):
            values = params.alternatives(name)
            if values is not None:
                path = tuple(name.removesuffix("!").split("__")[1:])
                found.append(Filter("extras", tuple(values), path, name.endswith("!")))
    return found


def without_source(query: Query) -> Query:
    """Return the query without the filters that `in_source` checks."""
    return replace(
        query, filters=tuple(one for one in query.filters if one.name not in SOURCE_FILTERS)
    )


def in_source(query: Query, url: str) -> bool:
    """Return whether the entries of the source at this URL match the SOURCE_FILTERS."""
    source = urls.parts(url)
    owners = {"Organization": "org", "User": "user"}
    values = {
        "source": source.id,
        "owner": source.owner,
        "ownerType": source.owner_type,
        owners[source.owner_type]: source.owner,
    }
    return all(
        one.name in values and fields.fold(values[one.name]) in fields.folded(one.values)
        for one in query.filters
        if one.name in SOURCE_FILTERS
    )


def digest(query: Query, *more: object) -> str:
    """Return a digest of the query and further parameters, by which a cursor recognizes them."""
    return blake2b(repr((query, more)).encode("utf-8", "surrogatepass"), digest_size=9).hexdigest()


def shown_facets(facets: Mapping[str, Sequence[tuple[str, int]]]) -> Mapping[str, object]:
    """Return facets in the format of the response."""
    return {
        "fields": {name: [list(value) for value in values] for name, values in facets.items()},
        "dates": {},
        "queries": {},
    }
