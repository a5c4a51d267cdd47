"""Four editors of one source, alone and during an import into the same source.

The limit is raw transactions with the same writes.
"""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count, takewhile
from typing import Any

from pymongo import MongoClient

from bench import data
from bench.loading import BATCH, RAW, database, transaction
from bench.measure import Figure, Sample, children, percentile, seconds, side_by_side
from bench.stage import CALLER, WHOLE, Client, Stage, open_store, repo_of
from config.settings import Settings
from oclapi.imports import run as imports
from oclapi.imports.line_types import Options
from oclapi.model import LIVE

EDITORS = 4
REST = 0.020  # seconds between the transactions of a load, for waiting writers
FOREVER = 10**9  # lines of a load that is stopped early

Waits = list[float]


def edits(stage: Stage) -> list[Figure]:
    """Measure edits per second and the wait for one edit, alone and during a load.

    The speed of that load is measured too.
    """
    raw = stage.settings_of(RAW)
    each = stage.effort.seconds
    with children(1) as start:

        def ours() -> Waits:
            return list(start(edit_web, stage.web.port, stage.token, stage.size, each).result())

        def limit() -> Waits:
            return list(start(edit_mongo, raw, each).result())

        ours(), limit()
        alone = side_by_side(stage.effort.runs, ours, limit)
        loaded: tuple[list[float], list[float]] = ([], [])
        during = side_by_side(
            stage.effort.runs,
            lambda: _during(ours, load_web, stage.settings, loaded[0]),
            lambda: _during(limit, load_mongo, raw, loaded[1]),
        )
    name = f"{EDITORS} editors of one source"
    quick, slow = _rates(alone, each), _rates(during, each)
    return [
        Figure(
            f"{name}: edits",
            "1/s",
            *quick,
            limit_name="raw transactions",
        ),
        Figure(f"{name}: p50 wait", "ms", *_waits(alone, 0.5), limit_name="raw transactions"),
        Figure(f"{name}: p95 wait", "ms", *_waits(alone, 0.95), limit_name="raw transactions"),
        Figure(f"{name} during a load: edits", "1/s", *slow, limit_name="raw transactions"),
        Figure(
            f"{name} during a load: p50 wait",
            "ms",
            *_waits(during, 0.5),
            limit_name="raw transactions",
        ),
        Figure(
            f"{name} during a load: p95 wait",
            "ms",
            *_waits(during, 0.95),
            limit_name="raw transactions",
        ),
        Figure(
            "that load",
            "rows/s",
            Sample.of(loaded[0]),
            Sample.of(loaded[1]),
            limit_name="raw transactions",
        ),
    ]


def _rates(taken: list[list[Waits]], each: float) -> tuple[Sample, Sample]:
    ours, limit = (Sample.of([len(waits) / each for waits in runs]) for runs in taken)
    return ours, limit


def _waits(taken: list[list[Waits]], part: float) -> tuple[Sample, Sample]:
    ours, limit = (Sample.of([percentile(waits, part) * 1000 for waits in runs]) for runs in taken)
    return ours, limit


def edit_web(port: int, token: str, size: int, each: float) -> Waits:
    """Change concepts by PUT for `each` seconds. Returns the seconds of each edit.

    Each editor has its own connection.
    """

    def one(editor: int) -> Callable[[], None]:
        client, numbers = Client(port, token), count()
        client.open()
        mark = time.time_ns()

        def edit() -> None:
            number = next(numbers)
            concept = 1 + (number * EDITORS + editor) % size
            client.send(
                "PUT",
                data.concept_url(WHOLE, concept),
                {"extras": {"editor": editor, "number": number, "mark": mark}},
            )

        return edit

    return _for_seconds(each, one)


