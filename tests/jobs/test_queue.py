"""The queue on a real Redis, and what is left when it is away."""

import logging
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest
import redis
from rq import Queue, SimpleWorker
from rq.job import Job

from jobs import tick
from jobs.queue import EXPORTS, HANDED_OVER, RQExportQueue
from oclapi.errors import QueueUnavailable
from oclapi.exports.state import GRACE, ExportStates
from oclapi.local.servers import start_redis
from tests.jobs.conftest import exported, key, now

pytestmark = pytest.mark.servers

TOKEN = "0123456789abcdef" * 2


@pytest.fixture
def connection(redis_url):
    with redis.Redis.from_url(redis_url) as made:
        yield made


@pytest.fixture
def queue(redis_url):
    return RQExportQueue(redis_url)


def work(connection):
    """Do all jobs that wait."""
    logging.getLogger("rq.worker").setLevel(logging.CRITICAL)
    SimpleWorker([EXPORTS], connection=connection).work(burst=True)


def test_a_job_is_known_while_it_waits(queue, connection):
    assert not queue.knows(TOKEN)
    queue.enqueue("65f0c0ffee65f0c0ffee65f0", TOKEN)
    assert queue.knows(TOKEN)
    queue.cancel(TOKEN)
    assert not queue.knows(TOKEN)
    assert Queue(EXPORTS, connection=connection).job_ids == []
    queue.cancel(TOKEN)


def test_a_job_that_left_the_queue_with_its_worker_is_not_known(queue, connection):
    queue.enqueue("65f0c0ffee65f0c0ffee65f0", TOKEN)
    connection.delete(f"rq:queue:{EXPORTS}")
    assert not queue.knows(TOKEN)


def test_a_job_handed_to_a_worker_is_known_for_a_moment(queue, connection, monkeypatch):
    queue.enqueue("65f0c0ffee65f0c0ffee65f0", TOKEN)
    job = Job.fetch(TOKEN, connection=connection)
    Queue(EXPORTS, connection=connection).remove(job)
    with connection.pipeline() as noted:  # what a worker does when it takes a job
        job.prepare_for_execution("a worker", noted)
        noted.execute()
    assert queue.knows(TOKEN)
    monkeypatch.setattr("jobs.queue.now", lambda: job.started_at + HANDED_OVER)
    assert not queue.knows(TOKEN)


def test_a_job_that_a_worker_takes_and_has_not_begun_is_known_for_a_moment(
    queue, connection, monkeypatch
):
    queue.enqueue("65f0c0ffee65f0c0ffee65f0", TOKEN)
    Queue.lmove(connection, f"rq:queue:{EXPORTS}", None)  # a worker's first step
    assert queue.knows(TOKEN)
    late = datetime.now(UTC) + HANDED_OVER
    monkeypatch.setattr("jobs.queue.now", lambda: late)
    assert not queue.knows(TOKEN)


def test_a_job_that_begins_while_the_queue_is_looked_at_is_known(queue, connection, monkeypatch):
    queue.enqueue("65f0c0ffee65f0c0ffee65f0", TOKEN)

    def begins_now(waiting, token):
        job = Job.fetch(token, connection=connection)
        waiting.remove(job)
        with connection.pipeline() as noted:
            job.prepare_for_execution("a worker", noted)
            noted.execute()

    monkeypatch.setattr(Queue, "get_job_position", begins_now)
    assert queue.knows(TOKEN)


def test_an_export_goes_through_the_queue(services, states, version, connection):
    states.begin(version, now())
    assert states.of(version, now() + GRACE).status == "processing"
    work(connection)
    state = states.of(version, now())
    assert state.status == "ready"
    assert len(exported(services, state.file)["concepts"]) == 3
    assert Job.exists(state.file.token, connection=connection) is False


def test_a_cancelled_export_is_not_made(services, states, version, connection):
    states.ask(version, now())
    states.delete(version, now())
    work(connection)
    assert states.of(version, now()).status == "missing"


