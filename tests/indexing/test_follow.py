"""A copy of a repository that follows its log, whatever happens on the way."""

import random
import threading

import pytest

from oclapi.errors import NotFound, Overtaken, SearchBehind, SearchUnavailable
from oclapi.migration import migrate
from oclapi.model import Revision
from search import follow
from search.base import Filter, Query, Scope, Span
from search.documents import Marker
from search.follow import Follower
from tests.editing.conftest import change_concept, new_concept, new_mapping
from tests.indexing.conftest import complete
from tests.indexing.memory import stored

pytestmark = pytest.mark.servers


@pytest.fixture
def small_posts(monkeypatch):
    monkeypatch.setattr(follow, "ROWS", 3)


def concepts(*ids):
    return [new_concept(one) for one in ids]


def stray(source):
    return {
        "id": "stray",
        "repo": str(source.number),
        "url": "x",
        "from_rev": 1,
        "to_rev": 9,
        "retired": False,
        "head": 9,
    }


def right(store, index, source):
    """The copy has every row as it is, and the marker says so."""
    assert index.rows(source.number) == stored(store, source.number)
    marker = index.marker(source.number)
    assert (marker.rev, marker.commit) == (
        source.rev,
        store.change_log.commit(source.number, source.rev),
    )
    assert marker.store == store.index_notes.identity()


def test_a_copy_has_every_row_and_a_marker_behind_them(store, index, follower, source):
    source.edit(*concepts("A", "B"))
    source.edit(new_mapping("m", "A", "B"), change_concept("B", retired=True))
    assert follower.follow(source.number)
    right(store, index, source)
    assert index.writes == [(4, 2)]


def test_an_empty_repository_gets_its_marker(store, index, follower, source):
    assert follower.follow(source.number)
    right(store, index, source)


def test_a_copy_learns_only_what_changed(store, index, follower, source):
    source.edit(*concepts("A", "B", "C"))
    follower.follow(source.number)
    source.edit(change_concept("B", datatype="Text"))
    follower.follow(source.number)
    right(store, index, source)
    assert index.writes == [(3, 1), (2, 2)]
    follower.follow(source.number)
    assert len(index.writes) == 2


def test_posts_end_with_a_whole_revision(store, index, follower, source, small_posts):
    for ids in ("AB", "C", "D", "EF", "G"):
        source.edit(*concepts(*ids))
    follower.follow(source.number)
    right(store, index, source)
    assert index.writes == [(3, 2), (3, 4), (1, 5)]


def test_a_revision_too_large_for_a_post_has_its_marker_behind_its_last(
    store, index, follower, source, small_posts
):
    source.edit(*concepts("A"))
    source.edit(*concepts(*"BCDEFGHI"))
    source.edit(*concepts("J"))
    follower.follow(source.number)
    right(store, index, source)
    assert index.writes == [(1, 1), (3, None), (3, None), (3, 3)]


def test_a_post_is_cut_by_bytes_too(store, index, follower, source, monkeypatch):
    monkeypatch.setattr(follow, "BYTES", 2500)
    for one in "ABCD":
        source.edit(new_concept(one, "x" * 1000))
    follower.follow(source.number)
    right(store, index, source)
    assert len(index.writes) > 1


def test_work_ends_after_a_slice_and_the_next_one_goes_on(
    store, index, follower, source, small_posts
):
    source.edit(*concepts("A", "B", "C"))
    source.edit(*concepts(*"DEFGH"))
    source.edit(*concepts("I", "J"))
    assert not follower.follow(source.number, lambda sent: True)
    assert index.marker(source.number).rev == 1
    # the second revision is not cut
    assert not follower.follow(source.number, lambda sent: sent >= 3)
    assert index.marker(source.number).rev == 2
    assert follower.follow(source.number)
    right(store, index, source)


def test_a_head_that_moves_meanwhile_is_followed(store, index, follower, source):
    source.edit(*concepts("A"))
    more = iter([concepts("B"), concepts("C")])

    def commit(documents, marker):
        for edits in more:
            source.edit(*edits)
            break

    index.after_write = commit
    assert follower.follow(source.number)
    right(store, index, source)
    assert source.rev == 3


