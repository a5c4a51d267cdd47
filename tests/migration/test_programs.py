"""What programs do at their start, and the command that migrates, on a database of format 0."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from oclapi.store.database import Database
from oclapi.store.formats import FORMAT
from oclapi.store.store import Store
from tests.acceptance.invariants import check_repository
from tests.builders import KEY
from tests.migration.conftest import load
from tests.migration.test_migration import LAB, REF, ROWS

pytestmark = pytest.mark.servers

ROOT = Path(__file__).parents[2]
OLDER = (
    "the database has the older format 0: stop all servers and workers, make a backup and run "
    "python -m oclapi migrate\n"
)
NEWER = (
    f"the database has the format {FORMAT + 1} of a newer version of this program, which can't be "
    f"read by this one (format {FORMAT})\n"
)
PROGRAMS = {
    "web": (["-c", "import wsgi"], 3, "oclapi: "),
    "worker": (["-m", "jobs.worker"], 1, "oclapi: "),
    "import": (["-m", "oclapi", "import", "-"], 1, "Error: "),
    "lists": (["-m", "oclapi", "lists"], 1, "Error: "),
    "user": (["-m", "oclapi", "user", "list"], 1, "Error: "),
    "reindex": (["-m", "oclapi", "reindex"], 1, "Error: "),
    "index-status": (["-m", "oclapi", "index-status"], 1, "Error: "),
}


@pytest.fixture
def store(mongo_url):
    """A store with the database of format 0, without indexes of this program."""
    database = Database(mongo_url, patience=60)
    store = Store(database, KEY)
    load(database.rows.database)
    yield store
    database.client.close()


@pytest.fixture
def environ(mongo_url, redis_url, tmp_path):
    return {
        **os.environ,
        "MONGO_URL": mongo_url,
        "REDIS_URL": redis_url,
        "SOLR_URL": "http://127.0.0.1:9/solr",
        "OCL_SECRET_KEY": KEY,
        "OCL_EXPORT_CACHE": str(tmp_path / "cache"),
        "OCL_MIGRATE_AT_START": str(ROWS - 1),
    }


def run(environ, *arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_refuses_another_format_with_one_line(environ, store, program):
    arguments, code, before = PROGRAMS[program]
    done = run(environ, *arguments)
    assert (done.returncode, done.stderr) == (code, before + OLDER)

    store.database.meta.update_one({"_id": "format"}, {"$set": {"number": FORMAT + 1}})
    done = run(environ, *arguments)
    assert (done.returncode, done.stderr) == (code, before + NEWER)


def test_a_command_migrates_a_small_database_by_itself(environ, store):
    done = run({**environ, "OCL_MIGRATE_AT_START": str(ROWS)}, "-m", "oclapi", "user", "list")
    assert (done.returncode, done.stderr) == (0, "")
    assert store.formats.number() == FORMAT
    check_repository(store, LAB)


def test_migrate_shows_its_progress_and_does_nothing_the_second_time(environ, store):
    first = run(environ, "-m", "oclapi", "migrate")
    assert (first.returncode, first.stderr) == (0, "")
    *shown, last = first.stdout.splitlines()
    assert re.sub(r"[\d,]+/s", "N/s", shown[-1]) == f"migrate: {ROWS} of {ROWS}, N/s"
    assert last == f"migrated the database from the format 0 to {FORMAT}"
    check_repository(store, LAB)
    check_repository(store, REF)

    second = run(environ, "-m", "oclapi", "migrate")
    assert (second.returncode, second.stdout) == (
        0,
        f"nothing to migrate: the database has the format {FORMAT}\n",
    )


KILLED = """
import os, signal, sys
from datetime import timedelta
from oclapi import migration
from oclapi.store import ranges
from oclapi.store.database import Database
from oclapi.store.store import Store

ranges.LIST = 5
migration.LEASE = timedelta(seconds=2)

def progress(done):
    if done > 10:
        os.kill(os.getpid(), signal.SIGKILL)

migration.migrate(Store(Database(os.environ["MONGO_URL"]), "x" * 32), progress)
"""


def test_a_migration_killed_in_the_middle_is_completed_by_two_that_start_at_once(environ, store):
    assert run(environ, "-c", KILLED).returncode == -signal.SIGKILL
    assert 10 < store.formats.migrated() < ROWS
    assert store.formats.number() == 0

    command = [sys.executable, "-m", "oclapi", "migrate"]
    both = [subprocess.Popen(command, cwd=ROOT, env=environ) for _ in range(2)]

    assert [one.wait(100) for one in both] == [0, 0]
    assert store.formats.number() == FORMAT
    check_repository(store, LAB)
    check_repository(store, REF)
