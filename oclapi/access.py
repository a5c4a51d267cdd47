"""Who may do what: all rules in one table, as in section 4 of the contract.

Every resource, listing and import line checks its rights here. For an item in the path, `need`
raises the error for 401, 403 or 404. An item named anywhere else (in a body, listing, count or
error text) is treated as not existing when `may` refuses to read it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from oclapi.errors import Forbidden, NotAuthenticated, NotFound
from oclapi.model import Json, Organization, Repository, User

Role = Literal["anonymous", "user", "owner", "staff"]
Cell = Literal["yes", "no", "unless None", "if Edit", "if superuser"]
Kind = Literal["repository", "org", "user", "task", "server"]


@dataclass(frozen=True, slots=True)
class Caller:
    """The user of a request.

    `username` is None for anonymous requests. `orgs` are the ids of the user's organisations.
    """

    username: str | None = None
    is_staff: bool = False
    is_superuser: bool = False
    orgs: frozenset[str] = frozenset()

    @property
    def by(self) -> str:
        """The username that is recorded with a write. Anonymous callers can't write."""
        assert self.username is not None
        return self.username

    @property
    def owns(self) -> list[str]:
        """The URLs of the owners whose repositories the caller owns."""
        mine = [] if self.username is None else [f"/users/{self.username}/"]
        return mine + [f"/orgs/{org}/" for org in sorted(self.orgs)]


ANONYMOUS = Caller()


@dataclass(frozen=True, slots=True)
class Rule:
    """A row of the table. `of` says what the target is, and so who its owner is (see OWNS)."""

    of: Kind
    anonymous: Cell
    user: Cell
    owner: Cell
    staff: Cell
    what: str
    instead: str = ""  # what happens without the right, unless the request is refused


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
    #                                        anonymous      any user       owner  staff
    "read": Rule("repository",               "unless None", "unless None", "yes", "yes",
         "Read a repository, its versions, content and exports; start a missing export "
         "with GET"),
    "start export": Rule("repository",       "no",          "unless None", "yes", "yes",
         "Start a missing export with POST"),
    "write": Rule("repository",              "no",          "if Edit",     "yes", "yes",
         "Write content, edit metadata, create and edit versions"),
    "own": Rule("repository",                "no",          "no",          "yes", "yes",
         "Change `public_access`; delete a repository, version or export; rebuild an "
         "export; clear a stuck processing flag"),
    "create repository": Rule("repository",  "no",          "no",          "yes", "yes",
         "Create a repository under an owner"),
    "read org": Rule("org",                  "unless None", "unless None", "yes", "yes",
         "Read an organisation and the list of its members"),
    "create org": Rule("server",             "no",          "yes",         "yes", "yes",
         "Create an organisation (its creator becomes a member)"),
    "edit org": Rule("org",                  "no",          "if Edit",     "yes", "yes",
         "Edit an organisation"),
    "members": Rule("org",                   "no",          "no",          "yes", "yes",
         "Add, remove and check members; change an organisation's `public_access`"),
    "remove last member": Rule("server",     "no",          "no",          "no",  "yes",
         "Remove the last member of an organisation", "400"),
    "delete org": Rule("org",                "no",          "no",          "no",  "if superuser",
         "Delete an organisation"),
    "read user": Rule("user",                "yes",         "yes",         "yes", "yes",
         "List users, read a profile"),
    "read email": Rule("user",               "no",          "yes",         "yes", "yes",
         "See a user's `email`", "left out"),
    "edit user": Rule("user",                "no",          "no",          "yes", "yes",
         "Edit a profile"),
    "manage users": Rule("server",           "no",          "no",          "no",  "yes",
         "Create, deactivate and reactivate users"),
    "read roles": Rule("server",             "no",          "no",          "no",  "yes",
         "See `is_staff` and `is_superuser`", "left out"),
    "see deactivated": Rule("server",        "no",          "no",          "no",  "yes",
         "Read the profile of a deactivated user", "404"),
    "manage superusers": Rule("user",        "no",          "no",          "yes", "if superuser",
         "Change a superuser's password"),
    "grant roles": Rule("server",            "no",          "no",          "no",  "if superuser",
         "Set `is_staff` and `is_superuser`; deactivate and reactivate a superuser"),
    "import": Rule("server",                 "no",          "yes",         "yes", "yes",
         "Import (each line is checked with the user's rights)"),
    "read task": Rule("task",                "no",          "no",          "yes", "yes",
         "See and cancel an import"),
}  # fmt: skip
"""The owner of a repository is a user, or any member of the organisation that owns it.

Of an organisation it is a member, of a profile its user, of a task the user who started it.
"""


