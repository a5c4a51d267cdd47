"""The search engine on Solr 9. docs/search.md describes the design."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence

import pysolr

from oclapi.errors import SearchUnavailable
from oclapi.model import Json
from oclapi.store.database import Session
from search.base import FACETS, Hits, Key, Position, Query, Scope
from search.documents import SCHEMA, Marker, marker_document, marker_id, store_name
from search.solr_http import Session as HttpSession
from search.solr_http import connect, get
from search.solr_query import SEPARATOR, Question, dumps, key_of, listed, quoted

log = logging.getLogger(__name__)

CONFIGSET = "oclapi"
"""Name of the configset in Solr, see config/solr/configset."""

PAUSE = 1.5
"""Seconds without requests after a failure, so that not every listing waits for a time-out."""
SMALL = 200
"""Most documents of a small post. A user may be waiting for it, so it is committed sooner."""
SOON = 100
"""Milliseconds until searches see a small post. Others take up to half a second."""
LOOKUP_PATIENCE = 10
"""Most seconds for reading a marker. The tick waits for it and has other duties."""
WRITE_PATIENCE = 120
"""Most seconds for a write, a soft commit or the creation of a core."""
DEEP = 1000
"""A page after more rows than this is read from the nearer end of the listing.

The rows are counted first.
"""
BATCH = 2000
"""Rows per request of `keys`."""


class SolrIndex:
    """One index: a core, or on SolrCloud a collection with an alias.

    No connection is opened before the first request. Every method raises SearchUnavailable when
    Solr is down, is too slow, or responds with an error.
    """

    name = "solr"

    def __init__(
        self, url: str, core: str, store: Callable[[], str], *, patience: float = 2.0
    ) -> None:
        """`url` ends with /solr. `store` returns the identity of the database.

        `patience` is the number of seconds that a search may take.
        """
        self.url, self.core = url.rstrip("/"), core
        self._store, self._patience = store, patience
        self._search = connect(f"{self.url}/{core}", patience)
        self._lookup = connect(f"{self.url}/{core}", LOOKUP_PATIENCE)
        self._write = connect(f"{self.url}/{core}", WRITE_PATIENCE)
        self._session, self._admin_session = HttpSession(), HttpSession(once=True)
        self._schema_checked = False
        self._retry_at = 0.0  # time.monotonic() before which searches fail at once

    def of(self, core: str) -> "SolrIndex":
        """Return the index of that name on the same Solr, for the same store."""
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
        """Return one page, see `SearchIndex.find`.

        Cost: one request. A page after more than DEEP rows needs two and is read from the nearer
        end.
        """
        if not scope.spans and not scope.heads:
            return Hits((), 0, dict.fromkeys(FACETS[query.kind], ()) if query.facets else {})
        if time.monotonic() < self._retry_at:
            raise SearchUnavailable("the search engine failed just now")
        question = Question(scope, query, self._store())
        try:
            self._check_schema()
            return self._page(question, limit, skip, after, fresh)
        except SearchUnavailable as error:
            if not error.refused:
                self._retry_at = time.monotonic() + PAUSE
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            log.warning(
                "the search engine sent an unexpected response",
                extra={"reason": repr(error)[:500]},
                exc_info=True,
            )
            self._retry_at = time.monotonic() + PAUSE
            raise SearchUnavailable("the server at SOLR_URL is not Solr") from error

    def _page(
        self, question: "Question", limit: int, skip: int, after: Position | None, fresh: bool
    ) -> Hits:
        if after is not None or skip <= DEEP or limit == 0:
            return question.hits(self._request(question.parameters(limit, skip, after)), fresh)
        counted = question.hits(self._request(question.parameters(0, 0, None)), fresh)
        after_page = counted.total - skip - limit
        if after_page < skip and skip < counted.total:
            request = question.parameters(
                min(limit, counted.total - skip), max(after_page, 0), None, backward=True
            )
            page = question.hits(self._request(request), fresh, backward=True)
            if page.total == counted.total:
                return page
        # The page is near the middle or past the end, or the index changed between the requests.
        return question.hits(self._request(question.parameters(limit, skip, None)), fresh)

    def _request(self, parameters: Json) -> Json:
        return _query(self._search, parameters)

    def _check_schema(self) -> None:
        """Raise SearchUnavailable when the core has the schema of another version."""
        if not self._schema_checked:
            url = f"{self.url}/{self.core}/schema/name"
            found = get(self._session, url, self._patience)["name"]
            if found != f"oclapi-{SCHEMA}":
                raise SearchUnavailable(
                    f"the index {self.core} has the schema {found}, "
                    f"oclapi-{SCHEMA} is needed: run make reindex"
                )
            self._schema_checked = True

    # What the index contains

    def marker(self, repo: int) -> Marker | None:
        """Return the marker of a repository, or None when it is not indexed."""
        return self._markers(f"id:{quoted(marker_id(repo))}", 1).get(repo)

    def markers(self) -> dict[int, Marker]:
        """Return all markers by repository, also those of other stores. Cost: one request."""
        return self._markers("kind:marker", 2**31 - 1)

    def _markers(self, query: str, rows: int) -> dict[int, Marker]:
        request = {"q": query, "fl": "repo,rev,commit,store", "rows": rows}
        found = map(_marker, _query(self._lookup, request)["response"]["docs"])
        return {marker.repo: marker for marker in found}

    def keys(self, repo: int) -> Iterator[tuple[Key, int, bool]]:
        """Yield every indexed row of a repository with its to_rev and retired, in order of id.

        Rows that change meanwhile may have either state. Memory: BATCH rows.
        """
        cursor = "*"
        while True:
            request = {
                "q": f"+repo:{repo} -kind:marker",
                "fl": "id,to_rev,retired",
                "sort": "id asc",
                "rows": BATCH,
                "cursorMark": cursor,
            }
            response = _query(self._write, request)
            for document in response["response"]["docs"]:
                yield key_of(document["id"]), document["to_rev"], document["retired"]
            if response["nextCursorMark"] == cursor:
                return
            cursor = response["nextCursorMark"]

    def count(self, repo: int) -> int:
        """Return the number of indexed rows of a repository, ended ones included."""
        found = _query(self._lookup, {"q": f"+repo:{repo} -kind:marker", "rows": 0})
        return int(found["response"]["numFound"])

    def some_row(self, repo: int) -> str | None:
        """Return the id of any indexed row of a repository, or None."""
        request = {"q": f"+repo:{repo} -kind:marker", "fl": "id", "rows": 1}
        found = _query(self._lookup, request)["response"]["docs"]
        return str(found[0]["id"]) if found else None

    def holds(self, repo: int, row: str) -> bool:
        """Return whether the repository's marker and that row exist, visible to searches or not."""
        found = self._lookup.search("", search_handler="get", id=[marker_id(repo), row], fl="id")
        return len(found["response"]["docs"]) == 2

    def counts(self) -> dict[int, int]:
        """Return the number of indexed rows of every repository, also of unknown ones.

        Cost: one request.
        """
        rows = {"type": "terms", "field": "repo", "limit": -1, "refine": True}
        request = {"q": "*:* -kind:marker", "rows": 0, "json.facet": dumps({"rows": rows})}
        found = _query(self._write, request)
        return {
            int(bucket["val"]): bucket["count"]
            for bucket in found["facets"].get("rows", {}).get("buckets", ())
        }

    def states(self, ids: Sequence[str]) -> Iterator[tuple[Key, int, bool]]:
        """Like `keys`, for those of these document ids that exist.

        Cost: one request for each BATCH of ids.
        """
        for start in range(0, len(ids), BATCH):
            # Solr has a parameter "ids" of its own.
            request = {
                "q": listed("id", "wanted"),
                "fl": "id,to_rev,retired",
                "rows": BATCH,
                "wanted": SEPARATOR.join(ids[start : start + BATCH]),
            }
            for document in _query(self._write, request)["response"]["docs"]:
                yield key_of(document["id"]), document["to_rev"], document["retired"]

    # Writing

    def write(
        self, documents: Sequence[Json], marker: Marker | None = None, *, force: bool = False
    ) -> list[str]:
        """Write rows, then the marker, in one request. Returns the ids that Solr rejected.

        All other documents and the marker are stored. When several documents are all rejected, the
        fault is the index's: the marker is not stored then, so that nobody finds the repository
        empty, and SearchUnavailable is raised. A document replaces one that was read at an
        older head, or any with `force`. Searches find them within half a second. It is safe to
        write them again. Cost: one request, and a few more when documents are rejected.
        """
        self._check_schema()
        end = [marker_document(marker)] if marker else []
        if not documents and not end:
            return []
        if self._post([*documents, *end], force):
            return []
        refused = self._sift(documents, force)
        if len(refused) == len(documents) > 1:
            raise SearchUnavailable(
                f"the index {self.core} rejects all documents, it may have been made for another "
                "schema: run make reindex"
            )
        if end:
            self._send(end, force)
        return refused

    def _sift(self, documents: Sequence[Json], force: bool) -> list[str]:
        """Write what Solr accepts. Returns the ids of the others."""
        if not documents:
            return []
        half = len(documents) // 2
        refused: list[str] = []
        for part in (documents[:half], documents[half:]) if half else (documents,):
            if part and not self._post(part, force):
                refused += [part[0]["id"]] if len(part) == 1 else self._sift(part, force)
        return refused

    def forget(self, repo: int) -> None:
        """Delete the rows and the marker of a repository. Visible after the next soft commit."""
        self._write.delete(q=f"repo:{repo}")

    def drop(self, ids: Sequence[str]) -> None:
        """Delete documents. Visible after the next soft commit."""
        if ids:
            self._write.delete(id=list(ids))

    def commit(self) -> None:
        """Wait until searches see everything that was written before."""
        self._write.commit(softCommit=True, waitSearcher=True)

    def _post(self, documents: Sequence[Json], force: bool) -> bool:
        """Write documents. Returns False when Solr rejected them."""
        try:
            self._send(documents, force)
        except SearchUnavailable as error:
            if not error.refused:
                raise
            return False
        return True

    def _send(self, documents: Sequence[Json], force: bool) -> None:
        self._write.add(
            list(documents),
            fieldUpdates={},  # keeps empty texts, which pysolr leaves out otherwise
            commitWithin=SOON if len(documents) <= SMALL else None,
            handler="update/repair" if force else "update",
        )

    # Cores. On SolrCloud each name is the alias of a collection.

    def ensure(self) -> bool:
        """Create the core unless it exists. Returns True when it was created.

        Several processes may call it at the same time.
        """
        if self.exists(self.core):
            return False
        try:
            self.create(self.core)
        except SearchUnavailable:
            if not self.exists(self.core):  # no other process created it first
                raise
            return False
        return True

    def exists(self, name: str) -> bool:
        if self._cloud():
            return (
                name in self._aliases()
                or name in self._admin("admin/collections", action="LIST")["collections"]
            )
        return bool(
            self._admin("admin/cores", action="STATUS", core=name, indexInfo="false")["status"].get(
                name
            )
        )

    def create(self, name: str) -> None:
        """Create an empty core with the configset."""
        if self._cloud():
            # Routing by repo keeps the rows of a repository and its marker on one shard.
            collection = f"{name}_{time.time_ns():x}"
            how: dict[str, str | int] = {
                "numShards": 1,
                "collection.configName": CONFIGSET,
                "router.field": "repo",
            }
            self._admin("admin/collections", action="CREATE", name=collection, **how)
            self._admin(
                "admin/collections", action="CREATEALIAS", name=name, collections=collection
            )
        else:
            # A unique folder, because cores that exchange their names keep their folders.
            folder = f"{name}_{time.time_ns():x}"
            self._admin(
                "admin/cores",
                action="CREATE",
                name=name,
                instanceDir=folder,
                configSet=CONFIGSET,
            )

    def swap(self, one: str, other: str) -> None:
        """Exchange the names of two cores."""
        if self._cloud():
            aliases = self._aliases()
            for name, collection in ((one, aliases[other]), (other, aliases[one])):
                self._admin(
                    "admin/collections",
                    action="CREATEALIAS",
                    name=name,
                    collections=collection,
                )
        else:
            self._admin("admin/cores", action="SWAP", core=one, other=other)

    def remove(self, name: str) -> None:
        """Delete a core and its files."""
        if self._cloud():
            collection = self._aliases()[name]
            self._admin("admin/collections", action="DELETEALIAS", name=name)
            self._admin("admin/collections", action="DELETE", name=collection)
        else:
            self._admin(
                "admin/cores",
                action="UNLOAD",
                core=name,
                deleteIndex="true",
                deleteInstanceDir="true",
            )

    def _admin(self, path: str, **params: str | int) -> Json:
        return get(self._admin_session, f"{self.url}/{path}", WRITE_PATIENCE, **params)

    def _cloud(self) -> bool:
        return bool(self._admin("admin/info/system")["mode"] == "solrcloud")

    def _aliases(self) -> dict[str, str]:
        return dict(self._admin("admin/collections", action="LISTALIASES")["aliases"])


def _query(connection: pysolr.Solr, parameters: Json) -> Json:
    """Return the body of Solr's response to a query. Texts of clients are no macros."""
    found: Json = connection.search(**parameters, search_handler="query", expandMacros="false")
    return found


def _marker(document: Json) -> Marker:
    store = document["store"]
    return Marker(
        int(document["repo"]),
        document["rev"],
        document["commit"],
        store.removesuffix(store_name("")),
    )
