"""`oclapi user`, on a real database."""

import pytest
from argon2 import PasswordHasher
from click.testing import CliRunner

from oclapi import user_commands
from oclapi.__main__ import cli
from oclapi.store.database import Database
from oclapi.store.store import Store
from tests.builders import KEY

pytestmark = pytest.mark.servers


@pytest.fixture
def store(mongo_url):
    database = Database(mongo_url)
    yield Store(database, KEY)
    database.client.close()


@pytest.fixture
def run(mongo_url, monkeypatch):
    """Return a function that runs a command; `stdin` is its standard input."""
    # Tests must not change pytest's own logging.
    monkeypatch.setattr(user_commands, "configure", lambda level: None)

    def invoke(*arguments, stdin=None, **environ):
        variables = {
            "MONGO_URL": mongo_url,
            "OCL_SECRET_KEY": KEY,
            "OCL_ROOT_USER": "",
            "OCL_PASSWORD_LENGTH": "",
            **environ,
        }
        return CliRunner(env=variables).invoke(user_commands.user, arguments, input=stdin)

    return invoke


def done(result):
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(result, text):
    assert result.exit_code == 1
    assert text in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


@pytest.fixture
def amina(run):
    done(run("create", "amina", "--email", "amina@example.org", "--name", "Amina K."))
    return "amina"


def test_a_new_server_gets_its_first_users(run, store):
    assert "created the user amina (user, without a password)" in done(
        run("create", "amina", "--email", "amina@example.org", "--name", "Amina K.")
    )
    done(run("create", "sam", "--email", "sam@example.org", "--name", "Sam", "--staff"))
    done(run("create", "sue", "--email", "sue@example.org", "--name", "Sue", "--superuser"))

    roles = {
        name: (store.users.get(name).is_staff, store.users.get(name).is_superuser)
        for name in ("amina", "sam", "sue")
    }
    assert roles == {"amina": (False, False), "sam": (True, False), "sue": (True, True)}
    assert store.users.get("amina").created_by == "root"


def test_a_password_comes_from_standard_input_and_is_shown_nowhere(run, store, caplog):
    result = run(
        "create",
        "amina",
        "--email",
        "amina@example.org",
        "--name",
        "Amina K.",
        "--password-stdin",
        stdin="correct horse\nnot this\n",
    )

    assert "with a password" in done(result)
    assert PasswordHasher().verify(store.users.credentials("amina").password, "correct horse")
    assert "correct horse" not in result.output + caplog.text


@pytest.mark.parametrize(
    ("arguments", "stdin", "reason"),
    [
        (("a b", "--email", "a@example.org", "--name", "A"), None, "username: "),
        (("login", "--email", "a@example.org", "--name", "A"), None, "username: "),
        (("a", "--email", "nobody", "--name", "A"), None, "email: "),
        (("a", "--email", "a@example.org", "--name", " "), None, "name: "),
        (("root", "--email", "a@example.org", "--name", "A"), None, "exists already"),
        (
            ("a", "--email", "a@example.org", "--name", "A", "--password-stdin"),
            "12345\n",
            "password: must have at least 6 characters",
        ),
        (
            ("a", "--email", "a@example.org", "--name", "A", "--password-stdin"),
            "",
            "password: standard input is empty",
        ),
    ],
)
def test_a_user_that_the_api_would_refuse_is_refused_with_the_same_reason(
    run, store, arguments, stdin, reason
):
    refused(run("create", *arguments, stdin=stdin), reason)
    assert store.users.get("a") is None


def test_all_reasons_are_reported_together_and_each_once(run):
    result = run("create", "a b", "--email", "nobody", "--name", "A")

    assert result.stderr.count("username: ") == result.stderr.count("email: ") == 1
    assert len(result.stderr.splitlines()) == 1


def test_a_token_is_printed_alone_and_is_valid(run, store, amina):
    token = done(run("token", amina))

    assert len(token.strip()) == 40
    assert store.users.by_token(token.strip()).username == amina
    assert token not in str(store.database.users.find_one({"_id": amina}))


