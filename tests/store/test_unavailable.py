"""A database that can't be reached, that dies, and that hangs."""

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psutil
import pytest
from bson import ObjectId
from pymongo import InsertOne, MongoClient
from pymongo.errors import DuplicateKeyError, ExecutionTimeout
from pymongo.read_concern import ReadConcern

from oclapi.access import ANONYMOUS
from oclapi.errors import StoreUnavailable
from oclapi.local.servers import database_url, free_port, start_mongod
from oclapi.model import ExportKey, Revision, Selection
from oclapi.store.abandoned import Abandoned
from oclapi.store.commits import COUNTED
from oclapi.store.database import COLLECTIONS, Database
from oclapi.store.repos import RepositoryFilter
from oclapi.store.store import Store
from oclapi.store.users import UserFilter
from oclapi.store.versions import VersionFilter
from search.base import Query, Scope
from search.mongo import MongoIndex
from tests.builders import pause, repository_document, until
from tests.store.conftest import KEY

pytestmark = pytest.mark.servers

NUMBERS = itertools.count(1)
NOW = datetime(2026, 3, 4, tzinfo=UTC)
LIFE = timedelta(seconds=1)
VERSION = str(ObjectId())
AT = Revision(1, 1)
CONCEPTS = Selection("concept")
PAGE = {"limit": 10, "skip": 0}
PATIENCE = 3.0
"""Seconds after which a read from a database that hangs must have failed."""
MARGIN = 1.0
"""Seconds that a busy machine may add."""


@pytest.fixture(scope="module")
def away():
    """A store whose database does not listen."""
    url = f"mongodb://127.0.0.1:{free_port()}/test"
    client = MongoClient(url, serverSelectionTimeoutMS=20)
    yield Store(Database(url, patience=0, client=client), KEY)
    client.close()


DRIVER = {
    "find": lambda rows: list(rows.find({})),
    "find, in order": lambda rows: list(rows.find({}).sort("_id", 1).skip(1).limit(2)),
    "find, next": lambda rows: next(rows.find({})),
    "find, next()": lambda rows: rows.find({}).next(),
    "find, to_list": lambda rows: rows.find({}).to_list(),
    "find, distinct": lambda rows: rows.find({}).distinct("kind"),
    "find, explain": lambda rows: rows.find({}).explain(),
    "find_one": lambda rows: rows.find_one({}),
    "find_one_and_update": lambda rows: rows.find_one_and_update({}, {"$set": {"x": 1}}),
    "find_one_and_delete": lambda rows: rows.find_one_and_delete({}),
    "find_one_and_replace": lambda rows: rows.find_one_and_replace({}, {}),
    "aggregate": lambda rows: list(rows.aggregate([])),
    "count_documents": lambda rows: rows.count_documents({}),
    "estimated_document_count": lambda rows: rows.estimated_document_count(),
    "distinct": lambda rows: rows.distinct("kind"),
    "insert_one": lambda rows: rows.insert_one({}),
    "insert_many": lambda rows: rows.insert_many([{}]),
    "update_one": lambda rows: rows.update_one({}, {"$set": {"x": 1}}),
    "update_many": lambda rows: rows.update_many({}, {"$set": {"x": 1}}),
    "replace_one": lambda rows: rows.replace_one({}, {}),
    "delete_one": lambda rows: rows.delete_one({}),
    "delete_many": lambda rows: rows.delete_many({}),
    "bulk_write": lambda rows: rows.bulk_write([InsertOne({})]),
    "create_index": lambda rows: rows.create_index("kind"),
    "index_information": lambda rows: rows.index_information(),
    "drop": lambda rows: rows.drop(),
    "with_options": lambda rows: rows.with_options(read_concern=ReadConcern("local")).find_one({}),
    "with_options, find": lambda rows: list(
        rows.with_options(read_concern=ReadConcern("local")).find({})
    ),
}


@pytest.mark.parametrize("operation", DRIVER)
def test_every_operation_of_a_collection_reports_an_unreachable_database(away, operation):
    with pytest.raises(StoreUnavailable):
        DRIVER[operation](away.database.rows)


def test_every_collection_translates_errors(away):
    for name in COLLECTIONS:
        with pytest.raises(StoreUnavailable):
            getattr(away.database, name).find_one({})


def in_snapshot(read):
    def operation(store):
        with store.snapshot() as session:
            read(store, session)

    return operation


