"""Lists of users, organisations and repositories (contract 5.4).

They are short enough to be searched and sorted here, without the search engine.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Generic, TypeVar

from flask import Response

from config.settings import Settings
from oclapi import urls
from oclapi.model import Json, Organization, Repository, User
from oclapi.resources import paging, params, queries
from oclapi.resources.paging import Paging
from oclapi.resources.responses import ok
from oclapi.store.owners import OrganizationFilter
from oclapi.store.repos import RepositoryFilter
from oclapi.store.users import UserFilter
from search import fields
from search.base import FACET_VALUES, Filter
from search.matching import Matcher, Texts
from search.words import terms

T = TypeVar("T")
"""What a list contains: users, organisations or repositories."""

ListFilter = OrganizationFilter | UserFilter | RepositoryFilter
"""Which values a list contains."""

ListFunction = Callable[..., tuple[int, list[T]]]
"""A function of the store that returns how many values match a filter, and one page of them.

`limit` (0 for all) and `skip` select the page, in the default order of the list. `oldest_first`
reverses the order; lists with only one order do not have it.
"""


@dataclass(frozen=True, slots=True)
class ListOptions(Generic[T]):
    """The search, filters and sorts of a list. The functions get one value of the list."""

    # Returns the texts that `q` searches.
    texts: Callable[[T], Texts]
    # Returns what is unique in the list. It orders values that are equal in a sort.
    key: Callable[[T], str]
    # Functions that return what to sort by, by the values of `sortAsc`. Values that mean the same
    # sort have the same function. Every list also has `bestMatch`.
    sorts: Mapping[str, Callable[[T], Any]]
    # The default order: a key of `sorts`, and whether it is descending.
    order: tuple[str, bool]
    # Functions that return the values of a field, by filter.
    filters: Mapping[str, Callable[[T], Iterable[str | None]]]
    # The filters that are counted as facets.
    facets: tuple[str, ...] = ()
    # Returns the extras for the filters `extras__...`. None: the list does not have these filters.
    extras: Callable[[T], Json | None] | None = None


ORGS: ListOptions[Organization] = ListOptions(
    texts=lambda org: Texts([org.id], [org.name], _texts(org.company, org.location)),
    key=lambda org: org.id,
    sorts={
        "name": lambda org: org.name,
        **dict.fromkeys(params.LAST_UPDATE, lambda org: org.updated_on),
    },
    order=("lastUpdate", True),
    filters={"company": lambda org: [org.company], "location": lambda org: [org.location]},
    extras=lambda org: org.extras,
)
USERS: ListOptions[User] = ListOptions(
    texts=lambda user: Texts([user.username], [user.name], _texts(user.company, user.location)),
    key=lambda user: user.username,
    sorts={"username": lambda user: user.username, "dateJoined": lambda user: user.created_on},
    order=("dateJoined", False),
    filters={"company": lambda user: [user.company], "location": lambda user: [user.location]},
)
_REPOSITORY: Mapping[str, Callable[[Repository], Iterable[str | None]]] = {
    "locale": lambda repo: repo.supported_locales,
    "owner": lambda repo: [urls.parts(repo.url).owner],
    "ownerType": lambda repo: [urls.parts(repo.url).owner_type],
    "customValidationSchema": lambda repo: [repo.custom_validation_schema or "None"],
    "user": lambda repo: _owners(repo, "User"),
    "org": lambda repo: _owners(repo, "Organization"),
}
SOURCES: ListOptions[Repository] = ListOptions(
    texts=lambda repo: Texts(
        [repo.id], _texts(repo.name, repo.full_name), _texts(repo.description)
    ),
    key=lambda repo: repo.url,
    sorts={
        "name": lambda repo: repo.name,
        **dict.fromkeys(params.LAST_UPDATE, lambda repo: repo.updated_on),
    },
    order=("lastUpdate", True),
    filters={"sourceType": lambda repo: [repo.source_type], **_REPOSITORY},
    facets=("sourceType", "locale", "owner", "ownerType", "customValidationSchema"),
    extras=lambda repo: repo.extras,
)


def _texts(*texts: str | None) -> list[str]:
    return [text for text in texts if text]


def _owners(repo: Repository, kind: str) -> list[str]:
    owner = urls.parts(repo.url)
    return [owner.owner] if owner.owner_type == kind else []


@dataclass(frozen=True, slots=True)
class ListRequest:
    """A request for a list."""

    pages: Paging
    since: datetime | None
    verbose: bool
    matcher: Matcher | None
    filters: Sequence[Filter]
    sort: str
    descending: bool
    facets: bool

    @classmethod
    def from_params(cls, options: ListOptions[Any], settings: Settings) -> "ListRequest":
        """Read the parameters of the request. Raises Invalid."""
        words = terms(params.words())
        spellings = {name: name for name in (*options.sorts, *params.BEST_MATCH)}
        sort, descending = params.order(spellings, ("bestMatch", True) if words else options.order)
        found = [
            Filter(name, tuple(values))
            for name in options.filters
            if (values := params.alternatives(name)) is not None
        ]
        found += queries.extras() if options.extras else []
        return cls(
            pages=paging.paging(settings),
            since=params.since(),
            verbose=bool(params.flag("verbose")),
            matcher=Matcher(words) if words else None,
            filters=found,
            sort=sort,
            descending=descending,
            facets=params.wants_facets(),
        )

    def is_plain(self, options: ListOptions[Any]) -> bool:
        """Return whether the store can sort and page the list."""
        return (
            not (self.matcher or self.filters or self.facets)
            and options.sorts.get(self.sort) is options.sorts[options.order[0]]
        )


Present = Callable[[Sequence[T]], list[Any]]
"""Returns the values of a page in the format of the response.

