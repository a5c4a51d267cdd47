"""Failed attempts: how long the next one has to wait. Names and addresses are kept only as hashes
keyed with the server's secret.
"""

import hashlib
import hmac
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from oclapi.errors import TooManyRequests
from oclapi.store.database import Database
from oclapi.store.repos import now_ms

FORGET = timedelta(minutes=15)
"""After so long failures are forgotten: from the first one on where many share a count, else from
the last one on.
"""
TRUST = timedelta(days=30)
"""How long an address counts as one that a user logged in from."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How failures of one kind slow what follows: after `free` of them the next waits 1 s, then 2,
    4 and so on up to `longest`.
    """

    kind: str
    free: int
    longest: int  # seconds
    shared: bool = False  # by people who have nothing to do with each other


PAIR = Limit("name and address", 5, 300)
ADDRESS = Limit("address", 50, 30, shared=True)
# does not hold where the user logged in before: a stranger can't lock the owner out
NAME = Limit("name", 100, 15, shared=True)
SIGN_UPS = Limit("sign-ups of an address", 10, 300)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One that was counted: the keys of its counts, that of the note which a good one leaves, and
    the waits that it began, by key.
    """

    pair: str
    others: tuple[str, ...]
    known: str
    waits: Mapping[str, datetime]


class Attempts:
    """The `attempts` collection, the same for all processes of a server. A document goes by itself
    when it is over.

    Losing one does little harm, so its writes wait for one node only, and reads see what that node
    has.
    """

    def __init__(self, database: Database, secret_key: str) -> None:
        self._attempts = database.attempts.with_options(
            read_concern=ReadConcern("local"), write_concern=WriteConcern(1)
        )
        self._key = secret_key.encode()

    def begin_log_in(self, username: str, address: str) -> Attempt:
        """Count an attempt to log in as failed, until `succeed` says otherwise: so attempts at once
        are counted too.

        Raises TooManyRequests, without counting, where an earlier failure makes this one wait.
        """
        pair, known = self._id(PAIR.kind, username, address), self._id("known", username, address)
        others = [(ADDRESS, self._id(ADDRESS.kind, address))]
        if self._attempts.find_one({"_id": known}, {"_id": 1}) is None:
            others.append((NAME, self._id(NAME.kind, username)))
        waits = self._begin([(PAIR, pair), *others])
        return Attempt(pair, tuple(key for _, key in others), known, waits)

    def succeed(self, attempt: Attempt) -> None:
        """Take the attempt back: the user is who it says to be."""
        self._attempts.delete_one({"_id": attempt.pair})
        self._attempts.update_many({"_id": {"$in": attempt.others}}, {"$inc": {"failures": -1}})
        for key, until in attempt.waits.items():
            self._attempts.update_one({"_id": key, "until": until}, {"$unset": {"until": ""}})
        self._attempts.update_one(
            {"_id": attempt.known}, {"$set": {"expires_at": now_ms() + TRUST}}, upsert=True
        )

    def begin_sign_up(self, address: str) -> None:
        """Count a sign-up. Raises TooManyRequests as `begin_log_in`."""
        self._begin([(SIGN_UPS, self._id(SIGN_UPS.kind, address))])

    def _begin(self, limits: Sequence[tuple[Limit, str]]) -> dict[str, datetime]:
        """Count a failure of each; returns until when each makes others wait, by key."""
        now, waits = now_ms(), dict[str, datetime]()
        waiting = self._attempts.find(
            {"_id": {"$in": [key for _, key in limits]}, "until": {"$gt": now}}, {"until": 1}
        )
        until: list[datetime] = [found["until"] for found in waiting]
        if until:
            raise TooManyRequests(math.ceil((max(until) - now).total_seconds()))
        for limit, key in limits:
            counted = {
                "$inc": {"failures": 1},
                "$setOnInsert" if limit.shared else "$set": {"expires_at": now + FORGET},
            }
            found = self._attempts.find_one_and_update(
                {"_id": key}, counted, upsert=True, return_document=True
            )
            assert found is not None  # an upsert that returns the document after it
            over = found["failures"] - limit.free
            if over >= 0:
                waits[key] = now + timedelta(seconds=min(2 ** min(over, 20), limit.longest))
                self._attempts.update_one({"_id": key}, {"$set": {"until": waits[key]}})
        return waits

    def _id(self, *parts: str) -> str:
        return hmac.new(
            self._key, "\0".join(parts).encode("utf-8", "surrogatepass"), hashlib.sha256
        ).hexdigest()
