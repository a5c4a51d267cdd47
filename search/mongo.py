"""The built-in search on MongoDB.

It serves every listing. To search for words it reads all rows of one repository; see
docs/search.md.
"""

import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.errors import ExecutionTimeout

from oclapi import jsonio, urls
from oclapi.errors import SearchUnavailable
from oclapi.model import LIVE, Counts, Json, Kind, Row, Selection
from oclapi.store import ranges
from oclapi.store.database import Database, Session
from oclapi.store.rows import row_of
from search import fields
from search.base import FACET_VALUES, FACETS, Filter, Hits, Key, Position, Query, Scope, Sort, Span
from search.matching import Matcher, texts_of, words
from search.synonyms import synonyms
from search.words import asks

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KEY = {"_id": 0, "repo": 1, "url": 1, "from_rev": 1, "at": 1}
"""The projection that identifies a row."""

TOKENS = {
    "conceptClass": "concept_class",
    "datatype": "datatype",
    "locale": "locales",
    "mapType": "type",
    "updatedBy": "by",
}
"""Filters on a field of the header."""
_MAPPED = re.compile("(from|to)?[cC]oncept(Source|OwnerType|Owner)?")
"""Filters on the concepts of a mapping: which of the two, and which property."""
SORTED_BY: Mapping[Sort, Any] = {
    "bestMatch": {"$literal": 0},
    "id": "$sort_id",
    "name": "$name",
    "conceptClass": "$concept_class",
    "datatype": "$datatype",
    "mapType": "$type",
    "fromConcept": "$sort_from",
    "toConcept": "$sort_to",
    "lastUpdate": "$at",
}
"""The sort value of a row, as an aggregation expression. That of its source has no field."""
SOURCE_OF: Json = {"$slice": [{"$split": ["$url", "/"]}, 5]}
"""The steps of the URL of a row's source, as an aggregation expression."""
GROUPED_BY: Mapping[Kind, Json] = {
    "concept": {
        "retired": "$retired",
        "url": SOURCE_OF,
        **{name: f"${name}" for name in ("concept_class", "datatype", "locales", "written")},
    },
    "mapping": {
        "retired": "$retired",
        "map_type": "$map_type",
        **{name: {"$slice": [{"$split": [f"${name}", "/"]}, 5]} for name in ("url", "from", "to")},
    },
}
"""What facets need of a row, as aggregation expressions. URLs are cut after the source."""
NONE: Json = {"url": {"$in": []}}
"""A condition that no row meets."""
_ID = re.compile(urls.ID)


class MongoIndex:
    """A SearchIndex on the store itself. It is always fresh."""

    name = "mongodb"

    def __init__(self, database: Database, patience: float) -> None:
        """`patience` is the number of seconds that a search may take."""
        self._db = database
        self._patience = patience

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
        """Return one page, see `SearchIndex.find`.

        Words and facets over several repositories raise SearchUnavailable. Cost: the default order
        without filters is one index range, and its total is stored. A filter or another sort scans
        the rows of the repository (50,000 in about 100 ms). Words are matched in this process,
        which takes seconds.
        """
        if not scope.spans and not scope.heads:
            return Hits((), 0, _counted(query.kind, {}) if query.facets else {})
        wanted = asks(query.text)
        search = _Search(self._db, session, scope, query, time.monotonic() + self._patience)
        with _in_time():
            if search.several and (wanted or query.facets):
                raise SearchUnavailable(
                    "words and facets over several repositories need the search engine, "
                    "which is not available"
                )
            if wanted:
                return search.search_words(Matcher(query.text, synonyms()), limit, skip, after)
            keys, last = search.page(limit, skip, after) if limit else ([], None)
            return Hits(keys, search.count(), search.facets() if query.facets else {}, last)


@contextmanager
def _in_time() -> Iterator[None]:
    try:
        yield
    except ExecutionTimeout as error:
        raise _too_slow() from error


def _too_slow() -> SearchUnavailable:
    return SearchUnavailable(
        "this search takes too long without the search engine; narrow it, or try again later"
    )


