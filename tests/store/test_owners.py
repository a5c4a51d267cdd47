"""Users and organisations, on a real database."""

from datetime import timedelta

import pytest

from oclapi.access import ANONYMOUS, Caller
from oclapi.store.owners import OrganizationFilter
from oclapi.store.users import Credentials, UserFilter

pytestmark = pytest.mark.servers


@pytest.fixture
def store(store):
    """The store with its first superuser and organisation, and amina, a member of it."""
    store.owners.ensure_first("root", "f" * 40)
    fields = {"name": "Amina K.", "email": "amina@example.org", "password": "a hash"}
    store.users.create("amina", fields, "root")
    store.owners.add_member("OCL", "amina", lambda session, org: None)
    return store


def edit(store, **fields):
    user, _ = store.users.edit("amina", lambda session, user: fields, "root")
    return user


def test_an_organisation_is_read_as_it_was_written(store):
    fields = {"name": "North Lab", "public_access": "Edit", "extras": {"a.b": [1.0]}}
    written = store.owners.create_org("NorthLab", fields, "amina")

    assert store.owners.org("NorthLab") == written
    assert (written.id, written.members, written.url) == ("NorthLab", ("amina",), "/orgs/NorthLab/")
    assert (written.public_access, written.extras) == ("Edit", {"a.b": [1.0]})
    assert store.owners.org("Nobody") is None


def test_a_user_is_read_as_it_was_written(store):
    written = edit(store, company="c", extras={"k": 1})

    assert store.users.get("amina") == written
    assert (written.username, written.company, written.extras) == ("amina", "c", {"k": 1})
    assert (written.active, written.unverified, written.is_staff) == (True, False, False)
    assert store.users.get("nobody") is None


def test_a_password_is_read_only_as_credentials(store):
    assert store.users.credentials("amina") == Credentials("amina", "a hash", True, False)
    assert store.users.credentials("root") == Credentials("root", None, True, False)
    assert store.users.credentials("nobody") is None
    assert "a hash" not in repr((store.users.get("amina"), store.users.credentials("amina")))


def test_the_hash_that_a_user_has_already_is_no_change(store):
    before, token = store.users.get("amina"), store.users.new_token("amina")

    assert edit(store, password="a hash") == before
    assert store.users.by_token(token)

    assert edit(store, password="another").updated_on > before.updated_on
    assert store.users.by_token(token) is None


def test_a_new_password_keeps_the_fixed_token(store):
    store.users.edit("root", lambda session, user: {"password": "new"}, "root")
    assert store.users.by_token("f" * 40).username == "root"


def test_a_user_is_the_caller_of_that_name(store):
    caller = store.users.caller("amina")
    assert (caller, caller.by) == (Caller("amina", orgs=frozenset({"OCL"})), "amina")
    assert store.users.caller("root") == Caller("root", is_staff=True, is_superuser=True)
    assert store.users.caller("nobody") is None


def test_organisations_are_listed_by_member_rights_and_time(store):
    open_, closed = (
        store.owners.create_org(name, {"name": name, "public_access": access}, "amina")
        for name, access in (("Open", "View"), ("Closed", "None"))
    )

    def listed(**conditions):
        selected = OrganizationFilter(**conditions)
        found = [org.id for org in store.owners.listing(selected)]
        assert store.owners.count(selected) == len(found)
        assert set(found) == set(store.owners.ids(selected))
        keys = sorted(found)
        assert [org.id for org in store.owners.chosen(selected, keys, full=False)] == keys
        return found

    assert set(listed()) == {"OCL", "Open", "Closed"}
    assert set(listed(member="root")) == {"OCL"}
    assert set(listed(member="amina", readable_by=ANONYMOUS)) == {"OCL", "Open"}
    assert set(listed(readable_by=Caller("amina", orgs=frozenset({"Closed"})))) == set(listed())
    assert set(listed(since=open_.updated_on)) == {"Open", "Closed"}
    assert listed(since=closed.updated_on + timedelta(seconds=1)) == []
    assert store.owners.memberships(["amina", "root"], ANONYMOUS) == {"amina": 2, "root": 1}


def test_users_are_listed_by_name_state_and_time(store):
    before = store.users.get("root").updated_on + timedelta(milliseconds=1)
    store.users.deactivate("amina", lambda session, user: None, "root")

    def listed(**conditions):
        selected = UserFilter(**conditions)
        found = [user.username for user in store.users.listing(selected)]
        assert store.users.count(selected) == len(found)
        keys = sorted(found)
        assert [user.username for user in store.users.chosen(selected, keys, full=True)] == keys
        return found

    assert listed() == ["root", "amina"]
    assert listed(active=True) == ["root"]
    assert listed(usernames=("amina", "nobody")) == ["amina"]
    assert listed(usernames=("amina",), active=True) == []
    assert listed(since=before) == ["amina"]
