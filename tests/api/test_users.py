"""Users over HTTP (contract section 6)."""

import pytest

from tests.builders import concept_body, good, new_org, new_source

DETAIL = {
    "type",
    "uuid",
    "username",
    "name",
    "email",
    "company",
    "location",
    "preferred_locale",
    "website",
    "extras",
    "is_staff",
    "is_superuser",
    "orgs",
    "public_collections",
    "public_sources",
    "url",
    "organizations_url",
    "orgs_url",
    "sources_url",
    "collections_url",
    "created_on",
    "updated_on",
    "created_by",
    "updated_by",
}
HASH = "A" * 43 + "="


def names(response):
    return [found["username"] for found in good(response).get_json()]


def test_a_user_is_created_and_read(api):
    given = {
        "username": "A.mina_1@x-y",
        "name": "Amina K.",
        "email": "amina@example.org",
        "location": "Kisumu",
        "extras": {"a.b": 1},
    }
    created = api.post("/users/", {**given, "password": "secret phrase"})

    assert created.status_code == 201
    assert created.headers["Location"] == "http://localhost/users/A.mina_1@x-y/"
    shown = good(api.get("/users/A.mina_1@x-y/")).get_json()
    assert shown == created.get_json()
    assert {name: shown[name] for name in given} == given
    assert set(shown) == DETAIL
    assert (shown["company"], shown["orgs"], shown["public_sources"], shown["is_staff"]) == (
        None,
        0,
        0,
        False,
    )
    assert "secret phrase" not in created.get_data(as_text=True)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"username": None}, "username"),
        ({"username": "a b"}, "username"),
        ({"username": "é"}, "username"),
        ({"username": "x" * 256}, "username"),
        ({"username": "login"}, "username"),
        ({"username": "signup"}, "username"),
        ({"username": "x\n"}, "username"),
        ({"name": " "}, "name"),
        ({"name": None}, "name"),
        ({"email": "nobody"}, "email"),
        ({"email": "a@b\nBcc: c@d"}, "email"),
        ({"email": None}, "email"),
        ({"password": "short"}, "password"),
        ({"password": 123456}, "password"),
        ({"is_staff": "maybe"}, "is_staff"),
        ({"hashed_password": "md5$1$salt$abc"}, "hashed_password"),
        ({"hashed_password": "pbkdf2_sha256$0$salt$" + HASH}, "hashed_password"),
        ({"hashed_password": "pbkdf2_sha256$99999999$salt$" + HASH}, "hashed_password"),
        (
            {"password": "long enough", "hashed_password": "pbkdf2_sha256$1$salt$" + HASH},
            "hashed_password",
        ),
        ({"extras": []}, "extras"),
    ],
)
def test_the_error_for_an_invalid_user_names_the_field(api, fields, field):
    response = api.post(
        "/users/", {"username": "wrong", "name": "Wrong", "email": "w@example.org", **fields}
    )

    assert (response.status_code, list(response.get_json()["errors"])) == (400, [field])
    assert api.get("/users/wrong/").status_code == 404


def test_a_username_is_unique_and_case_sensitive(people, amina):
    again = people.root.post(
        "/users/", {"username": amina.name, "name": "x", "email": "x@example.org"}
    )

    assert again.status_code == 400
    assert set(again.get_json()["errors"]) == {"mnemonic", "username"}
    people.new(username=amina.name.upper())
    assert (
        people.root.get(amina.url.upper().replace("/USERS/", "/users/")).get_json()["username"]
        == amina.name.upper()
    )


def test_only_staff_creates_deactivates_and_reactivates_users(api, amina, other, staff):
    body = {"username": "made-by-nobody", "name": "x", "email": "x@example.org"}
    for caller, status in ((api.anonymous, 401), (amina.api, 403)):
        assert caller.post("/users/", body).status_code == status
        assert caller.delete(other.url).status_code == status
        assert caller.open("PUT", f"{other.url}reactivate/").status_code == status
    assert staff.api.delete(other.url).status_code == 204
    assert staff.api.open("PUT", f"{other.url}reactivate/").status_code == 204


def test_a_superuser_is_reactivated_by_superusers_only(api, people, staff):
    former = people.new(is_superuser=True)
    good(api.delete(former.url))

    assert staff.api.open("PUT", f"{former.url}reactivate/").status_code == 403
    assert former.api.get("/user/").status_code == 401
    assert api.open("PUT", f"{former.url}reactivate/").status_code == 204
    assert good(former.api.get("/user/")).get_json()["is_superuser"] is True
    good(api.put(former.url, {"is_superuser": False}))  # other tests count superusers


