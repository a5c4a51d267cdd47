"""What Solr is given for a row."""

from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from xml.etree import ElementTree

import pytest

from oclapi.model import LIVE
from search import fields
from search.base import FILTERS
from search.documents import SCHEMA, Marker, document, marker_document
from tests.search.rows import SOURCE, concept, described, mapping

SCHEMA_FILE = Path(__file__).parents[2] / "config" / "solr" / "configset" / "conf" / "schema.xml"
OTHER = "/users/Amina/sources/REFX/"

FULL = concept(
    "A.1",
    "Serum glucose",
    "Glucosa",
    external_id="X:9",
    concept_class="Lab Test",
    rev=3,
    to=9,
    extras={"n": 1, "list": ["x"]},
    descriptions=[described("Sugar in blood, Crohn's")],
    retired=True,
)
MAPPED = mapping("m1", f"{SOURCE}concepts/A/", f"{OTHER}concepts/B-2/", external_id="E1")


def test_a_document_says_which_row_it_is():
    made = document(FULL, 8, SOURCE)
    place = {
        name: made[name]
        for name in ("id", "repo", "kind", "url", "from_rev", "to_rev", "at", "retired", "head")
    }
    assert place == {
        "id": f"7/3/{SOURCE}concepts/A.1/",
        "repo": "7",
        "kind": "concept",
        "url": f"{SOURCE}concepts/A.1/",
        "from_rev": 3,
        "to_rev": 9,
        "at": int(datetime(2026, 1, 1, 0, 0, 3, tzinfo=UTC).timestamp() * 1000),
        "retired": True,
        "head": 8,
    }
    assert document(MAPPED, 1, SOURCE)["to_rev"] == LIVE


def test_retired_names_and_descriptions_are_not_searched():
    names = [
        {"name": "Fever", "locale": "en", "external_id": "1", "retired": False},
        {"name": "Fevre", "locale": "fr", "external_id": "2", "retired": True},
    ]
    descriptions = [{**described("old"), "external_id": "3", "retired": True}]
    made = document(concept("A", names=names, descriptions=descriptions), 1, SOURCE)
    assert (made["q_names"], made["q_name"]) == (["fever"], ["fever"])
    assert (made["q_others"], made["is_locale"]) == (["a", "1"], ["en"])


def test_a_concept_is_filtered_by_tokens_and_counted_as_written():
    made = document(FULL, 8, SOURCE)
    assert (made["is_conceptClass"], made["facet_conceptClass"], made["is_datatype"]) == (
        "lab test",
        "Lab Test",
        "none",
    )
    assert (made["is_locale"], made["is_updatedBy"], made["sort_name"], made["sort_id"]) == (
        ["en", "es"],
        "amina",
        "serum glucose\tSerum glucose",
        "a.11\tA.1",
    )
    assert made["extras"] == fields.extras_tokens({"n": 1, "list": ["x"]})


def test_words_are_looked_for_in_codes_names_and_descriptions():
    made = document(FULL, 8, SOURCE)
    assert {
        name: value for name, value in made.items() if name[:2] == "q_" or name == "length"
    } == {
        "q_names": ["serum glucose", "glucosa"],
        "q_others": ["a 1", "x 9", "sugar in blood crohn s"],
        "q_code_words": ["a 1"],
        "q_name_words": ["serum glucose", "glucosa"],
        "q_code": ["a.1"],
        "q_name": ["serum glucose", "glucosa"],
        "length": 2,
    }


@pytest.mark.parametrize(
    "row", [FULL, MAPPED, concept("B", "é" * 300)], ids=["concept", "mapping", "long name"]
)
@pytest.mark.parametrize("repo_url", [SOURCE, "/orgs/NorthLab/collections/CORE/"])
def test_facets_are_those_of_the_built_in_search(row, repo_url):
    made = document(row, 8, repo_url)
    for name, values in fields.facet_values(row, repo_url).items():
        if name != "retired":
            found = made.get(f"facet_{name}", [])
            assert sorted([found] if isinstance(found, str) else found) == sorted(values), name


def test_a_mapping_is_found_by_what_it_maps():
    made = document(MAPPED, 8, SOURCE)
    assert made["is_fromConcept"] == [f"{SOURCE}concepts/A/".casefold(), "a", "start"]
    assert made["is_toConcept"] == [f"{OTHER}concepts/B-2/".casefold(), "b-2", "end"]
    assert (made["is_mapType"], made["facet_mapType"], made["is_toConceptOwnerType"]) == (
        "same-as",
        "SAME-AS",
        "user",
    )
    assert (made["q_code"], made["q_code_words"], made["q_others"]) == (
        ["m1", "a", "b-2"],
        ["m1", "a", "b 2"],
        ["m1", "a", "b 2", "e1"],
    )
    assert (made["q_name"], made["length"]) == (["start", "end"], 0)


@pytest.mark.parametrize("row", [FULL, MAPPED])
def test_the_schema_has_a_field_for_each_value(row):
    root = ElementTree.parse(SCHEMA_FILE).getroot()
    names = [field.get("name", "") for field in (*root.iter("field"), *root.iter("dynamicField"))]
    given = {*document(row, 1, "/orgs/O/collections/C/"), *marker_document(Marker(7, 1, "c", "s"))}
    assert [name for name in given if not any(fnmatchcase(name, form) for form in names)] == []
    assert root.get("name") == f"oclapi-{SCHEMA}"


def test_every_filter_of_a_concept_has_a_field():
    made = document(FULL, 1, "/orgs/O/collections/C/")
    assert {f"is_{name}" for name in FILTERS["concept"]} - {"is_user", "is_org"} <= set(made)


def test_no_term_of_a_document_is_longer_than_lucene_takes():
    long = "y" * 100_000
    row = concept(
        "A", long, concept_class=long, datatype=long, external_id=long, extras={"k": long}
    )
    made = document(row, 1, SOURCE)
    longest = {
        name: len(value.encode())
        for name, value in made.items()
        if isinstance(value, str) and name not in ("q_names", "q_others")
    }
    assert max(longest.values()) < 1000


def test_a_marker_belongs_to_one_store_and_one_schema():
    made = marker_document(Marker(7, 12, "abc", "store"))
    assert made == {
        "id": "marker/7",
        "repo": "7",
        "kind": "marker",
        "head": 12,
        "rev": 12,
        "commit": "abc",
        "store": f"store/{SCHEMA}",
    }
