"""Edits of organisations."""

from collections.abc import Callable

from oclapi.access import Action, Caller, may, need
from oclapi.editing.repositories import check_unused
from oclapi.editing.values import changed
from oclapi.errors import Invalid, NotFound
from oclapi.model import Json, Organization
from oclapi.store.database import Transaction
from oclapi.store.store import Store

OPTIONAL = ("company", "website", "location", "description", "extras")


def create_org(store: Store, body: Json, caller: Caller) -> Organization:
    """Add an organisation and return it. The caller becomes its first member.

    Raises Invalid when the id is taken.
    """
    fields = {
        "name": body["name"],
        "public_access": body.get("public_access", "View"),
        **{name: body.get(name) for name in OPTIONAL},
    }
    return store.owners.create_org(body["id"], fields, caller.by)


def update_org(store: Store, org: str, body: Json, caller: Caller) -> tuple[Organization, bool]:
    """Change the fields in `body`. Return the organisation, and whether it changed.

    Raises NotFound, Invalid, and the errors of `access.need`.
    """
    if body.get("id", org) != org:
        raise Invalid.field("id", "an id can't be changed")

    def change(session: Transaction, found: Organization) -> Json:
        now = store.users.reload(caller, session)
        need(now, "edit org", found)
        given = {name: body[name] for name in ("name", "public_access", *OPTIONAL) if name in body}
        if given.get("public_access", found.public_access) != found.public_access:
            need(now, "members", found)
        return changed(found, given)

    edited = store.owners.edit_org(org, change, caller.by)
    if edited is None:
        raise NotFound(f"organisation {org} not found")
    return edited


def add_member(store: Store, org: str, username: str, caller: Caller) -> None:
    """Make the user a member, if that is not the case already.

    Raises NotFound for an unknown user or organisation, and the errors of `access.need`.
    """
    store.owners.add_member(org, username, _check_right(store, caller, "members"))


def remove_member(store: Store, org: str, username: str, caller: Caller) -> None:
    """Remove a member.

    Raises NotFound for a user who is no member, Invalid for the last member unless the caller may
    remove that one, and the errors of `access.need`.
    """

    def check(session: Transaction, found: Organization) -> None:
        need(store.users.reload(caller, session), "members", found)
        if found.members == (username,) and not may(caller, "remove last member"):
            raise Invalid.field("__all__", f"{username} is the last member of {org}")

    store.owners.remove_member(org, username, check)


def delete_org(store: Store, org: str, caller: Caller) -> None:
    """Delete the organisation with its repositories.

    Raises NotFound, Invalid with `usage` while repositories of others use one of them, and the
    errors of `access.need`.
    """
    in_use = check_unused(store, caller, except_owner=f"/orgs/{org}/")
    store.owners.delete_org(org, _check_right(store, caller, "delete org"), in_use)


def _check_right(
    store: Store, caller: Caller, action: Action
) -> Callable[[Transaction, Organization], None]:
    """Return a check of the caller's right inside the transaction.

    The caller's memberships are reloaded: they may have changed since authentication.
    """
    return lambda session, org: need(store.users.reload(caller, session), action, org)
