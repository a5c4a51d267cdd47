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


def token_of(answer):
    token = good(answer).get_json()["token"]
    assert set(good(answer).get_json()) == {"token"}
    assert len(token) == 40
    return token


def given_hash(password, iterations=1000):
    made = hashlib.pbkdf2_hmac("sha256", password.encode(), b"salt", iterations)
    return f"pbkdf2_sha256${iterations}$salt${base64.b64encode(made).decode()}"


def test_each_log_in_gives_another_token_and_earlier_ones_stay(api, amina):
    first, second = token_of(log_in(api, amina.name)), token_of(log_in(api, amina.name))

    assert first != second
    for token in (first, second, first.upper()):
        assert good(api.by(token).get("/user/")).get_json()["username"] == amina.name


def test_two_first_log_ins_at_once_are_both_good(services, app, people, monkeypatch):
    user = people.new(hashed_password=given_hash(PASSWORD))
    both, renew = Barrier(2), type(services.store.users).renew_password

    def together(*given):
        if both.n_waiting < 2 and not both.broken:
            both.wait(timeout=30)
        return renew(*given)

    monkeypatch.setattr(type(services.store.users), "renew_password", together)
    with ThreadPoolExecutor(2) as pool:
        answers = list(
            pool.map(
                lambda client: log_in(Api(client), user.name),
                [app.test_client(), app.test_client()],
            )
        )

    for answer in answers:
        assert (
            good(
                app.test_client().get(
                    "/user/", headers={"Authorization": f"Token {token_of(answer)}"}
                )
            ).status_code
            == 200
        )


def test_a_form_logs_in_too(api, amina):
    answer = api.anonymous.open(
        "POST", "/users/login/", data={"username": amina.name, "password": PASSWORD}
    )

    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"username", "password"}),
        ({"username": "x"}, {"password"}),
        ({"password": "x"}, {"username"}),
        ({"username": 1, "password": "x"}, {"username"}),
        ({"username": "x", "hashed_password": given_hash("x")}, {"password"}),
        ({"username": "x", "password": None}, {"password"}),
    ],
)
def test_a_missing_field_is_told(api, body, fields):
    answer = api.anonymous.post("/users/login/", body)

    assert (answer.status_code, set(answer.get_json()["errors"])) == (400, fields)


def test_wrong_names_and_wrong_passwords_are_told_alike(api, people, amina):
    gone, without = people.new(password=PASSWORD), people.new()
    good(api.delete(gone.url))

    wrong = [
        (amina.name, "wrong"),
        ("nobody", PASSWORD),
        (gone.name,),
        (without.name, ""),
        (amina.name.upper(),),
        ("a\u2028b", ""),
    ]
    answers = [log_in(api, *one) for one in wrong]

    assert {(answer.status_code, answer.get_data()) for answer in answers} == {
        (401, answers[0].get_data())
    }
    assert {answer.headers["WWW-Authenticate"] for answer in answers} == {"Token"}


def test_a_wrong_name_costs_the_same_work_as_a_wrong_password(api, amina, monkeypatch):
    asked = []

    class Counting:
        def verify(self, kept, password):
            asked.append(kept.rsplit("$", 2)[0])
            return real.verify(kept, password)

    real = passwords.HASHER
    log_in(api, "warm-up", "x")
    monkeypatch.setattr(passwords, "HASHER", Counting())
    for name in (amina.name, "nobody"):
        assert log_in(api, name, "wrong").status_code == 401

    assert len(asked) == 2
    assert asked[0] == asked[1]  # the same parameters of argon2: the same time and memory


def test_a_new_password_ends_all_tokens_of_the_user_and_of_nobody_else(api, people, amina):
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


def test_an_edit_without_a_new_password_ends_no_token(api, amina):
    good(amina.api.put("/user/", {"company": "c"}))
    good(amina.api.get("/user/"))


def test_a_hash_given_at_creation_lets_in_with_its_password_and_is_upgraded(api, people, services):
    user = people.new(hashed_password=given_hash("old pass phrase"))

    assert log_in(api, user.name, "wrong").status_code == 401
    token_of(log_in(api, user.name, "old pass phrase"))

    kept = services.store.users.get(user.name)["password"]
    assert kept.startswith("$argon2id$")
    token_of(log_in(api, user.name, "old pass phrase"))
    assert log_in(api, user.name, kept).status_code == 401
    assert log_in(api, user.name, given_hash("old pass phrase")).status_code == 401


