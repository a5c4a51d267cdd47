"""The search engine on Solr 9, and everything that speaks to it. docs/search.md tells how it fits together.

Nothing that a client typed becomes a part of Solr's syntax unquoted: texts are quoted or escaped here, lists travel as parameters.
"""

import logging
import re
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode

import orjson
import pysolr
import requests
import urllib3

from oclapi.errors import SearchBehind, SearchUnavailable
from oclapi.model import LIVE, Json
from oclapi.store.database import Session
from search import fields
from search.base import FACET_VALUES, FACETS, Filter, Hits, Key, Part, Position, Query, Scope
from search.documents import SCHEMA, Marker, marker_document, marker_id, parted, plain, store_name
from search.spellings import in_two, spellings
from search.words import Term, terms

log = logging.getLogger(__name__)

CONFIGSET = "oclapi"
"""The name under which Solr keeps config/solr/configset."""

PAUSE = 1.5
"""Seconds for which a process does not ask a Solr again that has just failed: its time-out is not paid by every listing."""
SMALL = 200
SOON = 100
"""Documents of a post that somebody may be waiting for, and milliseconds until searches see them; others take up to half a second."""
LOOK_PATIENCE = 10
"""Seconds that a look at a marker may take: the tick waits for it, which does other things too."""
WRITE_PATIENCE = 120
"""Seconds that a write, a soft commit or a core's creation may take."""
DEEP = 1000
"""A page behind more rows than these is read from the nearer end of the listing; its rows are counted first."""
BATCH = 2000
"""Rows of one step of `keys`."""
PIECE = 2**18
LARGEST = 2**28
"""Bytes of an answer of Solr: of one piece that is read, and of the whole; markers of a million repositories are half of that."""
LONGEST = 255
"""Characters that count of the beginning of a word; words of the index have no more, and Lucene refuses 1,000."""

_SEPARATOR = "\x1e"  # between the values of a list; folded values that hold it themselves find nothing
_JSON = {"Content-Type": "application/json"}
_SORTS = {"id": "sort_id", "name": "sort_name", "conceptClass": "sort_conceptClass", "datatype": "sort_datatype", "mapType": "sort_mapType"}
_WORD = (("q_code", 20), ("q_names", 6), ("q_external", 4), ("q_parts", 2), ("q_text", 1))
"""Where one word is looked for, and how much it weighs there."""
_OTHER = (("q_names", 5), ("q_text", 0.8))
"""Where other ways to write it are looked for."""
_CODES = ("q_code", "q_external")
FEW = 16
"""A search of more terms is not looked for in other spellings, and Solr's limit of 1,024 clauses is kept."""
FEWER = 4
"""Nor is a word of one with more than these looked for in two parts."""
_HYPHENS = re.compile("[-\u00ad\u2010-\u2015'\u2019]")
_JOINERS = "\u200c\u200d"
_UNSPACED = re.compile("[\u3005-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]")
_STATUS = re.compile(r"\(HTTP (\d+)\)")


