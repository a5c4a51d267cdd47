"""Rebuild the search index: all of it in a new index, or one repository in place.

Readers never see a gap. The old index stays in use and up to date until the new one has caught up.
Then the two exchange their names. A repository that is rebuilt in place has no marker meanwhile, so
MongoDB serves its listings. A killed rebuild leaves the old index in use, and the next run removes
the rest of the new one.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from oclapi.errors import IndexBusy, IndexIncomplete, NotFound, Overtaken
from oclapi.store.change_log import RepoHead
from oclapi.store.store import Store
from search.follow import Follower
from search.solr import SolrIndex

NEXT = "_next"
"""Suffix of the name of the new index."""

TOGETHER = 2
"""Repositories that are indexed at the same time."""
ROUNDS = 10
"""How often the new index catches up with writes before the swap. Index jobs do the rest."""
LEASE = timedelta(seconds=30)
LOCKED = timedelta(seconds=30)
QUIET = 5.0
"""Seconds for running index jobs to notice that the index is locked."""

Progress = Callable[[int], None]
"""Called with the number of rows written so far."""


class Stopped(Exception):
    """Raised in a thread of `Filling` to stop it."""


def rebuild_all(store: Store, index: SolrIndex, progress: Progress = lambda rows: None) -> int:
    """Fill a new index, compare its counts with the store, and replace the old one.

    Returns the number of rows. Raises IndexBusy when another rebuild is running, IndexIncomplete
    when the counts differ (the old index stays in use), SearchUnavailable, StoreUnavailable.
    """
    with _only_run(store):
        new = index.of(index.core + NEXT)
        if index.exists(new.core):
            index.remove(new.core)
        index.ensure()  # the swap needs two
        begun = datetime.now(UTC)
        index.create(new.core)
        try:
            follower = Follower(store, new, respect_locks=False)
            rows = Filling(store, follower, progress).run(store.change_log.heads())
            for _ in range(ROUNDS):
                if not _catch_up(store, new, follower):
                    break
            _check(store, new, begun)
            _swap(store, index, new, follower)
            store.index_notes.accept_before(begun)
        finally:
            index.remove(new.core)  # before the swap the unfinished index, after it the old one
        return rows


def rebuild_one(
    store: Store, index: SolrIndex, number: int, progress: Progress = lambda rows: None
) -> None:
    """Empty the index of one repository and fill it again. Index jobs skip it meanwhile.

    When it is interrupted, the index jobs continue. Raises NotFound and the errors of
    `rebuild_all`.
    """
    with _only_run(store):
        notes, follower = store.index_notes, Follower(store, index, respect_locks=False)
        renewed = 0.0

        def keep(rows: int) -> bool:
            nonlocal renewed
            progress(rows)
            if time.monotonic() - renewed > LOCKED.total_seconds() / 3:
                renewed = time.monotonic()
                notes.lock(number, datetime.now(UTC) + LOCKED)
            return False

        if store.change_log.head(number) is None:
            raise NotFound("the repository was deleted")
        try:
            keep(0)
            index.ensure()
            follower.forget(number)
            follower.follow(number, keep)
            index.commit()
        finally:
            notes.lock(number, datetime.now(UTC))


class Filling:
    """Indexes several repositories at the same time. Ctrl-C in its thread stops it."""

    def __init__(self, store: Store, follower: Follower, progress: Progress) -> None:
        self._store, self._follower, self._progress = store, follower, progress
        self._sent: dict[int, int] = {}  # rows by repository
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def run(self, heads: list[RepoHead]) -> int:
        """Index all of these, the longest log first. Returns the number of rows written.

        Raises the first error of any of them.
        """
        with ThreadPoolExecutor(TOGETHER) as pool:
            work = [
                pool.submit(self._fill, head.repo)
                for head in sorted(heads, key=lambda head: -head.rev)
            ]
            try:
                for one in work:
                    one.result()
            except BaseException:  # also Ctrl-C: the other threads must stop first
                self._stopped.set()
                pool.shutdown(cancel_futures=True)
                raise
        return sum(self._sent.values())

    def _fill(self, number: int) -> None:
        try:
            self._follower.follow(number, lambda sent: self._note(number, sent))
        except (NotFound, Overtaken):  # deleted or rebuilt meanwhile: `_catch_up` handles it
            return

    def _note(self, number: int, sent: int) -> bool:
        if self._stopped.is_set():
            raise Stopped
        with self._lock:
            self._sent[number] = sent
            self._progress(sum(self._sent.values()))
        return False


def _catch_up(store: Store, index: SolrIndex, follower: Follower) -> bool:
    """Index new revisions and forget deleted repositories. Returns True when there were any."""
    index.commit()
    markers = index.markers()
    heads = {head.repo: head for head in store.change_log.heads()}
    behind = [
        head
        for head in heads.values()
        if head.repo not in markers or markers[head.repo].rev != head.rev
    ]
    gone = markers.keys() - heads.keys()
    for number in gone:
        follower.forget_gone(number)
    Filling(store, follower, lambda rows: None).run(behind)
    return bool(behind or gone)


def _check(store: Store, index: SolrIndex, begun: datetime) -> None:
    """Raise IndexIncomplete unless each repository has as many rows as in the store."""
    index.commit()
    counts, markers = index.counts(), index.markers()
    for head in store.change_log.heads():
        marker = markers.get(head.repo)
        if marker is None:  # just created: the index jobs handle it
            continue
        expected = store.change_log.count(head.repo, marker.rev) - len(
            store.index_notes.refused(head.repo, begun)
        )
        there = counts.get(head.repo, 0)
        if there != expected and store.change_log.head(head.repo) is not None:
            raise IndexIncomplete(
                f"{head.url} has {expected} rows, the new index has {there}; "
                "the old index stays in use"
            )


def _swap(store: Store, index: SolrIndex, new: SolrIndex, follower: Follower) -> None:
    """Exchange the names of the two indexes while no index job writes."""
    notes = store.index_notes
    try:
        notes.lock(None, datetime.now(UTC) + LOCKED)
        end = time.monotonic() + QUIET
        while store.leases.any_taken("index-", datetime.now(UTC)) and time.monotonic() < end:
            time.sleep(0.05)
        _catch_up(store, new, follower)
        new.commit()
        notes.next_generation(None)  # stops a job that still writes
        index.swap(index.core, new.core)
        _catch_up(store, index, Follower(store, index, respect_locks=False))
    finally:
        notes.lock(None, datetime.now(UTC))


@contextmanager
def _only_run(store: Store) -> Iterator[None]:
    """Allow one rebuild at a time. Raises IndexBusy."""
    with store.leases.hold("reindex", LEASE) as acquired:
        if not acquired:
            raise IndexBusy(
                "another reindex is running, "
                f"or was killed less than {LEASE.total_seconds():.0f} s ago"
            )
        yield
