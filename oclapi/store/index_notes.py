"""What the store remembers about the search index, which is rebuilt from the store and remembers
nothing for good itself.

    {_id: "identity", value}               the name of this store: a copy of another store's rows is
    no copy of ours {_id: "all" | number, turn, held}      `turn` grows when a copy is emptied or
    replaced; until `held` only who holds it writes to it {_id: "lag", ...}                      how
    far the index was behind when the tick looked last
`index_refusals` has one document for each row that the engine did not take; the row is not in the
index, by definition.
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
KNOWN = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class Generation:
    """Who copies may write. Two with the same `number` were taken in the same turn."""

    number: int
    locked: bool  # someone else empties or replaces the copy at the moment


class IndexNotes:
    """The collections `index_notes` and `index_refusals`."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._identity = ("", -KNOWN)

    def identity(self) -> str:
        """The store's own random name, made at the first call and the same for ever. Asked for
        again now and then, should the database behind its address be replaced while this process
        runs.
        """
        name, read = self._identity
        if time.monotonic() - read > KNOWN:
            name = self._read_identity()
            self._identity = (name, time.monotonic())
        return name

    def _read_identity(self) -> str:
        found = self._db.index_notes.find_one({"_id": "identity"})
        if found is None:
            made = {"$setOnInsert": {"value": uuid.uuid4().hex}}
            found = self._db.index_notes.find_one_and_update(
                {"_id": "identity"}, made, upsert=True, return_document=True
            )
        assert found is not None  # an upsert that returns the document after it
        return str(found["value"])

    def generation(self, repo: int, now: datetime) -> Generation:
        """The turn of that repository's copy. Cost: one small query."""
        found = list(self._db.index_notes.find({"_id": {"$in": [ALL, repo]}}))
        return Generation(
            sum(note.get("generation", 0) for note in found),
            any(note.get("locked_until", now) > now for note in found),
        )

    def next_generation(self, repo: int | None) -> None:
        """Tell all who write to the copy of that repository (None: to any) that it is emptied or
        replaced: what they wrote may be half.
        """
        self._db.index_notes.update_one(
            {"_id": ALL if repo is None else repo}, {"$inc": {"generation": 1}}, upsert=True
        )

    def lock(self, repo: int | None, until: datetime) -> None:
        """Keep the others from writing to it until that moment; a moment in the past lets them go
        on.
        """
        self._db.index_notes.update_one(
            {"_id": ALL if repo is None else repo},
            {"$set": {"locked_until": until}},
            upsert=True,
        )

    def forget(self, repo: int) -> None:
        """The repository is gone."""
        self._db.index_notes.delete_one({"_id": repo})
        self._db.index_refusals.delete_many({"repo": repo})

    def refuse(self, repo: int, ids: Iterable[str], now: datetime) -> None:
        """The engine did not take these documents."""
        changes = [
            ReplaceOne({"_id": one}, {"_id": one, "repo": repo, "at": now}, upsert=True)
            for one in ids
        ]
        if changes:
            self._db.index_refusals.bulk_write(changes, ordered=False)

    def accept(self, repo: int, ids: Iterable[str] | None = None) -> None:
        """The engine took these documents after all; None: it is asked again about all of the
        repository.
        """
        asked: Json = {"repo": repo}
        if ids is not None:
            asked["_id"] = {"$in": sorted(ids)}
        self._db.index_refusals.delete_many(asked)

    def accept_before(self, moment: datetime) -> None:
        """What was refused earlier counts no more: the engine was asked again about everything."""
        self._db.index_refusals.delete_many({"at": {"$lt": moment}})

    def refused(self, repo: int, since: datetime | None = None) -> set[str]:
        """The ids of the repository's documents that the engine did not take (`since`: when it was
        asked then or later).
        """
        asked: Json = {"repo": repo, **({"at": {"$gte": since}} if since else {})}
        return {found["_id"] for found in self._db.index_refusals.find(asked, {"_id": 1})}

    def refusals(self) -> int:
        """How many documents the engine did not take, in all."""
        return self._db.index_refusals.estimated_document_count()

    def set_lag(self, lag: Json) -> None:
        self._db.index_notes.replace_one({"_id": "lag"}, lag, upsert=True)

    def lag(self) -> Json | None:
        """What `set_lag` was given last."""
        return self._db.index_notes.find_one({"_id": "lag"}, {"_id": 0})
