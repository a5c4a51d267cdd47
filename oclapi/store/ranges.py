"""Reading long lists in the order of an index: by a field, then by `url`.

"Behind a key" is the same for every list: the rest of the group of the key's value, then the groups
after it.
"""

import time
from collections.abc import Iterable, Iterator
from typing import Any

from oclapi.errors import NotFound
from oclapi.model import Json
from oclapi.store.database import Database

BATCH = 100_000
"""Most rows that a long read takes from one snapshot."""
SNAPSHOT_AGE = 60
"""Seconds after which a long read opens another snapshot, which a slow reader must not outlive."""

LIST = 1000
LIST_BYTES = 8 * 2**20
"""Rows and bytes per list in a long read.

Raw batches of the driver would cost more, because it splits and joins them again.
"""


def behind(
    key: tuple[Any, str] | None, field: str, *, descending: bool = False, bounds: Json | None = None
) -> list[Json]:
    """Return the filters for the ranges behind a key, in order. None: for the whole list.

    `bounds` are the conditions that hold for `field` anyway, in MongoDB's language.
    """
    if key is None:
        return [{field: bounds} if bounds else {}]
    beyond = "$lt" if descending else "$gt"
    return [
        {field: key[0], "url": {beyond: key[1]}},
        {field: {**(bounds or {}), beyond: key[0]}},
    ]


def order(field: str, *, descending: bool = False) -> list[tuple[str, int]]:
    """Return the sort that `behind` continues."""
    direction = -1 if descending else 1
    return [(field, direction), ("url", direction)]


def snapshots(
    database: Database,
    repo: int,
    where: Json,
    *,
    field: str,
    bounds: Json,
    hint: str,
    only: Json | None = None,
    descending: bool = False,
    size: int = BATCH,
) -> Iterator[tuple[int, list[Json]]]:
    """Yield the matching rows of a repository in lists, however long that takes.

    Each list comes with the repository's newest revision in the snapshot that it was read in. A
    snapshot lasts five minutes and a revision for ever, so a long read opens a new snapshot now and
    then and continues behind its last key. Raises NotFound when the repository is deleted
    meanwhile: its rows are being purged, so the rest would be incomplete. Memory: one batch of the
    server (at most 16 MB) and one list.
    """
    key: tuple[Any, str] | None = None
    more = True
    while more:
        begun, left, more = time.monotonic(), size, False
        with database.snapshot() as session:
            head = database.repos.find_one({"_id": repo}, {"rev": 1}, session=session)
            if head is None:
                raise NotFound("the repository was deleted")
            for range_ in behind(key, field, descending=descending, bounds=bounds):
                cursor = database.rows.find(
                    {"repo": repo, **where, **range_},
                    only,
                    hint=hint,
                    sort=order(field, descending=descending),
                    session=session,
                )
                for found in lists(cursor.batch_size(LIST).limit(left)):
                    yield head["rev"], found
                    key = (found[-1][field], found[-1]["url"])
                    left -= len(found)
                    more = left <= 0 or time.monotonic() - begun > SNAPSHOT_AGE
                    if more:
                        break
                if more:
                    break


def lists(cursor: Iterable[Json]) -> Iterator[list[Json]]:
    """Yield documents in lists of at most LIST, or of about LIST_BYTES of bodies."""
    batch: list[Json] = []
    size = 0
    for document in cursor:
        batch.append(document)
        size += len(document.get("body", b""))
        if len(batch) == LIST or size >= LIST_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
