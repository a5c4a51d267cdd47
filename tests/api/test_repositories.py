"""Organisations and sources over HTTP (contract 7, 8)."""

from tests.builders import good, new_org


def test_an_organisation_is_created_and_read(api):
    made = api.post("/orgs/", {"id": "NorthLab", "name": "North Laboratory", "extras": {"region": 4}})

    assert made.status_code == 201
    assert made.headers["Location"] == "http://localhost/orgs/NorthLab/"
    shown = good(api.get("/orgs/NorthLab/")).get_json()
    assert shown == made.get_json()
    assert (shown["type"], shown["name"], shown["extras"], shown["members"]) == ("Organization", "North Laboratory", {"region": 4}, 1)
    assert shown["public_sources"] == 0


def test_a_source_is_created_and_read(api):
    owner = new_org(api)
    made = api.post(f"{owner}sources/", {"id": "LABX", "name": "Lab X codes", "supported_locales": "en, sw"})

    assert made.status_code == 201
    assert made.headers["Location"] == f"http://localhost{owner}sources/LABX/"
    shown = good(api.get(f"{owner}sources/LABX/"))
    assert shown.get_json() == made.get_json()
    assert shown.get_json()["supported_locales"] == ["en", "sw"]
    assert shown.headers["lastUpdated"] == made.get_json()["created_on"]
