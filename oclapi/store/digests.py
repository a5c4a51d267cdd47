"""Digests of content (contract 21.4).

The digest of a revision is the sum of the hashes of the entries that are visible at it, modulo
2**512. So a commit adds the hashes of the rows that it writes, subtracts those of the rows that it
ends, and reads nothing else. Hashes and digests are stored as 64 bytes, big-endian.
"""

from hashlib import sha512

SIZE = 64
MODULUS = 2**512
EMPTY = bytes(SIZE)
"""The digest of no entries."""


def hash_of(url: str, body: bytes) -> bytes:
    """Return the hash of an entry. Cost: about 2 microseconds for each KB of the body."""
    return sha512(b"%b\0%b" % (url.encode(), body)).digest()


def number_of(value: bytes) -> int:
    """Return a hash or a digest as a number."""
    return int.from_bytes(value, "big")


def digest_of(total: int) -> bytes:
    """Return the digest of a sum of hashes."""
    return (total % MODULUS).to_bytes(SIZE, "big")