class SolrIndex:
    """One index: a core, or on SolrCloud a collection behind an alias. Opens no connection before its first use.

    Every method raises SearchUnavailable when Solr is down, too slow, or answers with an error.
    """

    name = "solr"

    def __init__(self, url: str, core: str, store: Callable[[], str], *, patience: float = 2.0) -> None:
        """`url` ends with /solr. `store` gives the identity of the database. `patience`: seconds that a search may take."""
        self.url, self.core = url.rstrip("/"), core
        self._store, self._patience = store, patience
        self._search = _Http(f"{self.url}/{core}", patience)
        self._look = _Http(f"{self.url}/{core}", LOOK_PATIENCE)
        self._write = _Http(f"{self.url}/{core}", WRITE_PATIENCE)
        self._admin = _Http(self.url, WRITE_PATIENCE, once=True)
        self._fits = False  # the core's schema is known to be ours
        self._again = 0.0  # time.monotonic() before which searches fail at once

    def of(self, core: str) -> "SolrIndex":
        """The index of that name on the same Solr, for the same store."""
        return SolrIndex(self.url, core, self._store, patience=self._patience)

    # Searching

    def find(
        self, session: Session, scope: Scope, query: Query, *, limit: int, skip: int = 0, after: Position | None = None, fresh: bool = True
    ) -> Hits:
        """As SearchIndex says. One request; two behind more than DEEP rows, which are then read from the nearer end."""
        if not scope.parts and not scope.heads:
            return Hits((), 0, dict.fromkeys(FACETS[query.kind], ()) if query.facets else {})
        if time.monotonic() < self._again:
            raise SearchUnavailable("the search engine failed a moment ago")
        question = _Question(scope, query, self._store())
        try:
            self._check_schema()
            return self._page(question, limit, skip, after, fresh)
        except SearchUnavailable as error:
            if not error.refused:
                self._again = time.monotonic() + PAUSE
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            log.warning("an answer of the search engine was not understood", extra={"reason": repr(error)[:500]})
            self._again = time.monotonic() + PAUSE
            raise SearchUnavailable("what answers at SOLR_URL is not Solr") from error

    def _page(self, question: "_Question", limit: int, skip: int, after: Position | None, fresh: bool) -> Hits:
        if after is not None or skip <= DEEP or limit == 0:
            return question.hits(self._ask(question.body(limit, skip, after)), fresh)
        counted = question.hits(self._ask(question.body(0, 0, None)), fresh)
        before_end = counted.total - skip - limit  # rows behind the page
        if before_end < skip and skip < counted.total:
            asked = question.body(min(limit, counted.total - skip), max(before_end, 0), None, backward=True)
            page = question.hits(self._ask(asked), fresh, backward=True)
            if page.total == counted.total:
                return page
        # too near to the middle, beyond the end, or rows came or went between the two requests
        return question.hits(self._ask(question.body(limit, skip, None)), fresh)

    def _ask(self, body: Json) -> Json:
        return self._search.json("post", "query", body)

    def _check_schema(self) -> None:
        """Raises SearchUnavailable when the core's documents are not made for this program."""
        if not self._fits:
            found = self._search.json("get", "schema/name")["name"]
            if found != f"oclapi-{SCHEMA}":
                raise SearchUnavailable(f"the index {self.core} has the schema {found}, oclapi-{SCHEMA} is needed: run make reindex")
            self._fits = True

    # What the index holds

    def marker(self, repo: int) -> Marker | None:
        """How far the index has come with a repository; None: it has nothing of it that can be used."""
        return self._markers(f"id:{_quoted(marker_id(repo))}", 1).get(repo)

    def markers(self) -> dict[int, Marker]:
        """All markers by repository, those of other stores too. Cost: one request."""
        return self._markers("kind:marker", 2**31 - 1)

    def _markers(self, query: str, rows: int) -> dict[int, Marker]:
        asked = {"query": query, "fields": ["repo", "rev", "commit", "store"], "limit": rows}
        found = (_marker(document) for document in self._look.json("post", "query", asked)["response"]["docs"])
        return {marker.repo: marker for marker in found}

    def keys(self, repo: int) -> Iterator[tuple[Key, int, bool]]:
        """Every row that the index has of a repository, with its to_rev and retired, in the order of Solr's ids. For checks.

        Rows that change meanwhile may show either state. Memory: BATCH rows.
        """
        cursor = "*"
        while True:
            asked = {
                "query": f"+repo:{repo} -kind:marker", "fields": ["id", "to_rev", "retired"], "sort": "id asc", "limit": BATCH,
                "params": {"cursorMark": cursor},
            }  # fmt: skip
            answer = self._write.json("post", "query", asked)
            for document in answer["response"]["docs"]:
                yield _key(document["id"]), document["to_rev"], document["retired"]
            if answer["nextCursorMark"] == cursor:
                return
            cursor = answer["nextCursorMark"]

    def count(self, repo: int) -> int:
        """How many rows the index has of a repository, ended ones too."""
        found = self._look.json("post", "query", {"query": f"+repo:{repo} -kind:marker", "limit": 0})
        return int(found["response"]["numFound"])

    def some_row(self, repo: int) -> str | None:
        """The id of a row that searches find of a repository, None when there is none."""
        asked = {"query": f"+repo:{repo} -kind:marker", "fields": ["id"], "limit": 1}
        found = self._look.json("post", "query", asked)["response"]["docs"]
        return str(found[0]["id"]) if found else None

    def holds(self, repo: int, row: str) -> bool:
        """Whether the repository's marker and that row are there now, seen by searches or not. Cost: one request."""
        wanted = urlencode([("id", marker_id(repo)), ("id", row), ("fl", "id")])
        return len(self._look.json("get", f"get?{wanted}")["response"]["docs"]) == 2

    def counts(self) -> dict[int, int]:
        """The same of every repository that it has rows of, known to the store or not. Cost: one request."""
        rows = {"type": "terms", "field": "repo", "limit": -1, "refine": True}
        found = self._write.json("post", "query", {"query": "*:* -kind:marker", "limit": 0, "facet": {"rows": rows}})
        return {int(bucket["val"]): bucket["count"] for bucket in found["facets"].get("rows", {}).get("buckets", ())}

    def states(self, ids: Sequence[str]) -> Iterator[tuple[Key, int, bool]]:
        """As `keys`, of those of these documents that there are. Cost: a request for each BATCH of them."""
        for start in range(0, len(ids), BATCH):
            params = {"wanted": _SEPARATOR.join(ids[start : start + BATCH])}  # "ids" is a parameter of Solr's own
            asked = {"query": _listed("id", "wanted"), "fields": ["id", "to_rev", "retired"], "limit": BATCH, "params": params}
            for document in self._write.json("post", "query", asked)["response"]["docs"]:
                yield _key(document["id"]), document["to_rev"], document["retired"]

    # Writing

    def write(self, documents: Sequence[Json], marker: Marker | None = None, *, force: bool = False) -> list[str]:
        """Write rows, then the marker, in one request; return the ids that Solr refused: the others and the marker are stored.

        A document replaces one that was made at an older head, or, with `force`, any. Searches find them half a second later, and a few
        sooner. Safe to send again. Cost: one request; some more when a document is refused.
        """
        self._check_schema()
        end = [marker_document(marker)] if marker else []
        if not documents and not end:
            return []
        if self._post([*documents, *end], force):
            return []
        refused = self._sift(documents, force)
        if end:
            self._send(end, force)
        return refused

    def _sift(self, documents: Sequence[Json], force: bool) -> list[str]:
        """Write what Solr takes; return the ids of the others."""
        if not documents:
            return []
        half = len(documents) // 2
        refused: list[str] = []
        for part in (documents[:half], documents[half:]) if half else (documents,):
            if part and not self._post(part, force):
                refused += [part[0]["id"]] if len(part) == 1 else self._sift(part, force)
        return refused

    def forget(self, repo: int) -> None:
        """Delete every row of a repository and its marker. Searches see it after the next soft commit."""
        self._write.json("post", "update", {"delete": {"query": f"repo:{repo}"}})

    def drop(self, ids: Sequence[str]) -> None:
        """Delete documents. Searches see it after the next soft commit."""
        self._write.json("post", "update", {"delete": list(ids)})

    def commit(self) -> None:
        """Return when searches see everything that was written before."""
        self._write.json("post", "update", {"commit": {"softCommit": True, "waitSearcher": True}})

    def _post(self, documents: Sequence[Json], force: bool) -> bool:
        """Write; False when Solr refused them."""
        try:
            self._send(documents, force)
        except SearchUnavailable as error:
            if not error.refused:
                raise
            return False
        return True

    def _send(self, documents: Sequence[Json], force: bool) -> None:
        params: dict[str, str | int] = {"update.chain": "repair"} if force else {}
        if len(documents) <= SMALL:
            params["commitWithin"] = SOON
        self._write.json("post", "update", documents, **params)

    # Cores; on SolrCloud each name is an alias of a collection of its own

    def ensure(self) -> bool:
        """Create the core when there is none of its name; true when it was created. Safe for several at once."""
        if self.exists(self.core):
            return False
        try:
            self.create(self.core)
        except SearchUnavailable:
            if not self.exists(self.core):  # somebody else was not faster
                raise
            return False
        return True

    def exists(self, name: str) -> bool:
        if self._cloud():
            return name in self._aliases() or name in self._admin.json("get", "admin/collections", action="LIST")["collections"]
        return bool(self._admin.json("get", "admin/cores", action="STATUS", core=name, indexInfo="false")["status"].get(name))

    def create(self, name: str) -> None:
        """An empty core made with the configset."""
        if self._cloud():
            # repo as the router's field keeps a repository's rows and its marker on one shard
            collection = f"{name}_{time.time_ns():x}"
            how: dict[str, str | int] = {"numShards": 1, "collection.configName": CONFIGSET, "router.field": "repo"}
            self._admin.json("get", "admin/collections", action="CREATE", name=collection, **how)
            self._admin.json("get", "admin/collections", action="CREATEALIAS", name=name, collections=collection)
        else:
            # a folder of its own: cores that exchange their names keep their folders
            folder = f"{name}_{time.time_ns():x}"
            self._admin.json("get", "admin/cores", action="CREATE", name=name, instanceDir=folder, configSet=CONFIGSET)

    def swap(self, one: str, other: str) -> None:
        """Exchange two names: searches of each then go to what the other one was."""
        if self._cloud():
            aliases = self._aliases()
            for name, collection in ((one, aliases[other]), (other, aliases[one])):
                self._admin.json("get", "admin/collections", action="CREATEALIAS", name=name, collections=collection)
        else:
            self._admin.json("get", "admin/cores", action="SWAP", core=one, other=other)

    def remove(self, name: str) -> None:
        """Delete a core and its files."""
        if self._cloud():
            collection = self._aliases()[name]
            self._admin.json("get", "admin/collections", action="DELETEALIAS", name=name)
            self._admin.json("get", "admin/collections", action="DELETE", name=collection)
        else:
            self._admin.json("get", "admin/cores", action="UNLOAD", core=name, deleteIndex="true", deleteInstanceDir="true")

    def _cloud(self) -> bool:
        return bool(self._admin.json("get", "admin/info/system")["mode"] == "solrcloud")

    def _aliases(self) -> dict[str, str]:
        return dict(self._admin.json("get", "admin/collections", action="LISTALIASES")["aliases"])


