"""The one way to write content: `commit`. A commit makes one new revision of each repository that
it changes.
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
from oclapi.model import LIVE, Change, Counts, Head, Json, Revision
from oclapi.store.database import Database

Build = Callable[[ClientSession, Mapping[int, Head]], Iterable[Change]]
"""Reads and validates through the session and returns the changes, at most one per item. May run
again, so it has no side effect. Its heads are those of the repositories that the commit names, by
number. What it returns may make the changes as they are taken, if that does not use the session:
the first ones are being written meanwhile.
"""

PART = 250
"""Changes that are written at once: while the server takes them, the next ones are made."""

COUNTED = ("concepts", "mappings", "active_concepts", "active_mappings")
MOVED = ("rev", "at", "content_at", "updated_on", "updated_by")
"""What a writer moves when it takes a repository; `before` keeps them for one that then changes
nothing.
"""


class WriterLock:
    """Lets one thread of this process at a time write to a repository."""

    def __init__(self) -> None:
        self._lock = Lock()
        # How often the lock was not free. Threads may lose an increment, which does no harm.
        self.waited = 0

    def acquire(self, patience: float) -> None:
        """Wait until it is free. Raises RepositoryBusy after `patience` seconds."""
        if self._lock.acquire(blocking=False):
            return
        self.waited += 1
        if not self._lock.acquire(timeout=patience):
            raise RepositoryBusy(
                "other writers kept this one waiting too long; nothing was written"
            )

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
        """Write what `build` returns in one transaction; return the new revision of each repository
        that changed.

        A repository without a change keeps its revision and time. `beside` writes what must be
        stored together with the changes (the progress of an import); it runs also when there are
        none. Raises what `build` raises (then nothing is stored), NotFound when a repository is
        gone, RepositoryBusy, OutcomeUnknown, StoreUnavailable. Cost: three writes per repository
        (two when its counts stay), one insert for all rows, one update for those ended.
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
            changes = self._store(session, heads, build(session, heads))
            if not changes and not also_write:
                session.abort_transaction()
                return {}
            made = {}
            for number, head in heads.items():
                mine = [change for change in changes if change.repo == number]
                if mine:
                    self._close(session, head, mine, by, comment, token)
                    made[number] = head.revision
                else:
                    self._leave(session, head)
            if also_write:
                also_write(session)
            return made

        def happened() -> bool:
            return self._db.revisions.find_one({"commit": token}, {"_id": 1}) is not None

        begun = time.monotonic()
        with self._turn(repos):
            return self._db.transaction(work, happened, time.monotonic() - begun)

    @contextmanager
    def _turn(self, repos: Sequence[int]) -> Iterator[None]:
        """Let the threads of this process write to a repository one after the other; between
        processes the conflict decides.

        Waiting here costs nothing, while a conflict costs the server a transaction and the one who
        waits a random pause.
        """
        with ExitStack() as taken:
            for number in sorted(set(repos)):
                lock = self._locks.setdefault(number, WriterLock())
                lock.acquire(self._db.patience)
                taken.callback(lock.release)
            yield

    def lock(self, session: ClientSession, number: int, sets: Json | None = None) -> Head:
        """Take the repository's next moment: it conflicts with every other writer.

        `sets`: fields to set by the same write, as expressions; there `$at` is the moment taken.
        Raises NotFound.
        """
        moment = {"$max": ["$$NOW", {"$add": ["$at", 1]}]}
        steps: list[Json] = [
            {"$set": {"before": {name: f"${name}" for name in MOVED}, "at": moment}}
        ]
        if sets:
            steps.append({"$set": sets})
        try:
            repo = self._db.repos.find_one_and_update(
                {"_id": number}, steps, return_document=True, session=session
            )
        except OperationFailure:  # another writer holds it
            self._note_wait(number)
            raise
        if repo is None:
            raise NotFound("the repository is gone")
        return Head(Revision(number, repo["rev"]), repo["at"], repo)

    def waited(self, repos: Sequence[int]) -> int:
        """How many times a writer found one of these repositories held by another so far: it grows
        while somebody waits.
        """
        here = sum(lock.waited for number in repos if (lock := self._locks.get(number)))
        elsewhere: int = sum(
            found["n"] for found in self._db.waits.find({"_id": {"$in": list(repos)}})
        )
        return here + elsewhere

    def _note_wait(self, number: int) -> None:
        """Outside of the transaction, so that the importer which rests for those who wait sees it
        at once.
        """
        try:
            waits = self._db.waits.with_options(write_concern=WriteConcern(1))
            waits.update_one({"_id": number}, {"$inc": {"n": 1}}, upsert=True)
        # a note that is lost costs one longer wait; a store that is gone is told by the transaction
        # itself
        except (PyMongoError, StoreUnavailable):
            return

    def _store(
        self, session: ClientSession, heads: Mapping[int, Head], changes: Iterable[Change]
    ) -> list[Change]:
        """Write the changes, each part while the next one is made; return them all."""
        stored: list[Change] = []
        coming = iter(changes)
        with ThreadPoolExecutor(1, thread_name_prefix="commit") as aside:
            writing: Future[None] | None = None
            while part := list(itertools.islice(coming, PART)):
                if writing:
                    writing.result()
                stored += part
                if len(part) < PART:  # the last: nothing is left to be made meanwhile
                    writing = None
                    self._write(session, heads, part)
                else:
                    writing = aside.submit(self._write, session, heads, part)
            if writing:
                writing.result()
        return stored

    def _write(
        self, session: ClientSession, heads: Mapping[int, Head], changes: Sequence[Change]
    ) -> None:
        ended: dict[int, list[Any]] = {}
        for change in changes:
            if change.replaces:
                ended.setdefault(change.repo, []).append(change.replaces.header["_id"])
        for number, keys in ended.items():
            done = self._db.rows.update_many(
                {"_id": {"$in": keys}, "to_rev": LIVE},
                {"$set": {"to_rev": heads[number].revision.number}},
                session=session,
            )
            if done.modified_count != len(keys):
                raise _stale()
        self._db.rows.insert_many(
            (row_document(change, heads[change.repo]) for change in changes),
            ordered=True,
            session=session,
        )

    def _close(
        self,
        session: ClientSession,
        head: Head,
        changes: Sequence[Change],
        by: str,
        comment: str | None,
        token: str,
    ) -> None:
        """Name the revision in the log and move the repository's counts."""
        moved = counts_moved(changes)
        totals = {name: head.repo["counts"][name] + moved[name] for name in COUNTED}
        if any(moved.values()):
            self._db.repos.update_one(
                {"_id": head.revision.repo}, {"$set": {"counts": totals}}, session=session
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
                "changes": len(changes),
                "commit": token,
            },
            session=session,
        )

    def _leave(self, session: ClientSession, head: Head) -> None:
        """Give an unused revision back."""
        self._db.repos.update_one(
            {"_id": head.revision.repo}, {"$set": head.repo["before"]}, session=session
        )


def row_document(change: Change, head: Head) -> Json:
    """The stored form of a row."""
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
    }


def counts_moved(changes: Sequence[Change]) -> dict[str, int]:
    """How the numbers of entries differ after these changes."""
    moved = dict.fromkeys(COUNTED, 0)
    for change in changes:
        if change.replaces is None:
            moved[f"{change.kind}s"] += 1
            moved[f"active_{change.kind}s"] += not change.retired
        else:
            moved[f"active_{change.kind}s"] += change.replaces.retired - change.retired
    return moved


def counts_of(document: Json | None) -> Counts:
    """The counts kept in a repository, revision or version document; zeros without one."""
    return Counts(**document["counts"]) if document else Counts()


def _stale() -> OperationFailure:
    """A row to end was not the living one: the transaction must be built again."""
    error = OperationFailure("a row was ended by another writer", 112)
    error._add_error_label("TransientTransactionError")
    return error
