"""What a listing of concepts or mappings is asked for: the request's parameters as a Query
(contract 5.4).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b

from flask import request

from oclapi import urls
from oclapi.model import Kind
from oclapi.resources import params
from search import fields
from search.base import FILTERS, Filter, Query, Sort
from search.words import terms

SORTS: Mapping[Kind, Mapping[str, Sort]] = {
    "concept": {
        "id": "id",
        "name": "name",
        "conceptClass": "conceptClass",
        "datatype": "datatype",
        **params.LAST_UPDATE,
        **params.BEST_MATCH,
    },
    "mapping": {"mapType": "mapType", **params.LAST_UPDATE, **params.BEST_MATCH},
}
"""The spellings of each sort."""
ALIASES = {"datatype": ("datatype", "dataType")}
"""Filters with more than one spelling."""
OF_SOURCE = ("source", "owner", "ownerType", "user", "org", "collection")
"""Filters that all entries of a source meet, or none."""


def query(kind: Kind) -> Query:
    """The request's query. Raises Invalid."""
    text = params.text("q") or ""
    text = text if terms(text) else ""
    sort, descending = params.order(
        SORTS[kind], ("bestMatch", True) if text else ("lastUpdate", True)
    )
    retired = params.flag("retired")
    if retired is None and not params.flag("includeRetired"):
        retired = False
    return Query(
        kind, text, retired, (*_filters(kind), *extras()), sort, descending, params.wants_facets()
    )


def _filters(kind: Kind) -> list[Filter]:
    found = []
    for name in FILTERS[kind]:
        for spelling in ALIASES.get(name, (name,)):
            values = params.alternatives(spelling)
            if values is not None:
                values = (
                    [_stable(value) for value in values]
                    if name in ("concept", "fromConcept", "toConcept")
                    else values
                )
                found.append(Filter(name, tuple(values)))
    return found


def _stable(value: str) -> str:
    """A concept's URL as mappings hold it: relative, without a version, with its last slash. Codes
    and names stay what they are.
    """
    found = urls.item(value) if "/" in value else None
    return found.stable if found else value


def extras() -> list[Filter]:
    """The filters `extras__a__b=value`; a name that ends with `!` negates."""
    found = []
    for name in dict.fromkeys(request.args):
        if name.startswith("extras__"):
            values = params.alternatives(name)
            if values is not None:
                path = tuple(name.removesuffix("!").split("__")[1:])
                found.append(Filter("extras", tuple(values), path, name.endswith("!")))
    return found


def without_source(wanted: Query) -> Query:
    """The query without the filters that `in_source` decides."""
    return replace(
        wanted, filters=tuple(one for one in wanted.filters if one.name not in OF_SOURCE)
    )


def in_source(wanted: Query, url: str) -> bool:
    """Do the entries of the source at this URL meet the filters of OF_SOURCE?"""
    there = urls.parts(url)
    owners = {"Organization": "org", "User": "user"}
    values = {
        "source": there.id,
        "owner": there.owner,
        "ownerType": there.owner_type,
        owners[there.owner_type]: there.owner,
    }
    asked_for = (one for one in wanted.filters if one.name in OF_SOURCE)
    return all(
        one.name in values and fields.fold(values[one.name]) in map(fields.fold, one.values)
        for one in asked_for
    )


def is_plain(wanted: Query) -> bool:
    """Is the whole content asked for, in its own order?"""
    return not (wanted.text or wanted.filters or wanted.facets) and wanted.sort == "lastUpdate"


def mark(wanted: Query, *more: object) -> str:
    """What a cursor keeps to know the query again: short, and different for different ones."""
    return blake2b(repr((wanted, more)).encode("utf-8", "surrogatepass"), digest_size=9).hexdigest()


def shown_facets(facets: Mapping[str, Sequence[tuple[str, int]]]) -> Mapping[str, object]:
    """Facets as an answer holds them."""
    return {
        "fields": {name: [list(value) for value in values] for name, values in facets.items()},
        "dates": {},
        "queries": {},
    }
