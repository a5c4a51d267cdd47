"""What a killed process leaves open at the server."""

import threading
import time

import pytest
from pymongo import MongoClient

from oclapi.model import Revision
from oclapi.store.abandoned import Abandoned
from oclapi.store.database import APP, Database

pytestmark = pytest.mark.servers

IDLE = 0.3


@pytest.fixture
def other(prepared_mongo_url):
    """The database of another process."""
    database = Database(
        prepared_mongo_url, client=MongoClient(prepared_mongo_url, tz_aware=True, appname=APP)
    )
    yield database
    database.client.close()


@pytest.fixture
def locking(other, repo):
    """The session of a transaction in that process that locks the repository."""
    with other.client.start_session() as session:
        session.start_transaction()
        other.repos.update_one({"_id": repo.number}, {"$inc": {"rev": 1}}, session=session)
        yield session


def looks(abandoned, seconds):
    """Look again and again for so long; how many transactions were ended."""
    end, ended = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        ended += abandoned.end(IDLE)
        threading.Event().wait(0.05)
    return ended


def test_a_repository_that_a_dead_process_locks_is_free_soon(store, repo, locking):
    assert looks(Abandoned(store.database), 3 * IDLE) >= 1
    assert repo.commit("A") == Revision(repo.number, 1)


def test_a_transaction_that_takes_steps_is_left_alone(store, repo, locking, other):
    abandoned = Abandoned(store.database)
    for step in range(8):
        other.rows.find_one({"repo": repo.number, "id": str(step)}, session=locking)
        assert looks(abandoned, IDLE / 2) == 0
    locking.commit_transaction()
    assert repo.head().number == 1
