"""The commands for a server's operator to look after its users: `python -m oclapi user ...`.

They speak to the database directly, so the first users of a new server need no web server and no
token. Passwords come from a prompt or from standard input, never from the command line, which every
user of the machine can see.
"""

import os
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
from oclapi.model import Json
from oclapi.store.database import Database
from oclapi.store.store import Store

MOST = 100_000
"""Characters that are read from standard input for a password."""

STDIN = click.option(
    "--password-stdin",
    "from_stdin",
    is_flag=True,
    help="read the password from standard input, one line",
)
SWITCH = click.argument("switch", type=click.Choice(["on", "off"]))


@dataclass(frozen=True, slots=True)
class Site:
    """The database, and the first superuser, as whom the operator writes."""

    store: Store
    settings: Settings
    operator: Caller

    def user(self, name: str) -> Json:
        """The user, deactivated ones too. Raises NotFound."""
        found = self.store.users.get(name)
        if found is None:
            raise NotFound(f"there is no user {name}")
        return found

    def change(self, name: str, **fields: Any) -> None:
        """Edit a user as the API would. Raises Invalid, NotFound."""
        users.update(
            self.store,
            name,
            bodies.user_update(fields),
            self.operator,
            shortest=self.settings.password_length,
        )


@click.group("user")
def user() -> None:
    """Look after the users of the database that MONGO_URL names.

    Exit code: 0 when it is done; 1 when it could not be, with one line that says why.
    """


@user.command("create")
@click.argument("name")
@click.option("--email", required=True, help="e-mail address")
@click.option("--name", "full_name", required=True, help="name as people write it")
@click.option("--staff", is_flag=True, help="may read and write everything and look after users")
@click.option(
    "--superuser", is_flag=True, help="staff, and may delete organisations and grant roles"
)
@STDIN
def create(
    name: str, email: str, full_name: str, staff: bool, superuser: bool, from_stdin: bool
) -> None:
    """Add the user NAME. Without a password it can't log in, but can be given a token."""
    with _site() as site:
        password = (
            _line()
            if from_stdin
            else _asked("Password (empty for none)")
            if sys.stdin.isatty()
            else ""
        )
        body: Json = {
            "username": name,
            "email": email,
            "name": full_name,
            "is_staff": staff or superuser,
            "is_superuser": superuser,
        }
        if from_stdin or password:
            body["password"] = password
        made = users.create(
            site.store,
            bodies.user_create(body),
            site.operator,
            shortest=site.settings.password_length,
        )
        click.echo(
            f"made the user {made['_id']} ({_roles(made)}, {'with' if made['password'] else 'without'} a password)"
        )


@user.command("token")
@click.argument("name")
def token(name: str) -> None:
    """Give NAME a further token and print it. This is the only time that it can be seen."""
    with _site() as site:
        if not site.settings.secret_key:
            raise click.ClickException(
                "OCL_SECRET_KEY is not set: a token of another key than the server's would not be known there"
            )
        if not site.user(name)["active"]:
            raise click.ClickException(f"{name} is deactivated; its tokens are refused")
        click.echo(site.store.users.new_token(name))


@user.command("password")
@click.argument("name")
@STDIN
def password(name: str, from_stdin: bool) -> None:
    """Give NAME another password. All its tokens end."""
    with _site() as site:
        site.user(name)
        site.change(name, password=_line() if from_stdin else _asked("New password"))
        click.echo(f"{name} has a new password; its tokens have ended")


@user.command("staff")
@click.argument("name")
@SWITCH
def staff(name: str, switch: str) -> None:
    """Let NAME read and write everything and look after users, or no longer."""
    with _site() as site:
        site.change(name, is_staff=switch == "on")
        click.echo(f"{name}: {_roles(site.user(name))}")


@user.command("superuser")
@click.argument("name")
@SWITCH
def superuser(name: str, switch: str) -> None:
    """Let NAME delete organisations and grant roles as well, or no longer."""
    with _site() as site:
        site.change(
            name, is_superuser=switch == "on", **({"is_staff": True} if switch == "on" else {})
        )
        click.echo(f"{name}: {_roles(site.user(name))}")


@user.command("deactivate")
@click.argument("name")
def deactivate(name: str) -> None:
    """Hide NAME and all it owns, and refuse its tokens, until it is reactivated."""
    with _site() as site:
        if not site.user(name)["active"]:
            raise click.ClickException(f"{name} is deactivated already")
        users.deactivate(site.store, name, site.operator)
        click.echo(f"{name} is deactivated")


@user.command("reactivate")
@click.argument("name")
def reactivate(name: str) -> None:
    """Show NAME again with all it owns."""
    with _site() as site:
        site.user(name)
        users.reactivate(site.store, name, site.operator)
        click.echo(f"{name} is active")


@user.command("list")
def list_() -> None:
    """Print all users in the order in which they joined, deactivated ones too."""
    with _site() as site:
        _, found = site.store.users.listing({}, limit=0, skip=0)
        lines = [
            ("username", "name", "e-mail", "roles", "state", "joined"),
            *(_line_of(one) for one in found),
        ]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            click.echo(
                "  ".join(
                    value.ljust(width) for value, width in zip(line, widths, strict=True)
                ).rstrip()
            )


def _line_of(found: Json) -> tuple[str, ...]:
    state = (
        "active"
        if found["active"]
        else "not verified"
        if found.get("unverified")
        else "deactivated"
    )
    shown = (
        found["_id"],
        found["name"],
        found["email"],
        _roles(found),
        state,
        times.show(found["created_on"])[:10],
    )
    return tuple(
        "".join(letter if letter.isprintable() else "?" for letter in value) for value in shown
    )


def _roles(found: Json) -> str:
    return "superuser" if found["is_superuser"] else "staff" if found["is_staff"] else "user"


@contextmanager
def _site() -> Iterator[Site]:
    """The database that the environment names, ready. Failures end the command with one line."""
    configure("ERROR")
    try:
        settings = Settings.from_environ(os.environ)
        store = Store(Database(settings.mongo_url), settings.secret_key)
        store.database.prepare()
        store.owners.ensure_first(settings.root_user)
        yield Site(store, settings, Caller(settings.root_user, is_staff=True, is_superuser=True))
    except BadSetting as error:
        raise click.ClickException(str(error)) from error
    except Invalid as error:
        raise click.ClickException("; ".join(_reasons(error))) from error
    except OclError as error:
        raise click.ClickException(error.detail) from error


def _reasons(error: Invalid) -> Iterator[str]:
    """Each reason once; the API tells some of them under several names."""
    fields = {text: field for field, texts in error.errors.items() for text in texts}
    for text, field in fields.items():
        yield text if field == "__all__" else f"{field}: {text}"


def _line() -> str:
    """The first line of standard input. Raises Invalid when there is none."""
    given = sys.stdin.readline(MOST).rstrip("\r\n")
    if not given:
        raise Invalid.field("password", "standard input is empty")
    return given


def _asked(prompt: str) -> str:
    given: str = click.prompt(
        prompt, default="", hide_input=True, show_default=False, confirmation_prompt=True
    )
    return given
