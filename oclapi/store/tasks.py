"""Imports: how far each came, and what became of the lines that were not plain successes."""

from collections.abc import Mapping, Sequence

from pymongo.client_session import ClientSession

from oclapi.model import Json
from oclapi.store.database import Database, told
from oclapi.store.repos import now_ms


class Tasks:
    """The `tasks` and `task_results` collections. Progress is written in the transaction of the commit that it tells of."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def begin(self, task: str, by: str) -> Json:
        """The unfinished task of this key, to be continued after its `lines`; else a new one."""
        with told():
            found = self._db.tasks.find_one({"_id": task})
            if found and found["state"] == "STARTED":
                return found
            self._db.task_results.delete_many({"task": task})
            made = {"_id": task, "username": by, "state": "STARTED", "lines": 0, "bytes": 0, "counts": {}, "started_at": now_ms()}
            self._db.tasks.replace_one({"_id": task}, made, upsert=True)
            return made

    def advance(
        self, session: ClientSession | None, task: str, *, lines: int, size: int, counts: Mapping[str, int], results: Sequence[Json]
    ) -> None:
        """Note that the task has handled `lines` lines (`size` bytes) with these counts in all, and keep the outcomes of this step."""
        if results:
            self._db.task_results.insert_many([{"task": task, **result} for result in results], session=session)
        self._db.tasks.update_one({"_id": task}, {"$set": {"lines": lines, "bytes": size, "counts": dict(counts)}}, session=session)

    def finish(self, task: str, state: str) -> None:
        """The task ended; another run of the same input starts from its first line."""
        with told():
            self._db.tasks.update_one({"_id": task}, {"$set": {"state": state, "finished_at": now_ms()}})

    def results(self, task: str) -> list[Json]:
        """The kept outcomes of a task, by line."""
        with told():
            return list(self._db.task_results.find({"task": task}, {"_id": 0, "task": 0}).sort("line", 1))