class _Search:
    """One search."""

    def __init__(
        self, database: Database, session: Session, scope: Scope, query: Query, deadline: float
    ) -> None:
        self._db, self._session, self._scope, self._query, self._deadline = (
            database,
            session,
            scope,
            query,
            deadline,
        )
        self.several = len(scope.spans) + len(scope.heads) > 1
        self._hint = "feed" if len(scope.heads) > 1 and not scope.spans else "order"
        self._where = self._conditions()

    # Which rows

    def _conditions(self) -> Json:
        query = self._query
        retired = [] if query.retired is None else [{"retired": query.retired}]
        return {
            "$and": [
                {"kind": query.kind},
                *self._in_scope(),
                *retired,
                *map(self._condition, query.filters),
            ]
        }

    def _in_scope(self) -> list[Json]:
        """Return the conditions for the rows of the scope."""
        scope, kind = self._scope, self._query.kind
        conditions = [{"kind": kind, **_visible(span)} for span in scope.spans]
        if scope.heads:
            repo = scope.heads[0] if len(scope.heads) == 1 else {"$in": list(scope.heads)}
            written = {"at": {"$gte": scope.since}} if scope.since else {}
            conditions.append({"kind": kind, "repo": repo, "to_rev": LIVE, **written})
        return conditions if len(conditions) == 1 else [{"$or": conditions}]

    def _condition(self, filter_: Filter) -> Json:
        met = self._met(filter_)
        return {"$nor": [met]} if filter_.negated else met

    def _met(self, filter_: Filter) -> Json:
        name, values = filter_.name, filter_.values
        if name == "extras":
            return {
                "extras": {"$in": [fields.extras_token(filter_.path, value) for value in values]}
            }
        if name in TOKENS:
            return {TOKENS[name]: {"$in": [fields.token(value) for value in values]}}
        if name == "collection":
            return {"repo": {"$in": self._collections(values)}}
        if name in ("source", "owner", "ownerType", "user", "org"):
            return _url_names("url", name, values)
        mapped = _MAPPED.fullmatch(name)
        assert mapped, f"{name} is no filter"
        ends = [mapped[1]] if mapped[1] else ["from", "to"]
        if not mapped[2]:
            return {"$or": [met for end in ends for met in _is_concept(end, values)]}
        return {
            "$or": [_url_names(end, mapped[2][0].lower() + mapped[2][1:], values) for end in ends]
        }

    def _collections(self, ids: Sequence[str]) -> list[int]:
        """Return the numbers of those repositories that are collections with one of these ids."""
        numbers = [span.revision.repo for span in self._scope.spans] + list(self._scope.heads)
        found = self._db.repos.find(
            {"_id": {"$in": numbers}, "kind": "collection"}, {"id": 1}, session=self._session
        )
        wanted = set(map(fields.fold, ids))
        return [repo["_id"] for repo in found if fields.fold(repo["id"]) in wanted]

    # How many

    def count(self) -> int:
        """Return the number of matching rows.

        The counts of whole repositories are stored. Everything else is counted.
        """
        scope, query = self._scope, self._query
        if query.filters or scope.since or any(span.since for span in scope.spans):
            return self._db.rows.count_documents(
                self._where, hint=self._hint, session=self._session, maxTimeMS=self._left()
            )
        kept: list[Json] = []
        if scope.heads:
            kept += self._db.repos.find(
                {"_id": {"$in": list(scope.heads)}}, {"counts": 1}, session=self._session
            )
        if scope.spans:
            revisions = [
                {"repo": span.revision.repo, "rev": span.revision.number} for span in scope.spans
            ]
            where = revisions[0] if len(revisions) == 1 else {"$or": revisions}
            kept += self._db.revisions.find(where, {"counts": 1}, hint="rev", session=self._session)
        selection = Selection(query.kind, retired=query.retired)
        return sum(Counts(**one["counts"]).selected(selection) for one in kept)

    # Which page

    def page(
        self, limit: int, skip: int, after: Position | None
    ) -> tuple[list[Key], Position | None]:
        """Return the keys of one page, and the position of its end."""
        if self._query.sort == "lastUpdate" and not (self.several and self._scope.spans):
            return self._in_order(limit, skip, after)
        descending = self._query.descending
        steps: list[Json] = [
            {"$match": self._where},
            {"$project": {**KEY, "key": self._sorted_by()}},
        ]
        if after:
            value = _time(after[0]) if self._query.sort == "lastUpdate" else after[0]
            following = ranges.behind((value, after[1]), "key", descending=descending)
            steps.append({"$match": {"$or": following}})
        steps += [
            {"$sort": dict(ranges.order("key", descending=descending))},
            *([{"$skip": skip}] if skip and not after else []),
            {"$limit": limit},
        ]
        found = self._db.rows.aggregate(
            steps, hint=self._hint, session=self._session, maxTimeMS=self._left(), allowDiskUse=True
        )
        return self._ending(list(found), lambda row: row["key"])

    def _sorted_by(self) -> Any:
        """Return the sort value of a row, as an aggregation expression.

        The sources of several repositories are read first, which costs a second scan.
        """
        sort = self._query.sort
        if sort not in ("source", "owner"):
            return SORTED_BY[sort]
        steps = [{"$match": self._where}, {"$group": {"_id": SOURCE_OF}}]
        found = self._db.rows.aggregate(
            steps, hint=self._hint, session=self._session, maxTimeMS=self._left(), allowDiskUse=True
        )
        sources = [group["_id"] for group in found]
        keys = [fields.source_keys(_address(source))[sort == "owner"] for source in sources]
        place = {"$indexOfArray": [{"$literal": sources}, SOURCE_OF]}
        return {"$arrayElemAt": [{"$literal": keys}, place]} if keys else {"$literal": ""}

    def _in_order(
        self, limit: int, skip: int, after: Position | None
    ) -> tuple[list[Key], Position | None]:
        """Like `page`, in the order of an index.

        One repository is ordered by commit, several by time.
        """
        descending = self._query.descending
        first = "at" if self.several else "from_rev"
        key = after and (_time(after[0]) if self.several else after[0], after[1])
        only = KEY if self.several else {name: shown for name, shown in KEY.items() if name != "at"}
        found: list[Json] = []
        for range_ in ranges.behind(key, first, descending=descending):
            if len(found) < limit:
                where = {"$and": [*self._where["$and"], range_]} if range_ else self._where
                cursor = self._db.rows.find(
                    where,
                    only,
                    hint=self._hint,
                    sort=ranges.order(first, descending=descending),
                    session=self._session,
                )
                found += (
                    cursor.max_time_ms(self._left())
                    .skip(0 if after else skip)
                    .limit(limit - len(found))
                )
        return self._ending(found, lambda row: row[first])

    def _ending(
        self, found: Sequence[Json], value: Callable[[Json], Any]
    ) -> tuple[list[Key], Position | None]:
        keys = [Key(row["repo"], row["url"], row["from_rev"]) for row in found]
        if not found or self._query.sort == "bestMatch":
            return keys, None
        last = value(found[-1])
        return keys, (_milliseconds(last) if isinstance(last, datetime) else last, found[-1]["url"])

    # Facets

    def facets(self) -> dict[str, list[tuple[str, int]]]:
        """Return the facets of all matching rows.

        MongoDB groups the rows by the values that facets need.
        """
        steps = [
            {"$match": self._where},
            {"$group": {"_id": GROUPED_BY[self._query.kind], "rows": {"$sum": 1}}},
        ]
        found = self._db.rows.aggregate(
            steps, hint=self._hint, session=self._session, maxTimeMS=self._left(), allowDiskUse=True
        )
        repo_url = self._repo_url()
        counted: dict[str, Counter[str]] = defaultdict(Counter)
        for group in found:
            header = {
                name: value
                for name, value in group["_id"].items()
                if name not in ("url", "retired")
            }
            header |= {end: _address(header[end]) for end in ("from", "to") if end in header}
            row = Row(
                0,
                self._query.kind,
                _address(group["_id"]["url"]),
                "",
                0,
                LIVE,
                EPOCH,
                group["_id"]["retired"],
                b"",
                header,
            )
            for name, values in fields.facet_values(row, repo_url).items():
                for value in values:
                    counted[name][value] += group["rows"]
        return _counted(self._query.kind, counted)

    def _repo_url(self) -> str:
        number = self._scope.spans[0].revision.repo if self._scope.spans else self._scope.heads[0]
        repo = self._db.repos.find_one({"_id": number}, {"url": 1}, session=self._session)
        return str(repo["url"]) if repo else ""

    # Words

    def search_words(self, matcher: Matcher, limit: int, skip: int, after: Position | None) -> Hits:
        """Search one repository for words by reading all rows that meet the filters."""
        query = self._query
        facets: dict[str, Counter[str]] = defaultdict(Counter)
        repo_url = self._repo_url() if query.facets else ""
        found: list[tuple[Any, str, Key]] = []
        cursor = self._db.rows.find(
            self._where,
            {"extras": 0, "claims": 0},
            hint="order",
            session=self._session,
        )
        for number, document in enumerate(cursor.max_time_ms(self._left())):
            if number % 256 == 0:
                self._left()
            if not matcher.may_hold(document["body"]):
                continue
            row = row_of(document)
            rank = matcher.rank(texts_of(row.kind, jsonio.loads_own(row.body)))
            if rank is None:
                continue
            found.append(
                (_sort_value(query.sort, row, rank), row.url, Key(row.repo, row.url, row.from_rev))
            )
            if query.facets:
                for name, values in fields.facet_values(row, repo_url).items():
                    facets[name].update(values)
        found.sort(key=lambda one: one[:2], reverse=query.descending)
        total = len(found)
        if after:
            found = [
                one for one in found if (one[:2] < after if query.descending else one[:2] > after)
            ]
            skip = 0
        part = found[skip : skip + limit]
        last = (part[-1][0], part[-1][1]) if part and query.sort != "bestMatch" else None
        return Hits(
            [one[2] for one in part],
            total,
            _counted(query.kind, facets) if query.facets else {},
            last,
        )

    def _left(self) -> int:
        """Return the milliseconds until the deadline. Raises SearchUnavailable after it."""
        left = round((self._deadline - time.monotonic()) * 1000)
        if left <= 0:
            raise _too_slow()
        return left


