"""Lists of owners, repositories and versions: few documents, answered from the store always
(contract 5.4).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Response

from config.settings import Settings
from oclapi import urls
from oclapi.model import Json
from oclapi.resources import paging, params, queries
from oclapi.resources.responses import ok
from oclapi.store.owners import extras_of
from search import fields
from search.base import FACET_VALUES, Filter
from search.matching import Matcher, Texts
from search.words import terms

Listing = Callable[..., tuple[int, list[Json]]]
"""A store function: how many documents match a filter, and one page of them (`limit`, 0 for all,
and `skip`) in the list's own order.

`oldest_first` gives the direction, and is left out where the list has only one.
"""

FAR = 2**31 - 1
"""An offset beyond every list."""


@dataclass(frozen=True, slots=True)
class About:
    """What a list can be asked for. Values are those of one stored document."""

    texts: Callable[[Json], Texts]  # what `q` looks at
    sorts: Mapping[str, str]  # spelling -> stored field; `bestMatch` comes with every list
    order: tuple[str, bool]  # the list's own order: a spelling, and whether the largest come first
    filters: Mapping[str, Callable[[Json], Iterable[str | None]]]
    facets: tuple[str, ...] = ()  # of the filters
    aliases: Mapping[str, str] | None = None  # further names of filters
    extras: bool = True  # `extras__...` filters


LAST_UPDATE = dict.fromkeys(params.LAST_UPDATE, "updated_on")

ORGS = About(
    texts=lambda org: Texts([org["_id"]], [org["name"]], _there(org["company"], org["location"])),
    sorts={"name": "name", **LAST_UPDATE},
    order=("lastUpdate", True),
    filters={"company": lambda org: [org["company"]], "location": lambda org: [org["location"]]},
)
USERS = About(
    texts=lambda user: Texts(
        [user["_id"]], [user["name"]], _there(user["company"], user["location"])
    ),
    sorts={"username": "_id", "dateJoined": "created_on"},
    order=("dateJoined", False),
    filters={
        "company": lambda user: [user["company"]],
        "location": lambda user: [user["location"]],
    },
    extras=False,
)
_REPOSITORY: Mapping[str, Callable[[Json], Iterable[str | None]]] = {
    "locale": lambda repo: repo["supported_locales"],
    "owner": lambda repo: [urls.parts(repo["url"]).owner],
    "ownerType": lambda repo: [urls.parts(repo["url"]).owner_type],
    "customValidationSchema": lambda repo: [repo["custom_validation_schema"] or "None"],
    "user": lambda repo: _owners(repo, "User"),
    "org": lambda repo: _owners(repo, "Organization"),
}
SOURCES = About(
    texts=lambda repo: Texts(
        [repo["id"]], _there(repo["name"], repo["full_name"]), _there(repo["description"])
    ),
    sorts={"name": "name", **LAST_UPDATE},
    order=("lastUpdate", True),
    filters={"sourceType": lambda repo: [repo["source_type"]], **_REPOSITORY},
    facets=("sourceType", "locale", "owner", "ownerType", "customValidationSchema"),
)


def _there(*texts: str | None) -> list[str]:
    return [text for text in texts if text]


def _owners(repo: Json, kind: str) -> list[str]:
    owner = urls.parts(repo["url"])
    return [owner.owner] if owner.owner_type == kind else []


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request to a list."""

    matcher: Matcher | None
    filters: list[Filter]
    sort: str
    descending: bool
    facets: bool

    @classmethod
    def of(cls, about: About) -> "_Asked":
        """Raises Invalid."""
        wanted = terms(params.text("q") or "")
        spellings = {name: name for name in (*about.sorts, *params.BEST_MATCH)}
        sort, descending = params.order(spellings, ("bestMatch", True) if wanted else about.order)
        names = [*about.filters, *(about.aliases or {})]
        found = [
            Filter(name, tuple(values))
            for name in names
            if (values := params.alternatives(name)) is not None
        ]
        found += queries.extras() if about.extras else []
        return cls(
            Matcher(wanted) if wanted else None, found, sort, descending, params.wants_facets()
        )

    def is_plain(self, about: About) -> bool:
        """Does the store's own order with its own paging do?"""
        return (
            not (self.matcher or self.filters or self.facets)
            and about.sorts.get(self.sort) == about.sorts[about.order[0]]
        )


Present = Callable[[Sequence[Json]], list[Any]]
"""How the documents of a page are shown, all at once: what is counted for them takes one query."""


def each(present: Callable[[Json], Any]) -> Present:
    """Each shown by itself."""
    return lambda documents: [present(document) for document in documents]


def answer(
    settings: Settings, listing: Listing, where: Json, present: Present, about: About
) -> Response:
    """One page of the documents that match `where` and the request's parameters, with facets where
    they are asked for.

    Cost: one index range for the list's own order; words, filters, facets and other sorts read all
    documents that match `where`.
    """
    pages, wanted, where = paging.paging(settings), _Asked.of(about), {**where, **updated_since()}
    skip = min(pages.offset, FAR)
    if wanted.is_plain(about):
        total, found = listing(
            where, limit=pages.limit, skip=skip, oldest_first=not wanted.descending
        )
        return ok(present(found), paging.headers(settings, pages, total, len(found)))
    _, everything = listing(where, limit=0, skip=0)
    chosen = _chosen(everything, wanted, about)
    part = chosen if pages.everything else chosen[skip : skip + pages.limit]
    shown: Any = present(part)
    if wanted.facets:
        shown = {"results": shown, "facets": queries.shown_facets(_facets(chosen, about))}
    return ok(shown, paging.headers(settings, pages, len(chosen), len(part)))


def _chosen(documents: Iterable[Json], wanted: _Asked, about: About) -> list[Json]:
    """Those that match, in order."""
    ranked = []
    for document in documents:
        rank = wanted.matcher.rank(about.texts(document)) if wanted.matcher else 0
        if rank is not None and all(_meets(document, one, about) for one in wanted.filters):
            value = rank if wanted.sort in params.BEST_MATCH else document[about.sorts[wanted.sort]]
            ranked.append(
                (
                    fields.token(value) if isinstance(value, str) else value,
                    document.get("url", document["_id"]),
                    document,
                )
            )
    ranked.sort(key=lambda one: one[:2], reverse=wanted.descending)
    return [document for _, _, document in ranked]


def _meets(document: Json, wanted: Filter, about: About) -> bool:
    if wanted.name == "extras":
        there = set(fields.extras_tokens(extras_of(document)))
        return wanted.negated == there.isdisjoint(
            fields.extras_token(wanted.path, value) for value in wanted.values
        )
    values = about.filters[(about.aliases or {}).get(wanted.name, wanted.name)](document)
    return not {fields.fold(value) for value in values if value}.isdisjoint(
        map(fields.fold, wanted.values)
    )


def _facets(documents: Iterable[Json], about: About) -> dict[str, list[tuple[str, int]]]:
    """Every facet's values with their numbers, most frequent first, then by value."""
    counted: dict[str, Counter[str]] = {name: Counter() for name in about.facets}
    for document in documents:
        for name in about.facets:
            counted[name].update(
                {fields.shown(value) for value in about.filters[name](document) if value}
            )
    return {
        name: sorted(values.items(), key=lambda one: (-one[1], one[0]))[:FACET_VALUES]
        for name, values in counted.items()
    }


def updated_since() -> Json:
    """The filter that `updatedSince` means for documents."""
    moment = params.moment("updatedSince")
    return {"updated_on": {"$gte": moment.at}} if moment else {}
