"""The import command on a real database: its output, and its behaviour after kill -9."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from oclapi import jsonio
from oclapi.__main__ import refusals
from oclapi.errors import Overtaken
from oclapi.local.servers import database_url, start_mongod
from oclapi.model import LIVE
from oclapi.store.abandoned import Abandoned
from oclapi.store.database import Database
from oclapi.store.store import Store
from tests.acceptance.invariants import check_repository
from tests.folders import servers_folder
from tests.imports.conftest import LAB, START, Imports, concept, counted, mapping

pytestmark = pytest.mark.servers

ROOT = Path(__file__).parents[2]


def command(*arguments, mongo_url):
    environ = {**os.environ, "MONGO_URL": mongo_url, "PYTHONUNBUFFERED": "1"}
    return {
        "args": [sys.executable, "-m", "oclapi", "import", *arguments],
        "cwd": ROOT,
        "env": environ,
    }


def load(*arguments, mongo_url, given=None):
    return subprocess.run(
        **command(*arguments, mongo_url=mongo_url), input=given, capture_output=True, timeout=100
    )


def write(file, lines):
    file.write_bytes(b"".join(jsonio.dumps(line) + b"\n" for line in lines))
    return str(file)


@pytest.fixture
def small(tmp_path):
    return write(
        tmp_path / "small.jsonl", [*START, concept(1), concept(2), mapping(1, 2), mapping(1, 9)]
    )


def test_a_load_prints_its_counts_and_refusals_and_writes_its_report(small, mongo_url, tmp_path):
    done = load(small, "--report", str(tmp_path / "report"), mongo_url=mongo_url)
    text = done.stdout.decode()
    assert done.returncode == 1, done.stderr
    assert "7 processed: 6 created, 1 failed" in text
    assert "import: 7 of 7, " in text
    assert f"line 7: failed: to_concept_url: concept {LAB}concepts/9/ not found" in text
    report = [json.loads(line) for line in (tmp_path / "report").read_bytes().splitlines()]
    assert [entry["line"] for entry in report] == list(range(1, 8))
    assert "6 unchanged" in load(small, mongo_url=mongo_url).stdout.decode()


def test_a_load_without_refusals_ends_with_0(tmp_path, mongo_url):
    file = write(tmp_path / "good.jsonl", [*START, concept(1)])
    assert load(file, mongo_url=mongo_url).returncode == 0


def test_the_commonest_reasons_of_refusals_come_first_with_their_number_and_first_line():
    def result(line, text, outcome="failed", field="to_concept_url"):
        return {"line": line, "outcome": outcome, "errors": {field: [text]}}

    results = [
        {"line": 1, "outcome": "created", "errors": None},
        result(2, "must be a number", "invalid", "sort_weight"),
        result(3, f"concept {LAB}concepts/9/ not found"),
        result(4, f"{LAB} can't be written", "permission_denied", "__all__"),
        result(5, f"concept {LAB}concepts/8/ not found"),
    ]
    assert refusals(results) == [
        ("failed: to_concept_url: concept ... not found", 2, 3),
        ("invalid: sort_weight: must be a number", 1, 2),
        (f"permission_denied: {LAB} can't be written", 1, 4),
    ]


def test_a_report_that_can_not_be_written_fails_before_anything_is_imported(
    small, mongo_url, tmp_path
):
    done = load(small, "--report", str(tmp_path / "nowhere" / "report"), mongo_url=mongo_url)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"nowhere" in done.stderr
    assert "6 created" in load(small, mongo_url=mongo_url).stdout.decode()


def test_lines_are_read_from_standard_input(mongo_url):
    given = b"".join(jsonio.dumps(line) + b"\n" for line in [*START, concept(1)])
    assert b"4 created" in load("-", mongo_url=mongo_url, given=given).stdout
    bare = jsonio.dumps(
        {"id": 2, "concept_class": "Test", "names": [{"name": "x", "locale": "en"}]}
    )
    assert (
        b"1 created"
        in load("-", "--type", "concept", "--source", LAB, mongo_url=mongo_url, given=bare).stdout
    )
    assert (
        b"1 exists"
        in load(
            "-",
            "--type",
            "concept",
            "--source",
            LAB,
            "--no-update",
            mongo_url=mongo_url,
            given=bare,
        ).stdout
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["no-such-file.jsonl"], "no-such-file.jsonl"),
        (["-", "--source", "/orgs/"], "--source"),
        (["."], "directory"),
    ],
)
def test_a_bad_argument_prints_one_line(arguments, text, mongo_url):
    done = load(*arguments, mongo_url=mongo_url, given=b"")
    assert done.returncode == 1
    assert text in done.stderr.decode()
    assert len(done.stderr.splitlines()) == 1


def test_a_database_that_can_not_be_reached_prints_one_line(small):
    done = load(
        small, mongo_url="mongodb://127.0.0.1:9/none?replicaSet=rs0&serverSelectionTimeoutMS=300"
    )
    assert done.returncode == 1
    assert b"the database can't be reached" in done.stderr
    assert len(done.stderr.splitlines()) == 1


MANY = [
    *START,
    *(concept(number) for number in range(1, 6001)),
    *(mapping(number, number + 1) for number in range(1, 5001)),
]


def read_store(mongo_url):
    database = Database(mongo_url)
    return Store(database, "a-key-for-tests-that-is-long-enough")


@pytest.fixture
def transactions_ended(mongo_url):
    """End transactions of killed processes as a worker does; they block others for a minute."""
    database, ended = Database(mongo_url), threading.Event()

    def end_abandoned():
        abandoned = Abandoned(database)
        while not ended.wait(0.5):
            abandoned.end(idle=2.0)

    thread = threading.Thread(target=end_abandoned)
    thread.start()
    yield
    ended.set()
    thread.join()
    database.client.close()


@pytest.mark.slow
@pytest.mark.usefixtures("transactions_ended")
def test_an_import_that_is_killed_several_times_continues_without_duplicates(mongo_url, tmp_path):
    file, report = write(tmp_path / "many.jsonl", MANY), tmp_path / "report"
    store = read_store(mongo_url)
    # The number of handled lines at which the process is killed.
    for after in (1, 2000, 2001, 5000, 7000):
        process = subprocess.Popen(
            **command(file, mongo_url=mongo_url), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        wait_for(lambda at=after, running=process: reached(store, at) or running.poll() is not None)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    done = load(file, "--report", str(report), mongo_url=mongo_url)
    assert done.returncode == 0, done.stderr
    assert b"continued after line" in done.stdout
    results = [json.loads(line) for line in report.read_bytes().splitlines()]
    assert [result["line"] for result in results] == list(range(1, len(MANY) + 1))
    assert counted(results[3:]) == {"created": len(MANY) - 3}
    urls = [row["url"] for row in store.database.rows.find({}, {"url": 1})]
    assert len(urls) == len(set(urls)) == len(MANY) - 3
    check_repository(store, store.repos.by_url(LAB).number)
    store.database.client.close()


@pytest.fixture
def own_folder():
    with servers_folder() as folder:
        yield Path(folder)


@pytest.mark.slow
def test_an_import_survives_a_restart_of_the_database(own_folder, tmp_path):
    server = start_mongod(own_folder)
    url = database_url(server, "load")
    store = read_store(url)
    file, report = write(tmp_path / "many.jsonl", MANY), tmp_path / "report"
    process = subprocess.Popen(
        **command(file, "--report", str(report), mongo_url=url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        wait_for(lambda: reached(store, 3000) or process.poll() is not None)
        server.kill()
        server = start_mongod(own_folder)
        _, err = process.communicate(timeout=100)
        if process.returncode:  # it gave up between two commits: the same command goes on
            assert b"run the same command again" in err
            assert load(file, "--report", str(report), mongo_url=url).returncode == 0
        results = [json.loads(line) for line in report.read_bytes().splitlines()]
        assert [result["line"] for result in results] == list(range(1, len(MANY) + 1))
        created = {result["url"] for result in results[3:] if result["outcome"] == "created"}
        assert created == {
            row["url"] for row in store.database.rows.find({"to_rev": LIVE}, {"url": 1})
        }
        assert len(created) == len(MANY) - 3
        check_repository(store, store.repos.by_url(LAB).number)
    finally:
        process.kill()
        process.communicate()
        store.database.client.close()
        server.stop()


def reached(store, line):
    task = store.database.tasks.find_one({})
    return task is not None and task["lines"] >= line


def wait_for(condition, seconds=60.0):
    until = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < until, "waited too long"
        pause.wait(0.002)


def test_a_second_run_of_a_task_replaces_the_first(store):
    imports = Imports(store)
    imports.run(*START)
    begun = store.tasks.begin("shared", "root")
    assert imports.outcomes(concept(1), task="shared") == ["created"]
    with pytest.raises(Overtaken):
        store.database.transaction(
            lambda session: store.tasks.advance(
                session, "shared", begun["run"], lines=9, counts={}, results=[]
            )
        )
