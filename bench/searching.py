"""Search: indexing, listings served by Solr over HTTP, and the delay until `q` finds a write.

The limits are Solr and pymongo alone. Without a local Solr it is skipped, and one line says why.
"""

import base64
import itertools
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson
from pymongo import MongoClient

from bench import data
from bench.data import concept_url, source_url
from bench.editing import FOREVER, load_web, running
from bench.loading import database
from bench.measure import Figure, Sample, children, percentile, seconds, side_by_side
from bench.stage import (
    CALLER,
    TENTH,
    WHOLE,
    Client,
    Stage,
    environ,
    load,
    open_store,
    repo_of,
    start_web,
    write_lines,
)
from config.settings import Settings
from oclapi import times
from oclapi.app import build_services, create_app
from oclapi.imports import run as imports
from oclapi.imports.line_types import Options
from oclapi.local.run import ROOT, WORKER
from oclapi.local.servers import LocalError, Server, launch
from oclapi.local.solr import solr_jars, start_solr
from oclapi.model import LIVE, Json, Repository
from oclapi.store.change_log import RepoHead
from oclapi.store.store import Store
from search.documents import Marker, marker_document
from search.follow import Follower
from search.solr import SolrIndex

Start = Callable[..., Future[Any]]

ROWS = 100  # per page
FAR = 400  # the page that is far from both ends
DIFFERENT = 60  # different requests of one kind, where possible
WARM = 3  # requests per connection that are not counted
BUILT_IN_SECONDS = 1.0  # for one kind of listing by the built-in search
WRITERS = 2
POLL = 0.05  # seconds between two searches for a write
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
QUERY = {"wt": "json", "expandMacros": "false"}
"""What every query has, besides its own parameters."""
PATIENCE = 120.0  # seconds until the index has caught up


@dataclass(frozen=True, slots=True)
class Read:
    """A kind of listing."""

    name: str
    paths: Sequence[str]  # requested one after the other
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Raw:
    """The reads behind one listing: the request to Solr and the keys in its response."""

    body: bytes
    keys: Sequence[tuple[int, str, int]]  # repo, url, from_rev


def searches(stage: Stage) -> list[Figure]:
    """Return all figures about search, or none when Solr can't run.

    Indexes WHOLE and writes to the web server's database.
    """
    with ExitStack() as stack:
        try:
            solr = start_solr(
                stage.folder / "solr", lib=solr_jars(ROOT / "var" / "solr", stage.say)
            )
        except LocalError as error:
            stage.say(f"search is not measured: {error}")
            return []
        stack.callback(solr.stop)
        settings = stage.settings.model_copy(
            update={
                "solr_url": solr.url,
                "redis_url": stage.settings.redis_url.removesuffix("?db=0") + "?db=1",
            }
        )
        figures = [indexing(replace(stage, settings=settings))]
        web = start_web(stage.folder / "searching", settings)
        stack.callback(web.stop)
        on = replace(stage, settings=settings, web=web)
        figures += listings(on, stage.web.port)
        with worker(on):
            figures += [load_during_indexing(on), *delays(on)]
    return figures


# The index filled


def indexing(stage: Stage) -> Figure:
    """Fill cores with WHOLE, by the follower and by posting the same documents.

    The last core stays and serves the listings.
    """
    folder = stage.folder / "posts"
    folder.mkdir()
    runs = min(stage.effort.runs, 2)
    left = iter([*(f"ours{number}" for number in range(1, runs)), stage.settings.solr_core])
    numbers = itertools.count(1)
    with open_store(stage.settings) as store, children(1) as start:
        files, rows = write_posts(store, repo_of(store, WHOLE), folder)
        start(follow, stage.settings, "warm", TENTH, False).result()

        def ours() -> float:
            core = next(left)
            stage.say(f"indexing {rows} rows")
            return rows / float(
                start(
                    follow, stage.settings, core, WHOLE, core == stage.settings.solr_core
                ).result()
            )

        def raw() -> float:
            return rows / float(start(post, stage.settings, f"raw{next(numbers)}", files).result())

        followed, posted = (Sample.of(rates) for rates in side_by_side(runs, ours, raw))
    for file in files:
        file.unlink()
    return Figure(
        f"index of {rows:,} rows",
        "rows/s",
        followed,
        posted,
        "at least 0.7 of the limit",
        followed.median >= 0.7 * posted.median,
        "the same posts, made before",
    )