def test_roles_are_given_by_superusers_only(api, amina, staff):
    body = {"name": "x", "email": "x@example.org", "is_staff": True}
    assert staff.api.post("/users/", {"username": "escalated", **body}).status_code == 403
    assert api.get("/users/escalated/").status_code == 404
    for caller in (amina, staff):
        for role in ("is_staff", "is_superuser"):
            response = caller.api.put(amina.url, {role: True})
            assert (response.status_code, api.get(amina.url).get_json()[role]) == (403, False)
    assert (
        staff.api.put(amina.url, {"is_staff": False, "name": "Sent back as read"}).status_code
        == 200
    )
    assert good(api.put(amina.url, {"is_staff": True})).get_json()["is_staff"] is True


def test_metadata_in_the_body_of_a_profile_is_ignored(amina, api):
    before = good(api.get(amina.url)).get_json()
    given = {
        "created_by": "root",
        "updated_by": "root",
        "url": "/users/root/",
        "uuid": "x",
        "active": False,
        "tokens": [],
        "type": "Org",
    }

    after = good(amina.api.put("/user/", {**given, "company": "c"})).get_json()

    assert after["updated_by"] == amina.name
    assert {name for name in after if after[name] != before[name]} == {
        "company",
        "updated_on",
        "updated_by",
    }
    assert amina.api.get("/user/").status_code == 200


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH"])
def test_a_user_can_only_edit_their_own_profile(amina, other, api, method):
    assert (
        good(amina.api.open(method, amina.url, json={"location": "Kisumu"})).get_json()["location"]
        == "Kisumu"
    )
    assert (
        good(amina.api.open(method, "/user/", json={"location": None})).get_json()["location"]
        is None
    )
    assert other.api.open(method, amina.url, json={}).status_code == 403
    assert api.anonymous.open(method, amina.url, json={}).status_code == 401
    assert api.anonymous.open(method, "/user/", json={}).status_code == 401
    assert amina.api.open(method, amina.url, json={"username": other.name}).status_code == 400
    assert amina.api.open(method, amina.url, json={"username": amina.name}).status_code == 200


def test_users_can_not_delete_their_own_profile(amina):
    response = amina.api.delete("/user/")

    assert response.status_code == 405
    assert "DELETE" not in response.headers["Allow"]


def test_email_is_shown_to_authenticated_callers_and_roles_to_staff(api, amina, other, staff):
    assert not {"email", "is_staff", "is_superuser"} & set(
        good(api.anonymous.get(amina.url)).get_json()
    )
    assert {"email"} == {"email", "is_staff", "is_superuser"} & set(
        good(other.api.get(amina.url)).get_json()
    )
    assert {"email", "is_staff", "is_superuser"} <= set(good(staff.api.get(amina.url)).get_json())
    assert "@example.org" not in good(api.anonymous.get("/users/?limit=0&verbose=true")).get_data(
        as_text=True
    )


def test_users_are_listed_in_the_order_in_which_they_joined(api, amina, other):
    everyone = names(api.anonymous.get("/users/?limit=0"))

    assert everyone[0] == "root"
    assert everyone[-2:] == [amina.name, other.name]
    page = api.get("/users/?limit=1")
    assert (names(page), page.headers["num_found"]) == (["root"], str(len(everyone)))


# Deactivation


def test_a_deactivated_user_is_hidden_with_what_they_own_and_can_be_reactivated(
    api, people, amina, other, staff
):
    mine = new_source(amina.api, amina.url)
    mine.concept("A")
    mine.release("v1")
    elsewhere = new_source(api)
    elsewhere.concept("B")
    org = new_org(api)
    good(api.open("PUT", f"{org}members/{amina.name}/"))
    found = {
        name: int(good(api.get(f"/{name}/?limit=1")).headers["num_found"])
        for name in ("users", "sources", "concepts")
    }

    assert staff.api.delete(amina.url).status_code == 204

    assert amina.api.get("/user/").status_code == 401
    assert amina.api.get("/orgs/").status_code == 401
    for caller in (api.anonymous, other.api, api):
        for rest in ("sources/", "orgs/", "orgs/sources/"):
            assert caller.get(amina.url + rest).status_code == 404
        for rest in ("", "concepts/", "concepts/A/", "v1/", "v1/export/", "versions/"):
            assert caller.get(mine.url + rest).status_code == 404
        assert amina.name not in names(caller.get(f"{org}members/"))
        assert {
            name: int(caller.get(f"/{name}/?limit=1").headers["num_found"]) for name in found
        } == {n: c - 1 for n, c in found.items()}
    assert api.anonymous.get(amina.url).status_code == other.api.get(amina.url).status_code == 404
    assert good(staff.api.get(amina.url)).get_json()["username"] == amina.name
    mapping = {
        "map_type": "SAME-AS",
        "from_concept_url": f"{elsewhere.url}concepts/B/",
        "to_concept_url": f"{mine.url}concepts/A/",
    }
    assert "to_concept_url" in api.post(f"{elsewhere.url}mappings/", mapping).get_json()["errors"]
    assert good(api.get(org)).get_json()["members"] == 1
    assert api.open("PUT", f"{org}members/{amina.name}/").status_code == 404
    assert api.post(f"{amina.url}sources/", {"id": "X", "name": "X"}).status_code == 404
    assert staff.api.delete(amina.url).status_code == 404
    assert (
        api.post("/users/", {"username": amina.name, "name": "x", "email": "x@y.org"}).status_code
        == 400
    )

    assert staff.api.open("PUT", f"{amina.url}reactivate/").status_code == 204

    assert good(amina.api.get("/user/")).get_json()["orgs"] == 1
    assert mine.ids() == ["A"]
    assert amina.name in names(api.get(f"{org}members/"))
    assert {
        name: int(good(api.get(f"/{name}/?limit=1")).headers["num_found"]) for name in found
    } == found
    good(amina.api.post(f"{mine.url}concepts/", concept_body("C")))
    good(api.post(f"{elsewhere.url}mappings/", mapping))


