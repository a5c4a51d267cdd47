"""Lists of users, organisations and repositories (contract 5.4).

They are short enough to be searched and sorted here, without the search engine. The documents may
be large, so they are read one after the other.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from typing import Any, Generic, Protocol, TypeVar

from flask import Response

from config.settings import Settings
from oclapi import jsonio, urls
from oclapi.errors import SearchUnavailable
from oclapi.model import Json, Organization, Repository, User
from oclapi.resources import paging, params, queries
from oclapi.resources.paging import Paging
from oclapi.resources.responses import array, ok, ok_bytes
from oclapi.store.owners import OrganizationFilter
from oclapi.store.repos import RepositoryFilter
from oclapi.store.users import UserFilter
from search import fields
from search.base import FACET_VALUES, Filter
from search.matching import Matcher, Texts
from search.words import asks

T = TypeVar("T", bound=User | Organization | Repository)
"""What a list contains."""
V_co = TypeVar("V_co", covariant=True)

ListFilter = OrganizationFilter | UserFilter | RepositoryFilter
"""Which values a list contains."""

BATCH, BATCH_BYTES = 1000, 2**20
"""Values, and bytes of their texts and extras, that are presented at once."""


class ListStore(Protocol[V_co]):
    """The part of the store that keeps the values of a list."""

    def count(self, selected: Any) -> int: ...

    def listing(
        self,
        selected: Any,
        *,
        limit: int = 0,
        skip: int = 0,
        oldest_first: bool = False,
        full: bool = True,
    ) -> Iterator[V_co]: ...

    def chosen(self, selected: Any, keys: Sequence[str], *, full: bool) -> Iterator[V_co]: ...


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
    # Whether the list has the filters `extras__...`.
    extras: bool = False


ORGS: ListOptions[Organization] = ListOptions(
    texts=lambda org: Texts([org.id], [org.name], _texts(org.company, org.location)),
    key=lambda org: org.id,
    sorts={
        **dict.fromkeys(params.ID, lambda org: fields.id_key(org.id)),
        **dict.fromkeys(params.NAME, lambda org: fields.name_key(org.name)),
        **dict.fromkeys(params.LAST_UPDATE, lambda org: org.updated_on),
        **dict.fromkeys(params.CREATED_ON, lambda org: org.created_on),
    },
    order=("lastUpdate", True),
    filters={"company": lambda org: [org.company], "location": lambda org: [org.location]},
    extras=True,
)
USERS: ListOptions[User] = ListOptions(
    texts=lambda user: Texts([user.username], [user.name], _texts(user.company, user.location)),
    key=lambda user: user.username,
    sorts={
        **dict.fromkeys(("username", "_username"), lambda user: fields.id_key(user.username)),
        **dict.fromkeys(params.NAME, lambda user: fields.name_key(user.name)),
        **dict.fromkeys(("dateJoined", "date_joined"), lambda user: user.created_on),
    },
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
        **dict.fromkeys(params.ID, lambda repo: fields.id_key(repo.id)),
        **dict.fromkeys(params.NAME, lambda repo: fields.name_key(repo.name)),
        "full_name": lambda repo: fields.name_key(repo.full_name),
        **dict.fromkeys(
            ("sourceType", "source_type"), lambda repo: fields.token(repo.source_type or "")
        ),
        "owner": lambda repo: fields.id_key(urls.parts(repo.url).owner),
        **dict.fromkeys(params.LAST_UPDATE, lambda repo: repo.updated_on),
        **dict.fromkeys(params.CREATED_ON, lambda repo: repo.created_on),
    },
    order=("lastUpdate", True),
    filters={"sourceType": lambda repo: [repo.source_type], **_REPOSITORY},
    facets=("sourceType", "locale", "owner", "ownerType", "customValidationSchema"),
    extras=True,
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
        words = params.words()
        searches = asks(words)
        spellings = {name: name for name in (*options.sorts, *params.BEST_MATCH)}
        sort, descending = params.order(
            spellings, ("bestMatch", True) if searches else options.order
        )
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
            matcher=Matcher(words) if searches else None,
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
    store: ListStore[T],
    selected: ListFilter,
    present: Present[T],
    options: ListOptions[T],
) -> Response:
    """Return one page of the values that match `selected` and the request.

    The response contains facets if the request asks for them. The default order costs one index
    range. Words, filters, facets and other sorts read all values that match `selected`, and then
    those of the page. Memory: some large values, and the keys of all that match; a large page is
    streamed. Raises SearchUnavailable when reading all values takes too long.
    """
    pages, selected = request.pages, replace(selected, since=request.since)
    facets = None
    if request.is_plain(options):
        total = store.count(selected)
        expected = total if pages.everything else max(0, min(pages.limit, total - pages.skip))
        found = store.listing(
            selected,
            limit=pages.limit,
            skip=pages.skip,
            oldest_first=not request.descending,
            full=request.verbose,
        )
    else:
        matches, counted = _matches(
            store.listing(selected, full=any(one.name == "extras" for one in request.filters)),
            request,
            options,
            time.monotonic() + settings.builtin_patience,
        )
        total = len(matches)
        shown_counts = queries.shown_facets(_most_frequent(counted))
        if params.facets_only():
            return ok({"facets": shown_counts}, paging.no_entries(total))
        page = matches if pages.everything else matches[pages.skip : pages.skip + pages.limit]
        expected = len(page)
        found = store.chosen(selected, page, full=request.verbose)
        if request.facets:
            facets = jsonio.dumps(shown_counts)
    batches = _presented(found, present)
    first, second = next(batches, []), next(batches, None)
    if second is None:
        body = b"".join(_body([first], facets))
        return ok_bytes(body, paging.headers(settings, pages, total, len(first)))
    streamed = _body(chain((first, second), batches), facets)
    return ok_bytes(streamed, paging.headers(settings, pages, total, expected))


def _presented(values: Iterable[T], present: Present[T]) -> Iterator[list[bytes]]:
    """Yield the values in the format of the response, in batches of limited size."""
    batch: list[T] = []
    size = 0
    for value in values:
        more = _size(value)
        if batch and (size + more > BATCH_BYTES or len(batch) == BATCH):
            yield [jsonio.dumps(shown) for shown in present(batch)]
            batch, size = [], 0
        batch.append(value)
        size += more
    if batch:
        yield [jsonio.dumps(shown) for shown in present(batch)]


def _size(value: User | Organization | Repository) -> int:
    parts = (getattr(value, name) for name in value.__slots__)
    return sum(len(part) for part in parts if isinstance(part, str | bytes))


def _body(batches: Iterable[Sequence[bytes]], facets: bytes | None) -> Iterator[bytes]:
    if facets is None:
        return array(batches)
    return chain([b'{"results":'], array(batches), [b',"facets":', facets, b"}"])


def _matches(
    values: Iterable[T], request: ListRequest, options: ListOptions[T], deadline: float
) -> tuple[list[str], dict[str, Counter[str]]]:
    """Return the keys of the values that match, sorted, and how often each facet has each value."""
    ranked = []
    counted: dict[str, Counter[str]] = {
        name: Counter() for name in options.facets if request.facets
    }
    passes = _test(request.filters, options, deadline)
    for value in values:
        rank = request.matcher.rank(options.texts(value)) if request.matcher else 0
        if rank is not None and passes(value):
            order = (
                rank if request.sort in params.BEST_MATCH else options.sorts[request.sort](value)
            )
            ranked.append((order, options.key(value)))
            for name, counter in counted.items():
                counter.update(
                    {fields.shown(text) for text in options.filters[name](value) if text}
                )
        _check_time(deadline)
    ranked.sort(reverse=request.descending)
    return [key for _, key in ranked], counted


def _test(
    filters: Sequence[Filter], options: ListOptions[T], deadline: float
) -> Callable[[T], bool]:
    """Return the test of all filters. Their values are prepared once for the whole list."""
    wanted = [(one, fields.folded(one.values)) for one in filters]

    def passes(value: T) -> bool:
        extras: Json | None = None
        for one, texts in wanted:
            if one.name != "extras":
                has = {fields.fold(text) for text in options.filters[one.name](value) if text}
                if texts.isdisjoint(has):
                    return False
                continue
            _check_time(deadline)
            extras = extras or value.extras or {}
            if one.negated != texts.isdisjoint(fields.extras_values(extras, one.path)):
                return False
        return True

    return passes


def _check_time(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise SearchUnavailable("the list has too many entries to be searched; use fewer filters")


def _most_frequent(counted: Mapping[str, Counter[str]]) -> dict[str, list[tuple[str, int]]]:
    """Return the values of each facet with their counts, most frequent first, then by value."""
    return {
        name: sorted(counter.items(), key=lambda one: (-one[1], one[0]))[:FACET_VALUES]
        for name, counter in counted.items()
    }
