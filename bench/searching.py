"""Search: the index filled, listings answered by Solr over HTTP, and writes until words find them;
beside Solr and pymongo alone.

All of it is skipped, with a line that says why, where no local Solr can run.
"""

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
from oclapi.imports.lines import Options
from oclapi.local.run import ROOT, WORKER
from oclapi.local.servers import LocalError, Server, launch
from oclapi.local.solr import solr_jars, start_solr
from oclapi.model import LIVE, Json
from oclapi.store.change_log import RepoHead
from oclapi.store.store import Store
from search.documents import Marker, marker_document
from search.follow import Follower
from search.solr import SolrIndex

Start = Callable[..., Future[Any]]

ROWS = 100  # of a page
FAR = 400  # the page that is far from both ends
DIFFERENT = 60  # requests of one kind that differ, where they can
WARM = 3  # requests of each connection that are not counted
BUILT_IN_SECONDS = 1.0  # for one kind of listing by the built-in search
WRITERS = 2
LOOK = 0.05  # seconds from one look for a write to the next
PATIENCE = 120.0  # seconds until the index has caught up


@dataclass(frozen=True, slots=True)
class Read:
    """One kind of listing."""

    name: str
    paths: Sequence[str]  # asked for in turns
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Raw:
    """What one listing takes of Solr and MongoDB: the request that gave its page, and the keys that
    came back.
    """

    body: bytes
    keys: Sequence[tuple[int, str, int]]  # repo, url, from_rev


def searches(stage: Stage) -> list[Figure]:
    """All figures about search; none where Solr can't run. Indexes WHOLE and writes to the web
    server's database.
    """
    with ExitStack() as stack:
        try:
            solr = start_solr(
                stage.folder / "solr", lib=solr_jars(ROOT / "var" / "solr", stage.tell)
            )
        except LocalError as error:
            stage.tell(f"search is not measured: {error}")
            return []
        stack.callback(solr.stop)
        settings = replace(
            stage.settings,
            solr_url=solr.url,
            redis_url=stage.settings.redis_url.removesuffix("/0") + "/1",
        )
        figures = [indexing(replace(stage, settings=settings))]
        web = start_web(stage.folder / "searching", settings)
        stack.callback(web.stop)
        on = replace(stage, settings=settings, web=web)
        figures += listings(on, stage.web.port)
        with worker(on):
            figures += [load_beside_indexing(on), *delays(on)]
    return figures


# The index filled


