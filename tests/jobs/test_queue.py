"""The job queue on a real Redis, failures of Redis, and the tick."""

import logging
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest
import redis
from rq import Queue, SimpleWorker
from rq.job import Job

from jobs import tick
from jobs.queue import (
    EXPORTS,
    HANDED_OVER,
    INDEX,
    MOST_WAKES,
    URGENT_EXPORTS,
    RQExportQueue,
    RQIndexQueue,
)
from oclapi.errors import QueueUnavailable
from oclapi.exports.state import ExportStates
from oclapi.local.servers import queue_url, start_redis
from oclapi.model import GRACE
from tests.jobs.conftest import Source, exported, key, now

pytestmark = pytest.mark.servers

TOKEN = "index-7"


@pytest.fixture
def connection(redis_url):
    with redis.Redis.from_url(redis_url) as connection:
        yield connection


@pytest.fixture
def queue(redis_url):
    """A queue of index jobs."""
    return RQIndexQueue(redis_url, INDEX)


@pytest.fixture
def wakes(connection):
    """Returns how many wakes are in the queues: all of them, and for urgent exports."""
    return lambda: tuple(
        Queue(name, connection=connection).count for name in (EXPORTS, URGENT_EXPORTS)
    )


def work(connection, queue=EXPORTS):
    """Run all queued jobs."""
    logging.getLogger("rq.worker").setLevel(logging.CRITICAL)
    SimpleWorker([queue], connection=connection).work(burst=True)


def test_a_queued_job_is_known(queue):
    assert not queue.knows(TOKEN)
    queue.enqueue(7)
    assert queue.knows(TOKEN)


def test_a_job_that_is_no_longer_in_the_queue_is_not_known(queue, connection):
    queue.enqueue(7)
    connection.delete(f"rq:queue:{INDEX}")
    assert not queue.knows(TOKEN)


def test_a_started_job_is_known_for_a_limited_time(queue, connection, monkeypatch):
    queue.enqueue(7)
    job = Job.fetch(TOKEN, connection=connection)
    Queue(INDEX, connection=connection).remove(job)
    with connection.pipeline() as pipeline:  # a worker does this when it starts a job
        job.prepare_for_execution("a worker", pipeline)
        pipeline.execute()
    assert queue.knows(TOKEN)
    monkeypatch.setattr("jobs.queue.now", lambda: job.started_at + HANDED_OVER)
    assert not queue.knows(TOKEN)


def test_a_job_that_a_worker_has_taken_but_not_started_is_known_for_a_limited_time(
    queue, connection, monkeypatch
):
    queue.enqueue(7)
    Queue.lmove(connection, f"rq:queue:{INDEX}", None)  # a worker's first step
    assert queue.knows(TOKEN)
    late = datetime.now(UTC) + HANDED_OVER
    monkeypatch.setattr("jobs.queue.now", lambda: late)
    assert not queue.knows(TOKEN)


def test_a_job_that_starts_between_two_requests_to_redis_is_known(queue, connection, monkeypatch):
    queue.enqueue(7)

    def start_job(rq_queue, token):
        job = Job.fetch(token, connection=connection)
        rq_queue.remove(job)
        with connection.pipeline() as pipeline:
            job.prepare_for_execution("a worker", pipeline)
            pipeline.execute()

    monkeypatch.setattr(Queue, "get_job_position", start_job)
    assert queue.knows(TOKEN)


def test_an_export_goes_through_the_queue(services, states, version, connection):
    states.begin(version, now())
    assert states.of(version, now() + GRACE).status == "processing"
    work(connection)
    state = states.of(version, now())
    assert state.status == "ready"
    assert len(exported(services, state.file)["concepts"]) == 3
    assert list(connection.scan_iter("rq:job:*")) == []


def test_an_export_that_somebody_asks_for_is_built_before_many_releases(
    services, states, source, connection, monkeypatch
):
    monkeypatch.setattr("oclapi.store.exports.OLDEST_EVERY", 10**9)
    versions = [source.release(f"v{number}") for number in range(6)]
    other = Source(services, "SouthLab").release("v1")
    for version in (*versions, other):
        states.begin(version, now())
    states.request(versions[5], now())  # as GET does
    work(connection)
    made = sorted((*versions, other), key=lambda version: states.of(version, now()).file.made_at)
    assert made == [versions[5], versions[0], other, *versions[1:5]]


def test_a_cancelled_export_is_not_built(services, states, version, connection):
    states.request(version, now())
    states.delete(version, now())
    work(connection)
    assert states.of(version, now()).status == "missing"


@pytest.fixture
def unreachable():
    """A queue at an address without a server."""
    return RQExportQueue("redis://127.0.0.1:1/0")


