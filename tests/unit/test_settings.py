"""Settings as an operator writes them."""

import pytest

from config.settings import BadSetting, Settings


@pytest.mark.parametrize("token", ["ABCDEF" + "0" * 34, "abcdef" + "0" * 34])
def test_the_fixed_token_is_taken_in_capitals_and_in_small_letters(token):
    assert Settings.from_environ({"OCL_ROOT_TOKEN": token}).root_token == token


@pytest.mark.parametrize("name", [".", "..", "login"])
def test_a_first_superuser_has_a_name_that_can_be_addressed(name):
    with pytest.raises(BadSetting, match="OCL_ROOT_USER"):
        Settings.from_environ({"OCL_ROOT_USER": name})


@pytest.mark.parametrize("token", ["0" * 39, "0" * 41, "g" * 40])
def test_a_fixed_token_that_no_header_could_hold_is_refused(token):
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
        ("OCL_PAGE_LIMIT", "\u0661\u0662"),
        ("OCL_TOKEN_LIFE", "999999999999"),
        ("OCL_COMMIT_PATIENCE", "3601"),
        ("OCL_EXPORT_LINK_LIFE", "0"),
    ],
)
def test_an_address_or_number_that_can_not_be_is_refused_by_name(name, value):
    with pytest.raises(BadSetting, match=name):
        Settings.from_environ({name: value})


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
def test_addresses_of_all_kinds_are_taken(name, value):
    assert value in vars_of(Settings.from_environ({name: value}))


def vars_of(settings):
    return {getattr(settings, name) for name in Settings.__dataclass_fields__}
