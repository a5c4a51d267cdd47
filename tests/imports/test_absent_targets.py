"""Mappings whose targets are not here, and their export (contract 12.1)."""

import pytest

from oclapi import jsonio
from oclapi.model import Selection
from tests.imports.conftest import LAB, REF, concept, mapping

pytestmark = pytest.mark.servers


def line(code, **fields):
    """Return a line as an export has it: the target by URL, by source and code, and by name."""
    whole = {"to_source_url": REF, "to_concept_code": code, "to_concept_name": f"Concept {code}"}
    return mapping(1, code, target=REF, **whole, **fields)


def exported(lab):
    """Return the targets in an export of the mappings."""
    repo = lab.store.repos.by_url(LAB)
    found = lab.store.rows.bodies(repo.revision, Selection("mapping"))
    return {
        body["to_concept_code"]: (body["to_concept_url"], body["to_concept_name"], body["version"])
        for body in map(jsonio.loads_own, found)
    }


def test_absent_targets_are_external_until_the_line_is_written_with_the_concept(lab):
    lab.run(concept(1), concept("here", source=REF))
    lines = [line("here"), line("later"), line("never")]
    here = (f"{REF}concepts/here/", "Concept here", "1")

    assert lab.outcomes(*lines) == ["created"] * 3
    assert exported(lab) == {
        "here": here,
        "later": (None, "Concept later", "1"),
        "never": (None, "Concept never", "1"),
    }
    assert lab.outcomes(*lines) == ["unchanged"] * 3

    lab.run(concept("later", source=REF))
    assert lab.outcomes(*lines) == ["unchanged", "updated", "unchanged"]
    assert exported(lab) == {
        "here": here,
        "later": (f"{REF}concepts/later/", "Concept later", "2"),
        "never": (None, "Concept never", "1"),
    }


def test_a_target_in_a_later_line_of_the_file_is_internal(lab):
    later = concept("later", source=REF)
    outcomes = lab.outcomes(line("later"), line("never"), concept(1), later)
    assert outcomes == ["created"] * 4
    assert exported(lab) == {
        "later": (f"{REF}concepts/later/", "Concept later", "1"),
        "never": (None, "Concept never", "1"),
    }


def test_a_file_with_an_internal_and_an_external_line_for_a_code_has_one_mapping(lab):
    lab.run(concept(1))
    external = {**line("Z"), "to_concept_url": None}
    assert lab.outcomes(line("Z"), external, line("Z", map_type="NARROWER-THAN")) == [
        "created",
        "unchanged",
        "created",
    ]


def test_a_line_whose_url_and_code_name_different_concepts_is_refused(lab):
    lab.run(concept(1))
    assert lab.outcomes({**line("Z"), "to_concept_code": "Y"}) == ["failed"]
    assert lab.results[0]["errors"] == {
        "__all__": [
            "to_concept_url and to_source_url with to_concept_code name different concepts; "
            "give one of the two"
        ]
    }


def test_the_mappings_of_a_concepts_line_may_have_absent_targets(lab):
    inner = {name: value for name, value in line("Z").items() if name not in ("type", "source_url")}
    assert lab.outcomes(concept(1, mappings=[inner])) == ["created"]
    assert exported(lab) == {"Z": (None, "Concept Z", "1")}


def test_a_line_may_start_from_a_concept_whose_own_mapping_has_an_absent_target(lab):
    """That concept comes only when absent targets are accepted, and the line waits for it."""
    inside = {key: value for key, value in line("99").items() if key not in ("type", "source_url")}
    inside["from_concept_url"] = f"{LAB}concepts/5/"
    given = [mapping(5, 6), concept(5, mappings=[inside]), concept(6)]
    assert lab.outcomes(*given) == ["created"] * 3