@pytest.mark.parametrize(
    "step",
    [
        lambda queue: queue.reach(),
        lambda queue: queue.wake(urgent=False),
        lambda queue: queue.refill(1, 0),
    ],
)
def test_every_operation_of_an_unreachable_queue_raises(unreachable, step):
    with pytest.raises(QueueUnavailable):
        step(unreachable)


def test_a_request_with_an_unreachable_queue_leaves_no_job(services, source, unreachable):
    source.commit("A")
    version = source.release("v1")
    states = ExportStates(services.store.exports, unreachable, services.settings.export_silence)
    with pytest.raises(QueueUnavailable):
        states.request(version, now())
    assert states.of(version, now()).status == "missing"


def test_the_export_of_a_version_created_without_redis_is_built_later(services, source, tmp_path):
    server = start_redis(tmp_path / "redis")
    server.stop()
    queue = RQExportQueue(queue_url(server))
    states = ExportStates(services.store.exports, queue, services.settings.export_silence)
    version = source.release("v1")
    states.begin(version, now())
    assert states.of(version, now()).status == "missing"
    server = start_redis(tmp_path / "redis")
    try:
        states.heal(version, now())
        assert states.of(version, now() + GRACE).status == "processing"
        with redis.Redis.from_url(queue_url(server)) as connection:
            work(connection)
        assert states.of(version, now()).status == "ready"
    finally:
        server.stop()


def test_an_export_is_built_although_redis_lost_its_data(
    services, states, source, connection, wakes
):
    version = source.release("v1")
    states.request(version, now())
    connection.flushdb()
    assert states.of(version, now() + GRACE).status == "processing"
    tick.heal_exports(services, now())
    assert wakes() == (1, 1)
    work(connection)
    assert states.of(version, now()).status == "ready"


def test_an_export_is_built_although_the_worker_that_was_woken_died(
    services, states, source, connection, wakes
):
    version = source.release("v1")
    states.request(version, now())
    for name in (EXPORTS, URGENT_EXPORTS):
        Queue.lmove(connection, f"rq:queue:{name}", None)  # a worker's first step
    assert wakes() == (0, 0)
    tick.heal_exports(services, now())
    work(connection, URGENT_EXPORTS)
    assert states.of(version, now()).status == "ready"


def test_a_version_whose_maker_died_before_it_woke_a_worker_is_exported(
    services, states, source, connection
):
    version = source.release("v1", job="a" * 32)
    assert states.of(version, now()).status == "processing"
    tick.heal_exports(services, now())
    work(connection)
    assert states.of(version, now()).file.token == "a" * 32


def test_a_tick_adds_only_wakes_that_are_missing(services, states, source, wakes):
    for name in ("v1", "v2", "v3"):
        states.begin(source.release(name), now())
    states.request(source.release("v4"), now())
    for _ in range(3):
        tick.heal_exports(services, now())
    assert wakes() == (4, 1)


def test_a_tick_wakes_for_a_limited_number_of_exports(services, wakes):
    services.queue.refill(10 * MOST_WAKES, 0)
    assert wakes() == (MOST_WAKES, 0)


def test_a_worker_for_urgent_exports_builds_no_others(services, states, source, connection):
    released, asked = source.release("v1"), source.release("v2")
    states.begin(released, now())
    states.request(asked, now())
    services.queue.refill(2, 2)
    work(connection, URGENT_EXPORTS)
    assert states.of(asked, now()).status == "ready"
    assert states.of(released, now()).status == "processing"


def test_a_tick_queues_wanted_exports_and_purges_deleted_repositories(
    services, states, source, connection
):
    versions = [source.release(name) for name in ("v1", "v2", "v3")]
    tick.tick(services, now())
    work(connection)
    assert [states.of(version, now()).status for version in versions] == ["ready"] * 3
    services.store.repos.delete(source.repo.number, lambda session, head: None)
    tick.tick(services, now() + timedelta(seconds=1))
    assert [services.store.exports.read(key(version)) for version in versions] == [None] * 3


def test_ticking_continues_after_an_error_and_releases_its_lease(services, monkeypatch):
    rounds = []

    def broken(s, time):
        rounds.append(time)
        raise RuntimeError("an error")

    monkeypatch.setattr(tick, "tick", broken)
    tick.run(services, lambda: len(rounds) == 3, lambda seconds: None)
    assert services.store.leases.take("tick", "another", tick.LEASE, now())


def test_an_error_in_one_task_or_a_hanging_mail_server_does_not_block_the_other_tasks(
    services, monkeypatch
):
    purged, sent, hanging = [], Event(), Event()

    def broken(s, time):
        raise RuntimeError("an error")

    def hangs(s, time):
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


def test_only_one_of_two_workers_ticks(services, monkeypatch):
    services.store.leases.take("tick", "another", tick.LEASE, now())
    rounds = []
    monkeypatch.setattr(tick, "tick", lambda s, time: rounds.append(time))
    pauses = []
    tick.run(services, lambda: len(pauses) == 3, pauses.append)
    assert rounds == []