class _Answer(Json):
    """What Solr answered; without what was asked for, it is not Solr's."""

    def __missing__(self, key: str) -> Any:
        raise SearchUnavailable(f"what answers at SOLR_URL is not Solr: it tells no {key}")


class _Connection(requests.Session):
    """Reads a body within its time-out: alone, the library begins to count anew with each byte that comes."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False  # reading the environment for proxies costs more than sending does, and no proxy knows Solr

    def send(self, request: requests.PreparedRequest, **how: Any) -> requests.Response:
        """Takes at most twice the time-out from the end of the answer's head on."""
        answer = super().send(request, **{**how, "stream": True})
        begun, parts, size = time.monotonic(), list[bytes](), 0
        try:
            while part := answer.raw.read1(PIECE, decode_content=True):
                parts.append(part)
                size += len(part)
                if time.monotonic() - begun > how["timeout"] or size > LARGEST:
                    raise requests.Timeout("the answer did not end")
        except urllib3.exceptions.TimeoutError as error:
            raise requests.Timeout(error) from error
        except urllib3.exceptions.HTTPError as error:
            raise requests.ConnectionError(error) from error
        finally:
            answer.close()  # what was read to its end has given its connection back before
        answer._content = b"".join(parts)  # where the library keeps what it reads itself
        return answer


