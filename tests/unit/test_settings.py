"""Settings as an operator writes them."""

import pytest

from config import settings as module
from config.settings import BadSetting, Settings, variable
from tests.builders import KEY, TOKEN


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty working directory, on a machine without secret files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "DEFAULT_SECRETS_DIR", str(tmp_path / "run-secrets"))
    return tmp_path


@pytest.mark.parametrize("token", ["ABCDEF" + "0" * 34, "abcdef" + "0" * 34])
def test_the_fixed_token_may_have_capitals_or_small_letters(token):
    assert Settings.from_environ({"OCL_ROOT_TOKEN": token}).root_token == token


@pytest.mark.parametrize("name", [".", "..", "login"])
def test_the_first_superuser_has_a_name_that_a_url_can_contain(name):
    with pytest.raises(BadSetting, match="OCL_ROOT_USER"):
        Settings.from_environ({"OCL_ROOT_USER": name})


@pytest.mark.parametrize("token", ["0" * 39, "0" * 41, "g" * 40])
def test_a_fixed_token_of_another_form_is_refused(token):
    with pytest.raises(BadSetting, match="OCL_ROOT_TOKEN"):
        Settings.from_environ({"OCL_ROOT_TOKEN": token})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REDIS_URL", "foo"),
        ("REDIS_URL", "redis://"),
        ("REDIS_URL", "redis://host:port/0"),
        ("SOLR_URL", "foo"),
        ("SOLR_URL", "http://:8983/solr"),
        ("MONGO_URL", "mongodb://127.0.0.1:99999/oclapi"),
        ("MONGO_URL", "mongodb:///oclapi"),
        ("MONGO_URL", "mongodb://a:1,b:0/oclapi"),
        ("MONGO_URL", "mongodb://host"),
        ("OCL_MAIL", "smtp://"),
        ("OCL_MAIL", "smtp://host:99999"),
        ("OCL_BASE_URL", "https://"),
        ("OCL_BASE_URL", "http://[::1/"),
        ("OCL_SOLR_CORE", "a/b"),
        ("OCL_LOG_LEVEL", "info"),
        ("OCL_SECRET_KEY", "k" * 31),
        ("OCL_SIGNUP_HOSTS", "app.example.org"),
        ("OCL_PAGE_LIMIT", "\u0661\u0662"),
        ("OCL_PAGE_LIMIT", "1_000"),
        ("OCL_PAGE_LIMIT", "+5"),
        ("OCL_PAGE_LIMIT", "5.0"),
        ("OCL_PAGE_LIMIT", " 5"),
        ("OCL_TOKEN_LIFE", "999999999999"),
        ("OCL_COMMIT_PATIENCE", "3601"),
        ("OCL_EXPORT_LINK_LIFE", "0"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "web"),
        ("WEB_CONCURRENCY", "0"),
        ("WEB_CONCURRENCY", "1000"),
    ],
)
def test_an_impossible_value_is_refused_in_a_line_that_names_the_variable(name, value):
    with pytest.raises(BadSetting, match=name) as caught:
        Settings.from_environ({name: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REDIS_URL", "unix:///run/redis.sock"),
        ("REDIS_URL", "rediss://:pass@host:6380/1"),
        ("MONGO_URL", "mongodb://u:p@a:1,b:2/oclapi?x=y"),
        ("MONGO_URL", "mongodb+srv://cluster/oclapi"),
        ("MONGO_URL", "mongodb://%2Ftmp%2Fmongodb.sock/oclapi"),
        ("MONGO_URL", "mongodb://[::1]:27017/o"),
        ("SOLR_URL", "http://solr:8983/solr"),
        ("OCL_MAIL", "smtps://user:pa%40ss@mail.example.org:465"),
        ("OCL_MAIL", "/var/mail"),
    ],
)
def test_an_address_of_any_kind_is_accepted_and_not_rewritten(name, value):
    settings = Settings.from_environ({name: value})
    assert settings.to_environ() == {name: value}
    assert value in settings.model_dump().values()


def test_an_empty_variable_counts_as_unset():
    names = [variable(name) for name in Settings.model_fields if name != "root_token"]
    assert Settings.from_environ(dict.fromkeys(names, "")) == Settings()


def test_the_settings_are_the_same_after_a_way_through_variables():
    settings = Settings(mongo_url="mongodb://a,b/c", secret_key=KEY, port=80, max_body=2048)
    assert Settings.from_environ(settings.to_environ()) == settings


def test_every_problem_is_reported_in_a_line_of_its_own():
    with pytest.raises(BadSetting) as caught:
        Settings.from_environ({"PORT": "x", "OCL_LOG_LEVEL": "x", "REDIS_URL": "x", "OCL_HSTS": ""})
    assert str(caught.value).splitlines() == [
        "REDIS_URL must be redis://host:port/number, rediss://... or unix:///...",
        "PORT must be a whole number from 1 to 65535",
        "OCL_LOG_LEVEL must be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'",
    ]


