"""Who may do what: the one place of rules, a table that reads like section 4 of the contract.

Every resource, every listing and every line of an import asks here. An item named by path answers
401, 403 or 404 as `need` says; an item named anywhere else (a body, a listing, a count, an error
text) that `may` refuses to be read is treated as not existing.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from oclapi.errors import Forbidden, NotAuthenticated, NotFound
from oclapi.model import Json

Role = Literal["anonymous", "user", "owner", "staff"]
Cell = Literal["yes", "no", "unless None", "if Edit", "if superuser"]
Kind = Literal["repository", "org", "user", "task", "server"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `username` None: nobody in particular. `orgs`: ids of the organisations that it is
    a member of.
    """

    username: str | None = None
    is_staff: bool = False
    is_superuser: bool = False
    orgs: frozenset[str] = frozenset()

    @property
    def by(self) -> str:
        """The name that a write is signed with; only callers who may write reach one."""
        assert self.username is not None
        return self.username

    @property
    def owns(self) -> list[str]:
        """The URLs under which it owns repositories."""
        mine = [] if self.username is None else [f"/users/{self.username}/"]
        return mine + [f"/orgs/{org}/" for org in sorted(self.orgs)]


ANYBODY = Caller()


def caller_of(user: Json, orgs: Iterable[str] = ()) -> Caller:
    """The caller that a user's document stands for, a member of these organisations."""
    return Caller(user["_id"], user["is_staff"], user["is_superuser"], frozenset(orgs))


@dataclass(frozen=True, slots=True)
class Rule:
    """A row of the table. Who owns it, if anybody, says `of`; see OWNS."""

    of: Kind
    what: str
    anonymous: Cell
    user: Cell
    owner: Cell
    staff: Cell
    instead: str = ""  # what happens without the right where that is no refusal


Action = Literal[
    "read",
    "write",
    "own",
    "start export",
    "create repository",
    "read org",
    "create org",
    "edit org",
    "members",
    "remove last member",
    "delete org",
    "read user",
    "read email",
    "edit user",
    "manage users",
    "read roles",
    "see deactivated",
    "manage superusers",
    "grant roles",
    "import",
    "read task",
]

TABLE: Mapping[Action, Rule] = {
    # what                                                      anonymous      any user       owner
    # staff
    "read": Rule("repository", "Read a repository, its versions, content and exports; have a missing export made by GET",
                                                                "unless None", "unless None", "yes", "yes"),
    "start export": Rule("repository", "Have a missing export made by POST",
                                                                "no",          "unless None", "yes", "yes"),
    "write": Rule("repository", "Write content, edit metadata, create and edit versions",
                                                                "no",          "if Edit",     "yes", "yes"),
    "own": Rule("repository", "Change `public_access`; delete a repository, version or export; make an export anew; clear a stuck flag",
                                                                "no",          "no",          "yes", "yes"),
    "create repository": Rule("repository", "Create a repository under an owner",
                                                                "no",          "no",          "yes", "yes"),
    "read org": Rule("org", "Read an organisation and the list of its members",
                                                                "unless None", "unless None", "yes", "yes"),
    "create org": Rule("server", "Create an organisation (its creator becomes a member)",
                                                                "no",          "yes",         "yes", "yes"),
    "edit org": Rule("org", "Edit an organisation",
                                                                "no",          "if Edit",     "yes", "yes"),
    "members": Rule("org", "Add, remove and check members; change an organisation's `public_access`",
                                                                "no",          "no",          "yes", "yes"),
    "remove last member": Rule("server", "Remove the last member of an organisation",
                                                                "no",          "no",          "no",  "yes", "400"),
    "delete org": Rule("org", "Delete an organisation",
                                                                "no",          "no",          "no",  "if superuser"),
    "read user": Rule("user", "List users, read a profile",
                                                                "yes",         "yes",         "yes", "yes"),
    "read email": Rule("user", "See a user's `email`",
                                                                "no",          "yes",         "yes", "yes", "left out"),
    "edit user": Rule("user", "Edit a profile",
                                                                "no",          "no",          "yes", "yes"),
    "manage users": Rule("server", "Create, deactivate and reactivate users",
                                                                "no",          "no",          "no",  "yes"),
    "read roles": Rule("server", "See `is_staff` and `is_superuser`",
                                                                "no",          "no",          "no",  "yes", "left out"),
    "see deactivated": Rule("server", "Read the profile of a deactivated user",
                                                                "no",          "no",          "no",  "yes", "404"),
    "manage superusers": Rule("user", "Change a superuser's password",
                                                                "no",          "no",          "yes", "if superuser"),
    "grant roles": Rule("server", "Set `is_staff` and `is_superuser`; deactivate and reactivate a superuser",
                                                                "no",          "no",          "no",  "if superuser"),
    "import": Rule("server", "Import (each line is checked with the user's rights)",
                                                                "no",          "yes",         "yes", "yes"),
    "read task": Rule("task", "See and cancel an import",
                                                                "no",          "no",          "yes", "yes"),
}  # fmt: skip
"""`owner`: the user who owns it or any member of the organisation that owns it; a member; the user
in person; who started the task.
"""

