"""Creating a version over HTTP, compared with one insert."""

import itertools
from typing import Any

from pymongo import MongoClient

from bench.data import source_url
from bench.loading import database
from bench.measure import Figure, Sample, seconds, side_by_side
from bench.stage import THOUSAND, WHOLE, Stage, open_store, repo_of

_numbers = itertools.count(1)


def releases(stage: Stage) -> list[Figure]:
    """Measure creating a version of a small and of the large source.

    The export of each version is queued, but no worker builds it.
    """
    return [_release(stage, source) for source in (THOUSAND, WHOLE)]


def _release(stage: Stage, source: str) -> Figure:
    with open_store(stage.settings) as store:
        rows = repo_of(store, source).counts.entries
    with MongoClient[Any](stage.settings.mongo_url) as client:
        inserts = database(client, stage.settings)["bench_inserts"]
        web = stage.connect()

        def ours() -> float:
            body = {"id": f"measured-{next(_numbers)}", "released": True}
            return seconds(lambda: web.send("POST", f"{source_url(source)}versions/", body)) * 1000

        def raw() -> float:
            return seconds(lambda: inserts.insert_one({"frozen": b"x" * 2000})) * 1000

        ours(), raw()
        posts, single = (
            Sample.of(times) for times in side_by_side(stage.effort.releases, ours, raw)
        )
        web.close()
    return Figure(
        f"a version of {rows:,} rows",
        "ms",
        posts,
        single,
        limit_name="one insert, w=majority",
    )
