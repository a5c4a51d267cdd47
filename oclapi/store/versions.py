"""Versions: named revisions.

Creating one is a small transaction, whatever the size of the repository.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from oclapi.errors import NotFound, VersionExists
from oclapi.model import Counts, Export, ExportKey, Head, Json, Repository, Version
from oclapi.store.commits import Commits, repository_of
from oclapi.store.database import Database, Session
from oclapi.store.exports import Exports, export_of
from oclapi.store.jobs import new_job
from oclapi.times import now_ms

RELEASE: Json = {"released": True, "retired": False}
"""Which versions can be a repository's latest one."""


@dataclass(frozen=True, slots=True)
class VersionFilter:
    """Which versions of a repository to list. None: no condition."""

    released: bool | None = None
    retired: bool | None = None
    parent: str | None = None  # the id of the parent version
    since: datetime | None = None  # updated at this time or later


class Versions:
    """The `versions` collection. `edition` grows by 1 at each change that alters the export."""

    def __init__(self, database: Database, commits: Commits) -> None:
        self._db = database
        self._commits = commits
        self._exports = Exports(database)

    def by_id(self, repo: int, version: str, session: Session = None) -> Version | None:
        """Return the repository's version of this id, None when there is none."""
        return _found(self._db.versions.find_one({"repo": repo, "id": version}, session=session))

    def by_key(self, key: str, session: Session = None) -> Version | None:
        """Return the version of this internal key (24 hex characters), None when it was deleted."""
        return _found(self._db.versions.find_one({"_id": ObjectId(key)}, session=session))

    def latest(self, repo: int, session: Session = None) -> Version | None:
        """Return the newest version that is released and not retired, None when there is none."""
        return self._newest({"repo": repo, **RELEASE}, session)

    def with_export(
        self, url: str, version: str
    ) -> tuple[Repository | None, Version | None, Export | None]:
        """Return the repository at this URL, its version of this id, and that version's export.

        Each is None when it does not exist. The version `latest` is that of `latest()`. Cost: one
        command; three would cost a request more than all the rest of its work.
        """
        export = {"from": "exports", "localField": "_id", "foreignField": "_id", "as": "export"}
        chosen: list[Json] = [{"$match": {"id": version}}]
        if version == "latest":
            chosen = [{"$match": RELEASE}, {"$sort": {"at": -1}}, {"$limit": 1}]
        steps = [*chosen, {"$lookup": export}]
        named = {
            "from": "versions",
            "localField": "_id",
            "foreignField": "repo",
            "pipeline": steps,
            "as": "version",
        }
        repo = next(self._db.repos.aggregate([{"$match": {"url": url}}, {"$lookup": named}]), None)
        [found] = (repo and repo.pop("version")) or [None]
        [state] = (found and found.pop("export")) or [None]
        return (
            repository_of(repo) if repo else None,
            _found(found),
            export_of(state) if state else None,
        )

    def latest_of(self, repos: Sequence[int], session: Session = None) -> dict[int, int]:
        """Return the revisions of the `latest` versions of these repositories, by number.

        Repositories without such a version are left out.
        """
        where = {"repo": {"$in": list(repos)}, **RELEASE}
        found = self._db.versions.find(
            where,
            {"repo": 1, "rev": 1},
            sort=[("repo", 1), ("at", 1)],
            hint="newest",
            session=session,
        )
        return {version["repo"]: version["rev"] for version in found}

    def newest(self, repo: int, session: Session = None) -> Version | None:
        """Return the newest version, released or not, None when there is none."""
        return self._newest({"repo": repo}, session)

    def _newest(self, where: Json, session: Session) -> Version | None:
        found = self._db.versions.find_one(where, sort=[("at", -1)], hint="newest", session=session)
        return _found(found)

    def listing(
        self, repo: int, selected: VersionFilter, *, limit: int, skip: int, session: Session = None
    ) -> tuple[int, list[Version]]:
        """Return how many versions match, and one page of them, newest first. `limit` 0: all."""
        where = {**_where(selected), "repo": repo}
        cursor = (
            self._db.versions.find(where, hint="newest", session=session)
            .sort("at", -1)
            .skip(skip)
            .limit(limit)
        )
        total = self._db.versions.count_documents(where, session=session)
        return total, [version_of(found) for found in cursor]

    def create(
        self,
        number: int,
        version: str,
        fields: Callable[[ClientSession, Head], Json],
        job: str | None = None,
    ) -> Version:
        """Create a version of the repository's newest revision, and request its export; return it.

        `fields` returns its other fields, read and checked in the same transaction; the head that
        it gets already counts the new version. `job` is the token of the export's first job, for
        which the caller wakes a worker afterwards; without one, the worker's next tick starts it.
        The version contains whole commits only, because this locks the repository like every other
        writer.
        Raises VersionExists, NotFound. Cost: three one-document writes and two index lookups.
        """
        key = ObjectId()

        def work(session: ClientSession) -> Version:
            head = self._commits.lock(session, number, {"versions": {"$add": ["$versions", 1]}})
            new = {
                "_id": key,
                "repo": number,
                "id": version,
                "rev": head.repo.rev,
                "at": head.at,
                "counts": asdict(head.repo.counts),
                "content_at": head.repo.content_at,
                "edition": 1,
                "created_on": head.at,
                "updated_on": head.at,
                **fields(session, head),
            }
            self._db.versions.insert_one(new, session=session)
            first = self._first_job(job, head, session) if job else None
            self._exports.create(ExportKey(str(key)), 1, first, session)
            return version_of(new)

        try:
            return self._db.transaction(work, lambda: self.by_key(str(key)) is not None)
        except DuplicateKeyError as error:
            raise taken(version) from error

    def _first_job(self, token: str, head: Head, session: ClientSession) -> Json:
        total = head.repo.counts.entries
        place = self._exports.place(head.repo.owner_url, total, asked=False, session=session)
        return {**new_job(token, total, head.at), **place}

    def edit(
        self, number: int, version: str, change: Callable[[ClientSession, Version], Json], by: str
    ) -> tuple[Version, bool]:
        """Set what `change` returns (may be empty).

        Returns the version, and whether it changed, so that its export has to be rebuilt.
        """

        def work(session: ClientSession) -> tuple[Version, bool]:
            found = self._lock(session, number, version)
            sets = change(session, found)
            if not sets:
                session.abort_transaction()
                return found, False
            sets = {
                **sets,
                "updated_on": max(now_ms(), found.updated_on),
                "updated_by": by,
                "edition": found.edition + 1,
            }
            edited = self._db.versions.find_one_and_update(
                {"_id": ObjectId(found.key)}, {"$set": sets}, return_document=True, session=session
            )
            assert edited is not None  # it is locked
            self._exports.want(ExportKey(found.key), sets["edition"], session)
            return version_of(edited), True

        return self._db.transaction(work)

    def delete(
        self, number: int, version: str, check: Callable[[ClientSession], None] | None = None
    ) -> list[Version]:
        """Delete the version and its export's state.

        Versions that refer to it as previous or parent version then refer to its own one. Returns
        these followers, whose exports have to be rebuilt. `check` may refuse by raising, in the
        same transaction. Raises NotFound.
        """

        def work(session: ClientSession) -> list[Version]:
            found = self._lock(session, number, version)
            if check:
                check(session)
            key, followers = ObjectId(found.key), []
            for field in ("previous_version", "parent_version"):
                for follower in list(
                    self._db.versions.find({"repo": number, field: version}, session=session)
                ):
                    before = getattr(found, field)
                    moved = {
                        "$set": {field: None if before == follower["id"] else before},
                        "$inc": {"edition": 1},
                    }
                    self._db.versions.update_one({"_id": follower["_id"]}, moved, session=session)
                    key_of = ExportKey(str(follower["_id"]))
                    self._exports.want(key_of, follower["edition"] + 1, session)
                    followers.append(version_of(follower))
            self._db.versions.delete_one({"_id": key}, session=session)
            self._db.exports.delete_one({"_id": key}, session=session)
            self._db.repos.update_one({"_id": number}, {"$inc": {"versions": -1}}, session=session)
            return followers

        return self._db.transaction(work)

    def _lock(self, session: ClientSession, number: int, version: str) -> Version:
        """As `lock`, but raises NotFound."""
        found = self.lock(session, number, version)
        if found is None:
            raise NotFound("version not found")
        return found

    def lock(self, session: ClientSession, number: int, version: str) -> Version | None:
        """As `by_id`, and lock the version against other writers until the transaction ends."""
        found = self._db.versions.find_one_and_update(
            {"repo": number, "id": version},
            {"$inc": {"touched": 1}},
            return_document=True,
            session=session,
        )
        return _found(found)


