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
        "display_name": "Fever",
        "concept_class": "Test",
        "datatype": "None",
        "names": [{"locale": "en"}],
        "extras": {},
    }
    return fields.concept_header({**value, **given}, "Amina")


def mapping(**given):
    value = {
        "from_concept_url": f"{SOURCE}concepts/1007/",
        "from_concept_name": "Serum Glucose",
        "map_type": "SAME-AS",
        "to": "/users/amina/sources/REFX/concepts/G/22/",
        "to_concept_code": "G/22",
        "to_concept_name": None,
        "own_to_name": False,
        "extras": None,
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


def test_a_header_says_how_values_were_written_only_where_folding_changed_them():
    assert concept(concept_class="test", datatype="none").get("written") is None
    header = concept(names=[{"locale": "pt-BR"}, {"locale": "en"}, {"locale": "en"}])
    assert (header["locales"], header["by"]) == (["en", "pt-br"], "amina")
    assert header["written"] == {
        "concept_class": "Test",
        "datatype": "None",
        "locales": ["en", "pt-BR"],
    }


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
