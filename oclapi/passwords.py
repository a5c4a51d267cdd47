"""Passwords: stored as argon2id hashes, checked at a limited cost."""

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
"""Each hash takes 19 MiB and about 30 ms of one core.

When these parameters change, a hash is replaced at the next log-in of its user.
"""

AT_ONCE = 2
WAITING = 2
"""How many hashes one process computes at once, and how many requests may wait for that.

Further requests are refused at once, so log-ins occupy at most four threads and two cores.
"""
_computing = BoundedSemaphore(AT_ONCE)
_slots = BoundedSemaphore(AT_ONCE + WAITING)

PBKDF2 = re.compile(
    r"pbkdf2_sha256\$([1-9][0-9]{0,6})\$([^$\s]{1,128})\$([A-Za-z0-9+/]{43}=)", re.ASCII
)
MOST_ITERATIONS = 2_000_000
"""Most iterations of a hash from a client. Checking one takes about a second."""


def hashed(password: str) -> str:
    """Return the hash to store. Raises TooManyRequests."""
    with slot(), _computing:
        return HASHER.hash(_bytes(password))


def check_form(given: str) -> str:
    """Return a hash from elsewhere, `pbkdf2_sha256$<iterations>$<salt>$<base64 hash>`, unchanged.

    Raises ValueError when it has another form.
    """
    found = PBKDF2.fullmatch(given)
    if not found or int(found[1]) > MOST_ITERATIONS:
        raise ValueError(
            f"must be pbkdf2_sha256$<iterations, at most {MOST_ITERATIONS}>$<salt>$<base64 hash>"
        )
    return given


def verified(password: str, stored: str | None) -> tuple[bool, str | None]:
    """Return whether the password has this hash, and a new hash when it should be replaced.

    Without a hash, this takes as long as with one of argon2. Called within `slot()`.
    """
    with _computing:
        right = _is_right(password, stored)
        old = (
            right
            and stored is not None
            and (not stored.startswith("$argon2") or HASHER.check_needs_rehash(stored))
        )
        return right, HASHER.hash(_bytes(password)) if old else None


def is_same_hash(given: str, stored: str | None) -> bool:
    """Return whether the hash from a client is the stored one."""
    return hmac.compare_digest(
        given.encode("utf-8", "surrogatepass"), (stored or "").encode()
    ) and bool(stored)


def _is_right(password: str, stored: str | None) -> bool:
    if stored is not None and stored.startswith("pbkdf2_sha256$"):
        return _is_pbkdf2(password, stored)
    try:
        return HASHER.verify(stored or _unknown(), _bytes(password)) and bool(stored)
    except (VerificationError, InvalidHashError):
        return False


def _is_pbkdf2(password: str, stored: str) -> bool:
    _, iterations, salt, expected = stored.split("$")
    computed = hashlib.pbkdf2_hmac("sha256", _bytes(password), salt.encode(), int(iterations))
    try:
        return hmac.compare_digest(computed, base64.b64decode(expected, validate=True))
    except binascii.Error:
        return False


@functools.cache
def _unknown() -> str:
    """Return a hash to compare with when a user has none, so that it takes as long."""
    return HASHER.hash(secrets.token_bytes(16))


def _bytes(password: str) -> bytes:
    """Encode the password; JSON may contain lone surrogates."""
    return password.encode("utf-8", "surrogatepass")


@contextmanager
def slot() -> Iterator[None]:
    """Take one of the slots for computing a hash or waiting for it.

    Raises TooManyRequests when all are taken.
    """
    if not _slots.acquire(blocking=False):
        raise TooManyRequests(1)
    try:
        yield
    finally:
        _slots.release()