def write_posts(store: Store, repo: Repository, folder: Path) -> tuple[list[Path], int]:
    """Write the bodies of the indexing requests to files. Returns the files and their rows."""
    head, rows = head_of(store, repo), 0
    files: list[Path] = []
    follower = Follower(store, SolrIndex("", "", store.index_notes.identity))
    for post in follower.posts(head, 0):
        documents = list(post.documents)
        rows += len(documents)
        if post.reached is not None:
            commit = store.change_log.commit(head.repo, post.reached) or ""
            documents.append(
                marker_document(
                    Marker(head.repo, post.reached, commit, store.index_notes.identity())
                )
            )
        file = folder / f"{len(files)}.json"
        file.write_bytes(orjson.dumps(documents))
        files.append(file)
    return files, rows


def head_of(store: Store, repo: Repository) -> RepoHead:
    found = store.change_log.head(repo.number)
    assert found is not None  # nobody deletes it
    return found


def follow(settings: Settings, core: str, source: str, keep: bool) -> float:
    """Return the seconds from an empty core until searches find the whole source."""
    with (
        open_store(settings) as store,
        new_core(settings, core, store.index_notes.identity, keep) as index,
    ):
        number = repo_of(store, source).number

        def work() -> None:
            assert Follower(store, index).follow(number)
            index.commit()

        return seconds(work)


def post(settings: Settings, core: str, files: Sequence[Path]) -> float:
    """Return the seconds for sending the files to an empty core."""
    with new_core(settings, core, lambda: "") as index, closing(connect(settings)) as solr:

        def send() -> None:
            for file in files:
                ask(solr, core, "update", file.read_bytes())
            ask(solr, core, "update", b'{"commit":{"softCommit":true,"waitSearcher":true}}')

        took = seconds(send)
        assert index.markers()
        return took


@contextmanager
def new_core(
    settings: Settings, core: str, store: Callable[[], str], keep: bool = False
) -> Iterator[SolrIndex]:
    """Create an empty core. It is removed at the end without `keep`."""
    index = SolrIndex(settings.solr_url, core, store, patience=PATIENCE)
    index.create(core)
    yield index
    if not keep:
        index.remove(core)


