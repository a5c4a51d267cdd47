"""Edits of organisations."""

from collections.abc import Callable

from oclapi.access import Action, Caller, may, need
from oclapi.editing.repositories import unused
from oclapi.editing.values import changed
from oclapi.errors import Invalid, NotFound
from oclapi.model import Json
from oclapi.store.database import Transaction
from oclapi.store.store import Store
from oclapi.store.users import extras_of

OPTIONAL = ("company", "website", "location", "description", "extras")


def create_org(store: Store, body: Json, caller: Caller) -> Json:
    """Add an organisation, whose first member is the caller; return it. Raises Invalid when the id
    is taken.
    """
    fields = {
        "name": body["name"],
        "public_access": body.get("public_access", "View"),
        **{name: body.get(name) for name in OPTIONAL},
    }
    return store.owners.create_org(body["id"], fields, caller.by)


def update_org(store: Store, org: str, body: Json, caller: Caller) -> Json:
    """Change the fields that are in `body`; return the organisation. Raises NotFound, Invalid, and
    as access.need.
    """
    if body.get("id", org) != org:
        raise Invalid.field("id", "an id can't be changed")

    def change(session: Transaction, found: Json) -> Json:
        now = store.users.reload(caller, session)
        need(now, "edit org", found)
        given = {name: body[name] for name in ("name", "public_access", *OPTIONAL) if name in body}
        if given.get("public_access", found["public_access"]) != found["public_access"]:
            need(now, "members", found)
        return changed({**found, "extras": extras_of(found)}, given)

    edited = store.owners.edit_org(org, change, caller.by)
    if edited is None:
        raise NotFound(f"there is no organisation {org}")
    return edited


def add_member(store: Store, org: str, username: str, caller: Caller) -> None:
    """Make the user a member; one who is a member stays so. Raises NotFound for an unknown user or
    organisation, and as access.need.
    """
    store.owners.add_member(org, username, _still(store, caller, "members"))


def remove_member(store: Store, org: str, username: str, caller: Caller) -> None:
    """End the user's membership. Raises NotFound when there is none; Invalid for the last member,
    unless the caller may remove that one; as access.need.
    """

    def check(session: Transaction, found: Json) -> None:
        need(store.users.reload(caller, session), "members", found)
        if found["members"] == [username] and not may(caller, "remove last member"):
            raise Invalid.field("__all__", f"{username} is the last member of {org}")

    store.owners.remove_member(org, username, check)


def delete_org(store: Store, org: str, caller: Caller) -> None:
    """Delete the organisation with its repositories. Raises NotFound; Invalid with `usage` while
    repositories of others use one of them; as access.need.
    """
    in_use = unused(store, caller, sparing=f"/orgs/{org}/")
    store.owners.delete_org(org, _still(store, caller, "delete org"), in_use)


def _still(store: Store, caller: Caller, action: Action) -> Callable[[Transaction, Json], None]:
    """A check that the caller may do it in the moment of the transaction: a membership may have
    ended while the request waited.
    """
    return lambda session, org: need(store.users.reload(caller, session), action, org)