def version_of(found: Mapping[str, Any]) -> Version:
    """Return a stored document as a value."""
    return Version(
        key=str(found["_id"]),
        repo=found["repo"],
        id=found["id"],
        rev=found["rev"],
        content_at=found["content_at"],
        counts=Counts(**found["counts"]),
        edition=found["edition"],
        released=found["released"],
        retired=found["retired"],
        description=found["description"],
        previous_version=found["previous_version"],
        parent_version=found["parent_version"],
        version_external_id=found["version_external_id"],
        extras_json=found["extras"],
        frozen_json=found["frozen"],
        created_on=found["created_on"],
        created_by=found["created_by"],
        updated_on=found["updated_on"],
        updated_by=found["updated_by"],
    )


def _found(found: Mapping[str, Any] | None) -> Version | None:
    return version_of(found) if found else None


def _where(selected: VersionFilter) -> Json:
    """Return the filter in MongoDB's language."""
    where: Json = {
        "released": selected.released,
        "retired": selected.retired,
        "parent_version": selected.parent,
        "updated_on": selected.since and {"$gte": selected.since},
    }
    return {name: value for name, value in where.items() if value is not None}


def taken(version: str) -> VersionExists:
    text = f"a version with the id {version} exists already"
    return VersionExists(text, {"id": [text]})
