"""The search engine on Solr 9: what it is asked and told. docs/search.md tells how it fits
together.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import urlencode

from oclapi.errors import SearchUnavailable
from oclapi.model import Json
from oclapi.store.database import Session
from search.base import FACETS, Hits, Key, Position, Query, Scope
from search.documents import SCHEMA, Marker, marker_document, marker_id, store_name
from search.solr_http import Http
from search.solr_query import SEPARATOR, Question, key_of, listed, quoted

log = logging.getLogger(__name__)

CONFIGSET = "oclapi"
"""The name under which Solr keeps config/solr/configset."""

PAUSE = 1.5
"""Seconds for which a process does not ask a Solr again that has just failed: its time-out is not
paid by every listing.
"""
SMALL = 200
SOON = 100
"""Documents of a post that somebody may be waiting for, and milliseconds until searches see them;
others take up to half a second.
"""
LOOK_PATIENCE = 10
"""Seconds that a look at a marker may take: the tick waits for it, which does other things too."""
WRITE_PATIENCE = 120
"""Seconds that a write, a soft commit or a core's creation may take."""
DEEP = 1000
"""A page behind more rows than these is read from the nearer end of the listing; its rows are
counted first.
"""
BATCH = 2000
"""Rows of one step of `keys`."""


class SolrIndex:
    """One index: a core, or on SolrCloud a collection behind an alias. Opens no connection before
    its first use.

    Every method raises SearchUnavailable when Solr is down, too slow, or answers with an error.
    """

    name = "solr"

    def __init__(
        self, url: str, core: str, store: Callable[[], str], *, patience: float = 2.0
    ) -> None:
        """`url` ends with /solr. `store` gives the identity of the database. `patience`: seconds
        that a search may take.
        """
        self.url, self.core = url.rstrip("/"), core
        self._store, self._patience = store, patience
        self._search = Http(f"{self.url}/{core}", patience)
        self._look = Http(f"{self.url}/{core}", LOOK_PATIENCE)
        self._write = Http(f"{self.url}/{core}", WRITE_PATIENCE)
        self._admin = Http(self.url, WRITE_PATIENCE, once=True)
        self._fits = False  # the core's schema is known to be ours
        self._again = 0.0  # time.monotonic() before which searches fail at once

    def of(self, core: str) -> "SolrIndex":
        """The index of that name on the same Solr, for the same store."""
        return SolrIndex(self.url, core, self._store, patience=self._patience)

    # Searching

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
        """As SearchIndex says. One request; two behind more than DEEP rows, which are then read
        from the nearer end.
        """
        if not scope.parts and not scope.heads:
            return Hits((), 0, dict.fromkeys(FACETS[query.kind], ()) if query.facets else {})
        if time.monotonic() < self._again:
            raise SearchUnavailable("the search engine failed a moment ago")
        question = Question(scope, query, self._store())
        try:
            self._check_schema()
            return self._page(question, limit, skip, after, fresh)
        except SearchUnavailable as error:
            if not error.refused:
                self._again = time.monotonic() + PAUSE
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            log.warning(
                "an answer of the search engine was not understood",
                extra={"reason": repr(error)[:500]},
                exc_info=True,
            )
            self._again = time.monotonic() + PAUSE
            raise SearchUnavailable("what answers at SOLR_URL is not Solr") from error

    def _page(
        self, question: "Question", limit: int, skip: int, after: Position | None, fresh: bool
    ) -> Hits:
        if after is not None or skip <= DEEP or limit == 0:
            return question.hits(self._ask(question.body(limit, skip, after)), fresh)
        counted = question.hits(self._ask(question.body(0, 0, None)), fresh)
        before_end = counted.total - skip - limit  # rows behind the page
        if before_end < skip and skip < counted.total:
            asked = question.body(
                min(limit, counted.total - skip), max(before_end, 0), None, backward=True
            )
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
                raise SearchUnavailable(
                    f"the index {self.core} has the schema {found}, oclapi-{SCHEMA} is needed: run make reindex"
                )
            self._fits = True

    # What the index holds

    def marker(self, repo: int) -> Marker | None:
        """How far the index has come with a repository; None: it has nothing of it that can be
        used.
        """
        return self._markers(f"id:{quoted(marker_id(repo))}", 1).get(repo)

    def markers(self) -> dict[int, Marker]:
        """All markers by repository, those of other stores too. Cost: one request."""
        return self._markers("kind:marker", 2**31 - 1)

    def _markers(self, query: str, rows: int) -> dict[int, Marker]:
        asked = {"query": query, "fields": ["repo", "rev", "commit", "store"], "limit": rows}
        found = (
            _marker(document)
            for document in self._look.json("post", "query", asked)["response"]["docs"]
        )
        return {marker.repo: marker for marker in found}

    def keys(self, repo: int) -> Iterator[tuple[Key, int, bool]]:
        """Every row that the index has of a repository, with its to_rev and retired, in the order
        of Solr's ids. For checks.

        Rows that change meanwhile may show either state. Memory: BATCH rows.
        """
        cursor = "*"
        while True:
            asked = {
                "query": f"+repo:{repo} -kind:marker",
                "fields": ["id", "to_rev", "retired"],
                "sort": "id asc",
                "limit": BATCH,
                "params": {"cursorMark": cursor},
            }
            answer = self._write.json("post", "query", asked)
            for document in answer["response"]["docs"]:
                yield key_of(document["id"]), document["to_rev"], document["retired"]
            if answer["nextCursorMark"] == cursor:
                return
            cursor = answer["nextCursorMark"]

    def count(self, repo: int) -> int:
        """How many rows the index has of a repository, ended ones too."""
        found = self._look.json(
            "post", "query", {"query": f"+repo:{repo} -kind:marker", "limit": 0}
        )
        return int(found["response"]["numFound"])

    def some_row(self, repo: int) -> str | None:
        """The id of a row that searches find of a repository, None when there is none."""
        asked = {"query": f"+repo:{repo} -kind:marker", "fields": ["id"], "limit": 1}
        found = self._look.json("post", "query", asked)["response"]["docs"]
        return str(found[0]["id"]) if found else None

    def holds(self, repo: int, row: str) -> bool:
        """Whether the repository's marker and that row are there now, seen by searches or not.
        Cost: one request.
        """
        wanted = urlencode([("id", marker_id(repo)), ("id", row), ("fl", "id")])
        return len(self._look.json("get", f"get?{wanted}")["response"]["docs"]) == 2

    def counts(self) -> dict[int, int]:
        """The same of every repository that it has rows of, known to the store or not. Cost: one
        request.
        """
        rows = {"type": "terms", "field": "repo", "limit": -1, "refine": True}
        found = self._write.json(
            "post", "query", {"query": "*:* -kind:marker", "limit": 0, "facet": {"rows": rows}}
        )
        return {
            int(bucket["val"]): bucket["count"]
            for bucket in found["facets"].get("rows", {}).get("buckets", ())
        }

    def states(self, ids: Sequence[str]) -> Iterator[tuple[Key, int, bool]]:
        """As `keys`, of those of these documents that there are. Cost: a request for each BATCH of
        them.
        """
        for start in range(0, len(ids), BATCH):
            # "ids" is a parameter of Solr's own
            params = {"wanted": SEPARATOR.join(ids[start : start + BATCH])}
            asked = {
                "query": listed("id", "wanted"),
                "fields": ["id", "to_rev", "retired"],
                "limit": BATCH,
                "params": params,
            }
            for document in self._write.json("post", "query", asked)["response"]["docs"]:
                yield key_of(document["id"]), document["to_rev"], document["retired"]

    # Writing

    def write(
        self, documents: Sequence[Json], marker: Marker | None = None, *, force: bool = False
    ) -> list[str]:
        """Write rows, then the marker, in one request; return the ids that Solr refused: the others
        and the marker are stored.

        A document replaces one that was made at an older head, or, with `force`, any. Searches find
        them half a second later, and a few sooner. Safe to send again. Cost: one request; some more
        when a document is refused.
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
        """Delete every row of a repository and its marker. Searches see it after the next soft
        commit.
        """
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
        """Create the core when there is none of its name; true when it was created. Safe for
        several at once.
        """
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
            return (
                name in self._aliases()
                or name
                in self._admin.json("get", "admin/collections", action="LIST")["collections"]
            )
        return bool(
            self._admin.json("get", "admin/cores", action="STATUS", core=name, indexInfo="false")[
                "status"
            ].get(name)
        )

    def create(self, name: str) -> None:
        """An empty core made with the configset."""
        if self._cloud():
            # repo as the router's field keeps a repository's rows and its marker on one shard
            collection = f"{name}_{time.time_ns():x}"
            how: dict[str, str | int] = {
                "numShards": 1,
                "collection.configName": CONFIGSET,
                "router.field": "repo",
            }
            self._admin.json("get", "admin/collections", action="CREATE", name=collection, **how)
            self._admin.json(
                "get", "admin/collections", action="CREATEALIAS", name=name, collections=collection
            )
        else:
            # a folder of its own: cores that exchange their names keep their folders
            folder = f"{name}_{time.time_ns():x}"
            self._admin.json(
                "get",
                "admin/cores",
                action="CREATE",
                name=name,
                instanceDir=folder,
                configSet=CONFIGSET,
            )

    def swap(self, one: str, other: str) -> None:
        """Exchange two names: searches of each then go to what the other one was."""
        if self._cloud():
            aliases = self._aliases()
            for name, collection in ((one, aliases[other]), (other, aliases[one])):
                self._admin.json(
                    "get",
                    "admin/collections",
                    action="CREATEALIAS",
                    name=name,
                    collections=collection,
                )
        else:
            self._admin.json("get", "admin/cores", action="SWAP", core=one, other=other)

    def remove(self, name: str) -> None:
        """Delete a core and its files."""
        if self._cloud():
            collection = self._aliases()[name]
            self._admin.json("get", "admin/collections", action="DELETEALIAS", name=name)
            self._admin.json("get", "admin/collections", action="DELETE", name=collection)
        else:
            self._admin.json(
                "get",
                "admin/cores",
                action="UNLOAD",
                core=name,
                deleteIndex="true",
                deleteInstanceDir="true",
            )

    def _cloud(self) -> bool:
        return bool(self._admin.json("get", "admin/info/system")["mode"] == "solrcloud")

    def _aliases(self) -> dict[str, str]:
        return dict(self._admin.json("get", "admin/collections", action="LISTALIASES")["aliases"])


def _marker(document: Json) -> Marker:
    store = document["store"]
    return Marker(
        int(document["repo"]),
        document["rev"],
        document["commit"],
        store.removesuffix(store_name("")),
    )