def edit_mongo(settings: Settings, each: float) -> Waits:
    """Do only the writes of an edit in one transaction: lock, old row, new row, counts, log."""
    with MongoClient[Any](settings.mongo_url, tz_aware=True) as client:
        found = database(client, settings)
        repo = found.repos.find_one({})["_id"]
        rows = list(
            found.rows.find(
                {"repo": repo, "kind": "concept", "to_rev": LIVE}, hint="order", limit=2000
            )
        )

        def one(editor: int) -> Callable[[], None]:
            mine = rows[editor::EDITORS] or rows[:1]
            positions = count()

            def edit() -> None:
                position = next(positions) % len(mine)
                old = mine[position]

                def work(session: Any) -> dict[str, Any]:
                    locked = found.repos.find_one_and_update(
                        {"_id": repo}, {"$inc": {"rev": 1}}, return_document=True, session=session
                    )
                    new = {**old, "from_rev": locked["rev"]}
                    del new["_id"]
                    found.rows.update_many(
                        {"_id": {"$in": [old["_id"]]}, "to_rev": LIVE},
                        {"$set": {"to_rev": locked["rev"]}},
                        session=session,
                    )
                    found.rows.insert_one(new, session=session)
                    found.repos.update_one(
                        {"_id": repo}, {"$set": {"counts": locked["counts"]}}, session=session
                    )
                    found.revisions.insert_one(
                        {"repo": repo, "rev": locked["rev"], "counts": locked["counts"]},
                        session=session,
                    )
                    return new

                mine[position] = transaction(client, work)

            return edit

        return _for_seconds(each, one)


def _for_seconds(each: float, one: Callable[[int], Callable[[], None]]) -> Waits:
    """Let each editor work for `each` seconds. Returns the seconds of all calls."""
    works = [one(editor) for editor in range(EDITORS)]
    until = time.perf_counter() + each

    def go(work: Callable[[], None]) -> Waits:
        waits = []
        while time.perf_counter() < until:
            waits.append(seconds(work))
        return waits

    with ThreadPoolExecutor(EDITORS) as pool:
        return [wait for waits in pool.map(go, works) for wait in waits]


def _during(
    work: Callable[[], Waits], load: Callable[..., None], settings: Settings, rates: list[float]
) -> Waits:
    """Return what `work` measures while `load` runs in another process.

    The rows per second of the load are appended to `rates`.
    """
    with running(load, settings) as rows:
        before, begun = rows(), time.perf_counter()
        waits = work()
        rates.append((rows() - before) / (time.perf_counter() - begun))
        return waits


@contextmanager
def running(load: Callable[..., None], settings: Settings) -> Iterator[Callable[[], int]]:
    """Run a load in another process. Yields a function that returns the rows written so far.

    At the end the load is asked to stop, so that it leaves no transaction open.
    """
    context = multiprocessing.get_context("spawn")
    written, stop = context.Value("q", 0), context.Event()
    process = context.Process(target=load, args=(settings, written, stop))
    process.start()
    try:
        while written.value == 0 and process.is_alive():
            time.sleep(0.01)
        yield lambda: int(written.value)
    finally:
        stop.set()
        process.join()
    if process.exitcode:
        raise AssertionError(f"the load ended with code {process.exitcode}")


def load_web(settings: Settings, written: Any, stop: Any) -> None:
    """A bulk load of new concepts into WHOLE until `stop` is set."""
    with open_store(settings) as store:
        first = 1 + repo_of(store, WHOLE).counts.concepts  # ids are given without gaps
        lines = takewhile(
            lambda line: not stop.is_set(),
            data.lines(FOREVER, first=first, mappings=0, repositories=False),
        )

        def progress(report: Any, results: Any) -> None:
            written.value = report.processed

        imports.run(store, CALLER, lambda: lines, Options(), f"load-{first}", progress)


def load_mongo(settings: Settings, written: Any, stop: Any) -> None:
    """Transactions of 1,000 rows that lock the repository as a commit does, until `stop` is set."""
    with MongoClient[Any](settings.mongo_url, tz_aware=True) as client:
        found = database(client, settings)
        repo = found.repos.find_one({})["_id"]
        rows = list(
            found.rows.find(
                {"repo": repo, "kind": "concept"}, {"_id": 0}, hint="order", limit=BATCH
            )
        )
        for number in count():
            if stop.is_set():
                return
            mark = time.time_ns()
            batch = [
                {**row, "url": f"{row['url']}{mark}/{number}/{position}", "to_rev": LIVE}
                for position, row in enumerate(rows)
            ]

            def work(session: Any, batch: list[Any] = batch) -> None:
                locked = found.repos.find_one_and_update(
                    {"_id": repo}, {"$inc": {"rev": 1}}, return_document=True, session=session
                )
                found.rows.insert_many(
                    [{**row, "from_rev": locked["rev"]} for row in batch], session=session
                )
                found.repos.update_one(
                    {"_id": repo}, {"$set": {"counts": locked["counts"]}}, session=session
                )
                found.revisions.insert_one(
                    {"repo": repo, "rev": locked["rev"], "counts": locked["counts"]},
                    session=session,
                )

            transaction(client, work)
            written.value += len(batch)
            time.sleep(REST)
