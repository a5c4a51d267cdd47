"""A store with a source, and an index in memory that follows it."""

import itertools

import pytest

from config.settings import Settings
from jobs.queue import RQExportQueue
from oclapi.errors import SearchBehind
from oclapi.exports.cache import ExportCache
from oclapi.model import Revision
from oclapi.services import Services
from search.base import Query, Scope, Span
from search.follow import Follower
from search.solr import SolrIndex
from tests.editing.conftest import KEY, other, source, store
from tests.indexing.memory import MemoryIndex, stored
from tests.jobs.conftest import in_context

__all__ = ["other", "source", "store"]  # fixtures of this room too


@pytest.fixture
def index():
    return MemoryIndex()


@pytest.fixture
def follower(store, index):
    return Follower(store, index)


_cores = itertools.count(1)


@pytest.fixture
def solr(solr_server, store):
    """An index of this test's own on the real Solr; its core is made by whoever needs it first."""
    made = SolrIndex(
        solr_server.url, f"follow{next(_cores)}", store.index_notes.identity, patience=20
    )
    yield made
    for name in (made.core, f"{made.core}_next"):
        if made.exists(name):
            made.remove(name)


@pytest.fixture
def services(store, solr, prepared_mongo_url, redis_url, tmp_path):
    """What a worker has."""
    cache = str(tmp_path / "cache")
    settings = Settings(
        mongo_url=prepared_mongo_url,
        redis_url=redis_url,
        solr_url=solr.url,
        export_cache=cache,
        secret_key=KEY,
    )
    made = Services(settings, store, ExportCache(cache), RQExportQueue(redis_url), solr)
    with in_context(made):
        yield made


def held(solr, source):
    """(url, from_rev, to_rev, retired) of every row that Solr has of a source."""
    solr.commit()
    return sorted(
        (key.url, key.from_rev, to_rev, retired)
        for key, to_rev, retired in solr.keys(source.number)
    )


def complete(solr, source):
    """Whether Solr has every row of the source as it is, and its marker says so."""
    rows = held(solr, source)
    marker = solr.marker(source.number)
    return (
        marker is not None
        and marker.rev == source.rev
        and rows == stored(source.store, source.number)
    )


def found(solr, source, text):
    """Return the ids of the living concepts that `q` finds in Solr.

    There are none when Solr has nothing of the source and MongoDB would serve the search.
    """
    part = Span(Revision(source.number, source.rev))
    with source.store.snapshot() as session:
        try:
            hits = solr.find(
                session, Scope((part,)), Query("concept", text=text), limit=100, fresh=False
            )
        except SearchBehind:
            return []
    return [key.url.split("/")[-2] for key in hits.keys]
