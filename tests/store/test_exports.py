"""The state of an export: who may change it, and what happens when a process dies meanwhile."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from oclapi.errors import NotFound, Overtaken, QueueUnavailable
from oclapi.exports.state import MOST_TRIES, ExportStates
from oclapi.model import GRACE, Archive, Export, ExportFile, ExportKey
from oclapi.store.exports import TO_CHECK
from tests.store.conftest import version_metadata

pytestmark = pytest.mark.servers

SILENCE = 60
NOW = datetime(2026, 3, 4, 10, 20, 30, tzinfo=UTC)
LONG = timedelta(seconds=SILENCE)
ARCHIVE = Archive(size=9, json_size=2, json_crc=1, start=527, end=530, mtime=0, sha256="ab")


class Queue:
    """An ExportQueue that remembers which workers it was asked to wake."""

    def __init__(self):
        self.wakes = []  # for each one, whether it is for urgent exports
        self.down = False

    def reach(self):
        if self.down:
            raise QueueUnavailable("down")

    def wake(self, *, urgent):
        self.reach()
        self.wakes.append(urgent)


@pytest.fixture
def queue():
    return Queue()


@pytest.fixture
def states(store, queue):
    return ExportStates(store.exports, queue, SILENCE)


@pytest.fixture
def version(store, repo):
    repo.commit("A00")
    return released(store, repo, "v1")


def released(store, repo, version_id, job=None):
    fields = version_metadata()
    return store.versions.create(repo.number, version_id, lambda session, head: fields, job)


def key(version):
    return ExportKey(version.key)


def document(store, version):
    return store.exports.read(key(version))


def file(token, edition=1):
    return ExportFile(f"orgs/x/{token}.tgz", edition, NOW, NOW, ARCHIVE)


def start(store, version, now=NOW):
    """Claim the job that waits."""
    token = document(store, version).job.token
    store.exports.claim(key(version), token, now)
    return token


def build(store, states, version, edition=1, now=NOW):
    """Ask for the export and finish it."""
    states.request(version, now)
    token = start(store, version, now)
    store.exports.publish(key(version), token, file(token, edition), now)
    return token


def test_an_export_goes_from_missing_over_processing_to_ready(store, states, version):
    assert states.of(version, NOW).status == "missing"
    started, state = states.request(version, NOW)
    assert started
    assert (state.status, state.processed, state.total) == ("processing", 0, 1)
    token = start(store, version)
    store.exports.report(key(version), token, 1, NOW)
    assert states.of(version, NOW).processed == 1
    store.exports.publish(key(version), token, file(token), NOW)
    ready = states.of(version, NOW)
    assert (ready.status, ready.busy, ready.file.token, ready.file.archive.size) == (
        "ready",
        False,
        token,
        9,
    )
    export = document(store, version)
    assert (export.job, export.error, export.wanted) == (None, None, None)


def test_a_job_that_ends_between_two_looks_is_not_missing(
    store, states, queue, version, monkeypatch
):
    states.request(version, NOW)

    def ends_now():
        token = start(store, version)
        store.exports.publish(key(version), token, file(token), NOW)
        raise QueueUnavailable("down")

    monkeypatch.setattr(queue, "reach", ends_now)
    assert states.of(version, NOW + GRACE).status == "ready"


def test_a_job_that_begins_between_two_looks_is_not_replaced(store, states, queue, version):
    states.request(version, NOW)
    seen = document(store, version)
    token = start(store, version)
    assert store.exports.request(key(version), seen.job, 1, NOW) is None
    assert not store.exports.delete(key(version), seen)
    assert document(store, version).job.token == token


def at_once(work, times=50):
    barrier = threading.Barrier(times)

    def one(number):
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(one, range(times)))


def test_fifty_clients_asking_at_once_start_one_job_and_one_of_them_is_told_so(
    states, queue, version
):
    results = at_once(lambda _: states.request(version, NOW))
    assert [state.status for _, state in results] == ["processing"] * 50
    assert sorted(started for started, _ in results) == [False] * 49 + [True]
    assert len(queue.wakes) == 1


def test_fifty_clients_recreating_at_once_start_one_job(store, states, queue, version):
    build(store, states, version)
    queue.wakes.clear()
    assert True in [started for started, _ in at_once(lambda _: states.recreate(version, NOW))]
    assert len(queue.wakes) == 1
    assert states.of(version, NOW).status == "processing"


def test_of_fifty_clients_deleting_at_once_one_did_it(store, states, version):
    build(store, states, version)
    assert sorted(at_once(lambda _: states.delete(version, NOW))) == [False] * 49 + [True]
    assert states.of(version, NOW).status == "missing"


def test_of_fifty_workers_one_claims_a_job(store, states, version):
    states.request(version, NOW)
    token = document(store, version).job.token

    def claim(_):
        try:
            store.exports.claim(key(version), token, NOW)
        except Overtaken:
            return False
        return True

    assert sorted(at_once(claim)) == [False] * 49 + [True]


def test_asking_for_what_is_ready_or_on_its_way_starts_nothing(store, states, queue, version):
    states.request(version, NOW)
    states.request(version, NOW)
    assert len(queue.wakes) == 1
    token = start(store, version)
    store.exports.publish(key(version), token, file(token), NOW)
    assert states.request(version, NOW) == (False, states.of(version, NOW))
    assert len(queue.wakes) == 1


def test_a_waiting_job_lives_as_long_as_a_worker_can_be_woken(store, states, queue, version):
    states.request(version, NOW)
    token = document(store, version).job.token
    later = NOW + timedelta(days=1)
    assert states.of(version, later).status == "processing"
    queue.down = True
    assert states.of(version, NOW + GRACE - timedelta(milliseconds=1)).status == "processing"
    assert states.of(version, NOW + GRACE).status == "missing"
    with pytest.raises(QueueUnavailable):
        states.request(version, later)
    queue.down = False
    assert states.request(version, later)[1].status == "processing"
    assert document(store, version).job.token == token


def test_a_running_job_lives_as_long_as_it_is_heard_of(store, states, queue, version):
    states.request(version, NOW)
    token = start(store, version, NOW)
    store.exports.report(key(version), token, 1, NOW + timedelta(seconds=50))
    assert states.of(version, NOW + timedelta(seconds=109)).status == "processing"
    assert states.of(version, NOW + timedelta(seconds=110)).status == "missing"


@pytest.mark.parametrize("step", ["claim", "beat", "publish", "fail"])
@pytest.mark.parametrize("event", ["cancelled", "replaced", "version deleted"])
def test_a_job_that_was_overtaken_changes_nothing(store, states, version, repo, step, event):
    states.request(version, NOW)
    token = document(store, version).job.token if step == "claim" else start(store, version)
    if event == "cancelled":
        states.delete(version, NOW)
    elif event == "replaced":
        store.exports.request(key(version), document(store, version).job, 1, NOW)
    else:
        store.versions.delete(repo.number, "v1")
    before = document(store, version)
    steps = {
        "claim": lambda: store.exports.claim(key(version), token, NOW),
        "beat": lambda: store.exports.report(key(version), token, 1, NOW),
        "publish": lambda: store.exports.publish(key(version), token, file(token), NOW),
        "fail": lambda: store.exports.fail(key(version), token, "no", 1, NOW),
    }
    with pytest.raises(Overtaken):
        steps[step]()
    assert document(store, version) == before


def test_a_failed_export_says_why_and_can_be_requested_again(store, states, version):
    states.request(version, NOW)
    store.exports.fail(key(version), start(store, version), "no space", 1, NOW)
    failed = states.of(version, NOW)
    assert (failed.status, failed.error, failed.failed_at) == ("failed", "no space", NOW)
    assert list(store.exports.unsettled()) == []
    _, again = states.request(version, NOW)
    assert again.status == "processing"
    token = start(store, version)
    store.exports.publish(key(version), token, file(token), NOW)
    assert states.of(version, NOW).error is None


def test_with_the_queue_down_asking_leaves_nothing_behind(store, states, queue, version):
    store.exports.delete(key(version), document(store, version))
    before = document(store, version)
    queue.down = True
    with pytest.raises(QueueUnavailable):
        states.request(version, NOW)
    assert document(store, version) == before
    assert states.of(version, NOW).status == "missing"


def test_a_queue_that_goes_down_when_a_job_is_put_into_it_leaves_nothing_behind(
    store, states, queue, version, monkeypatch
):
    def down(*, urgent):
        raise QueueUnavailable("down")

    monkeypatch.setattr(queue, "wake", down)
    with pytest.raises(QueueUnavailable):
        states.request(version, NOW)
    assert states.of(version, NOW).status == "missing"
    assert document(store, version).job is None


def test_while_the_queue_is_down_trying_again_never_looks_like_processing(
    store, states, queue, version, monkeypatch
):
    def down():
        assert states.of(version, NOW).status == "missing"
        raise QueueUnavailable("down")

    monkeypatch.setattr(queue, "reach", down)
    with pytest.raises(QueueUnavailable):
        states.heal(version, NOW)


def test_with_the_queue_down_recreating_keeps_the_archive(store, states, queue, version):
    build(store, states, version)
    before = document(store, version)
    queue.down = True
    with pytest.raises(QueueUnavailable):
        states.recreate(version, NOW)
    assert document(store, version) == before
    assert states.of(version, NOW).status == "ready"


def test_with_the_queue_down_a_waiting_job_counts_no_more_and_a_running_one_does(
    store, states, queue, version
):
    states.request(version, NOW)
    queue.down = True
    assert states.of(version, NOW + GRACE).status == "missing"
    start(store, version, NOW)
    assert states.of(version, NOW + GRACE).status == "processing"


def test_the_export_of_a_new_version_comes_when_the_queue_is_back(store, states, queue, version):
    queue.down = True
    states.begin(version, NOW)
    assert states.of(version, NOW).status == "missing"
    queue.down = False
    assert list(store.exports.unsettled()) == [key(version)]
    states.heal(version, NOW)
    assert states.of(version, NOW).status == "processing"
    assert len(queue.wakes) == 1


def test_a_version_is_read_together_with_its_repository_and_its_export(
    store, states, repo, version
):
    newer = released(store, repo, "v2")
    build(store, states, version)
    source = store.repos.by_number(repo.number)

    assert store.versions.with_export(repo.url, "v1") == (source, version, document(store, version))
    assert store.versions.with_export(repo.url, "latest") == (source, newer, document(store, newer))
    assert store.versions.with_export(repo.url, "v9") == (source, None, None)
    assert store.versions.with_export("/orgs/NorthLab/sources/NONE/", "v1") == (None, None, None)


def test_a_version_made_with_a_job_is_processing_when_the_job_is_queued(store, states, queue, repo):
    version = released(store, repo, "v2", job="a" * 32)
    assert states.begin_first(version, "a" * 32)
    assert queue.wakes == [False]
    assert states.of(version, version.created_on + LONG).status == "processing"


def test_a_version_made_with_a_job_keeps_none_when_the_queue_is_down(store, states, queue, repo):
    version = released(store, repo, "v2", job="a" * 32)
    queue.down = True
    assert not states.begin_first(version, "a" * 32)
    assert document(store, version) == Export(None, (), None, None, 1)


def test_the_first_job_of_a_version_whose_maker_died_before_waking_a_worker_stays_queued(
    store, states, repo
):
    version = released(store, repo, "v2", job="a" * 32)
    states.heal(version, version.created_on + LONG)
    assert document(store, version).job.token == "a" * 32
    assert store.exports.queued() == (1, 0)


def test_healing_leaves_live_jobs_and_unwanted_exports_alone(store, states, queue, version):
    states.begin(version, NOW)
    states.heal(version, NOW)
    assert len(queue.wakes) == 1
    states.delete(version, NOW)
    states.heal(version, NOW)
    assert (len(queue.wakes), list(store.exports.unsettled())) == (1, [])


def test_a_job_that_died_is_started_again_and_given_up_after_the_last_try(
    store, states, queue, version
):
    now = NOW
    states.request(version, now)
    for _ in range(MOST_TRIES):
        assert states.of(version, now).status == "processing"
        start(store, version, now)
        now += LONG
        assert states.of(version, now).status == "missing"
        states.heal(version, now)
    failed = states.of(version, now)
    assert (failed.status, failed.error) == (
        "failed",
        "the worker died 3 times while it made this export",
    )
    assert list(store.exports.unsettled()) == []
    assert len(queue.wakes) == MOST_TRIES


def test_a_job_that_died_while_the_queue_is_down_is_not_forgotten(store, states, queue, version):
    store.exports.delete(key(version), document(store, version))
    states.request(version, NOW)
    start(store, version, NOW)
    queue.down = True
    with pytest.raises(QueueUnavailable):
        states.heal(version, NOW + LONG)
    queue.down = False
    assert list(store.exports.unsettled()) == [key(version)]
    states.heal(version, NOW + LONG)
    assert states.of(version, NOW + LONG).status == "processing"


def test_a_long_wait_is_no_try(store, states, version):
    states.begin(version, NOW)
    before = document(store, version)
    for number in range(2 * MOST_TRIES):
        states.heal(version, NOW + number * LONG)
    assert document(store, version) == before


def edit(store, repo, text):
    return store.versions.edit(
        repo.number, "v1", lambda session, found: {"description": text}, "amina"
    )[0]


def test_an_edit_has_the_export_made_anew_and_serves_the_old_one_meanwhile(
    store, states, repo, version
):
    old = build(store, states, version)
    edited = edit(store, repo, "second thoughts")
    states.heal(edited, NOW)
    during = states.of(edited, NOW)
    assert (during.status, during.busy, during.file.token) == ("ready", True, old)
    token = start(store, edited)
    store.exports.publish(key(edited), token, file(token, 2), NOW)
    assert (states.of(edited, NOW).file.edition, states.of(edited, NOW).busy) == (2, False)
    assert list(store.exports.unsettled()) == []


def test_an_edit_while_a_job_runs_has_another_run_after_it(store, states, repo, version):
    states.request(version, NOW)
    token = start(store, version)
    edited = edit(store, repo, "too late for that job")
    store.exports.publish(key(version), token, file(token, 1), NOW)
    between = states.of(edited, NOW)
    # the old file must not pass for the newest
    assert (between.file.edition, between.busy) == (1, True)
    assert list(store.exports.unsettled()) == [key(version)]
    states.heal(edited, NOW)
    assert states.of(edited, NOW).busy


def test_a_failed_rebuild_keeps_the_old_file_and_tells_why(store, states, repo, version):
    build(store, states, version)
    edited = edit(store, repo, "x")
    states.heal(edited, NOW)
    store.exports.fail(key(version), start(store, version), "no space", 2, NOW)
    state = states.of(edited, NOW)
    assert (state.status, state.busy, state.error) == ("ready", False, "no space")
    assert list(store.exports.unsettled()) == []


def test_an_edit_does_not_bring_back_an_export_that_was_deleted(store, states, repo, version):
    build(store, states, version)
    states.delete(version, NOW)
    edit(store, repo, "x")
    assert list(store.exports.unsettled()) == []


def test_deleting_a_version_has_its_followers_made_anew(store, states, repo, version):
    second = store.versions.create(
        repo.number,
        "v2",
        lambda session, head: version_metadata(previous_version="v1"),
    )
    build(store, states, second)
    store.versions.delete(repo.number, "v1")
    assert list(store.exports.unsettled()) == [key(second)]
    with pytest.raises(NotFound):
        states.of(version, NOW)


def test_deleting_cancels_the_job_that_waits(store, states, version):
    states.request(version, NOW)
    assert states.delete(version, NOW)
    assert store.exports.queued() == (0, 0)
    assert states.of(version, NOW).status == "missing"
    assert not states.delete(version, NOW)


def test_deleting_works_with_the_queue_down(store, states, queue, version):
    states.request(version, NOW)
    queue.down = True
    assert states.delete(version, NOW)
    assert states.of(version, NOW).status == "missing"


def test_recreating_while_the_first_is_made_is_that_one(states, queue, version):
    states.request(version, NOW)
    started, state = states.recreate(version, NOW)
    assert (started, state.status, len(queue.wakes)) == (False, "processing", 1)


def test_recreating_beside_a_rebuild_takes_the_old_file_away(store, states, queue, repo, version):
    build(store, states, version)
    edited = edit(store, repo, "x")
    states.heal(edited, NOW)
    started, state = states.recreate(edited, NOW)
    assert (started, state.status, store.exports.queued()) == (True, "processing", (1, 1))


def test_a_link_finds_the_file_it_was_given_out_for_until_it_is_forgotten(
    store, states, repo, version
):
    old = build(store, states, version)
    edited = edit(store, repo, "x")
    states.heal(edited, NOW)
    new = start(store, version)
    store.exports.publish(key(version), new, file(new, 2), NOW)
    assert states.file(edited, old).edition == 1
    assert states.file(edited, new).edition == 2
    assert store.exports.names_in_use()[0] == {f"orgs/x/{old}.tgz", f"orgs/x/{new}.tgz"}
    store.exports.forget_earlier(NOW)
    assert states.file(edited, old).edition == 1
    store.exports.forget_earlier(NOW + timedelta(seconds=1))
    with pytest.raises(NotFound):
        states.file(edited, old)
    assert states.file(edited, new).edition == 2


def test_a_link_to_a_deleted_export_finds_nothing(store, states, version):
    token = build(store, states, version)
    states.delete(version, NOW)
    with pytest.raises(NotFound):
        states.file(version, token)


def test_the_tokens_of_jobs_count_as_used(store, states, version):
    states.request(version, NOW)
    assert store.exports.names_in_use() == (set(), {document(store, version).job.token})


def test_a_file_that_the_cache_lost_is_missing(store, states, version):
    build(store, states, version)
    states.lost(version, states.of(version, NOW).file)
    assert states.of(version, NOW).status == "missing"


def test_clearing_forgets_a_dead_job_and_leaves_a_live_one(store, states, version):
    states.request(version, NOW)
    start(store, version)
    states.clear(version, NOW)
    assert states.of(version, NOW).busy
    states.clear(version, NOW + LONG)
    assert document(store, version).job is None


def test_looking_for_what_to_heal_scans_nothing(store, version):
    plan = store.database.exports.find(TO_CHECK).explain()
    stages = str(plan["queryPlanner"]["winningPlan"])
    assert "COLLSCAN" not in stages
    assert "'wanted'" in stages
    assert "'job'" in stages


def test_a_lease_is_held_by_one_until_it_ends(store):
    minute = timedelta(minutes=1)
    holders = at_once(lambda number: store.leases.take("tick", f"worker{number}", minute, NOW))
    assert holders.count(True) == 1
    mine = f"worker{holders.index(True)}"
    assert store.leases.take("tick", mine, minute, NOW + timedelta(seconds=30))
    assert not store.leases.take("tick", "other", minute, NOW + timedelta(seconds=80))
    assert store.leases.take("tick", "other", minute, NOW + timedelta(seconds=91))
    assert not store.leases.take("tick", mine, minute, NOW + timedelta(seconds=91))
    store.leases.release("tick", "other")
    assert store.leases.take("tick", mine, minute, NOW + timedelta(seconds=91))


def test_a_job_that_an_earlier_release_stored_is_restarted_when_it_died(store, states, version):
    """Earlier releases stored the time of the request too."""
    build(store, states, version)
    old = {
        "token": "a" * 32,
        "state": "running",
        "asked_at": NOW,
        "heartbeat": NOW,
        "processed": 1,
        "total": 1,
        "tries": 1,
    }
    where = {"_id": ObjectId(version.key)}
    store.database.exports.update_one(where, {"$set": {"job": old, "wanted": 2}})
    assert states.of(version, NOW).busy
    later = NOW + LONG
    assert states.of(version, later).status == "ready"  # the file is served meanwhile
    states.heal(version, later)
    assert document(store, version).job.tries == 2
