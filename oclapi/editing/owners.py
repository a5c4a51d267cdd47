"""Edits of organisations."""

from oclapi.access import Caller, need
from oclapi.editing.repositories import unused
from oclapi.editing.values import changed
from oclapi.errors import Invalid, NotFound
from oclapi.model import Json
from oclapi.store.database import Transaction
from oclapi.store.store import Store
from oclapi.store.users import extras_of

OPTIONAL = ("company", "website", "location", "description", "extras")


def create_org(store: Store, body: Json, caller: Caller) -> Json:
    """Add an organisation, whose first member is the caller; return it. Raises Invalid when the id is taken."""
    fields = {"name": body["name"], "public_access": body.get("public_access", "View"), **{name: body.get(name) for name in OPTIONAL}}
    return store.owners.create_org(body["id"], fields, caller.by)


def update_org(store: Store, org: str, body: Json, caller: Caller) -> Json:
    """Change the fields that are in `body`; return the organisation. Raises NotFound, Invalid; Forbidden where the caller may not

    change `public_access`.
    """
    if body.get("id", org) != org:
        raise Invalid.field("id", "an id can't be changed")

    def change(session: Transaction, found: Json) -> Json:
        need(caller, "edit org", found)
        given = {name: body[name] for name in ("name", "public_access", *OPTIONAL) if name in body}
        if given.get("public_access", found["public_access"]) != found["public_access"]:
            need(caller, "members", found)
        return changed({**found, "extras": extras_of(found)}, given)

    edited = store.owners.edit_org(org, change, caller.by)
    if edited is None:
        raise NotFound(f"there is no organisation {org}")
    return edited


def delete_org(store: Store, org: str, caller: Caller) -> None:
    """Delete the organisation with its repositories. Raises NotFound; Invalid with `usage` while repositories of others use one of them."""
    store.owners.delete_org(org, unused(store, caller, beside=f"/orgs/{org}/"))
