"""Leases: work that one process at a time does, without anyone being appointed."""

from datetime import datetime, timedelta

from pymongo.errors import DuplicateKeyError

from oclapi.store.database import Database, told


class Leases:
    """The `leases` collection: {_id: name of the work, holder, until}."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def take(self, name: str, holder: str, life: timedelta, now: datetime) -> bool:
        """Take or keep the lease for `life` from now on; False when another holds it. Cost: one write."""
        free = {"_id": name, "$or": [{"holder": holder}, {"until": {"$lt": now}}]}
        with told():
            try:
                self._db.leases.update_one(free, {"$set": {"holder": holder, "until": now + life}}, upsert=True)
            except DuplicateKeyError:  # it is there and not free
                return False
        return True

    def any_taken(self, prefix: str, now: datetime) -> bool:
        """Whether somebody holds a lease whose name begins so."""
        with told():
            return self._db.leases.find_one({"_id": {"$gte": prefix, "$lt": prefix + "\uffff"}, "until": {"$gt": now}}) is not None

    def give_back(self, name: str, holder: str) -> None:
        """Let another take it at once. Does nothing when it is not ours."""
        with told():
            self._db.leases.delete_one({"_id": name, "holder": holder})
