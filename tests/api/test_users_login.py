"""Log-in and tokens over HTTP (contract section 3)."""

import base64
import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from pymongo.read_concern import ReadConcern

from oclapi import passwords
from oclapi.app import create_app, prepare
from oclapi.store import attempts
from oclapi.store.users import MOST_TOKENS
from tests.api.people import PASSWORD, People
from tests.builders import TOKEN, Api, good


@pytest.fixture
def people(services, api):
    services.store.database.attempts.delete_many({})
    return People(services, api)


@pytest.fixture
def amina(people):
    return people.new(password=PASSWORD)


def log_in(api, name, password=PASSWORD, address="192.0.2.1", **fields):
    body = {"username": name, "password": password, **fields}
    return api.anonymous.open(
        "POST", "/users/login/", json=body, environ_overrides={"REMOTE_ADDR": address}
    )


def token_of(response):
    token = good(response).get_json()["token"]
    assert set(good(response).get_json()) == {"token"}
    assert len(token) == 40
    return token


def pbkdf2_hash(password, iterations=1000):
    digest = hashlib.pbkdf2_hmac("sha256", password.encode(), b"salt", iterations)
    return f"pbkdf2_sha256${iterations}$salt${base64.b64encode(digest).decode()}"


def test_each_log_in_gives_another_token_and_earlier_ones_stay(api, amina):
    first, second = token_of(log_in(api, amina.name)), token_of(log_in(api, amina.name))

    assert first != second
    for token in (first, second, first.upper()):
        assert good(api.by(token).get("/user/")).get_json()["username"] == amina.name


def test_two_first_log_ins_at_once_are_both_good(services, app, people, monkeypatch):
    user = people.new(hashed_password=pbkdf2_hash(PASSWORD))
    both, renew = Barrier(2), type(services.store.users).renew_password

    def together(*args):
        if both.n_waiting < 2 and not both.broken:
            both.wait(timeout=30)
        return renew(*args)

    monkeypatch.setattr(type(services.store.users), "renew_password", together)
    with ThreadPoolExecutor(2) as pool:
        responses = list(
            pool.map(
                lambda client: log_in(Api(client), user.name),
                [app.test_client(), app.test_client()],
            )
        )

    for response in responses:
        assert (
            good(
                app.test_client().get(
                    "/user/", headers={"Authorization": f"Token {token_of(response)}"}
                )
            ).status_code
            == 200
        )


def test_a_form_logs_in_too(api, amina):
    response = api.anonymous.open(
        "POST", "/users/login/", data={"username": amina.name, "password": PASSWORD}
    )

    assert (response.status_code, response.headers["Cache-Control"]) == (200, "no-store")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"username", "password"}),
        ({"username": "x"}, {"password"}),
        ({"password": "x"}, {"username"}),
        ({"username": 1, "password": "x"}, {"username"}),
        ({"username": "x", "hashed_password": pbkdf2_hash("x")}, {"password"}),
        ({"username": "x", "password": None}, {"password"}),
    ],
)
def test_a_missing_field_is_named(api, body, fields):
    response = api.anonymous.post("/users/login/", body)

    assert (response.status_code, set(response.get_json()["errors"])) == (400, fields)


def test_wrong_names_and_wrong_passwords_get_the_same_response(api, people, amina):
    deactivated, without = people.new(password=PASSWORD), people.new()
    good(api.delete(deactivated.url))

    wrong = [
        (amina.name, "wrong"),
        ("nobody", PASSWORD),
        (deactivated.name,),
        (without.name, ""),
        (amina.name.upper(),),
        ("a\u2028b", ""),
    ]
    responses = [log_in(api, *one) for one in wrong]

    assert {(response.status_code, response.get_data()) for response in responses} == {
        (401, responses[0].get_data())
    }
    assert {response.headers["WWW-Authenticate"] for response in responses} == {"Token"}


def test_a_wrong_name_costs_the_same_work_as_a_wrong_password(api, amina, monkeypatch):
    parameters = []

    class Recording:
        def verify(self, stored, password):
            parameters.append(stored.rsplit("$", 2)[0])
            return real.verify(stored, password)

    real = passwords.HASHER
    log_in(api, "warm-up", "x")
    monkeypatch.setattr(passwords, "HASHER", Recording())
    for name in (amina.name, "nobody"):
        assert log_in(api, name, "wrong").status_code == 401

    assert len(parameters) == 2
    assert parameters[0] == parameters[1]  # equal parameters of argon2 cost equal time and memory


def test_a_new_password_revokes_all_tokens_of_this_user_only(api, people, amina):
    other = people.new(password=PASSWORD)
    tokens = [token_of(log_in(api, amina.name)) for _ in range(2)]

    good(api.by(tokens[0]).put("/user/", {"password": "another pass phrase"}))

    assert [api.by(token).get("/user/").status_code for token in tokens] == [401, 401]
    assert amina.api.get("/user/").status_code == 401
    assert log_in(api, amina.name).status_code == 401
    token_of(log_in(api, amina.name, "another pass phrase"))
    good(other.api.get("/user/"))
    good(api.put("/users/root/", {"password": "root pass phrase"}))
    good(api.get("/user/"))  # the fixed token stays
    good(api.put("/user/", {"name": "root"}))


