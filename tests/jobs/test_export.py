"""The job that builds an archive: its content, and the state after it was stopped."""

import os
import resource
import tracemalloc
from datetime import timedelta
from pathlib import Path

import pytest

from jobs import export, tick
from jobs import job as jobs_job
from jobs.export import build_export
from oclapi.errors import NotFound
from oclapi.exports import archive
from oclapi.store import ranges
from oclapi.store.exports import Exports
from oclapi.store.rows import Rows
from tests.jobs.conftest import cached, containers, exported, key, now, token

pytestmark = pytest.mark.servers


def make(services, states, version):
    """Request an export, build it, and return its file."""
    states.request(version, now())
    build_export(version.key, token(services, version))
    return states.of(version, now()).file


def test_an_archive_contains_the_version_and_all_rows_in_commit_order(services, states, version):
    document = exported(services, make(services, states, version))
    assert list(document)[-2:] == ["concepts", "mappings"]
    assert (
        document["type"],
        document["id"],
        document["active_concepts"],
        document["source"]["id"],
    ) == ("Source Version", "v1", 2, "LABX")
    assert "is_processing" not in document
    assert [(entry["id"], entry["retired"]) for entry in document["concepts"]] == [
        ("A", False),
        ("C", False),
        ("B", True),
    ]
    assert [entry["id"] for entry in document["mappings"]] == ["m1"]


def test_an_empty_version_has_empty_lists(services, states, source):
    document = exported(services, make(services, states, source.release("v0")))
    assert (document["concepts"], document["mappings"]) == ([], [])


def test_commits_after_a_version_are_not_in_its_archive(services, states, source, version):
    source.commit("A", "D")
    document = exported(services, make(services, states, version))
    assert [entry["id"] for entry in document["concepts"]] == ["A", "C", "B"]


def test_an_archive_built_again_has_the_same_bytes(services, states, source, version):
    first = containers(services, make(services, states, version))
    source.commit("A", "C", "E")
    source.release("v2")
    states.recreate(version, now())
    build_export(version.key, token(services, version))
    again = states.of(version, now()).file
    assert containers(services, again) == first
    assert len(cached(services)) == 2


def test_an_archive_contains_the_rows_of_all_batches(services, states, source):
    ids = [f"C{number:05}" for number in range(2500)]
    source.commit(*ids)
    document = exported(services, make(services, states, source.release("v1")))
    assert [entry["id"] for entry in document["concepts"]] == ids


def test_a_finished_job_stores_the_details_of_its_file(services, states, version):
    file = make(services, states, version)
    assert (file.edition, file.content_at) == (1, version.content_at)
    assert file.made_at <= now()
    assert cached(services) == [file.name]
    assert file.name.startswith(f"{version.repo}/{version.key}/")
    assert Path(services.settings.export_cache, file.name).stat().st_size == file.archive.size


def after_batch(monkeypatch, step):
    """Call `step(number)` in the running job after each batch of rows."""
    original = export._reported

    def batches(*args):
        for number, batch in enumerate(original(*args)):
            yield batch
            step(number)

    monkeypatch.setattr(export, "_reported", batches)
    monkeypatch.setattr(jobs_job, "BEAT", 0)


def test_a_running_job_reports_its_progress(services, states, source, monkeypatch):
    source.commit(*[f"C{number}" for number in range(2500)])
    version = source.release("v1")
    seen = []
    after_batch(monkeypatch, lambda number: seen.append(states.of(version, now())))
    make(services, states, version)
    assert [(state.status, state.processed, state.total) for state in seen] == [
        ("processing", 1000, 2500),
        ("processing", 2000, 2500),
        ("processing", 2500, 2500),
    ]


