"""Repositories: metadata, clock, newest revision and counts of sources and collections."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from oclapi.access import Caller, sees_private
from oclapi.errors import Invalid, NotFound
from oclapi.model import Head, Json, Repository, RepositoryKind, Revision
from oclapi.store import digests, listing
from oclapi.store.commits import COUNTED, Commits, repository_of
from oclapi.store.database import Database, Session
from oclapi.times import now_ms

PURGE_BATCH = 5000
"""Documents of a deleted repository that one step of the purge removes."""


@dataclass(frozen=True, slots=True)
class RepositoryFilter:
    """Which repositories to list. None: no condition."""

    kind: RepositoryKind | None = None
    owner_urls: Collection[str] | None = None
    readable_by: Caller | None = None
    since: datetime | None = None  # updated at this time or later


class Repos:
    """The `repos` collection. A document's fields: see `create`."""

    def __init__(self, database: Database, commits: Commits) -> None:
        self._db = database
        self._commits = commits

    def by_url(self, url: str, session: Session = None) -> Repository | None:
        """Return the repository at this URL, None when there is none."""
        found = self._db.repos.find_one({"url": url}, session=session)
        return repository_of(found) if found else None

    def by_urls(self, urls: Iterable[str], session: Session = None) -> list[Repository]:
        """Return the existing repositories at these URLs, in no order."""
        found = self._db.repos.find({"url": {"$in": sorted(urls)}}, session=session)
        return [repository_of(document) for document in found]

    def by_number(self, number: int, session: Session = None) -> Repository | None:
        """Return the repository of this internal number, None when it was deleted."""
        found = self._db.repos.find_one({"_id": number}, session=session)
        return repository_of(found) if found else None

    def create(
        self,
        kind: RepositoryKind,
        owner_url: str,
        short_id: str,
        fields: Callable[[ClientSession], Json],
        by: str,
    ) -> Repository:
        """Add a repository at revision 0 and return it.

        `fields` returns its metadata, read and checked in the same transaction. Raises Invalid
        (keys `__all__` and `id`) when the owner already has one of that kind and id.
        """
        url = f"{owner_url}{kind}s/{short_id}/"
        counter = self._db.counters.find_one_and_update(
            {"_id": "repos"}, {"$inc": {"next": 1}}, upsert=True, return_document=True
        )
        assert counter is not None  # an upsert that returns the document after it
        now = now_ms()
        base = {
            "_id": counter["next"],
            "url": url,
            "kind": kind,
            "id": short_id,
            "owner_url": owner_url,
            "rev": 0,
            "at": now,
            "content_at": now,
            "counts": dict.fromkeys(COUNTED, 0),
            "digest": digests.EMPTY,
            "versions": 1,
            "created_on": now,
            "created_by": by,
            "updated_on": now,
            "updated_by": by,
        }

        def work(session: ClientSession) -> Repository:
            repo = {**base, **fields(session)}
            if self._db.repos.find_one({"url": url}, {"_id": 1}, session=session):
                raise taken(kind, short_id)
            self._db.repos.insert_one(repo, session=session)
            return repository_of(repo)

        try:
            return self._db.transaction(work, lambda: self.by_number(base["_id"]) is not None)
        except DuplicateKeyError as error:
            raise taken(kind, short_id) from error

    def edit(
        self, number: int, change: Callable[[ClientSession, Head], Json], by: str
    ) -> tuple[Repository, bool]:
        """Set the metadata that `change` returns (may be empty).

        Returns the repository, and whether it changed. Creates no revision, because content is
        unchanged. Raises what `change` raises, NotFound when the repository was deleted.
        """

        def work(session: ClientSession) -> tuple[Repository, bool]:
            head = self._commits.lock(session, number)
            sets = change(session, head)
            if not sets:
                session.abort_transaction()
                return head.repo, False
            sets = {**sets, "updated_on": head.at, "updated_by": by}
            edited = self._db.repos.find_one_and_update(
                {"_id": number}, {"$set": sets}, return_document=True, session=session
            )
            assert edited is not None  # it is locked
            return repository_of(edited), True

        return self._db.transaction(work)

    def delete(self, number: int, check: Callable[[ClientSession, Head], None]) -> None:
        """Delete the repository.

        For readers, its content, versions and exports disappear at once; they are purged later.
        `check` may refuse by raising, in the same transaction. Raises NotFound when the repository
        was deleted before.
        """

        self._db.transaction(
            lambda session: self.remove(session, [number], check),
            lambda: self.by_number(number) is None,
        )

    def remove(
        self,
        session: ClientSession,
        numbers: Sequence[int],
        check: Callable[[ClientSession, Head], None],
    ) -> None:
        """Delete several repositories within a transaction, as `delete` does."""
        heads = [self._commits.lock(session, number) for number in sorted(numbers)]
        self.guard(session, numbers)
        for head in heads:
            check(session, head)
        for head in heads:
            self._db.repos.delete_one({"_id": head.revision.repo}, session=session)
            self._db.trash.insert_one(
                {"_id": head.revision.repo, "url": head.repo.url, "at": head.at}, session=session
            )

    def guard(self, session: ClientSession, numbers: Sequence[int]) -> None:
        """Make this transaction conflict with others that guard the same repositories.

        Commits whose rows refer to other repositories call it, and so does their deletion.
        Otherwise a mapping and the deletion of its target could both succeed at the same time.
        Raises NotFound when a repository was deleted.
        """
        for number in sorted(numbers):
            self._db.leans.update_one(
                {"_id": number}, {"$inc": {"n": 1}}, upsert=True, session=session
            )
            if self.by_number(number, session) is None:
                raise NotFound("the repository was deleted")

    def count(self, selected: RepositoryFilter) -> int:
        """Return how many repositories match."""
        return self._db.repos.count_documents(_where(selected))

    def listing(
        self,
        selected: RepositoryFilter,
        *,
        limit: int = 0,
        skip: int = 0,
        oldest_first: bool = False,
        full: bool = True,
    ) -> Iterator[Repository]:
        """Yield one page of the repositories that match.

        Order: newest change first, then url. `limit` 0: all. Without `full`, they have no extras.
        """
        found = listing.page(
            self._db.repos,
            _where(selected),
            ("updated_on", "url"),
            limit=limit,
            skip=skip,
            oldest_first=oldest_first,
            full=full,
        )
        return map(repository_of, found)

    def chosen(
        self, selected: RepositoryFilter, keys: Sequence[str], *, full: bool
    ) -> Iterator[Repository]:
        """Yield those of the matching repositories that have these URLs, in the given order."""
        found = listing.chosen(self._db.repos, _where(selected), "url", keys, full=full)
        return map(repository_of, found)

    def heads(self, selected: RepositoryFilter, session: Session = None) -> dict[str, Revision]:
        """Return the newest revision of every matching repository by its URL, in no order."""
        cursor = self._db.repos.find(_where(selected), {"url": 1, "rev": 1}, session=session)
        return {found["url"]: Revision(found["_id"], found["rev"]) for found in cursor}

    def reached(self, numbers: Sequence[int], session: Session = None) -> int:
        """Return the sum of the newest revisions of these repositories.

        It grows with every commit to one of them.
        """
        steps: list[Json] = [
            {"$match": {"_id": {"$in": list(numbers)}}},
            {"$group": {"_id": None, "revs": {"$sum": "$rev"}}},
        ]
        return sum(found["revs"] for found in self._db.repos.aggregate(steps, session=session))

    def counts(self, selected: RepositoryFilter) -> Counter[tuple[str, str]]:
        """Return the number of matching repositories by their owner's URL and kind.

        Cost: one query.
        """
        steps: list[Json] = [
            {"$match": _where(selected)},
            {"$group": {"_id": {"owner": "$owner_url", "kind": "$kind"}, "n": {"$sum": 1}}},
        ]
        return Counter(
            {
                (found["_id"]["owner"], found["_id"]["kind"]): found["n"]
                for found in self._db.repos.aggregate(steps)
            }
        )

    def purge(self) -> Iterator[int]:
        """Delete the content of deleted repositories in batches; yield the size of each batch.

        Safe to stop anywhere.
        """
        for entry in list(self._db.trash.find()):
            number = entry["_id"]
            versions = [
                found["_id"] for found in self._db.versions.find({"repo": number}, {"_id": 1})
            ]
            self._db.exports.delete_many({"_id": {"$in": versions}})
            for collection in (self._db.rows, self._db.revisions, self._db.versions):
                while keys := [
                    found["_id"]
                    for found in collection.find({"repo": number}, {"_id": 1}).limit(PURGE_BATCH)
                ]:
                    yield collection.delete_many({"_id": {"$in": keys}}).deleted_count
            self._db.leans.delete_one({"_id": number})
            self._db.waits.delete_one({"_id": number})
            self._db.trash.delete_one({"_id": number})


def _where(selected: RepositoryFilter) -> Json:
    """Return the filter in MongoDB's language."""
    where: Json = {}
    if selected.kind:
        where["kind"] = selected.kind
    if selected.owner_urls is not None:
        where["owner_url"] = {"$in": sorted(selected.owner_urls)}
    if selected.since:
        where["updated_on"] = {"$gte": selected.since}
    if selected.readable_by:
        closed: list[Json] = [{"hidden": True}]
        if not sees_private(selected.readable_by, "read"):
            mine = selected.readable_by.owns
            closed.append({"public_access": "None", "owner_url": {"$nin": mine}})
        where["$nor"] = closed
    return where


def taken(kind: str, short_id: str) -> Invalid:
    text = f"a {kind} with the id {short_id} exists already"
    return Invalid({"__all__": [text], "id": [text]})
