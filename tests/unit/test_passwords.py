"""Passwords: kept as argon2 hashes, checked at a bounded cost."""

import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from argon2 import PasswordHasher

from oclapi import passwords
from oclapi.errors import TooManyRequests


def pbkdf2(password, iterations=1000, salt="salt"):
    computed = hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), iterations)
    return f"pbkdf2_sha256${iterations}${salt}${base64.b64encode(computed).decode()}"


def test_a_password_is_known_again_by_its_hash():
    kept = passwords.hashed("pass phrase")

    assert kept.startswith("$argon2id$")
    assert "pass phrase" not in kept
    assert passwords.hashed("pass phrase") != kept
    assert passwords.verified("pass phrase", kept) == (True, None)
    assert passwords.verified("Pass phrase", kept) == (False, None)


@pytest.mark.parametrize(
    "kept", [None, "", "nonsense", "$argon2id$broken", "pbkdf2_sha256$1$salt$" + "A" * 43 + "="]
)
def test_nothing_is_the_password_where_there_is_none(kept):
    for password in ("", "nobody's password", "x"):
        assert passwords.verified(password, kept) == (False, None)


@pytest.mark.parametrize(
    "kept",
    [
        pbkdf2("pass phrase"),
        PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("pass phrase"),
    ],
    ids=["another algorithm", "a cheaper argon2"],
)
def test_a_hash_made_in_another_way_is_made_anew_when_the_password_is_right(kept):
    right, renewed = passwords.verified("pass phrase", kept)

    assert right
    assert passwords.verified("pass phrase", renewed) == (True, None)
    assert passwords.verified("wrong", kept) == (False, None)


@pytest.mark.parametrize("password", ["", "\ud800", "x" * 32000, "пароль", "a\u0000b"])
def test_any_text_can_be_a_password(password):
    assert passwords.verified(password, passwords.hashed(password)) == (True, None)


def test_the_form_of_a_given_hash_is_checked():
    assert passwords.check_form(pbkdf2("x")) == pbkdf2("x")
    slow = pbkdf2("x").replace("$1000$", "$3000000$")
    for wrong in (
        "",
        "x",
        "$argon2id$v=19$m=8,t=1,p=1$c2FsdA$YWJj",
        pbkdf2("x")[:-1],
        pbkdf2("x") + "\n",
        pbkdf2("x", salt="a b"),
        slow,
    ):
        with pytest.raises(ValueError, match="pbkdf2_sha256"):
            passwords.check_form(wrong)


def test_the_same_hash_is_one_that_is_there():
    assert passwords.is_same_hash(pbkdf2("x"), pbkdf2("x"))
    assert not passwords.is_same_hash("", None)
    assert not passwords.is_same_hash("", "")
    assert not passwords.is_same_hash(pbkdf2("x"), None)


def test_a_flood_is_refused_at_once_beyond_what_may_wait(monkeypatch):
    begun, go_on = Event(), Event()

    class Slow:
        def hash(self, password):
            begun.set()
            assert go_on.wait(30)
            return "hash"

    monkeypatch.setattr(passwords, "HASHER", Slow())
    with ThreadPoolExecutor(20) as threads:
        waiting = [threads.submit(passwords.hashed, "x") for _ in range(20)]
        assert begun.wait(30)
        refused = [
            one
            for one in waiting
            if isinstance(one.exception(30) if one.done() else None, TooManyRequests)
        ]
        while len(refused) < 20 - passwords.AT_ONCE - passwords.WAITING:
            refused = [one for one in waiting if one.done()]
        go_on.set()

    assert all(isinstance(one.exception(), TooManyRequests) for one in refused)
    assert [one.result() for one in waiting if one not in refused] == ["hash"] * (
        passwords.AT_ONCE + passwords.WAITING
    )
