"""Ends the transactions of killed processes.

The server keeps their locks for a minute or more, and other writers wait for them.
"""

import time

from pymongo.errors import OperationFailure

from oclapi.model import Json
from oclapi.store.database import APP, Database

UNAUTHORIZED = 13  # MongoDB's error code


class Abandoned:
    """Remembers between calls how far each open transaction was."""

    def __init__(self, database: Database) -> None:
        self._db = database
        # By session and transaction number: how long the transaction was active, and the
        # time.monotonic() when that last changed.
        self._seen: dict[tuple[bytes, int], tuple[int, float]] = {}

    def end(self, idle: float) -> int:
        """End this server's transactions that were idle for `idle` seconds; return how many.

        Idle times are counted from the first call on. When the process of such a transaction is
        still alive, it runs the transaction again, as after a conflict. Does nothing when MongoDB
        does not allow listing sessions. Cost: one query of the open sessions.
        """
        now, seen, ended = time.monotonic(), self._seen, []
        self._seen = {}
        for session in self._open():
            transaction = session["transaction"]
            key = (bytes(session["lsid"]["id"]), int(transaction["parameters"]["txnNumber"]))
            done = int(transaction["timeActiveMicros"])
            before, since = seen.get(key, (done, now))
            self._seen[key] = (done, since if before == done else now)
            if now - self._seen[key][1] >= idle:
                ended.append({"id": session["lsid"]["id"]})
        if ended:
            self._db.admin.command("killSessions", ended)
        return len(ended)

    def _open(self) -> list[Json]:
        """Return the sessions in which a transaction of this application is idle."""
        sessions = {"$currentOp": {"allUsers": False, "idleSessions": True}}
        idle = {"$match": {"type": "idleSession", "appName": APP, "transaction": {"$exists": True}}}
        try:
            return list(self._db.admin.aggregate([sessions, idle]))
        except OperationFailure as error:
            if error.code == UNAUTHORIZED:
                return []
            raise