def test_a_hash_is_no_password_unless_the_operator_says_so(services, api, people):
    user = people.new(hashed_password=given_hash("old pass phrase"))
    body = {"username": user.name, "hashed_password": given_hash("old pass phrase")}
    assert api.anonymous.post("/users/login/", body).status_code == 400

    lenient = Api(
        create_app(
            replace(services, settings=replace(services.settings, login_by_hash=1))
        ).test_client()
    )

    token_of(lenient.anonymous.post("/users/login/", body))
    assert (
        lenient.anonymous.post(
            "/users/login/", {**body, "hashed_password": given_hash("x")}
        ).status_code
        == 401
    )
    assert (
        lenient.anonymous.post("/users/login/", {**body, "username": "nobody"}).status_code == 401
    )


def test_a_token_can_have_a_lifetime(services, api, amina):
    strict = Api(
        create_app(
            replace(services, settings=replace(services.settings, token_life=60))
        ).test_client()
    )
    token = token_of(log_in(strict, amina.name))
    good(strict.by(token).get("/user/"))

    over = datetime.now(UTC) - timedelta(seconds=1)
    held = {"_id": amina.name, "tokens.expires_at": {"$exists": True}}
    services.store.database.users.update_one(held, {"$set": {"tokens.$.expires_at": over}})

    assert strict.by(token).get("/orgs/").status_code == 401
    good(amina.api.get("/user/"))


def test_a_user_holds_a_bounded_number_of_tokens(services, amina, api):
    tokens = [services.store.users.new_token(amina.name) for _ in range(MOST_TOKENS)]

    assert amina.api.get("/user/").status_code == 401  # the oldest went
    assert api.by(tokens[0]).get("/user/").status_code == 200
    for _ in range(MOST_TOKENS + 1):
        services.store.users.new_token("root")
    good(api.get("/user/"))  # the fixed one never goes


def test_tokens_and_passwords_are_kept_as_hashes_only(services, api, amina):
    token = token_of(log_in(api, amina.name))

    kept = repr(services.store.users.get(amina.name)) + repr(
        list(services.store.database.attempts.find())
    )

    assert PASSWORD not in kept
    assert token not in kept
    assert TOKEN not in repr(services.store.users.get("root"))
    assert amina.name not in repr(list(services.store.database.attempts.find()))


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


# Slowing


def test_repeated_failures_make_the_next_attempt_wait_even_with_the_right_password(
    services, api, amina
):
    for _ in range(attempts.PAIR.free):
        assert log_in(api, amina.name, "wrong").status_code == 401

    slowed = log_in(api, amina.name)

    assert slowed.status_code == 429
    assert 1 <= int(slowed.headers["Retry-After"]) <= 2
    token_of(log_in(api, amina.name, address="192.0.2.2"))  # the owner comes from elsewhere
    until = time.monotonic() + 20
    while (answer := log_in(api, amina.name)).status_code == 429:
        assert time.monotonic() < until
    token_of(answer)
    # a success makes up for the failures
    assert log_in(api, amina.name, "wrong").status_code == 401


def test_waits_double_and_end_at_a_limit(services, people):
    store, waits = services.store.attempts, []
    kept = services.store.database.attempts.with_options(read_concern=ReadConcern("local"))
    for _ in range(16):
        kept.update_many({}, {"$unset": {"until": ""}})
        store.begin_log_in("somebody", "192.0.2.9")
        found = kept.find_one({"until": {"$exists": True}})
        waits.append(round((found["until"] - datetime.now(UTC)).total_seconds()) if found else 0)

    assert waits[:4] == [0] * 4
    assert waits[4:13] == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert set(waits[13:]) == {attempts.PAIR.longest}


def test_an_unknown_name_is_slowed_like_a_known_one(api, people):
    statuses = [
        log_in(api, "nobody-at-all", "x").status_code for _ in range(attempts.PAIR.free + 1)
    ]

    assert statuses == [401] * attempts.PAIR.free + [429]


