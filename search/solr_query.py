"""Queries in Solr's syntax, and the parsing of Solr's responses.

No text of a client becomes part of the syntax: texts are quoted or escaped here, and lists are sent
as parameters.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from oclapi import jsonio
from oclapi.errors import SearchBehind
from oclapi.model import LIVE, Json
from search import fields
from search.base import FACET_VALUES, FACETS, Filter, Hits, Key, Position, Query, Scope, Span
from search.documents import marker_id, parted, plain, store_name
from search.synonyms import in_two, synonyms
from search.words import Term, terms

LONGEST = 255
"""Most characters of a prefix. Indexed words are not longer, and Lucene rejects 1,000."""

# Separates the values of a list. A value that contains it matches nothing.
SEPARATOR = "\x1e"
_WORD = (("q_code", 20), ("q_names", 6), ("q_external", 4), ("q_parts", 2), ("q_text", 1))
"""The fields in which a word is searched, with their weights."""
_OTHER = (("q_names", 5), ("q_text", 0.8))
"""The fields in which other spellings are searched, with their weights."""
_CODES = ("q_code", "q_external")
FEW = 16
"""Most terms for which other spellings are searched. Solr allows 1,024 clauses in all."""
FEWER = 4
"""Most terms for which a word is also searched as two words."""
_HYPHENS = re.compile("[-\u00ad\u2010-\u2015'\u2019]")
_JOINERS = "\u200c\u200d"
_UNSPACED = re.compile(
    "[\u3005-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
)


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
        way = "desc" if self._query.descending is not backward else "asc"
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
        return {
            "q": words(terms(self._query.text)),
            "fq": filters,
            "fl": "id" if sorted_by == "score" else f"id,{sorted_by}",
            "sort": f"{sorted_by} {way},url {way},repo {way}",
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


def words(wanted: Sequence[Term]) -> str:
    """Return `q` in Solr's syntax.

    Every term must match. A name that equals the whole text comes first.
    """
    if not wanted:
        return "*:*"
    clauses = [
        [
            *(_beginning(term) if term.prefix else _term(term)),
            *_spelled(_other_spellings(term, len(wanted)), term.prefix),
        ]
        for term in wanted
    ]
    for position, (one, other) in enumerate(pairwise(wanted)):
        if not (
            one.prefix or one.phrase or other.prefix or other.phrase
        ):  # "x ray" also finds xray
            joined = _spelled([one.text + other.text], False)
            clauses[position] += joined
            clauses[position + 1] += joined
    whole = quoted(parted(" ".join(term.text for term in wanted)))
    return " ".join([*(f"+({' '.join(one)})" for one in clauses), f"q_whole:{whole}^15"])


def _term(term: Term) -> list[str]:
    """Return the clauses of a word or a phrase.

    Solr's analysis turns a word with marks inside into a phrase.
    """
    return [
        f"{field}:{quoted((plain if field in _CODES else parted)(term.text))}^{weight}"
        for field, weight in _WORD
    ]


def _beginning(term: Term) -> list[str]:
    """Return the clauses of a prefix. Only the last part of a word with markers is a prefix."""
    return [
        f"{field}:{_escaped(plain(term.text)[:LONGEST])}*^{weight}"
        for field, weight in _WORD
        if field in _CODES
    ] + [_begins(field, weight, term.text) for field, weight in _WORD if field not in _CODES]


def _begins(field: str, weight: float, text: str) -> str:
    *before, last = _parts(plain(text)) or [text]
    # In scripts without spaces words are indexed as pairs of characters, so a prefix contains them.
    end = (
        f"{field}:{quoted(last)}"
        if len(last) > 2 and _UNSPACED.search(last)
        else f"{field}:{_escaped(last[:LONGEST])}*"
    )
    return f"(+{' +'.join([*(f'{field}:{quoted(part)}' for part in before), end])})^{weight}"


def _parts(text: str) -> list[str]:
    """Split a text at its marks.

    Vowel signs (Hindi, Tamil, Arabic) and joiners stay in their words, as in Solr's tokenizer.
    """
    inside = (
        char if char.isalnum() or char in _JOINERS or unicodedata.category(char)[0] == "M" else " "
        for char in text
    )
    return [part for part in "".join(inside).split() if any(map(str.isalnum, part))]


def _other_spellings(term: Term, terms_in_all: int) -> list[str]:
    """Return other spellings of a term, also without hyphens, joined, or as two words."""
    if terms_in_all > FEW:
        return []
    text = term.text.casefold()
    found = list(synonyms().of(text))
    closed = (
        _HYPHENS.sub("", text)
        if not term.phrase
        else text.replace(" ", "")
        if text.count(" ") == 1
        else text
    )
    if closed != text:
        found += [closed, *synonyms().of(closed)]
    elif (
        not term.prefix
        and terms_in_all <= FEWER
        and 4 <= len(text) <= 24
        and text.isalpha()
        and not _UNSPACED.search(text)
    ):
        found += in_two(text)
    return found


def _spelled(others: Sequence[str], prefix: bool) -> list[str]:
    if prefix:
        return [_begins(field, weight, spelling) for spelling in others for field, weight in _OTHER]
    return [
        f"{field}:{quoted(parted(spelling))}^{weight}"
        for spelling in others
        for field, weight in _OTHER
    ]


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
