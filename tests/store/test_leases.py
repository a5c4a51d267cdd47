"""Work that one process at a time does."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

pytestmark = pytest.mark.servers

LIFE = timedelta(seconds=30)


def now():
    return datetime.now(UTC)


def test_who_comes_second_does_not_get_it(store):
    with store.leases.hold("work", LIFE) as first, store.leases.hold("work", LIFE) as second:
        assert (first, second) == (True, False)
        assert store.leases.taken("work", now())
    assert not store.leases.taken("work", now())


def test_it_is_free_again_after_a_failure(store):
    with pytest.raises(ZeroDivisionError), store.leases.hold("work", LIFE):
        raise ZeroDivisionError
    with store.leases.hold("work", LIFE) as again:
        assert again


def test_it_is_held_for_as_long_as_the_work_takes(store):
    with store.leases.hold("work", timedelta(milliseconds=300)):
        first = store.database.leases.find_one({"_id": "work"})["until"]
        end = now() + timedelta(seconds=20)
        while store.database.leases.find_one({"_id": "work"})["until"] <= first + LIFE / 100:
            assert now() < end, "it was not renewed"
            threading.Event().wait(0.02)


def test_it_ends_some_time_after_its_holder_was_killed(store):
    store.leases.take("work", "killed", LIFE, now() - LIFE)
    with store.leases.hold("work", LIFE) as taken:
        assert taken


def test_leases_are_found_by_the_beginning_of_their_names(store):
    with store.leases.hold("index-12", LIFE):
        assert store.leases.any_taken("index-", now())
        assert not store.leases.any_taken("export-", now())
        assert not store.leases.taken("index-1", now())