def test_an_edit_without_a_new_password_revokes_no_token(api, amina):
    good(amina.api.put("/user/", {"company": "c"}))
    good(amina.api.get("/user/"))


def test_a_hash_given_at_creation_accepts_its_password_and_is_upgraded(api, people, services):
    user = people.new(hashed_password=pbkdf2_hash("old pass phrase"))

    assert log_in(api, user.name, "wrong").status_code == 401
    token_of(log_in(api, user.name, "old pass phrase"))

    stored = services.store.users.credentials(user.name).password
    assert stored.startswith("$argon2id$")
    token_of(log_in(api, user.name, "old pass phrase"))
    assert log_in(api, user.name, stored).status_code == 401
    assert log_in(api, user.name, pbkdf2_hash("old pass phrase")).status_code == 401


def test_a_hash_is_no_password_unless_a_setting_allows_it(services, api, people):
    user = people.new(hashed_password=pbkdf2_hash("old pass phrase"))
    body = {"username": user.name, "hashed_password": pbkdf2_hash("old pass phrase")}
    assert api.anonymous.post("/users/login/", body).status_code == 400

    lenient = Api(
        create_app(
            replace(services, settings=services.settings.model_copy(update={"login_by_hash": 1}))
        ).test_client()
    )

    token_of(lenient.anonymous.post("/users/login/", body))
    assert (
        lenient.anonymous.post(
            "/users/login/", {**body, "hashed_password": pbkdf2_hash("x")}
        ).status_code
        == 401
    )
    assert (
        lenient.anonymous.post("/users/login/", {**body, "username": "nobody"}).status_code == 401
    )


def test_a_token_can_have_a_lifetime(services, api, amina):
    strict = Api(
        create_app(
            replace(services, settings=services.settings.model_copy(update={"token_life": 60}))
        ).test_client()
    )
    token = token_of(log_in(strict, amina.name))
    good(strict.by(token).get("/user/"))

    past = datetime.now(UTC) - timedelta(seconds=1)
    expiring = {"_id": amina.name, "tokens.expires_at": {"$exists": True}}
    services.store.database.users.update_one(expiring, {"$set": {"tokens.$.expires_at": past}})

    assert strict.by(token).get("/orgs/").status_code == 401
    good(amina.api.get("/user/"))


def test_a_user_has_a_bounded_number_of_tokens(services, amina, api):
    tokens = [services.store.users.new_token(amina.name) for _ in range(MOST_TOKENS)]

    assert amina.api.get("/user/").status_code == 401  # the oldest token is dropped
    assert api.by(tokens[0]).get("/user/").status_code == 200
    for _ in range(MOST_TOKENS + 1):
        services.store.users.new_token("root")
    good(api.get("/user/"))  # the fixed token is never dropped


def test_tokens_and_passwords_are_stored_as_hashes_only(services, api, amina):
    token = token_of(log_in(api, amina.name))

    database = services.store.database
    stored = repr([*database.users.find({"_id": amina.name}), *database.attempts.find()])

    assert PASSWORD not in stored
    assert token not in stored
    assert TOKEN not in repr(database.users.find_one({"_id": "root"}))
    assert amina.name not in repr(list(database.attempts.find()))


@pytest.mark.parametrize(
    "header",
    [
        "Token",
        "Token ",
        "Token x",
        "Token " + "g" * 40,
        "Token " + "0" * 39,
        "Token " + "0" * 40,
        "token " + "0" * 41,
        "Token é" + "0" * 38,
        "Token " + "0" * 40 + " x",
        'Token {"$gt": ""}',
    ],
)
def test_a_malformed_or_unknown_token_is_refused_everywhere(api, header):
    for method, url in (
        ("GET", "/orgs/"),
        ("GET", "/nowhere/"),
        ("POST", "/users/login/"),
        ("DELETE", "/users/"),
    ):
        assert api.anonymous.open(method, url, headers={"Authorization": header}).status_code == 401
    assert (
        api.anonymous.open("GET", "/orgs/", headers={"Authorization": "Basic Zm9v"}).status_code
        == 200
    )


# Throttling


def test_repeated_failures_make_the_next_attempt_wait_even_with_the_right_password(
    services, api, amina
):
    for _ in range(attempts.PAIR.free):
        assert log_in(api, amina.name, "wrong").status_code == 401

    slowed = log_in(api, amina.name)

    assert slowed.status_code == 429
    assert 1 <= int(slowed.headers["Retry-After"]) <= 2
    token_of(log_in(api, amina.name, address="192.0.2.2"))  # another address is not affected
    deadline = time.monotonic() + 20
    while (response := log_in(api, amina.name)).status_code == 429:
        assert time.monotonic() < deadline
    token_of(response)
    # A success resets the failures.
    assert log_in(api, amina.name, "wrong").status_code == 401