It gets all of them at once, so that counting what belongs to each costs one query.
"""


def each(present: Callable[[T], Any]) -> Present[T]:
    """Apply a function to each value of a page."""
    return lambda values: [present(value) for value in values]


def respond(
    settings: Settings,
    request: ListRequest,
    find: ListFunction[T],
    selected: ListFilter,
    present: Present[T],
    options: ListOptions[T],
) -> Response:
    """Return one page of the values that match `selected` and the request.

    The response contains facets if the request asks for them. The default order costs one index
    range. Words, filters, facets and other sorts read all values that match `selected`.
    """
    pages, selected = request.pages, replace(selected, since=request.since)
    if request.is_plain(options):
        total, found = find(
            selected, limit=pages.limit, skip=pages.skip, oldest_first=not request.descending
        )
        return ok(present(found), paging.headers(settings, pages, total, len(found)))
    _, everything = find(selected, limit=0, skip=0)
    matches = _matches(everything, request, options)
    page = matches if pages.everything else matches[pages.skip : pages.skip + pages.limit]
    shown: Any = present(page)
    if request.facets:
        shown = {"results": shown, "facets": queries.shown_facets(_facets(matches, options))}
    return ok(shown, paging.headers(settings, pages, len(matches), len(page)))


def _matches(values: Iterable[T], request: ListRequest, options: ListOptions[T]) -> list[T]:
    """Return the values that match, sorted."""
    ranked = []
    tests = [_test(condition, options) for condition in request.filters]
    for value in values:
        rank = request.matcher.rank(options.texts(value)) if request.matcher else 0
        if rank is not None and all(passes(value) for passes in tests):
            order = (
                rank if request.sort in params.BEST_MATCH else options.sorts[request.sort](value)
            )
            ranked.append(
                (
                    fields.token(order) if isinstance(order, str) else order,
                    options.key(value),
                    value,
                )
            )
    ranked.sort(key=lambda one: one[:2], reverse=request.descending)
    return [value for _, _, value in ranked]


def _test(condition: Filter, options: ListOptions[T]) -> Callable[[T], bool]:
    """Return the test of a filter. Its values are prepared once for the whole list."""
    if condition.name == "extras":
        extras_of = options.extras
        assert extras_of is not None  # otherwise there are no such filters
        tokens = {fields.extras_token(condition.path, value) for value in condition.values}
        return lambda value: (
            condition.negated == tokens.isdisjoint(fields.extras_tokens(extras_of(value)))
        )
    wanted, texts_of = fields.folded(condition.values), options.filters[condition.name]
    return lambda value: (
        not wanted.isdisjoint({fields.fold(text) for text in texts_of(value) if text})
    )


def _facets(values: Iterable[T], options: ListOptions[T]) -> dict[str, list[tuple[str, int]]]:
    """Return the values of each facet with their counts, most frequent first, then by value."""
    counters: dict[str, Counter[str]] = {name: Counter() for name in options.facets}
    for value in values:
        for name in options.facets:
            counters[name].update(
                {fields.shown(text) for text in options.filters[name](value) if text}
            )
    return {
        name: sorted(counter.items(), key=lambda one: (-one[1], one[0]))[:FACET_VALUES]
        for name, counter in counters.items()
    }
