"""kill -9 of the process that builds an export, at each of its steps."""

import os
import subprocess
import sys
from datetime import timedelta

import pytest

from jobs import tick
from jobs.export import build_export
from oclapi.exports.state import MOST_TRIES
from tests.jobs.conftest import cached, exported, now, token
from tests.jobs.dying import STEPS

pytestmark = pytest.mark.servers


@pytest.fixture
def database_url(mongo_url):
    return mongo_url


@pytest.fixture
def version(source):
    source.commit(*[f"C{number:05}" for number in range(2500)])
    source.commit("m1", kind="mapping")
    return source.release("v1")


def killed_before(step, services, version):
    """Run the queued job in a separate process and kill it at that step."""
    environ = {
        **os.environ,
        "MONGO_URL": services.settings.mongo_url,
        "REDIS_URL": services.settings.redis_url,
        "OCL_EXPORT_CACHE": services.settings.export_cache,
        "OCL_SECRET_KEY": services.settings.secret_key,
    }
    command = [
        sys.executable,
        "-m",
        "tests.jobs.dying",
        step,
        version.key,
        token(services, version),
    ]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"reached\n"
        process.kill()


@pytest.mark.parametrize("step", STEPS)
def test_an_export_is_repaired_after_a_kill_before(step, services, states, version):
    states.request(version, now())
    killed_before(step, services, version)

    silent = now() + timedelta(seconds=services.settings.export_silence)
    tick.heal_exports(services, silent)
    if step == "the job ends":
        assert states.of(version, silent).status == "ready"
    else:
        assert states.of(version, silent).status == "processing"
        build_export(version.key, token(services, version))

    file = states.of(version, now()).file
    assert len(exported(services, file)["concepts"]) == 2500
    assert list(services.store.exports.unsettled()) == []
    tick.clean_cache(services, now() + timedelta(days=1))
    assert cached(services) == [file.name]


def test_an_export_that_kills_every_worker_fails_and_is_not_retried(services, states, version):
    later = now()
    states.request(version, later)
    for _ in range(MOST_TRIES):
        killed_before("the first row", services, version)
        later = now() + timedelta(seconds=services.settings.export_silence)
        tick.heal_exports(services, later)
    assert states.of(version, later).error == "the worker died 3 times while it made this export"
    tick.heal_exports(services, later)
    assert states.of(version, later).status == "failed"
    tick.clean_cache(services, now() + timedelta(days=1))
    assert cached(services) == []
