"""A search in Solr's syntax, and Solr's answer to it read. Pure.

Nothing that a client typed becomes a part of the syntax unquoted: texts are quoted or escaped here,
lists travel as parameters.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from oclapi.errors import SearchBehind
from oclapi.model import LIVE, Json
from search import fields
from search.base import FACET_VALUES, FACETS, Filter, Hits, Key, Part, Position, Query, Scope
from search.documents import marker_id, parted, plain, store_name
from search.spellings import in_two, spellings
from search.words import Term, terms

LONGEST = 255
"""Characters that count of the beginning of a word; words of the index have no more, and Lucene
refuses 1,000.
"""

# between the values of a list; folded values that hold it themselves find nothing
SEPARATOR = "\x1e"
_SORTS = {
    "id": "sort_id",
    "name": "sort_name",
    "conceptClass": "sort_conceptClass",
    "datatype": "sort_datatype",
    "mapType": "sort_mapType",
}
_WORD = (("q_code", 20), ("q_names", 6), ("q_external", 4), ("q_parts", 2), ("q_text", 1))
"""Where one word is looked for, and how much it weighs there."""
_OTHER = (("q_names", 5), ("q_text", 0.8))
"""Where other ways to write it are looked for."""
_CODES = ("q_code", "q_external")
FEW = 16
"""A search of more terms is not looked for in other spellings, and Solr's limit of 1,024 clauses is
kept.
"""
FEWER = 4
"""Nor is a word of one with more than these looked for in two parts."""
_HYPHENS = re.compile("[-\u00ad\u2010-\u2015'\u2019]")
_JOINERS = "\u200c\u200d"
_UNSPACED = re.compile(
    "[\u3005-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
)


class Question:
    """One search as Solr's JSON requests, and its answers as Hits."""

    def __init__(self, scope: Scope, query: Query, store: str) -> None:
        self._scope, self._query, self._marks = (
            scope,
            query,
            f"+kind:marker +store:{quoted(store_name(store))}",
        )
        self._single = len(scope.parts) + len(scope.heads) == 1
        self._one = scope.parts[0] if self._single and scope.parts else None
        self._params: dict[str, str] = {}
        self._filters = [self._visible(), *self._narrowed()]

    def body(self, limit: int, skip: int, after: Position | None, backward: bool = False) -> Json:
        """The request. `backward`: `skip` and the order count from the end."""
        way = "desc" if self._query.descending is not backward else "asc"
        counted, filters = {}, list(self._filters)
        if after is not None:
            filters.append(f"{{!tag=seek cache=false}}{self._behind(after)}")
            counted = {"domain": {"excludeTags": "seek"}}
        facets: Json = {"marks": self._mark_facet()}
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
            "query": words(terms(self._query.text)),
            "filter": filters,
            "fields": ["id", *([sorted_by] if sorted_by != "score" else [])],
            "sort": f"{sorted_by} {way},url {way},repo {way}",
            "limit": limit,
            "offset": skip,
            "facet": facets,
            "params": self._params,
        }

    def hits(self, answer: Json, fresh: bool, backward: bool = False) -> Hits:
        """Read an answer. Raises SearchBehind when it has to be fresh and is not, or when the index
        has nothing of the one repository.
        """
        documents, facets = answer["response"]["docs"], answer["facets"]
        marks = facets.get("marks", {})
        behind, nothing = self._distance(marks), self._one and not marks["count"]
        if behind and (fresh or nothing):
            raise SearchBehind(f"the search engine has still to learn of {behind} revisions")
        if backward:
            documents.reverse()
        return Hits(
            [key_of(document["id"]) for document in documents],
            facets["total"]["count"] if "total" in facets else answer["response"]["numFound"],
            {name: _counts(facets.get(f"of_{name}", {})) for name in FACETS[self._query.kind]}
            if self._query.facets
            else {},
            self._position(documents[-1]) if documents else None,
            behind,
            int(facets["marks"].get("heads", {}).get("rev", 0)),
        )

    # Which rows

    def _visible(self) -> str:
        """The rows of the scope."""
        scope, kind = self._scope, f"+kind:{self._query.kind}"
        if self._one:
            return f"{kind} {_rows_of(self._one)}"
        either = [f"({_rows_of(part)})" for part in scope.parts]
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
            yield f"{'-' if wanted.negated else '+'}({_places(wanted.name, param)})"

    def _behind(self, after: Position) -> str:
        """The rows that come after a position in this order."""
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
        return _SORTS[self._query.sort]

    def _position(self, document: Json) -> Position | None:
        if self._query.sort == "bestMatch":
            return None
        return (document[self._sort_field()], key_of(document["id"]).url)

    # How far the index has come

    def _mark_facet(self) -> Json:
        """Counts over the markers, from the searcher that answers the rest."""
        if self._one:
            only = f"{self._marks} +id:{quoted(marker_id(self._one.revision.repo))}"
            return {
                "type": "query",
                "q": "*:*",
                "domain": {"query": only},
                "facet": {"rev": "max(rev)"},
            }
        reached: list[str] = []
        for part in self._scope.parts:
            reached.append(f"(+repo:{part.revision.repo} +rev:[{part.revision.number} TO *])")
        facets: Json = {}
        if reached:
            facets["parts"] = {
                "type": "query",
                "q": "*:*",
                "domain": {"query": f"{self._marks} +({' '.join(reached)})"},
            }
        if self._scope.heads:
            only = f"{self._marks} +{listed('repo', 'heads')}"
            facets["heads"] = {
                "type": "query",
                "q": "*:*",
                "domain": {"query": only},
                "facet": {"rev": "sum(rev)"},
            }
        return {"type": "query", "q": "*:*", "facet": facets}

    def _distance(self, marks: Json) -> int:
        """Revisions that are missing, at least one if any is; for several parts: how many of them
        miss some.
        """
        if self._one:
            number = self._one.revision.number
            return max(0, number - int(marks["rev"])) if marks["count"] else number + 1
        return len(self._scope.parts) - int(marks["parts"]["count"]) if self._scope.parts else 0