def test_a_second_token_leaves_the_first_one_valid(run, store, amina):
    tokens = [done(run("token", amina)).strip() for _ in range(2)]

    assert len(set(tokens)) == 2
    assert all(store.users.by_token(token) for token in tokens)


def test_a_token_needs_the_key_of_the_server(run, amina):
    refused(run("token", amina, OCL_SECRET_KEY=""), "OCL_SECRET_KEY is not set")


def test_a_new_password_invalidates_the_tokens(run, store, amina):
    token = done(run("token", amina)).strip()

    done(run("password", amina, "--password-stdin", stdin="correct horse\n"))

    assert PasswordHasher().verify(store.users.credentials(amina).password, "correct horse")
    assert store.users.by_token(token) is None


def test_a_password_is_asked_for_twice_and_not_shown(run, store, amina):
    result = run("password", amina, stdin="correct horse\ncorrect horse\n")

    done(result)
    assert "correct horse" not in result.output
    assert PasswordHasher().verify(store.users.credentials(amina).password, "correct horse")


def test_roles_are_granted_and_revoked(run, store, amina):
    assert done(run("staff", amina, "on")) == "amina: staff\n"
    assert done(run("superuser", amina, "on")) == "amina: superuser\n"
    assert done(run("superuser", amina, "off")) == "amina: staff\n"
    assert done(run("staff", amina, "off")) == "amina: user\n"
    assert store.users.get(amina).updated_by == "root"


def test_the_last_superuser_stays_one(run, store):
    refused(run("superuser", "root", "off"), "last superuser")
    refused(run("deactivate", "root"), "last superuser")
    assert store.users.get("root").active


def test_a_deactivated_user_is_refused_until_it_is_active_again(run, store, amina):
    token = done(run("token", amina)).strip()

    done(run("deactivate", amina))
    assert store.users.by_token(token) is None
    refused(run("token", amina), "amina is deactivated")
    refused(run("deactivate", amina), "already deactivated")

    done(run("reactivate", amina))
    assert store.users.by_token(token).username == amina


@pytest.mark.parametrize(
    "arguments",
    [
        ("token",),
        ("password",),
        ("staff", "on"),
        ("superuser", "off"),
        ("deactivate",),
        ("reactivate",),
    ],
)
def test_an_unknown_user_is_reported(run, arguments):
    command, *rest = arguments
    refused(run(command, "nobody", *rest), "user not found: nobody")


def test_the_list_shows_all_users_with_role_and_state(run, amina):
    done(run("create", "sam", "--email", "sam@example.org", "--name", "Sam\x1b[31m", "--staff"))
    done(run("deactivate", "sam"))
    lines = [line.split() for line in done(run("list")).splitlines()]

    assert lines[0] == ["username", "name", "e-mail", "role", "state", "joined"]
    assert lines[1][0] == "root"
    assert lines[2][:-1] == ["amina", "Amina", "K.", "amina@example.org", "user", "active"]
    assert lines[3][:-1] == ["sam", "Sam?[31m", "sam@example.org", "staff", "deactivated"]


@pytest.mark.parametrize(
    "arguments", [(), ("staff", "amina", "perhaps"), ("create", "amina"), ("nonsense",)]
)
def test_a_wrong_command_prints_its_usage(run, arguments):
    result = run(*arguments)

    assert result.exit_code == 2
    assert "Usage" in result.output


@pytest.mark.parametrize(("name", "value"), [("MONGO_URL", "nonsense"), ("OCL_PAGE_LIMIT", "x")])
def test_a_bad_setting_is_named(run, name, value):
    refused(run("list", **{name: value}), name)


def test_the_command_line_has_the_user_commands():
    assert CliRunner().invoke(cli, ["user", "--help"]).exit_code == 0


def test_a_command_keeps_the_fixed_token_of_the_server(run, store):
    store.owners.ensure_first("root", "f" * 40)

    done(run("list", OCL_ROOT_USER="keeper"))

    assert store.users.by_token("f" * 40).username == "root"
