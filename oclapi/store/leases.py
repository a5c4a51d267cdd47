"""Leases: work that one process at a time does, without anyone being appointed."""

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
        """Take or keep the lease for `life` from now on; False when another holds it. Cost: one
        write.
        """
        free = {"_id": name, "$or": [{"holder": holder}, {"until": {"$lt": now}}]}
        try:
            self._db.leases.update_one(
                free, {"$set": {"holder": holder, "until": now + life}}, upsert=True
            )
        except DuplicateKeyError:  # it is there and not free
            return False
        return True

    @contextmanager
    def holding(self, name: str, life: timedelta) -> Iterator[bool]:
        """Hold the lease while the block runs, however long that takes; False when another holds
        it. It ends `life` after a kill.
        """
        holder, ended = uuid.uuid4().hex, threading.Event()

        def keep() -> None:
            while not ended.wait(life.total_seconds() / 3):
                # the work itself will say so; else the next try is in time
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
            self.give_back(name, holder)

    def taken(self, name: str, now: datetime) -> bool:
        """Whether somebody holds the lease."""
        return self._db.leases.find_one({"_id": name, "until": {"$gt": now}}) is not None

    def any_taken(self, prefix: str, now: datetime) -> bool:
        """Whether somebody holds a lease whose name begins so."""
        return (
            self._db.leases.find_one(
                {"_id": {"$gte": prefix, "$lt": prefix + "\uffff"}, "until": {"$gt": now}}
            )
            is not None
        )

    def give_back(self, name: str, holder: str) -> None:
        """Let another take it at once. Does nothing when it is not ours."""
        self._db.leases.delete_one({"_id": name, "holder": holder})
