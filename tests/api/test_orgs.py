"""Organisations and their members over HTTP (contract section 7)."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from oclapi.resources import body
from oclapi.store.repos import RepositoryFilter
from tests.builders import Api, good, new_org, new_source


@pytest.fixture
def org(amina):
    return new_org(amina.api)


def members(api, org):
    return [found["username"] for found in good(api.get(f"{org}members/")).get_json()]


def test_the_creator_of_an_organisation_becomes_its_member(api, amina, org):
    shown = good(api.anonymous.get(org)).get_json()

    assert (shown["members"], shown["created_by"]) == (1, amina.name)
    assert members(api.anonymous, org) == [amina.name]
    assert api.anonymous.post("/orgs/", {"id": "x", "name": "x"}).status_code == 401


def test_a_user_who_is_deactivated_during_the_request_creates_no_organisation(
    services, api, amina, monkeypatch
):
    read = body.read

    def read_and_interfere(settings):
        found = read(settings)
        services.store.users.deactivate(amina.name, lambda session, user: None, "root")
        return found

    monkeypatch.setattr(body, "read", read_and_interfere)

    assert amina.api.post("/orgs/", {"id": "Orphan", "name": "x"}).status_code == 404
    assert api.get("/orgs/Orphan/").status_code == 404


def test_the_error_for_a_taken_id_is_under_both_of_its_keys(amina, org):
    response = amina.api.post("/orgs/", {"id": org.split("/")[2], "name": "x"})

    assert response.status_code == 400
    assert set(response.get_json()["errors"]) == {"mnemonic", "id"}


def test_an_organisation_is_edited_by_members_and_with_public_access_edit_by_others(
    api, amina, other, staff, org
):
    assert good(amina.api.put(org, {"company": "a"})).get_json()["updated_by"] == amina.name
    assert other.api.put(org, {"company": "b"}).status_code == 403
    assert api.anonymous.put(org, {"company": "b"}).status_code == 401
    good(staff.api.put(org, {"public_access": "Edit"}))
    assert good(other.api.put(org, {"company": "b"})).get_json()["company"] == "b"
    assert good(other.api.put(org, {"public_access": "Edit"})).status_code == 200
    assert other.api.put(org, {"public_access": "None"}).status_code == 403
    assert api.anonymous.put(org, {"company": "b"}).status_code == 401


def test_a_closed_organisation_is_read_by_members_and_staff(api, amina, other, staff, org):
    good(amina.api.put(org, {"public_access": "None"}))

    for rest in ("", "members/"):
        assert api.anonymous.get(org + rest).status_code == 401
        assert other.api.get(org + rest).status_code == 403
        good(amina.api.get(org + rest))
        good(staff.api.get(org + rest))
    for caller, listed in (
        (api.anonymous, False),
        (other.api, False),
        (amina.api, True),
        (staff.api, True),
    ):
        assert (
            org in [found["url"] for found in good(caller.get("/orgs/?limit=0")).get_json()]
        ) is listed


def test_members_are_added_checked_and_removed(api, amina, other, org):
    url = f"{org}members/{other.name}/"
    assert amina.api.get(url).status_code == 404
    for _ in range(2):
        assert amina.api.open("PUT", url).status_code == 204
    assert amina.api.get(url).status_code == 204
    assert sorted(members(api, org)) == sorted([amina.name, other.name])
    assert good(api.get(org)).get_json()["members"] == 2

    assert other.api.delete(url).status_code == 204

    assert amina.api.delete(url).status_code == 404
    assert members(api, org) == [amina.name]
    assert other.api.get(url).status_code == 403


def test_a_caller_who_is_not_a_member_can_not_manage_members(api, amina, other, org):
    url = f"{org}members/{other.name}/"
    for method in ("GET", "PUT", "DELETE"):
        assert other.api.open(method, url).status_code == 403
        assert api.anonymous.open(method, url).status_code == 401
    assert amina.api.open("PUT", f"{org}members/nobody/").status_code == 404
    assert amina.api.delete(f"{org}members/nobody/").status_code == 404
    assert amina.api.open("PUT", "/orgs/nowhere/members/x/").status_code == 404
    assert members(api, org) == [amina.name]


def test_an_empty_body_with_a_json_content_type_is_accepted(amina, other, org):
    assert (
        amina.api.open(
            "PUT", f"{org}members/{other.name}/", headers={"Content-Type": "application/json"}
        ).status_code
        == 204
    )


def test_the_last_member_can_only_be_removed_by_staff(api, amina, staff, org):
    url = f"{org}members/{amina.name}/"
    assert amina.api.delete(url).status_code == 400
    assert staff.api.delete(url).status_code == 204
    assert members(api, org) == []


def test_of_two_last_members_who_remove_each_other_at_once_one_stays(app, api, amina, other, org):
    good(amina.api.open("PUT", f"{org}members/{other.name}/"))
    callers = [Api(app.test_client(), {**one.api._headers}) for one in (amina, other)]

    with ThreadPoolExecutor(2) as threads:
        responses = list(
            threads.map(
                lambda pair: callers[pair[0]].delete(f"{org}members/{pair[1]}/"),
                [(0, other.name), (1, amina.name)],
            )
        )

    assert sorted(response.status_code for response in responses) in ([204, 400], [204, 403])
    assert len(members(api, org)) == 1


def test_permissions_begin_and_end_with_the_membership(amina, other, org):
    source = new_source(amina.api, org, public_access="None")
    assert other.api.get(source.url).status_code == 403

    good(amina.api.open("PUT", f"{org}members/{other.name}/"))
    good(other.api.put(source.url, {"name": "Seen by a member"}))
    new_source(other.api, org)
    good(amina.api.delete(f"{org}members/{other.name}/"))

    assert other.api.get(source.url).status_code == 403
    assert other.api.post(f"{org}sources/", {"id": "x", "name": "x"}).status_code == 403


# Deletion


def test_an_organisation_is_deleted_by_a_superuser_with_all_that_it_owns(
    services, api, amina, staff, org
):
    first, second = new_source(amina.api, org), new_source(amina.api, org)
    first.concept("A")
    second.concept("B")
    first.mapping("m", "A", "B", to_concept_url=f"{second.url}concepts/B/")
    for caller, status in ((api.anonymous, 401), (amina.api, 403), (staff.api, 403)):
        assert caller.delete(org).status_code == status

    assert api.delete(org).status_code == 204

    for url in (
        org,
        first.url,
        f"{first.url}concepts/A/",
        second.url,
        f"{org}members/",
        f"{org}sources/",
    ):
        assert api.get(url).status_code == 404
    assert api.delete(org).status_code == 404
    list(services.store.repos.purge())
    assert not services.store.repos.counts(RepositoryFilter(owner_urls=[org]))
    left = services.store.database.rows.count_documents({"url": {"$regex": f"^{org}"}})
    assert left == 0
    good(amina.api.post("/orgs/", {"id": org.split("/")[2], "name": "Again"}))
    assert good(amina.api.get(f"{org}sources/")).get_json() == []


def test_an_organisation_whose_source_is_used_by_others_is_not_deleted(api, amina, other, org):
    used, unused = new_source(amina.api, org), new_source(amina.api, org)
    used.concept("A")
    private = new_source(other.api, other.url, public_access="None")
    private.concept("B")
    good(
        other.api.post(
            f"{private.url}mappings/",
            private.mapping_body("m", "B", "x", to_concept_url=f"{used.url}concepts/A/"),
        )
    )

    response = api.delete(org)

    assert response.status_code == 400
    assert response.get_json()["usage"]["mappings"] == [f"{private.url}mappings/m/"]
    for url in (org, used.url, unused.url):
        good(api.get(url))
    refused = amina.api.delete(used.url)
    assert (refused.status_code, refused.get_json()["usage"]) == (
        400,
        {"collections": [], "mappings": []},
    )
    assert private.url not in refused.get_data(as_text=True)


def test_no_source_outlives_an_organisation_that_is_deleted_at_the_same_time(
    services, app, api, amina
):
    for _ in range(5):
        org = new_org(amina.api)
        callers = [Api(app.test_client(), dict(api._headers)) for _ in range(3)]

        with ThreadPoolExecutor(3) as threads:
            created = [
                threads.submit(callers[n].post, f"{org}sources/", {"id": f"S{n}", "name": "x"})
                for n in range(2)
            ]
            deleted = threads.submit(callers[2].delete, org)

        assert deleted.result().status_code == 204
        assert {one.result().status_code for one in created} <= {201, 404}
        assert not services.store.repos.counts(RepositoryFilter(owner_urls=[org]))
