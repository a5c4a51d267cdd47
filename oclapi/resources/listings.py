"""Lists of users, organisations and repositories (contract 5.4).

They are short enough to be searched and sorted here, without the search engine.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flask import Response

from config.settings import Settings
from oclapi import urls
from oclapi.model import Json, Repository
from oclapi.resources import paging, params, queries
from oclapi.resources.responses import ok
from oclapi.store.metadata import extras_of
from search import fields
from search.base import FACET_VALUES, Filter
from search.matching import Matcher, Texts
from search.words import terms

ListFunction = Callable[..., tuple[int, list[Any]]]
"""A function of the store that returns how many documents match a filter, and one page of them.

`limit` (0 for all) and `skip` select the page, in the default order of the list. `oldest_first`
reverses the order; lists with only one order do not have it.
"""


@dataclass(frozen=True, slots=True)
class ListOptions:
    """The search, filters and sorts of a list. The functions get one stored document."""

    # Returns the texts that `q` searches.
    texts: Callable[[Any], Texts]
    # Stored fields to sort by, by the values of `sortAsc`. Every list also has `bestMatch`.
    sorts: Mapping[str, str]
    # The default order: a key of `sorts`, and whether it is descending.
    order: tuple[str, bool]
    # Functions that return the values of a document, by filter.
    filters: Mapping[str, Callable[[Any], Iterable[str | None]]]
    # The filters that are counted as facets.
    facets: tuple[str, ...] = ()
    # Further names of filters.
    aliases: Mapping[str, str] | None = None
    # Whether the list has `extras__...` filters.
    extras: bool = True


LAST_UPDATE = dict.fromkeys(params.LAST_UPDATE, "updated_on")

ORGS = ListOptions(
    texts=lambda org: Texts([org["_id"]], [org["name"]], _texts(org["company"], org["location"])),
    sorts={"name": "name", **LAST_UPDATE},
    order=("lastUpdate", True),
    filters={"company": lambda org: [org["company"]], "location": lambda org: [org["location"]]},
)
USERS = ListOptions(
    texts=lambda user: Texts(
        [user["_id"]], [user["name"]], _texts(user["company"], user["location"])
    ),
    sorts={"username": "_id", "dateJoined": "created_on"},
    order=("dateJoined", False),
    filters={
        "company": lambda user: [user["company"]],
        "location": lambda user: [user["location"]],
    },
    extras=False,
)
_REPOSITORY: Mapping[str, Callable[[Any], Iterable[str | None]]] = {
    "locale": lambda repo: repo.supported_locales,
    "owner": lambda repo: [urls.parts(repo.url).owner],
    "ownerType": lambda repo: [urls.parts(repo.url).owner_type],
    "customValidationSchema": lambda repo: [repo.custom_validation_schema or "None"],
    "user": lambda repo: _owners(repo, "User"),
    "org": lambda repo: _owners(repo, "Organization"),
}
SOURCES = ListOptions(
    texts=lambda repo: Texts(
        [repo.id], _texts(repo.name, repo.full_name), _texts(repo.description)
    ),
    sorts={"name": "name", **LAST_UPDATE},
    order=("lastUpdate", True),
    filters={"sourceType": lambda repo: [repo.source_type], **_REPOSITORY},
    facets=("sourceType", "locale", "owner", "ownerType", "customValidationSchema"),
)


def _texts(*texts: str | None) -> list[str]:
    return [text for text in texts if text]


def _owners(repo: Repository, kind: str) -> list[str]:
    owner = urls.parts(repo.url)
    return [owner.owner] if owner.owner_type == kind else []


@dataclass(frozen=True, slots=True)
class _ListQuery:
    """The query parameters of a request for a list."""

    matcher: Matcher | None
    filters: list[Filter]
    sort: str
    descending: bool
    facets: bool

    @classmethod
    def from_params(cls, options: ListOptions) -> "_ListQuery":
        """Read the parameters of the request. Raises Invalid."""
        words = terms(params.text("q") or "")
        spellings = {name: name for name in (*options.sorts, *params.BEST_MATCH)}
        sort, descending = params.order(spellings, ("bestMatch", True) if words else options.order)
        names = [*options.filters, *(options.aliases or {})]
        found = [
            Filter(name, tuple(values))
            for name in names
            if (values := params.alternatives(name)) is not None
        ]
        found += queries.extras() if options.extras else []
        return cls(
            Matcher(words) if words else None, found, sort, descending, params.wants_facets()
        )

    def is_plain(self, options: ListOptions) -> bool:
        """Return whether the store can sort and page the list."""
        return (
            not (self.matcher or self.filters or self.facets)
            and options.sorts.get(self.sort) == options.sorts[options.order[0]]
        )


Present = Callable[[Sequence[Any]], list[Any]]
"""Returns the documents of a page in the format of the response.

