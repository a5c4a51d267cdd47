"""Imports: the progress of each, and the outcome of each of its lines."""

import heapq
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from pymongo.client_session import ClientSession

from oclapi import jsonio
from oclapi.errors import Overtaken
from oclapi.model import Json
from oclapi.store.database import Database
from oclapi.times import now_ms

KEPT = timedelta(days=3)
"""How long a finished task can be read."""
NONE: Mapping[str, Sequence[str]] = {}
WAITED_FOR = timedelta(days=30)
"""How long an interrupted task can be continued after its last step."""


class Tasks:
    """The `tasks` and `task_results` collections.

    Progress is written in the transaction of the commit that it belongs to. A result document
    contains the outcomes of one commit as JSON bytes: a document for each line would cost as much
    as the line's row.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    def begin(self, task: str, by: str) -> Json:
        """Return the unfinished task of this key, to be continued after its `lines`, or a new one.

        Its `run` is new, so an earlier run that is still working gets Overtaken at its next step.
        Also deletes tasks that ended more than KEPT ago, and ends those that were not continued
        for WAITED_FOR.
        """
        run = uuid.uuid4().hex
        self._forget()
        now = now_ms()
        taken_over = {"$set": {"run": run, "touched_at": now}}
        found = self._db.tasks.find_one_and_update(
            {"_id": task, "state": "STARTED"}, taken_over, return_document=True
        )
        if found:
            return found
        self._db.task_results.delete_many({"task": task})
        begun: Json = {"started_at": now, "touched_at": now}
        new = {
            "_id": task,
            "username": by,
            "state": "STARTED",
            "run": run,
            "lines": 0,
            "counts": {},
            **begun,
        }
        self._db.tasks.replace_one({"_id": task}, new, upsert=True)
        return new

    def advance(
        self,
        session: ClientSession,
        task: str,
        run: str,
        *,
        lines: int,
        counts: Mapping[str, int],
        results: Sequence[Json],
        waiting: Sequence[int] = (),
        turn: int = 0,
        ignored: Mapping[str, Sequence[str]] = NONE,
    ) -> None:
        """Store that the task has handled its first `lines` lines, and the outcomes of this step.

        `waiting` are the numbers of lines that this step left to be tried again. `turn` is above 0
        when lines are tried again, and a higher one each time. `counts` and `ignored` (the keys
        that nothing reads, by type) are those of all lines so far. Raises Overtaken when the task
        has another run by now, or has ended.
        """
        progress = {"lines": lines, "counts": dict(counts), "ignored": dict(ignored)}
        moved = {"$set": {**progress, "touched_at": now_ms()}}
        done = self._db.tasks.update_one(
            {"_id": task, "run": run, "state": "STARTED"}, moved, session=session
        )
        if done.matched_count == 0:
            raise Overtaken("another run has taken over this import")
        if results or waiting:
            step: Json = {"task": task, "line": lines, "results": jsonio.dumps(results)}
            step |= {"waiting": list(waiting)} if waiting else {}
            step |= {"turn": turn} if turn else {}
            self._db.task_results.insert_one(step, session=session)

    def finish(self, task: str, run: str, state: str) -> None:
        """End the task. Another run of the same input starts from its first line."""
        self._db.tasks.update_one(
            {"_id": task, "run": run}, {"$set": {"state": state, "finished_at": now_ms()}}
        )

    def results(self, task: str) -> Iterator[Json]:
        """Yield the outcomes of a task by line. Memory: those of one commit for each turn."""
        turns = (self._results(task, turn) for turn in (None, *self.turns(task)))
        return heapq.merge(*turns, key=lambda result: result["line"])

    def turns(self, task: str) -> Sequence[int]:
        """Return the turns in which lines were tried again."""
        return sorted(self._db.task_results.distinct("turn", {"task": task}))

    def _results(self, task: str, turn: int | None) -> Iterator[Json]:
        for step in self._db.task_results.find({"task": task, "turn": turn}).sort("line", 1):
            yield from jsonio.loads_own(step["results"])

    def waiting(self, task: str) -> set[int]:
        """Return the numbers of the lines that wait. Cost: a read of all outcomes if any waits."""
        steps = self._db.task_results
        waiting = {
            number
            for step in steps.find({"task": task, "waiting": {"$exists": True}}, {"waiting": 1})
            for number in step["waiting"]
        }
        return waiting.difference(
            result["line"] for result in (self.results(task) if waiting else ())
        )

    def _forget(self) -> None:
        now = now_ms()
        given_up = {"state": "STARTED", "touched_at": {"$lt": now - WAITED_FOR}}
        self._db.tasks.update_many(given_up, {"$set": {"state": "FAILURE", "finished_at": now}})
        for old in list(self._db.tasks.find({"finished_at": {"$lt": now - KEPT}}, {"_id": 1})):
            self._db.task_results.delete_many({"task": old["_id"]})
            self._db.tasks.delete_one({"_id": old["_id"], "finished_at": {"$exists": True}})
