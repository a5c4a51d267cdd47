"""What a body may contain, field by field."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oclapi import bodies, urls
from oclapi.errors import Invalid

NAME = {"name": "Serum glucose", "locale": "en"}
CONCEPT = {"id": "1007", "concept_class": "Test", "names": [NAME]}
MAPPING = {"map_type": "SAME-AS", "from_concept_url": "/orgs/A/sources/B/concepts/1/"}
SOURCE = {"id": "LABX", "name": "Lab X codes"}
ORG = {"id": "NorthLab", "name": "North Laboratory"}

FORMS = {
    "concept": (bodies.concept_create, bodies.concept_update, CONCEPT),
    "mapping": (bodies.mapping_create, bodies.mapping_update, MAPPING),
    "source": (bodies.source_create, bodies.source_update, SOURCE),
    "org": (bodies.org_create, bodies.org_update, ORG),
    "version": (bodies.version_create, bodies.version_update, {"id": "v1"}),
    "name": (bodies.name_create, bodies.name_update, NAME),
    "description": (
        bodies.description_create,
        bodies.description_update,
        {"description": "A test", "locale": "en"},
    ),
}


def errors_of(check, body, **how):
    with pytest.raises(Invalid) as caught:
        check(body, **how)
    return caught.value.errors


def nested(levels):
    value: object = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize("kind", FORMS)
def test_the_smallest_body_comes_back_as_it_was(kind):
    create, _, body = FORMS[kind]
    assert create(body) == body


@pytest.mark.parametrize("kind", FORMS)
def test_an_update_holds_only_what_was_given(kind):
    _, update, body = FORMS[kind]
    assert update({}) == {}
    for field, value in body.items():
        assert update({field: value}) == {field: value}


@pytest.mark.parametrize("kind", FORMS)
def test_unknown_keys_are_left_out(kind):
    create, update, body = FORMS[kind]
    assert create({**body, "unheard_of": [1]}) == body
    assert update({"unheard_of": [1]}) == {}


@pytest.mark.parametrize("kind", FORMS)
def test_all_missing_fields_are_told_at_once(kind):
    create, _, body = FORMS[kind]
    assert errors_of(create, {}) == {field: ["this field is required"] for field in body}


@pytest.mark.parametrize("kind", FORMS)
@pytest.mark.parametrize("wrong", [None, 5, True, [], {}, "", "  \t\u00a0"])
def test_no_wrong_value_is_taken_for_a_required_text(kind, wrong):
    create, update, body = FORMS[kind]
    texts = [field for field, value in body.items() if isinstance(value, str)]
    assert set(errors_of(create, {**body, **dict.fromkeys(texts, wrong)})) == set(texts)
    editable = [field for field in texts if field != "id"]
    if editable:
        assert set(errors_of(update, dict.fromkeys(editable, wrong))) == set(editable)


NULLABLE = {
    "concept": ["descriptions", "external_id", "retire_reason", "extras", "update_comment"],
    "mapping": [
        "to_concept_url",
        "to_source_url",
        "to_concept_code",
        "to_concept_name",
        "external_id",
        "retire_reason",
        "sort_weight",
        "extras",
        "update_comment",
    ],
    "source": [
        "full_name",
        "description",
        "website",
        "external_id",
        "source_type",
        "custom_validation_schema",
        "extras",
    ],
    "org": ["company", "website", "location", "description", "extras"],
    "version": [
        "description",
        "previous_version",
        "parent_version",
        "version_external_id",
        "external_id",
        "extras",
    ],
    "name": ["name_type", "external_id", "retire_reason"],
    "description": ["description_type", "external_id", "retire_reason"],
}
NOT_NULLABLE = {
    "concept": ["names", "concept_class"],
    "mapping": ["map_type", "from_concept_url"],
    "source": ["public_access", "default_locale", "supported_locales", "name"],
    "org": ["public_access", "name"],
    "version": ["released"],
    "name": ["name", "locale"],
    "description": ["description", "locale"],
}
DEFAULTS = {
    "concept": {"datatype": "None", "retired": False},
    "mapping": {"retired": False},
    "name": {"locale_preferred": False, "retired": False},
    "description": {"locale_preferred": False, "retired": False},
}


@pytest.mark.parametrize("kind", FORMS)
def test_null_is_good_just_where_the_contract_says_so(kind):
    create, update, body = FORMS[kind]
    nulls = dict.fromkeys(NULLABLE[kind])
    assert create({**body, **nulls}) == {**body, **nulls}
    assert update(nulls) == nulls
    assert set(errors_of(create, {**body, **dict.fromkeys(NOT_NULLABLE[kind])})) == set(
        NOT_NULLABLE[kind]
    )
    assert set(errors_of(update, dict.fromkeys(NOT_NULLABLE[kind]))) == set(NOT_NULLABLE[kind])


@pytest.mark.parametrize("kind", DEFAULTS)
def test_null_is_the_default_of_an_optional_field(kind):
    create, update, body = FORMS[kind]
    defaults = DEFAULTS[kind]
    assert create({**body, **dict.fromkeys(defaults)}) == {**body, **defaults}
    assert update(dict.fromkeys(defaults)) == defaults


def test_a_mapping_with_an_id_of_null_gets_one_of_the_server():
    assert bodies.mapping_create({**MAPPING, "id": None}) == {**MAPPING, "id": None}


BLANKS = "\t \u00a0\u3000\r\n"


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("concept", "concept_class"),
        ("concept", "datatype"),
        ("mapping", "map_type"),
        ("mapping", "to_concept_code"),
        ("mapping", "to_concept_name"),
        ("name", "name"),
        ("name", "locale"),
        ("name", "name_type"),
        ("description", "description"),
        ("description", "locale"),
        ("description", "description_type"),
        ("source", "default_locale"),
    ],
)
def test_blanks_at_the_ends_of_a_text_are_cut(kind, field):
    create, update, body = FORMS[kind]
    given = {field: f"{BLANKS}a \t\u00a0b{BLANKS}"}
    assert create({**body, **given}) == {**body, field: "a \t\u00a0b"}
    assert update(given) == {field: "a \t\u00a0b"}


def test_blanks_at_the_ends_of_other_texts_are_kept():
    given = {"external_id": " x ", "retire_reason": " y ", "update_comment": " z "}
    assert bodies.concept_update(given) == given


@pytest.mark.parametrize("given", ["None", " None\t", None])
def test_the_type_none_is_null(given):
    assert bodies.name_update({"name_type": given}) == {"name_type": None}
    assert bodies.description_update({"description_type": given}) == {"description_type": None}


def test_descriptions_without_a_text_are_left_out():
    kept = {"description": "A test", "locale": "en"}
    blank = [
        {"description": None, "locale": None},
        {"description": "", "locale": "en"},
        {"description": BLANKS, "uuid": 5},
    ]
    assert bodies.concept_update({"descriptions": [blank[0], kept, *blank[1:]]}) == {
        "descriptions": [kept]
    }
    assert errors_of(bodies.concept_update, {"descriptions": [*blank, {"locale": "en"}, 5]}) == {
        "descriptions": [
            "descriptions[0].description: this field is required",
            "descriptions[1]: must be an object",
        ]
    }


@pytest.mark.parametrize("kind", ["concept", "source", "org", "version", "mapping"])
@pytest.mark.parametrize("good", ["a", "A" * 255, "A-z.0_9@x", "...", "1007"])
def test_this_is_an_id(kind, good):
    create, _, body = FORMS[kind]
    assert create({**body, "id": good})["id"] == good


@pytest.mark.parametrize("kind", ["concept", "version", "mapping"])
@pytest.mark.parametrize(
    "good", ["a b", "a/b", "é", "😀", "a%20b", "a\u200b", "%", "A+", "[12.03.2025.1]", "é" * 255]
)
def test_this_is_an_id_of_content(kind, good):
    create, update, body = FORMS[kind]
    assert create({**body, "id": good})["id"] == good
    decomposed = unicodedata.normalize("NFD", good)
    assert create({**body, "id": decomposed})["id"] == good
    assert update({"id": decomposed}) == {"id": good}


@pytest.mark.parametrize("kind", ["source", "org"])
@pytest.mark.parametrize("bad", ["a b", "a/b", "é", "😀", "a%20b", "a\u200b"])
def test_this_is_no_id_of_an_owner_or_repository(kind, bad):
    create, _, body = FORMS[kind]
    wrong = next(sign for sign in bad if sign != "a")
    text = errors_of(create, {**body, "id": bad})["id"][0]
    assert f"U+{ord(wrong):04X}" in text


@pytest.mark.parametrize("kind", ["concept", "source", "org", "version", "mapping"])
@pytest.mark.parametrize(
    "bad",
    [
        "",
        " ",
        "a ",
        ".",
        "..",
        "a" * 256,
        "é" * 256,
        "a\n",
        "a\nb",
        "\0",
        7,
        1.5,
        None,
        True,
        ["a"],
    ],
)
def test_this_is_no_id(kind, bad):
    create, _, body = FORMS[kind]
    if kind == "mapping" and bad is None:
        assert create({**body, "id": None})["id"] is None  # it gets one
        return
    assert list(errors_of(create, {**body, "id": bad})) == ["id"]


@pytest.mark.parametrize("word", sorted(urls.RESERVED_VERSIONS))
def test_a_version_may_not_have_a_reserved_word_for_its_id(word):
    assert errors_of(bodies.version_create, {"id": word}) == {
        "id": [f"the word {word} is reserved"]
    }
    assert bodies.source_create({**SOURCE, "id": word})["id"] == word


def test_the_reserved_words_are_those_of_the_contract():
    words = (
        "HEAD latest versions concepts mappings references extras export processing "
        "children summary atom revisions changes releases"
    )
    assert set(words.split()) == urls.RESERVED_VERSIONS


@pytest.mark.parametrize(
    ("check", "body"), [(bodies.concept_create, CONCEPT), (bodies.mapping_create, MAPPING)]
)
@pytest.mark.parametrize("given", [1007, True, 10.0])
def test_a_number_is_no_id(check, body, given):
    assert list(errors_of(check, {**body, "id": given})) == ["id"]


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (True, True),
        (False, False),
        ("true", True),
        ("FALSE", False),
        ("1", True),
        ("0", False),
        ("True", True),
    ],
)
def test_this_is_a_boolean(given, read):
    assert bodies.concept_update({"retired": given}) == {"retired": read}
    assert bodies.version_update({"released": given, "retired": given}) == {
        "released": read,
        "retired": read,
    }
    assert bodies.name_update({"locale_preferred": given}) == {"locale_preferred": read}


@pytest.mark.parametrize("given", [1, 0, 1.0, "yes", "", " true", "on", [], {}, "t"])
def test_this_is_no_boolean(given):
    assert errors_of(bodies.concept_update, {"retired": given}) == {
        "retired": ["must be true or false"]
    }


@pytest.mark.parametrize("given", [1, -2.5, 0, None, 2**63 - 1])
def test_a_sort_weight_keeps_its_type(given):
    kept = bodies.mapping_update({"sort_weight": given})["sort_weight"]
    assert kept == given
    assert type(kept) is type(given)


@pytest.mark.parametrize("given", [True, "1", float("nan"), float("inf"), [], {}])
def test_this_is_no_sort_weight(given):
    assert errors_of(bodies.mapping_update, {"sort_weight": given}) == {
        "sort_weight": ["must be a number"]
    }


@pytest.mark.parametrize(
    ("given", "kept"), [("OpenMRS", "OpenMRS"), (None, None), ("", None), ("None", None)]
)
def test_this_is_a_validation_schema(given, kept):
    assert (
        bodies.source_create({**SOURCE, "custom_validation_schema": given})[
            "custom_validation_schema"
        ]
        == kept
    )


@pytest.mark.parametrize("given", ["openmrs", "none", "Other", False, 0, [], {}])
def test_this_is_no_validation_schema(given):
    assert errors_of(bodies.source_update, {"custom_validation_schema": given}) == {
        "custom_validation_schema": ["must be OpenMRS or null"]
    }


@pytest.mark.parametrize("access", ["View", "Edit", "None"])
def test_this_is_an_access(access):
    assert (
        bodies.source_update({"public_access": access})
        == bodies.org_update({"public_access": access})
        == {"public_access": access}
    )


@pytest.mark.parametrize("access", [None, "view", "Public", "", 1, ["View"], "x" * 100_000])
def test_this_is_no_access(access):
    expected = {"public_access": ["must be one of 'View', 'Edit' or 'None'"]}
    assert (
        errors_of(bodies.source_update, {"public_access": access})
        == errors_of(bodies.org_update, {"public_access": access})
        == expected
    )


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["en", "sw"], ["en", "sw"]),
        ("en,sw", ["en", "sw"]),
        (" en , sw,", ["en", "sw"]),
        ("", []),
        ([], []),
    ],
)
def test_locales_are_a_list_or_one_text_with_commas(given, kept):
    assert bodies.source_create({**SOURCE, "supported_locales": given})["supported_locales"] == kept


@pytest.mark.parametrize(
    "given",
    [
        None,
        5,
        {"en": 1},
        [1],
        [None],
        [""],
        ["x" * 41],
        "en," + "x" * 41,
        ["en"] * 1001,
        ",".join(["en"] * 1001),
    ],
)
def test_this_is_no_list_of_locales(given):
    assert list(errors_of(bodies.source_update, {"supported_locales": given})) == [
        "supported_locales"
    ]


@pytest.mark.parametrize(("create", "update"), [(bodies.source_create, bodies.source_update)])
def test_a_short_code_stands_for_the_id(create, update):
    assert create({"short_code": "A", "name": "x"}) == {"id": "A", "name": "x"}
    assert create({"short_code": "A", "id": "A", "name": "x"}) == {"id": "A", "name": "x"}
    assert update({"short_code": "A"}) == {"id": "A"}


@pytest.mark.parametrize(
    "body",
    [{"id": "A", "short_code": "B"}, {"id": "A", "short_code": None}, {"id": "A", "short_code": 5}],
)
def test_two_different_codes_are_refused_together_with_all_else(body):
    wrong = {"short_code": ["must be the same as id"]}
    assert (
        errors_of(bodies.source_create, {**body, "name": "x"})
        == errors_of(bodies.source_update, body)
        == wrong
    )
    assert errors_of(bodies.source_create, {**body, "name": ""}) == {
        "name": ["must not be empty"],
        **wrong,
    }


def test_a_bad_short_code_is_told_as_a_bad_id():
    assert list(errors_of(bodies.source_create, {"short_code": "a b", "name": "x"})) == ["id"]


def test_a_version_keeps_both_spellings_of_its_external_id():
    given = {"version_external_id": "a", "external_id": "b"}
    assert bodies.version_create({"id": "v1", **given}) == {"id": "v1", **given}


def test_a_comment_is_the_whole_body_of_a_retirement():
    assert bodies.comment({"update_comment": "dupe", "retired": "x"}) == {"update_comment": "dupe"}
    assert bodies.comment({}) == {}
    assert errors_of(bodies.comment, {"update_comment": 5}) == {
        "update_comment": ["must be a text"]
    }


@pytest.mark.parametrize(
    ("check", "field", "longest"),
    [
        (bodies.concept_update, "concept_class", 32_000),
        (bodies.concept_update, "datatype", 32_000),
        (bodies.concept_update, "update_comment", 32_000),
        (bodies.name_update, "name", 32_000),
        (bodies.name_update, "locale", 40),
        (bodies.description_update, "description", 100_000),
        (bodies.source_update, "description", 100_000),
        (bodies.source_update, "default_locale", 40),
        (bodies.source_update, "website", 32_000),
        (bodies.org_update, "description", 100_000),
        (bodies.version_update, "description", 100_000),
        (bodies.mapping_update, "to_concept_name", 32_000),
    ],
)
def test_a_text_has_a_longest_length_in_characters(check, field, longest):
    assert check({field: "é" * longest}) == {field: "é" * longest}
    assert errors_of(check, {field: "é" * (longest + 1)}) == {
        field: [f"may have at most {longest} characters"]
    }


@pytest.mark.parametrize(
    ("field", "entry"), [("names", NAME), ("descriptions", {"description": "x", "locale": "en"})]
)
def test_a_concept_has_at_most_a_thousand_names_and_descriptions_each(field, entry):
    assert len(bodies.concept_create({**CONCEPT, field: [entry] * 1000})[field]) == 1000
    assert errors_of(bodies.concept_create, {**CONCEPT, field: [entry] * 1001}) == {
        field: ["may have at most 1000 entries"]
    }


def test_a_list_far_too_long_is_refused_without_a_message_for_each_entry():
    assert errors_of(bodies.concept_create, {**CONCEPT, "names": [{}] * 200_000}) == {
        "names": ["may have at most 1000 entries"]
    }


def test_a_concept_needs_a_name():
    assert errors_of(bodies.concept_create, {**CONCEPT, "names": []}) == {
        "names": ["at least one is needed"]
    }
    assert errors_of(bodies.concept_update, {"names": []}) == {"names": ["at least one is needed"]}


def test_every_bad_entry_of_a_list_is_told_with_its_place():
    names = [
        NAME,
        {"name": " ", "locale": 5},
        "x",
        {"locale": "x" * 41, "name": "y", "locale_preferred": "maybe"},
    ]
    descriptions = [{"description": 5}]
    assert errors_of(
        bodies.concept_create, {"names": names, "descriptions": descriptions, "id": "a "}
    ) == {
        "id": ["must not begin or end with white space"],
        "concept_class": ["this field is required"],
        "names": [
            "names[1].name: must not be empty",
            "names[1].locale: must be a text",
            "names[2]: must be an object",
            "names[3].locale_preferred: must be true or false",
            "names[3].locale: may have at most 40 characters",
        ],
        "descriptions": [
            "descriptions[0].description: must be a text",
            "descriptions[0].locale: this field is required",
        ],
    }


@pytest.mark.parametrize("kind", ["concept", "mapping", "source", "org", "version"])
def test_extras_are_any_object_within_its_limits(kind):
    create, update, body = FORMS[kind]
    for good in (
        {},
        {"a.b%": None, "": [1, 1.0, True, "x"], "$ref": {"\n": -(2**63)}},
        nested(32),
        {"a": "x" * (2**20 - 8)},
    ):
        assert create({**body, "extras": good})["extras"] == good
    for bad in (
        [],
        "x",
        5,
        True,
        nested(33),
        {"a": [nested(31)]},
        {"a": "x" * (2**20 - 7)},
        {"a": "\x01" * 180_000},
    ):
        assert list(errors_of(create, {**body, "extras": bad})) == ["extras"]
        assert list(errors_of(update, {"extras": bad})) == ["extras"]


def test_numbers_in_extras_keep_their_type():
    given = {"whole": 1, "decimal": 1.0, "truth": True, "text": "1"}
    kept = bodies.concept_update({"extras": given})["extras"]
    assert [type(value) for value in kept.values()] == [int, float, bool, str]


def test_half_a_surrogate_pair_is_no_text():
    assert errors_of(bodies.concept_update, {"datatype": "\ud800"}) == {
        "datatype": ["must be valid Unicode"]
    }


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["View", "en", "id"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "locale", "description", "a"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
FIELDS = sorted(
    {field for group in (NULLABLE, NOT_NULLABLE) for fields in group.values() for field in fields}
    | {"id", "short_code", "uuid"}
)


@given(
    st.dictionaries(st.sampled_from(FIELDS), ANYTHING, max_size=8), st.sampled_from(sorted(FORMS))
)
def test_any_body_is_taken_or_refused_by_field(body, kind):
    for check in FORMS[kind][:2]:
        try:
            checked = check(body)
        except Invalid as error:
            assert set(error.errors) <= {*FIELDS, "__all__"}
            assert all(texts for texts in error.errors.values())
        else:
            assert set(checked) <= set(body) | {"id"}


@given(
    st.sampled_from(FIELDS),
    st.text("secret", min_size=81, max_size=200),
    st.sampled_from(sorted(FORMS)),
)
def test_no_long_input_is_repeated_in_a_message(field, text, kind):
    for check in FORMS[kind][:2]:
        for value in (text, [text], {text: text}):
            try:
                check({field: value})
            except Invalid as error:
                assert text[:81] not in json.dumps([error.errors, error.detail])


@pytest.mark.parametrize("id", [".", ".."])
@pytest.mark.parametrize("kind", ["concept", "mapping", "source", "org", "version"])
def test_an_id_that_no_client_could_put_into_an_address_is_refused(kind, id):
    create, _, body = FORMS[kind]
    assert list(errors_of(create, {**body, "id": id})) == ["id"]
    assert create({**body, "id": f"{id}-"})["id"] == f"{id}-"


@pytest.mark.parametrize("username", [".", ".."])
def test_a_username_that_no_client_could_put_into_an_address_is_refused(username):
    body = {"username": username, "name": "A", "email": "a@example.org", "password": "long-enough"}
    assert list(errors_of(bodies.user_create, body)) == ["username"]