def test_many_addresses_together_are_slowed_but_not_the_one_that_the_owner_uses(
    services, api, amina
):
    token_of(log_in(api, amina.name, address="198.51.100.1"))
    for number in range(attempts.NAME.free):
        services.store.attempts.begin_log_in(amina.name, f"203.0.113.{number}")

    assert log_in(api, amina.name, address="203.0.113.250").status_code == 429
    token_of(log_in(api, amina.name, address="198.51.100.1"))


def test_log_ins_from_a_trusted_address_do_not_make_up_for_failures_elsewhere(services, api, amina):
    for _ in range(3):
        token_of(log_in(api, amina.name, address="198.51.100.1"))
    for number in range(attempts.NAME.free):
        services.store.attempts.begin_log_in(amina.name, f"203.0.113.{number}")
        if number % 25 == 0:
            token_of(log_in(api, amina.name, address="198.51.100.1"))

    assert log_in(api, amina.name, address="203.0.113.250").status_code == 429


def test_attempts_that_a_full_server_did_not_look_at_do_not_count(api, amina):
    with ExitStack() as places:
        for _ in range(passwords.AT_ONCE + passwords.WAITING):
            places.enter_context(passwords.place())
        for _ in range(attempts.PAIR.free + 1):
            assert log_in(api, amina.name).status_code == 429
    token_of(log_in(api, amina.name))


def test_one_address_that_tries_many_names_is_slowed(services, api, amina):
    for number in range(attempts.ADDRESS.free):
        services.store.attempts.begin_log_in(f"name{number}", "203.0.113.77")

    assert log_in(api, amina.name, address="203.0.113.77").status_code == 429
    token_of(log_in(api, amina.name))


def test_who_logs_in_rightly_makes_nobody_else_at_the_address_wait(services, api, people, amina):
    other = people.new(password=PASSWORD)
    for number in range(attempts.ADDRESS.free):
        services.store.attempts.begin_log_in(f"name{number}", "203.0.113.78")
    services.store.database.attempts.update_many({}, {"$unset": {"until": ""}})  # that wait is over

    token_of(log_in(api, amina.name, address="203.0.113.78"))
    token_of(log_in(api, other.name, address="203.0.113.78"))
    assert log_in(api, other.name, "wrong", address="203.0.113.78").status_code == 401
    assert log_in(api, amina.name, address="203.0.113.78").status_code == 429


def test_failures_of_an_address_are_counted_anew_a_quarter_of_an_hour_after_the_first(
    services, people
):
    kept = services.store.database.attempts.with_options(read_concern=ReadConcern("local"))
    for number in range(3):
        services.store.attempts.begin_log_in(f"name{number}", "203.0.113.79")
    before = kept.find_one({"failures": 3})

    services.store.attempts.begin_log_in("name3", "203.0.113.79")

    assert kept.find_one({"_id": before["_id"]}) == {**before, "failures": 4}


def test_failures_are_forgotten_by_the_database_itself(services, people):
    services.store.attempts.begin_log_in("x", "192.0.2.1")

    [index] = [
        one for one in services.store.database.attempts.list_indexes() if one["name"] == "over"
    ]
    assert index["expireAfterSeconds"] == 0
    assert services.store.database.attempts.count_documents({"expires_at": {"$exists": False}}) == 0


# The fixed token


@pytest.fixture
def restarted(services):
    """Start the server again with other settings of the first superuser; afterwards as it was."""
    yield lambda **settings: prepare(
        replace(services, settings=replace(services.settings, **settings))
    )
    prepare(services)


def test_an_emptied_setting_ends_the_fixed_token(api, restarted):
    restarted(root_token="")

    assert api.get("/user/").status_code == 401


def test_another_first_superuser_takes_the_fixed_token_from_the_one_before(api, restarted):
    restarted(root_user="keeper", root_token="f" * 40)

    assert api.get("/user/").status_code == 401
    assert good(api.by("f" * 40).get("/user/")).get_json()["username"] == "keeper"


def test_the_token_that_stays_goes_over_to_another_first_superuser(api, restarted):
    restarted(root_user="keeper")

    assert good(api.get("/user/")).get_json()["username"] == "keeper"


def test_a_start_leaves_the_tokens_of_log_ins(api, amina, restarted):
    restarted(root_token="")

    good(amina.api.get("/user/"))