CELLS: Mapping[Cell, Callable[[Caller, Json], bool]] = {
    "yes": lambda caller, target: True,
    "no": lambda caller, target: False,
    "unless None": lambda caller, target: target["public_access"] != "None",
    "if Edit": lambda caller, target: target["public_access"] == "Edit",
    "if superuser": lambda caller, target: caller.is_superuser,
}

OWNS: Mapping[Kind, Callable[[Caller, Json], bool]] = {
    "repository": lambda caller, repo: repo["owner_url"] in caller.owns,
    "org": lambda caller, org: org["_id"] in caller.orgs,
    "user": lambda caller, user: user["_id"] == caller.username,
    "task": lambda caller, task: task["username"] == caller.username,
    "server": lambda caller, nothing: False,
}

SERVER: Json = {}
"""The target of actions that concern no item."""


def may(caller: Caller, action: Action, target: Json = SERVER) -> bool:
    """May the caller do this to the target, a stored document? Of a repository `owner_url`,
    `public_access` and `hidden` count.
    """
    rule = TABLE[action]
    cell: Cell = getattr(rule, _role(caller, rule, target))
    return not target.get("hidden") and CELLS[cell](caller, target)


def need(caller: Caller, action: Action, target: Json = SERVER) -> None:
    """Raise NotAuthenticated or Forbidden unless the caller may; NotFound for what a deactivated
    user owns.
    """
    if target.get("hidden"):
        raise NotFound("there is no such item")
    if not may(caller, action, target):
        raise refusal(caller)


def refusal(caller: Caller) -> NotAuthenticated | Forbidden:
    """What a caller without the right is told."""
    if caller.username is None:
        return NotAuthenticated("credentials are needed for this")
    return Forbidden(f"{caller.username} may not do this")


def readable(caller: Caller) -> Json:
    """A filter on stored repositories: those that the caller may read. One key, `$nor`, so that it
    can be added to any other filter.
    """
    return {"$nor": [{"hidden": True}, *_closed(caller, "read", "owner_url", caller.owns)]}


def readable_orgs(caller: Caller) -> Json:
    """A filter on stored organisations: those that the caller may read. As `readable`; empty when
    it may read all.
    """
    closed = _closed(caller, "read org", "_id", sorted(caller.orgs))
    return {"$nor": closed} if closed else {}


def _closed(caller: Caller, action: Action, field: str, mine: list[str]) -> list[Json]:
    rule = TABLE[action]
    cell = (
        rule.staff
        if _is_staff(caller)
        else rule.anonymous
        if caller.username is None
        else rule.user
    )
    return [{"public_access": "None", field: {"$nin": mine}}] if cell == "unless None" else []


def _role(caller: Caller, rule: Rule, target: Json) -> Role:
    if _is_staff(caller):
        return "staff"
    if caller.username is None:
        return "anonymous"
    return "owner" if OWNS[rule.of](caller, target) else "user"


def leans_on_memberships(caller: Caller) -> bool:
    """Whether memberships change what the caller may do: staff may do all that members may, and
    nobody is no member.
    """
    return caller.username is not None and not _is_staff(caller)


def _is_staff(caller: Caller) -> bool:
    return caller.is_staff or caller.is_superuser


# The table in words, for docs/access.md


def table() -> str:
    """The rules as a Markdown table."""
    lines = [
        "| action | anonymous | any user | owner, member, self | staff |",
        "| --- | --- | --- | --- | --- |",
    ]
    for rule in TABLE.values():
        known = [_told(cell, rule.instead or "403") for cell in (rule.user, rule.owner, rule.staff)]
        cells = (_told(rule.anonymous, rule.instead or "401"), *known)
        lines.append(f"| {rule.what} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _told(cell: Cell, refused: str) -> str:
    return {
        "yes": "yes",
        "no": refused,
        "unless None": f"yes; {refused} when `None`",
        "if Edit": f"only if `Edit`, else {refused}",
        "if superuser": f"superuser only, else {refused}",
    }[cell]
