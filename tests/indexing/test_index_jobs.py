"""The job that follows a repository, and the watch that starts it, on the real Solr."""

import logging
from datetime import UTC, datetime

import pytest
from redis import Redis
from rq import SimpleWorker

from jobs import index as jobs_index
from jobs.index import Watch, index_commits, index_repository, lease_of
from jobs.queue import EDITS, INDEX, RQIndexQueue
from oclapi.errors import SearchUnavailable
from search.documents import Marker
from tests.editing.conftest import Source, change_concept, new_concept
from tests.indexing.conftest import complete, found, held

pytestmark = [pytest.mark.servers, pytest.mark.solr]


@pytest.fixture
def queue(redis_url):
    return RQIndexQueue(redis_url, INDEX)


@pytest.fixture
def edits(redis_url):
    return RQIndexQueue(redis_url, EDITS)


@pytest.fixture
def watch(services, solr, queue, edits):
    made = Watch(services, solr, queue, edits)
    look(made)  # the first look makes the core
    return made


@pytest.fixture
def work(redis_url):
    """Do what waits in the queues."""

    def work(*names):
        with Redis.from_url(redis_url) as connection:
            SimpleWorker(names or [EDITS, INDEX], connection=connection).work(
                burst=True, logging_level="ERROR"
            )

    return work


def look(watch, compare=False):
    if compare:
        watch._compare_at = 0.0
    watch._retry_at = 0.0
    watch.check(datetime.now(UTC))


def test_what_is_written_is_found(watch, work, solr, source):
    source.edit(new_concept("A", "High fever"), new_concept("B", "Cough"))
    look(watch)
    work()
    assert complete(solr, source)
    assert found(solr, source, "fever") == ["A"]
    source.edit(change_concept("A", names=[{"name": "Low fever", "locale": "en"}]))
    look(watch)
    work()
    assert complete(solr, source)
    assert (found(solr, source, "high"), found(solr, source, "low")) == ([], ["A"])


def waiting(queue):
    return queue._queue.get_job_ids()


@pytest.mark.parametrize(("concepts", "name"), [(2, "edits"), (3, "index")])
def test_one_job_of_a_repository_waits_however_often_one_looks(
    watch, queue, edits, source, monkeypatch, concepts, name
):
    monkeypatch.setattr(jobs_index, "EDIT", 2)
    source.edit(*[new_concept(f"C{number}") for number in range(concepts)])
    for _ in range(3):
        look(watch)
        watch._settled.clear()
    assert waiting(queue) + waiting(edits) == [f"{name}-{source.number}"]


def test_a_job_that_runs_for_long_is_not_started_again(
    watch, queue, edits, services, source, monkeypatch
):
    monkeypatch.setattr(jobs_index, "EDIT", 0)
    source.edit(new_concept("A"))
    with services.store.leases.hold(lease_of(source.number), jobs_index.LEASE):
        look(watch, compare=True)
        look(watch)
    assert waiting(queue) + waiting(edits) == []
    look(watch)
    assert waiting(queue) == [f"index-{source.number}"]


def test_a_repository_that_is_up_to_date_gets_no_job(
    watch, queue, edits, work, solr, source, other
):
    source.edit(new_concept("A"))
    look(watch)
    work()
    solr.commit()
    look(watch, compare=True)
    assert waiting(queue) + waiting(edits) == []
    other.edit(new_concept("B"))
    look(watch)
    assert waiting(queue) + waiting(edits) == [f"edits-{other.number}"]


def test_an_edit_is_found_although_a_load_of_its_source_is_still_being_followed(
    watch, edits, work, services, solr, source
):
    source.edit(new_concept("A", "High fever"))
    look(watch)
    work()
    solr.commit()
    source.edit(*[new_concept(f"C{number}", "Cough") for number in range(jobs_index.EDIT + 1)])
    with services.store.leases.hold(lease_of(source.number), jobs_index.LEASE):
        look(watch)
        source.edit(change_concept("A", names=[{"name": "Low blood pressure", "locale": "en"}]))
        look(watch)
        look(watch)
        assert waiting(edits) == [f"edits-{source.number}-3"]
        work()
    solr.commit()
    assert (
        found(solr, source, "pressure"),
        found(solr, source, "fever"),
        found(solr, source, "cough"),
    ) == (["A"], [], [])
    assert solr.marker(source.number).rev == 1
    look(watch, compare=True)
    work()
    assert complete(solr, source)


def test_an_edit_does_not_wait_behind_a_load_of_its_source(watch, queue, work, solr, source):
    source.edit(new_concept("A", "High fever"))
    look(watch)
    work()
    solr.commit()
    source.edit(*[new_concept(f"C{number}", "Cough") for number in range(jobs_index.EDIT + 1)])
    look(watch)
    source.edit(new_concept("B", "Low blood pressure"))
    look(watch)
    work(EDITS)
    solr.commit()
    assert found(solr, source, "pressure") == ["B"]
    assert waiting(queue) == [f"index-{source.number}"]


