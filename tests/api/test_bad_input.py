"""Bad input gets the documented status and a body that names the field and the reason.

The store stays unchanged (contract 1 and 2).
"""

import json

import pytest

from tests.builders import concept_body, good, new_org

LONG = "x" * 1_000_000
DEEP = "[" * 200 + "]" * 200
NAME = {"name": "A name", "locale": "en"}


def text_of(**fields):
    """Return a concept's body as JSON text. The fields are JSON text too, maybe invalid."""
    body = {name: value for name, value in concept_body("A").items() if name not in fields}
    return (
        json.dumps(body)[:-1]
        + "".join(f', "{name}": {value}' for name, value in fields.items())
        + "}"
    )


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        pytest.param("{", "__all__", id="broken JSON"),
        pytest.param("", "__all__", id="nothing"),
        pytest.param("[]", "__all__", id="a list"),
        pytest.param('"text"', "__all__", id="a text"),
        pytest.param("null", "__all__", id="null"),
        pytest.param(b'{"id": "\xff"}', "__all__", id="not UTF-8"),
        pytest.param(text_of(extras=f'{{"x": {DEEP}}}'), "__all__", id="200 levels deep"),
        pytest.param(text_of(extras='{"x": NaN}'), "__all__", id="NaN"),
        pytest.param(text_of(extras='{"x": Infinity}'), "__all__", id="Infinity"),
        pytest.param(text_of(extras='{"x": 1e400}'), "__all__", id="a number that overflows"),
        pytest.param(
            text_of(extras='{"x": 9223372036854775808}'), "extras", id="an integer beyond 64 bits"
        ),
        pytest.param(
            text_of(extras='{"x": -9223372036854775809}'),
            "extras",
            id="a negative integer beyond 64 bits",
        ),
        pytest.param(text_of(extras='{"x": "a\\u0000b"}'), "extras", id="NUL in a text"),
        pytest.param(text_of(extras='{"a\\u0000b": 1}'), "extras", id="NUL in a key"),
        pytest.param(text_of(id='"a\\u0000b"'), "id", id="NUL in an id"),
        pytest.param(text_of(id='"\\ud800"'), None, id="half a surrogate pair"),
    ],
)
def test_json_that_can_not_be_stored_is_refused(api, source, raw, field):
    response = api.open("POST", f"{source.url}concepts/", data=raw, content_type="application/json")

    assert response.status_code == 400
    assert response.get_json()["detail"]
    assert field is None or field in response.get_json()["errors"]
    assert source.ids("concepts/?includeRetired=true") == []


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"id": None}, "id"),
        ({"id": 7}, "id"),
        ({"id": ""}, "id"),
        ({"id": "."}, "id"),
        ({"id": "a "}, "id"),
        ({"id": "\ue000"}, "id"),
        ({"id": "x" * 300}, "id"),
        ({"id": "a\n"}, "id"),
        ({"id": "é" * 256}, "id"),
        ({"id": ["A"]}, "id"),
        ({"concept_class": None}, "concept_class"),
        ({"concept_class": ""}, "concept_class"),
        ({"concept_class": 5}, "concept_class"),
        ({"datatype": 5}, "datatype"),
        ({"names": None}, "names"),
        ({"names": []}, "names"),
        ({"names": "A"}, "names"),
        ({"names": [5]}, "names"),
        ({"names": [{"name": "A"}]}, "names"),
        ({"names": [{"locale": "en"}]}, "names"),
        ({"names": [{**NAME, "name": ""}]}, "names"),
        ({"names": [{**NAME, "name": LONG}]}, "names"),
        ({"names": [{**NAME, "locale": "l" * 41}]}, "names"),
        ({"names": [{**NAME, "locale_preferred": "perhaps"}]}, "names"),
        ({"names": [NAME] * 1001}, "names"),
        ({"descriptions": [{"description": "x" * 100_001, "locale": "en"}]}, "descriptions"),
        ({"descriptions": [{"locale": "en"}]}, "descriptions"),
        ({"extras": []}, "extras"),
        ({"extras": "x"}, "extras"),
        ({"extras": {"x": LONG + LONG}}, "extras"),
        ({"extras": {"x": json.loads("[" * 33 + "]" * 33)}}, "extras"),
        ({"retired": "perhaps"}, "retired"),
        ({"retired": 2}, "retired"),
        ({"external_id": 5}, "external_id"),
        ({"update_comment": {}}, "update_comment"),
        ({"external_id": "x" * 32_001}, "external_id"),
        ({"names": [{**NAME, "name": "x" * 32_000}] * 140}, "__all__"),
        ({"id": "TAKEN"}, "id"),
        ({"id": "RETIRED"}, "__all__"),
    ],
    ids=lambda value: None if isinstance(value, str) else json.dumps(value)[:40],
)
def test_a_concept_that_breaks_a_rule_is_refused(api, source, fields, field):
    source.concepts("TAKEN", "RETIRED")
    good(api.delete(f"{source.url}concepts/RETIRED/"))
    body = {name: value for name, value in concept_body("A", **fields).items() if value is not None}

    response = api.post(f"{source.url}concepts/", body)

    assert response.status_code == 400
    error = response.get_json()
    assert error["detail"]
    assert error["errors"][field] == error[field]
    assert all(
        isinstance(text, str) and text for texts in error["errors"].values() for text in texts
    )
    assert sorted(source.ids("concepts/?includeRetired=true")) == ["RETIRED", "TAKEN"]


@pytest.mark.parametrize(
    "fields",
    [{"id": "B"}, {"concept_class": ""}, {"names": []}, {"extras": 5}, {"retired": "perhaps"}],
)
def test_a_refused_update_changes_nothing(api, source, fields):
    before = source.concept("A").get_json()

    response = api.put(f"{source.url}concepts/A/", {"datatype": "Text", **fields})

    assert response.status_code == 400
    assert next(iter(fields)) in response.get_json()["errors"]
    assert good(api.get(f"{source.url}concepts/A/")).get_json() == before


