"""The most frequent reads over HTTP, compared with the same documents read by pymongo."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pymongo import MongoClient

from bench.data import concept_url, source_url
from bench.loading import database
from bench.measure import Figure, Sample, children, percentile, seconds, side_by_side
from bench.stage import THOUSANDS, WHOLE, Client, Stage, open_store, repo_of, start_web
from config.settings import Settings
from oclapi import jsonio, times
from oclapi.model import LIVE, Json

Start = Callable[..., Future[Any]]

CHANGES = 100
EVERYTHING = "includeConcepts=true&includeMappings=true&includeRetired=true&limit=0"
REPEATS = 10  # of a large response, in each run
WARM = 20  # requests per connection that are not counted


@dataclass(frozen=True, slots=True)
class Read:
    """A kind of request. `raw` names the function below that reads the same documents."""

    name: str
    method: str
    paths: Sequence[str]  # requested one after the other
    raw: str
    first_byte: bool = False


def reads(stage: Stage) -> list[Figure]:
    """Measure p50 and p95 of four kinds of requests at 1 and 8 connections.

    The clients are threads of another process.
    """
    release = f"{source_url(WHOLE)}exported-{stage.effort.runs - 1}/export/"
    concepts = [concept_url(WHOLE, 1 + number * 7919 % stage.size) for number in range(1000)]
    kinds = (
        Read("HEAD of a ready export", "HEAD", [release], "raw_export"),
        Read("GET of it to the first byte", "GET", [release], "raw_export", first_byte=True),
        Read("detail of a concept", "GET", concepts, "raw_detail"),
        Read(
            "page of 100 concepts",
            "GET",
            [f"{source_url(WHOLE)}concepts/?limit=100"],
            "raw_page",
        ),
    )
    with children(1) as start:
        return [
            *empty(stage, start),
            *(
                figure
                for read in kinds
                for connections in (1, 8)
                for figure in _read(stage, start, read, connections)
            ),
        ]


def empty(stage: Stage, start: Start) -> list[Figure]:
    """Measure p50 and p95 of a response without any read: the cost of HTTP alone."""
    web = start_web(stage.folder / "empty", stage.settings, "bench.empty:app")
    try:
        read = Read("a response of Flask that reads nothing", "GET", ["/"], "")
        runs = [
            start(ask_web, web.port, stage.token, read, 1, stage.effort.requests).result()
            for _ in range(stage.effort.runs)
        ]
    finally:
        web.stop()
    return [
        Figure(
            f"{read.name}, 1 connection: {label}",
            "ms",
            Sample.of([percentile(run, part) * 1000 for run in runs]),
        )
        for label, part in (("p50", 0.5), ("p95", 0.95))
    ]


def _read(stage: Stage, start: Start, read: Read, connections: int) -> list[Figure]:
    requests = max(stage.effort.requests // (1 if connections == 1 else 3), 10)

    def ours() -> list[float]:
        return list(
            start(ask_web, stage.web.port, stage.token, read, connections, requests).result()
        )

    def raw() -> list[float]:
        return list(start(ask_mongo, stage.settings, read, connections, requests).result())

    web, mongo = side_by_side(stage.effort.runs, ours, raw)
    name = f"{read.name}, {connections} connection{'s' if connections > 1 else ''}"
    figures = []
    for label, part in (("p50", 0.5), ("p95", 0.95)):
        shown, limit = (
            Sample.of([percentile(run, part) * 1000 for run in runs]) for runs in (web, mongo)
        )
        figures.append(Figure(f"{name}: {label}", "ms", shown, limit, limit_name="pymongo alone"))
    return figures


def ask_web(port: int, token: str, read: Read, connections: int, requests: int) -> list[float]:
    """Return the seconds of each request on persistent connections.

    The time for opening a connection again is not counted.
    """

    def one(number: int) -> list[float]:
        client, took = Client(port, token), []
        client.open()
        for request in range(-WARM, requests):
            path = read.paths[(number * requests + request) % len(read.paths)]
            if read.first_byte:
                took.append(seconds(lambda path=path: client.first_byte(path)))  # type: ignore[misc]
                client.close()
                client.open()
            else:
                took.append(seconds(lambda path=path: client.send(read.method, path)))  # type: ignore[misc]
        client.close()
        return took[WARM:]

    return _threads(one, connections)


def ask_mongo(settings: Settings, read: Read, connections: int, requests: int) -> list[float]:
    """Return the seconds of each of the same reads by pymongo."""
    work = RAW[read.raw]
    with MongoClient[Any](settings.mongo_url) as client:
        found = database(client, settings)

        def one(number: int) -> list[float]:
            took = []
            for request in range(-WARM, requests):
                path = read.paths[(number * requests + request) % len(read.paths)]
                took.append(seconds(lambda path=path: work(found, path)))  # type: ignore[misc]
            return took[WARM:]

        return _threads(one, connections)


def _threads(one: Callable[[int], list[float]], count: int) -> list[float]:
    with ThreadPoolExecutor(count) as pool:
        return [took for part in pool.map(one, range(count)) for took in part]


def raw_export(found: Any, path: str) -> None:
    """Read the three documents behind the state of an export."""
    url, version = path.removesuffix("export/").rstrip("/").rsplit("/", 1)
    repo = found.repos.find_one({"url": f"{url}/"})
    key = found.versions.find_one({"repo": repo["_id"], "id": version})["_id"]
    assert found.exports.find_one({"_id": key})["file"]


def raw_detail(found: Any, path: str) -> None:
    repo = found.repos.find_one({"url": path.partition("concepts/")[0]})
    where = {
        "repo": repo["_id"],
        "url": path,
        "from_rev": {"$lte": repo["rev"]},
        "to_rev": {"$gt": repo["rev"]},
    }
    assert found.rows.find_one(where, hint="item")["body"]


def raw_page(found: Any, path: str) -> None:
    repo = found.repos.find_one({"url": path.partition("concepts/")[0]})
    where = {
        "from_rev": {"$lte": repo["rev"]},
        "to_rev": {"$gt": repo["rev"]},
        "repo": repo["_id"],
        "kind": "concept",
        "retired": False,
    }
    order = [("from_rev", -1), ("url", -1)]
    assert list(
        found.rows.find(
            where, {"_id": 0, "body": 1}, hint="order", sort=order, limit=100, batch_size=101
        )
    )


RAW: dict[str, Callable[[Any, str], None]] = {
    "raw_export": raw_export,
    "raw_detail": raw_detail,
    "raw_page": raw_page,
}


def difference(stage: Stage) -> Figure:
    """Measure the response to a client that lacks the last 100 changes of the large source."""
    changes = min(CHANGES, stage.size)
    with open_store(stage.settings) as store, closing(stage.connect()) as web:
        repo = repo_of(store, WHOLE)
        rows = repo.counts.entries
        time_ = _change(web, changes)
        where = {"repo": repo.number, "to_rev": LIVE, "from_rev": {"$gt": repo.rev}}
        query = f"{EVERYTHING}&updatedSince={time_}"
        return _content(
            stage,
            web,
            WHOLE,
            query,
            where,
            (changes, 0),
            f"difference of {changes} changes in {rows:,} rows",
        )


def whole_source(stage: Stage) -> Figure:
    """Measure the whole content of a source with 1,000 concepts and 1,000 mappings."""
    with open_store(stage.settings) as store, closing(stage.connect()) as web:
        where = {"repo": repo_of(store, THOUSANDS).number, "to_rev": LIVE, "from_rev": {"$gt": 0}}
        name = "limit=0 with 1,000 concepts and 1,000 mappings"
        return _content(stage, web, THOUSANDS, EVERYTHING, where, (1000, 1000), name)


def _change(web: Client, count: int) -> str:
    """Change `count` concepts one by one. Returns the exact time before the first change."""
    time.sleep(0.01)  # after all earlier commits
    time_ = times.format(datetime.now(UTC))
    for number in range(1, count + 1):
        web.send("PUT", concept_url(WHOLE, number), {"extras": {"changed": number, "at": time_}})
    return time_


def _content(
    stage: Stage,
    web: Client,
    source: str,
    query: str,
    where: Json,
    expected: tuple[int, int],
    name: str,
) -> Figure:
    path = f"{source_url(source)}?{query}"
    shown = jsonio.loads(web.send("GET", path))
    if (len(shown["concepts"]), len(shown["mappings"])) != expected:
        raise AssertionError(
            f"{path} returned {len(shown['concepts'])} concepts and "
            f"{len(shown['mappings'])} mappings, not {expected}"
        )
    with MongoClient[Any](stage.settings.mongo_url) as client:
        found = database(client, stage.settings)

        def read() -> None:
            for kind in ("concept", "mapping"):
                assert (
                    list(
                        found.rows.find(
                            {**where, "kind": kind}, {"_id": 0, "body": 1}, hint="order"
                        )
                    )
                    or kind == "mapping"
                )

        def ours() -> float:
            return (
                percentile([seconds(lambda: web.send("GET", path)) for _ in range(REPEATS)], 0.5)
                * 1000
            )

        def raw() -> float:
            return percentile([seconds(read) for _ in range(REPEATS)], 0.5) * 1000

        responses, reads = (Sample.of(runs) for runs in side_by_side(stage.effort.runs, ours, raw))
    return Figure(name, "ms", responses, reads, limit_name="pymongo alone")
