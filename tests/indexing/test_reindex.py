"""The index made again while it serves."""

import os
import subprocess
import sys
import threading
from datetime import UTC, datetime

import pytest

from oclapi.errors import IndexBusy, IndexIncomplete, NotFound, SearchBehind
from oclapi.model import Revision
from search import follow, rebuild
from search.base import Query, Scope, Span
from search.documents import document_id
from search.follow import Follower
from search.rebuild import NEXT, rebuild_all, rebuild_one
from tests.builders import until
from tests.editing.conftest import Source, change_concept, new_concept
from tests.indexing.conftest import complete, found, held
from tests.indexing.rebuilding import MOMENTS

pytestmark = [pytest.mark.servers, pytest.mark.solr]


@pytest.fixture
def filled(store, solr, source, other):
    """Two sources in an index that serves."""
    source.edit(*[new_concept(f"C{number}", f"Fever {number}") for number in range(5)])
    source.edit(change_concept("C1", retired=True), change_concept("C2", datatype="Text"))
    other.edit(new_concept("R1"))
    solr.ensure()
    for one in (source, other):
        Follower(store, solr).follow(one.number)
    solr.commit()
    return source


def lose(solr, source, concept):
    """Take a row out of the index behind everyone's back."""
    solr.drop([document_id(source.number, 1, source.concept_url(concept))])
    solr.commit()


def listed(solr, source):
    """The ids on the first page of the source's concepts. Raises SearchBehind."""
    with source.store.snapshot() as session:
        hits = solr.find(
            session,
            Scope((Span(Revision(source.number, source.rev)),)),
            Query("concept"),
            limit=100,
        )
    return sorted(key.url.split("/")[-2] for key in hits.keys)


def test_an_index_made_again_has_every_row(store, solr, filled, other):
    lose(solr, filled, "C3")
    rebuild_all(store, solr)
    assert complete(solr, filled) and complete(solr, other)
    assert not solr.exists(solr.core + NEXT)


def test_it_can_be_made_again_any_number_of_times(store, solr, filled):
    for _ in range(3):
        rebuild_all(store, solr)
    assert complete(solr, filled)


def test_an_index_is_made_where_there_was_none(store, solr, source):
    source.edit(new_concept("A"))
    rebuild_all(store, solr)
    assert complete(solr, source)


def test_readers_see_no_gap(store, solr, filled):
    expected, answers, ended = listed(solr, filled), [], threading.Event()

    def read():
        while not ended.is_set() or len(answers) < 100:
            answers.append(listed(solr, filled))

    reader = threading.Thread(target=read)
    reader.start()
    rebuild_all(store, solr)
    ended.set()
    reader.join()
    assert all(answer == expected for answer in answers)


def test_what_is_written_meanwhile_is_there_too(store, solr, filled, other, monkeypatch):
    edits = iter(
        [
            lambda: filled.edit(new_concept("D1")),
            lambda: other.edit(new_concept("D2")),
            lambda: new().edit(new_concept("N")),
        ]
    )

    def new():
        return Source(store, "NEW")

    monkeypatch.setattr(rebuild, "TOGETHER", 1)
    rebuild_all(store, solr, lambda rows: next(edits, lambda: None)())
    assert complete(solr, filled) and complete(solr, other)
    [made] = [head for head in store.change_log.heads() if head.url.endswith("/NEW/")]
    assert solr.marker(made.repo).rev == 1


def test_a_repository_deleted_meanwhile_is_not_there(store, solr, filled, other):
    def delete(rows):
        if store.repos.by_number(other.number):
            store.repos.delete(other.number, lambda session, head: None)

    rebuild_all(store, solr, delete)
    assert complete(solr, filled)
    assert (held(solr, other), solr.marker(other.number)) == ([], None)


def test_interrupted_the_old_index_goes_on_serving(store, solr, filled):
    def interrupt(rows):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild_all(store, solr, interrupt)
    assert complete(solr, filled)
    assert not solr.exists(solr.core + NEXT)
    rebuild_all(store, solr)


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_before(moment, store, solr, filled, prepared_mongo_url):
    command = [
        sys.executable,
        "-m",
        "tests.indexing.rebuilding",
        moment,
        prepared_mongo_url,
        solr.core,
    ]
    environ = {**os.environ, "SOLR_URL": solr.url}
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"reached\n"
        process.kill()
    assert complete(solr, filled)
    with pytest.raises(IndexBusy):
        rebuild_all(store, solr)
    # as it is half a minute later
    store.database.leases.update_one({"_id": "reindex"}, {"$set": {"until": datetime.now(UTC)}})
    until(lambda: store.leases.take("reindex", "test", rebuild.LEASE, datetime.now(UTC)))
    store.leases.release("reindex", "test")
    rebuild_all(store, solr)
    assert complete(solr, filled)
    assert not solr.exists(solr.core + NEXT)


def test_an_index_that_lacks_rows_is_not_put_into_use(store, solr, filled, monkeypatch):
    original = Follower.posts

    def with_a_gap(self, head, after):
        for post in original(self, head, after):
            yield follow.Post(post.documents[1:], post.reached)

    monkeypatch.setattr(Follower, "posts", with_a_gap)
    with pytest.raises(IndexIncomplete):
        rebuild_all(store, solr)
    assert complete(solr, filled)
    assert not solr.exists(solr.core + NEXT)


def test_one_repository_is_made_again(store, solr, filled, other):
    lose(solr, filled, "C3")
    rebuild_one(store, solr, filled.number)
    assert complete(solr, filled) and complete(solr, other)


def test_meanwhile_the_store_answers_and_index_jobs_leave_it_alone(
    store, solr, filled, monkeypatch
):
    seen = []
    monkeypatch.setattr(follow, "ROWS", 1)

    def beside(rows):
        if rows == 1:  # the first of the source's rows is on its way, its marker is not
            solr.commit()
            with pytest.raises(SearchBehind):
                listed(solr, filled)
            seen.append(Follower(store, solr).follow(filled.number))

    rebuild_one(store, solr, filled.number, beside)
    assert seen == [False]
    assert complete(solr, filled)


def test_making_a_repository_again_that_is_gone_says_so(store, solr, filled):
    store.repos.delete(filled.number, lambda session, head: None)
    with pytest.raises(NotFound):
        rebuild_one(store, solr, filled.number)


def test_words_are_found_before_and_after(store, solr, filled):
    before = found(solr, filled, "fever")
    rebuild_all(store, solr)
    assert sorted(found(solr, filled, "fever")) == sorted(before) != []
