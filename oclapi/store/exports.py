"""The state of each version's export.

One document per version, created and deleted with it. `_id` is the version's key. Fields, besides
those of its job (see store/jobs.py):

    file     {name, edition, made_at, content_at, archive}
             The archive that is served; `archive` is its description by exports/archive.py.
    earlier  [file with replaced_at]
             Replaced files, kept for a while for links that were given out before.
    wanted   number
             The edition of which a file is built without a request.

Times are aware UTC and passed by the caller.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo.client_session import ClientSession

from oclapi.model import Archive, Export, ExportFile, ExportKey, Job, Json
from oclapi.store.database import Database, Session
from oclapi.store.jobs import Jobs, error_of, job_of, same_job


class Exports:
    """The `exports` collection. All methods may raise StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._jobs = Jobs(database.exports)

    def read(self, key: ExportKey, session: Session = None) -> Export | None:
        """Return the export; None when its version was deleted."""
        found = self._db.exports.find_one({"_id": _id(key)}, session=session)
        return export_of(found) if found else None

    def create(
        self, key: ExportKey, edition: int, job: Json | None, session: ClientSession
    ) -> None:
        """Add the export of a new version, which is wanted; `job` is its first one."""
        first = {"job": job} if job else {}
        self._db.exports.insert_one({"_id": _id(key), "wanted": edition, **first}, session=session)

    def request(self, key: ExportKey, seen: Job | None, total: int, now: datetime) -> str | None:
        """See `Jobs.request`."""
        return self._jobs.request(_id(key), seen, total, now)

    def cancel(self, key: ExportKey, token: str) -> None:
        """See `Jobs.cancel`. `wanted` stays unchanged."""
        self._jobs.cancel(_id(key), token)

    def claim(self, key: ExportKey, token: str, now: datetime) -> None:
        """See `Jobs.claim`."""
        self._jobs.claim(_id(key), token, now)

    def report(self, key: ExportKey, token: str, processed: int, now: datetime) -> None:
        """See `Jobs.report`."""
        self._jobs.report(_id(key), token, processed, now)

    def publish(self, key: ExportKey, token: str, file: ExportFile, now: datetime) -> None:
        """Finish the job and serve `file`. A newer edition stays wanted. Raises Overtaken."""
        replaced = [{"$mergeObjects": ["$file", {"replaced_at": now}]}]
        earlier = {"$cond": [{"$eq": [{"$type": "$file"}, "missing"]}, [], replaced]}
        self._jobs.finish(
            _id(key),
            token,
            {
                "earlier": {"$concatArrays": [{"$ifNull": ["$earlier", []]}, earlier]},
                "file": {"$literal": asdict(file)},
                "wanted": _wanted_after(file.edition),
            },
        )

    def fail(self, key: ExportKey, token: str, text: str, edition: int, now: datetime) -> None:
        """End the job for this edition with an error of one line. An older file stays.

        Raises Overtaken.
        """
        self._jobs.fail(_id(key), token, text, {"wanted": _wanted_after(edition)}, now)

    def drop(self, key: ExportKey, name: str) -> None:
        """Stop serving the file of this name. Does nothing when it was replaced."""
        self._db.exports.update_one(
            {"_id": _id(key), "file.name": name}, {"$unset": {"file": "", "earlier": ""}}
        )

    def delete(self, key: ExportKey, seen: Export) -> bool:
        """Delete file and job; return False when they differ from those of `seen` by now."""
        file = {"file.name": seen.file.name} if seen.file else {"file": {"$exists": False}}
        fields = {"file": "", "earlier": "", "job": "", "error": "", "wanted": ""}
        done = self._db.exports.update_one(
            {"_id": _id(key), **file, **same_job(seen.job)}, {"$unset": fields}
        )
        return bool(done.matched_count)

    def want(self, key: ExportKey, edition: int, session: ClientSession | None = None) -> None:
        """Have a file of this edition built, unless a user deleted the export."""
        exists = [{field: {"$exists": True}} for field in ("file", "job", "wanted", "error")]
        self._db.exports.update_one(
            {"_id": _id(key), "$or": exists}, {"$max": {"wanted": edition}}, session=session
        )

    def unsettled(self) -> Iterator[ExportKey]:
        """Yield the keys of all exports that are wanted or have a job. Cost: an index lookup."""
        found = self._db.exports.find(
            {"$or": [{"wanted": {"$exists": True}}, {"job.token": {"$exists": True}}]}, {"_id": 1}
        )
        return (_key(document["_id"]) for document in found)

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


def export_of(found: Mapping[str, Any]) -> Export:
    """Return a stored document as a value."""
    file = found.get("file")
    return Export(
        _file_of(file) if file else None,
        tuple(map(_file_of, found.get("earlier", ()))),
        job_of(found),
        error_of(found),
        found.get("wanted"),
    )


def _file_of(found: Mapping[str, Any]) -> ExportFile:
    return ExportFile(
        found["name"],
        found["edition"],
        found["made_at"],
        found["content_at"],
        Archive(**found["archive"]),
    )


def _id(key: ExportKey) -> Any:
    """Return the `_id` of the document. That of a whole export is the version's."""
    version = ObjectId(key.version)
    return version if key.since is None else {"version": version, "since": key.since}


def _key(document_id: Any) -> ExportKey:
    if isinstance(document_id, ObjectId):
        return ExportKey(str(document_id))
    return ExportKey(str(document_id["version"]), document_id["since"])


def _wanted_after(edition: int) -> Json:
    """Return the expression for `wanted` after a job for that edition ended."""
    return {"$cond": [{"$gt": [{"$ifNull": ["$wanted", 0]}, edition]}, "$wanted", "$$REMOVE"]}