def test_waits_double_up_to_a_limit(services, people):
    store, waits = services.store.attempts, []
    stored = services.store.database.attempts.with_options(read_concern=ReadConcern("local"))
    for _ in range(16):
        stored.update_many({}, {"$unset": {"until": ""}})
        store.begin_log_in("amina", "192.0.2.9")
        found = stored.find_one({"until": {"$exists": True}})
        waits.append(round((found["until"] - datetime.now(UTC)).total_seconds()) if found else 0)

    assert waits[:4] == [0] * 4
    assert waits[4:13] == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert set(waits[13:]) == {attempts.PAIR.longest}


def test_an_unknown_name_is_throttled_like_a_known_one(api, people):
    statuses = [
        log_in(api, "nobody-at-all", "x").status_code for _ in range(attempts.PAIR.free + 1)
    ]

    assert statuses == [401] * attempts.PAIR.free + [429]


def test_many_addresses_together_are_throttled_but_not_the_one_that_the_user_uses(
    services, api, amina
):
    token_of(log_in(api, amina.name, address="198.51.100.1"))
    for number in range(attempts.NAME.free):
        services.store.attempts.begin_log_in(amina.name, f"203.0.113.{number}")

    assert log_in(api, amina.name, address="203.0.113.250").status_code == 429
    token_of(log_in(api, amina.name, address="198.51.100.1"))


def test_log_ins_from_a_trusted_address_do_not_reset_failures_elsewhere(services, api, amina):
    for _ in range(3):
        token_of(log_in(api, amina.name, address="198.51.100.1"))
    for number in range(attempts.NAME.free):
        services.store.attempts.begin_log_in(amina.name, f"203.0.113.{number}")
        if number % 25 == 0:
            token_of(log_in(api, amina.name, address="198.51.100.1"))

    assert log_in(api, amina.name, address="203.0.113.250").status_code == 429


def test_attempts_that_a_busy_server_did_not_check_do_not_count(api, amina):
    with ExitStack() as slots:
        for _ in range(passwords.AT_ONCE + passwords.WAITING):
            slots.enter_context(passwords.slot())
        for _ in range(attempts.PAIR.free + 1):
            assert log_in(api, amina.name).status_code == 429
    token_of(log_in(api, amina.name))


def test_one_address_that_tries_many_names_is_throttled(services, api, amina):
    for number in range(attempts.ADDRESS.free):
        services.store.attempts.begin_log_in(f"name{number}", "203.0.113.77")

    assert log_in(api, amina.name, address="203.0.113.77").status_code == 429
    token_of(log_in(api, amina.name))


def test_a_successful_log_in_makes_no_other_user_at_the_address_wait(services, api, people, amina):
    other = people.new(password=PASSWORD)
    for number in range(attempts.ADDRESS.free):
        services.store.attempts.begin_log_in(f"name{number}", "203.0.113.78")
    services.store.database.attempts.update_many({}, {"$unset": {"until": ""}})  # ends the wait

    token_of(log_in(api, amina.name, address="203.0.113.78"))
    token_of(log_in(api, other.name, address="203.0.113.78"))
    assert log_in(api, other.name, "wrong", address="203.0.113.78").status_code == 401
    assert log_in(api, amina.name, address="203.0.113.78").status_code == 429


def test_failures_of_an_address_are_counted_from_zero_15_minutes_after_the_first(services, people):
    stored = services.store.database.attempts.with_options(read_concern=ReadConcern("local"))
    for number in range(3):
        services.store.attempts.begin_log_in(f"name{number}", "203.0.113.79")
    before = stored.find_one({"failures": 3})

    services.store.attempts.begin_log_in("name3", "203.0.113.79")

    assert stored.find_one({"_id": before["_id"]}) == {**before, "failures": 4}


def test_failures_are_deleted_by_the_database_itself(services, people):
    services.store.attempts.begin_log_in("x", "192.0.2.1")

    [index] = [
        one for one in services.store.database.attempts.list_indexes() if one["name"] == "over"
    ]
    assert index["expireAfterSeconds"] == 0
    assert services.store.database.attempts.count_documents({"expires_at": {"$exists": False}}) == 0


# The fixed token


@pytest.fixture
def restarted(services):
    """Restart the server with other settings, and at the end with the first settings again."""
    yield lambda **settings: prepare(
        replace(services, settings=services.settings.model_copy(update=settings))
    )
    prepare(services)


def test_an_empty_setting_revokes_the_fixed_token(api, restarted):
    restarted(root_token="")

    assert api.get("/user/").status_code == 401


def test_a_process_without_the_setting_keeps_the_fixed_token(api, restarted):
    restarted(root_token=None)

    good(api.get("/user/"))


def test_another_first_superuser_replaces_the_fixed_token_of_the_one_before(api, restarted):
    restarted(root_user="keeper", root_token="f" * 40)

    assert api.get("/user/").status_code == 401
    assert good(api.by("f" * 40).get("/user/")).get_json()["username"] == "keeper"


def test_an_unchanged_fixed_token_moves_to_another_first_superuser(api, restarted):
    restarted(root_user="keeper")

    assert good(api.get("/user/")).get_json()["username"] == "keeper"


def test_a_restart_keeps_the_tokens_of_log_ins(api, amina, restarted):
    restarted(root_token="")

    good(amina.api.get("/user/"))