def test_any_steps_give_the_same_copy(store, index, follower, source, small_posts):
    chance = random.Random(4)
    there = set()
    for _ in range(30):
        chosen = chance.sample("ABCDEFGHIJ", chance.randint(1, 5))
        source.edit(
            *[
                change_concept(one, names=[{"name": f"n{chance.random()}", "locale": "en"}])
                if one in there
                else new_concept(one)
                for one in chosen
            ]
        )
        there |= set(chosen)
        if chance.random() < 0.4:
            limit = chance.randint(0, 12)
            follower.follow(source.number, lambda sent, limit=limit: sent >= limit)
    follower.follow(source.number)
    right(store, index, source)


class Killed(Exception):
    """Stands for the end of a process on some line."""


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("moment", ["before", "between", "after"])
def test_who_is_killed_on_the_way_leaves_what_the_next_puts_right(
    store, index, follower, source, small_posts, at, moment
):
    for ids in ("AB", "CDEFGHI", "J"):
        source.edit(*concepts(*ids))
    source.edit(change_concept("A", retired=True))

    def die(documents, marker):
        if len(index.writes) == at + (moment == "after"):
            if moment == "between":  # rows arrived, their marker did not
                index.documents |= {document["id"]: document for document in documents}
            raise Killed

    setattr(index, "after_write" if moment == "after" else "before_write", die)
    with pytest.raises(Killed):
        follower.follow(source.number)
    index.before_write = index.after_write = lambda documents, marker: None
    source.edit(change_concept("B", retired=True))
    Follower(store, index).follow(source.number)
    right(store, index, source)


def test_two_at_once_do_no_harm(store, index, follower, source, small_posts):
    for ids in ("AB", "CDE", "FG"):
        source.edit(*concepts(*ids))
    begun = []

    def other(documents, marker):
        if not begun:
            begun.append(True)
            source.edit(change_concept("A", retired=True))
            Follower(store, index).follow(source.number)

    index.before_write = other
    follower.follow(source.number)
    right(store, index, source)


def test_reading_goes_on_while_a_post_is_taken(
    store, index, follower, source, small_posts, monkeypatch
):
    for ids in ("ABC", "DEF"):
        source.edit(*concepts(*ids))
    made, original = [], follow.document
    ahead = threading.Event()

    def document(row, head, url):
        made.append(row.id)
        if len(made) == 6:
            ahead.set()
        return original(row, head, url)

    monkeypatch.setattr(follow, "document", document)
    index.before_write = lambda documents, marker: (
        ahead.wait(20) or pytest.fail("the next post was not made meanwhile")
    )
    assert follower.follow(source.number)


def test_a_refused_document_is_noted_and_the_marker_goes_on(store, index, follower, source):
    source.edit(*concepts("A", "B"))
    refused = f"{source.number}/1/{source.concept_url('A')}"
    index.refuses = {refused}
    assert follower.follow(source.number)
    assert (index.marker(source.number).rev, index.count(source.number)) == (1, 1)
    assert store.index_notes.refused(source.number) == {refused}


@pytest.mark.parametrize("field", ["commit", "store", "rev"])
def test_a_copy_of_another_history_is_begun_again(store, index, follower, source, field):
    source.edit(*concepts("A"))
    source.edit(*concepts("B"))
    follower.follow(source.number)
    good = index.marker(source.number)
    strange = {
        "repo": good.repo,
        "rev": good.rev,
        "commit": good.commit,
        "store": good.store,
        field: 7 if field == "rev" else "other",
    }
    index.marks[source.number] = Marker(**strange)
    index.documents["stray"] = stray(source)
    assert follower.follow(source.number)
    right(store, index, source)


def test_rows_without_a_marker_are_dropped_first(store, index, follower, source):
    index.documents["stray"] = stray(source)
    source.edit(*concepts("A"))
    follower.follow(source.number)
    right(store, index, source)


def test_an_emptied_index_is_filled_again(store, index, follower, source):
    source.edit(*concepts("A"))
    follower.follow(source.number)
    index.documents, index.marks = {}, {}
    follower.follow(source.number)
    right(store, index, source)


def test_a_deleted_repository_is_forgotten(store, index, follower, source):
    source.edit(*concepts("A"))
    follower.follow(source.number)
    store.repos.delete(source.number, lambda session, head: None)
    assert follower.follow(source.number)
    assert (index.documents, index.marks) == ({}, {})


def test_a_repository_deleted_meanwhile_leaves_nothing(store, index, follower, source, small_posts):
    source.edit(*concepts("A", "B", "C"))
    source.edit(*concepts("D"))
    index.before_write = lambda documents, marker: (
        len(index.writes) or store.repos.delete(source.number, lambda session, head: None)
    )
    with pytest.raises(NotFound):
        follower.follow(source.number)
    assert (index.documents, index.marks) == ({}, {})