class SolrConnection(HTTPConnection):
    """A connection to Solr that sends the user and the password of the URL."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        super().__init__(parts.hostname or "", parts.port, timeout=PATIENCE)
        credentials = f"{parts.username}:{parts.password}".encode()
        self.authorization = f"Basic {base64.b64encode(credentials).decode()}"


def connect(settings: Settings) -> SolrConnection:
    connection = SolrConnection(settings.solr_url)
    connection.connect()
    return connection


def ask(
    solr: SolrConnection, core: str, handler: str, body: bytes, media_type: str = JSON
) -> bytes:
    headers = {"Content-Type": media_type, "Authorization": solr.authorization}
    solr.request("POST", f"/solr/{core}/{handler}", body, headers)
    response = solr.getresponse()
    read = response.read()
    if response.status != 200:
        raise AssertionError(
            f"Solr returned {response.status}: {read[:300].decode(errors='replace')}"
        )
    return read


# Listings


def listings(stage: Stage, built_in_port: int) -> list[Figure]:
    """Measure p50 and p95 of each kind of listing at 1 and 8 connections.

    The built-in search is measured at p50 with 1 connection.
    """
    figures: list[Figure] = []
    firsts: dict[str, Sample] = {}
    with open_store(stage.settings) as store, children(1) as start:
        listener = Listener(stage.settings, store)
        for read in kinds(store, listener, stage.size):
            stage.say(f"searching: {read.name}")
            raws = [listener.raw(path, read.headers) for path in read.paths]
            for connections in (1, 8):
                figures += measured(stage, start, listener, read, raws, connections)
            shown = firsts[read.name] = figures[-4].ours
            found = start(
                ask_web, built_in_port, stage.token, read, 1, 20, "mongodb", BUILT_IN_SECONDS
            ).result()
            built_in = Sample.of([percentile(found, 0.5) * 1000])
            figures.append(
                Figure(
                    f"{read.name} by the built-in search: p50",
                    "ms",
                    built_in,
                    shown,
                    limit_name="served by Solr",
                )
            )
    last, first = firsts["last page"], firsts["page 1"]
    holds = last.median <= 3 * first.median
    return [
        *figures,
        Figure(
            "last page compared with the first: p50",
            "ms",
            last,
            first,
            "at most 3 times",
            holds,
            "page 1",
        ),
    ]


def kinds(store: Store, listener: "Listener", size: int) -> list[Read]:
    """Return the kinds of listings, most of them with DIFFERENT requests."""
    base = f"{source_url(WHOLE)}concepts/?limit={ROWS}"
    pages = int(listener.headers(base)["pages"])
    far = min(FAR, max(2, pages * 4 // 5))
    reach = min(DIFFERENT // 2, (pages - far) // 2, far - 2)
    around = range(far - reach, far + reach + 1)
    names, times_ = samples(store, size)
    words = [[word for word in name.split() if not word.isdigit()] for name in names]
    filters = itertools.product(data.CLASSES, ("N/A", "Numeric", "Coded", "Text"), data.LOCALES)
    chosen = random.Random(1).sample(list(filters), DIFFERENT)
    return [
        Read("page 1", [base]),
        Read(f"page {far}", [f"{base}&page={page}" for page in around]),
        Read(
            f"page {far} by cursor",
            [listener.following(f"{base}&page={page - 1}") for page in around],
        ),
        Read("last page", [f"{base}&page={pages}"]),
        Read("updatedSince", [f"{base}&updatedSince={moment}" for moment in times_]),
        Read(
            "filter of three",
            [
                f"{base}&conceptClass={one}&datatype={two}&locale={three}"
                for one, two, three in chosen
            ],
        ),
        Read("q of one word", [f"{base}&q={one[0]}" for one in words]),
        Read("q of two words", [f"{base}&q={one[0]}+{one[1]}" for one in words]),
        Read("q of a phrase", [f"{base}&q=%22{one[0]}+{one[1]}%22" for one in words]),
        Read("q of a prefix", [f"{base}&q={one[0][:4]}*" for one in words]),
        Read("facets", [base], {"includeFacets": "true"}),
    ]


def samples(store: Store, size: int) -> tuple[list[str], list[str]]:
    """Return names of concepts of WHOLE, and the times of commits that wrote concepts."""
    urls = [concept_url(WHOLE, 1 + position * 7919 % size) for position in range(DIFFERENT)]
    found = store.database.rows.find(
        {"repo": repo_of(store, WHOLE).number, "url": {"$in": urls}, "to_rev": LIVE},
        {"display": 1, "at": 1},
    )
    rows = list(found)
    return [row["display"] for row in rows], [times.format(row["at"]) for row in rows]


class Listener:
    """Calls the web application in this process and records its requests to Solr."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._index = Overheard(
            settings.solr_url, settings.solr_core, store.index_notes.identity, patience=PATIENCE
        )
        self._marker = self._index.marker(repo_of(store, WHOLE).number)
        self._client = create_app(
            replace(build_services(settings), store=store, solr=self._index)
        ).test_client()
        self._token = {"Authorization": f"Token {settings.root_token}"}

    def headers(self, path: str, headers: Mapping[str, str] | None = None) -> Any:
        """Return the headers of a response. Raises AssertionError when Solr did not serve it."""
        response = self._client.get(path, headers={**self._token, **(headers or {})})
        if response.status_code != 200 or response.headers["search-engine"] != "solr":
            raise AssertionError(
                f"{path} returned {response.status}: {response.get_data(as_text=True)[:300]}"
            )
        return response.headers

    def following(self, path: str) -> str:
        """Return the path of the next page."""
        return "/" + str(self.headers(path)["next"]).split("/", 3)[3]

    def raw(self, path: str, headers: Mapping[str, str]) -> Raw:
        """Return the reads behind a response."""
        self.headers(path, headers)
        found = [
            document["id"].split("/", 2) for document in self._index.response["response"]["docs"]
        ]
        return Raw(
            urlencode({**self._index.parameters, **QUERY}, doseq=True).encode(),
            [(int(repo), url, int(from_rev)) for repo, from_rev, url in found],
        )

    def forget(self) -> None:
        """Let Solr open a new searcher with empty caches, as after a write."""
        assert self._marker is not None  # the source was indexed
        self._index.write([], self._marker, force=True)
        self._index.commit()


class Overheard(SolrIndex):
    """A SolrIndex that keeps its last request and response."""

    parameters: Json
    response: Json

    def _request(self, parameters: Json) -> Json:
        self.parameters, self.response = parameters, super()._request(parameters)
        return self.response


