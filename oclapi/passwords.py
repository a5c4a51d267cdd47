"""Passwords: kept as argon2id hashes, checked at a bounded cost."""

import base64
import binascii
import functools
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from oclapi.errors import TooManyRequests

HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""19 MiB and about 30 ms of one core for each hash. When these change, a hash is made anew at its
owner's next log-in.
"""

AT_ONCE = 2
WAITING = 2
"""How many hashes one process computes at once, and how many requests wait for that; further ones
are refused at once. So a flood of log-ins takes four threads of a process and two cores at most,
whatever comes in.
"""
_computing = BoundedSemaphore(AT_ONCE)
_places = BoundedSemaphore(AT_ONCE + WAITING)

PBKDF2 = re.compile(
    r"pbkdf2_sha256\$([1-9][0-9]{0,6})\$([^$\s]{1,128})\$([A-Za-z0-9+/]{43}=)", re.ASCII
)
MOST_ITERATIONS = 2_000_000
"""Of a hash that is given: checking one of so many takes about a second."""


def hashed(password: str) -> str:
    """The hash to keep. Raises TooManyRequests."""
    with place(), _computing:
        return HASHER.hash(_bytes(password))


def check_form(given: str) -> str:
    """A hash made elsewhere, `pbkdf2_sha256$<iterations>$<salt>$<base64 hash>`. Raises ValueError
    where it is not one.
    """
    found = PBKDF2.fullmatch(given)
    if not found or int(found[1]) > MOST_ITERATIONS:
        raise ValueError(
            f"must be pbkdf2_sha256$<iterations, at most {MOST_ITERATIONS}>$<salt>$<base64 hash>"
        )
    return given


def verified(password: str, kept: str | None) -> tuple[bool, str | None]:
    """Is it the password of this hash? And a new hash to keep, where the old one was made in
    another way than hashes are made now.

    Takes as long without a hash as with one of argon2. Called in a `place`.
    """
    with _computing:
        right = _is_right(password, kept)
        old = (
            right
            and kept is not None
            and (not kept.startswith("$argon2") or HASHER.check_needs_rehash(kept))
        )
        return right, HASHER.hash(_bytes(password)) if old else None


def is_same_hash(given: str, kept: str | None) -> bool:
    """Is the hash that was given the one that is kept?"""
    return hmac.compare_digest(
        given.encode("utf-8", "surrogatepass"), (kept or "").encode()
    ) and bool(kept)


def _is_right(password: str, kept: str | None) -> bool:
    if kept is not None and kept.startswith("pbkdf2_sha256$"):
        return _is_pbkdf2(password, kept)
    try:
        return HASHER.verify(kept or _unknown(), _bytes(password)) and bool(kept)
    except (VerificationError, InvalidHashError):
        return False


def _is_pbkdf2(password: str, kept: str) -> bool:
    _, iterations, salt, told = kept.split("$")
    made = hashlib.pbkdf2_hmac("sha256", _bytes(password), salt.encode(), int(iterations))
    try:
        return hmac.compare_digest(made, base64.b64decode(told, validate=True))
    except binascii.Error:
        return False


@functools.cache
def _unknown() -> str:
    """What a password is compared with where there is none, so that it takes as long."""
    return HASHER.hash(secrets.token_bytes(16))


def _bytes(password: str) -> bytes:
    """JSON may hold lone surrogates, which have no bytes of their own."""
    return password.encode("utf-8", "surrogatepass")


@contextmanager
def place() -> Iterator[None]:
    """One of the places for those who compute a hash or wait to. Raises TooManyRequests when all
    are taken.
    """
    if not _places.acquire(blocking=False):
        raise TooManyRequests(1)
    try:
        yield
    finally:
        _places.release()