def test_unknown_users_are_not_found(api, staff):
    for caller in (api, staff.api):
        assert caller.get("/users/nobody/").status_code == 404
        assert caller.put("/users/nobody/", {"name": "x"}).status_code == 404
        assert caller.delete("/users/nobody/").status_code == 404
        assert caller.open("PUT", "/users/nobody/reactivate/").status_code == 404


def test_the_last_superuser_can_not_be_deactivated_or_demoted(api, people, staff):
    assert api.delete("/users/root/").status_code == 400
    assert api.put("/users/root/", {"is_superuser": False}).status_code == 400
    assert staff.api.delete("/users/root/").status_code == 403
    assert staff.api.put("/users/root/", {"password": "taken over"}).status_code == 403
    second = people.new(is_superuser=True)
    good(second.api.get("/user/"))
    assert api.delete(second.url).status_code == 204
    assert api.get("/user/").status_code == 200


# Organisations of users


def test_only_organisations_of_a_user_that_the_caller_may_read_are_listed(
    api, people, amina, other, staff
):
    open_org, closed = new_org(amina.api), new_org(amina.api, public_access="None")
    source, hidden = (
        new_source(amina.api, open_org),
        new_source(amina.api, open_org, public_access="None"),
    )
    inside, shown = (
        new_source(amina.api, closed),
        new_source(amina.api, closed, public_access="View"),
    )
    fellow = people.new()
    good(amina.api.open("PUT", f"{closed}members/{fellow.name}/"))

    def seen(caller, rest):
        return {found["url"] for found in good(caller.get(f"{amina.url}{rest}?limit=0")).get_json()}

    for caller in (amina.api, staff.api):
        assert seen(caller, "orgs/") == {open_org, closed}
        assert seen(caller, "orgs/sources/") == {source.url, hidden.url, inside.url, shown.url}
    assert seen(fellow.api, "orgs/") == {open_org, closed}
    assert seen(fellow.api, "orgs/sources/") == {source.url, inside.url, shown.url}
    for caller in (api.anonymous, other.api):
        assert seen(caller, "orgs/") == {open_org}
        assert seen(caller, "orgs/sources/") == {source.url}
        assert seen(caller, "orgs/collections/") == set()
    assert {found["url"] for found in good(amina.api.get("/user/orgs/")).get_json()} == {
        open_org,
        closed,
    }
    assert [
        good(caller.get(amina.url)).get_json()["orgs"] for caller in (amina.api, other.api)
    ] == [2, 1]
    for rest in ("", "orgs/", "orgs/sources/", "orgs/collections/"):
        assert api.anonymous.get(f"/user/{rest}").status_code == 401


def test_a_profile_counts_public_sources(api, amina):
    new_source(amina.api, amina.url)
    new_source(amina.api, amina.url, public_access="None")

    assert good(amina.api.get(amina.url)).get_json()["public_sources"] == 1


# Counts. These tests come last, because they create private items.


def test_counts_in_a_list_of_details_depend_on_the_caller(api, amina, other):
    for person, sources in ((amina, ("View", "View", "None")), (other, ("View",))):
        for access in sources:
            new_source(person.api, person.url, public_access=access)
    for access, members in (("View", (amina, other)), ("None", (amina,))):
        org = new_org(api, public_access=access)
        for person in members:
            good(api.open("PUT", f"{org}members/{person.name}/"))
        new_source(api, org)

    for reader in (api, amina.api, other.api, api.anonymous):
        shown = {
            user["username"]: user
            for user in good(reader.get("/users/?limit=0&verbose=true")).get_json()
        }
        assert {name: good(reader.get(f"/users/{name}/")).get_json() for name in shown} == shown
        orgs = good(reader.get("/orgs/?limit=0&verbose=true")).get_json()
        assert [good(reader.get(org["url"])).get_json() for org in orgs] == orgs
    counted = [
        (shown[one.name]["public_sources"], shown[one.name]["orgs"]) for one in (amina, other)
    ]
    assert counted == [(2, 1), (1, 1)]  # as an anonymous caller sees it