@dataclass(frozen=True, slots=True)
class Under:
    """The target of "create repository": the owner that the repository gets."""

    owner_url: str


CELLS: Mapping[Cell, Callable[[Caller, Any], bool]] = {
    "yes": lambda caller, target: True,
    "no": lambda caller, target: False,
    "unless None": lambda caller, target: target.public_access != "None",
    "if Edit": lambda caller, target: target.public_access == "Edit",
    "if superuser": lambda caller, target: caller.is_superuser,
}

OWNS: Mapping[Kind, Callable[[Caller, Any], bool]] = {
    "repository": lambda caller, repo: repo.owner_url in caller.owns,
    "org": lambda caller, org: org.id in caller.orgs,
    "user": lambda caller, user: user.username == caller.username,
    "task": lambda caller, task: task["username"] == caller.username,
    "server": lambda caller, nothing: False,
}

SERVER: Json = {}
"""The target of actions without an item."""

Target = Repository | Under | Organization | User | Json


def may(caller: Caller, action: Action, target: Target = SERVER) -> bool:
    """Return whether the caller may do this to the target."""
    rule = TABLE[action]
    cell: Cell = getattr(rule, _role(caller, rule, target))
    return not _hidden(target) and CELLS[cell](caller, target)


def need(caller: Caller, action: Action, target: Target = SERVER) -> None:
    """Raise NotAuthenticated or Forbidden unless the caller may do this.

    Raises NotFound when the target belongs to a deactivated user.
    """
    if _hidden(target):
        raise NotFound("item not found")
    if not may(caller, action, target):
        raise refusal(caller)


def refusal(caller: Caller) -> NotAuthenticated | Forbidden:
    """Return the error for a caller without the right."""
    if caller.username is None:
        return NotAuthenticated("authentication is required")
    return Forbidden(f"{caller.username} does not have permission to do this")


def sees_private(caller: Caller, action: Action) -> bool:
    """Return whether the caller may do this to every private item, not only to the own ones."""
    rule = TABLE[action]
    cell = (
        rule.staff
        if _is_staff(caller)
        else rule.anonymous
        if caller.username is None
        else rule.user
    )
    return cell != "unless None"


def _hidden(target: Target) -> bool:
    return isinstance(target, Repository) and target.hidden


def _role(caller: Caller, rule: Rule, target: Target) -> Role:
    if _is_staff(caller):
        return "staff"
    if caller.username is None:
        return "anonymous"
    return "owner" if OWNS[rule.of](caller, target) else "user"


def leans_on_memberships(caller: Caller) -> bool:
    """Return whether the caller's rights depend on memberships.

    Those of staff do not: staff may do all that members may.
    """
    return caller.username is not None and not _is_staff(caller)


def _is_staff(caller: Caller) -> bool:
    return caller.is_staff or caller.is_superuser


# The table for docs/access.md


def table() -> str:
    """Return the rules as a Markdown table."""
    lines = [
        "| action | anonymous | any user | owner, member, self | staff |",
        "| --- | --- | --- | --- | --- |",
    ]
    for rule in TABLE.values():
        known = [
            _cell_text(cell, rule.instead or "403") for cell in (rule.user, rule.owner, rule.staff)
        ]
        cells = (_cell_text(rule.anonymous, rule.instead or "401"), *known)
        lines.append(f"| {rule.what} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell_text(cell: Cell, refused: str) -> str:
    return {
        "yes": "yes",
        "no": refused,
        "unless None": f"yes; {refused} when `None`",
        "if Edit": f"only if `Edit`, else {refused}",
        "if superuser": f"superuser only, else {refused}",
    }[cell]
