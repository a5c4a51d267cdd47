"""The real servers of a test run: started once, in a temporary folder, ended by process id."""

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from oclapi.local.servers import LocalError, Server, database_url, start_mongod, start_redis
from oclapi.local.solr import solr_jars, start_solr

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
    with tempfile.TemporaryDirectory(prefix="ocl-test-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def mongo_server(servers_folder: Path) -> Iterator[Server]:
    """One mongod (replica set of one) for all tests. Tests that kill one start their own with `start_mongod`."""
    server = _started(lambda: start_mongod(servers_folder / "mongo"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def new_mongo_url(mongo_server: Server) -> Callable[[], str]:
    """Gives the MONGO_URL of an empty database, another one at each call; for fixtures of wider scope than a test."""
    return lambda: database_url(mongo_server, f"test{next(_numbers)}")


@pytest.fixture
def mongo_url(new_mongo_url: Callable[[], str]) -> Iterator[str]:
    """The MONGO_URL of an empty database of this test's own, dropped after it: the server keeps forty files of each open."""
    url = new_mongo_url()
    yield url
    with MongoClient[dict[str, Any]](url) as client:
        client.admin.command("killAllSessions", [])  # the transaction of a process that the test killed would hold up the drop
        client.drop_database(client.get_default_database().name)


@pytest.fixture(scope="session")
def redis_server(servers_folder: Path) -> Iterator[Server]:
    """One redis-server for all tests. Tests that kill one start their own with `start_redis`."""
    server = _started(lambda: start_redis(servers_folder / "redis", databases=REDIS_DATABASES))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def new_redis_url(redis_server: Server) -> Callable[[], str]:
    """Gives the REDIS_URL of an empty database, another one at each call."""
    return lambda: f"{redis_server.url}/{next(_numbers) % REDIS_DATABASES}"


@pytest.fixture
def redis_url(new_redis_url: Callable[[], str]) -> str:
    """The REDIS_URL of an empty database of this test's own."""
    return new_redis_url()


@pytest.fixture(scope="session")
def solr_server(servers_folder: Path) -> Iterator[Server]:
    """One Solr without a core for all tests; its jars are fetched once into the checkout's var/solr."""
    jars = Path(__file__).parents[1] / "var" / "solr"
    server = _started(lambda: start_solr(servers_folder / "solr", lib=solr_jars(jars)))
    yield server
    server.stop()
