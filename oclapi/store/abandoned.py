"""Transactions of processes that were killed. The server keeps their locks for a minute or more,
and nobody else can write there.
"""

import time

from pymongo.errors import OperationFailure

from oclapi.model import Json
from oclapi.store.database import APP, Database

UNAUTHORIZED = 13  # MongoDB's error code


class Abandoned:
    """Remembers from look to look how far each open transaction was."""

    def __init__(self, database: Database) -> None:
        self._db = database
        # By session and transaction number: the time that its steps took so far, and the
        # time.monotonic() of the last.
        self._seen: dict[tuple[bytes, int], tuple[int, float]] = {}

    def end(self, idle: float) -> int:
        """End those of ours that took no step for `idle` seconds, as far as the looks until now can
        tell; return how many.

        One whose process lives after all runs again from its start, as after a conflict. Does
        nothing on a server that does not let us look. Cost: one look at the server's open sessions.
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
        """The sessions in which a transaction of ours waits for its next step."""
        look = {"$currentOp": {"allUsers": False, "idleSessions": True}}
        ours = {"$match": {"type": "idleSession", "appName": APP, "transaction": {"$exists": True}}}
        try:
            return list(self._db.admin.aggregate([look, ours]))
        except OperationFailure as error:
            if error.code == UNAUTHORIZED:
                return []
            raise