class _Http(pysolr.Solr):
    """pysolr's connection, with JSON both ways and our errors."""

    def __init__(self, url: str, patience: float, *, once: bool = False) -> None:
        """`once`: what is sent does something else when it is sent twice, so each request has a new connection and is not repeated."""
        super().__init__(url, timeout=patience, session=_Connection())
        self._once = once

    def _get_log(self) -> logging.Logger:
        """pysolr logs each failure with its stack; ours are told once, by whoever catches them."""
        return _quiet

    def json(self, method: str, path: str, body: Any = None, **params: str | int) -> Json:
        """Send, and read the answer. Raises SearchUnavailable (`refused`: HTTP 400)."""
        path = f"{path}?{urlencode(params)}" if params else path
        sent = orjson.dumps(body) if body is not None else None
        if self._once:
            self.get_session().close()
        for last in (self._once, True):
            try:
                answer = orjson.loads(self._send_request(method, path, sent, dict(_JSON)))
                return _Answer(answer if isinstance(answer, dict) else {})
            except pysolr.SolrError as error:
                lost = isinstance(error.__context__, requests.ConnectionError) and not isinstance(error.__context__, requests.Timeout)
                if last or not lost:  # a connection kept open may have been closed meanwhile: once more with a new one
                    status = _STATUS.search(str(error))
                    failure = SearchUnavailable(_said(error, error.__context__))
                    failure.refused = bool(status and status[1] == "400")
                    raise failure from error
            except (requests.RequestException, orjson.JSONDecodeError) as error:  # what pysolr lets through
                raise SearchUnavailable(_said(error, error)) from error
        raise AssertionError("the last try returns or raises")


