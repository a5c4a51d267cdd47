"""What the store remembers about the search index.

The index itself keeps nothing for good: it can be rebuilt from the store at any time. Documents of
`index_notes`:

    {_id: "identity", value}
        The random name of this store, which tells its index from that of another store.
    {_id: "all" | repository, generation, locked_until}
        `generation` grows when the copy of a repository (or all) in the index is emptied or
        replaced. Until `locked_until`, only the process that took the lock writes to it.
    {_id: "lag", ...}
        How far the index was behind at the last tick.

`index_refusals` has one document for each row that the engine refused. Such a row counts as not
indexed.
"""

import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pymongo import ReplaceOne

from oclapi.model import Json
from oclapi.store.database import Database

ALL = "all"
KNOWN = 5.0  # seconds after which the identity is read again


@dataclass(frozen=True, slots=True)
class Generation:
    """The state of a copy in the index. `number` changes when it is emptied or replaced."""

    number: int
    locked: bool  # another process is emptying or replacing the copy


class IndexNotes:
    """The collections `index_notes` and `index_refusals`."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._identity = ("", -KNOWN)

    def identity(self) -> str:
        """Return the random name of this store, created at the first call.

        Read again now and then, because the database may be replaced while this process runs.
        """
        name, read = self._identity
        if time.monotonic() - read > KNOWN:
            name = self._read_identity()
            self._identity = (name, time.monotonic())
        return name

    def _read_identity(self) -> str:
        found = self._db.index_notes.find_one({"_id": "identity"})
        if found is None:
            new = {"$setOnInsert": {"value": uuid.uuid4().hex}}
            found = self._db.index_notes.find_one_and_update(
                {"_id": "identity"}, new, upsert=True, return_document=True
            )
        assert found is not None  # an upsert that returns the document after it
        return str(found["value"])

    def renew_identity(self) -> None:
        """Give this store another name, so that the index counts as that of another store.

        Index jobs then fill it again.
        """
        self._db.index_notes.delete_one({"_id": "identity"})
        self._identity = ("", -KNOWN)

    def generation(self, repo: int, now: datetime) -> Generation:
        """Return the generation of the repository's copy. Cost: one small query."""
        found = list(self._db.index_notes.find({"_id": {"$in": [ALL, repo]}}))
        return Generation(
            sum(note.get("generation", 0) for note in found),
            any(note.get("locked_until", now) > now for note in found),
        )

    def next_generation(self, repo: int | None) -> None:
        """Start a new generation of the repository's copy (None: of all).

        Other writers then know that it was emptied or replaced, and that theirs is incomplete.
        """
        self._db.index_notes.update_one(
            {"_id": ALL if repo is None else repo}, {"$inc": {"generation": 1}}, upsert=True
        )

    def lock(self, repo: int | None, until: datetime) -> None:
        """Keep other processes from writing to the copy until that time.

        A time in the past releases the lock.
        """
        self._db.index_notes.update_one(
            {"_id": ALL if repo is None else repo},
            {"$set": {"locked_until": until}},
            upsert=True,
        )

    def forget(self, repo: int) -> None:
        """Delete the notes of a deleted repository."""
        self._db.index_notes.delete_one({"_id": repo})
        self._db.index_refusals.delete_many({"repo": repo})

    def refuse(self, repo: int, ids: Iterable[str], now: datetime) -> None:
        """Store that the engine refused these documents."""
        changes = [
            ReplaceOne({"_id": one}, {"_id": one, "repo": repo, "at": now}, upsert=True)
            for one in ids
        ]
        if changes:
            self._db.index_refusals.bulk_write(changes, ordered=False)

    def accept(self, repo: int, ids: Iterable[str] | None = None) -> None:
        """Forget that these documents were refused; None: all of the repository."""
        where: Json = {"repo": repo}
        if ids is not None:
            where["_id"] = {"$in": sorted(ids)}
        self._db.index_refusals.delete_many(where)

    def accept_before(self, before: datetime) -> None:
        """Forget older refusals: everything was sent to the engine again."""
        self._db.index_refusals.delete_many({"at": {"$lt": before}})

    def refused(self, repo: int, since: datetime | None = None) -> set[str]:
        """Return the ids of the repository's refused documents; `since`: only later refusals."""
        where: Json = {"repo": repo, **({"at": {"$gte": since}} if since else {})}
        return {found["_id"] for found in self._db.index_refusals.find(where, {"_id": 1})}

    def refusals(self) -> int:
        """Return how many documents the engine refused in total."""
        return self._db.index_refusals.estimated_document_count()

    def set_lag(self, lag: Json) -> None:
        """Store how far the index is behind."""
        self._db.index_notes.replace_one({"_id": "lag"}, lag, upsert=True)

    def lag(self) -> Json | None:
        """Return what `set_lag` stored last, None before."""
        return self._db.index_notes.find_one({"_id": "lag"}, {"_id": 0})
