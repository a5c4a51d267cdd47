"""Leases: work that one process does at a time."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

from pymongo.errors import DuplicateKeyError

from oclapi.errors import StoreUnavailable
from oclapi.store.database import Database


class Leases:
    """The `leases` collection: {_id: name of the work, holder, until}."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def take(self, name: str, holder: str, life: timedelta, now: datetime) -> bool:
        """Take or extend the lease for `life` from now on; False when another has it.

        Cost: one write.
        """
        free = {"_id": name, "$or": [{"holder": holder}, {"until": {"$lt": now}}]}
        try:
            self._db.leases.update_one(
                free, {"$set": {"holder": holder, "until": now + life}}, upsert=True
            )
        except DuplicateKeyError:  # the lease exists and is not free
            return False
        return True

    @contextmanager
    def hold(self, name: str, life: timedelta) -> Iterator[bool]:
        """Keep the lease while the block runs, and yield True; yield False when another has it.

        When the process is killed, the lease ends after `life`.
        """
        holder, ended = uuid.uuid4().hex, threading.Event()

        def keep() -> None:
            while not ended.wait(life.total_seconds() / 3):
                # The work itself fails then, or the next try is in time.
                with suppress(StoreUnavailable):
                    self.take(name, holder, life, datetime.now(UTC))

        if not self.take(name, holder, life, datetime.now(UTC)):
            yield False
            return
        keeper = threading.Thread(target=keep, name=f"lease {name}", daemon=True)
        keeper.start()
        try:
            yield True
        finally:
            ended.set()
            keeper.join()
            self.release(name, holder)

    def taken(self, name: str, now: datetime) -> bool:
        """Return whether any process has the lease."""
        return self._db.leases.find_one({"_id": name, "until": {"$gt": now}}) is not None

    def any_taken(self, prefix: str, now: datetime) -> bool:
        """Return whether any process has a lease whose name starts with `prefix`."""
        return (
            self._db.leases.find_one(
                {"_id": {"$gte": prefix, "$lt": prefix + "\uffff"}, "until": {"$gt": now}}
            )
            is not None
        )

    def release(self, name: str, holder: str) -> None:
        """End the lease. Does nothing when `holder` does not have it."""
        self._db.leases.delete_one({"_id": name, "holder": holder})