@pytest.fixture
def away():
    """A queue at an address where nobody answers."""
    return RQExportQueue("redis://127.0.0.1:1/0")


@pytest.mark.parametrize(
    "step",
    [
        lambda queue: queue.reach(),
        lambda queue: queue.enqueue("x", TOKEN),
        lambda queue: queue.knows(TOKEN),
        lambda queue: queue.cancel(TOKEN),
    ],
)
def test_a_queue_that_is_away_is_told(away, step):
    with pytest.raises(QueueUnavailable):
        step(away)


def test_asking_while_the_queue_is_away_leaves_nothing_processing(services, source, away):
    source.commit("A")
    version = source.release("v1")
    states = ExportStates(services.store.exports, away, services.settings.export_silence)
    with pytest.raises(QueueUnavailable):
        states.ask(version, now())
    assert states.of(version, now()).status == "missing"


def test_the_export_of_a_version_made_while_redis_was_down_comes_when_it_is_back(
    services, source, tmp_path
):
    server = start_redis(tmp_path / "redis")
    port = server.port
    server.stop()
    queue = RQExportQueue(f"{server.url}/0")
    states = ExportStates(services.store.exports, queue, services.settings.export_silence)
    version = source.release("v1")
    states.begin(version, now())
    assert states.of(version, now()).status == "missing"
    server = start_redis(tmp_path / "redis", port)
    try:
        states.heal(version, now())
        assert states.of(version, now() + GRACE).status == "processing"
        with redis.Redis.from_url(server.url) as connection:
            work(connection)
        assert states.of(version, now()).status == "ready"
    finally:
        server.stop()


def test_a_job_lost_with_redis_is_queued_again(services, states, source, connection):
    version = source.release("v1")
    states.begin(version, now())
    connection.flushdb()
    later = now() + GRACE
    assert states.of(version, later).status == "missing"
    tick.heal_exports(services, later)
    assert states.of(version, later + GRACE).status == "processing"
    work(connection)
    assert states.of(version, now()).status == "ready"


def test_one_tick_begins_all_that_is_wanted_and_purges_what_was_deleted(
    services, states, source, connection
):
    versions = [source.release(name) for name in ("v1", "v2", "v3")]
    tick.tick(services, now())
    work(connection)
    assert [states.of(version, now()).status for version in versions] == ["ready"] * 3
    services.store.repos.delete(source.repo["_id"], lambda session, head: None)
    tick.tick(services, now() + timedelta(seconds=1))
    assert [services.store.exports.read(key(version)) for version in versions] == [None] * 3


def test_a_tick_outlives_a_fault_and_gives_its_lease_back(services, monkeypatch):
    rounds = []

    def broken(s, moment):
        rounds.append(moment)
        raise RuntimeError("a fault")

    monkeypatch.setattr(tick, "tick", broken)
    tick.run(services, lambda: len(rounds) == 3, lambda seconds: None)
    assert services.store.leases.take("tick", "another", tick.LEASE, now())


def test_a_duty_that_fails_and_a_mail_server_that_hangs_hold_up_no_other_duty(
    services, monkeypatch
):
    purged, sent, hanging = [], Event(), Event()

    def broken(s, moment):
        raise RuntimeError("a fault")

    def hangs(s, moment):
        sent.set()
        assert hanging.wait(30)

    monkeypatch.setattr(tick, "heal_exports", broken)
    monkeypatch.setattr(tick, "purge_trash", purged.append)
    monkeypatch.setattr(tick, "send_mails", hangs)

    def ended():
        if len(purged) == 3:
            assert sent.wait(30)
            hanging.set()
        return len(purged) == 3

    tick.run(services, ended, lambda seconds: None)
    assert len(purged) == 3


def test_of_two_workers_one_ticks(services, monkeypatch):
    services.store.leases.take("tick", "another", tick.LEASE, now())
    rounds = []
    monkeypatch.setattr(tick, "tick", lambda s, moment: rounds.append(moment))
    pauses = []
    tick.run(services, lambda: len(pauses) == 3, pauses.append)
    assert rounds == []
