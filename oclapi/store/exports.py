"""The state of each version's export. Every step is one conditional update, so whoever comes late
changes nothing.

One document per version, made and removed together with it (`_id` is the version's key):
    file     {name, edition, made_at, content_at, archive}    what is served; `archive` is what
    exports/archive.py told of the file earlier  [file with replaced_at]
    replaced a moment ago, still there for links given out before job      {token, state, asked_at,
    heartbeat, processed, total, tries}    state: queued or running error    {text, at}
    why the last job failed wanted   an edition for which a file shall come without anyone asking
Times are given by the caller: aware UTC.
"""

import uuid
from collections.abc import Iterator
from datetime import datetime

from bson import ObjectId
from pymongo.client_session import ClientSession

from oclapi.errors import Overtaken
from oclapi.model import Json
from oclapi.store.database import Database, Session


class Exports:
    """The `exports` collection. All methods take the version's key as 24 hex characters. Raises
    StoreUnavailable.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    def read(self, version_id: str, session: Session = None) -> Json | None:
        """The version's export document; None when the version is gone."""
        return self._db.exports.find_one({"_id": ObjectId(version_id)}, session=session)

    def ask(self, version: Json, seen: Json | None, now: datetime) -> str | None:
        """Put a queued job in the place of the one that was `seen` there (None: of none), and
        return its token.

        None when another job is there by now, or the version is gone: of any number of callers with
        the same `seen`, one gets a token.
        """
        token = new_token()
        tries = seen["tries"] + 1 if seen and seen["state"] == "running" else 1
        job = new_job(token, version, now, tries)
        done = self._db.exports.update_one(
            {"_id": version["_id"], **_same_job(seen)}, {"$set": {"job": job}}
        )
        return token if done.matched_count else None

    def release(self, version_id: str, token: str) -> None:
        """Take the job back, as if it had not been asked for. An export that was `wanted` stays so."""
        self._db.exports.update_one(
            {"_id": ObjectId(version_id), "job.token": token}, {"$unset": {"job": ""}}
        )

    def claim(self, version_id: str, token: str, now: datetime) -> None:
        """The queued job begins to run. Raises Overtaken when it is not there any more, or runs
        already.
        """
        begun = {"$set": {"job.state": "running", "job.heartbeat": now}}
        self._own(version_id, token, begun, {"job.state": "queued"})

    def beat(self, version_id: str, token: str, processed: int, now: datetime) -> None:
        """The running job is alive and has written so many entries. Raises Overtaken."""
        self._own(version_id, token, {"$set": {"job.heartbeat": now, "job.processed": processed}})

    def publish(self, version_id: str, token: str, file: Json, now: datetime) -> None:
        """The job is done: serve `file`. A newer edition that is wanted meanwhile stays wanted.
        Raises Overtaken.
        """
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
        """The job for this edition ended without a file, and why, in one line. A file from before
        stays. Raises Overtaken.
        """
        error = {"$literal": {"text": text, "at": now}}
        self._own(
            version_id,
            token,
            [{"$set": {"error": error, "wanted": _wanted_after(edition)}}, {"$unset": "job"}],
        )

    def drop(self, version_id: str, name: str) -> None:
        """Serve the file of this name no more; nothing happens when another took its place."""
        self._db.exports.update_one(
            {"_id": ObjectId(version_id), "file.name": name},
            {"$unset": {"file": "", "earlier": ""}},
        )

    def delete(self, version_id: str, seen: Json) -> bool:
        """Forget file and job; False when they are not those of the document `seen` any more, and
        nothing was done.
        """
        file = (
            {"file.name": seen["file"]["name"]} if "file" in seen else {"file": {"$exists": False}}
        )
        gone = {"file": "", "earlier": "", "job": "", "error": "", "wanted": ""}
        done = self._db.exports.update_one(
            {"_id": ObjectId(version_id), **file, **_same_job(seen.get("job"))},
            {"$unset": gone},
        )
        return bool(done.matched_count)

    def want(self, version_id: str, edition: int, session: ClientSession | None = None) -> None:
        """Have a file of this edition made without anyone asking, unless the export was deleted by
        hand.
        """
        there = [{field: {"$exists": True}} for field in ("file", "job", "wanted", "error")]
        self._db.exports.update_one(
            {"_id": ObjectId(version_id), "$or": there},
            {"$max": {"wanted": edition}},
            session=session,
        )

    def unsettled(self) -> Iterator[tuple[str, Json]]:
        """Keys and documents of all exports that are wanted or have a job. Cost: what is found, by
        index.
        """
        for found in self._db.exports.find(
            {"$or": [{"wanted": {"$exists": True}}, {"job.token": {"$exists": True}}]}
        ):
            yield str(found["_id"]), found

    def states(self) -> dict[str, int]:
        """How many exports are queued, running, wanted (a job will come), ready, failed or missing.

        Cost: a scan, one document per version.
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
        """Let go of files that were replaced before that moment. Cost: a scan over the documents
        that have such files.
        """
        replaced = {"replaced_at": {"$lt": before}}
        self._db.exports.update_many(
            {"earlier": {"$elemMatch": replaced}}, {"$pull": {"earlier": replaced}}
        )

    def names_in_use(self) -> tuple[set[str], set[str]]:
        """The names of all files that may be asked for, and the tokens of all jobs. Cost: a scan,
        one document per version.
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
            raise Overtaken("this export job was cancelled, or another has taken its place")


def new_token() -> str:
    """A name for one job, for ever: 32 hex characters."""
    return uuid.uuid4().hex


def new_job(token: str, version: Json, now: datetime, tries: int = 1) -> Json:
    """A queued job for the export of a version."""
    total = version["counts"]["concepts"] + version["counts"]["mappings"]
    return {
        "token": token,
        "state": "queued",
        "asked_at": now,
        "heartbeat": now,
        "processed": 0,
        "total": total,
        "tries": tries,
    }


def _same_job(seen: Json | None) -> Json:
    return (
        {"job.token": seen["token"], "job.state": seen["state"]}
        if seen
        else {"job": {"$exists": False}}
    )


def _wanted_after(edition: int) -> Json:
    """What is still wanted after a job for that edition ended."""
    return {"$cond": [{"$gt": [{"$ifNull": ["$wanted", 0]}, edition]}, "$wanted", "$$REMOVE"]}
