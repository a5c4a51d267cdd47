"""Organisations and sources over HTTP (contract 7, 8)."""

import pytest

from oclapi.resources import body
from tests.api.people import People
from tests.builders import concept_body, good, new_org, new_source


def test_an_organisation_is_created_and_read(api):
    created = api.post(
        "/orgs/", {"id": "NorthLab", "name": "North Laboratory", "extras": {"region": 4}}
    )

    assert created.status_code == 201
    assert created.headers["Location"] == "http://localhost/orgs/NorthLab/"
    shown = good(api.get("/orgs/NorthLab/")).get_json()
    assert shown == created.get_json()
    assert (shown["type"], shown["name"], shown["extras"], shown["members"]) == (
        "Organization",
        "North Laboratory",
        {"region": 4},
        1,
    )
    assert shown["public_sources"] == 0


def test_a_source_is_created_and_read(api):
    owner = new_org(api)
    created = api.post(
        f"{owner}sources/", {"id": "LABX", "name": "Lab X codes", "supported_locales": "en, sw"}
    )

    assert created.status_code == 201
    assert created.headers["Location"] == f"http://localhost{owner}sources/LABX/"
    shown = good(api.get(f"{owner}sources/LABX/"))
    assert shown.get_json() == created.get_json()
    assert shown.get_json()["supported_locales"] == ["en", "sw"]
    assert shown.headers["lastUpdated"] == created.get_json()["created_on"]


def test_an_update_of_an_organisation_changes_only_the_given_fields(api):
    url = new_org(api, company="Old")
    before = good(api.get(url)).get_json()

    after = good(api.put(url, {"name": "Other", "extras": {"a.b": 1}})).get_json()

    assert {name for name in before if before[name] != after[name]} == {
        "name",
        "extras",
        "updated_on",
    }
    assert good(api.get(url)).get_json() == after
    assert api.put(url, {"id": "another"}).status_code == 400


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH"])
def test_an_update_of_a_source_changes_only_the_given_fields(api, source, method):
    before = good(api.get(source.url)).get_json()

    after = good(
        api.open(
            method,
            source.url,
            json={"name": "Other", "id": before["id"], "short_code": before["id"]},
        )
    ).get_json()

    assert {name for name in before if before[name] != after[name]} == {"name", "updated_on"}
    assert good(api.get(source.url)).get_json() == after


def test_a_source_that_was_read_can_be_sent_back(api, source):
    before = good(api.get(source.url)).get_json()

    assert good(api.put(source.url, before)).get_json() == before


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"id": "other"}, "id"), ({"name": ""}, "name"), ({"public_access": "x"}, "public_access")],
)
def test_a_refused_update_of_a_source_changes_nothing(api, source, fields, field):
    before = good(api.get(source.url)).get_json()

    response = api.put(source.url, {"description": "new", **fields})

    assert (response.status_code, list(response.get_json()["errors"])) == (400, [field])
    assert good(api.get(source.url)).get_json() == before


def test_a_source_is_deleted_with_its_content_and_its_id_can_be_reused(api, source):
    source.concept("A")
    source.release("v1")

    assert api.delete(source.url).status_code == 204

    for rest in ("", "concepts/", "concepts/A/", "v1/", "versions/", "v1/export/"):
        assert api.get(source.url + rest).status_code == 404
    owner, short = source.url.split("sources/")
    good(api.post(f"{owner}sources/", {"id": short.strip("/"), "name": "Again"}))
    assert source.ids() == []
    assert good(api.get(source.url)).get_json()["versions"] == 1


def test_a_source_in_use_is_not_deleted(api, source):
    source.concept("A")
    other = new_source(api)
    other.concept("B")
    mapping = good(
        api.post(
            f"{other.url}mappings/",
            {**other.mapping_body("m", "B", "B"), "to_concept_url": f"{source.url}concepts/A/"},
        )
    )

    response = api.delete(source.url)

    assert response.status_code == 400
    assert list(response.get_json()["errors"]) == ["__all__"]
    assert response.get_json()["usage"] == {
        "collections": [],
        "mappings": [mapping.get_json()["url"]],
    }
    assert source.ids() == ["A"]


