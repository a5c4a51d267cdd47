"""Queries in Solr's syntax, and the parsing of Solr's responses.

No text of a client becomes part of the syntax: texts are quoted or escaped here, and lists are sent
as parameters.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from oclapi import jsonio
from oclapi.errors import SearchBehind
from oclapi.model import LIVE, Json
from search import fields
from search.base import FACET_VALUES, FACETS, Filter, Hits, Key, Position, Query, Scope, Span
from search.documents import marker_id, store_name
from search.matching import (
    CODE,
    IN_NAMES,
    NAME,
    WORDS_OF_CODE,
    WORDS_OF_NAME,
    Need,
    alternatives,
    whole,
)
from search.synonyms import synonyms
from search.words import asks, exact, terms

# Separates the values of a list. A value that contains it matches nothing.
SEPARATOR = "\x1e"


class Question:
    """Builds the requests of one search and parses the responses."""

    def __init__(self, scope: Scope, query: Query, store: str) -> None:
        self._scope, self._query, self._markers = (
            scope,
            query,
            f"+kind:marker +store:{quoted(store_name(store))}",
        )
        self._single = len(scope.spans) + len(scope.heads) == 1
        self._one = scope.spans[0] if self._single and scope.spans else None
        self._params: dict[str, str] = {}
        self._filters = [self._visible(), *self._narrowed()]

    def parameters(
        self, limit: int, skip: int, after: Position | None, backward: bool = False
    ) -> Json:
        """Return the parameters of the request.

        With `backward` the order is reversed, and `skip` counts from the end.
        """
        way, back = ("desc", "asc") if self._query.descending is not backward else ("asc", "desc")
        counted, filters = {}, list(self._filters)
        if after is not None:
            filters.append(f"{{!tag=seek cache=false}}{self._behind(after)}")
            counted = {"domain": {"excludeTags": "seek"}}
        facets: Json = {"markers": self._marker_facet()}
        if after is not None:
            facets["total"] = {"type": "query", "q": "*:*", **counted}
        if self._query.facets:
            facets |= {
                f"of_{name}": {
                    "type": "terms",
                    "field": "retired" if name == "retired" else f"facet_{name}",
                    "limit": FACET_VALUES,
                    "refine": True,
                    **counted,
                }
                for name in FACETS[self._query.kind]
            }
        sorted_by = self._sort_field()
        # A search for words shows shorter names first.
        shorter = f"length {back}," if sorted_by == "score" and asks(self._query.text) else ""
        return {
            "q": words(self._query.text),
            "fq": filters,
            "fl": "id" if sorted_by == "score" else f"id,{sorted_by}",
            "sort": f"{sorted_by} {way},{shorter}url {way},repo {way}",
            "rows": limit,
            "start": skip,
            "json.facet": dumps(facets),
            **self._params,
        }

    def hits(self, response: Json, fresh: bool, backward: bool = False) -> Hits:
        """Return the hits in a response.

        Raises SearchBehind when it must be fresh and is not, or when the repository is not indexed.
        """
        documents, facets = response["response"]["docs"], response["facets"]
        markers = facets.get("markers", {})
        behind, nothing = self._distance(markers), self._one and not markers["count"]
        if behind and (fresh or nothing):
            raise SearchBehind(f"the search index is {behind} revisions behind")
        if backward:
            documents.reverse()
        return Hits(
            [key_of(document["id"]) for document in documents],
            facets["total"]["count"] if "total" in facets else response["response"]["numFound"],
            {name: _counts(facets.get(f"of_{name}", {})) for name in FACETS[self._query.kind]}
            if self._query.facets
            else {},
            self._position(documents[-1]) if documents else None,
            behind,
            int(facets["markers"].get("heads", {}).get("rev", 0)),
        )

    # Which rows

    def _visible(self) -> str:
        """Return the filter for the rows of the scope."""
        scope, kind = self._scope, f"+kind:{self._query.kind}"
        if self._one:
            return f"{kind} {_rows_of(self._one)}"
        either = [f"({_rows_of(span)})" for span in scope.spans]
        if scope.heads:
            self._params["heads"] = SEPARATOR.join(map(str, scope.heads))
            since = f" +at:[{_millis(scope.since)} TO *]" if scope.since else ""
            either.append(f"(+to_rev:{LIVE} +{listed('repo', 'heads')}{since})")
        return f"{kind} +({' '.join(either)})"

    def _narrowed(self) -> Iterator[str]:
        if self._query.retired is not None:
            yield f"retired:{'true' if self._query.retired else 'false'}"
        for number, wanted in enumerate(self._query.filters):
            param = f"f{number}"
            self._params[param] = SEPARATOR.join(_wanted(wanted))
            yield f"{'-' if wanted.negated else '+'}({_fields_of(wanted.name, param)})"

    def _behind(self, after: Position) -> str:
        """Return the filter for the rows after a position."""
        field, (value, url) = self._sort_field(), after
        text = quoted(value) if isinstance(value, str) else str(int(value))
        url = quoted(url)
        if self._query.descending:
            return f"{field}:{{* TO {text}}} (+{field}:[{text} TO {text}] +url:{{* TO {url}}})"
        return f"{field}:{{{text} TO *}} (+{field}:[{text} TO {text}] +url:{{{url} TO *}})"

    def _sort_field(self) -> str:
        if self._query.sort == "bestMatch":
            return "score"
        if self._query.sort == "lastUpdate":
            return "from_rev" if self._single else "at"
        return f"sort_{self._query.sort}"

    def _position(self, document: Json) -> Position | None:
        if self._query.sort == "bestMatch":
            return None
        return (document[self._sort_field()], key_of(document["id"]).url)

    # How recent the index is

    def _marker_facet(self) -> Json:
        """Return a facet over the markers. The same searcher computes it."""
        if self._one:
            only = f"{self._markers} +id:{quoted(marker_id(self._one.revision.repo))}"
            return {
                "type": "query",
                "q": "*:*",
                "domain": {"query": only},
                "facet": {"rev": "max(rev)"},
            }
        reached: list[str] = []
        for span in self._scope.spans:
            reached.append(f"(+repo:{span.revision.repo} +rev:[{span.revision.number} TO *])")
        facets: Json = {}
        if reached:
            facets["spans"] = {
                "type": "query",
                "q": "*:*",
                "domain": {"query": f"{self._markers} +({' '.join(reached)})"},
            }
        if self._scope.heads:
            only = f"{self._markers} +{listed('repo', 'heads')}"
            facets["heads"] = {
                "type": "query",
                "q": "*:*",
                "domain": {"query": only},
                "facet": {"rev": "sum(rev)"},
            }
        return {"type": "query", "q": "*:*", "facet": facets}

    def _distance(self, markers: Json) -> int:
        """Return how many revisions are not indexed.

        For several spans it is the number of those that lack revisions.
        """
        if self._one:
            number = self._one.revision.number
            return max(0, number - int(markers["rev"])) if markers["count"] else number + 1
        return len(self._scope.spans) - int(markers["spans"]["count"]) if self._scope.spans else 0


def dumps(facets: Json) -> str:
    """Return facets as a parameter."""
    return jsonio.dumps(facets).decode()


def _rows_of(span: Span) -> str:
    number = span.revision.number
    born = f"from_rev:[{span.since} TO {number}]"
    return f"+repo:{span.revision.repo} +{born} +to_rev:[{number + 1} TO *]"


def _wanted(wanted: Filter) -> list[str]:
    """Return the tokens of a filter's values.

    The first one is repeated, because Solr ignores a list parameter that is an empty text.
    """
    if wanted.name == "extras":
        made = [str(fields.extras_token(wanted.path, value)) for value in wanted.values]
    else:
        made = [fields.token(value) for value in wanted.values]
    return made[:1] + made


def _fields_of(name: str, param: str) -> str:
    """Return the fields that a filter searches."""
    if name == "extras":
        return listed("extras", param)
    if name in ("user", "org"):
        owner_type = "user" if name == "user" else "organization"
        return f"+{listed('is_owner', param)} +is_ownerType:{owner_type}"
    if name.startswith("concept") and name != "conceptClass":  # either end of a mapping
        return " ".join(listed(f"is_{end}C{name[1:]}", param) for end in ("from", "to"))
    return listed(f"is_{name}", param)


def listed(field: str, param: str) -> str:
    """Return a query for rows whose field has one of the values in a parameter."""
    return f'{{!terms f={field} separator="{SEPARATOR}" v=${param}}}'


# The words of q


def words(text: str) -> str:
    """Return `q` in Solr's syntax. The score is the rank of `search.matching.Matcher`."""
    if not asks(text):
        return "*:*"
    is_exact, wanted = quoted(fields.cut(exact(text))), terms(text)
    clauses = [f"q_code:{is_exact}^={CODE}", f"q_name:{is_exact}^={NAME}"]
    found = alternatives(wanted, synonyms())
    if found:
        is_whole = quoted(fields.cut(whole(wanted)))
        clauses += [
            f"({_all_of(found, ('q_names', 'q_others'))})^=0",
            f"({_all_of(found, ('q_names',))})^={IN_NAMES}",
            f"q_code_words:{is_whole}^={WORDS_OF_CODE}",
            f"q_name_words:{is_whole}^={WORDS_OF_NAME}",
        ]
    return " ".join(clauses)


