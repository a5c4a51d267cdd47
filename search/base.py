"""What a listing asks of a search engine and what comes back: the one interface, spoken by two
adapters.

Solr (`solr.py`) pages listings where its copy of a repository has come far enough; the built-in
search on MongoDB (`mongo.py`) answers everywhere else. Both give the same pages, but for the
ranking of words. An engine returns keys; bodies come from the store.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from oclapi.model import Kind, Revision
from oclapi.store.database import Session

Sort = Literal["lastUpdate", "bestMatch", "id", "name", "conceptClass", "datatype", "mapType"]

FACETS: Mapping[Kind, tuple[str, ...]] = {
    "concept": (
        "conceptClass",
        "datatype",
        "locale",
        "retired",
        "source",
        "collection",
        "owner",
        "ownerType",
    ),
    "mapping": (
        "mapType",
        "retired",
        "source",
        "collection",
        "owner",
        "ownerType",
        "conceptSource",
        "fromConceptSource",
        "toConceptSource",
        "conceptOwner",
        "fromConceptOwner",
        "toConceptOwner",
        "conceptOwnerType",
        "fromConceptOwnerType",
        "toConceptOwnerType",
    ),
}
"""The filters that are counted as facets too, by kind of entry (contract 5.4)."""

FILTERS: Mapping[Kind, tuple[str, ...]] = {
    "concept": (*FACETS["concept"][:3], *FACETS["concept"][4:], "updatedBy", "user", "org"),
    "mapping": (
        *(name for name in FACETS["mapping"] if name != "retired"),
        "concept",
        "fromConcept",
        "toConcept",
        "updatedBy",
    ),
}
"""The filters by value; `retired` is `Query.retired`, and extras are `Filter.path`."""

FACET_VALUES = 100
"""Values of one facet that are counted at most, most frequent first."""


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter: the entry has one of `values` there, compared as wholes, ignoring case."""

    name: str  # of FILTERS, or "extras"
    values: tuple[str, ...]
    path: tuple[str, ...] = ()  # for "extras": the keys that lead to the value
    negated: bool = False  # none of the values instead


@dataclass(frozen=True, slots=True)
class Query:
    """Which entries of a scope a listing wants, and in which order. Filters are combined with AND."""

    kind: Kind
    text: str = ""  # `q` as the client gave it; words.terms says what it means
    retired: bool | None = False  # None: both
    filters: tuple[Filter, ...] = ()
    sort: Sort = "lastUpdate"
    descending: bool = True  # ties by url, in the same direction
    facets: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one repository that are visible at a revision and that a commit from `since` on
    brought in.
    """

    revision: Revision
    since: int = 0


@dataclass(frozen=True, slots=True)
class Scope:
    """Where to look: the listing of one repository is one part; a global listing has many
    repositories, most of them at HEAD.
    """

    parts: tuple[Part, ...] = ()
    heads: tuple[int, ...] = ()  # numbers of repositories of which the living rows are meant
    since: datetime | None = None  # with heads: only rows that were written at that moment or later


@dataclass(frozen=True, slots=True)
class Key:
    """A row: (repo, url, from_rev) is unique."""

    repo: int
    url: str
    from_rev: int


Position = tuple[str | int | float, str]
"""Where a page ended: the value sorted by (`search.fields.token`; for lastUpdate in one repository:
from_rev), and the url.
"""


@dataclass(frozen=True, slots=True)
class Hits:
    """One page of an answer."""

    keys: Sequence[Key]
    total: int  # exact, of the whole answer
    # by name: values as written, with their counts
    facets: Mapping[str, Sequence[tuple[str, int]]] = field(default_factory=dict)
    # of the last key; None: none, or a sort that can only be paged by counting (bestMatch, many
    # repositories)
    last: Position | None = None
    # revisions that the engine has still to learn of the parts asked; 0 for MongoDB, and for heads
    # (see `reached`)
    behind: int = 0
    # for heads: the sum of the revisions that the engine's copies of these repositories have
    # reached
    reached: int = 0


class SearchIndex(Protocol):
    """An engine that finds rows."""

    name: str
    """What answers and metrics call it."""

    def find(
        self,
        session: Session,
        scope: Scope,
        query: Query,
        *,
        limit: int,
        skip: int = 0,
        after: Position | None = None,
        fresh: bool = True,
    ) -> Hits:
        """Find at most `limit` rows, behind `after`, or without `skip` ones.

        `fresh`: every finished write must be in the answer; else one that misses the last of them
        will do (`q` and facets may lag). For heads only the caller can tell: the answer is fresh
        when the sum of the repositories' revisions, read before and after, was `reached`. `session`
        is what MongoDB is read through. `limit` 0 only counts. `query.text` without a word
        (`search.words.terms`) looks for nothing: it is as if it were empty. Raises SearchBehind
        (not `fresh` enough: ask the other engine), SearchUnavailable (down, or too slow).
        """
