"""Mappings over HTTP (contract 12)."""

import pytest

from tests.builders import good, new_source


@pytest.fixture
def filled(source):
    source.concepts("A", "B", "C")
    return source


def test_a_created_mapping_is_returned_as_it_is_read(api, filled):
    created = filled.mapping("m", "A", "B", sort_weight=1.5)

    assert created.status_code == 201
    assert created.headers["Location"] == f"http://localhost{filled.url}mappings/m/"
    mapping = good(api.get(f"{filled.url}mappings/m/")).get_json()
    assert mapping == created.get_json()
    assert (mapping["from_concept_name"], mapping["to_concept_name"], mapping["version"]) == (
        "Name of A",
        "Name of B",
        "1",
    )
    assert (mapping["versioned_object_id"], mapping["versioned_object_url"]) == (
        mapping["uuid"],
        mapping["url"],
    )
    assert (mapping["created_on"], mapping["updated_on"]) == (
        mapping["created_at"],
        mapping["updated_at"],
    )


def test_a_mapping_without_an_id_gets_one(api, filled):
    body = {
        name: value for name, value in filled.mapping_body("", "A", "B").items() if name != "id"
    }

    created = good(api.post(f"{filled.url}mappings/", body))

    assert (
        good(api.get(f"{filled.url}mappings/{created.get_json()['id']}/")).get_json()
        == created.get_json()
    )


def test_an_external_mapping_needs_only_its_source(api, filled):
    other = new_source(api)
    body = {
        "id": "x",
        "map_type": "SAME-AS",
        "from_concept_url": f"{filled.url}concepts/A",
        "to_source_url": other.url,
    }

    mapping = good(
        api.post(
            f"{filled.url}mappings/",
            {**body, "to_concept_code": "G-22", "to_concept_name": "Glucose"},
        )
    ).get_json()

    assert (mapping["to_concept_url"], mapping["to_concept_code"], mapping["to_concept_name"]) == (
        None,
        "G-22",
        "Glucose",
    )
    assert mapping["to_source_url"] == other.url


def test_a_mapping_changes_and_keeps_its_history(api, filled):
    first = filled.mapping("m", "A", "B").get_json()

    second = good(
        api.put(f"{filled.url}mappings/m/", {"map_type": "NARROWER-THAN", "update_comment": "why"})
    ).get_json()

    assert (second["version"], second["map_type"], second["update_comment"]) == (
        "2",
        "NARROWER-THAN",
        "why",
    )
    assert good(api.get(f"{filled.url}mappings/m/versions/")).get_json() == [
        second,
        {**first, "is_latest_version": False},
    ]
    assert good(api.get(first["version_url"])).get_json() == {**first, "is_latest_version": False}
    assert good(api.get(second["version_url"])).get_json() == second
    assert api.get(f"{filled.url}mappings/m/9/").status_code == 404
    assert api.delete(first["version_url"]).status_code == 405


def test_a_mapping_that_was_read_can_be_sent_back(api, filled):
    mapping = filled.mapping("m", "A", "B").get_json()

    assert good(api.put(f"{filled.url}mappings/m/", mapping)).get_json() == mapping


def test_retiring_a_mapping_twice_is_no_error(api, filled):
    filled.mapping("m", "A", "B")

    responses = [
        api.delete(f"{filled.url}mappings/m/", {"update_comment": "old"}).status_code
        for _ in range(2)
    ]

    assert responses == [204, 204]
    mapping = good(api.get(f"{filled.url}mappings/m/")).get_json()
    assert (mapping["retired"], mapping["version"], mapping["update_comment"]) == (True, "2", "old")
    assert filled.ids("mappings/") == []
    assert filled.ids("mappings/?retired=true") == ["m"]


def test_renaming_a_concept_shows_in_its_mappings_and_not_in_those_of_a_release(api, filled):
    filled.mapping("m", "A", "B")
    filled.release("v1")

    good(api.put(f"{filled.url}concepts/A/", {"names": [{"name": "Renamed", "locale": "en"}]}))

    assert good(api.get(f"{filled.url}mappings/m/")).get_json()["from_concept_name"] == "Renamed"
    assert (
        good(api.get(f"{filled.url}v1/mappings/m/")).get_json()["from_concept_name"] == "Name of A"
    )


def test_listed_mappings_are_summaries_or_details(api, filled):
    detail = filled.mapping("m", "A", "B").get_json()

    [summary] = good(api.get(f"{filled.url}mappings/")).get_json()

    assert summary == {name: detail[name] for name in summary}
    assert "type" not in summary
    assert good(api.get(f"{filled.url}mappings/?verbose=true")).get_json() == [detail]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"map_type": None}, "map_type"),
        ({"map_type": " "}, "map_type"),
        ({"from_concept_url": "/orgs/x/"}, "from_concept_url"),
        ({"from_concept_url": "/orgs/x/sources/y/concepts/z/"}, "from_concept_url"),
        ({"to_concept_url": "nonsense"}, "to_concept_url"),
        ({"to_concept_url": None}, "__all__"),
        ({"to_concept_url": None, "to_concept_code": "x"}, "__all__"),
        (
            {
                "to_concept_url": None,
                "to_concept_code": "x",
                "to_source_url": "/orgs/none/sources/none/",
            },
            "to_source_url",
        ),
        ({"to_concept_code": "other"}, "__all__"),
        ({"id": "a b "}, "id"),
        ({"id": "taken"}, "id"),
        ({"sort_weight": "heavy"}, "sort_weight"),
        ({"to_concept_url": "{url}concepts/C/"}, "__all__"),
    ],
)
def test_a_mapping_that_breaks_a_rule_is_refused(api, filled, change, field):
    filled.mapping("taken", "A", "C")
    given = {
        name: value.replace("{url}", filled.url) if isinstance(value, str) else value
        for name, value in change.items()
    }

    response = api.post(f"{filled.url}mappings/", filled.mapping_body("m", "A", "B", **given))

    assert response.status_code == 400
    assert field in response.get_json()["errors"]
    assert response.get_json()[field] == response.get_json()["errors"][field]
    assert filled.ids("mappings/") == ["taken"]


def test_a_refused_update_changes_nothing(api, filled):
    before = filled.mapping("m", "A", "B").get_json()

    response = api.put(
        f"{filled.url}mappings/m/",
        {"map_type": "X", "to_concept_url": f"{filled.url}concepts/none/"},
    )

    assert response.status_code == 400
    assert good(api.get(f"{filled.url}mappings/m/")).get_json() == before


@pytest.mark.parametrize("field", ["from_concept_url", "to_concept_url"])
def test_a_body_may_name_a_concept_with_the_address_of_this_server_only(api, filled, field):
    body = {
        "map_type": "SAME-AS",
        "from_concept_url": f"{filled.url}concepts/A/",
        "to_concept_url": f"{filled.url}concepts/B/",
    }
    for address in ("https://other.example.org", "//other.example.org"):
        answer = api.post(f"{filled.url}mappings/", {**body, field: address + body[field]})
        assert answer.status_code == 400
        assert list(answer.get_json()["errors"]) == [field]
    own = {**body, field: f"http://localhost{body[field]}"}
    assert good(api.post(f"{filled.url}mappings/", own)).get_json()[field] == body[field]
