"""The only way to write content.

A commit creates one new revision of each repository that it changes.
"""

import itertools
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import Any

from pymongo.client_session import ClientSession
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.write_concern import WriteConcern

from oclapi.errors import NotFound, RepositoryBusy, StoreUnavailable
from oclapi.model import LIVE, Change, Counts, Head, Json, Removal, Repository, Revision
from oclapi.store import digests
from oclapi.store.database import Database

Build = Callable[[ClientSession, Mapping[int, Head]], Iterable[Change | Removal]]
"""Reads and validates through the session and returns the changes, at most one per item.

Takes the heads of the commit's repositories, by number. It may run again, so it has no side
effects. It may return a generator that does not use the session: the first changes are written
while the next ones are generated.
"""

BATCH = 250
"""Rows per insert. The next batch is generated while this one is sent."""

COUNTED = ("concepts", "mappings", "active_concepts", "active_mappings")
MOVED = ("rev", "at", "content_at", "updated_on", "updated_by")
"""Fields that `lock` changes. `before` keeps their values for a writer that changes nothing."""


class WriterLock:
    """A lock that lets one thread of this process at a time write to a repository."""

    def __init__(self) -> None:
        self._lock = Lock()
        # How often a thread had to wait. A lost increment does no harm.
        self.waited = 0

    def acquire(self, patience: float) -> None:
        """Wait for the lock. Raises RepositoryBusy after `patience` seconds."""
        if self._lock.acquire(blocking=False):
            return
        self.waited += 1
        if not self._lock.acquire(timeout=patience):
            raise RepositoryBusy("the repository is busy with other writes; nothing was written")

    def release(self) -> None:
        self._lock.release()


class Commits:
    """Writes revisions."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._locks: dict[int, WriterLock] = {}  # of every repository that this process wrote to

    def commit(
        self,
        repos: Sequence[int],
        build: Build,
        by: str,
        comment: str | None = None,
        also_write: Callable[[ClientSession], None] | None = None,
    ) -> dict[int, Revision]:
        """Write what `build` returns in one transaction; return the new revisions by repository.

        A repository without changes keeps its revision and time. `also_write` writes what must be
        stored together with the changes (the progress of an import); it runs even when there are
        none. Raises what `build` raises (then nothing is stored), NotFound when a repository was
        deleted, RepositoryBusy, OutcomeUnknown, StoreUnavailable. Cost: three writes per
        repository, one insert for all rows, one update for the rows that end.
        """
        token = uuid.uuid4().hex
        sets = {
            "rev": {"$add": ["$rev", 1]},
            "content_at": "$at",
            "updated_on": "$at",
            "updated_by": {"$literal": by},
        }

        def work(session: ClientSession) -> dict[int, Revision]:
            heads = {number: self.lock(session, number, sets) for number in sorted(set(repos))}
            changes, moved = self._store(session, heads, build(session, heads))
            if not changes and not also_write:
                session.abort_transaction()
                return {}
            revisions = {}
            for number, head in heads.items():
                own = [change for change in changes if change.repo == number]
                if own:
                    self._close(session, head, own, moved[number], by, comment, token)
                    revisions[number] = head.revision
                else:
                    self._leave(session, head)
            if also_write:
                also_write(session)
            return revisions

        def happened() -> bool:
            return self._db.revisions.find_one({"commit": token}, {"_id": 1}) is not None

        begun = time.monotonic()
        with self._locked(repos):
            return self._db.transaction(work, happened, time.monotonic() - begun)

    @contextmanager
    def _locked(self, repos: Sequence[int]) -> Iterator[None]:
        """Let one thread of this process at a time write to these repositories.

        Waiting here costs nothing, while a conflict (as between processes) costs the server a
        transaction and the writer a random pause.
        """
        with ExitStack() as locks:
            for number in sorted(set(repos)):
                lock = self._locks.setdefault(number, WriterLock())
                lock.acquire(self._db.patience)
                locks.callback(lock.release)
            yield

    def lock(self, session: ClientSession, number: int, sets: Json | None = None) -> Head:
        """Advance the repository's clock, which conflicts with every other writer.

        `sets` are further fields to set, as expressions in which `$at` is the new time. Raises
        NotFound.
        """
        next_time = {"$max": ["$$NOW", {"$add": ["$at", 1]}]}
        steps: list[Json] = [
            {"$set": {"before": {name: f"${name}" for name in MOVED}, "at": next_time}}
        ]
        if sets:
            steps.append({"$set": sets})
        try:
            repo = self._db.repos.find_one_and_update(
                {"_id": number}, steps, return_document=True, session=session
            )
        except OperationFailure:  # another writer is in a transaction
            self._note_wait(number)
            raise
        if repo is None:
            raise NotFound("the repository was deleted")
        return Head(Revision(number, repo["rev"]), repo["at"], repository_of(repo))

    def waited(self, repos: Sequence[int]) -> int:
        """Return how often a writer had to wait for one of these repositories so far.

        The number grows while a writer is waiting.
        """
        here = sum(lock.waited for number in repos if (lock := self._locks.get(number)))
        elsewhere: int = sum(
            found["n"] for found in self._db.waits.find({"_id": {"$in": list(repos)}})
        )
        return here + elsewhere

    def _note_wait(self, number: int) -> None:
        """Count a wait outside of the transaction, so that importers see it and pause."""
        try:
            waits = self._db.waits.with_options(write_concern=WriteConcern(1))
            waits.update_one({"_id": number}, {"$inc": {"n": 1}}, upsert=True)
        # A lost count costs one longer wait, and the transaction itself reports an unreachable
        # database.
        except (PyMongoError, StoreUnavailable):
            return

    def _store(
        self, session: ClientSession, heads: Mapping[int, Head], changes: Iterable[Change | Removal]
    ) -> tuple[list[Change | Removal], dict[int, int]]:
        """Write the changes, each batch while the next one is generated.

        Returns them all, and by how much they move the digest of each repository.
        """
        stored: list[Change | Removal] = []
        moved = dict.fromkeys(heads, 0)
        remaining = iter(changes)
        with ThreadPoolExecutor(1, thread_name_prefix="commit") as writer:
            writing: Future[None] | None = None
            while batch := list(itertools.islice(remaining, BATCH)):
                if writing:
                    writing.result()
                stored += batch
                if len(batch) < BATCH:  # the last one: nothing is left to generate meanwhile
                    writing = None
                    self._write(session, heads, batch, moved)
                else:
                    writing = writer.submit(self._write, session, heads, batch, moved)
            if writing:
                writing.result()
        return stored, moved

    def _write(
        self,
        session: ClientSession,
        heads: Mapping[int, Head],
        changes: Sequence[Change | Removal],
        moved: dict[int, int],
    ) -> None:
        """Write the changes, and add to `moved` by how much they move the digests."""
        ended: dict[int, list[Any]] = {}
        for change in changes:
            if change.replaces:
                header = change.replaces.header
                ended.setdefault(change.repo, []).append(header["_id"])
                moved[change.repo] -= digests.number_of(header["hash"])
        for number, keys in ended.items():
            done = self._db.rows.update_many(
                {"_id": {"$in": keys}, "to_rev": LIVE},
                {"$set": {"to_rev": heads[number].revision.number}},
                session=session,
            )
            if done.modified_count != len(keys):
                raise _stale()
        new = [
            row_document(change, heads[change.repo])
            for change in changes
            if isinstance(change, Change)
        ]
        for row in new:
            moved[row["repo"]] += digests.number_of(row["hash"])
        if new:
            self._db.rows.insert_many(new, ordered=True, session=session)

    def _close(
        self,
        session: ClientSession,
        head: Head,
        changes: Sequence[Change | Removal],
        digest_moved: int,
        by: str,
        comment: str | None,
        token: str,
    ) -> None:
        """Add the revision to the log and update the repository's counts and digest."""
        moved = counts_moved(changes)
        totals = {name: getattr(head.repo.counts, name) + moved[name] for name in COUNTED}
        digest = digests.digest_of(digests.number_of(head.repo.digest) + digest_moved)
        self._db.repos.update_one(
            {"_id": head.revision.repo},
            {"$set": {"counts": totals, "digest": digest}},
            session=session,
        )
        self._db.revisions.insert_one(
            {
                "repo": head.revision.repo,
                "rev": head.revision.number,
                "at": head.at,
                "shown": head.at,
                "by": by,
                "comment": comment,
                "counts": totals,
                "digest": digest,
                "changes": len(changes),
                "commit": token,
            },
            session=session,
        )

    def _leave(self, session: ClientSession, head: Head) -> None:
        """Restore the values that `lock` changed, because there were no changes."""
        restored = {name: f"$before.{name}" for name in MOVED}
        self._db.repos.update_one(
            {"_id": head.revision.repo}, [{"$set": restored}], session=session
        )


