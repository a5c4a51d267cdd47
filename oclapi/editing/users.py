"""Edits of users."""

from collections.abc import Callable

from oclapi import passwords
from oclapi.access import Caller, need
from oclapi.editing.values import changed
from oclapi.errors import Invalid, NotFound
from oclapi.model import Json
from oclapi.store.database import Transaction
from oclapi.store.store import Store
from oclapi.store.users import extras_of

OPTIONAL = ("company", "location", "preferred_locale", "website", "extras")
ROLES = ("is_staff", "is_superuser")
SHORTEST_PASSWORD = 6
"""Characters; a setting says otherwise."""


def create(
    store: Store,
    body: Json,
    caller: Caller,
    *,
    shortest: int = SHORTEST_PASSWORD,
    unverified: bool = False,
    also_write: Callable[[Transaction], None] | None = None,
) -> Json:
    """Add a user and return it. `unverified`: somebody who signs up, and is not there for others
    before the address is verified.

    `shortest`: characters of a password; `beside` writes what must be stored together with the
    user. Raises Invalid; Forbidden where roles are given by somebody who may not.
    """
    if any(body.get(role) for role in ROLES):
        need(caller, "grant roles")
    state = {"active": False, "unverified": True} if unverified else {}
    fields = {
        "name": body["name"],
        "email": body["email"],
        **{name: body.get(name) for name in OPTIONAL},
        **{role: body.get(role, False) for role in ROLES},
        "password": None,
        **_password(body, shortest),
        **state,
    }
    return store.users.create(
        body["username"], fields, caller.username or body["username"], also_write
    )


def update(
    store: Store, username: str, body: Json, caller: Caller, *, shortest: int = SHORTEST_PASSWORD
) -> Json:
    """Change the fields that are in `body`; return the user. A new password ends the user's tokens.

    Raises Invalid, NotFound; Forbidden where roles are changed, or a superuser's password, by
    somebody who may not.
    """
    if body.get("username", username) != username:
        raise Invalid.field("username", "a username can't be changed")
    password = _password(body, shortest)

    def change(session: Transaction, found: Json) -> Json:
        given = {name: body[name] for name in ("name", "email", *OPTIONAL, *ROLES) if name in body}
        if any(given.get(role, found[role]) != found[role] for role in ROLES):
            need(caller, "grant roles")
        if password and found["is_superuser"]:
            need(caller, "manage superusers", found)
        if (
            found["is_superuser"]
            and found["active"]
            and given.get("is_superuser") is False
            and store.users.superusers(session) == 1
        ):
            raise Invalid.field("is_superuser", LAST)
        # a hash may be given twice
        new = password if password.get("password") != found.get("password") else {}
        return {**changed({**found, "extras": extras_of(found)}, given), **new}

    edited = store.users.edit(username, change, caller.by)
    if edited is None:
        raise NotFound("there is no such user")
    return edited


def deactivate(store: Store, username: str, caller: Caller) -> None:
    """Hide the user and all it owns. Raises NotFound; Forbidden for a superuser where the caller is
    none, Invalid for the last one.
    """

    def check(session: Transaction, user: Json) -> None:
        if user["is_superuser"]:
            need(caller, "grant roles")
            if store.users.superusers(session) == 0:
                raise Invalid.field("__all__", LAST)

    store.users.deactivate(username, check, caller.by)


def reactivate(store: Store, username: str, caller: Caller) -> None:
    """Show the user again with all it owns. Raises NotFound; Forbidden for a deactivated superuser
    where the caller is none.
    """

    def check(user: Json) -> None:
        if user["is_superuser"] and not user["active"]:
            need(caller, "grant roles")

    store.users.activate(username, caller.by, check=check)


LAST = "this is the last superuser: without one nobody could grant roles"


def _password(body: Json, shortest: int) -> Json:
    """What a body says of the password, as it is kept. Raises Invalid."""
    if "password" in body and "hashed_password" in body:
        raise Invalid.field("hashed_password", "give either a password or the hash of one")
    if "hashed_password" in body:
        return {"password": body["hashed_password"]}
    if "password" not in body:
        return {}
    if len(body["password"]) < shortest:
        raise Invalid.field("password", f"must have at least {shortest} characters")
    return {"password": passwords.hashed(body["password"])}
