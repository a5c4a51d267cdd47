"""Organisations and their members over HTTP (contract section 7)."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from oclapi.resources import body
from tests.builders import Api, good, new_org, new_source


@pytest.fixture
def org(amina):
    return new_org(amina.api)


def members(api, org):
    return [found["username"] for found in good(api.get(f"{org}members/")).get_json()]


def test_who_creates_an_organisation_becomes_its_member(api, amina, org):
    shown = good(api.anonymous.get(org)).get_json()

    assert (shown["members"], shown["created_by"]) == (1, amina.name)
    assert members(api.anonymous, org) == [amina.name]
    assert api.anonymous.post("/orgs/", {"id": "x", "name": "x"}).status_code == 401


def test_who_is_deactivated_while_it_makes_an_organisation_makes_none(
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


def test_a_taken_id_is_told_under_both_of_its_names(amina, org):
    answer = amina.api.post("/orgs/", {"id": org.split("/")[2], "name": "x"})

    assert answer.status_code == 400
    assert set(answer.get_json()["errors"]) == {"mnemonic", "id"}


def test_an_organisation_is_edited_by_its_members_and_opened_to_others_by_edit(
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
    for caller, there in (
        (api.anonymous, False),
        (other.api, False),
        (amina.api, True),
        (staff.api, True),
    ):
        assert (
            org in [found["url"] for found in good(caller.get("/orgs/?limit=0")).get_json()]
        ) is there


def test_members_are_added_checked_and_removed(api, amina, other, org):
    place = f"{org}members/{other.name}/"
    assert amina.api.get(place).status_code == 404
    for _ in range(2):
        assert amina.api.open("PUT", place).status_code == 204
    assert amina.api.get(place).status_code == 204
    assert sorted(members(api, org)) == sorted([amina.name, other.name])
    assert good(api.get(org)).get_json()["members"] == 2

    assert other.api.delete(place).status_code == 204

    assert amina.api.delete(place).status_code == 404
    assert members(api, org) == [amina.name]
    assert other.api.get(place).status_code == 403


def test_who_is_no_member_manages_no_members(api, amina, other, org):
    place = f"{org}members/{other.name}/"
    for method in ("GET", "PUT", "DELETE"):
        assert other.api.open(method, place).status_code == 403
        assert api.anonymous.open(method, place).status_code == 401
    assert amina.api.open("PUT", f"{org}members/nobody/").status_code == 404
    assert amina.api.delete(f"{org}members/nobody/").status_code == 404
    assert amina.api.open("PUT", "/orgs/nowhere/members/x/").status_code == 404
    assert members(api, org) == [amina.name]


def test_an_empty_body_with_a_json_content_type_is_fine(amina, other, org):
    assert (
        amina.api.open(
            "PUT", f"{org}members/{other.name}/", headers={"Content-Type": "application/json"}
        ).status_code
        == 204
    )


def test_the_last_member_stays_unless_staff_says_otherwise(api, amina, staff, org):
    place = f"{org}members/{amina.name}/"
    assert amina.api.delete(place).status_code == 400
    assert staff.api.delete(place).status_code == 204
    assert members(api, org) == []


def test_of_two_last_members_who_remove_each_other_at_once_one_stays(app, api, amina, other, org):
    good(amina.api.open("PUT", f"{org}members/{other.name}/"))
    callers = [Api(app.test_client(), {**one.api._headers}) for one in (amina, other)]

    with ThreadPoolExecutor(2) as threads:
        answers = list(
            threads.map(
                lambda place: callers[place[0]].delete(f"{org}members/{place[1]}/"),
                [(0, other.name), (1, amina.name)],
            )
        )

    assert sorted(answer.status_code for answer in answers) in ([204, 400], [204, 403])
    assert len(members(api, org)) == 1


def test_a_right_comes_and_goes_with_the_membership(amina, other, org):
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
    assert not services.store.repos.counts([org], {})
    left = services.store.database.rows.count_documents({"url": {"$regex": f"^{org}"}})
    assert left == 0
    good(amina.api.post("/orgs/", {"id": org.split("/")[2], "name": "Again"}))
    assert good(amina.api.get(f"{org}sources/")).get_json() == []


def test_an_organisation_whose_source_is_used_by_others_stays_whole(api, amina, other, org):
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

    answer = api.delete(org)

    assert answer.status_code == 400
    assert answer.get_json()["usage"]["mappings"] == [f"{private.url}mappings/m/"]
    for url in (org, used.url, unused.url):
        good(api.get(url))
    told = amina.api.delete(used.url)
    assert (told.status_code, told.get_json()["usage"]) == (
        400,
        {"collections": [], "mappings": []},
    )
    assert private.url not in told.get_data(as_text=True)


def test_no_source_outlives_an_organisation_that_is_deleted_beside_its_creation(
    services, app, api, amina
):
    for _ in range(5):
        org = new_org(amina.api)
        callers = [Api(app.test_client(), dict(api._headers)) for _ in range(3)]

        with ThreadPoolExecutor(3) as threads:
            made = [
                threads.submit(callers[n].post, f"{org}sources/", {"id": f"S{n}", "name": "x"})
                for n in range(2)
            ]
            gone = threads.submit(callers[2].delete, org)

        assert gone.result().status_code == 204
        assert {one.result().status_code for one in made} <= {201, 404}
        assert not services.store.repos.counts([org], {})
