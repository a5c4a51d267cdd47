"""Who may do what: the table, cell by cell."""

from pathlib import Path

import pytest

from oclapi import access
from oclapi.access import ANONYMOUS, Caller, may, need
from oclapi.errors import Forbidden, NotAuthenticated, NotFound
from oclapi.store.owners import OrganizationFilter
from oclapi.store.repos import RepositoryFilter
from tests.builders import mocked_store, organization, repository, repository_document, user

AMINA = Caller("amina", orgs=frozenset({"NorthLab"}))
OTHER = Caller("other", orgs=frozenset({"Elsewhere"}))
STAFF = Caller("staff", is_staff=True)
ROOT = Caller("root", is_superuser=True)
CALLERS = {
    "anonymous": ANONYMOUS,
    "other": OTHER,
    "owner": AMINA,
    "staff": STAFF,
    "superuser": ROOT,
}


def repo(public_access="View", owner_url="/orgs/NorthLab/", **more):
    return repository(owner_url=owner_url, public_access=public_access, **more)


def allowed(action, target):
    """Who may, as the initials of their roles."""
    return "".join(
        role[:2] + " " for role, caller in CALLERS.items() if may(caller, action, target)
    ).strip()


@pytest.mark.parametrize(
    ("action", "public_access", "who"),
    [
        ("read", "View", "an ot ow st su"),
        ("read", "Edit", "an ot ow st su"),
        ("read", "None", "ow st su"),
        ("start export", "View", "ot ow st su"),
        ("start export", "None", "ow st su"),
        ("write", "View", "ow st su"),
        ("write", "Edit", "ot ow st su"),
        ("write", "None", "ow st su"),
        ("own", "View", "ow st su"),
        ("own", "Edit", "ow st su"),
        ("own", "None", "ow st su"),
        ("create repository", "View", "ow st su"),
    ],
)
@pytest.mark.parametrize("owner", ["/orgs/NorthLab/", "/users/amina/"])
def test_a_repository_is_its_owners_or_the_members_of_its_organisation(
    owner, action, public_access, who
):
    assert allowed(action, repo(public_access, owner)) == who


@pytest.mark.parametrize(
    ("action", "public_access", "who"),
    [
        ("read org", "View", "an ot ow st su"),
        ("read org", "Edit", "an ot ow st su"),
        ("read org", "None", "ow st su"),
        ("edit org", "View", "ow st su"),
        ("edit org", "Edit", "ot ow st su"),
        ("edit org", "None", "ow st su"),
        ("members", "Edit", "ow st su"),
        ("delete org", "Edit", "su"),
        ("create org", "View", "ot ow st su"),
        ("remove last member", "View", "st su"),
    ],
)
def test_an_organisation_is_its_members(action, public_access, who):
    assert allowed(action, organization(public_access=public_access)) == who


@pytest.mark.parametrize(
    ("action", "who"),
    [
        ("read user", "an ot ow st su"),
        ("read email", "ot ow st su"),
        ("edit user", "ow st su"),
        ("manage users", "st su"),
        ("manage superusers", "ow su"),
        ("grant roles", "su"),
        ("read roles", "st su"),
        ("see deactivated", "st su"),
        ("import", "ot ow st su"),
    ],
)
def test_a_profile_is_the_users_own(action, who):
    assert allowed(action, user(username="amina")) == who


def test_an_import_is_seen_by_the_user_who_started_it():
    assert allowed("read task", {"username": "amina"}) == "ow st su"


def test_a_refusal_says_why():
    with pytest.raises(NotAuthenticated):
        need(ANONYMOUS, "write", repo("Edit"))
    with pytest.raises(Forbidden):
        need(OTHER, "write", repo())
    need(OTHER, "write", repo("Edit"))


@pytest.mark.parametrize("caller", CALLERS.values(), ids=CALLERS)
def test_what_a_deactivated_user_owns_is_hidden_from_all(caller):
    hidden = repo(hidden=True)
    for action in ("read", "write", "own"):
        assert not may(caller, action, hidden)
        with pytest.raises(NotFound):
            need(caller, action, hidden)


@pytest.mark.parametrize("caller", CALLERS.values(), ids=CALLERS)
@pytest.mark.parametrize("public_access", ["View", "Edit", "None"])
@pytest.mark.parametrize("owner", ["/orgs/NorthLab/", "/users/amina/", "/users/NorthLab/"])
@pytest.mark.parametrize("hidden", [{}, {"hidden": True}])
def test_a_listing_holds_what_the_caller_may_read(caller, public_access, owner, hidden):
    stored = {"owner_url": owner, "public_access": public_access, **hidden}
    store = mocked_store()
    store.database.repos.insert_one(repository_document(**stored))
    listed = store.repos.heads(RepositoryFilter(readable_by=caller))
    assert bool(listed) == may(caller, "read", repository(**stored))


@pytest.mark.parametrize("caller", CALLERS.values(), ids=CALLERS)
@pytest.mark.parametrize("public_access", ["View", "Edit", "None"])
def test_a_listing_of_organisations_holds_what_the_caller_may_read(caller, public_access):
    store = mocked_store()
    store.database.orgs.insert_one({"_id": "NorthLab", "public_access": public_access})
    listed = store.owners.ids(OrganizationFilter(readable_by=caller))
    assert bool(listed) == may(caller, "read org", organization(public_access=public_access))


def test_no_other_module_decides_on_roles():
    root = Path(access.__file__).parent
    deciding = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if "caller.is_s" in path.read_text()
    }
    assert deciding == {"access.py"}


def test_the_documentation_contains_the_table():
    assert access.table() in (Path(access.__file__).parents[1] / "docs" / "access.md").read_text()
