"""Indexing by a real worker, and what happens when parts of it are killed."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from config.settings import Settings
from oclapi.errors import SearchBehind, SearchUnavailable
from oclapi.local.solr import solr_jars, start_solr
from oclapi.migration import prepare
from oclapi.model import Revision
from oclapi.store.database import Database
from oclapi.store.store import Store
from search.base import Query, Scope, Span
from search.choice import Search
from search.mongo import MongoIndex
from search.rebuild import NEXT, rebuild_all
from search.solr import SolrIndex
from search.solr_http import Session, get
from tests.builders import until
from tests.editing.conftest import KEY, change_concept, new_concept
from tests.indexing.conftest import complete, found, held
from tests.indexing.memory import stored

# Several start a Java machine three times.
pytestmark = [pytest.mark.servers, pytest.mark.solr, pytest.mark.slow, pytest.mark.timeout(400)]


CORE = Settings().solr_core
JARS = Path(__file__).parents[2] / "var" / "solr"


@pytest.fixture
def engine(solr_server, tmp_path):
    """A Solr of this test's own, to be killed, where there can be one."""
    started = [start_solr(tmp_path / "solr", lib=solr_jars(JARS))]
    yield started
    started[-1].kill()


@pytest.fixture
def solr(engine, store):
    return SolrIndex(engine[0].url, CORE, store.index_notes.identity)


def kill(engine):
    engine[-1].kill()


def start_again(engine, tmp_path):
    engine.append(start_solr(tmp_path / "solr", engine[0].port, lib=solr_jars(JARS)))
    until(lambda: loaded(engine[-1].url))


def loaded(url):
    """Whether the core answers; Solr does before its cores."""
    try:
        with Session() as session:
            return bool(get(session, f"{url}/{CORE}/schema/name", 5))
    except SearchUnavailable:
        return False


@pytest.fixture
def prepared_mongo_url(mongo_url):
    """This test's alone: what is left of a killed worker may go on for a moment."""
    database = Database(mongo_url)
    prepare(Store(database, KEY), 0)
    database.client.close()
    return mongo_url


@pytest.fixture
def environ(prepared_mongo_url, redis_url, solr, tmp_path):
    return {
        **os.environ,
        "MONGO_URL": prepared_mongo_url,
        "REDIS_URL": redis_url,
        "SOLR_URL": solr.url,
        "OCL_EXPORT_CACHE": str(tmp_path / "cache"),
        "OCL_SECRET_KEY": KEY,
    }


@pytest.fixture
def worker(environ, solr):
    with subprocess.Popen(
        [sys.executable, "-m", "jobs.worker"], env=environ, stderr=subprocess.DEVNULL
    ) as process:
        family = psutil.Process(process.pid)
        until(lambda: len(family.children()) == 5)
        until(lambda: solr.exists(CORE))
        yield process
        children = family.children(recursive=True) if process.poll() is None else []
        process.kill()
        psutil.wait_procs(children, timeout=30)


def settled(solr, source):
    """Whether Solr has everything; not while it is away."""
    try:
        return complete(solr, source)
    except SearchUnavailable:
        return False


def listed(store, solr, source):
    """The revision of the source, how many concepts a listing counts there, and who answered."""
    with store.snapshot() as session:
        rev = store.repos.by_number(source.number, session).rev
        scope = Scope((Span(Revision(source.number, rev)),))
        answer = Search(store, MongoIndex(store.database, 30), solr).find(
            session, scope, Query("concept"), limit=10
        )
    return rev, answer.hits.total, answer.engine


def many(source, first, count):
    source.edit(
        *[new_concept(f"C{number}", f"Fever {number}") for number in range(first, first + count)]
    )


def test_what_is_written_is_found_soon(worker, solr, source):
    source.edit(new_concept("A", "High fever"))
    until(lambda: found(solr, source, "fever") == ["A"])
    begun = time.monotonic()
    source.edit(change_concept("A", names=[{"name": "Low blood pressure", "locale": "en"}]))
    until(lambda: found(solr, source, "pressure") == ["A"])
    assert time.monotonic() - begun < 10  # the goal is 2 s on a quiet machine
    assert found(solr, source, "fever") == []


def test_a_killed_index_process_leaves_nothing_undone(worker, solr, source):
    family = psutil.Process(worker.pid)
    for round_ in range(4):
        many(source, round_ * 300, 300)
        until(lambda: any(child.is_running() for child in family.children()))
        for child in family.children():
            child.kill()
    until(lambda: settled(solr, source))


def test_a_killed_engine_loses_nothing_and_listings_go_on(
    worker, engine, store, solr, source, tmp_path
):
    answers, ended = [], threading.Event()

    def read():
        while not ended.is_set() or len(answers) < 100:
            answers.append(listed(store, solr, source))
            ended.wait(0.02)

    many(source, 0, 300)
    until(lambda: settled(solr, source))
    reader = threading.Thread(target=read)
    reader.start()
    try:
        many(source, 300, 300)
        seen = len(answers)
        until(lambda: len(answers) > seen + 3)  # an index job is at work
        kill(engine)
        many(source, 600, 1)
        until(lambda: answers[-1][2] == "mongodb")
        start_again(engine, tmp_path)
        until(lambda: settled(solr, source))
        until(lambda: answers[-1][2] == "solr")
    finally:
        ended.set()
        reader.join()
    assert {(rev, total) for rev, total, by in answers} == {(1, 300), (2, 600), (3, 601)}
    assert len(answers) >= 100


def test_an_engine_killed_during_a_reindex_serves_the_old_index_and_the_next_run_is_whole(
    engine, store, solr, source, tmp_path
):
    many(source, 0, 300)
    rebuild_all(store, solr)
    assert complete(solr, source)
    many(source, 300, 300)
    with pytest.raises(SearchUnavailable):
        rebuild_all(store, solr, lambda rows: kill(engine))
    start_again(engine, tmp_path)
    until(lambda: len(held(solr, source)) == 300)  # it reads its log first
    with pytest.raises(SearchBehind), store.snapshot() as session:
        solr.find(session, Scope((Span(Revision(source.number, 2)),)), Query("concept"), limit=1)
    rebuild_all(store, solr)
    assert complete(solr, source)
    assert not solr.exists(CORE + NEXT)
    assert held(solr, source) == stored(store, source.number)