def _visible(span: Span) -> Json:
    born = {"$lte": span.revision.number, **({"$gte": span.since} if span.since else {})}
    return {"repo": span.revision.repo, "from_rev": born, "to_rev": {"$gt": span.revision.number}}


def _url_names(field: str, what: str, values: Sequence[str]) -> Json:
    """Return the condition that a URL names one of these owners, owner types or sources."""
    folded = [fields.fold(value) for value in values]
    if what == "ownerType":
        owners = {"organization": "orgs", "user": "users"}
        return _matches(field, "^/(?:{})/", [owners[value] for value in folded if value in owners])
    ids = [re.escape(value) for value in folded if _ID.fullmatch(value)]
    return _matches(field, URL_PARTS[what], ids)


URL_PARTS = {
    "source": "^/[a-z]+/[^/]+/sources/(?:{})/",
    "owner": "^/[a-z]+/(?:{})/",
    "user": "^/users/(?:{})/",
    "org": "^/orgs/(?:{})/",
}
"""The part of a URL that each filter compares."""


def _matches(field: str, pattern: str, alternatives: Sequence[str]) -> Json:
    if not alternatives:
        return NONE
    return {field: {"$regex": pattern.format("|".join(alternatives)), "$options": "i"}}


def _is_concept(end: str, values: Sequence[str]) -> list[Json]:
    """Return the conditions that one concept of a mapping has one of these codes, names or URLs."""
    addresses = [
        re.escape(value) for value in values if value.startswith("/") and "\0" not in value
    ]
    by_url = [_matches(end, "^(?:{})$", addresses)] if addresses else []
    return [{f"{end}_is": {"$in": [fields.token(value) for value in values]}}, *by_url]


