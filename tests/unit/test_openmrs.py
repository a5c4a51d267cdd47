"""The rules of the validation schema OpenMRS, without a store."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oclapi.editing import openmrs

UNCHECKED: openmrs.Lists = {}
LISTS: openmrs.Lists = {
    "Classes": frozenset({"Test"}),
    "Datatypes": frozenset({"None", "Numeric"}),
    "NameTypes": frozenset({"None", "Index Term"}),
    "DescriptionTypes": frozenset({"None", "Definition"}),
    "Locales": frozenset({"en", "sw"}),
}


def name(text, kind=None, locale="en", preferred=False):
    return {"name": text, "name_type": kind, "locale": locale, "locale_preferred": preferred}


def description(kind=None, locale="en"):
    return {"description": "Sugar", "description_type": kind, "locale": locale}


FULL = name("Serum glucose", "FULLY_SPECIFIED")


def concept(*names, **fields):
    return {
        "concept_class": "Test",
        "datatype": "Numeric",
        "descriptions": [],
        "retired": False,
        **fields,
        "names": list(names),
    }


@pytest.mark.parametrize(
    "names",
    [
        pytest.param([FULL], id="one fully specified name"),
        pytest.param(
            [name("a", "Fully Specified", preferred=True)], id="the other spelling, preferred"
        ),
        pytest.param(
            [FULL, name("b", "FULLY_SPECIFIED", "sw")], id="one fully specified name in each locale"
        ),
        pytest.param(
            [FULL, name("g", "SHORT"), name("g", "Short", "sw")], id="one short name in each locale"
        ),
        pytest.param([FULL, name("Serum glucose", "SHORT")], id="a short name like another name"),
        pytest.param(
            [FULL, name("Serum glucose", None, "sw")], id="the same name in another locale"
        ),
        pytest.param([FULL, name("serum glucose")], id="names that differ in case"),
        pytest.param(
            [FULL, name("a", "INDEX_TERM"), name("b", "Index Term"), name("c"), name("d")],
            id="many index terms and synonyms",
        ),
        pytest.param(
            [{**FULL, "locale_preferred": True}, name("b", None, "sw", True)],
            id="one preferred name in each locale",
        ),
    ],
)
def test_names_that_follow_the_rules_are_accepted(names):
    assert openmrs.concept_errors(concept(*names), UNCHECKED) == {}


@pytest.mark.parametrize(
    ("names", "text"),
    [
        pytest.param(
            [name("a"), name("b", "SHORT")],
            "at least one fully specified name is needed",
            id="none fully specified",
        ),
        pytest.param(
            [FULL, name("b", "Fully Specified")],
            "more than one fully specified name in the locale en",
            id="two fully specified",
        ),
        pytest.param(
            [FULL, name("b", "SHORT"), name("c", "Short")],
            "more than one short name in the locale en",
            id="two short ones",
        ),
        pytest.param(
            [name("a", "FULLY_SPECIFIED", preferred=True), name("b", preferred=True)],
            "more than one preferred name in the locale en",
            id="two preferred",
        ),
        pytest.param(
            [FULL, name("b", "SHORT", preferred=True)],
            "a short name or index term may not be preferred (locale en)",
            id="short",
        ),
        pytest.param(
            [FULL, name("b", "Index Term", preferred=True)],
            "a short name or index term may not be preferred (locale en)",
            id="index",
        ),
        pytest.param(
            [FULL, name("Serum glucose")],
            "more than one name 'Serum glucose' in the locale en",
            id="the same name twice",
        ),
        pytest.param(
            [FULL, name("x"), name("x", "INDEX_TERM"), name("x")],
            "more than one name 'x' in the locale en",
            id="one message for three",
        ),
    ],
)
def test_names_that_break_a_rule_are_refused(names, text):
    assert openmrs.concept_errors(concept(*names), UNCHECKED) == {"names": [text]}


def test_a_long_name_is_not_repeated_in_full():
    [text] = openmrs.concept_errors(concept(FULL, name("x" * 5000), name("x" * 5000)), UNCHECKED)[
        "names"
    ]
    assert len(text) < 150


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="all listed"),
        pytest.param({"datatype": ""}, id="an empty datatype is None"),
        pytest.param({"datatype": None}, id="no datatype is None"),
        pytest.param(
            {"descriptions": [description(), description("Definition", "sw"), description("")]},
            id="descriptions, with a type or none",
        ),
        pytest.param(
            {"descriptions": [description("SHORT"), description("Fully Specified")]},
            id="types that always pass",
        ),
    ],
)
def test_values_in_the_lists_are_accepted(fields):
    named = [
        FULL,
        name("a", "SHORT"),
        name("b", "Index Term"),
        name("c", "INDEX_TERM"),
        name("d", ""),
        name("e", None, "sw"),
    ]
    assert openmrs.concept_errors(concept(*named, **fields), LISTS) == {}


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        pytest.param(
            {"concept_class": "test"},
            {"concept_class": ["test is not in the list of concept classes"]},
            id="class",
        ),
        pytest.param(
            {"datatype": "N/A"},
            {
                "data_type": ["N/A is not in the list of datatypes"],
                "datatype": ["N/A is not in the list of datatypes"],
            },
            id="datatype, with both keys",
        ),
        pytest.param(
            {"descriptions": [description(), description("Essay", "xx")]},
            {
                "descriptions": [
                    "descriptions[1].description_type: Essay is not in the list of types",
                    "descriptions[1].locale: xx is not in the list of locales",
                ]
            },
            id="descriptions",
        ),
    ],
)
def test_values_that_are_not_in_the_lists_are_refused(fields, errors):
    assert openmrs.concept_errors(concept(FULL, **fields), LISTS) == errors


def test_errors_of_name_types_and_locales_contain_the_index_of_the_name():
    named = concept(FULL, name("a", "Nickname"), name("b", None, "xx"))
    assert openmrs.concept_errors(named, LISTS) == {
        "names": [
            "names[1].name_type: Nickname is not in the list of types",
            "names[2].locale: xx is not in the list of locales",
        ]
    }


@pytest.mark.parametrize(
    ("key", "list_name"),
    [("datatype", "Datatypes"), ("names", "NameTypes"), ("descriptions", "DescriptionTypes")],
)
def test_none_must_be_in_the_list_too(key, list_name):
    without = {**LISTS, list_name: frozenset({"Other"})}
    assert key in openmrs.concept_errors(
        concept(FULL, name("a"), datatype="", descriptions=[description()]), without
    )


@pytest.mark.parametrize("list_name", sorted(LISTS))
def test_a_list_that_does_not_exist_is_not_checked(list_name):
    wrong = concept(
        FULL,
        name(
            "b",
            "Nickname" if list_name == "NameTypes" else None,
            "xx" if list_name == "Locales" else "en",
        ),
        concept_class="Odd" if list_name == "Classes" else "Test",
        datatype="Odd" if list_name == "Datatypes" else "Numeric",
        descriptions=[description("Odd" if list_name == "DescriptionTypes" else None)],
    )
    assert openmrs.concept_errors(wrong, LISTS) != {}
    assert openmrs.concept_errors(wrong, {**LISTS, list_name: None}) == {}


@pytest.mark.parametrize(
    "kind", ["Concept Class", "Datatype", "NameType", "DescriptionType", "MapType", "Locale"]
)
def test_entries_of_lookup_lists_are_only_checked_for_the_rules_of_names(kind):
    odd = {"concept_class": kind, "datatype": "Odd", "descriptions": [description("Odd", "xx")]}
    assert (
        openmrs.concept_errors(
            concept(name("a", "Fully Specified", "xx"), name("b", "Odd"), **odd), LISTS
        )
        == {}
    )
    assert list(openmrs.concept_errors(concept(name("a"), **odd), LISTS)) == ["names"]


# Names that no other active concept may have


def in_conflict(one, other):
    """Return whether the store would find a conflict. It must be symmetric."""
    conflict = bool(set(openmrs.rivals(one)) & set(openmrs.claims(other)))
    assert conflict == bool(set(openmrs.rivals(other)) & set(openmrs.claims(one)))
    return conflict


@pytest.mark.parametrize(
    ("one", "other", "conflict"),
    [
        pytest.param(
            name("a", "FULLY_SPECIFIED"),
            name("a", "Fully Specified"),
            True,
            id="both fully specified",
        ),
        pytest.param(
            name("a", preferred=True), name("a", preferred=True), True, id="both preferred"
        ),
        pytest.param(
            name("a", "FULLY_SPECIFIED"), name("a"), True, id="fully specified against a synonym"
        ),
        pytest.param(
            name("a", preferred=True),
            name("a", "INDEX_TERM"),
            True,
            id="preferred against an index term",
        ),
        pytest.param(name("a"), name("a", "INDEX_TERM"), False, id="two that are neither"),
        pytest.param(
            name("a", "FULLY_SPECIFIED"), name("a", "SHORT"), False, id="against a short name"
        ),
        pytest.param(
            name("a", "FULLY_SPECIFIED"),
            name("a", "FULLY_SPECIFIED", "sw"),
            False,
            id="in another locale",
        ),
        pytest.param(
            name("a", "FULLY_SPECIFIED"), name("A", "FULLY_SPECIFIED"), False, id="in another case"
        ),
        pytest.param(
            name("nb", "FULLY_SPECIFIED", "e"),
            name("b", "FULLY_SPECIFIED", "en"),
            False,
            id="the same text split in another way",
        ),
    ],
)
def test_two_concepts_conflict_if_a_unique_name_of_one_is_a_name_of_the_other(one, other, conflict):
    assert in_conflict(concept(one), concept(name("z"), other)) is conflict


def test_a_retired_concept_conflicts_with_none():
    retired = concept(FULL, retired=True)
    assert openmrs.claims(retired) == openmrs.rivals(retired) == []
    assert not in_conflict(concept(FULL), retired)


NAMES = st.builds(
    name,
    st.sampled_from("ab"),
    st.sampled_from([None, "SHORT", "Short", "FULLY_SPECIFIED", "INDEX_TERM"]),
    st.sampled_from(["en", "sw"]),
    st.booleans(),
)


@given(st.lists(NAMES, max_size=4), st.lists(NAMES, max_size=4))
def test_conflicts_agree_with_a_direct_check_of_the_rule(ones, others):
    def keys(names):
        return {(n["locale"], n["name"]) for n in names if n["name_type"] not in ("SHORT", "Short")}

    def unique(names):
        return keys(
            n for n in names if n["name_type"] == "FULLY_SPECIFIED" or n["locale_preferred"]
        )

    expected = bool(unique(ones) & keys(others) or unique(others) & keys(ones))
    assert in_conflict(concept(*ones), concept(*others)) == expected


@given(st.lists(st.text(max_size=5), max_size=20))
def test_claims_are_sorted_unique_signed_64_bit_numbers(texts):
    claims = openmrs.claims(concept(*(name(text) for text in texts)))
    assert claims == sorted(set(claims))
    assert all(
        -(2**63) <= claim < 2**63
        for claim in (*claims, *openmrs.rivals(concept(*map(name, texts))))
    )


def test_claims_never_change_since_they_are_stored():
    assert openmrs.claims(concept(name("a"))) == [-4706157519443302834]