def test_sources_are_listed_newest_change_first_as_summaries_or_details(api):
    owner = new_org(api)
    first, second = new_source(api, owner), new_source(api, owner)
    first.concept("A")

    listed = good(api.get(f"{owner}sources/"))

    assert [found["url"] for found in listed.get_json()] == [first.url, second.url]
    assert set(listed.get_json()[0]) == {
        "id",
        "short_code",
        "name",
        "url",
        "owner",
        "owner_type",
        "owner_url",
    }
    assert "cursor" not in listed.headers["Link"]
    oldest = good(api.get(f"{owner}sources/?sortAsc=lastUpdate&verbose=true")).get_json()
    assert oldest == [good(api.get(second.url)).get_json(), good(api.get(first.url)).get_json()]
    assert [
        found["url"] for found in good(api.get(f"{owner}sources/?limit=1&page=2")).get_json()
    ] == [second.url]
    since = oldest[1]["updated_on"]
    assert [
        found["url"] for found in good(api.get(f"{owner}sources/?updatedSince={since}")).get_json()
    ] == [first.url]


@pytest.mark.parametrize("owner", ["/user/", "/users/root/"])
def test_a_user_owns_sources_too(api, owner):
    short = f"of-{owner.count('/')}{len(owner)}"

    created = good(api.post(f"{owner}sources/", {"id": short, "name": "Mine"})).get_json()

    assert (created["url"], created["owner"], created["owner_type"]) == (
        f"/users/root/sources/{short}/",
        "root",
        "User",
    )
    assert good(api.get(f"/user/sources/{short}/")).get_json() == created
    good(api.post(f"/user/sources/{short}/concepts/", concept_body("A")))
    assert (
        good(api.get(f"/users/root/sources/{short}/concepts/A/")).get_json()["owner_url"]
        == "/users/root/"
    )
    assert short in [found["id"] for found in good(api.get("/user/sources/?limit=0")).get_json()]


def test_paths_below_user_need_credentials(api):
    for rest in ("sources/", "sources/x/", "sources/x/concepts/"):
        assert api.anonymous.get(f"/user/{rest}").status_code == 401
    assert api.get("/users/nobody/sources/").status_code == 404


def test_a_repository_of_a_private_organisation_starts_private(api):
    owner = new_org(api, public_access="None")

    assert good(api.get(new_source(api, owner).url)).get_json()["public_access"] == "None"
    assert (
        good(api.get(new_source(api, owner, public_access="View").url)).get_json()["public_access"]
        == "View"
    )


def test_an_organisation_counts_its_public_sources(api):
    owner = new_org(api)
    new_source(api, owner)
    new_source(api, owner, public_access="None")

    assert good(api.get(owner)).get_json()["public_sources"] == 1


def test_closing_a_source_closes_its_versions(api, source):
    source.concept("A")
    source.release("v1")
    good(api.put(source.url, {"public_access": "None"}))

    for rest in ("", "v1/", "v1/concepts/A/", "versions/"):
        assert api.anonymous.get(source.url + rest).status_code == 401


@pytest.fixture
def closing(services, api, monkeypatch):
    """A user, and the URL of an editable source that is made private during the user's request.

    The change happens after the permission check, while the body is read.
    """
    people = People(services, api)
    stranger, source = people.new(), new_source(api, public_access="Edit").url
    read = body.read

    def read_and_interfere(settings):
        found = read(settings)
        repo = services.store.repos.by_url(source)
        services.store.repos.edit(
            repo.number, lambda session, head: {"public_access": "None"}, "root"
        )
        return found

    monkeypatch.setattr(body, "read", read_and_interfere)
    return stranger.api, source


def test_a_request_that_began_before_a_source_became_private_does_not_open_it(api, closing):
    stranger, source = closing

    assert stranger.put(source, {"public_access": "Edit", "name": "taken"}).status_code == 403
    shown = api.get(source).get_json()
    assert (shown["public_access"], shown["name"] == "taken") == ("None", False)


def test_a_request_that_began_before_a_source_became_private_writes_nothing(api, closing):
    stranger, source = closing

    assert stranger.post(f"{source}concepts/", concept_body("A")).status_code == 403
    assert api.get(f"{source}concepts/").get_json() == []


def test_a_source_is_private_if_its_organisation_becomes_private_during_its_creation(
    services, api, monkeypatch
):
    org, read = new_org(api), body.read

    def read_and_interfere(settings):
        found = read(settings)
        services.store.owners.edit_org(
            org.split("/")[2], lambda session, found: {"public_access": "None"}, "root"
        )
        return found

    monkeypatch.setattr(body, "read", read_and_interfere)
    created = good(api.post(f"{org}sources/", {"id": "NEW", "name": "x"})).get_json()

    assert created["public_access"] == "None"