def indexing(stage: Stage) -> Figure:
    """Fill cores with WHOLE by our follower and by posting the same documents, in turns. What
    serves listings later stays.
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
            stage.tell(f"indexing {rows} rows")
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


def write_posts(store: Store, repo: Json, folder: Path) -> tuple[list[Path], int]:
    """The bodies of the requests that fill the index of a repository, a file each, and the rows in
    them.
    """
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


def head_of(store: Store, repo: Json) -> RepoHead:
    found = store.change_log.head(repo["_id"])
    assert found is not None  # nobody deletes it
    return found


def follow(settings: Settings, core: str, source: str, keep: bool) -> float:
    """Seconds from an empty core until searches find all of the source."""
    with (
        open_store(settings) as store,
        new_core(settings, core, store.index_notes.identity, keep) as index,
    ):
        number = repo_of(store, source)["_id"]

        def work() -> None:
            assert Follower(store, index).follow(number)
            index.commit()

        return seconds(work)


def post(settings: Settings, core: str, files: Sequence[Path]) -> float:
    """The same by sending what is in the files."""
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
    """An empty core, removed at the end unless it is to stay."""
    index = SolrIndex(settings.solr_url, core, store, patience=PATIENCE)
    index.create(core)
    yield index
    if not keep:
        index.remove(core)


def connect(settings: Settings) -> HTTPConnection:
    place = settings.solr_url.removeprefix("http://").partition("/")[0]
    connection = HTTPConnection(place, timeout=PATIENCE)
    connection.connect()
    return connection


def ask(solr: HTTPConnection, core: str, handler: str, body: bytes) -> bytes:
    solr.request("POST", f"/solr/{core}/{handler}", body, {"Content-Type": "application/json"})
    answer = solr.getresponse()
    read = answer.read()
    if answer.status != 200:
        raise AssertionError(
            f"Solr answered {answer.status}: {read[:300].decode(errors='replace')}"
        )
    return read


# Listings


def listings(stage: Stage, built_in_port: int) -> list[Figure]:
    """p50 and p95 of each kind of listing at 1 and 8 connections, and p50 of the same by the
    built-in search.
    """
    figures: list[Figure] = []
    firsts: dict[str, Sample] = {}
    with open_store(stage.settings) as store, children(1) as start:
        listener = Listener(stage.settings, store)
        for read in kinds(store, listener, stage.size):
            stage.tell(f"searching: {read.name}")
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
                    limit_name="answered from Solr",
                )
            )
    last, first = firsts["last page"], firsts["page 1"]
    holds = last.median <= 3 * first.median
    return [
        *figures,
        Figure(
            "last page beside the first: p50", "ms", last, first, "at most 3 times", holds, "page 1"
        ),
    ]


def kinds(store: Store, listener: "Listener", size: int) -> list[Read]:
    """The listings of concepts that are asked for, most of them in DIFFERENT ways."""
    base = f"{source_url(WHOLE)}concepts/?limit={ROWS}"
    pages = int(listener.headers(base)["pages"])
    far = min(FAR, max(2, pages * 4 // 5))
    reach = min(DIFFERENT // 2, (pages - far) // 2, far - 2)
    around = range(far - reach, far + reach + 1)
    names, moments = samples(store, size)
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
        Read("updatedSince", [f"{base}&updatedSince={moment}" for moment in moments]),
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
    """Names of concepts of WHOLE, each of some words, and the moments of commits that wrote such."""
    urls = [concept_url(WHOLE, 1 + place * 7919 % size) for place in range(DIFFERENT)]
    found = store.database.rows.find(
        {"repo": repo_of(store, WHOLE)["_id"], "url": {"$in": urls}, "to_rev": LIVE},
        {"display": 1, "at": 1},
    )
    rows = list(found)
    return [row["display"] for row in rows], [times.show(row["at"]) for row in rows]


class Listener:
    """Asks the web application inside of this process, and hears what it asks Solr."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._index = Overheard(
            settings.solr_url, settings.solr_core, store.index_notes.identity, patience=PATIENCE
        )
        self._marker = self._index.marker(repo_of(store, WHOLE)["_id"])
        self._client = create_app(
            replace(build_services(settings), store=store, solr=self._index)
        ).test_client()
        self._token = {"Authorization": f"Token {settings.root_token}"}

    def headers(self, path: str, headers: Mapping[str, str] | None = None) -> Any:
        """Those of the answer. Raises AssertionError when Solr did not find it."""
        answer = self._client.get(path, headers={**self._token, **(headers or {})})
        if answer.status_code != 200 or answer.headers["search-engine"] != "solr":
            raise AssertionError(
                f"{path} answered {answer.status}: {answer.get_data(as_text=True)[:300]}"
            )
        return answer.headers

    def following(self, path: str) -> str:
        """The address of the next page, which continues where this one ends."""
        return "/" + str(self.headers(path)["next"]).split("/", 3)[3]

    def raw(self, path: str, headers: Mapping[str, str]) -> Raw:
        """What an answer takes of Solr and MongoDB."""
        self.headers(path, headers)
        found = [
            document["id"].split("/", 2) for document in self._index.answer["response"]["docs"]
        ]
        return Raw(
            orjson.dumps(self._index.body),
            [(int(repo), url, int(from_rev)) for repo, from_rev, url in found],
        )

    def forget(self) -> None:
        """Let Solr open a new searcher, whose caches are empty, as it does after a write."""
        assert self._marker is not None  # the source was indexed
        self._index.write([], self._marker, force=True)
        self._index.commit()


class Overheard(SolrIndex):
    """A SolrIndex that keeps its last question and the answer."""

    body: Json
    answer: Json

    def _ask(self, body: Json) -> Json:
        self.body, self.answer = body, super()._ask(body)
        return self.answer