def test_unknown_keys_and_parameters_are_ignored(api, source):
    source.concept("A", nonsense={"x": 1}, url="/elsewhere/")

    assert (
        good(api.get(f"{source.url}concepts/A/?nonsense=1")).get_json()["url"]
        == f"{source.url}concepts/A/"
    )


@pytest.mark.parametrize(
    "listing",
    [
        "{source}concepts/",
        "{source}mappings/",
        "{source}versions/",
        "/orgs/",
        "/sources/",
        "{source}?includeConcepts=1",
    ],
)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "-1"),
        ("limit", "501"),
        ("limit", "abc"),
        ("limit", "1.5"),
        ("limit", "１"),
        ("limit", "9" * 99),
        ("page", "0"),
        ("page", "-1"),
        ("page", "x"),
        ("offset", "-1"),
        ("offset", "x"),
        ("updatedSince", "2015-13-45"),
        ("updatedSince", "yesterday"),
        ("updatedSince", "2015-01-01T25:00:00Z"),
        ("updatedSince", "9" * 30),
    ],
)
def test_a_bad_parameter_of_a_list_is_refused(api, source, listing, name, value):
    url = listing.replace("{source}", source.url)
    response = api.open("GET", f"{url}{'&' if '?' in url else '?'}{name}={value}")

    assert response.status_code == 400
    assert name in response.get_json()["errors"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("verbose", "yes"),
        ("includeRetired", "2"),
        ("retired", "no"),
        ("released", "maybe"),
        ("sortAsc", "colour"),
        ("sortDesc", "colour"),
        ("cursor", "nonsense"),
        ("cursor", "WzFd.aaaaaa.bbbb"),
        ("includeMappings", "x"),
        ("includeInverseMappings", "x"),
    ],
)
def test_a_bad_parameter_of_content_is_refused(api, source, name, value):
    response = api.get(f"{source.url}concepts/?{name}={value}")

    assert response.status_code == 400
    assert name in response.get_json()["errors"]


@pytest.mark.parametrize("name", ["includeConcepts", "includeMappings"])
def test_a_bad_parameter_of_a_detail_is_refused(api, source, name):
    assert name in api.get(f"{source.url}?{name}=x").get_json()["errors"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"id": "a/b"}, "id"),
        ({"id": None}, "id"),
        ({"name": None}, "name"),
        ({"name": " "}, "name"),
        ({"short_code": "other"}, "short_code"),
        ({"public_access": "Secret"}, "public_access"),
        ({"supported_locales": 5}, "supported_locales"),
        ({"default_locale": ""}, "default_locale"),
        ({"custom_validation_schema": "Other"}, "custom_validation_schema"),
        ({"extras": []}, "extras"),
        ({"website": 5}, "website"),
        ({"description": "x" * 100_001}, "description"),
        ({"id": "TAKEN"}, "id"),
        ({"id": "TAKEN"}, "__all__"),
    ],
)
def test_a_source_that_breaks_a_rule_is_refused(api, fields, field):
    owner = new_org(api)
    good(api.post(f"{owner}sources/", {"id": "TAKEN", "name": "Taken"}))
    body = {
        name: value
        for name, value in {"id": "NEW", "name": "New", **fields}.items()
        if value is not None
    }

    response = api.post(f"{owner}sources/", body)

    assert response.status_code == 400
    assert response.get_json()["errors"][field] == response.get_json()[field]
    assert [found["id"] for found in good(api.get(f"{owner}sources/")).get_json()] == ["TAKEN"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"id": "a b"}, "id"),
        ({"id": None}, "id"),
        ({"name": ""}, "name"),
        ({"public_access": "x"}, "public_access"),
        ({"id": "OCL"}, "mnemonic"),
        ({"id": "OCL"}, "id"),
    ],
)
def test_an_organisation_that_breaks_a_rule_is_refused(api, fields, field):
    before = good(api.get("/orgs/")).headers["num_found"]
    body = {
        name: value
        for name, value in {"id": "NewOrg", "name": "New", **fields}.items()
        if value is not None
    }

    response = api.post("/orgs/", body)

    assert response.status_code == 400
    assert response.get_json()["errors"][field] == response.get_json()[field]
    assert good(api.get("/orgs/")).headers["num_found"] == before


ABSENT = [
    "concepts/none/",
    "mappings/none/",
    "none/",
    "concepts/none/names/x/",
    "concepts/a%2Fb/",
    "concepts/%00/",
]


@pytest.mark.parametrize(
    ("method", "rest"), [(method, rest) for method in ("GET", "PUT", "DELETE") for rest in ABSENT]
)
def test_an_unknown_item_is_404_for_every_method(api, source, method, rest):
    body = {} if method == "GET" else {"json": {}}
    assert api.open(method, source.url + rest, **body).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/orgs/nope/members/",
        "/users/nope/orgs/",
        "/orgs/nope/sources/",
        "/orgs/{org}/sources/nope/",
        "{source}nope/",
        "{source}nope/children/",
        "{source}nope/concepts/",
        "{source}nope/mappings/",
        "{source}concepts/nope/versions/",
        "{source}concepts/nope/mappings/",
        "{source}concepts/nope/names/",
    ],
)
def test_what_is_not_there_is_not_found_whatever_the_parameters(api, source, path):
    url = path.format(source=source.url, org=source.url.split("/")[2])
    query = "?page=0&verbose=x&updatedSince=x&includeConcepts=true&locale="
    assert api.get(url + query).status_code == api.get(url).status_code == 404
