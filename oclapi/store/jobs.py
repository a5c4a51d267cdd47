"""Jobs: the state of work in the background, stored in the document of what it works for.

A document of the collection has two fields:

    job    {token, state, heartbeat, processed, total, tries}
           While a job is queued or running. A collection may add fields.
    error  {text, at}
           Why the last job failed.

Every step is one conditional update. Each write of a job is conditional on its token, so a job that
was cancelled, or replaced by another one, changes nothing any more.
"""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo.collection import Collection

from oclapi.errors import Overtaken
from oclapi.model import Job, JobError, Json


class Jobs:
    """The jobs in the documents of a collection, by the `_id` of the document."""

    def __init__(self, collection: "Collection[Json]") -> None:
        self._collection = collection

    def request(
        self,
        document_id: Any,
        seen: Job | None,
        total: int,
        now: datetime,
        added: Json | None = None,
    ) -> str | None:
        """Replace the job `seen` (None: no job) with a new queued job, and return its token.

        Returns None when there is another job by now, or the document was deleted. When several
        callers pass the same `seen`, only one of them gets a token. `total` is the number of
        entries to process. `added` are fields of the job that the collection adds.
        """
        token = new_token()
        tries = seen.tries + 1 if seen and seen.state == "running" else 1
        done = self._collection.update_one(
            {"_id": document_id, **same_job(seen)},
            {"$set": {"job": {**new_job(token, total, now, tries), **(added or {})}}},
        )
        return token if done.matched_count else None

    def cancel(self, document_id: Any, token: str) -> None:
        """Delete the job as if it had not been requested. It notices that at its next step."""
        self._collection.update_one(
            {"_id": document_id, "job.token": token}, {"$unset": {"job": ""}}
        )

    def claim(self, document_id: Any, token: str, now: datetime) -> None:
        """Mark the queued job as running.

        Raises Overtaken when it no longer exists, or is running already.
        """
        begun = {"$set": {"job.state": "running", "job.heartbeat": now}}
        self._own(document_id, token, begun, {"job.state": "queued"})

    def report(self, document_id: Any, token: str, processed: int, now: datetime) -> None:
        """Store a heartbeat and the number of entries processed so far. Raises Overtaken."""
        alive = {"$set": {"job.heartbeat": now, "job.processed": processed}}
        self._own(document_id, token, alive)

    def finish(self, document_id: Any, token: str, sets: Json) -> None:
        """End the job successfully, and set other fields of the document with it.

        `sets` are expressions of an update pipeline. Raises Overtaken.
        """
        self._own(document_id, token, [{"$set": sets}, {"$unset": ["job", "error"]}])

    def fail(self, document_id: Any, token: str, text: str, sets: Json, now: datetime) -> None:
        """End the job with an error of one line, and set other fields like `finish`.

        Raises Overtaken.
        """
        error = {"$literal": {"text": text, "at": now}}
        self._own(document_id, token, [{"$set": {"error": error, **sets}}, {"$unset": "job"}])

    def _own(
        self,
        document_id: Any,
        token: str,
        update: Json | Sequence[Json],
        also: Json | None = None,
    ) -> None:
        done = self._collection.update_one(
            {"_id": document_id, "job.token": token, **(also or {})}, update
        )
        if not done.matched_count:
            raise Overtaken("this job was cancelled or replaced by another")


def new_token() -> str:
    """Return a new unique job name of 32 hex characters."""
    return uuid.uuid4().hex


def new_job(token: str, total: int, now: datetime, tries: int = 1) -> Json:
    """Return a queued job as it is stored."""
    return {
        "token": token,
        "state": "queued",
        "heartbeat": now,
        "processed": 0,
        "total": total,
        "tries": tries,
    }


def same_job(seen: Job | None) -> Json:
    """Return the condition that a document still has this job in this state; None: no job."""
    if seen is None:
        return {"job": {"$exists": False}}
    return {"job.token": seen.token, "job.state": seen.state}


def job_of(found: Mapping[str, Any]) -> Job | None:
    """Return the job of a document, None without one."""
    job = found.get("job")
    return job and Job(
        job["token"],
        job["state"],
        job["heartbeat"],
        job["processed"],
        job["total"],
        job["tries"],
    )


def error_of(found: Mapping[str, Any]) -> JobError | None:
    """Return why the last job of a document failed, None if it did not."""
    error = found.get("error")
    return error and JobError(error["text"], error["at"])
