"""Versions: named revisions. Creating one is one small transaction, whatever the size of the
repository.
"""

from collections.abc import Callable, Sequence

from bson import ObjectId
from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from oclapi.errors import NotFound, VersionExists
from oclapi.model import Head, Json, Revision
from oclapi.store.commits import Commits
from oclapi.store.database import Database, Session
from oclapi.store.exports import Exports, new_job
from oclapi.store.repos import now_ms

RELEASE: Json = {"released": True, "retired": False}
"""Which versions can be a repository's latest one."""


class Versions:
    """The `versions` collection. `edition` grows by 1 at each change that the version's export
    shows.
    """

    def __init__(self, database: Database, commits: Commits) -> None:
        self._db = database
        self._commits = commits
        self._exports = Exports(database)

    def by_id(self, repo: int, version: str, session: Session = None) -> Json | None:
        """The repository's version of this id, None when there is none."""
        return self._db.versions.find_one({"repo": repo, "id": version}, session=session)

    def by_key(self, key: str, session: Session = None) -> Json | None:
        """The version of this internal key (24 hex characters), None when it is gone."""
        return self._db.versions.find_one({"_id": ObjectId(key)}, session=session)

    def latest(self, repo: int, session: Session = None) -> Json | None:
        """The newest created version that is released and not retired."""
        asked = {"repo": repo, **RELEASE}
        return self._db.versions.find_one(asked, sort=[("at", -1)], hint="newest", session=session)

    def with_export(self, url: str, version: str) -> tuple[Json | None, Json | None, Json | None]:
        """The repository at this URL, its version of this id (`latest`: see there) and the document
        of that one's export.

        Each is None when it is not there. Cost: one command, where three would cost a request more
        than all else that it does.
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
        return repo, found, state

    def latest_of(self, repos: Sequence[int], session: Session = None) -> dict[int, int]:
        """The revisions of the `latest` versions of these repositories, by number; without those
        that have none.
        """
        asked = {"repo": {"$in": list(repos)}, **RELEASE}
        found = self._db.versions.find(
            asked,
            {"repo": 1, "rev": 1},
            sort=[("repo", 1), ("at", 1)],
            hint="newest",
            session=session,
        )
        return {version["repo"]: version["rev"] for version in found}

    def newest(self, repo: int, session: Session = None) -> Json | None:
        """The newest created version, released or not."""
        return self._db.versions.find_one(
            {"repo": repo}, sort=[("at", -1)], hint="newest", session=session
        )

    def listing(
        self, repo: int, where: Json, *, limit: int, skip: int, session: Session = None
    ) -> tuple[int, list[Json]]:
        """How many versions match, and one page of them, newest first. `limit` 0: all."""
        asked = {**where, "repo": repo}
        cursor = (
            self._db.versions.find(asked, hint="newest", session=session)
            .sort("at", -1)
            .skip(skip)
            .limit(limit)
        )
        return self._db.versions.count_documents(asked, session=session), list(cursor)

    def create(
        self,
        number: int,
        version: str,
        fields: Callable[[ClientSession, Head], Json],
        job: str | None = None,
    ) -> Json:
        """Name the repository's present revision; return the version. Its export is wanted from the
        same moment on.

        `fields` gives what else it keeps, read and checked in the same transaction; its head counts
        the new version already. `job`: the token of the export's first job, which the caller hands
        to the queue afterwards; without one, whoever looks next starts it. It holds whole commits
        only, since it takes the repository's next moment like every other writer. Raises
        VersionExists, NotFound. Cost: three one-document writes.
        """
        key = ObjectId()

        def work(session: ClientSession) -> Json:
            head = self._commits.lock(session, number, {"versions": {"$add": ["$versions", 1]}})
            made = {
                "_id": key,
                "repo": number,
                "id": version,
                "rev": head.repo["rev"],
                "at": head.at,
                "counts": head.repo["counts"],
                "content_at": head.repo["content_at"],
                "edition": 1,
                "created_on": head.at,
                "updated_on": head.at,
                **fields(session, head),
            }
            self._db.versions.insert_one(made, session=session)
            first = {"job": new_job(job, made, head.at)} if job else {}
            self._db.exports.insert_one({"_id": key, "wanted": 1, **first}, session=session)
            return made

        try:
            return self._db.transaction(work, lambda: self.by_key(str(key)) is not None)
        except DuplicateKeyError as error:
            raise taken(version) from error

    def edit(
        self, number: int, version: str, change: Callable[[ClientSession, Json], Json], by: str
    ) -> tuple[Json, bool]:
        """Set what `change` returns, empty for nothing; return the version and whether its export
        has to be made anew.
        """

        def work(session: ClientSession) -> tuple[Json, bool]:
            found = self._locked(session, number, version)
            sets = change(session, found)
            if not sets:
                session.abort_transaction()
                return found, False
            sets = {
                **sets,
                "updated_on": max(now_ms(), found["updated_on"]),
                "updated_by": by,
                "edition": found["edition"] + 1,
            }
            self._db.versions.update_one({"_id": found["_id"]}, {"$set": sets}, session=session)
            self._exports.want(str(found["_id"]), sets["edition"], session)
            return {**found, **sets}, True

        return self._db.transaction(work)

    def delete(
        self, number: int, version: str, check: Callable[[ClientSession], None] | None = None
    ) -> tuple[ObjectId, list[Json]]:
        """Remove the version and its export's state; its followers point to its own previous
        version.

        Returns its key and the followers, whose exports have to be made anew. `check` may refuse by
        raising, in the same transaction. Raises NotFound.
        """

        def work(session: ClientSession) -> tuple[ObjectId, list[Json]]:
            found = self._locked(session, number, version)
            if check:
                check(session)
            followers = []
            for field in ("previous_version", "parent_version"):
                for follower in list(
                    self._db.versions.find({"repo": number, field: version}, session=session)
                ):
                    before = None if found[field] == follower["id"] else found[field]
                    moved = {"$set": {field: before}, "$inc": {"edition": 1}}
                    self._db.versions.update_one({"_id": follower["_id"]}, moved, session=session)
                    self._exports.want(str(follower["_id"]), follower["edition"] + 1, session)
                    followers.append(follower)
            self._db.versions.delete_one({"_id": found["_id"]}, session=session)
            self._db.exports.delete_one({"_id": found["_id"]}, session=session)
            self._db.repos.update_one({"_id": number}, {"$inc": {"versions": -1}}, session=session)
            return found["_id"], followers

        return self._db.transaction(work)

    def _locked(self, session: ClientSession, number: int, version: str) -> Json:
        """The version, held against other writers until the end of the transaction."""
        found = self.lock(session, number, version)
        if found is None:
            raise NotFound("no such version")
        return found

    def lock(self, session: ClientSession, number: int, version: str) -> Json | None:
        """As `by_id`; nobody else changes or deletes the version until the end of the transaction."""
        return self._db.versions.find_one_and_update(
            {"repo": number, "id": version},
            {"$inc": {"touched": 1}},
            return_document=True,
            session=session,
        )


def revision_of(document: Json) -> Revision:
    """The revision that a version names, or the newest one of a repository's document."""
    return Revision(document["repo"] if "repo" in document else document["_id"], document["rev"])


def taken(version: str) -> VersionExists:
    text = f"a version with the id {version} exists already"
    return VersionExists(text, {"id": [text]})