def _said(error: Exception, cause: BaseException | None) -> str:
    """What failed, in words for an operator: the libraries' own hold addresses of objects."""
    reason = str(error)[:500]
    if isinstance(cause, requests.Timeout):
        reason = "its answer did not come or did not end in time"
    elif isinstance(cause, requests.ConnectionError):
        reason = "it can't be reached, or cut the connection"
    return f"the search engine failed: {reason}"


_quiet = logging.Logger("pysolr, unheard")
_quiet.addHandler(logging.NullHandler())


class _Question:
    """One search as Solr's JSON requests, and its answers as Hits."""

    def __init__(self, scope: Scope, query: Query, store: str) -> None:
        self._scope, self._query, self._marks = scope, query, f"+kind:marker +store:{_quoted(store_name(store))}"
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
                    "type": "terms", "field": "retired" if name == "retired" else f"facet_{name}", "limit": FACET_VALUES, "refine": True,
                    **counted,
                }
                for name in FACETS[self._query.kind]
            }  # fmt: skip
        sorted_by = self._sort_field()
        return {
            "query": _asked(terms(self._query.text)),
            "filter": filters,
            "fields": ["id", *([sorted_by] if sorted_by != "score" else [])],
            "sort": f"{sorted_by} {way},url {way},repo {way}",
            "limit": limit,
            "offset": skip,
            "facet": facets,
            "params": self._params,
        }

    def hits(self, answer: Json, fresh: bool, backward: bool = False) -> Hits:
        """Read an answer. Raises SearchBehind when it has to be fresh and is not, or when the index has nothing of the one repository."""
        documents, facets = answer["response"]["docs"], answer["facets"]
        marks = facets.get("marks", {})
        behind, nothing = self._distance(marks), self._one and not marks["count"]
        if behind and (fresh or nothing):
            raise SearchBehind(f"the search engine has still to learn of {behind} revisions")
        if backward:
            documents.reverse()
        return Hits(
            [_key(document["id"]) for document in documents],
            facets["total"]["count"] if "total" in facets else answer["response"]["numFound"],
            {name: _counts(facets.get(f"of_{name}", {})) for name in FACETS[self._query.kind]} if self._query.facets else {},
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
            self._params["heads"] = _SEPARATOR.join(map(str, scope.heads))
            since = f" +at:[{_millis(scope.since)} TO *]" if scope.since else ""
            either.append(f"(+to_rev:{LIVE} +{_listed('repo', 'heads')}{since})")
        return f"{kind} +({' '.join(either)})"

    def _narrowed(self) -> Iterator[str]:
        if self._query.retired is not None:
            yield f"retired:{'true' if self._query.retired else 'false'}"
        for number, wanted in enumerate(self._query.filters):
            param = f"f{number}"
            self._params[param] = _SEPARATOR.join(_wanted(wanted))
            yield f"{'-' if wanted.negated else '+'}({_places(wanted.name, param)})"

    def _behind(self, after: Position) -> str:
        """The rows that come after a position in this order."""
        field, (value, url) = self._sort_field(), after
        text = _quoted(value) if isinstance(value, str) else str(int(value))
        url = _quoted(url)
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
        return (document[self._sort_field()], _key(document["id"]).url)

    # How far the index has come

    def _mark_facet(self) -> Json:
        """Counts over the markers, from the searcher that answers the rest."""
        if self._one:
            only = f"{self._marks} +id:{_quoted(marker_id(self._one.revision.repo))}"
            return {"type": "query", "q": "*:*", "domain": {"query": only}, "facet": {"rev": "max(rev)"}}
        reached: list[str] = []
        for part in self._scope.parts:
            reached.append(f"(+repo:{part.revision.repo} +rev:[{part.revision.number} TO *])")
        facets: Json = {}
        if reached:
            facets["parts"] = {"type": "query", "q": "*:*", "domain": {"query": f"{self._marks} +({' '.join(reached)})"}}
        if self._scope.heads:
            only = f"{self._marks} +{_listed('repo', 'heads')}"
            facets["heads"] = {"type": "query", "q": "*:*", "domain": {"query": only}, "facet": {"rev": "sum(rev)"}}
        return {"type": "query", "q": "*:*", "facet": facets}

    def _distance(self, marks: Json) -> int:
        """Revisions that are missing, at least one if any is; for several parts: how many of them miss some."""
        if self._one:
            number = self._one.revision.number
            return max(0, number - int(marks["rev"])) if marks["count"] else number + 1
        return len(self._scope.parts) - int(marks["parts"]["count"]) if self._scope.parts else 0


def _rows_of(part: Part) -> str:
    number = part.revision.number
    return f"+repo:{part.revision.repo} +from_rev:[{part.since} TO {number}] +to_rev:[{number + 1} TO *]"


def _wanted(wanted: Filter) -> list[str]:
    """The tokens of a filter's values. The first stands twice: a list that is empty as a text would count as no list."""
    if wanted.name == "extras":
        made = [str(fields.extras_token(wanted.path, value)) for value in wanted.values]
    else:
        made = [fields.token(value) for value in wanted.values]
    return made[:1] + made


def _places(name: str, param: str) -> str:
    """Where a filter looks."""
    if name == "extras":
        return _listed("extras", param)
    if name in ("user", "org"):
        return f"+{_listed('is_owner', param)} +is_ownerType:{'user' if name == 'user' else 'organization'}"
    if name.startswith("concept") and name != "conceptClass":  # either end of a mapping
        return " ".join(_listed(f"is_{end}C{name[1:]}", param) for end in ("from", "to"))
    return _listed(f"is_{name}", param)


def _listed(field: str, param: str) -> str:
    """One of the values in a parameter."""
    return f'{{!terms f={field} separator="{_SEPARATOR}" v=${param}}}'


# The words of q


def _asked(wanted: Sequence[Term]) -> str:
    """`q` in Solr's syntax: every term must match, and a name that is the whole text comes first."""
    if not wanted:
        return "*:*"
    places = [[*(_beginning(term) if term.prefix else _term(term)), *_others(_ways(term, len(wanted)), term.prefix)] for term in wanted]
    for place, (one, other) in enumerate(pairwise(wanted)):
        if not (one.prefix or one.phrase or other.prefix or other.phrase):  # "x ray" finds xray too
            joined = _others([one.text + other.text], False)
            places[place] += joined
            places[place + 1] += joined
    whole = _quoted(parted(" ".join(term.text for term in wanted)))
    return " ".join([*(f"+({' '.join(one)})" for one in places), f"q_whole:{whole}^15"])


def _term(term: Term) -> list[str]:
    """The places of a word or a phrase. A word with marks inside is a phrase to Solr's analysis."""
    return [f"{field}:{_quoted((plain if field in _CODES else parted)(term.text))}^{weight}" for field, weight in _WORD]


def _beginning(term: Term) -> list[str]:
    """The places of a word's beginning. Of a word with marks inside, the last part is the beginning of a word."""
    return [f"{field}:{_escaped(plain(term.text)[:LONGEST])}*^{weight}" for field, weight in _WORD if field in _CODES] + [
        _begins(field, weight, term.text) for field, weight in _WORD if field not in _CODES
    ]


def _begins(field: str, weight: float, text: str) -> str:
    *before, last = _pieces(plain(text)) or [text]
    # pairs of characters stand for longer words in scripts without spaces: what begins with those holds them
    end = f"{field}:{_quoted(last)}" if len(last) > 2 and _UNSPACED.search(last) else f"{field}:{_escaped(last[:LONGEST])}*"
    return f"(+{' +'.join([*(f'{field}:{_quoted(piece)}' for piece in before), end])})^{weight}"


def _pieces(text: str) -> list[str]:
    """A text parted at its marks. Vowel signs (Hindi, Tamil, Arabic) and joiners stay in their words, as Solr's tokenizer leaves them."""
    inside = (char if char.isalnum() or char in _JOINERS or unicodedata.category(char)[0] == "M" else " " for char in text)
    return [piece for piece in "".join(inside).split() if any(map(str.isalnum, piece))]


def _ways(term: Term, terms_in_all: int) -> list[str]:
    """Other ways to write a term: other spellings, closed, joined or in two parts."""
    if terms_in_all > FEW:
        return []
    text = term.text.casefold()
    found = list(spellings(text))
    closed = _HYPHENS.sub("", text) if not term.phrase else text.replace(" ", "") if text.count(" ") == 1 else text
    if closed != text:
        found += [closed, *spellings(closed)]
    elif not term.prefix and terms_in_all <= FEWER and 4 <= len(text) <= 24 and text.isalpha() and not _UNSPACED.search(text):
        found += in_two(text)
    return found


def _others(ways: Sequence[str], prefix: bool) -> list[str]:
    if prefix:
        return [_begins(field, weight, way) for way in ways for field, weight in _OTHER]
    return [f"{field}:{_quoted(parted(way))}^{weight}" for way in ways for field, weight in _OTHER]


def _quoted(text: str) -> str:
    """A text that Solr's syntax takes as it is."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _escaped(text: str) -> str:
    """The same without quotation marks, so that a `*` may follow."""
    return "".join(character if character.isalnum() else f"\\{character}" for character in text)


# Answers


def _key(document_id: str) -> Key:
    repo, from_rev, url = document_id.split("/", 2)
    return Key(int(repo), url, int(from_rev))


def _counts(found: Mapping[str, Any]) -> list[tuple[str, int]]:
    values = ((bucket["val"], bucket["count"]) for bucket in found.get("buckets", ()))
    return [(value if isinstance(value, str) else str(value).lower(), count) for value, count in values]


def _marker(document: Json) -> Marker:
    store = document["store"]
    return Marker(int(document["repo"]), document["rev"], document["commit"], store.removesuffix(store_name("")))


def _millis(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)