def _all_of(wanted: Iterable[Iterable[Iterable[Need]]], searched: Sequence[str]) -> str:
    """Return the query for rows that contain every term in one of these fields."""
    return " ".join(
        f"+({' '.join(_contains(needs, searched) for needs in either)})" for either in wanted
    )


def _contains(needs: Iterable[Need], searched: Sequence[str]) -> str:
    either = (" ".join(f"{field}:{_value(need)}" for field in searched) for need in needs)
    return f"({' '.join(f'+({one})' for one in either)})"


def _value(need: Need) -> str:
    if need.begins and need.ends:
        return quoted(need.words)
    return f"{'' if need.begins else '*'}{_escaped(need.words)}{'' if need.ends else '*'}"


def quoted(text: str) -> str:
    """Return a text as a quoted string of Solr's syntax."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _escaped(text: str) -> str:
    """Escape a text without quoting it, so that a `*` may follow."""
    return "".join(character if character.isalnum() else f"\\{character}" for character in text)


# Responses


def key_of(document_id: str) -> Key:
    repo, from_rev, url = document_id.split("/", 2)
    return Key(int(repo), url, int(from_rev))


def _counts(found: Mapping[str, Any]) -> list[tuple[str, int]]:
    values = ((bucket["val"], bucket["count"]) for bucket in found.get("buckets", ()))
    return [
        (value if isinstance(value, str) else str(value).lower(), count) for value, count in values
    ]


def _millis(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
