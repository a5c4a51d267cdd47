"""Keys of lines that nothing reads are named, so that nothing is lost in silence."""

import pytest

from oclapi.imports import keys
from oclapi.resources import shapes
from tests.imports.conftest import LAB, START, concept, mapping

SHAPES = {
    "User": shapes.User,
    "Organization": shapes.Org,
    "Source": shapes.Source,
    "Source Version": shapes.SourceVersion,
    "Concept": shapes.Concept,
    "Mapping": shapes.Mapping,
}


@pytest.mark.parametrize("kind", SHAPES)
def test_no_key_of_our_own_answers_is_named(kind):
    shape = SHAPES[kind]
    assert (
        keys.ignored(kind, dict.fromkeys(shape.__required_keys__ | shape.__optional_keys__, 1))
        == ()
    )


def test_no_key_of_our_own_names_and_descriptions_is_named():
    for part, shape in (("names", shapes.ConceptName), ("descriptions", shapes.ConceptDescription)):
        entry = dict.fromkeys(shape.__required_keys__ | shape.__optional_keys__, 1)
        assert keys.ignored("Concept", {part: [entry]}) == ()


def test_keys_inside_of_lists_are_named_with_the_list():
    given = {
        "zz": 1,
        "names": [{"name": "x", "checksum": "y"}, {"name": "x", "checksum": "z", "a": 0}, 5],
        "descriptions": {"not": "a list"},
        "mappings": [{"map_type": "x", "relation": "y", "nothing": None}],
    }
    assert keys.ignored("Concept", given) == (
        "zz",
        "names.a",
        "names.checksum",
        "mappings.relation",
    )


def test_few_and_short_keys_are_named():
    given = {f"key{number}" + "x" * 100: 1 for number in range(100)}
    named = keys.ignored("Mapping", given)
    assert len(named) == keys.MOST_NAMED
    assert {len(key) for key in named} == {keys.LONGEST}


@pytest.mark.servers
def test_results_and_the_report_name_the_keys(lab):
    given = [
        concept(1, checksums={"standard": "x"}, versions_url=f"{LAB}concepts/1/versions/"),
        concept(2, is_latest_version=True),
        mapping(1, 3, to_concept_class="Test", ignored_too="x"),
        concept(3, checksums={}, mapping=[], nothing=None),
        {**START[0], "logo": "x", "__action": "UPDATE"},
    ]
    lab.run(*given)
    assert [result.get("ignored") for result in lab.results] == [
        ["checksums", "versions_url"],
        None,
        ["to_concept_class", "ignored_too"],
        ["checksums", "mapping"],
        ["logo"],
    ]
    assert lab.report.as_json()["ignored"] == {
        "Concept": ["checksums", "versions_url", "mapping"],
        "Organization": ["logo"],
        "Mapping": ["to_concept_class", "ignored_too"],
    }
