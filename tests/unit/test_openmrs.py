"""The rules of the validation schema OpenMRS, without a store."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oclapi.editing import openmrs

UNCHECKED: openmrs.Lists = {}
LISTS: openmrs.Lists = {
    source: openmrs.listed(source, names)
    for source, names in {
        "Classes": ["Test", "Misc Order"],
        "Datatypes": ["None", "Numeric"],
        "NameTypes": ["None", "Index Term"],
        "DescriptionTypes": ["None", "Definition"],
        "Locales": ["en", "sw", "pt", "zh"],
    }.items()
}
ID_36 = "8d4907b2-c2cc-11de-8d13-0010c6dffd0f"
ID_37 = ID_36 + "A"


def name(text, kind=None, locale="en", preferred=False, **fields):
    return {
        "name": text,
        "name_type": kind,
        "locale": locale,
        "locale_preferred": preferred,
        "external_id": None,
        **fields,
    }


def description(kind=None, locale="en", **fields):
    return {
        "description": "Sugar",
        "description_type": kind,
        "locale": locale,
        "external_id": None,
        **fields,
    }


FULL = name("Serum glucose", "FULLY_SPECIFIED")


def concept(*names, **fields):
    return {
        "concept_class": "Test",
        "datatype": "Numeric",
        "external_id": None,
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
        pytest.param([FULL, name("Serum  glucose")], id="names that differ in inner blanks"),
        pytest.param(
            [FULL, name("Second", "FULLY_SPECIFIED", retired=True), name("x")],
            id="a second fully specified name that is retired",
        ),
        pytest.param([FULL, name("Serum glucose", retired=True)], id="the same name, retired"),
        pytest.param(
            [FULL, name("b", "SHORT", preferred=True, retired=True)], id="a retired short name"
        ),
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
            [name("Cerebral malaria", "Fully-Specified"), name("cerebral malaria")],
            "more than one name 'cerebral malaria' in the locale en",
            id="in another case",
        ),
        pytest.param(
            [name("Cerebral malaria", "Fully-Specified"), name("Cerebral malaria\t")],
            "more than one name 'Cerebral malaria\\t' in the locale en",
            id="with a tab at its end",
        ),
        pytest.param(
            [name("Fi\u00e8vre", "Fully-Specified"), name("fie\u0300vre")],
            "more than one name 'fie\u0300vre' in the locale en",
            id="in form NFD",
        ),
        pytest.param(
            [name("a", "FULLY_SPECIFIED", retired=True), name("b")],
            "at least one fully specified name is needed",
            id="the only fully specified name is retired",
        ),
        pytest.param(
            [FULL, name("b", "Index-Term", preferred=True)],
            "a short name or index term may not be preferred (locale en)",
            id="index term with a hyphen",
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
        pytest.param({"concept_class": "Misc-Order"}, id="a class with a hyphen"),
        pytest.param({"concept_class": "misc order"}, id="a class in another case"),
        pytest.param({"datatype": "NUMERIC"}, id="a datatype in another case"),
        pytest.param(
            {"descriptions": [description(None, "pt_BR"), description("definition", "zh-Hans")]},
            id="a locale whose language is listed",
        ),
        pytest.param(
            {"descriptions": [description("Rumour", "xx", external_id=ID_37, retired=True)]},
            id="a retired description",
        ),
        pytest.param({"external_id": ID_36}, id="an external id of 36 characters"),
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
        name("f", "Index-Term", external_id=ID_36),
        name("g", "index_term", "pt-BR"),
        name("h", "Nick", "xx", external_id=ID_37, retired=True),
    ]
    assert openmrs.concept_errors(concept(*named, **fields), LISTS) == {}


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        pytest.param(
            {"concept_class": "Tests"},
            {"concept_class": ["Tests is not in the list of concept classes"]},
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
        pytest.param(
            {"descriptions": [description(None, "EN"), description(None, "ptBR")]},
            {
                "descriptions": [
                    "descriptions[0].locale: EN is not in the list of locales",
                    "descriptions[1].locale: ptBR is not in the list of locales",
                ]
            },
            id="locales are compared exactly",
        ),
        pytest.param(
            {"external_id": ID_37, "descriptions": [description(external_id=ID_37)]},
            {
                "external_id": ["may have at most 36 characters"],
                "descriptions": ["descriptions[0].external_id: may have at most 36 characters"],
            },
            id="external ids of 37 characters",
        ),
    ],
)
def test_values_that_are_not_in_the_lists_are_refused(fields, errors):
    assert openmrs.concept_errors(concept(FULL, **fields), LISTS) == errors


def test_errors_of_name_types_and_locales_contain_the_index_of_the_name():
    named = concept(
        FULL, name("a", "Nickname"), name("b", None, "xx"), name("c", external_id=ID_37)
    )
    assert openmrs.concept_errors(named, LISTS) == {
        "names": [
            "names[3].external_id: may have at most 36 characters",
            "names[1].name_type: Nickname is not in the list of types",
            "names[2].locale: xx is not in the list of locales",
        ]
    }


@pytest.mark.parametrize(
    ("key", "list_name"),
    [("datatype", "Datatypes"), ("names", "NameTypes"), ("descriptions", "DescriptionTypes")],
)
def test_none_must_be_in_the_list_too(key, list_name):
    without = {**LISTS, list_name: frozenset({"other"})}
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


# Mappings


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        pytest.param({"map_type": "SAME-AS"}, {}, id="listed"),
        pytest.param({"map_type": "same as"}, {}, id="in another spelling"),
        pytest.param(
            {"map_type": "LIKE"}, {"map_type": ["LIKE is not in the list of map types"]}, id="other"
        ),
        pytest.param({"external_id": ID_36}, {}, id="36 characters"),
        pytest.param(
            {"external_id": ID_37},
            {"external_id": ["may have at most 36 characters"]},
            id="37 characters",
        ),
    ],
)
def test_a_mapping_has_a_listed_map_type_and_a_short_external_id(fields, errors):
    mapping = {"map_type": "SAME-AS", "external_id": None, **fields}
    assert openmrs.mapping_errors(mapping, openmrs.listed("MapTypes", ["SAME-AS"])) == errors


def test_answers_and_members_of_sets_are_relations_of_their_own():
    assert {openmrs.relation(kind) for kind in ("Q-AND-A", "q and a", "Q_AND_A")} == {"Q-AND-A"}
    assert {openmrs.relation(kind) for kind in ("CONCEPT-SET", "Concept Set")} == {"CONCEPT-SET"}
    assert {openmrs.relation(kind) for kind in ("SAME-AS", "NARROWER-THAN", "")} == {""}


# Names that no other active concept may have


def in_conflict(one, other):
    """Return whether the store would find a conflict."""
    return bool(set(openmrs.claims(one)) & set(openmrs.claims(other)))


def full(text, locale="en", **fields):
    return name(text, "FULLY_SPECIFIED", locale, **fields)


@pytest.mark.parametrize(
    ("one", "other", "conflict"),
    [
        pytest.param(full("a"), name("a", "Fully-Specified"), True, id="both fully specified"),
        pytest.param(
            name("a", preferred=True), name("a", preferred=True), True, id="both preferred"
        ),
        pytest.param(full("a"), name("a", preferred=True), True, id="one of each"),
        pytest.param(full("a"), name("a"), False, id="against a synonym"),
        pytest.param(
            name("a", preferred=True), name("a", "INDEX_TERM"), False, id="against an index term"
        ),
        pytest.param(full("a"), name("a", "SHORT"), False, id="against a short name"),
        pytest.param(name("a"), name("a"), False, id="two synonyms"),
        pytest.param(full("a"), full("a", "sw"), False, id="in another locale"),
        pytest.param(full("a"), full("a", retired=True), False, id="a retired name"),
        pytest.param(
            full("nb", "e"), full("b", "en"), False, id="the same text split in another way"
        ),
        pytest.param(
            full("Cerebral malaria"), full("cerebral malaria"), True, id="in another case"
        ),
        pytest.param(
            full("Cerebral malaria"), full("Cerebral malaria\t"), True, id="a tab at its end"
        ),
        pytest.param(
            full("Cerebral malaria"), full("\u00a0Cerebral malaria"), True, id="a no-break space"
        ),
        pytest.param(
            full("Cerebral malaria"), full("Cerebral  malaria"), False, id="two blanks inside"
        ),
        pytest.param(
            full("Paludisme c\u00e9r\u00e9bral", "fr"),
            full("paludisme ce\u0301re\u0301bral", "fr"),
            True,
            id="in form NFD",
        ),
        pytest.param(
            full("Paludisme c\u00e9r\u00e9bral", "fr"),
            full("Paludisme cerebral", "fr"),
            False,
            id="without accents",
        ),
    ],
)
def test_two_concepts_conflict_if_they_share_a_fully_specified_or_preferred_name(
    one, other, conflict
):
    assert in_conflict(concept(one), concept(name("z"), other)) is conflict


def test_a_retired_concept_conflicts_with_none():
    retired = concept(FULL, retired=True)
    assert openmrs.claims(retired) == []
    assert not in_conflict(concept(FULL), retired)


NAMES = st.builds(
    name,
    st.sampled_from(["a", "A", "b", "b "]),
    st.sampled_from([None, "SHORT", "Short", "FULLY_SPECIFIED", "INDEX_TERM"]),
    st.sampled_from(["en", "sw"]),
    st.booleans(),
    retired=st.booleans(),
)


@given(st.lists(NAMES, max_size=4), st.lists(NAMES, max_size=4))
def test_conflicts_agree_with_a_direct_check_of_the_rule(ones, others):
    def unique(names):
        return {
            (n["locale"], n["name"].strip().lower())
            for n in names
            if not n["retired"] and (n["name_type"] == "FULLY_SPECIFIED" or n["locale_preferred"])
        }

    expected = bool(unique(ones) & unique(others))
    assert in_conflict(concept(*ones), concept(*others)) == expected


@given(st.lists(st.text(max_size=5), max_size=20))
def test_claims_are_sorted_unique_signed_64_bit_numbers(texts):
    claims = openmrs.claims(concept(*map(full, texts)))
    assert claims == sorted(set(claims))
    assert all(-(2**63) <= claim < 2**63 for claim in claims)


def test_claims_never_change_since_they_are_stored():
    assert openmrs.claims(concept(full("a"), name("b"))) == [-4706157519443302834]
