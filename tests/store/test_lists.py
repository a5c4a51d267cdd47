"""Long reads: how much they keep in memory at once."""

import pytest

from oclapi.errors import NotFound
from oclapi.model import Selection
from oclapi.store.ranges import LIST, LIST_BYTES

CONCEPTS = Selection("concept", retired=None)


def lists(store, revision, **how):
    return list(store.rows.body_batches(revision, CONCEPTS, **how))


def test_a_long_read_hands_on_a_thousand_small_bodies_at_once(store, repo):
    revision = repo.commit(*(f"C{number:04}" for number in range(LIST + 1)))

    assert [len(part) for part in lists(store, revision)] == [LIST, 1]


def test_a_long_read_hands_on_no_more_bytes_at_once_than_it_may_and_the_last_body(store, repo):
    body = b"x" * (LIST_BYTES // 4)
    repo.commit("A", "B", "C", body=body)
    revision = repo.commit("D", "E", "F", body=body)

    assert lists(store, revision) == [[body] * 4, [body] * 2]


def test_a_long_read_that_is_cut_into_snapshots_shows_each_body_once(store, repo):
    repo.commit("A", "B", "C", body=b"1")
    revision = repo.commit("D", "E", body=b"2")

    shown = [body for part in lists(store, revision, size=2) for body in part]
    assert shown == [b"1"] * 3 + [b"2"] * 2


def test_a_long_read_breaks_off_when_its_repository_is_deleted_on_the_way(store, repo):
    revision = repo.commit("A", "B", "C", "D", "E")
    reading = store.rows.body_batches(revision, CONCEPTS, size=2)
    assert len(next(reading)) == 2

    store.repos.delete(repo.number, lambda session, head: None)
    list(store.repos.purge())

    with pytest.raises(NotFound):
        list(reading)


def test_nothing_is_read_of_a_repository_that_is_deleted(store, repo):
    revision = repo.commit("A")
    store.repos.delete(repo.number, lambda session, head: None)

    with pytest.raises(NotFound):
        lists(store, revision)
