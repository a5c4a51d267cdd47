"""Reads of several batches, while another client ends every row between the first two batches."""

import pytest
from pymongo import MongoClient, monitoring

from oclapi.model import Revision, Selection
from oclapi.store import ranges
from oclapi.store.database import Database
from oclapi.store.store import Store
from search.base import Filter, Query, Scope, Span
from search.mongo import MongoIndex
from tests.store.conftest import KEY, Repo, mapping_change

pytestmark = pytest.mark.servers

MANY = 150  # the first batch of a result has 101
ALL = 1000


class Between(monitoring.CommandListener):
    """Does something once, before the second batch of a result is requested."""

    def __init__(self):
        self.act = None

    def started(self, event):
        if event.command_name == "getMore" and self.act:
            act, self.act = self.act, None
            act()

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass


@pytest.fixture(scope="module")
def between():
    return Between()


@pytest.fixture(scope="module")
def url(new_mongo_url):
    return new_mongo_url()


@pytest.fixture(scope="module")
def store(url):
    database = Database(url, patience=60)
    database.prepare()
    yield Store(database, KEY)
    database.client.close()


@pytest.fixture(scope="module")
def reader(url, between):
    """A store whose reads can be interrupted."""
    client = MongoClient(url, event_listeners=[between], tz_aware=True)
    yield Store(Database(url, client=client), KEY)
    client.close()


@pytest.fixture(scope="module")
def sources(store):
    """Two sources of many concepts, and mappings with many states from a concept of the first."""
    one, two = Repo(store, "ONE"), Repo(store, "TWO")
    for repo in (one, two, one, two):
        repo.commit(*(f"C{number}" for number in range(MANY)))
    changes = [
        mapping_change(
            one.number, one.url, f"m{number}", one.concept_url("C0"), one.concept_url(f"C{number}")
        )
        for number in range(1, MANY)
    ]
    store.commits.commit([one.number], lambda session, heads: changes, "amina")
    for _ in range(MANY):
        one.commit("C0")
    return one, two


def end_all(store, repos):
    """Give every concept and mapping another row."""
    for repo in repos:
        with store.snapshot() as session:
            pages = {
                kind: store.rows.page(session, repo.head(), Selection(kind), limit=ALL)
                for kind in ("concept", "mapping")
            }
        repo.commit(*(row.id for row in pages["concept"]))
        again = [
            mapping_change(repo.number, repo.url, row.id, row.header["from"], row.header["to"], row)
            for row in pages["mapping"]
        ]
        store.commits.commit([repo.number], lambda session, heads, again=again: again, "amina")


def found(store, session, scope, **how):
    index = MongoIndex(store.database, 60)
    hits = index.find(session, scope, Query("concept", **how), limit=ALL)
    return hits.total, hits.keys


READS = {
    "a page": lambda store, session, one, two: store.rows.page(
        session, one.head(), Selection("concept"), limit=ALL
    ),
    "a page of an old revision": lambda store, session, one, two: store.rows.page(
        session, Revision(one.number, 2), Selection("concept"), limit=ALL
    ),
    "a page, newest first": lambda store, session, one, two: store.rows.page(
        session, one.head(), Selection("mapping"), limit=ALL, newest_first=True
    ),
    "a history": lambda store, session, one, two: store.rows.history(
        session, one.head(), one.concept_url("C0")
    ),
    "a concept's mappings": lambda store, session, one, two: store.rows.of_concept(
        session, one.head(), one.concept_url("C0"), limit=ALL
    ),
    "the mappings of concepts": lambda store, session, one, two: store.rows.of_concepts(
        session, one.head(), [one.concept_url("C0")]
    ),
    "what is no longer there": lambda store, session, one, two: store.rows.removed(
        session, one.head(), "concept", 2
    ),
    "a list of a source": lambda store, session, one, two: found(
        store, session, Scope((Span(two.head()),))
    ),
    "a filtered list": lambda store, session, one, two: found(
        store, session, Scope((Span(two.head()),)), filters=(Filter("source", ("TWO",)),)
    ),
    "a sorted list": lambda store, session, one, two: found(
        store, session, Scope((Span(two.head()),)), sort="id"
    ),
    "a list of one head": lambda store, session, one, two: found(
        store, session, Scope(heads=(two.number,))
    ),
    "a list of all heads": lambda store, session, one, two: found(
        store, session, Scope(heads=(one.number, two.number))
    ),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_the_parts_of_an_answer_are_of_one_moment(store, reader, between, sources, read):
    with reader.snapshot() as session:
        quiet = read(reader, session, *sources)

    between.act = lambda: end_all(store, sources)
    with reader.snapshot() as session:
        interrupted = read(reader, session, *sources)

    assert between.act is None, "the result came in one batch"
    assert interrupted == quiet


STREAMS = {
    "bodies": lambda store, one: store.rows.body_batches(one.head(), Selection("concept")),
    "bodies, newest first": lambda store, one: store.rows.body_batches(
        one.head(), Selection("mapping"), newest_first=True
    ),
    "bodies, some to a snapshot": lambda store, one: store.rows.body_batches(
        one.head(), Selection("concept"), size=70
    ),
    "a history": lambda store, one: store.rows.history_batches(one.head(), one.concept_url("C0")),
    "a concept's mappings": lambda store, one: store.rows.of_concept_batches(
        one.head(), one.concept_url("C0")
    ),
}


@pytest.mark.parametrize("read", STREAMS.values(), ids=STREAMS)
def test_a_stream_neither_loses_nor_repeats_a_row(
    store, reader, between, sources, read, monkeypatch
):
    monkeypatch.setattr(ranges, "LIST", 50)

    def shown():
        return [
            row if isinstance(row, bytes) else (row.url, row.from_rev, row.body)
            for batch in read(reader, sources[0])
            for row in batch
        ]

    quiet = shown()
    between.act = lambda: end_all(store, sources)

    assert shown() == quiet
    assert between.act is None, "the stream came in one part"
    assert len(quiet) >= MANY - 1
