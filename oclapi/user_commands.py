"""The commands with which an operator manages users: `oclapi user ...`.

They write to the database directly, so the first users of a new server need no web server and no
token. Passwords come from a prompt or from standard input, never from the command line, which every
user of the machine can see.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click

from config.logging import configure
from config.settings import BadSetting, Settings
from oclapi import bodies, times
from oclapi.access import Caller
from oclapi.editing import users
from oclapi.errors import Invalid, NotFound, OclError
from oclapi.migration import prepare
from oclapi.model import Json, User
from oclapi.store.store import Store, open_store
from oclapi.store.users import UserFilter

MAX_INPUT = 100_000
"""Most characters of a password that are read from standard input."""

STDIN = click.option(
    "--password-stdin",
    "from_stdin",
    is_flag=True,
    help="read the password from the first line of standard input",
)
SWITCH = click.argument("switch", type=click.Choice(["on", "off"]))


@dataclass(frozen=True, slots=True)
class Site:
    """The store, the settings, and the first superuser, in whose name the commands write."""

    store: Store
    settings: Settings
    operator: Caller

    def user(self, name: str) -> User:
        """Return a user, active or deactivated. Raises NotFound."""
        found = self.store.users.get(name)
        if found is None:
            raise NotFound(f"user not found: {name}")
        return found

    def change(self, name: str, **fields: Any) -> None:
        """Edit a user as the API does. Raises Invalid and NotFound."""
        self.user(name)
        users.update(
            self.store,
            name,
            bodies.user_update(fields),
            self.operator,
            shortest=self.settings.password_length,
        )


@click.group("user")
def user() -> None:
    """Manage the users in the database at MONGO_URL.

    Exit code: 0 on success; 1 on failure, with one line that gives the reason.
    """


@user.command("create")
@click.argument("name")
@click.option("--email", required=True, help="e-mail address")
@click.option("--name", "full_name", required=True, help="full name")
@click.option("--staff", is_flag=True, help="may read and write everything and manage users")
@click.option(
    "--superuser", is_flag=True, help="staff, and may delete organisations and grant roles"
)
@STDIN
def create(
    name: str, email: str, full_name: str, staff: bool, superuser: bool, from_stdin: bool
) -> None:
    """Create the user NAME. A user without a password can't log in, but can use a token."""
    with _site() as site:
        if from_stdin:
            password = _read_line()
        elif sys.stdin.isatty():
            password = _prompt("Password (empty for none)")
        else:
            password = ""
        body: Json = {
            "username": name,
            "email": email,
            "name": full_name,
            "is_staff": staff or superuser,
            "is_superuser": superuser,
        }
        if from_stdin or password:
            body["password"] = password
        created = users.create(
            site.store,
            bodies.user_create(body),
            site.operator,
            shortest=site.settings.password_length,
        )
        with_password = "with" if "password" in body else "without"
        click.echo(
            f"created the user {created.username} ({_role(created)}, {with_password} a password)"
        )


@user.command("token")
@click.argument("name")
def token(name: str) -> None:
    """Create another token for NAME and print it. It can't be shown again later."""
    with _site() as site:
        if not site.settings.secret_key:
            raise click.ClickException(
                "OCL_SECRET_KEY is not set: the server accepts only tokens made with its own key"
            )
        if not site.user(name).active:
            raise click.ClickException(f"{name} is deactivated; its tokens are refused")
        click.echo(site.store.users.new_token(name))


@user.command("password")
@click.argument("name")
@STDIN
def password(name: str, from_stdin: bool) -> None:
    """Set a new password for NAME. All tokens of this user become invalid."""
    with _site() as site:
        site.user(name)
        site.change(name, password=_read_line() if from_stdin else _prompt("New password"))
        click.echo(f"{name} has a new password; all earlier tokens are invalid")


@user.command("staff")
@click.argument("name")
@SWITCH
def staff(name: str, switch: str) -> None:
    """Grant NAME the staff role (on) or revoke it (off).

    Staff may read and write everything and manage users.
    """
    with _site() as site:
        site.change(name, is_staff=switch == "on")
        click.echo(f"{name}: {_role(site.user(name))}")


@user.command("superuser")
@click.argument("name")
@SWITCH
def superuser(name: str, switch: str) -> None:
    """Grant NAME the superuser role (on) or revoke it (off).

    Superusers are staff who may also delete organisations and grant roles.
    """
    with _site() as site:
        roles = (
            {"is_superuser": True, "is_staff": True} if switch == "on" else {"is_superuser": False}
        )
        site.change(name, **roles)
        click.echo(f"{name}: {_role(site.user(name))}")


@user.command("deactivate")
@click.argument("name")
def deactivate(name: str) -> None:
    """Hide NAME and everything this user owns, and refuse the user's tokens, until reactivated."""
    with _site() as site:
        if not site.user(name).active:
            raise click.ClickException(f"{name} is already deactivated")
        users.deactivate(site.store, name, site.operator)
        click.echo(f"{name} is deactivated")


@user.command("reactivate")
@click.argument("name")
def reactivate(name: str) -> None:
    """Show NAME and everything this user owns again."""
    with _site() as site:
        site.user(name)
        users.reactivate(site.store, name, site.operator)
        click.echo(f"{name} is active")


@user.command("list")
def list_() -> None:
    """Print all users, active and deactivated, in the order in which they joined."""
    with _site() as site:
        found = site.store.users.listing(UserFilter(), full=False)
        lines = [
            ("username", "name", "e-mail", "role", "state", "joined"),
            *(_columns(one) for one in found),
        ]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            click.echo(
                "  ".join(
                    value.ljust(width) for value, width in zip(line, widths, strict=True)
                ).rstrip()
            )


def _columns(found: User) -> tuple[str, ...]:
    values = (
        found.username,
        found.name,
        found.email,
        _role(found),
        _state(found),
        times.format(found.created_on)[:10],
    )
    # A control character in a name could change the terminal.
    return tuple(
        "".join(letter if letter.isprintable() else "?" for letter in value) for value in values
    )


def _state(found: User) -> str:
    if found.active:
        return "active"
    return "not verified" if found.unverified else "deactivated"


def _role(found: User) -> str:
    if found.is_superuser:
        return "superuser"
    return "staff" if found.is_staff else "user"


@contextmanager
def _site() -> Iterator[Site]:
    """Open and prepare the database that the environment names.

    Failures end the command with one line.
    """
    configure("ERROR")
    try:
        settings = Settings.load()
        store = open_store(settings)
        prepare(store, settings.migrate_at_start)
        store.owners.ensure_first(settings.root_user)
        yield Site(store, settings, Caller(settings.root_user, is_staff=True, is_superuser=True))
    except BadSetting as error:
        raise click.ClickException(str(error)) from error
    except Invalid as error:
        raise click.ClickException("; ".join(_reasons(error))) from error
    except OclError as error:
        raise click.ClickException(error.detail) from error


def _reasons(error: Invalid) -> Iterator[str]:
    """Yield each reason once. The API reports some reasons under several fields."""
    fields = {text: field for field, texts in error.errors.items() for text in texts}
    for text, field in fields.items():
        yield text if field == "__all__" else f"{field}: {text}"


def _read_line() -> str:
    """Return the first line of standard input. Raises Invalid when it is empty."""
    line = sys.stdin.readline(MAX_INPUT).rstrip("\r\n")
    if not line:
        raise Invalid.field("password", "standard input is empty")
    return line


def _prompt(text: str) -> str:
    """Ask for a password twice, without showing it."""
    password: str = click.prompt(
        text, default="", hide_input=True, show_default=False, confirmation_prompt=True
    )
    return password
