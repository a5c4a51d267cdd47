"""Bulk load, compared with raw inserts of the same documents."""

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.uri_parser import parse_uri
from pymongo.write_concern import WriteConcern

from bench.measure import Figure, Sample, seconds, side_by_side
from bench.stage import (
    TENTH,
    THOUSAND,
    THOUSANDS,
    WHOLE,
    Stage,
    load,
    open_store,
    repo_of,
    write_lines,
)
from config.settings import Settings

Result = TypeVar("Result")

BATCH = 1000
RAW = "raw"
"""Name of the database with the rows of WHOLE, written by raw inserts."""


def bulk_load(stage: Stage) -> Figure:
    """Load WHOLE several times, each time into a new database.

    The last database is that of the web server. It stays for the next measurements, and so does
    RAW.
    """
    file = stage.folder / f"{WHOLE}.jsonl"
    rows = write_lines(file, stage.size)
    databases = [*(f"load{number}" for number in range(1, stage.effort.runs)), "bench"]
    left = iter(databases)

    def ours() -> float:
        name = next(left)
        stage.say(f"loading {rows} rows into {name}")
        return rows / _load_into(stage.settings_of(name), file, rows, stage)

    ran = iter(databases)

    def raw() -> float:
        name = next(ran)
        took = copy_rows(stage.settings_of(name), stage.settings_of(RAW))
        if name != "bench":
            for done in (name, RAW):
                drop(stage.settings_of(done))
        return rows / took

    loads, inserts = (Sample.of(rates) for rates in side_by_side(stage.effort.runs, ours, raw))
    file.unlink()
    return Figure(
        f"bulk load of {rows:,} rows",
        "rows/s",
        loads,
        inserts,
        "at least 1/3 of the limit",
        loads.median >= inserts.median / 3,
        "insert_many, 1,000 a transaction",
    )


def other_sources(stage: Stage) -> None:
    """Load the smaller sources."""
    sizes = {TENTH: (max(stage.size // 10, 2), None), THOUSANDS: (1000, 1000), THOUSAND: (500, 500)}
    for source, (concepts, mappings) in sizes.items():
        file = stage.folder / f"{source}.jsonl"
        rows = write_lines(file, concepts, source=source, mappings=mappings)
        _load_into(stage.settings, file, rows, stage)
        file.unlink()


def _load_into(settings: Settings, file: Path, rows: int, stage: Stage) -> float:
    with open_store(settings) as store:
        return load(store, file, rows)


def copy_rows(source: Settings, target: Settings) -> float:
    """Insert the stored rows of WHOLE into the same indexes, in transactions of 1,000.

    Returns the seconds of the writing alone.
    """
    with open_store(source) as store:
        repo = repo_of(store, WHOLE)
    with open_store(target):
        pass  # creates the indexes
    took = 0.0
    with (
        MongoClient[Any](source.mongo_url, tz_aware=True) as reader,
        MongoClient[Any](target.mongo_url, tz_aware=True) as client,
    ):
        rows = database(reader, source)["rows"].find(
            {"repo": repo.number}, {"_id": 0}, batch_size=BATCH
        )
        written = database(client, target)
        written["repos"].insert_one(
            database(reader, source)["repos"].find_one({"_id": repo.number})
        )
        for batch in _batches(rows):
            took += seconds(
                lambda batch=batch: transaction(  # type: ignore[misc]
                    client, lambda session: written["rows"].insert_many(batch, session=session)
                )
            )
    return took


def transaction(client: MongoClient[Any], work: Callable[[ClientSession], Result]) -> Result:
    """Run `work` in one transaction and repeat it after conflicts, as the store does."""
    while True:
        try:
            with (
                client.start_session() as session,
                session.start_transaction(ReadConcern("snapshot"), WriteConcern("majority")),
            ):
                return work(session)
        except PyMongoError as error:
            if not error.has_error_label("TransientTransactionError"):
                raise
        time.sleep(random.uniform(0.002, 0.010))


def database(client: MongoClient[Any], settings: Settings) -> Any:
    """The database that the address names, read and written as safely as the store does."""
    name = parse_uri(settings.mongo_url)["database"]
    return client.get_database(
        name, read_concern=ReadConcern("majority"), write_concern=WriteConcern("majority")
    )


def drop(settings: Settings) -> None:
    with MongoClient[Any](settings.mongo_url) as client:
        client.drop_database(parse_uri(settings.mongo_url)["database"])


def _batches(rows: Any) -> Iterator[list[Any]]:
    while batch := rows.to_list(BATCH):
        yield batch
