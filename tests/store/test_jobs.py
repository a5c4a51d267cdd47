"""The record of a job: every write is conditional on its token."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from oclapi.errors import Overtaken
from oclapi.model import GRACE, Job, JobError
from oclapi.store.jobs import Jobs, error_of, job_of

pytestmark = pytest.mark.servers

NOW = datetime(2026, 3, 4, 10, 20, 30, tzinfo=UTC)
SILENCE = timedelta(seconds=60)


class Record:
    """A document with jobs, in a collection of the store."""

    def __init__(self, collection):
        self.collection, self.jobs = collection, Jobs(collection)
        collection.insert_one({"_id": "x"})

    @property
    def stored(self):
        return self.collection.find_one({"_id": "x"})

    def request(self, seen=None):
        return self.jobs.request("x", seen, 9, NOW)


@pytest.fixture
def record(store):
    return Record(store.database.tasks)


def test_a_job_goes_from_its_request_to_its_end(record):
    token = record.request()
    assert job_of(record.stored) == Job(token, "queued", NOW, 0, 9, 1)
    later = NOW + timedelta(seconds=1)
    record.jobs.claim("x", token, later)
    record.jobs.report("x", token, 4, later)
    assert job_of(record.stored) == Job(token, "running", later, 4, 9, 1)
    record.jobs.finish("x", token, {"done": {"$literal": True}})
    assert record.stored == {"_id": "x", "done": True}


def test_a_failure_is_kept_until_a_job_succeeds(record):
    record.jobs.fail("x", record.request(), "no $space", {}, NOW)
    assert error_of(record.stored) == JobError("no $space", NOW)
    token = record.request()
    assert error_of(record.stored)
    record.jobs.finish("x", token, {"n": 1})
    assert error_of(record.stored) is None


def test_only_one_of_many_requests_starts_a_job(record):
    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(lambda _: record.request(), range(8)))
    assert [token for token in tokens if token] == [job_of(record.stored).token]


@pytest.mark.parametrize("change", ["cancelled", "replaced"])
@pytest.mark.parametrize("step", ["claim", "report", "finish", "fail"])
def test_a_job_that_was_cancelled_or_replaced_changes_nothing(record, step, change):
    token = record.request()
    if change == "cancelled":
        record.jobs.cancel("x", token)
    else:
        record.request(job_of(record.stored))
    before = record.stored
    steps = {
        "claim": lambda: record.jobs.claim("x", token, NOW),
        "report": lambda: record.jobs.report("x", token, 1, NOW),
        "finish": lambda: record.jobs.finish("x", token, {"done": {"$literal": True}}),
        "fail": lambda: record.jobs.fail("x", token, "no", {}, NOW),
    }
    with pytest.raises(Overtaken):
        steps[step]()
    assert record.stored == before


def test_a_job_is_claimed_once(record):
    token = record.request()
    record.jobs.claim("x", token, NOW)
    with pytest.raises(Overtaken):
        record.jobs.claim("x", token, NOW)


def test_the_tries_of_a_job_that_died_while_it_ran_are_counted(record):
    record.request()
    record.request(job_of(record.stored))  # it was never started
    assert job_of(record.stored).tries == 1
    record.jobs.claim("x", job_of(record.stored).token, NOW)
    record.request(job_of(record.stored))
    assert job_of(record.stored).tries == 2


@pytest.mark.parametrize(
    ("state", "age", "queue_is_up", "alive"),
    [
        ("running", SILENCE - timedelta(seconds=1), False, True),
        ("running", SILENCE, True, False),
        ("queued", GRACE - timedelta(seconds=1), False, True),
        ("queued", SILENCE, True, True),
        ("queued", SILENCE, False, False),
    ],
)
def test_a_job_is_alive_while_it_reports_or_while_a_worker_can_be_woken_for_it(
    state, age, queue_is_up, alive
):
    job = Job("t", state, NOW - age, 0, 9, 1)
    assert job.is_alive(NOW, SILENCE, lambda: queue_is_up) is alive
