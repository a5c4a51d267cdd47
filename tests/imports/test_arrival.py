"""Mappings without ids keep the order in which they came (contract 12.1)."""

import random

import pytest

from oclapi import jsonio
from oclapi.model import Selection
from oclapi.reading import mappings
from tests.imports.conftest import LAB, concept, mapping

pytestmark = pytest.mark.servers

ANSWERS = random.Random(15).sample(range(100, 1000), 10)  # not in the order of their codes
URL = f"{LAB}concepts/1/"


def answer(code, **fields):
    return mapping(1, code, map_type="Q-AND-A", **fields)


def codes(found):
    return [int(shown["to_concept_code"]) for shown in found]


def exported(lab):
    repo = lab.store.repos.by_url(LAB)
    bodies = lab.store.rows.bodies(repo.revision, Selection("mapping"))
    return codes(map(jsonio.loads_own, bodies))


def shown(lab):
    """Return the answers as each way of reading shows them under the concept."""
    store, revision = lab.store, lab.store.repos.by_url(LAB).revision
    options = mappings.MappingOptions()
    with store.snapshot() as session:
        total, page = mappings.page(store, session, revision, URL, options, limit=100)
        assert total == len(page)
        rest = mappings.page(store, session, revision, URL, options, limit=100, skip=3)[1]
        included = mappings.of_concepts(store, session, revision, [URL], options)[URL]
    batches = mappings.batches(store, revision, URL, options)
    streamed = [jsonio.loads_own(body) for batch in batches for body in batch]
    assert page == included == streamed
    assert rest == page[3:]
    return codes(page)


@pytest.fixture
def answered(lab):
    lab.run(*(concept(number) for number in (1, *ANSWERS)))
    return lab


def test_ten_answers_of_one_file_are_exported_listed_and_shown_as_they_came(answered):
    assert answered.outcomes(*map(answer, ANSWERS)) == ["created"] * 10
    assert exported(answered) == shown(answered) == ANSWERS


def test_answers_that_wait_for_their_concepts_keep_their_order(lab):
    lines = [*map(answer, ANSWERS), *(concept(number) for number in (*ANSWERS, 1))]
    assert lab.outcomes(*lines) == ["created"] * 21
    assert exported(lab) == shown(lab) == ANSWERS


def test_the_mappings_of_a_concepts_line_keep_their_order(answered):
    inner = [
        {"map_type": "Q-AND-A", "to_concept_url": f"{LAB}concepts/{code}/"} for code in ANSWERS
    ]
    assert answered.outcomes(concept(1, mappings=inner)) == ["updated"]
    assert exported(answered) == shown(answered) == ANSWERS


def test_answers_of_later_files_follow(answered):
    answered.run(*map(answer, ANSWERS[:5]))
    answered.run(*map(answer, ANSWERS[5:]))
    assert exported(answered) == shown(answered) == ANSWERS


def test_answers_with_weights_are_shown_by_them_and_those_without_come_last(answered):
    weights = dict(zip(ANSWERS, (3, None, 1.5, -2, 0, None, 10, 2, 2, 2**53 + 1), strict=True))
    answered.run(*(answer(code, sort_weight=weight) for code, weight in weights.items()))
    heavy = [code for code in ANSWERS if weights[code] is not None]
    light = [code for code in ANSWERS if weights[code] is None]
    assert shown(answered) == sorted(heavy, key=weights.__getitem__) + light
    assert exported(answered) == ANSWERS


def test_map_types_stay_together_and_a_change_keeps_the_place(answered):
    first, *others = ANSWERS
    answered.run(*map(answer, ANSWERS))
    answered.run(mapping(1, first, map_type="CONCEPT-SET"), answer(first, external_id="x"))
    assert shown(answered) == [first, first, *others]
    answered.run(answer(others[3], sort_weight=1))
    assert shown(answered) == [first, others[3], first, *others[:3], *others[4:]]
