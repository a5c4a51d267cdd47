"""Making the index again: all of it beside the one that serves, or one repository in place.

Readers never see a gap. The index in use stays as it is and goes on to be followed until the new
one has come as far; then the two change names. A repository that is made again in place has no
marker meanwhile, so MongoDB answers for it. Whoever is stopped leaves the old index serving; what
is left of the new one is removed by the next run.
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
"""What the name of the index that is being made has behind the name of the one that serves."""

TOGETHER = 2
"""Repositories that are read and written at once."""
ROUNDS = 10
"""Times that the new index catches up with a store that goes on changing; the index jobs do the
rest.
"""
LEASE = timedelta(seconds=30)
HELD = timedelta(seconds=30)
QUIET = 5.0
"""Seconds that running index jobs are given to notice that the index is held."""

EndpointDoc = Callable[[int], None]
"""Called with how many rows were written so far."""


class Stopped(Exception):
    """The work shall end: raised inside of it."""


def rebuild_all(store: Store, index: SolrIndex, told: EndpointDoc = lambda rows: None) -> int:
    """Fill a new index, compare its counts with the store, and put it in the place of the old one.
    Returns its rows.

    Raises IndexBusy (another run works), IndexIncomplete (the counts differ; the old index stays),
    SearchUnavailable, StoreUnavailable.
    """
    with _only_run(store):
        new = index.of(index.core + NEXT)
        if index.exists(new.core):
            index.remove(new.core)
        index.ensure()  # there must be one to change names with
        begun = datetime.now(UTC)
        index.create(new.core)
        try:
            follower = Follower(store, new, respect_locks=False)
            rows = Filling(store, follower, told).run(store.change_log.heads())
            for _ in range(ROUNDS):
                if not _catch_up(store, new, follower):
                    break
            _check(store, new, begun)
            _swap(store, index, new, follower)
            store.index_notes.accept_before(begun)
        finally:
            index.remove(new.core)  # before the swap what was begun, after it the old one
        return rows


def rebuild_one(
    store: Store, index: SolrIndex, number: int, told: EndpointDoc = lambda rows: None
) -> None:
    """Empty the index of one repository and fill it again, while index jobs leave it alone.

    Stopped on the way, the index jobs go on from there. Raises as `rebuild_all`, and NotFound.
    """
    with _only_run(store):
        notes, follower = store.index_notes, Follower(store, index, respect_locks=False)
        renewed = 0.0

        def keep(rows: int) -> bool:
            nonlocal renewed
            told(rows)
            if time.monotonic() - renewed > HELD.total_seconds() / 3:
                renewed = time.monotonic()
                notes.lock(number, datetime.now(UTC) + HELD)
            return False

        if store.change_log.head(number) is None:
            raise NotFound("the repository is gone")
        try:
            keep(0)
            index.ensure()
            follower.forget(number)
            follower.follow(number, keep)
            index.commit()
        finally:
            notes.lock(number, datetime.now(UTC))


class Filling:
    """Fills an index with several repositories at once. May be stopped from the thread that runs
    it.
    """

    def __init__(self, store: Store, follower: Follower, told: EndpointDoc) -> None:
        self._store, self._follower, self._told = store, follower, told
        self._sent: dict[int, int] = {}  # rows by repository
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def run(self, heads: list[RepoHead]) -> int:
        """Follow all of these, the longest log first; return how many rows that took. Raises what
        any of them raises.
        """
        with ThreadPoolExecutor(TOGETHER) as pool:
            work = [
                pool.submit(self._fill, head.repo)
                for head in sorted(heads, key=lambda head: -head.rev)
            ]
            try:
                for one in work:
                    one.result()
            except BaseException:  # Ctrl-C too: the others must end as well before it goes on
                self._stopped.set()
                pool.shutdown(cancel_futures=True)
                raise
        return sum(self._sent.values())

    def _fill(self, number: int) -> None:
        try:
            self._follower.follow(number, lambda sent: self._note(number, sent))
        except (NotFound, Overtaken):  # deleted, or begun again, meanwhile: `_catch_up` sees to it
            return

    def _note(self, number: int, sent: int) -> bool:
        if self._stopped.is_set():
            raise Stopped
        with self._lock:
            self._sent[number] = sent
            self._told(sum(self._sent.values()))
        return False


def _catch_up(store: Store, index: SolrIndex, follower: Follower) -> bool:
    """Follow what changed meanwhile, forget what is gone; True when there was something."""
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
    """Raises IndexIncomplete unless each repository has as many rows as the store says."""
    index.commit()
    counts, markers = index.counts(), index.markers()
    for head in store.change_log.heads():
        marker = markers.get(head.repo)
        if marker is None:  # made a moment ago: the index jobs see to it
            continue
        expected = store.change_log.count(head.repo, marker.rev) - len(
            store.index_notes.refused(head.repo, begun)
        )
        there = counts.get(head.repo, 0)
        if there != expected and store.change_log.head(head.repo) is not None:
            raise IndexIncomplete(
                f"{head.url} has {expected} rows, the new index {there}; the old index goes on serving"
            )


def _swap(store: Store, index: SolrIndex, new: SolrIndex, follower: Follower) -> None:
    """Let the two change names while no index job writes, with the new one as far as possible."""
    notes = store.index_notes
    try:
        notes.lock(None, datetime.now(UTC) + HELD)
        end = time.monotonic() + QUIET
        while store.leases.any_taken("index-", datetime.now(UTC)) and time.monotonic() < end:
            time.sleep(0.05)
        _catch_up(store, new, follower)
        new.commit()
        notes.next_generation(None)  # a job that is still at work, against all odds, finds out
        index.swap(index.core, new.core)
        _catch_up(store, index, Follower(store, index, respect_locks=False))
    finally:
        notes.lock(None, datetime.now(UTC))


@contextmanager
def _only_run(store: Store) -> Iterator[None]:
    """Be the only one that makes an index again. Raises IndexBusy."""
    with store.leases.holding("reindex", LEASE) as ours:
        if not ours:
            raise IndexBusy(
                f"another reindex runs, or was killed less than {LEASE.total_seconds():.0f} s ago"
            )
        yield
