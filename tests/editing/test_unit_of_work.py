"""The unit of work: removing entries, and reverting edits."""

import pytest

from oclapi.errors import Invalid, NotFound
from tests.editing.conftest import Source, change_concept, named, new_concept, new_mapping


def removed(concept):
    def edit(unit, repo):
        entry = unit.current(repo, "concept", f"{repo.url}concepts/{concept}/")
        unit.remove(entry)

    return edit


def test_a_removed_entry_does_not_exist_any_more(source):
    source.concept("A")
    source.concept("B")
    source.edit(removed("A"))
    assert [row.to_rev for row in source.rows(source.concept_url("A"))] == [3]
    assert source.document.counts.concepts == 1
    with pytest.raises(NotFound):
        source.change("A", datatype="Text")


def test_later_edits_of_the_same_commit_do_not_see_a_removed_entry(source):
    source.concept("A")
    source.concept("B")
    with pytest.raises(NotFound):
        source.edit(removed("A"), change_concept("A", datatype="Text"))
    with pytest.raises(Invalid):
        source.edit(removed("A"), new_mapping("m", "A", "B"))


def test_an_entry_can_be_created_again_after_its_removal(source):
    source.concept("A")
    source.edit(removed("A"))
    source.concept("A", datatype="Text")
    states = source.states(source.concept_url("A"))
    assert [state["datatype"] for state in states] == ["None", "Text"]


def test_an_entry_that_was_created_and_removed_in_one_commit_is_not_stored(source):
    source.edit(new_concept("A"), removed("A"))
    assert source.rows(source.concept_url("A")) == []


def test_a_name_is_free_again_after_the_removal_of_its_concept(store):
    strict = Source(store, "STRICT", custom_validation_schema="OpenMRS")
    names = [named("Glucose", name_type="FULLY_SPECIFIED")]
    strict.concept("A", names=names)
    with pytest.raises(Invalid):
        strict.concept("B", names=names)
    strict.edit(removed("A"), new_concept("B", names=names))
    assert strict.now(strict.concept_url("B"))["display_name"] == "Glucose"