def test_commits_are_not_indexed_early_in_a_copy_without_a_marker(
    watch, edits, work, services, solr, source
):
    source.edit(*[new_concept(f"C{number}", "Cough") for number in range(jobs_index.EDIT + 1)])
    source.edit(new_concept("B"))
    look(watch)
    assert waiting(edits) == [f"edits-{source.number}-2"]
    work(EDITS)
    solr.commit()
    assert solr.count(source.number) == 0
    look(watch, compare=True)
    work()
    assert complete(solr, source)


def test_commits_are_indexed_early_in_posts_of_limited_size_while_a_reindex_waits(
    watch, services, solr, source, monkeypatch
):
    source.edit(new_concept("A"))
    index_repository(source.number)
    solr.commit()
    monkeypatch.setattr("search.follow.ROWS", 2)
    for number in range(5):
        source.edit(new_concept(f"C{number}", "Cough"))
    posts = []
    write = solr.write

    def seen(documents, marker=None):
        posts.append(
            (len(documents), marker, services.store.leases.any_taken("index-", datetime.now(UTC)))
        )
        return write(documents, marker)

    monkeypatch.setattr(solr, "write", seen)
    index_commits(source.number, list(range(2, 7)))
    solr.commit()
    assert posts == [(2, None, True), (2, None, True), (1, None, True)]
    assert len(found(solr, source, "cough")) == 5


def test_markers_of_many_repositories_are_asked_for_at_once(
    watch, work, solr, source, other, monkeypatch
):
    monkeypatch.setattr(jobs_index, "MANY", 1)
    monkeypatch.setattr(solr, "marker", None)
    source.edit(new_concept("A"))
    other.edit(new_concept("B"))
    look(watch)
    monkeypatch.undo()
    work()
    assert complete(solr, source)
    assert complete(solr, other)


def test_each_repository_has_its_turn_of_a_comparison(watch, queue, source, other, monkeypatch):
    monkeypatch.setattr(jobs_index, "AT_ONCE", 1)
    source.edit(new_concept("A"))
    other.edit(new_concept("B"))
    for _ in range(2):
        look(watch, compare=True)
    assert waiting(queue) == [f"index-{source.number}", f"index-{other.number}"]


def test_a_lost_queue_is_filled_again(watch, queue, redis_url, work, solr, source):
    source.edit(new_concept("A"))
    look(watch)
    with Redis.from_url(redis_url) as connection:
        connection.flushdb()
    look(watch, compare=True)
    work()
    assert complete(solr, source)


def test_a_job_whose_worker_died_is_started_again(watch, queue, monkeypatch, solr, source, work):
    monkeypatch.setattr("jobs.queue.HANDED_OVER", jobs_index.timedelta(0))
    source.edit(new_concept("A"))
    look(watch, compare=True)
    job = queue._queue.fetch_job(f"index-{source.number}")
    queue._queue.connection.lpop(queue._queue.key)  # as a worker that took it, began and was killed
    job.started_at = datetime.now(UTC)
    job.set_status("started")
    job.save()
    look(watch, compare=True)
    work()
    assert complete(solr, source)


def test_an_emptied_index_is_filled_again(watch, work, solr, source):
    source.edit(new_concept("A"))
    look(watch)
    work()
    solr.remove(solr.core)
    with pytest.raises(SearchUnavailable):
        solr.marker(source.number)
    for _ in range(2):  # the first finds it gone
        look(watch, compare=True)
    work()
    assert complete(solr, source)


def test_an_index_emptied_while_a_job_writes_is_filled_again(
    watch, work, solr, source, monkeypatch
):
    source.edit(new_concept("A"), new_concept("B"))
    look(watch)
    work()
    solr.commit()
    source.edit(new_concept("C"))
    write = solr.write

    def emptied_before(documents, marker=None):
        solr._write.delete(q="*:*", commit=True)
        monkeypatch.undo()
        return write(documents, marker)

    monkeypatch.setattr(solr, "write", emptied_before)
    look(watch)
    work()
    assert solr.marker(source.number) is None
    look(watch, compare=True)
    work()
    assert complete(solr, source)


@pytest.mark.parametrize("strange", ["commit", "store", "rev"])
def test_a_marker_of_another_history_is_noticed(watch, work, solr, source, strange):
    source.edit(new_concept("A"))
    look(watch)
    work()
    source.edit(new_concept("B"))
    identity = source.store.index_notes.identity()
    marker = {
        "repo": source.number,
        "rev": source.rev,
        "commit": source.store.change_log.commit(source.number, source.rev),
        "store": identity,
    }
    solr.write([], Marker(**{**marker, strange: 9 if strange == "rev" else "other"}))
    solr.commit()
    look(watch, compare=True)
    work()
    assert complete(solr, source)


