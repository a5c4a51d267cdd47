"""Lines that wait for other lines, so that the order of a file does not matter (contract 16)."""

import random

import pytest

from oclapi.imports import run
from tests.imports.conftest import LAB, REF, START, concept, counted, mapping

pytestmark = pytest.mark.servers


def version(name, source="LAB"):
    return {"type": "Source Version", "owner": "NorthLab", "source": source, "id": name}


def numbers(lab):
    """The lines of the results, in their order."""
    return [result["line"] for result in lab.results]


def test_a_mapping_may_come_before_its_concepts(lab):
    given = [mapping(1, 2), mapping(2, 1), concept(1), concept(2)]
    assert lab.outcomes(*given) == ["created"] * 4
    assert numbers(lab) == [1, 2, 3, 4]
    assert lab.report.message == "4 processed: 4 created"
    assert lab.report.as_json()["total"] == 4


def test_a_line_whose_concept_does_not_come_is_refused_once(lab):
    assert lab.outcomes(mapping(1, 2), concept(1), concept(3)) == ["failed", "created", "created"]
    assert numbers(lab) == [1, 2, 3]
    assert lab.results[0]["errors"] == {"to_concept_url": [f"concept {LAB}concepts/2/ not found"]}
    assert (lab.report.processed, lab.report.refused, lab.report.waiting) == (3, 1, 0)


def test_items_may_come_before_what_contains_them(imports):
    given = [concept(1), mapping(1, 2), START[1], concept(2), START[0], START[2]]
    assert imports.outcomes(*given) == ["created"] * 6
    assert sorted(row["id"] for row in imports.rows() if row["type"] == "Concept") == ["1", "2"]


def test_a_version_contains_what_the_lines_before_it_complete(lab):
    given = [mapping(1, 2), mapping(1, 3), concept(1), concept(2), version("v1"), concept(3)]
    assert lab.outcomes(*given) == ["created"] * 6
    repo = lab.store.repos.by_url(LAB)
    v1 = lab.store.versions.by_id(repo.number, "v1")
    assert (v1.counts.active_concepts, v1.counts.active_mappings) == (2, 1)
    assert (repo.counts.active_concepts, repo.counts.active_mappings) == (3, 2)


def test_a_version_of_a_source_that_comes_later_waits_behind_the_lines_before_it(imports):
    given = [START[0], mapping(1, 2), concept(1), version("v1"), concept(2), START[1]]
    assert imports.outcomes(*given) == ["created"] * 6
    repo = imports.store.repos.by_url(LAB)
    v1 = imports.store.versions.by_id(repo.number, "v1")
    assert (v1.counts.active_concepts, v1.counts.active_mappings) == (2, 1)


def test_later_lines_for_an_item_wait_behind_it(lab):
    first, second = (mapping(1, 2, id="m1", sort_weight=weight) for weight in (1, 2))
    assert lab.outcomes(first, second, concept(1), concept(2)) == [
        "created",
        "updated",
        "created",
        "created",
    ]
    assert [row["sort_weight"] for row in lab.rows() if row["type"] == "Mapping"] == [2]


def test_a_line_waits_for_a_name_that_another_concept_gives_up(lab):
    lab.run({**START[1], "custom_validation_schema": "OpenMRS"})
    names = [{"name": "Fever", "locale": "en", "name_type": "FULLY_SPECIFIED"}]
    assert lab.outcomes(concept(1, names=names)) == ["created"]
    assert lab.outcomes(concept(2, names=names)) == ["failed"]
    assert lab.outcomes(concept(2, names=names), concept(1)) == ["created", "updated"]


def test_a_line_waits_for_a_relation_that_another_mapping_gives_up(lab):
    lab.run(concept(1), concept(2), concept(3), mapping(1, 2, id="a"), mapping(1, 3, id="b"))
    assert lab.outcomes(mapping(1, 3, id="a"), mapping(2, 3, id="b")) == ["updated", "updated"]


def test_the_order_of_the_lines_does_not_matter(imports):
    """Sources, concepts and mappings in many orders give the same content."""
    lines = [
        *START,
        *(concept(number) for number in range(6)),
        *(concept(number, REF) for number in range(3)),
        *(mapping(number, (number + 1) % 6, id=f"m{number}") for number in range(6)),
        *(mapping(number, number, target=REF, id=f"r{number}") for number in range(3)),
    ]

    def content():
        return sorted(
            (row["url"], row.get("display_name"), row.get("to_concept_name"))
            for source in (LAB, REF)
            for row in imports.rows(source)
        )

    imports.run(*lines)
    expected = content()
    deleted = [{**line, "__action": "DELETE"} for line in START[1:]]
    for seed in range(12):
        assert imports.outcomes(*deleted) == ["deleted"] * 2
        random.Random(seed).shuffle(lines)
        imports.run(*lines)
        assert counted(imports.results) in (
            {"created": len(lines)},
            {"created": len(lines) - 1, "unchanged": 1},  # the organisation
        )
        assert numbers(imports) == list(range(1, len(lines) + 1))
        assert content() == expected


class Killed(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("stop_after", range(1, 9))
def test_an_import_that_was_killed_continues_with_the_lines_that_wait(lab, monkeypatch, stop_after):
    monkeypatch.setattr(run, "BATCH_ROWS", 2)
    given = [
        mapping(1, 2, id="a"),
        mapping(9, 1, id="c"),
        mapping(1, 3, id="b"),
        mapping(2, 3, id="d"),
        mapping(1, 2, id="a", sort_weight=7),
        concept(1),
        concept(2),
        concept(3),
        mapping(3, 1, id="e"),
    ]
    steps = []

    def count(report, results):
        steps.append(results)
        if len(steps) == stop_after:
            raise Killed

    with pytest.raises(Killed):
        lab.run(*given, task="again", on_progress=count)
    lab.run(*given, task="again")
    assert [result["outcome"] for result in lab.results] == [
        "created",
        "failed",
        "created",
        "created",
        "updated",
        *["created"] * 4,
    ]
    assert numbers(lab) == list(range(1, 10))
    assert lab.report.processed == 9
    weights = {row["id"]: row["sort_weight"] for row in lab.rows() if row["type"] == "Mapping"}
    assert weights == {"a": 7, "b": None, "d": None, "e": None}
    assert lab.store.tasks.waiting("again") == set()


def test_many_lines_wait(lab):
    count = 3000
    given = [
        *(mapping(number, number + 1) for number in range(count)),
        *(concept(number) for number in range(count)),
    ]
    lab.run(*given)
    assert lab.report.counts == {"created": 2 * count - 1, "failed": 1}
    assert numbers(lab) == list(range(1, 2 * count + 1))
