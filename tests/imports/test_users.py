"""Lines of users, and lines with the rights of a user who is not staff."""

import pytest

from oclapi.access import Caller
from oclapi.errors import NotAuthenticated
from tests.imports.conftest import LAB, REF, START, concept, mapping

ASHA = {"type": "User", "username": "asha", "name": "Asha", "email": "asha@example.org"}
HASH = "pbkdf2_sha256$1$salt$" + "A" * 43 + "="


@pytest.fixture
def asha(imports):
    """The caller of a user without special rights."""
    assert imports.outcomes(ASHA) == ["created"]
    return imports.store.users.caller("asha")


def test_a_user_is_created_updated_and_deactivated(imports):
    deleted = {**ASHA, "__action": "DELETE"}
    given = [
        ASHA,
        ASHA,
        {**ASHA, "company": "c"},
        {**ASHA, "__action": "CREATE"},
        deleted,
        deleted,
        {**ASHA, "__action": "DELETE_IF_EXISTS"},
        {"type": "user", "username": "nobody", "__action": "UPDATE"},
    ]

    assert imports.outcomes(*given) == [
        "created",
        "unchanged",
        "updated",
        "exists",
        "deleted",
        "not_found",
        "unchanged",
        "not_found",
    ]
    assert [result["url"] for result in imports.results[:2]] == ["/users/asha/"] * 2
    assert imports.store.users.get("asha").active is False


def test_the_same_password_hash_again_changes_nothing(imports):
    assert imports.outcomes(
        {**ASHA, "hashed_password": HASH}, {**ASHA, "hashed_password": HASH}
    ) == ["created", "unchanged"]
    assert imports.store.users.credentials("asha").password == HASH


@pytest.mark.parametrize(
    ("fields", "outcome", "field"),
    [
        ({"username": None}, "invalid", "username"),
        ({"name": None}, "invalid", "name"),
        ({"email": "x"}, "failed", "email"),
        ({"username": "a b"}, "failed", "username"),
        ({"username": "login"}, "failed", "username"),
        ({"password": "x"}, "failed", "password"),
    ],
)
def test_a_wrong_line_is_refused_on_its_field(imports, fields, outcome, field):
    line = {name: value for name, value in {**ASHA, **fields}.items() if value is not None}
    assert imports.outcomes(line) == [outcome]
    assert list(imports.results[0]["errors"]) == [field]


def test_the_minimum_length_of_passwords_is_an_option(imports):
    assert imports.outcomes({**ASHA, "password": "1234567"}, shortest=8) == ["failed"]
    assert imports.outcomes({**ASHA, "password": "12345678"}, shortest=8) == ["created"]
    assert "12345678" not in repr(list(imports.store.database.task_results.find())) + repr(
        list(imports.store.database.tasks.find())
    )


def test_staff_may_create_users_and_superusers_may_grant_roles(imports, asha):
    new = {**ASHA, "username": "new"}
    assert imports.outcomes(new, {**ASHA, "company": "c"}, caller=asha) == ["permission_denied"] * 2
    imports.run({**ASHA, "is_staff": True})
    staff = imports.store.users.caller("asha")
    assert imports.outcomes(
        new,
        {**new, "is_staff": True},
        {**new, "username": "n2", "is_superuser": True},
        caller=staff,
    ) == [
        "created",
        "permission_denied",
        "permission_denied",
    ]


def test_a_user_can_create_an_organisation_and_its_content_in_one_import(imports, asha):
    assert imports.outcomes(*START[:2], concept(1), caller=asha) == ["created"] * 3
    assert imports.store.repos.by_url(LAB).created_by == "asha"
    own = {"type": "Source", "owner": "asha", "owner_type": "User", "id": "OWN", "name": "Own"}
    assert imports.outcomes(
        own, {**own, "owner": "root"}, {**START[0], "__action": "DELETE"}, caller=asha
    ) == [
        "created",
        "permission_denied",
        "permission_denied",
    ]


def test_others_may_change_the_content_of_an_open_source_but_not_its_access(lab, asha):
    assert lab.outcomes(concept(1), caller=asha) == ["permission_denied"]
    lab.run({**START[1], "public_access": "Edit"})
    others = [
        concept(1),
        {**START[1], "name": "Lab 2"},
        {**START[1], "public_access": "None"},
        {**START[1], "__action": "DELETE"},
    ]
    assert lab.outcomes(*others, caller=asha) == [
        "created",
        "updated",
        "permission_denied",
        "permission_denied",
    ]


def test_a_private_source_looks_unknown_to_other_lines_of_the_same_batch(lab, asha):
    own = "/users/asha/sources/OWN/"
    source = {"type": "Source", "owner": "asha", "owner_type": "User", "id": "OWN", "name": "Own"}
    assert (
        lab.outcomes(
            {**START[2], "public_access": "None"}, concept(7, REF), source, concept(1, own)
        )
        == ["updated"] + ["created"] * 3
    )
    lines = [concept(8, REF), mapping(1, 7, own, REF), mapping(1, 404, own, REF)]

    assert lab.outcomes(*lines, caller=asha) == ["not_found", "failed", "failed"]
    known, unknown = (result["errors"] for result in lab.results[1:])
    assert known == {"to_concept_url": [unknown["to_concept_url"][0].replace("404", "7")]}


def test_a_membership_that_has_ended_gives_no_rights_to_later_lines(imports, asha):
    imports.run(*START[:2], caller=asha)
    imports.run({"type": "Organization", "id": "NorthLab", "__action": "UPDATE", "name": "x"})
    imports.store.owners.remove_member("NorthLab", "asha", lambda session, org: None)
    assert imports.outcomes(concept(1), caller=asha) == ["permission_denied"]


def test_an_import_of_a_deactivated_user_stops(imports, asha):
    imports.run({**ASHA, "__action": "DELETE"})
    with pytest.raises(NotAuthenticated):
        imports.run(concept(1), caller=asha)


def test_content_of_a_deactivated_user_is_not_found(imports):
    own = {"type": "Source", "owner": "asha", "owner_type": "User", "id": "OWN", "name": "Own"}
    assert imports.outcomes(ASHA, own, concept(1, "/users/asha/sources/OWN/")) == ["created"] * 3
    imports.run({**ASHA, "__action": "DELETE"})
    assert (
        imports.outcomes(
            concept(2, "/users/asha/sources/OWN/"), {**own, "name": "x"}, {**own, "id": "NEW"}
        )
        == ["not_found"] * 3
    )
    assert imports.outcomes({**ASHA, "name": "x"}, caller=Caller("root", is_superuser=True)) == [
        "updated"
    ]
