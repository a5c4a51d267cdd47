"""What engines take from rows."""

from datetime import UTC, datetime

import pytest

from oclapi.model import LIVE, Row
from search import fields

SOURCE = "/orgs/NorthLab/sources/LABX/"


def row(kind, header, url=f"{SOURCE}concepts/A/", retired=False):
    return Row(1, kind, url, "A", 1, LIVE, datetime(2026, 1, 1, tzinfo=UTC), retired, b"", header)


def concept(**given):
    value = {
        "id": "A",
        "display_name": "Fever",
        "concept_class": "Test",
        "datatype": "None",
        "names": [{"locale": "en"}],
        "extras": {},
    }
    return fields.concept_header({**value, **given}, "Amina")


def mapping(**given):
    value = {
        "id": "m",
        "from_concept_url": f"{SOURCE}concepts/1007/",
        "from_concept_name": "Serum Glucose",
        "map_type": "SAME-AS",
        "to": "/users/amina/sources/REFX/concepts/G/22/",
        "to_concept_code": "G/22",
        "to_concept_name": None,
        "own_to_name": False,
        "sort_weight": None,
        "extras": None,
        "created_on": None,
    }
    return fields.mapping_header({**value, **given}, 3, "amina")


@pytest.mark.parametrize(
    ("one", "other"),
    [("Diagnosis", "DIAGNOSIS"), ("straße", "STRASSE"), ("ΣΊΣΥΦΟΣ", "σίσυφος"), ("en-GB", "EN-gb")],
)
def test_filters_ignore_case(one, other):
    assert fields.token(one) == fields.token(other)


def test_a_long_value_is_cut_and_still_equals_itself_only():
    long = "Ab" * 5000
    assert fields.token(long) == fields.token(long.upper())
    assert fields.token(long) != fields.token(long + "c")
    assert len(fields.token(long)) == fields.LONGEST
    assert fields.token(long).startswith("abab")


@pytest.mark.parametrize(
    "ordered",
    [
        pytest.param(["1", "2", "10", "999999999", "1000000000", "A1"], id="numbers by value"),
        pytest.param(["A1", "a1", "A2", "a2", "A10", "a10b", "B1"], id="without case, then exact"),
        pytest.param(["001", "01", "1", "002"], id="zeros in front"),
        pytest.param(["1.2.9", "1.2.10", "1.10.1"], id="numbers between dots"),
        pytest.param(["A", "A-1", "A0", "AB"], id="a text before its continuations"),
        pytest.param(["+", "1" * 254, "2" * 254, "9" * 255, "x"], id="numbers of 255 digits"),
        pytest.param(["HEM/9", "HEM/10", "hem/11"], id="slashes"),
    ],
)
def test_ids_sort_by_the_numbers_in_them_then_without_case_then_exactly(ordered):
    assert sorted(ordered, key=fields.id_key) == ordered
    assert sorted(ordered, key=lambda one: fields.id_key(one).encode()) == ordered


@pytest.mark.parametrize(
    "ordered",
    [
        pytest.param(["Eczema", "Édema", "edema b", "Œdeme", "oedemf"], id="accents, ligatures"),
        pytest.param(["strass", "Strasse", "Stra\u00dfe", "strasse", "strassf"], id="sharp s"),
        pytest.param(["e\u0301t", "\u00e9t", "eta"], id="form NFD and NFC"),
        pytest.param(["Fever", "Fever of origin", "Fever-like"], id="blanks before signs"),
        pytest.param(["Łódź", "lodza", "Zürich", "zurichs"], id="letters without decomposition"),
    ],
)
def test_names_sort_without_case_and_accents_then_exactly(ordered):
    assert sorted(ordered, key=fields.name_key) == ordered


def test_sort_keys_have_a_limited_length_and_tell_long_texts_apart():
    long = "7a" * 5000
    for key in (fields.id_key, fields.name_key):
        assert key(long) != key(long + "b")
        assert key(long) == key("7a" * 5000)
        assert len(key(long)) <= 3 * fields.KEY + 1
    assert fields.id_key("9" * 5000) != fields.id_key("9" * 5001)


