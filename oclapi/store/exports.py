"""The state of each version's export.

Every step is one conditional update, so a process that comes too late changes nothing.

One document per version, created and deleted with it. `_id` is the version's key. Fields:

    file     {name, edition, made_at, content_at, archive}
             The archive that is served; `archive` is its description by exports/archive.py.
    earlier  [file with replaced_at]
             Replaced files, kept for a while for links that were given out before.
    job      {token, state, asked_at, heartbeat, processed, total, tries}
             `state` is queued or running.
    error    {text, at}
             Why the last job failed.
    wanted   number
             The edition of which a file is built without a request.

Times are aware UTC and passed by the caller.
"""

import uuid
from collections.abc import Iterator
from datetime import datetime

from bson import ObjectId
from pymongo.client_session import ClientSession

from oclapi.errors import Overtaken
from oclapi.model import Counts, Json, Version
from oclapi.store.database import Database, Session


class Exports:
    """The `exports` collection.

    All methods take the version's key as 24 hex characters. All may raise StoreUnavailable.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    def read(self, version_id: str, session: Session = None) -> Json | None:
        """Return the version's export document; None when the version was deleted."""
        return self._db.exports.find_one({"_id": ObjectId(version_id)}, session=session)

    def ask(self, version: Version, seen: Json | None, now: datetime) -> str | None:
        """Replace the job `seen` (None: no job) with a new queued job, and return its token.

        Returns None when there is another job by now, or the version was deleted. When several
        callers pass the same `seen`, only one of them gets a token.
        """
        token = new_token()
        tries = seen["tries"] + 1 if seen and seen["state"] == "running" else 1
        job = new_job(token, version.counts, now, tries)
        done = self._db.exports.update_one(
            {"_id": ObjectId(version.key), **_same_job(seen)}, {"$set": {"job": job}}
        )
        return token if done.matched_count else None

    def release(self, version_id: str, token: str) -> None:
        """Delete the job as if it had not been requested. `wanted` stays unchanged."""
        self._db.exports.update_one(
            {"_id": ObjectId(version_id), "job.token": token}, {"$unset": {"job": ""}}
        )

    def claim(self, version_id: str, token: str, now: datetime) -> None:
        """Mark the queued job as running.

        Raises Overtaken when it no longer exists, or is running already.
        """
        begun = {"$set": {"job.state": "running", "job.heartbeat": now}}
        self._own(version_id, token, begun, {"job.state": "queued"})

    def beat(self, version_id: str, token: str, processed: int, now: datetime) -> None:
        """Store a heartbeat and the number of entries written so far. Raises Overtaken."""
        self._own(version_id, token, {"$set": {"job.heartbeat": now, "job.processed": processed}})

    def publish(self, version_id: str, token: str, file: Json, now: datetime) -> None:
        """Finish the job and serve `file`. A newer edition stays wanted. Raises Overtaken."""
        replaced = [{"$mergeObjects": ["$file", {"replaced_at": now}]}]
        earlier = {"$cond": [{"$eq": [{"$type": "$file"}, "missing"]}, [], replaced]}
        self._own(
            version_id,
            token,
            [
                {
                    "$set": {
                        "earlier": {"$concatArrays": [{"$ifNull": ["$earlier", []]}, earlier]},
                        "file": {"$literal": file},
                        "wanted": _wanted_after(file["edition"]),
                    }
                },
                {"$unset": ["job", "error"]},
            ],
        )

    def fail(self, version_id: str, token: str, text: str, edition: int, now: datetime) -> None:
        """End the job for this edition with an error of one line. An older file stays.

        Raises Overtaken.
        """
        error = {"$literal": {"text": text, "at": now}}
        self._own(
            version_id,
            token,
            [{"$set": {"error": error, "wanted": _wanted_after(edition)}}, {"$unset": "job"}],
        )

    def drop(self, version_id: str, name: str) -> None:
        """Stop serving the file of this name. Does nothing when it was replaced."""
        self._db.exports.update_one(
            {"_id": ObjectId(version_id), "file.name": name},
            {"$unset": {"file": "", "earlier": ""}},
        )

    def delete(self, version_id: str, seen: Json) -> bool:
        """Delete file and job; return False when they differ from those of `seen` by now."""
        file = (
            {"file.name": seen["file"]["name"]} if "file" in seen else {"file": {"$exists": False}}
        )
        fields = {"file": "", "earlier": "", "job": "", "error": "", "wanted": ""}
        done = self._db.exports.update_one(
            {"_id": ObjectId(version_id), **file, **_same_job(seen.get("job"))},
            {"$unset": fields},
        )
        return bool(done.matched_count)

    def want(self, version_id: str, edition: int, session: ClientSession | None = None) -> None:
        """Have a file of this edition built, unless a user deleted the export."""
        exists = [{field: {"$exists": True}} for field in ("file", "job", "wanted", "error")]
        self._db.exports.update_one(
            {"_id": ObjectId(version_id), "$or": exists},
            {"$max": {"wanted": edition}},
            session=session,
        )

    def unsettled(self) -> Iterator[tuple[str, Json]]:
        """Yield keys and documents of all exports that are wanted or have a job.

        Cost: an index lookup.
        """
        for found in self._db.exports.find(
            {"$or": [{"wanted": {"$exists": True}}, {"job.token": {"$exists": True}}]}
        ):
            yield str(found["_id"]), found

    def states(self) -> dict[str, int]:
        """Return how many exports are queued, running, wanted, ready, failed and missing.

        Cost: a scan of one document per version.
        """
        state: Json | str = "missing"
        for field, name in (
            ("error", "failed"),
            ("file", "ready"),
            ("wanted", "wanted"),
            ("job", "$job.state"),
        ):
            state = {"$cond": [{"$eq": [{"$type": f"${field}"}, "missing"]}, state, name]}
        found = self._db.exports.aggregate([{"$group": {"_id": state, "n": {"$sum": 1}}}])
        return dict.fromkeys(("queued", "running", "wanted", "ready", "failed", "missing"), 0) | {
            one["_id"]: one["n"] for one in found
        }

    def forget_earlier(self, before: datetime) -> None:
        """Forget files that were replaced before that time. Cost: a scan."""
        replaced = {"replaced_at": {"$lt": before}}
        self._db.exports.update_many(
            {"earlier": {"$elemMatch": replaced}}, {"$pull": {"earlier": replaced}}
        )

    def names_in_use(self) -> tuple[set[str], set[str]]:
        """Return the names of all files that may be downloaded, and the tokens of all jobs.

        Cost: a scan of one document per version.
        """
        names: set[str] = set()
        tokens: set[str] = set()
        for found in self._db.exports.find({}, {"file.name": 1, "earlier.name": 1, "job.token": 1}):
            names.update(
                file["name"] for file in [*found.get("earlier", ()), found.get("file")] if file
            )
            tokens.update([found["job"]["token"]] if "job" in found else ())
        return names, tokens

    def _own(
        self, version_id: str, token: str, update: Json | list[Json], also: Json | None = None
    ) -> None:
        done = self._db.exports.update_one(
            {"_id": ObjectId(version_id), "job.token": token, **(also or {})}, update
        )
        if not done.matched_count:
            raise Overtaken("this export job was cancelled or replaced by another")


def new_token() -> str:
    """Return a new unique job name of 32 hex characters."""
    return uuid.uuid4().hex


def new_job(token: str, counts: Counts, now: datetime, tries: int = 1) -> Json:
    """Return a queued job for the export of a version with that many entries."""
    return {
        "token": token,
        "state": "queued",
        "asked_at": now,
        "heartbeat": now,
        "processed": 0,
        "total": counts.entries,
        "tries": tries,
    }


def _same_job(seen: Json | None) -> Json:
    return (
        {"job.token": seen["token"], "job.state": seen["state"]}
        if seen
        else {"job": {"$exists": False}}
    )


def _wanted_after(edition: int) -> Json:
    """Return the expression for `wanted` after a job for that edition ended."""
    return {"$cond": [{"$gt": [{"$ifNull": ["$wanted", 0]}, edition]}, "$wanted", "$$REMOVE"]}