def _sort_value(sort: Sort, row: Row, rank: int) -> Any:
    """Return the sort value of a row, like SORTED_BY for the server."""
    match sort:
        case "bestMatch":
            return rank, -len(words(row.header.get("display", "")))
        case "lastUpdate":
            return row.from_rev
        case "id":
            return row.header["sort_id"]
        case "name":
            return row.header["name"]
        case "conceptClass":
            return row.header["concept_class"]
        case "datatype":
            return row.header["datatype"]
        case "mapType":
            return row.header["type"]
        case "fromConcept":
            return row.header["sort_from"]
        case "toConcept":
            return row.header["sort_to"]
        case "source" | "owner":
            return fields.source_keys(urls.repo_of(row.url))[sort == "owner"]


def _counted(kind: Kind, facets: Mapping[str, Counter[str]]) -> dict[str, list[tuple[str, int]]]:
    """Return every facet of the kind: values with counts, most frequent first, then by value."""
    return {
        name: sorted(
            facets[name].items() if name in facets else (), key=lambda one: (-one[1], one[0])
        )[:FACET_VALUES]
        for name in FACETS[kind]
    }


def _address(steps: Sequence[str]) -> str:
    """Return the URL of a source from its path segments."""
    return "/".join(steps) + "/"


def _time(value: str | int | float) -> datetime:
    return EPOCH + timedelta(milliseconds=int(value))


def _milliseconds(time_: datetime) -> int:
    return (time_ - EPOCH) // timedelta(milliseconds=1)
