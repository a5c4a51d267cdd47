"""The interface between listings and search engines. It has two adapters.

Solr (`solr.py`) serves a listing when its copy of the repository is recent enough. Otherwise the
built-in search on MongoDB (`mongo.py`) serves it. Both return the same pages. An engine returns
keys; the store returns the bodies.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from oclapi.model import Kind, Revision
from oclapi.store.database import Session

Sort = Literal[
    "lastUpdate",
    "bestMatch",
    "id",
    "name",
    "conceptClass",
    "datatype",
    "mapType",
    "fromConcept",
    "toConcept",
    "source",
    "owner",
]

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
"""The facets of each kind of entry (contract 5.4)."""

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
"""The filters by value. `retired` is in `Query.retired`, extras are in `Filter.path`."""

FACET_VALUES = 100
"""Most values of one facet. The most frequent ones are returned."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter: the field has one of `values`. Whole values are compared, ignoring case."""

    name: str  # of FILTERS, or "extras"
    values: tuple[str, ...]
    path: tuple[str, ...] = ()  # for "extras": the keys that lead to the value
    negated: bool = False  # the field has none of the values


@dataclass(frozen=True, slots=True)
class Query:
    """Which entries of a scope to list, and in which order. All filters must match."""

    kind: Kind
    text: str = ""  # the parameter `q`, see `search.words`
    retired: bool | None = False  # None: both
    filters: tuple[Filter, ...] = ()
    sort: Sort = "lastUpdate"
    descending: bool = True  # ties by url, in the same direction
    facets: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether the query selects everything in commit order."""
        return not (self.text or self.filters or self.facets) and self.sort == "lastUpdate"


@dataclass(frozen=True, slots=True)
class Span:
    """The rows of a repository that are visible at a revision and were written since `since`."""

    revision: Revision
    since: int = 0


@dataclass(frozen=True, slots=True)
class Scope:
    """The repositories to search.

    The listing of one repository has one span. A global listing has many repositories, most of them
    at HEAD.
    """

    spans: tuple[Span, ...] = ()
    heads: tuple[int, ...] = ()  # numbers of the repositories whose living rows are listed
    since: datetime | None = None  # with heads: only rows written at this time or later


@dataclass(frozen=True, slots=True)
class Key:
    """The key of a row: (repo, url, from_rev) is unique."""

    repo: int
    url: str
    from_rev: int


Position = tuple[str | int | float, str]
"""The end of a page: the sort value of its last row, and that row's url.

The sort value is text of `search.fields`, or `from_rev` for lastUpdate in one repository.
"""


Facets = Mapping[str, Sequence[tuple[str, int]]]
"""By facet: the values as written, with their counts, most frequent first."""


@dataclass(frozen=True, slots=True)
class Hits:
    """One page of a result."""

    keys: Sequence[Key]
    total: int  # exact number of rows in the whole result
    facets: Facets = field(default_factory=dict)
    # Position of the last key. None without keys, and for sorts that are paged by offset
    # (bestMatch, many repositories).
    last: Position | None = None
    # Revisions of the spans that are not indexed yet. 0 for MongoDB, and for heads (see `reached`).
    behind: int = 0
    # For heads: the sum of the revisions up to which these repositories are indexed.
    reached: int = 0


class SearchIndex(Protocol):
    """A search engine."""

    name: str
    """The name in response headers and metrics."""

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
        """Return at most `limit` rows that follow `after`, or that follow the first `skip` rows.

        With `fresh`, every finished write must be in the result. Without it the latest writes may
        be missing (`q` and facets may lag). For heads only the caller can decide: the result is
        fresh when the sum of the repositories' revisions, read before and after, equals `reached`.
        MongoDB is read through `session`. A `limit` of 0 only counts. A `query.text` of blanks,
        stars and quotation marks (`search.words.asks`) counts as empty.

        Raises SearchBehind when the index is not fresh enough, so that the other engine is used,
        and SearchUnavailable when the engine is down or too slow.
        """