PASSWORDS = {
    "MONGO_URL": "mongodb://u:s3cr3t@h/db",
    "REDIS_URL": "redis://:s3cr3t@h",
    "SOLR_URL": "http://u:s3cr3t@h",
    "OCL_EXPORT_CACHE": "ftp://u:s3cr3t@h/x",
    "OCL_MAIL": "smtp://u:s3cr3t@h",
    "OCL_SECRET_KEY": "s3cr3t" * 6,
    "OCL_ROOT_TOKEN": TOKEN,
}


def test_no_secret_is_shown():
    assert set(PASSWORDS.values()).isdisjoint(repr(Settings.from_environ(PASSWORDS)).split("'"))
    assert "s3cr3t" not in repr(Settings.from_environ(PASSWORDS))


@pytest.mark.parametrize("name", [name for name in PASSWORDS if name != "OCL_EXPORT_CACHE"])
def test_an_error_does_not_contain_the_value(name):
    with pytest.raises(BadSetting) as caught:
        Settings.from_environ({name: "x://s3cr3t:0"})
    assert "s3cr3t" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_settings_of_variables_or_arguments_read_neither_the_environment_nor_files(
    folder, monkeypatch
):
    monkeypatch.setenv("OCL_MAX_BODY", "2000")
    monkeypatch.setenv("MONGO_URL", "mongodb://elsewhere/x")
    (folder / ".env").write_text("OCL_ROOT_USER=amina\n")
    assert Settings.from_environ({}) == Settings(_env_file=".env") == Settings()
    assert Settings().max_body == 16 * 2**20
    assert Settings().root_user == "root"


def test_settings_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Settings().port = 80


# Files


def test_the_environment_wins_over_the_env_file_and_that_over_secret_files(folder):
    (folder / ".env").write_text(
        "# a comment\nexport OCL_ROOT_USER='amina'\nPORT=9000\nCOMPOSE_PROFILES=x\nOCL_HOME=\n"
    )
    secrets = folder / "secrets"
    secrets.mkdir()
    for name, text in {
        "OCL_SECRET_KEY": KEY,
        "OCL_ROOT_USER": "file",
        "PORT": "1",
        "OCL_HOME": "here",
    }.items():
        (secrets / name).write_text(f"{text}\n")

    loaded = Settings.load({"OCL_SECRETS_DIR": str(secrets), "PORT": "7000", "OCL_ROOT_USER": ""})

    assert loaded == Settings(port=7000, root_user="amina", secret_key=KEY, home="here")


def test_the_process_environment_is_read_by_default(monkeypatch):
    monkeypatch.setenv("OCL_MAX_BODY", "2000")
    assert Settings.load().max_body == 2000


def test_secrets_are_found_where_docker_puts_them(folder):
    (folder / "run-secrets").mkdir()
    (folder / "run-secrets" / "MONGO_URL").write_text("mongodb://a,b/c")
    (folder / "run-secrets" / "something-else").write_text("x")
    assert Settings.load({}) == Settings(mongo_url="mongodb://a,b/c")
    (folder / "own").mkdir()
    assert Settings.load({"OCL_SECRETS_DIR": str(folder / "own")}) == Settings()


def test_an_empty_fixed_token_is_not_the_same_as_none():
    assert Settings.from_environ({"OCL_ROOT_TOKEN": ""}).root_token == ""
    assert Settings.from_environ({}).root_token is None


@pytest.mark.parametrize("where", [".env", "run-secrets/OCL_ROOT_TOKEN"])
def test_a_bad_value_in_a_file_names_the_variable_and_not_the_value(folder, where):
    file = folder / where
    file.parent.mkdir(exist_ok=True)
    file.write_text("OCL_ROOT_TOKEN=s3cr3t" if where == ".env" else "s3cr3t")
    with pytest.raises(BadSetting) as caught:
        Settings.load({})
    assert str(caught.value) == "OCL_ROOT_TOKEN must be 40 hex characters"


def test_a_secrets_folder_that_does_not_exist_is_reported(folder):
    with pytest.raises(BadSetting, match="OCL_SECRETS_DIR must be a folder"):
        Settings.load({"OCL_SECRETS_DIR": str(folder / "nowhere")})


@pytest.mark.parametrize(
    ("where", "named"), [(".env", ".env"), ("run-secrets/PORT", "a secret file")]
)
def test_a_file_that_is_not_text_is_reported(folder, where, named):
    file = folder / where
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"OCL_HOME=\xff")
    with pytest.raises(BadSetting) as caught:
        Settings.load({})
    assert str(caught.value) == f"{named} is not UTF-8"


def test_a_file_that_cannot_be_read_is_reported(folder, monkeypatch):
    secrets = folder / "run-secrets"
    secrets.mkdir()
    (secrets / "PORT").write_text("80")

    def refuse(path, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.read_text", refuse)
    with pytest.raises(BadSetting) as caught:
        Settings.load({})
    assert str(caught.value) == f"{secrets / 'PORT'} can't be read: Permission denied"
