"""The worker without Solr: a parent, two processes that build exports, and one for the tick."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.builders import until
from tests.jobs.conftest import Source, exported, key, now

pytestmark = pytest.mark.servers


@pytest.fixture
def database_url(mongo_url):
    return mongo_url


@pytest.fixture
def environ(settings):
    return {
        **os.environ,
        "MONGO_URL": settings.mongo_url,
        "REDIS_URL": settings.redis_url,
        "OCL_EXPORT_CACHE": settings.export_cache,
        "OCL_SECRET_KEY": settings.secret_key,
    }


@pytest.fixture
def worker(environ, services):
    """A worker whose child processes have started."""
    with running(environ, "jobs.worker") as process:
        yield process


@contextmanager
def running(environ, *module):
    with subprocess.Popen(
        [sys.executable, "-m", *module], env=environ, stderr=subprocess.DEVNULL, umask=0o022
    ) as process:
        family = psutil.Process(process.pid)
        until(lambda: len(family.children()) == 3)
        yield process
        children = family.children(recursive=True) if process.poll() is None else []
        process.kill()
        psutil.wait_procs(children, timeout=30)


def ready(states, version):
    return until(lambda: states.of(version, now()).file)


def test_a_worker_builds_wanted_and_requested_exports(worker, services, states, source):
    source.commit("A")
    wanted = source.release("v1")  # queued by the tick
    assert len(exported(services, ready(states, wanted))["concepts"]) == 1
    states.recreate(wanted, now())
    ready(states, wanted)


def queue_releases(states, source, number):
    versions = [source.release(f"v{version}") for version in range(number)]
    for version in versions:
        states.begin(version, now())
    return versions


@pytest.fixture
def asked(services):
    """A version of another owner, with one row."""
    source = Source(services, "SouthLab")
    source.commit("A")
    return source.release("v1")


def test_an_export_that_somebody_asked_for_does_not_wait_for_many_releases(
    environ, services, states, source, asked
):
    releases = queue_releases(states, source, 20)
    states.request(asked, now())
    with running(environ, "jobs.worker"):
        made_at = {version.key: ready(states, version).made_at for version in (*releases, asked)}
    assert sorted(made_at, key=made_at.get).index(asked.key) < 10  # two processes build exports


def test_a_small_export_that_somebody_asked_for_does_not_wait_for_a_running_one(
    environ, services, states, source, asked, tmp_path
):
    [released] = queue_releases(states, source, 1)
    mark = tmp_path / released.key
    mark.write_text("wait the version is read")
    with running(environ, "tests.jobs.dying_worker", str(tmp_path)):
        until(lambda: services.store.exports.read(key(released)).job.state == "running")
        states.request(asked, now())
        ready(states, asked)
        assert states.of(released, now()).status == "processing"
        mark.unlink()
        ready(states, released)


def test_the_archives_of_a_worker_are_for_its_owner_only(worker, services, states, source):
    ready(states, source.release("v1"))
    written = list(Path(services.settings.export_cache).rglob("*"))
    assert any(path.is_file() for path in written)
    assert not any(path.stat().st_mode & 0o077 for path in written)


def test_killed_processes_of_a_worker_are_started_again(worker, states, source):
    family = psutil.Process(worker.pid)
    first = family.children()
    for child in first:
        child.kill()
    psutil.wait_procs(first, timeout=10)
    until(lambda: len([child for child in family.children() if child not in first]) == 3)
    ready(states, source.release("v1"))


def test_a_stopped_worker_ends_with_all_its_processes(worker):
    children = psutil.Process(worker.pid).children()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
    assert not any(child.is_running() for child in children)


@pytest.mark.skipif(
    sys.platform != "linux",
    reason="on other systems the job process of a killed parent continues until it is stopped",
)
def test_the_processes_of_a_killed_worker_end(worker):
    children = psutil.Process(worker.pid).children()
    worker.kill()
    worker.wait(30)
    assert psutil.wait_procs(children, timeout=30)[1] == []


def test_a_bad_setting_prints_one_line(environ):
    environ["OCL_EXPORT_SILENCE"] = "soon"
    done = subprocess.run(
        [sys.executable, "-m", "jobs.worker"],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        1,
        "oclapi: OCL_EXPORT_SILENCE must be a whole number from 1 to 1000000000\n",
    )


DEAF = """
import sys
from redis import Redis
from jobs import worker

class Deaf(worker.IndexWorker):
    def _install_signal_handlers(self):  # RQ registers a worker before it handles signals
        super()._install_signal_handlers()
        print("ready", flush=True)

    def _shutdown(self):  # RQ's exception is swallowed when it is raised during a destructor
        pass

worker.CHECK = 0.1
Deaf(["nothing"], connection=Redis.from_url(sys.argv[1])).work()
"""


def test_a_worker_stops_even_if_the_exception_that_stops_it_is_swallowed(settings):
    command = [sys.executable, "-c", DEAF, settings.redis_url]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            until(lambda: process.stdout.readline() == "ready\n")
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()