@pytest.mark.parametrize("when", ["before_write", "after_write"])
def test_a_copy_emptied_beside_a_writer_gets_no_false_marker(store, index, follower, source, when):
    source.edit(*concepts("A"))
    follower.follow(source.number)
    source.edit(*concepts("B"))
    setattr(index, when, lambda documents, marker: Follower(store, index).forget(source.number))
    with pytest.raises(Overtaken):
        follower.follow(source.number)
    assert index.marker(source.number) is None
    index.before_write = index.after_write = lambda documents, marker: None
    follower.follow(source.number)
    right(store, index, source)


def test_an_index_put_in_place_of_another_beside_a_writer_gets_no_false_marker(
    store, index, follower, source
):
    source.edit(*concepts("A"))
    follower.follow(source.number)
    source.edit(*concepts("B"))

    def swap(documents, marker):
        store.index_notes.next_generation(None)
        index.documents, index.marks = {}, {}

    index.before_write = swap
    with pytest.raises(Overtaken):
        follower.follow(source.number)
    assert index.marker(source.number) is None


def test_who_heeds_leaves_a_held_copy_alone(store, index, follower, source):
    source.edit(*concepts("A"))
    far = source.document.updated_on.replace(year=2100)
    store.index_notes.lock(source.number, far)
    assert not follower.follow(source.number)
    assert index.writes == []
    assert Follower(store, index, respect_locks=False).follow(source.number)
    right(store, index, source)


def test_an_engine_that_is_away_ends_the_work(index, follower, source):
    source.edit(*concepts("A"))

    def away(documents, marker):
        raise SearchUnavailable("away")

    index.before_write = away
    with pytest.raises(SearchUnavailable):
        follower.follow(source.number)


def test_a_copy_is_followed_up_to_a_revision(store, index, source, follower):
    for name in "ABCD":
        source.edit(*concepts(name))
    assert not follower.follow(source.number, upto=2)
    assert index.marker(source.number).rev == 2
    assert not follower.follow(source.number, upto=2)
    assert follower.follow(source.number, upto=9)
    right(store, index, source)


@pytest.mark.parametrize("when", ["before_write", "after_write"])
@pytest.mark.parametrize("followed", [False, True])
def test_an_engine_emptied_beside_a_writer_gets_no_false_marker(
    store, index, follower, source, small_posts, when, followed
):
    for name in "ABCD":
        source.edit(*concepts(name))
    if followed:
        follower.follow(source.number)
        source.edit(*concepts("E"))
    else:
        source.edit(*concepts("E", "F"))

    def empty(documents, marker):
        if followed or index.writes:  # there was something
            index.documents, index.marks = {}, {}

    setattr(index, when, empty)
    with pytest.raises(Overtaken):
        follower.follow(source.number)
    assert index.marker(source.number) is None
    index.before_write = index.after_write = lambda documents, marker: None
    follower.follow(source.number)
    right(store, index, source)


@pytest.mark.solr
def test_after_a_migration_the_whole_index_is_filled_again(store, solr, source):
    """An older program had another class in the header, and so in the index."""
    source.edit(*concepts("A", "B"))
    solr.ensure()
    wrong = {"$set": {"concept_class": "wrong"}, "$unset": {"hash": ""}}
    store.database.rows.update_many({}, wrong)
    store.database.meta.delete_many({})
    follower = Follower(store, solr)
    assert follower.follow(source.number)
    assert complete(solr, source)
    assert of_class(solr, source, "Test") == []

    migrate(store)

    assert solr.marker(source.number).store != store.index_notes.identity()
    with pytest.raises(SearchBehind):
        of_class(solr, source, "Test")
    assert follower.follow(source.number)
    assert complete(solr, source)
    assert of_class(solr, source, "Test") == ["A", "B"]


def of_class(solr, source, name):
    """Return the ids of the concepts of that class that Solr has at the newest revision."""
    scope = Scope((Span(Revision(source.number, source.rev)),))
    query = Query("concept", filters=(Filter("conceptClass", (name,)),))
    with source.store.snapshot() as session:
        hits = solr.find(session, scope, query, limit=10)
    return sorted(key.url.split("/")[-2] for key in hits.keys)
