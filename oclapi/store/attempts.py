"""Failed log-ins and sign-ups, and how long the next attempt has to wait.

Names and addresses are stored only as hashes keyed with the server's secret.
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
from oclapi.times import now_ms

FORGET = timedelta(minutes=15)
"""How long failures count: from the first one in shared counts, else from the last one."""
TRUST = timedelta(days=30)
"""How long an address is remembered after a user logged in from it."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How failures of one kind delay the next attempts.

    After `free` failures the next attempt waits 1 s, then 2, 4 and so on, up to `longest`.
    """

    kind: str
    free: int
    longest: int  # seconds
    shared: bool = False  # by unrelated people


PAIR = Limit("name and address", 5, 300)
ADDRESS = Limit("address", 50, 30, shared=True)
# Does not apply to addresses from which the user logged in before, so that a stranger can't lock
# the user out.
NAME = Limit("name", 100, 15, shared=True)
SIGN_UPS = Limit("sign-ups of an address", 10, 300)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A counted attempt.

    `pair` and `others` are the keys of its counts, `known` is the key that a successful log-in
    stores for the address, and `waits` are the delays that it started, by key.
    """

    pair: str
    others: tuple[str, ...]
    known: str
    waits: Mapping[str, datetime]


class Attempts:
    """The `attempts` collection, shared by all processes. A TTL index deletes expired documents.

    Losing a document does little harm, so writes wait for one node only, and reads are local.
    """

    def __init__(self, database: Database, secret_key: str) -> None:
        self._attempts = database.attempts.with_options(
            read_concern=ReadConcern("local"), write_concern=WriteConcern(1)
        )
        self._key = secret_key.encode()

    def begin_log_in(self, username: str, address: str) -> Attempt:
        """Count a log-in as failed until `succeed` is called, so that parallel attempts count too.

        Raises TooManyRequests, without counting, when this attempt has to wait.
        """
        pair, known = self._id(PAIR.kind, username, address), self._id("known", username, address)
        others = [(ADDRESS, self._id(ADDRESS.kind, address))]
        if self._attempts.find_one({"_id": known}, {"_id": 1}) is None:
            others.append((NAME, self._id(NAME.kind, username)))
        waits = self._begin([(PAIR, pair), *others])
        return Attempt(pair, tuple(key for _, key in others), known, waits)

    def succeed(self, attempt: Attempt) -> None:
        """Undo the count: the log-in succeeded."""
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
        """Count a failure for each limit; return until when others have to wait, by key."""
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