def row_document(change: Change, head: Head) -> Json:
    """Return the stored form of a row."""
    return {
        "repo": change.repo,
        "kind": change.kind,
        "url": change.url,
        "id": change.id,
        "from_rev": head.revision.number,
        "to_rev": LIVE,
        "at": head.at,
        "retired": change.retired,
        **change.header,
        "body": change.body,
        "hash": digests.hash_of(change.url, change.body),
    }


def counts_moved(changes: Sequence[Change | Removal]) -> dict[str, int]:
    """Return how these changes alter the numbers of entries."""
    moved = dict.fromkeys(COUNTED, 0)
    for change in changes:
        if isinstance(change, Removal):
            moved[f"{change.kind}s"] -= 1
            moved[f"active_{change.kind}s"] -= not change.replaces.retired
        elif change.replaces is None:
            moved[f"{change.kind}s"] += 1
            moved[f"active_{change.kind}s"] += not change.retired
        else:
            moved[f"active_{change.kind}s"] += change.replaces.retired - change.retired
    return moved


def repository_of(found: Mapping[str, Any]) -> Repository:
    """Return a stored document as a value."""
    return Repository(
        number=found["_id"],
        kind=found["kind"],
        url=found["url"],
        id=found["id"],
        owner_url=found["owner_url"],
        rev=found["rev"],
        at=found["at"],
        content_at=found["content_at"],
        counts=Counts(**found["counts"]),
        digest=found["digest"],
        versions=found["versions"],
        created_on=found["created_on"],
        created_by=found["created_by"],
        updated_on=found["updated_on"],
        updated_by=found["updated_by"],
        uuid=found["uuid"],
        name=found["name"],
        full_name=found["full_name"],
        description=found["description"],
        website=found["website"],
        external_id=found["external_id"],
        source_type=found["source_type"],
        custom_validation_schema=found["custom_validation_schema"],
        default_locale=found["default_locale"],
        supported_locales=found["supported_locales"],
        public_access=found["public_access"],
        extras_json=found.get("extras"),
        keeps_claims=found["keeps_claims"],
        hidden=found.get("hidden", False),
    )


def _stale() -> OperationFailure:
    """Return a transient error: a row to end was not the living one, so the work runs again."""
    error = OperationFailure("a row was ended by another writer", 112)
    error._add_error_label("TransientTransactionError")
    return error