def test_a_job_that_is_cancelled_while_running_stops_and_leaves_no_file(
    services, states, source, monkeypatch
):
    source.commit(*[f"C{number}" for number in range(2500)])
    version = source.release("v1")
    batches = []

    def cancel(number):
        batches.append(number)
        states.delete(version, now())

    after_batch(monkeypatch, cancel)
    states.request(version, now())
    build_export(version.key, token(services, version))
    assert batches == [0]
    assert states.of(version, now()).status == "missing"
    assert cached(services) == []


def test_a_job_that_is_cancelled_at_its_end_leaves_no_file(services, states, version, monkeypatch):
    original = Exports.publish

    def cancel_and_publish(self, *args):
        states.delete(version, now())
        original(self, *args)

    monkeypatch.setattr(Exports, "publish", cancel_and_publish)
    assert make(services, states, version) is None
    assert cached(services) == []


def test_a_version_that_is_deleted_while_its_export_runs_leaves_no_file(
    services, states, source, version, monkeypatch
):
    after_batch(
        monkeypatch, lambda number: number or source.store.versions.delete(source.repo.number, "v1")
    )
    states.request(version, now())
    build_export(version.key, token(services, version))
    assert services.store.exports.read(key(version)) is None
    assert cached(services) == []


def test_an_edit_while_a_job_runs_is_in_the_next_archive(
    services, states, source, version, monkeypatch
):
    with monkeypatch.context() as patch:
        after_batch(patch, lambda number: source.edit(version, description="second thoughts"))
        first = make(services, states, version)
    assert exported(services, first)["description"] is None
    tick.heal_exports(services, now())
    assert states.of(version, now()).file == first
    build_export(version.key, token(services, version))
    second = states.of(version, now()).file
    assert (first.edition, second.edition) == (1, 2)
    assert exported(services, second)["description"] == "second thoughts"
    assert list(services.store.exports.unsettled()) == []
    assert states.file(version, first.token) == first


def test_commits_while_a_job_runs_are_not_in_its_archive(services, states, source, monkeypatch):
    ids = [f"C{number:04}" for number in range(2500)]
    source.commit(*ids)
    source.commit("m1", kind="mapping")
    version = source.release("v1")
    undisturbed = containers(services, make(services, states, version))
    states.recreate(version, now())

    def write(number):
        source.commit(*ids[:1500], f"new{number}", retired=True)
        source.commit("m1", f"n{number}", kind="mapping")

    after_batch(monkeypatch, write)
    build_export(version.key, token(services, version))
    assert containers(services, states.of(version, now()).file) == undisturbed


def test_the_memory_of_a_job_does_not_grow_with_the_version(services, states, source, monkeypatch):
    monkeypatch.setattr(ranges, "LIST", 100)
    monkeypatch.setattr(archive, "READ", 2**16)

    def peak(name):
        version = source.release(name)
        states.request(version, now())
        tracemalloc.start()
        try:
            build_export(version.key, token(services, version))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    source.commit(*[f"C{number:05}" for number in range(2000)])
    peak("v1")  # warm up: some objects are created only once
    small = peak("v2")
    source.commit(*[f"D{number:05}" for number in range(18_000)])
    assert peak("v3") < 1.5 * small


def test_an_edit_while_a_job_is_queued_is_in_its_archive(services, states, source, version):
    states.request(version, now())
    source.edit(version, description="in time")
    build_export(version.key, token(services, version))
    assert exported(services, states.of(version, now()).file)["description"] == "in time"
    assert list(services.store.exports.unsettled()) == []


def test_a_job_that_is_run_twice_changes_nothing_the_second_time(services, states, version):
    states.request(version, now())
    job = token(services, version)
    build_export(version.key, job)
    before = services.store.exports.read(key(version))
    build_export(version.key, job)
    assert services.store.exports.read(key(version)) == before
    assert len(cached(services)) == 1


def fails(services, states, version, error):
    """Run the job, which fails with `error`, and return the state of the export."""
    states.request(version, now())
    with pytest.raises(error):
        build_export(version.key, token(services, version))
    return states.of(version, now())