STORE = {
    "prepare": lambda s: s.database.prepare(),
    "snapshot": in_snapshot(lambda s, session: s.repos.by_url("/", session)),
    "transaction": lambda s: s.database.transaction(lambda session: s.repos.by_url("/", session)),
    "commits.commit": lambda s: s.commits.commit([1], lambda session, heads: [], "amina"),
    "commits.waited": lambda s: s.commits.waited([1]),
    "rows.one": in_snapshot(lambda s, session: s.rows.one(session, AT, "/")),
    "rows.page": in_snapshot(lambda s, session: s.rows.page(session, AT, CONCEPTS, limit=10)),
    "rows.count": in_snapshot(lambda s, session: s.rows.count(session, AT, CONCEPTS)),
    "rows.bodies": lambda s: list(s.rows.bodies(AT, CONCEPTS)),
    "rows.history_batches": lambda s: list(s.rows.history_batches(AT, "/")),
    "rows.keep_claims": lambda s: s.rows.keep_claims(1, lambda body: []),
    "repos.by_url": lambda s: s.repos.by_url("/"),
    "repos.listing": lambda s: list(s.repos.listing(RepositoryFilter(), **PAGE)),
    "repos.heads": lambda s: s.repos.heads(RepositoryFilter()),
    "repos.reached": lambda s: s.repos.reached([1]),
    "repos.counts": lambda s: s.repos.counts(RepositoryFilter(owner_urls=["/"])),
    "repos.create": lambda s: s.repos.create("source", "/", "S", lambda session: {}, "amina"),
    "repos.purge": lambda s: list(s.repos.purge()),
    "versions.by_id": lambda s: s.versions.by_id(1, "v1"),
    "versions.latest": lambda s: s.versions.latest(1),
    "versions.with_export": lambda s: s.versions.with_export("/", "v1"),
    "versions.listing": lambda s: s.versions.listing(1, VersionFilter(), **PAGE),
    "versions.create": lambda s: s.versions.create(1, "v1", lambda session, head: {}),
    "exports.read": lambda s: s.exports.read(ExportKey(VERSION)),
    "exports.claim": lambda s: s.exports.claim(ExportKey(VERSION), "token", NOW),
    "exports.next_queued": lambda s: s.exports.next_queued(urgent=False),
    "exports.queued": lambda s: s.exports.queued(),
    "exports.to_check": lambda s: list(s.exports.to_check()),
    "exports.unsettled": lambda s: list(s.exports.unsettled()),
    "exports.states": lambda s: s.exports.states(),
    "exports.names_in_use": lambda s: s.exports.names_in_use(),
    "leases.take": lambda s: s.leases.take("tick", "me", LIFE, NOW),
    "leases.taken": lambda s: s.leases.taken("tick", NOW),
    "change_log.heads": lambda s: s.change_log.heads(),
    "change_log.row": lambda s: s.change_log.row(1, "/", 1),
    "index_notes.identity": lambda s: s.index_notes.identity(),
    "index_notes.refuse": lambda s: s.index_notes.refuse(1, ["x"], NOW),
    "index_notes.refusals": lambda s: s.index_notes.refusals(),
    "users.by_token": lambda s: s.users.by_token("0" * 40),
    "users.listing": lambda s: list(s.users.listing(UserFilter(), **PAGE)),
    "users.new_token": lambda s: s.users.new_token("amina"),
    "owners.org": lambda s: s.owners.org("NorthLab"),
    "owners.memberships": lambda s: s.owners.memberships(["amina"], ANONYMOUS),
    "owners.ensure_first": lambda s: s.owners.ensure_first("root"),
    "attempts.begin_log_in": lambda s: s.attempts.begin_log_in("amina", "::1"),
    "mails.next": lambda s: s.mails.next(NOW),
    "tasks.begin": lambda s: s.tasks.begin("task", "amina"),
    "tasks.results": lambda s: list(s.tasks.results("task")),
    "abandoned.end": lambda s: Abandoned(s.database).end(60),
    "built-in search": lambda s: MongoIndex(s.database, 30).find(
        None, Scope(heads=(1,)), Query("concept"), limit=10
    ),
    "within": lambda s: within(s, 1),
}


def within(store, seconds):
    with store.database.within(seconds):
        store.exports.states()


@pytest.mark.parametrize("operation", STORE)
def test_every_operation_of_the_store_reports_an_unreachable_database(away, operation):
    with pytest.raises(StoreUnavailable):
        STORE[operation](away)


def test_errors_that_callers_catch_stay_what_they_are(store):
    rows = store.database.rows
    document = {"_id": 1, "repo": 1, "kind": "concept", "url": "/", "from_rev": 1, "to_rev": 2}
    rows.insert_one(dict(document))
    with pytest.raises(DuplicateKeyError):
        rows.insert_one(dict(document))
    with pytest.raises(ExecutionTimeout):
        rows.find({"$where": "sleep(200) || true"}).max_time_ms(50).to_list()


