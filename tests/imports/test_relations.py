"""Lines for one relation that disagree, and values that are read as absent or as texts."""

import pytest

from tests.imports.conftest import LAB, concept, counted, mapping

pytestmark = pytest.mark.servers


@pytest.fixture
def three(lab):
    lab.run(concept(1), concept(2), concept(3))
    return lab


@pytest.mark.parametrize("field", ["external_id", "id"])
def test_two_lines_for_one_relation_that_differ_are_refused_in_every_run(three, field):
    given = [
        mapping(1, 2, **{field: "a"}),
        mapping(1, 2),
        mapping(1, 2, **{field: "b"}),
        mapping(1, 2, **{field: "a"}, sort_weight=1),
    ]
    told = {"__all__": [f"line 1 is for the same relation, with another {field}"]}
    assert three.outcomes(*given) == ["created", "unchanged", "failed", "updated"]
    assert three.results[2]["errors"] == told
    assert three.outcomes(*given[:3], given[3] | {"sort_weight": 2}) == [
        "unchanged",
        "unchanged",
        "failed",
        "updated",
    ]
    assert three.results[2]["errors"] == told


def test_the_mappings_of_concepts_count_as_lines(three):
    inside = {"map_type": "SAME-AS", "to_concept_url": f"{LAB}concepts/2/", "external_id": "b"}
    assert three.outcomes(mapping(1, 2, external_id="a"), concept(1, mappings=[inside])) == [
        "created",
        "failed",
    ]


def test_a_relation_may_be_written_again_after_its_deletion(three):
    deleted = mapping(1, 2, id="a", __action="DELETE")
    assert three.outcomes(mapping(1, 2, id="a", external_id="x"), deleted) == ["created", "deleted"]
    again = mapping(1, 2, id="a", external_id="y", retired=False)
    assert three.outcomes(mapping(1, 2, id="a", external_id="x"), deleted, again) == [
        "unchanged",
        "unchanged",
        "updated",
    ]


def test_a_continued_import_refuses_the_same_lines(three):
    given = [mapping(1, 2, external_id="a"), concept(4), mapping(1, 2, external_id="b")]

    def stop(report, results):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        three.run(*given, task="again", on_progress=stop)
    three.run(*given, task="again")
    assert counted(three.results) == {"created": 2, "failed": 1}
    assert three.report.continued > 0


def test_a_line_with_an_id_for_a_relation_that_has_another_is_refused(three):
    assert three.outcomes(mapping(1, 2, id="a")) == ["created"]
    assert three.outcomes(mapping(1, 2, id="b")) == ["failed"]
    assert three.results[0]["errors"] == {
        "id": [f"this relation has another mapping: {LAB}mappings/a/"]
    }
    # It waits: a later line may move that mapping.
    assert three.outcomes(mapping(1, 2, id="b"), mapping(1, 3, id="a")) == ["created", "updated"]


def test_integers_are_read_as_texts_where_texts_are_meant(three):
    names = [{"name": "Four", "locale": "en", "external_id": 44}]
    described = [{"description": "Four", "locale": "en", "external_id": 45}]
    given = {**concept(4, names=names, descriptions=described, external_id=4), "id": 4}
    target = {"to_source_url": LAB, "to_concept_code": 99}
    external = {**mapping(4, 0), **target, "to_concept_url": None, "id": 7, "external_id": 8}
    inside = {"map_type": "NARROWER-THAN", **target, "external_id": 9}
    assert three.outcomes(given, external, concept(1, mappings=[inside])) == [
        "created",
        "created",
        "updated",
    ]
    rows = {row["external_id"]: row for row in three.rows() if row["external_id"]}
    assert sorted(rows) == ["4", "8", "9"]
    assert rows["4"]["id"] == "4"
    assert rows["4"]["names"][0]["external_id"] == "44"
    assert rows["4"]["descriptions"][0]["external_id"] == "45"
    assert (rows["8"]["id"], rows["8"]["to_concept_code"]) == ("7", "99")
    assert rows["9"]["to_concept_code"] == "99"


@pytest.mark.parametrize("blank", [None, "", " "])
def test_null_and_blank_say_nothing(three, blank):
    named = {"owner": blank, "owner_url": blank, "source": blank, "owner_type": blank}
    assert three.outcomes(
        {**concept(5), **named, "__action": blank},
        {**mapping(1, 2), **named, "id": blank},
        {**concept(6), "type": blank},
        type="Concept",
    ) == ["created", "created", "created"]
    assert three.outcomes({**concept(7), "id": blank}) == ["invalid"]
    assert three.outcomes({**concept(7), "type": blank}) == ["invalid"]
    by_owner = {"owner": "NorthLab", "source": "LAB", "source_url": blank}
    assert three.outcomes({**concept(8), **by_owner}) == ["created"]
