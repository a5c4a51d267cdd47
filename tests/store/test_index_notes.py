"""What the store remembers about the search index."""

from datetime import UTC, datetime, timedelta

import pytest

pytestmark = pytest.mark.servers

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=30)


def test_emptying_a_copy_ends_the_turn_of_those_who_write_to_it(store):
    notes = store.index_notes
    mine, other = notes.generation(1, NOW), notes.generation(2, NOW)
    notes.next_generation(1)
    assert notes.generation(1, NOW) != mine
    assert notes.generation(2, NOW) == other


def test_replacing_the_whole_index_ends_every_generation(store):
    before = [store.index_notes.generation(number, NOW) for number in (1, 2)]
    store.index_notes.next_generation(None)
    assert all(
        store.index_notes.generation(number, NOW) != generation
        for number, generation in zip((1, 2), before, strict=True)
    )


def test_who_holds_a_copy_keeps_the_others_away_for_a_while(store):
    notes = store.index_notes
    notes.lock(1, LATER)
    assert (
        notes.generation(1, NOW).locked,
        notes.generation(1, LATER).locked,
        notes.generation(2, NOW).locked,
    ) == (
        True,
        False,
        False,
    )
    notes.lock(None, LATER)
    assert notes.generation(2, NOW).locked
    notes.lock(None, NOW)
    assert not notes.generation(2, NOW).locked


def test_refused_documents_are_remembered_until_they_are_taken(store):
    notes = store.index_notes
    notes.refuse(1, ["a", "b", "c"], NOW)
    notes.refuse(1, ["a"], LATER)
    notes.refuse(2, ["d"], NOW)
    assert (notes.refused(1), notes.refusals()) == ({"a", "b", "c"}, 4)
    notes.accept(1, ["b"])
    assert notes.refused(1) == {"a", "c"}
    notes.forget(1)
    assert (notes.refused(1), notes.refused(2)) == (set(), {"d"})


def test_the_lag_is_what_was_told_last(store):
    assert store.index_notes.lag() is None
    store.index_notes.set_lag({"revisions": 3})
    store.index_notes.set_lag({"revisions": 4})
    assert store.index_notes.lag() == {"revisions": 4}
