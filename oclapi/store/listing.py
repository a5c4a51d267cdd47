"""Lists of users, organisations and repositories.

A document may have extras of 1 MiB and any number of members. So lists leave them out where they
can, and otherwise read the sizes of the documents first, and then a limited number of bytes at a
time.
"""

from collections.abc import Iterable, Iterator, Sequence

from pymongo.collection import Collection

from oclapi.model import Json

BATCH, BATCH_BYTES = 1000, 2**20
"""Documents and bytes that are read at once. One document may be larger."""

LARGE: Json = {"extras": 0, "members": 0, "away": 0}
"""A projection that leaves out what may be large and is only shown in details."""


def page(
    collection: Collection[Json],
    where: Json,
    order: Sequence[str],
    *,
    limit: int,
    skip: int,
    oldest_first: bool,
    full: bool,
    without: Json | None = None,
    hint: str | None = None,
) -> Iterator[Json]:
    """Yield one page of the documents, without the fields of `without`.

    Order: descending by the fields of `order`, or ascending when `oldest_first`. `limit` 0: all.
    Without `full`, the fields of LARGE are left out. Cost: one command; with `full` another one for
    each batch.
    """
    sort = [(field, 1 if oldest_first else -1) for field in order]
    shown = _sizes("_id") if full else {**(without or {}), **LARGE}
    found = collection.find(where, shown, hint=hint).sort(sort).skip(skip).limit(limit)
    yield from _read(collection, where, found, without) if full else found


def chosen(
    collection: Collection[Json],
    where: Json,
    key: str,
    keys: Sequence[str],
    *,
    full: bool,
    without: Json | None = None,
) -> Iterator[Json]:
    """Yield the documents with these keys that match `where`, in the order of the keys.

    `full` and `without` as for `page`. Cost: two commands, or more with large documents.
    """
    shown = (without or {}) if full else {**(without or {}), **LARGE}
    for start in range(0, len(keys), BATCH):
        some = keys[start : start + BATCH]
        sizes = collection.find({"$and": [where, {key: {"$in": some}}]}, _sizes(key))
        found = {one[key]: one for one in sizes}
        yield from _read(collection, where, (found[one] for one in some if one in found), shown)


def _sizes(key: str) -> Json:
    return {key: 1, "size": {"$bsonSize": "$$ROOT"}}


def _read(
    collection: Collection[Json], where: Json, sizes: Iterable[Json], without: Json | None
) -> Iterator[Json]:
    """Yield the documents of these sizes that still match, in the same order."""
    for keys in _batches(sizes):
        cursor = collection.find({"$and": [where, {"_id": {"$in": keys}}]}, without or None)
        found = {one["_id"]: one for one in cursor}
        yield from (found.pop(key) for key in keys if key in found)


def _batches(sizes: Iterable[Json]) -> Iterator[list[str]]:
    """Yield the keys of the documents that are read at once."""
    keys: list[str] = []
    size = 0
    for one in sizes:
        if keys and (size + one["size"] > BATCH_BYTES or len(keys) == BATCH):
            yield keys
            keys, size = [], 0
        keys.append(one["_id"])
        size += one["size"]
    if keys:
        yield keys