def test_reads_that_take_too_long_for_their_block_are_given_up(store):
    store.database.rows.insert_one({"_id": 1})
    with pytest.raises(StoreUnavailable), store.database.within(0.2):
        store.database.rows.find({"$where": "sleep(2000) || true"}).to_list()
    assert store.database.rows.find_one({})["_id"] == 1


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A mongod that these tests may stop and continue."""
    server = start_mongod(tmp_path_factory.mktemp("mongod"))
    yield server
    server.kill()


@pytest.fixture
def lab(server):
    """A store with a thousand rows on that mongod."""
    yield from filled(server)
    psutil.Process(server.pid).resume()


@pytest.fixture
def mortal(tmp_path):
    """A mongod that the test may kill."""
    server = start_mongod(tmp_path)
    yield server
    server.kill()


def filled(server):
    """A store with one repository of a thousand rows in a database of its own."""
    database = Database(database_url(server, f"lab{next(NUMBERS)}"), patience=3)
    database.prepare()
    counts = dict.fromkeys(COUNTED, 0)
    database.repos.insert_one(repository_document(_id=1, url="/", rev=1, counts=counts))
    database.rows.insert_many(
        {
            "repo": 1,
            "kind": "concept",
            "url": f"/{number}/",
            "id": str(number),
            "from_rev": 1,
            "to_rev": 2**31 - 1,
            "at": NOW,
            "retired": False,
            "body": bytes(20_000),
        }
        for number in range(1000)
    )
    with database.client:
        yield Store(database, KEY)


def test_a_cursor_reports_that_the_server_died(mortal):
    stores = filled(mortal)
    lab = next(stores)
    cursor = iter(lab.database.rows.find({}, batch_size=10))
    stream = lab.rows.bodies(AT, CONCEPTS)
    groups = iter(lab.database.rows.aggregate([{"$match": {}}], batchSize=10))
    for one in (cursor, stream, groups):
        next(one)
    mortal.kill()
    for one in (cursor, stream, groups):
        with pytest.raises(StoreUnavailable):
            list(one)
    stores.close()


@contextmanager
def hanging(server):
    """The server keeps its connections open and responds to nothing."""
    pause(server.pid)
    try:
        yield
    finally:
        psutil.Process(server.pid).resume()


READS = {
    "one row": in_snapshot(lambda s, session: s.rows.one(session, AT, "/1/")),
    "a page": in_snapshot(lambda s, session: s.rows.page(session, AT, CONCEPTS, limit=10)),
    "a repository": lambda s: s.repos.by_url("/"),
    "a version and its export": lambda s: s.versions.with_export("/", "v1"),
    "a token": lambda s: s.users.by_token("0" * 40),
    "the built-in search": lambda s: MongoIndex(s.database, 30).find(
        None, Scope(heads=(1,)), Query("concept"), limit=10
    ),
}


def failing(store, read):
    """How long the read takes to fail."""
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable):
        read(store)
    return time.monotonic() - begun


def test_reads_fail_soon_when_the_server_hangs_and_work_when_it_goes_on(server, lab):
    reads = [*READS.values()] * 2
    with ThreadPoolExecutor(len(reads)) as pool:
        list(pool.map(lambda read: read(lab), reads))
        with hanging(server):
            # The first reads wait for the server, the second find it marked as unavailable.
            for _ in range(2):
                took = list(pool.map(lambda read: failing(lab, read), reads))
                assert max(took) < PATIENCE + MARGIN
        until(lambda: working(lab))
        list(pool.map(lambda read: read(lab), reads))


def working(store):
    try:
        return store.repos.by_url("/") is not None
    except StoreUnavailable:
        return False


def test_a_process_that_starts_while_the_server_hangs_fails_soon(server, lab):
    database = Database(database_url(server, "new"))
    with hanging(server), database.client:
        assert failing(Store(database, KEY), READS["a repository"]) < PATIENCE + MARGIN


def test_an_open_cursor_fails_soon_when_the_server_hangs(server, lab):
    cursor = iter(lab.database.rows.find({}, batch_size=10))
    next(cursor)
    with hanging(server):
        assert failing(lab, lambda store: list(cursor)) < PATIENCE + MARGIN


def test_a_slow_read_is_not_cut_while_the_server_works(lab):
    slow = {"$where": "sleep(40) || true"}
    begun = time.monotonic()
    assert len(lab.database.rows.find(slow, batch_size=100).limit(100).to_list()) == 100
    assert time.monotonic() - begun > PATIENCE + MARGIN
    wait = {"body": "function() { sleep(4500); return true }", "args": [], "lang": "js"}
    counted = {"url": "/1/", "$expr": {"$function": wait}}
    assert lab.database.rows.count_documents(counted) == 1


def test_a_transaction_goes_on_after_a_short_hang(server, lab):
    def work(session):
        lab.database.orgs.insert_one({"_id": "A"}, session=session)
        if not runs:
            pause(server.pid)
            pool.submit(resume)
        runs.append(1)
        lab.database.orgs.insert_one({"_id": "B"}, session=session)

    def resume():
        time.sleep(4)
        psutil.Process(server.pid).resume()

    runs = []
    lab.database.patience = 30
    with ThreadPoolExecutor(1) as pool:
        lab.database.transaction(work)
    assert sorted(org["_id"] for org in lab.database.orgs.find({})) == ["A", "B"]
    assert len(runs) > 1


def test_a_transaction_that_outlasts_its_patience_writes_nothing(server, lab):
    def work(session):
        lab.database.orgs.insert_one({"_id": "A"}, session=session)
        pause(server.pid)
        lab.database.orgs.insert_one({"_id": "B"}, session=session)

    with pytest.raises(StoreUnavailable):
        lab.database.transaction(work)
    psutil.Process(server.pid).resume()
    until(lambda: working(lab))
    assert list(lab.database.orgs.find({})) == []