def test_headers_hold_the_keys_that_sorts_need():
    assert (concept(id="A10")["sort_id"], concept()["name"]) == ("a210\tA10", "fever\tFever")
    header = mapping(id="m2")
    assert [header[name] for name in ("sort_id", "sort_from", "sort_to")] == [
        "m12\tm2",
        "41007\t1007",
        "g/222\tG/22",
    ]


def test_a_header_says_how_values_were_written_only_where_folding_changed_them():
    assert concept(concept_class="test", datatype="none").get("written") is None
    header = concept(names=[{"locale": "pt-BR"}, {"locale": "en"}, {"locale": "en"}])
    assert (header["locales"], header["by"]) == (["en", "pt-br"], "amina")
    assert header["written"] == {
        "concept_class": "Test",
        "datatype": "None",
        "locales": ["en", "pt-BR"],
    }


def test_a_retired_name_gives_a_concept_no_locale():
    header = concept(names=[{"locale": "de", "retired": True}, {"locale": "en", "retired": False}])
    assert header["locales"] == ["en"]


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        (("units",), "MMOL/L", True),
        (("a", "b"), "1", True),
        (("a", "c"), "true", True),
        (("a", "d"), "null", True),
        (("list",), "x", True),
        (("list",), "2.5", True),
        (("list", "deep"), "y", True),
        (("a__e",), "z", True),
        (("a", "e"), "z", True),
        (("", "_f"), "w", True),
        (("_", "f"), "w", True),
        (("", "", "", "g"), "v", True),
        (("a",), "1", False),
        (("b",), "1", False),
        (("units",), "mmol", False),
        (("empty",), "", False),
    ],
)
def test_extras_are_found_by_the_keys_that_lead_to_a_value(path, value, found):
    extras = {
        "units": "mmol/l",
        "a": {"b": 1, "c": True, "d": None},
        "list": ["x", 2.5, {"deep": "y"}],
        "a__e": "z",
        "empty": {},
        "_": {"f": "w"},
        "": {"": {"__g": "v"}},
    }
    assert (fields.extras_token(path, value) in fields.extras_tokens(extras)) is found
    assert (fields.fold(value) in fields.extras_values(extras, path)) is found
    assert concept(extras=extras)["extras"] == fields.extras_tokens(extras)


def test_rows_without_extras_keep_none():
    assert "extras" not in concept(extras={})
    assert "extras" not in mapping(extras=None)


def test_a_mapping_is_found_by_the_codes_and_names_at_its_ends():
    header = mapping()
    assert (header["from_is"], header["to_is"], header["type"]) == (
        ["1007", "serum glucose"],
        ["g/22"],
        "same-as",
    )


def test_facets_of_a_concept_are_as_written():
    found = fields.facet_values(row("concept", concept(), retired=True), SOURCE)
    assert found == {
        "conceptClass": ("Test",),
        "datatype": ("None",),
        "locale": ("en",),
        "retired": ("true",),
        "source": ("LABX",),
        "owner": ("NorthLab",),
        "ownerType": ("Organization",),
        "collection": (),
    }


def test_facets_of_a_mapping_name_both_ends():
    found = fields.facet_values(
        row("mapping", mapping(), f"{SOURCE}mappings/m/"), "/orgs/NorthLab/collections/CORE/"
    )
    assert found == {
        "mapType": ("SAME-AS",),
        "retired": ("false",),
        "source": ("LABX",),
        "owner": ("NorthLab",),
        "ownerType": ("Organization",),
        "collection": ("CORE",),
        "conceptSource": ("LABX", "REFX"),
        "fromConceptSource": ("LABX",),
        "toConceptSource": ("REFX",),
        "conceptOwner": ("NorthLab", "amina"),
        "fromConceptOwner": ("NorthLab",),
        "toConceptOwner": ("amina",),
        "conceptOwnerType": ("Organization", "User"),
        "fromConceptOwnerType": ("Organization",),
        "toConceptOwnerType": ("User",),
    }