def _rows_of(part: Part) -> str:
    number = part.revision.number
    return f"+repo:{part.revision.repo} +from_rev:[{part.since} TO {number}] +to_rev:[{number + 1} TO *]"


def _wanted(wanted: Filter) -> list[str]:
    """The tokens of a filter's values. The first stands twice: a list that is empty as a text would
    count as no list.
    """
    if wanted.name == "extras":
        made = [str(fields.extras_token(wanted.path, value)) for value in wanted.values]
    else:
        made = [fields.token(value) for value in wanted.values]
    return made[:1] + made


def _places(name: str, param: str) -> str:
    """Where a filter looks."""
    if name == "extras":
        return listed("extras", param)
    if name in ("user", "org"):
        return f"+{listed('is_owner', param)} +is_ownerType:{'user' if name == 'user' else 'organization'}"
    if name.startswith("concept") and name != "conceptClass":  # either end of a mapping
        return " ".join(listed(f"is_{end}C{name[1:]}", param) for end in ("from", "to"))
    return listed(f"is_{name}", param)


def listed(field: str, param: str) -> str:
    """One of the values in a parameter."""
    return f'{{!terms f={field} separator="{SEPARATOR}" v=${param}}}'


# The words of q


def words(wanted: Sequence[Term]) -> str:
    """`q` in Solr's syntax: every term must match, and a name that is the whole text comes first."""
    if not wanted:
        return "*:*"
    places = [
        [
            *(_beginning(term) if term.prefix else _term(term)),
            *_others(_ways(term, len(wanted)), term.prefix),
        ]
        for term in wanted
    ]
    for place, (one, other) in enumerate(pairwise(wanted)):
        if not (one.prefix or one.phrase or other.prefix or other.phrase):  # "x ray" finds xray too
            joined = _others([one.text + other.text], False)
            places[place] += joined
            places[place + 1] += joined
    whole = quoted(parted(" ".join(term.text for term in wanted)))
    return " ".join([*(f"+({' '.join(one)})" for one in places), f"q_whole:{whole}^15"])


def _term(term: Term) -> list[str]:
    """The places of a word or a phrase. A word with marks inside is a phrase to Solr's analysis."""
    return [
        f"{field}:{quoted((plain if field in _CODES else parted)(term.text))}^{weight}"
        for field, weight in _WORD
    ]


def _beginning(term: Term) -> list[str]:
    """The places of a word's beginning. Of a word with marks inside, the last part is the beginning
    of a word.
    """
    return [
        f"{field}:{_escaped(plain(term.text)[:LONGEST])}*^{weight}"
        for field, weight in _WORD
        if field in _CODES
    ] + [_begins(field, weight, term.text) for field, weight in _WORD if field not in _CODES]


def _begins(field: str, weight: float, text: str) -> str:
    *before, last = _pieces(plain(text)) or [text]
    # pairs of characters stand for longer words in scripts without spaces: what begins with those
    # holds them
    end = (
        f"{field}:{quoted(last)}"
        if len(last) > 2 and _UNSPACED.search(last)
        else f"{field}:{_escaped(last[:LONGEST])}*"
    )
    return f"(+{' +'.join([*(f'{field}:{quoted(piece)}' for piece in before), end])})^{weight}"


def _pieces(text: str) -> list[str]:
    """A text parted at its marks. Vowel signs (Hindi, Tamil, Arabic) and joiners stay in their
    words, as Solr's tokenizer leaves them.
    """
    inside = (
        char if char.isalnum() or char in _JOINERS or unicodedata.category(char)[0] == "M" else " "
        for char in text
    )
    return [piece for piece in "".join(inside).split() if any(map(str.isalnum, piece))]


def _ways(term: Term, terms_in_all: int) -> list[str]:
    """Other ways to write a term: other spellings, closed, joined or in two parts."""
    if terms_in_all > FEW:
        return []
    text = term.text.casefold()
    found = list(spellings(text))
    closed = (
        _HYPHENS.sub("", text)
        if not term.phrase
        else text.replace(" ", "")
        if text.count(" ") == 1
        else text
    )
    if closed != text:
        found += [closed, *spellings(closed)]
    elif (
        not term.prefix
        and terms_in_all <= FEWER
        and 4 <= len(text) <= 24
        and text.isalpha()
        and not _UNSPACED.search(text)
    ):
        found += in_two(text)
    return found


def _others(ways: Sequence[str], prefix: bool) -> list[str]:
    if prefix:
        return [_begins(field, weight, way) for way in ways for field, weight in _OTHER]
    return [f"{field}:{quoted(parted(way))}^{weight}" for way in ways for field, weight in _OTHER]


def quoted(text: str) -> str:
    """A text that Solr's syntax takes as it is."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _escaped(text: str) -> str:
    """The same without quotation marks, so that a `*` may follow."""
    return "".join(character if character.isalnum() else f"\\{character}" for character in text)


# Answers


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
