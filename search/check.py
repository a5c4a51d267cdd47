"""Compare the search index with the store, and repair it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from oclapi.model import LIVE, Json
from oclapi.store.change_log import RepoHead
from oclapi.store.store import Store
from search.base import Key
from search.documents import Marker, document, document_id
from search.follow import ROWS, Follower
from search.solr import SolrIndex


@dataclass(frozen=True, slots=True)
class State:
    """The state of the index for one repository."""

    repo: int
    url: str
    rows: int  # in the store, ended ones included
    indexed: int
    refused: int  # rows that the engine rejected
    rev: int  # of the marker, -1 without one
    behind: int  # revisions that are not indexed yet
    drift: int  # surplus of indexed rows at the marker; negative: rows are missing
    lacks_since: datetime | None  # time of the first revision that is not indexed


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that differs between the index and the store.

    A stray exists in the index only, so nothing but its key is known.
    """

    key: Key
    what: Literal["missing", "wrong", "stray"]
    stored: tuple[int, bool] | None  # to_rev, retired
    indexed: tuple[int, bool] | None


def states(store: Store, index: SolrIndex) -> Iterator[State]:
    """Yield the state of every repository, ordered by number.

    Repositories that exist in the index only come last, with the url "". Cost: counts all rows.
    """
    index.commit()
    # Read the index first, so that rows written meanwhile are not reported as drift.
    found, counts = index.markers(), index.counts()
    heads, identity = store.change_log.heads(), store.index_notes.identity()
    log = store.change_log.revisions([(marker.repo, marker.rev) for marker in found.values()])
    markers = {
        repo: marker
        for repo, marker in found.items()
        if marker.store == identity and marker.commit == _commit(log, marker)
    }
    lacks = {
        head.repo: (markers[head.repo].rev if head.repo in markers else 0) + 1 for head in heads
    }
    made = store.change_log.revisions(list(lacks.items()))
    for head in heads:
        yield _state(
            store,
            head,
            markers.get(head.repo),
            counts.get(head.repo, 0),
            made[head.repo]["at"] if head.repo in made else None,
        )
    known = {head.repo for head in heads}
    for number in sorted((counts.keys() | found.keys()) - known):
        if store.change_log.head(number) is None:
            rows, rev = counts.get(number, 0), found[number].rev if number in found else -1
            yield State(number, "", 0, rows, 0, rev, 0, rows, None)


def _commit(log: dict[int, Json], marker: Marker) -> str | None:
    """Return the commit id that the store has for the revision of a marker."""
    return (
        str(log[marker.repo]["commit"]) if marker.repo in log else "" if marker.rev == 0 else None
    )


def _state(
    store: Store, head: RepoHead, marker: Marker | None, indexed: int, lacks_since: datetime | None
) -> State:
    rows = store.change_log.count(head.repo, head.rev)
    reached = marker.rev if marker else 0
    refused = len(store.index_notes.refused(head.repo))
    least = (
        store.change_log.count(head.repo, reached)
        if 0 < reached < head.rev
        else (rows if reached else 0)
    )
    there = indexed + refused
    # Rows beyond the marker may be indexed already.
    drift = there - min(max(there, least), rows)
    behind = max(0, head.rev - reached) if marker else max(1, head.rev)
    return State(
        head.repo,
        head.url,
        rows,
        indexed,
        refused,
        marker.rev if marker else -1,
        behind,
        drift,
        lacks_since,
    )


def compare(
    store: Store, index: SolrIndex, head: RepoHead, sample: int = 0
) -> Iterator[Difference]:
    """Yield the differences between the store and the index, up to the marker.

    All rows are compared in both directions, or only `sample` rows of the store. Rows that the
    engine rejected are not reported. Without a marker nothing is compared: the next index job fills
    the copy. Memory: about 300 bytes for each row of the repository; a sample needs none.
    """
    index.commit()
    marker = index.marker(head.repo)
    if marker is None:
        return
    upto, refused = marker.rev, store.index_notes.refused(head.repo)
    stored: dict[str, tuple[int, bool]] = {}
    for row in (
        store.change_log.sample(head.repo, upto, sample)
        if sample
        else store.change_log.headers(head.repo, upto)
    ):
        stored[document_id(row.repo, row.from_rev, row.url)] = row.to_rev, row.retired
    for key, to_rev, retired in index.states(sorted(stored)) if sample else index.keys(head.repo):
        if key.from_rev > upto:
            continue  # its revision is being indexed
        indexed = (to_rev if to_rev <= upto else LIVE), retired
        wanted = stored.pop(document_id(key.repo, key.from_rev, key.url), None)
        if wanted is None:
            yield Difference(key, "stray", None, indexed)
        elif wanted != indexed:
            yield Difference(key, "wrong", wanted, indexed)
    for name, wanted in stored.items():
        if name not in refused:
            repo, from_rev, url = name.split("/", 2)
            yield Difference(Key(int(repo), url, int(from_rev)), "missing", wanted, None)


def repair(store: Store, index: SolrIndex, head: RepoHead, differences: list[Difference]) -> int:
    """Write missing and wrong rows again and delete strays.

    Returns the number of rows that the engine rejected.
    """
    refused: list[str] = []
    for start in range(0, len(differences), ROWS):
        part = differences[start : start + ROWS]
        if strays := [_id(one.key) for one in part if one.what == "stray"]:
            index.drop(strays)
        documents = []
        for one in part:
            change = (
                store.change_log.row(one.key.repo, one.key.url, one.key.from_rev)
                if one.what != "stray"
                else None
            )
            if change:
                documents.append(document(change.row, change.head, head.url))
        refused += index.write(documents, force=True)
    index.commit()
    return len(refused)


def forget_unknown(store: Store, index: SolrIndex, number: int) -> None:
    """Delete the documents of a repository that does not exist in the store."""
    Follower(store, index).forget_gone(number)


def _id(key: Key) -> str:
    return document_id(key.repo, key.from_rev, key.url)
