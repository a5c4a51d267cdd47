"""Edits of users."""

from collections.abc import Callable

from oclapi import passwords
from oclapi.access import Caller, need
from oclapi.editing.values import changed
from oclapi.errors import Invalid, NotFound
from oclapi.model import Json, User
from oclapi.store.database import Transaction
from oclapi.store.store import Store

OPTIONAL = ("company", "location", "preferred_locale", "website", "extras")
ROLES = ("is_staff", "is_superuser")
SHORTEST_PASSWORD = 6
"""Default of the minimum length of a password."""


def create(
    store: Store,
    body: Json,
    caller: Caller,
    *,
    shortest: int = SHORTEST_PASSWORD,
    unverified: bool = False,
    also_write: Callable[[Transaction], None] | None = None,
) -> User:
    """Add a user and return it.

    An `unverified` user has signed up and is hidden until the e-mail address is verified.
    `shortest` is the minimum length of a password. `also_write` writes further documents in the
    same transaction. Raises Invalid, and Forbidden when the caller may not grant the given roles.
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
) -> tuple[User, bool]:
    """Change the fields in `body`. Return the user, and whether it changed.

    A new password revokes the user's tokens.
    Raises Invalid, NotFound, and Forbidden when the caller may not change roles or a superuser's
    password.
    """
    if body.get("username", username) != username:
        raise Invalid.field("username", "a username can't be changed")
    password = _password(body, shortest)

    def change(session: Transaction, found: User) -> Json:
        given = {name: body[name] for name in ("name", "email", *OPTIONAL, *ROLES) if name in body}
        if any(given.get(role, getattr(found, role)) != getattr(found, role) for role in ROLES):
            need(caller, "grant roles")
        if password and found.is_superuser:
            need(caller, "manage superusers", found)
        if (
            found.is_superuser
            and found.active
            and given.get("is_superuser") is False
            and store.users.superusers(session) == 1
        ):
            raise Invalid.field("is_superuser", LAST)
        return {**changed(found, given), **password}

    edited = store.users.edit(username, change, caller.by)
    if edited is None:
        raise NotFound("user not found")
    return edited


def deactivate(store: Store, username: str, caller: Caller) -> None:
    """Hide the user and everything the user owns.

    Raises NotFound, Invalid for the last superuser, and Forbidden for a superuser unless the caller
    is one.
    """

    def check(session: Transaction, user: User) -> None:
        if user.is_superuser:
            need(caller, "grant roles")
            if store.users.superusers(session) == 0:
                raise Invalid.field("__all__", LAST)

    store.users.deactivate(username, check, caller.by)


def reactivate(store: Store, username: str, caller: Caller) -> None:
    """Show the user and everything the user owns again.

    Raises NotFound, and Forbidden for a superuser unless the caller is one.
    """

    def check(user: User) -> None:
        if user.is_superuser and not user.active:
            need(caller, "grant roles")

    store.users.activate(username, caller.by, check=check)


LAST = "this is the last superuser, without one no roles could be granted"


def _password(body: Json, shortest: int) -> Json:
    """Return the stored form of the password in a body. Raises Invalid."""
    if "password" in body and "hashed_password" in body:
        raise Invalid.field("hashed_password", "give either a password or a hash")
    if "hashed_password" in body:
        return {"password": body["hashed_password"]}
    if "password" not in body:
        return {}
    if len(body["password"]) < shortest:
        raise Invalid.field("password", f"must have at least {shortest} characters")
    return {"password": passwords.hashed(body["password"])}
