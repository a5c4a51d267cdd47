"""The servers of a test run, started once by each of its processes, in a temporary folder.

`make test` distributes the files of tests to several processes. So no file may depend on
another, and a case must have the same name in each process: give `ids` when the values of a
`parametrize` are random or depend on the time.
"""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from pymongo import MongoClient

from oclapi.local.servers import (
    LocalError,
    Server,
    database_url,
    queue_url,
    start_mongod,
    start_redis,
)
from oclapi.local.solr import solr_jars, start_solr
from oclapi.store.database import Database
from oclapi.store.formats import FORMAT
from tests import folders

# How long an example takes says more about who else uses the machine than about the test.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

# A Solr of a test lives for seconds: it starts in two thirds of the time when its code is compiled
# once and quickly.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")

REDIS_DATABASES = 10000
_numbers = itertools.count(1)


def _started(start: Callable[[], Server]) -> Server:
    try:
        return start()
    except LocalError as error:
        if os.environ.get("OCL_TEST_STRICT") == "1":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """Gone at the end: what servers leave behind is large."""
    with folders.servers_folder() as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def mongo_server(servers_folder: Path) -> Iterator[Server]:
    """One mongod (a replica set of one node) for all tests.

    Tests that kill a mongod start their own with `start_mongod`.
    """
    server = _started(lambda: start_mongod(servers_folder / "mongo"))
    yield server
    # its data goes with the folder: an orderly end would save them for up to half a minute
    server.kill()


@pytest.fixture(scope="session")
def new_mongo_url(mongo_server: Server) -> Callable[[], str]:
    """Return a function that returns the MONGO_URL of a new empty database.

    It is for fixtures of a wider scope than a test.
    """
    return lambda: database_url(mongo_server, f"test{next(_numbers)}")


@pytest.fixture
def mongo_url(new_mongo_url: Callable[[], str]) -> Iterator[str]:
    """The MONGO_URL of a new database without collections, for tests that start or kill processes.

    It is dropped after the test, because the server keeps forty files open for each database. Cost,
    with the collections that the test creates: half a second.
    """
    url = new_mongo_url()
    yield url
    with MongoClient[dict[str, Any]](url) as client:
        # the transaction of a process that the test killed would hold up the drop
        client.admin.command("killAllSessions", [])
        client.drop_database(client.get_default_database().name)


class Reused:
    """A prepared database of the current format that tests use one after the other.

    Emptied before each, but for the counters: a number of a repository never comes again, so
    nothing that a process keeps by number fits the next test. When a test has changed collections
    or indexes, the next one gets another database.
    """

    def __init__(self, new_url: Callable[[], str]) -> None:
        self._new_url = new_url
        self._begin()

    def _begin(self) -> None:
        self.url = self._new_url()
        self.client = MongoClient[dict[str, Any]](self.url, w="majority")
        self._db = self.client.get_default_database()
        database = Database(self.url)
        database.prepare()
        database.client.close()
        self._first = self._catalogue()

    def _catalogue(self) -> dict[str, Any]:
        return {
            info["name"]: (info, self._db[info["name"]].index_information())
            for info in self._db.list_collections()
        }

    def empty(self) -> str:
        """Its MONGO_URL, with nothing in it."""
        self.client.admin.command("killAllSessions", [])
        if self._catalogue() != self._first:
            self.client.drop_database(self._db.name)
            self.client.close()
            self._begin()
        for name in self._first:
            if name != "counters":
                self._db[name].delete_many({})
        self._db["meta"].insert_one({"_id": "format", "number": FORMAT})
        return self.url


@pytest.fixture(scope="session")
def _reused(new_mongo_url: Callable[[], str]) -> Iterator[Reused]:
    reused = Reused(new_mongo_url)
    yield reused
    reused.client.close()


@pytest.fixture
def prepared_mongo_url(_reused: Reused) -> str:
    """The MONGO_URL of an empty database with all collections and indexes. Cost: 30 ms.

    It is for tests whose clients are all in this process and are closed before the test ends.
    """
    return _reused.empty()


@pytest.fixture(scope="session")
def redis_server(servers_folder: Path) -> Iterator[Server]:
    """One redis-server for all tests. Tests that kill one start their own with `start_redis`."""
    server = _started(lambda: start_redis(servers_folder / "redis", databases=REDIS_DATABASES))
    yield server
    server.kill()


@pytest.fixture(scope="session")
def new_redis_url(redis_server: Server) -> Callable[[], str]:
    """Gives the REDIS_URL of an empty database, another one at each call."""
    return lambda: queue_url(redis_server, next(_numbers) % REDIS_DATABASES)


@pytest.fixture
def redis_url(new_redis_url: Callable[[], str]) -> str:
    """The REDIS_URL of an empty database of this test's own."""
    return new_redis_url()


@pytest.fixture(scope="session")
def solr_server(servers_folder: Path) -> Iterator[Server]:
    """One Solr without a core for all tests. Its jars are downloaded once to var/solr."""
    jars = Path(__file__).parents[1] / "var" / "solr"
    server = _started(lambda: start_solr(servers_folder / "solr", lib=solr_jars(jars)))
    yield server
    server.stop()
