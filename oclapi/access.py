"""Who may do what: the one place of rules. Every resource and every line of an import asks here.

An item named by path answers 401, 403 or 404 as `need` says; an item named anywhere else (a body, a listing, a count) that
`may` refuses to be read is treated as not existing.
"""

from dataclasses import dataclass
from typing import Literal

from oclapi.errors import Forbidden, NotAuthenticated
from oclapi.model import Json

Action = Literal["read", "write", "own"]
"""read: see it and what it holds. write: change content or metadata, make versions. own: delete, open or close it."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `username` None: nobody in particular."""

    username: str | None = None
    is_staff: bool = False
    is_superuser: bool = False

    @property
    def by(self) -> str:
        """The name that a write is signed with; only callers who may write reach one."""
        assert self.username is not None
        return self.username


ANYBODY = Caller()


def caller_of(user: Json) -> Caller:
    """The caller that a user's document stands for."""
    return Caller(user["_id"], user["is_staff"], user["is_superuser"])


def may(caller: Caller, action: Action, target: Json) -> bool:
    """May the caller do this to a repository or an organisation (their documents)?"""
    if caller.is_superuser:
        return True
    return action == "read" and target["public_access"] != "None"


def need(caller: Caller, action: Action, target: Json) -> None:
    """Raise NotAuthenticated or Forbidden unless the caller may."""
    if not may(caller, action, target):
        refuse(caller)


def need_create(caller: Caller, what: str) -> None:
    """Raise unless the caller may create a new item of this kind (`org`, `source`)."""
    if not caller.is_superuser:
        refuse(caller)


def refuse(caller: Caller) -> None:
    """Raise what a caller without the right is told."""
    if caller.username is None:
        raise NotAuthenticated("credentials are needed for this")
    raise Forbidden(f"{caller.username} may not do this")


def readable(caller: Caller) -> Json:
    """A filter on stored repositories or organisations: those that the caller may read."""
    return {} if caller.is_superuser else {"public_access": {"$ne": "None"}}