def measured(
    stage: Stage,
    start: Start,
    listener: Listener,
    read: Read,
    raws: Sequence[Raw],
    connections: int,
) -> list[Figure]:
    """p50 and p95 of one kind of listing. The limit is what a page consists of: Solr's keys, then
    the bodies.
    """
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
        query = Sample.of([percentile([one[0] for one in run], part) * 1000 for run in alone])
        both = Sample.of([percentile([sum(one) for one in run], part) * 1000 for run in alone])
        most = 1.5 * query.median + 3
        goal = f"at most {most:.1f} ms: 1.5 queries of {query.median:.2f} ms, and 3 ms"
        figures.append(
            Figure(
                f"{name}: {label}",
                "ms",
                shown,
                both,
                goal,
                shown.median <= most,
                "query, then bodies by pymongo",
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
    """Seconds of each request, on connections that are kept open; after `most` seconds no more are
    sent, but two of each connection.

    Raises AssertionError when another engine answered.
    """

    def one(number: int) -> list[float]:
        client, took = Client(port, token), list[float]()
        client.open()

        def get(path: str) -> None:
            found, _ = client.answer("GET", path, headers=read.headers)
            if found["search-engine"] != engine:
                raise AssertionError(f"{path} was answered by {found['search-engine']}")

        begun = time.perf_counter()
        for place in range(-WARM, requests):
            path = read.paths[(number * requests + place) % len(read.paths)]
            took.append(seconds(lambda path=path: get(path)))  # type: ignore[misc]
            if len(took) > WARM + 1 and time.perf_counter() - begun > most:
                break
        client.close()
        return took[WARM:]

    return _threads(one, connections)


def ask_solr(
    settings: Settings, raws: Sequence[Raw], connections: int, requests: int
) -> list[tuple[float, float]]:
    """Seconds of each query, and of reading the bodies of what it finds, by plain HTTP and pymongo."""
    with MongoClient[Any](settings.mongo_url) as client:
        rows = database(client, settings).rows

        def bodies(keys: Sequence[tuple[int, str, int]]) -> None:
            if keys:
                asked = {
                    "repo": keys[0][0],
                    "url": {"$in": [url for _, url, _ in keys]},
                    "from_rev": {"$in": sorted({rev for *_, rev in keys})},
                }
                # earlier states too
                assert len(list(rows.find(asked, {"_id": 0, "body": 1}, hint="item"))) >= len(keys)

        def one(number: int) -> list[tuple[float, float]]:
            took = []
            with closing(connect(settings)) as solr:
                for place in range(-WARM, requests):
                    raw = raws[(number * requests + place) % len(raws)]
                    query = seconds(
                        lambda raw=raw: ask(solr, settings.solr_core, "query", raw.body)  # type: ignore[misc]
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
    """A worker as `make run` starts it, and everything indexed. It finds no export to make: those
    asked for before are forgotten.
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
    """Return when searches find all that was written. Raises AssertionError after PATIENCE seconds."""
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


def load_beside_indexing(stage: Stage) -> Figure:
    """The rate of a load that a worker indexes meanwhile, beside the same load into a database that
    no worker looks at.
    """
    file, numbers = stage.folder / "beside.jsonl", itertools.count()
    apart = stage.settings_of("apart")

    def one(settings: Settings) -> float:
        source = f"BESIDE{next(numbers)}"
        rows = write_lines(file, max(stage.size // 5, 2), source=source)
        with open_store(settings) as store:
            took = load(store, file.rename(file.with_stem(source.lower())), rows)
        caught_up(stage)
        return rows / took

    stage.tell("loading beside an index job")
    beside, alone = (
        Sample.of(rates)
        for rates in side_by_side(
            stage.effort.runs, lambda: one(stage.settings), lambda: one(apart)
        )
    )
    holds = beside.median >= alone.median / 2
    return Figure(
        "load with indexing beside it",
        "rows/s",
        beside,
        alone,
        "at least half",
        holds,
        "without indexing",
    )


def delays(stage: Stage) -> list[Figure]:
    """From the answer to a write until words find it: the median, the shortest and the longest."""
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

        stage.tell("waiting for writes to be found")
        alone = waits()
        with running(load_new, stage.settings):
            beside = waits()
        caught_up(stage)
        with running(load_web, stage.settings):
            among = waits()
    told = (
        ("a write until q finds it", alone),
        ("the same beside a load", beside),
        ("the same beside a load of the same source", among),
    )
    for name, found in told:
        figures.append(
            Figure(
                name, "s", Sample.of(found), None, "at most 2 s, the longest too", max(found) <= 2
            )
        )
    return figures


def until_found(port: int, token: str, size: int, writes: int) -> list[float]:
    """Seconds of the waits for so many writes of each writer; the writers begin at any moment of
    the worker's rounds.
    """
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
                time.sleep(LOOK)
            found.append(time.perf_counter() - begun)
        client.close()
        return found

    return _threads(one, WRITERS)


def load_new(settings: Settings, written: Any, stop: Any) -> None:
    """A bulk load into a source of its own until told to stop."""
    with open_store(settings) as store:
        lines = itertools.takewhile(
            lambda line: not stop.is_set(), data.lines(FOREVER, source="ENDLESS", mappings=0)
        )

        def progress(report: Any, results: Any) -> None:
            written.value = report.processed

        imports.run(store, CALLER, lines, Options(), "endless", progress)
