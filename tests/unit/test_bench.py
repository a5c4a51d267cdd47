"""Benchmarks: what they measure on, and that each of them runs."""

import hashlib
import itertools
import json

from bench import data

DIGEST = "257b2745f57c976944b132f1a4d10eab9a54b74da5bc43c8610beb3a86e2ed18"


def read(concepts, **how):
    return [json.loads(line) for line in data.lines(concepts, **how)]


def of_type(lines, kind):
    return [line for line in lines if line["type"] == kind]


def test_made_up_data_has_the_same_bytes_everywhere():
    digest = hashlib.sha256(b"\n".join(data.lines(500)))
    assert digest.hexdigest() == DIGEST


def test_another_seed_gives_other_data():
    assert list(data.lines(20)) != list(data.lines(20, seed=2))


def test_made_up_data_has_the_shape_of_ciel():
    lines = read(2000)
    concepts, mappings = of_type(lines, "Concept"), of_type(lines, "Mapping")
    names = [len(concept["names"]) for concept in concepts]
    locales = [len({name["locale"] for name in concept["names"]}) for concept in concepts]
    internal = [mapping for mapping in mappings if "to_concept_url" in mapping]
    assert len(concepts) == 2000 and len(mappings) == 5000
    assert 7.8 < sum(names) / 2000 < 8.2
    assert 4.8 < sum(locales) / 2000 < 5.2
    assert 0.35 < len(internal) / 5000 < 0.45
    assert any(concept["descriptions"] for concept in concepts) and any(concept["extras"] for concept in concepts)


def test_no_made_up_mapping_repeats_another_or_points_to_its_own_concept():
    mappings = of_type(read(300), "Mapping")
    keys = [
        (one["from_concept_url"], one["map_type"], one.get("to_concept_url"), one.get("to_source_url"), one.get("to_concept_code"))
        for one in mappings
    ]
    assert len(set(keys)) == len(keys)
    assert all(one["from_concept_url"] != one.get("to_concept_url") for one in mappings)


def test_made_up_data_can_go_on_where_other_data_ended():
    first, second = read(10, places=False), read(10, first=11, places=False)
    ids = [concept["id"] for concept in of_type(first + second, "Concept")]
    assert ids == [str(number) for number in range(1, 21)]
    assert {one["from_concept_url"] for one in of_type(second, "Mapping")} == {data.concept_url("CIEL", number) for number in range(11, 21)}


def test_data_of_any_size_begins_at_once():
    assert len(list(itertools.islice(data.lines(10**9), 20))) == 20
