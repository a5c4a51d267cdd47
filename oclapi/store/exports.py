"""The state of each version's export.

One document per version, created and deleted with it. `_id` is the version's key. Fields, besides
those of its job (see store/jobs.py):

    job      {..., rank, owner, round}
             Its place in the order of exports, see `next_queued`. Jobs of older releases have none.
    file     {name, edition, made_at, content_at, archive}
             The archive that is served; `archive` is its description by exports/archive.py.
    earlier  [file with replaced_at]
             Replaced files, kept for a while for links that were given out before.
    wanted   number
             The edition of which a file is built without a request.

Times are aware UTC and passed by the caller.

The order of exports: workers build the queued export with the lowest rank first. Ranks are

    0   small, and somebody asked for it (urgent)
    1   large, and somebody asked for it
    2   small, and a release or an edit requested it
    3   large, and a release or an edit requested it

Within a rank the owners of the repositories take turns. The exports that an owner requests while
others wait get increasing rounds, and the first export of another owner joins the current round.
Every fourth turn goes to the export that has waited longest, so that each one is built some day.
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

SMALL = 10_000
"""Most entries of a small export. It is built in less than a second."""

URGENT = 0
"""The rank of small exports that somebody asked for."""

OLDEST_EVERY = 4
"""One of so many turns goes to the export that has waited longest."""

QUEUED: Json = {"job.token": {"$exists": True}, "job.state": "queued"}
"""Which exports wait for a worker. The first condition allows the use of partial indexes."""

TO_CHECK: Json = {
    "$or": [
        {"wanted": {"$exists": True}, "job": {"$exists": False}},
        {"job.token": {"$exists": True}, "job.state": "running"},
    ]
}
"""See `Exports.to_check`."""


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

    def request(
        self, key: ExportKey, seen: Job | None, total: int, now: datetime, *, asked: bool = False
    ) -> str | None:
        """See `Jobs.request`. `asked`: somebody waits for the export."""
        place = self.place(self._owner(key), total, asked=asked)
        return self._jobs.request(_id(key), seen, total, now, place)

    def ask(self, key: ExportKey, seen: Job) -> bool:
        """Move a queued job to those that somebody asked for.

        Returns False when it is no longer queued.
        """
        place = self.place(self._owner(key), seen.total, asked=True)
        done = self._db.exports.update_one(
            {"_id": _id(key), **same_job(seen), "job.state": "queued"},
            {"$set": {f"job.{name}": value for name, value in place.items()}},
        )
        return bool(done.matched_count)

    def place(self, owner: str, total: int, *, asked: bool, session: Session = None) -> Json:
        """Return the fields of a new job that give its place in the order of exports.

        `owner` is the URL of the repository's owner, and `total` the number of entries. Cost: two
        index lookups.
        """
        rank = rank_of(total, asked=asked)

        def round_of(where: Json, direction: int) -> int | None:
            found = self._db.exports.find_one(
                {**QUEUED, "job.rank": rank, **where},
                {"job.round": 1},
                sort=[("job.round", direction)],
                session=session,
            )
            return int(found["job"]["round"]) if found else None

        last = round_of({"job.owner": owner}, -1)
        number = round_of({}, 1) or 0 if last is None else last + 1
        return {"rank": rank, "owner": owner, "round": number}

    def next_queued(self, *, urgent: bool) -> tuple[ExportKey, str] | None:
        """Return the export to build next and the token of its job, None when no job is queued.

        `urgent`: only those of rank 0. Another worker may claim the job first. Cost: an index
        lookup, and one write unless `urgent`.
        """
        where = {**QUEUED, "job.rank": URGENT} if urgent else QUEUED
        found = self._queued(where, "job.rank", "job.round", "job.total", "job.heartbeat")
        if found and not urgent and self._count_turn() % OLDEST_EVERY == 0:
            found = self._queued(where, "job.heartbeat")
        return (_key(found["_id"]), found["job"]["token"]) if found else None

    def queued(self) -> tuple[int, int]:
        """Return how many jobs are queued, and how many of them are urgent.

        Cost: a scan of the queued jobs.
        """
        by_rank = {
            one["_id"]: int(one["n"])
            for one in self._db.exports.aggregate(
                [{"$match": QUEUED}, {"$group": {"_id": "$job.rank", "n": {"$sum": 1}}}]
            )
        }
        return sum(by_rank.values()), by_rank.get(URGENT, 0)

    def _queued(self, where: Json, *order: str) -> Json | None:
        return self._db.exports.find_one(
            where, {"job.token": 1}, sort=[(name, 1) for name in order]
        )

    def _count_turn(self) -> int:
        counter = self._db.counters.find_one_and_update(
            {"_id": "exports"}, {"$inc": {"turn": 1}}, upsert=True, return_document=True
        )
        assert counter is not None  # an upsert that returns the document after it
        return int(counter["turn"])

    def _owner(self, key: ExportKey) -> str:
        """Return the URL of the owner, an empty one when version or repository was deleted."""
        version = self._db.versions.find_one({"_id": ObjectId(key.version)}, {"repo": 1})
        repo = version and self._db.repos.find_one({"_id": version["repo"]}, {"owner_url": 1})
        return str(repo["owner_url"]) if repo else ""

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

    def to_check(self) -> Iterator[ExportKey]:
        """Yield the keys of all exports that are wanted without a job, or whose job runs.

        A queued job needs no check: it waits until a worker takes it. Cost: an index lookup.
        """
        return (_key(document["_id"]) for document in self._db.exports.find(TO_CHECK, {"_id": 1}))

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
        asked=found.get("job", {}).get("rank") in (URGENT, URGENT + 1),
    )


def rank_of(total: int, *, asked: bool) -> int:
    """Return the rank of an export with this number of entries."""
    return URGENT + (0 if asked else 2) + (1 if total > SMALL else 0)


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