def test_a_database_put_back_from_a_backup_is_followed(watch, work, solr, source):
    source.edit(new_concept("A"))
    database = source.store.database
    backup = {name: list(getattr(database, name).find()) for name in ("repos", "rows", "revisions")}
    source.edit(new_concept("B", "Lost in the fire"))
    look(watch)
    work()
    assert complete(solr, source)
    for name, documents in backup.items():
        getattr(database, name).delete_many({})
        getattr(database, name).insert_many(documents)
    source.edit(new_concept("C"))
    assert source.rev == 2
    look(watch, compare=True)
    work()
    assert complete(solr, source)
    assert found(solr, source, "fire") == []


@pytest.mark.parametrize("commits", [0, 1])
def test_a_database_put_back_is_noticed_also_by_who_knew_the_marker(
    watch, work, solr, source, commits
):
    source.edit(new_concept("A"))
    database = source.store.database
    backup = {name: list(getattr(database, name).find()) for name in ("repos", "rows", "revisions")}
    source.edit(new_concept("B", "Lost in the fire"))
    look(watch)
    work()
    solr.commit()
    look(watch, compare=True)  # finds the marker right
    for name, documents in backup.items():
        getattr(database, name).delete_many({})
        getattr(database, name).insert_many(documents)
    for _ in range(commits):
        source.edit(new_concept("C"))  # the same revision number once more
    look(watch, compare=True)
    work()
    assert complete(solr, source)


def test_a_deleted_repository_leaves_the_index(watch, work, solr, source):
    source.edit(new_concept("A"))
    look(watch)
    work()
    solr.commit()
    source.store.repos.delete(source.number, lambda session, head: None)
    look(watch, compare=True)
    solr.commit()
    assert (solr.count(source.number), solr.markers()) == (0, {})


def test_work_on_a_large_repository_ends_where_others_wait(
    watch, queue, work, solr, source, other, monkeypatch
):
    monkeypatch.setattr(jobs_index, "SLICE_ROWS", 1)
    monkeypatch.setattr("search.follow.ROWS", 2)
    for number in range(4):
        source.edit(new_concept(f"C{number}"), new_concept(f"D{number}"))
    other.edit(new_concept("E"))
    look(watch, compare=True)
    work()
    assert complete(solr, other)
    assert not complete(solr, source)
    solr.commit()
    look(watch, compare=True)
    work()  # nobody waits: it comes to its end
    assert complete(solr, source)


def test_two_jobs_of_one_repository_do_not_do_the_same_work(watch, services, solr, source):
    source.edit(new_concept("A"))
    with services.store.leases.hold(lease_of(source.number), jobs_index.LEASE):
        index_repository(source.number)
        assert held(solr, source) == []
    index_repository(source.number)
    assert complete(solr, source)


def test_an_engine_that_is_away_is_told_once_and_followed_when_it_is_back(
    watch, work, solr, source, caplog, monkeypatch
):
    source.edit(new_concept("A"))
    with monkeypatch.context() as patch, caplog.at_level(logging.INFO, "jobs.index"):
        for http in (solr._write, solr._lookup):
            patch.setattr(http, "url", "http://127.0.0.1:9/solr/none")
        patch.setattr(solr, "url", "http://127.0.0.1:9/solr")
        for _ in range(3):
            look(watch, compare=True)
        index_repository(source.number)
    assert [record.message for record in caplog.records] == ["indexing waits", "index job stopped"]
    assert source.store.index_notes.lag()["away"]
    look(watch)
    work()
    assert complete(solr, source)


def test_the_lag_is_reported(watch, work, solr, source, other):
    source.edit(new_concept("A"))
    source.edit(new_concept("B"))
    look(watch, compare=True)
    lag = source.store.index_notes.lag()
    assert (lag["repositories"], lag["revisions"], lag["away"]) == (2, 2, False)
    assert 0 < lag["seconds"] < 60
    work()
    solr.commit()
    look(watch, compare=True)
    lag = source.store.index_notes.lag()
    assert (lag["repositories"], lag["revisions"], lag["seconds"]) == (0, 0, 0.0)


def test_a_refused_document_holds_nothing_up(watch, work, solr, source, monkeypatch):
    original = jobs_index.Follower.posts

    def with_a_bad_one(self, head, after):
        for post in original(self, head, after):
            for document in post.documents:
                if document["url"] == source.concept_url("A"):
                    document["to_rev"] = "soon"
            yield post

    monkeypatch.setattr(jobs_index.Follower, "posts", with_a_bad_one)
    source.edit(new_concept("A"), new_concept("B"))
    look(watch)
    work()
    solr.commit()
    assert solr.marker(source.number).rev == 1
    assert [row[0] for row in held(solr, source)] == [source.concept_url("B")]
    assert source.store.index_notes.refused(source.number) == {
        f"{source.number}/1/{source.concept_url('A')}"
    }


def test_repositories_made_again_under_an_old_name_share_nothing(watch, work, solr, source, store):
    source.edit(new_concept("A"))
    look(watch)
    work()
    store.repos.delete(source.number, lambda session, head: None)
    again = Source(store)
    again.edit(new_concept("B"))
    solr.commit()
    look(watch, compare=True)
    work()
    assert complete(solr, again)
    assert held(solr, source) == []