def test_a_full_disk_is_a_failure_with_its_reason(services, states, version):
    states.request(version, now())
    folder = Path(services.settings.export_cache, f"{version.repo}/{version.key}")
    folder.mkdir(parents=True)
    (folder / f"{token(services, version)}.part").symlink_to("/dev/full")
    state = fails(services, states, version, OSError)
    assert (state.status, state.error) == (
        "failed",
        "the archive could not be written: No space left on device",
    )
    assert os.listdir(folder) == []


def test_a_limit_of_file_sizes_is_a_failure_with_its_reason(services, states, source):
    source.commit(*[f"C{number}" for number in range(3000)])
    version = source.release("v1")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limit[1]))
    try:
        state = fails(services, states, version, OSError)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert (state.status, state.error) == (
        "failed",
        "the archive could not be written: File too large",
    )
    assert cached(services) == []


def test_a_cache_that_cannot_be_written_is_a_failure_with_its_reason(services, states, version):
    Path(services.settings.export_cache).write_text("a file where a folder should be")
    state = fails(services, states, version, OSError)
    assert (state.status, state.error) == (
        "failed",
        "the archive could not be written: Not a directory",
    )


def test_an_unexpected_error_is_reported_without_internals(services, states, version, monkeypatch):
    def broken(*args):
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(Rows, "body_batches", broken)
    state = fails(services, states, version, ZeroDivisionError)
    assert (state.status, state.error) == (
        "failed",
        "internal server error (ZeroDivisionError)",
    )


def test_after_a_failure_the_next_job_succeeds(services, states, version, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Rows, "body_batches", lambda *args: 1 / 0)
        fails(services, states, version, ZeroDivisionError)
    assert make(services, states, version)
    state = states.of(version, now())
    assert (state.status, state.error) == ("ready", None)


@pytest.mark.parametrize("when", ["before it began", "while it runs"])
def test_the_state_and_the_log_say_that_the_repository_was_deleted(
    services, states, source, version, monkeypatch, caplog, when
):
    def delete():
        services.store.repos.delete(source.repo.number, lambda session, head: None)

    states.request(version, now())
    job = token(services, version)
    if when == "before it began":
        delete()
    else:
        after_batch(monkeypatch, lambda number: number or delete())
    with pytest.raises(NotFound), caplog.at_level("ERROR"):
        build_export(version.key, job)
    assert cached(services) == []
    assert services.store.exports.read(key(version)).error.text == "the repository was deleted"
    assert [record.reason for record in caplog.records] == ["the repository was deleted"]


def test_orphaned_files_are_deleted_when_they_are_older_than_a_link(services, states, version):
    served = make(services, states, version)
    folder = Path(services.settings.export_cache, served.name).parent
    for name in ("killed.part", "unnamed.tgz"):
        (folder / name).write_bytes(b"x")
    life = timedelta(seconds=services.settings.export_link_life)
    tick.clean_cache(services, now() + life - timedelta(seconds=60))
    assert len(cached(services)) == 3
    tick.clean_cache(services, now() + life + timedelta(seconds=60))
    assert cached(services) == [served.name]


def test_the_unfinished_file_of_a_live_job_is_not_deleted(services, states, version, monkeypatch):
    tomorrow = now() + timedelta(days=1)
    after_batch(monkeypatch, lambda number: tick.clean_cache(services, tomorrow))
    assert make(services, states, version)


def test_a_replaced_archive_is_kept_until_its_links_expire(services, states, source, version):
    old = make(services, states, version)
    edited = source.edit(version, description="x")
    tick.heal_exports(services, now())
    build_export(version.key, token(services, version))
    new = states.of(edited, now()).file
    life = timedelta(seconds=services.settings.export_link_life)
    for name in (old.name, new.name):
        os.utime(Path(services.settings.export_cache, name), (0, 0))
    tick.clean_cache(services, now())
    assert cached(services) == sorted([old.name, new.name])
    tick.clean_cache(services, now() + life)
    assert cached(services) == [new.name]