def measured(
    stage: Stage,
    start: Start,
    listener: Listener,
    read: Read,
    raws: Sequence[Raw],
    connections: int,
) -> list[Figure]:
    """Measure p50 and p95 of one kind of listing. The limit is Solr's query, then the bodies."""
    requests = max(stage.effort.requests // (6 if connections == 1 else 36), 5)

    def ours() -> list[float]:
        listener.forget()
        return list(
            start(
                ask_web, stage.web.port, stage.token, read, connections, requests, "solr"
            ).result()
        )

    def raw() -> list[tuple[float, float]]:
        listener.forget()
        return list(start(ask_solr, stage.settings, raws, connections, requests).result())

    web, alone = [], []
    for _ in range(stage.effort.runs):
        web.append(ours())
        alone.append(raw())
    name = f"{read.name}, {connections} connection{'s' if connections > 1 else ''}"
    figures = []
    for label, part in (("p50", 0.5), ("p95", 0.95)):
        shown = Sample.of([percentile(run, part) * 1000 for run in web])
        both = Sample.of([percentile([sum(one) for one in run], part) * 1000 for run in alone])
        figures.append(
            Figure(
                f"{name}: {label}",
                "ms",
                shown,
                both,
                limit_name="query, then bodies by pymongo",
            )
        )
    return figures


def ask_web(
    port: int,
    token: str,
    read: Read,
    connections: int,
    requests: int,
    engine: str,
    most: float = PATIENCE,
) -> list[float]:
    """Return the seconds of each request on persistent connections.

    After `most` seconds no more are sent, except for two per connection. Raises AssertionError when
    another engine served a request.
    """

    def one(number: int) -> list[float]:
        client, took = Client(port, token), list[float]()
        client.open()

        def get(path: str) -> None:
            found, _ = client.request("GET", path, headers=read.headers)
            if found["search-engine"] != engine:
                raise AssertionError(f"{path} was answered by {found['search-engine']}")

        begun = time.perf_counter()
        for position in range(-WARM, requests):
            path = read.paths[(number * requests + position) % len(read.paths)]
            took.append(seconds(lambda path=path: get(path)))  # type: ignore[misc]
            if len(took) > WARM + 1 and time.perf_counter() - begun > most:
                break
        client.close()
        return took[WARM:]

    return _threads(one, connections)


def ask_solr(
    settings: Settings, raws: Sequence[Raw], connections: int, requests: int
) -> list[tuple[float, float]]:
    """Return the seconds of each query by plain HTTP and of reading the bodies by pymongo."""
    with MongoClient[Any](settings.mongo_url) as client:
        rows = database(client, settings).rows

        def bodies(keys: Sequence[tuple[int, str, int]]) -> None:
            if keys:
                where = {
                    "repo": keys[0][0],
                    "url": {"$in": [url for _, url, _ in keys]},
                    "from_rev": {"$in": sorted({rev for *_, rev in keys})},
                }
                # earlier states too
                assert len(list(rows.find(where, {"_id": 0, "body": 1}, hint="item"))) >= len(keys)

        def one(number: int) -> list[tuple[float, float]]:
            took = []
            with closing(connect(settings)) as solr:
                for position in range(-WARM, requests):
                    raw = raws[(number * requests + position) % len(raws)]
                    query = seconds(
                        lambda raw=raw: ask(solr, settings.solr_core, "query", raw.body, FORM)  # type: ignore[misc]
                    )
                    took.append((query, seconds(lambda raw=raw: bodies(raw.keys))))  # type: ignore[misc]
            return took[WARM:]

        return _threads(one, connections)


def _threads(one: Callable[[int], list[Any]], count: int) -> list[Any]:
    with ThreadPoolExecutor(count) as pool:
        return [took for part in pool.map(one, range(count)) for took in part]


# Writes, and the worker that lets them be found


@contextmanager
def worker(stage: Stage) -> Iterator[None]:
    """Start a worker as `make run` does and wait until everything is indexed.

    Requested exports are deleted first, so the worker makes none.
    """
    with MongoClient[Any](stage.settings.mongo_url) as client:
        database(client, stage.settings).exports.delete_many({})
    log = stage.folder / "worker"
    process = launch(
        "worker", WORKER, log, environ={**os.environ, **environ(stage.settings)}, cwd=ROOT
    )
    server = Server("worker", "", 0, log, process)
    try:
        caught_up(stage)
        yield
    finally:
        server.stop(30)


def caught_up(stage: Stage) -> None:
    """Wait until searches find everything. Raises AssertionError after PATIENCE seconds."""
    until = time.monotonic() + PATIENCE
    with open_store(stage.settings) as store:
        index = SolrIndex(
            stage.settings.solr_url,
            stage.settings.solr_core,
            store.index_notes.identity,
            patience=PATIENCE,
        )
        while True:
            markers = index.markers()
            if all(
                head.repo in markers and markers[head.repo].rev >= head.rev
                for head in store.change_log.heads()
            ):
                return
            if time.monotonic() > until:
                raise AssertionError(f"the index was still behind after {PATIENCE:.0f} seconds")
            time.sleep(0.1)


def load_during_indexing(stage: Stage) -> Figure:
    """Measure an import that a worker indexes. The limit is the same import without a worker."""
    file, numbers = stage.folder / "concurrent.jsonl", itertools.count()
    apart = stage.settings_of("apart")

    def one(settings: Settings) -> float:
        source = f"BESIDE{next(numbers)}"
        rows = write_lines(file, max(stage.size // 5, 2), source=source)
        with open_store(settings) as store:
            took = load(store, file.rename(file.with_stem(source.lower())), rows)
        caught_up(stage)
        return rows / took

    stage.say("loading during an index job")
    concurrent, alone = (
        Sample.of(rates)
        for rates in side_by_side(
            stage.effort.runs, lambda: one(stage.settings), lambda: one(apart)
        )
    )
    holds = concurrent.median >= alone.median / 2
    return Figure(
        "load with concurrent indexing",
        "rows/s",
        concurrent,
        alone,
        "at least half",
        holds,
        "without indexing",
    )


def delays(stage: Stage) -> list[Figure]:
    """Measure the time from the response to a write until `q` finds it."""
    figures = []
    with children(1) as start:

        def waits() -> list[float]:
            return list(
                start(
                    until_found,
                    stage.web.port,
                    stage.token,
                    stage.size,
                    max(1, stage.effort.writes // WRITERS),
                ).result()
            )

        stage.say("waiting for writes to be found")
        alone = waits()
        with running(load_new, stage.settings):
            concurrent = waits()
        caught_up(stage)
        with running(load_web, stage.settings):
            among = waits()
    kinds_of_wait = (
        ("a write until q finds it", alone),
        ("the same during a load", concurrent),
        ("the same during a load of the same source", among),
    )
    for name, found in kinds_of_wait:
        figures.append(
            Figure(
                name, "s", Sample.of(found), None, "at most 2 s, the longest too", max(found) <= 2
            )
        )
    return figures


def until_found(port: int, token: str, size: int, writes: int) -> list[float]:
    """Return the seconds until each write was found. Each writer writes `writes` times."""
    mark = f"{time.time_ns():x}"

    def one(writer: int) -> list[float]:
        client, found, pauses = Client(port, token), [], random.Random(writer)
        client.open()
        for number in range(writes):
            time.sleep(pauses.random())
            word = f"zq{mark}x{number}x{writer}"
            concept = concept_url(WHOLE, 1 + (number * WRITERS + writer) % size)
            client.send("PUT", concept, {"descriptions": [{"description": word, "locale": "en"}]})
            begun = time.perf_counter()
            while (
                client.send(
                    "GET", f"{source_url(WHOLE)}concepts/?includeRetired=true&limit=1&q={word}"
                )
                == b"[]"
            ):
                if time.perf_counter() - begun > PATIENCE:
                    raise AssertionError(f"a write was not found within {PATIENCE:.0f} seconds")
                time.sleep(POLL)
            found.append(time.perf_counter() - begun)
        client.close()
        return found

    return _threads(one, WRITERS)


def load_new(settings: Settings, written: Any, stop: Any) -> None:
    """Import into a separate source until `stop` is set."""
    with open_store(settings) as store:
        lines = itertools.takewhile(
            lambda line: not stop.is_set(), data.lines(FOREVER, source="ENDLESS", mappings=0)
        )

        def progress(report: Any, results: Any) -> None:
            written.value = report.processed

        imports.run(store, CALLER, lambda: lines, Options(), "endless", progress)