It gets all of them at once, so that counting what belongs to each costs one query.
"""


def each(present: Callable[[Any], Any]) -> Present:
    """Apply a function to each document of a page."""
    return lambda documents: [present(document) for document in documents]


def respond(
    settings: Settings, find: ListFunction, where: Any, present: Present, options: ListOptions
) -> Response:
    """Return one page of the documents that match `where` and the query parameters.

    The response contains facets if the request asks for them. The default order costs one index
    range. Words, filters, facets and other sorts read all documents that match `where`.
    """
    pages, query = paging.paging(settings), _ListQuery.from_params(options)
    where = (
        {**where, **updated_since()}
        if isinstance(where, dict)
        else replace(where, since=params.since())
    )
    skip = pages.skip
    if query.is_plain(options):
        total, found = find(where, limit=pages.limit, skip=skip, oldest_first=not query.descending)
        return ok(present(found), paging.headers(settings, pages, total, len(found)))
    _, everything = find(where, limit=0, skip=0)
    matches = _matches(everything, query, options)
    page = matches if pages.everything else matches[skip : skip + pages.limit]
    shown: Any = present(page)
    if query.facets:
        shown = {"results": shown, "facets": queries.shown_facets(_facets(matches, options))}
    return ok(shown, paging.headers(settings, pages, len(matches), len(page)))


def _matches(documents: Iterable[Any], query: _ListQuery, options: ListOptions) -> list[Any]:
    """Return the documents that match, sorted."""
    ranked = []
    for document in documents:
        rank = query.matcher.rank(options.texts(document)) if query.matcher else 0
        if rank is not None and all(_passes(document, one, options) for one in query.filters):
            value = (
                rank
                if query.sort in params.BEST_MATCH
                else _value(document, options.sorts[query.sort])
            )
            ranked.append(
                (
                    fields.token(value) if isinstance(value, str) else value,
                    _value(document, "url"),
                    document,
                )
            )
    ranked.sort(key=lambda one: one[:2], reverse=query.descending)
    return [document for _, _, document in ranked]


def _passes(document: Any, condition: Filter, options: ListOptions) -> bool:
    if condition.name == "extras":
        tokens = set(fields.extras_tokens(_extras(document)))
        return condition.negated == tokens.isdisjoint(
            fields.extras_token(condition.path, value) for value in condition.values
        )
    values = options.filters[(options.aliases or {}).get(condition.name, condition.name)](document)
    return not {fields.fold(value) for value in values if value}.isdisjoint(
        map(fields.fold, condition.values)
    )


def _facets(documents: Iterable[Any], options: ListOptions) -> dict[str, list[tuple[str, int]]]:
    """Return the values of each facet with their counts, most frequent first, then by value."""
    counters: dict[str, Counter[str]] = {name: Counter() for name in options.facets}
    for document in documents:
        for name in options.facets:
            counters[name].update(
                {fields.shown(value) for value in options.filters[name](document) if value}
            )
    return {
        name: sorted(values.items(), key=lambda one: (-one[1], one[0]))[:FACET_VALUES]
        for name, values in counters.items()
    }


def _value(document: Any, field: str) -> Any:
    if isinstance(document, dict):
        return document.get(field, document["_id"])
    return getattr(document, field)


def _extras(document: Any) -> Any:
    return extras_of(document) if isinstance(document, dict) else document.extras


def updated_since() -> Json:
    """Return the filter on stored documents for `updatedSince`."""
    since = params.moment("updatedSince")
    return {"updated_on": {"$gte": since.at}} if since else {}
