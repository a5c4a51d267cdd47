"""Jobs that keep the search index up to date, and the watch that queues them."""

import logging
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from config.logging import belongs_to
from jobs.queue import RQIndexQueue, others_wait
from oclapi.errors import NotFound, Overtaken, QueueUnavailable, SearchUnavailable
from oclapi.services import Services, services
from oclapi.store.change_log import RepoHead
from search.documents import Marker
from search.follow import Follower
from search.solr import SolrIndex

log = logging.getLogger(__name__)

SLICE = 1.0  # seconds of work for one repository while other jobs wait
SLICE_ROWS = 10_000
LONGEST = 5.0  # seconds of work when no job waits, so that a worker can stop
LEASE = timedelta(seconds=10)  # a dead job loses its repository after this time

COMPARE = 10.0  # seconds between comparisons of all markers with all heads
# A commit may become visible this much later than its time. A comparison finds even later ones.
MARGIN = timedelta(seconds=15)
SETTLE = 1.0  # seconds until searches see what a job has written
AT_ONCE = 200  # most jobs that one comparison queues
EDIT = 100  # most changes of a small commit, and most commits that are examined
MANY = 20  # most markers that are requested one by one
AWAY = 2.0  # seconds without requests after the engine or the queue failed


def index_repository(number: int, upto: int | None = None) -> None:
    """RQ job: index new revisions of a repository for a limited time.

    The watch queues another job while the index is behind. `upto` is the last revision to index.
    The job may run twice, late, or at the same time as another one; see search/follow.py. When the
    engine is not available, the job ends quietly: the watch logs it and queues the job again.
    """
    belongs_to(job=f"index-{number}")
    s = services()
    if s.solr is None:
        return
    # The lease only prevents duplicate work.
    with s.store.leases.hold(lease_of(number), LEASE) as acquired:
        if acquired:
            _follow(s, s.solr, number, upto)


def index_commits(number: int, revisions: list[int]) -> None:
    """RQ job: index these small commits while earlier ones are still being indexed.

    The job may run twice, and it may be lost.
    """
    belongs_to(job=f"edits-{number}")
    s = services()
    if s.solr is None:
        return
    try:
        # A reindex waits for the holders of these leases.
        with s.store.leases.hold(f"{lease_of(number)}-edits", LEASE) as acquired:
            if acquired:
                Follower(s.store, s.solr).index_early(number, revisions)
                log.info("indexed early", extra={"repo": number, "revisions": len(revisions)})
    except (Overtaken, NotFound, SearchUnavailable) as error:
        log.info("index job stopped", extra={"repo": number, "rows": 0, "reason": error.detail})


def lease_of(number: int) -> str:
    """Return the name of the lease of a running job of this repository."""
    return f"index-{number}"


def _follow(s: Services, solr: SolrIndex, number: int, upto: int | None) -> None:
    begun = time.monotonic()
    rows = 0

    def enough(sent: int) -> bool:
        nonlocal rows
        rows = sent
        worked = time.monotonic() - begun
        return worked >= LONGEST or ((worked >= SLICE or sent >= SLICE_ROWS) and others_wait())

    try:
        done = Follower(s.store, solr).follow(number, enough, upto)
        log.info(
            "indexed",
            extra={
                "repo": number,
                "rows": rows,
                "done": done,
                "seconds": round(time.monotonic() - begun, 3),
            },
        )
    except (Overtaken, NotFound, SearchUnavailable, QueueUnavailable) as error:
        log.info("index job stopped", extra={"repo": number, "rows": rows, "reason": error.detail})


class Watch:
    """Finds repositories whose index is behind, and queues a job for each.

    Small jobs go to the queue EDITS. When much is to be indexed, or a job is running already, small
    new commits get a job of their own, so that `q` finds them soon. A lost job, worker, queue or
    index is found by the next comparison of all markers. A failure of the engine or the queue is
    logged once.
    """

    def __init__(
        self, s: Services, solr: SolrIndex, queue: RQIndexQueue, edits: RQIndexQueue
    ) -> None:
        self._s, self._solr, self._queue, self._edits = s, solr, queue, edits
        self._follower = Follower(s.store, solr)
        self._newest: datetime | None = None  # time of the newest change seen
        # by repository: the revision of its last job, and when to check its marker again
        self._settled: dict[int, tuple[int, float]] = {}
        # by repository: the newest revision that was examined for small commits
        self._examined: dict[int, int] = {}
        self._compared = -1  # the last repository that a comparison queued
        # markers whose commit is in the log, with the head at that time
        self._trusted: dict[Marker, RepoHead] = {}
        self._compare_at = 0.0  # time.monotonic() of the next comparison
        self._away = False
        self._retry_at = 0.0  # time.monotonic() before which no request is sent

    def check(self, now: datetime) -> None:
        """Check repositories that changed since the last call, and all of them now and then.

        Cost: one small query when nothing changed.
        """
        if time.monotonic() < self._retry_at:
            return
        try:
            if self._away:
                self._solr.ensure()
            if self._newest is None or time.monotonic() >= self._compare_at:
                self._compare(now)
            else:
                self._attend(self._s.store.change_log.changed_since(self._newest - MARGIN))
            if self._away:
                log.info("indexing continues")
                self._away = False
        except (SearchUnavailable, QueueUnavailable) as error:
            if not self._away:
                log.warning("indexing waits", extra={"reason": error.detail})
                self._s.store.index_notes.set_lag({"at": now, "away": True})
            self._away = True
            self._compare_at, self._retry_at = 0.0, time.monotonic() + AWAY

    def _attend(self, heads: Iterable[RepoHead]) -> None:
        """Queue jobs for those repositories whose marker is not at the head."""
        identity = self._s.store.index_notes.identity()
        changed = [head for head in heads if not self._is_settled(head)]
        markers = self._solr.markers() if len(changed) > MANY else None
        for head in changed:
            self._newest = max(self._newest or head.updated_on, head.updated_on)
            marker = markers.get(head.repo) if markers is not None else self._solr.marker(head.repo)
            if marker and (marker.rev, marker.store) == (head.rev, identity):
                self._settled[head.repo] = head.rev, time.monotonic() + COMPARE
                continue
            reached = marker.rev if marker else 0
            little = self._is_little(head.repo, reached, head.rev)
            busy = self._is_followed(head.repo)
            if not busy and (
                self._edits.enqueue(head.repo, head.rev)
                if little
                else self._queue.enqueue(head.repo)
            ):
                self._settled[head.repo] = head.rev, time.monotonic() + SETTLE
            if busy or not little:
                self._index_early(head, reached)

    def _is_settled(self, head: RepoHead) -> bool:
        rev, again = self._settled.get(head.repo, (-1, 0.0))
        return rev == head.rev and time.monotonic() < again

    def _is_little(self, repo: int, after: int, upto: int) -> bool:
        return (
            upto - after <= EDIT
            and sum(changes for _, changes in self._s.store.change_log.sizes(repo, after, upto))
            <= EDIT
        )

    def _index_early(self, head: RepoHead, reached: int) -> None:
        """Queue the small commits since the last check of this repository."""
        after = max(self._examined.get(head.repo, 0), reached, head.rev - EDIT)
        small = [
            rev
            for rev, changes in self._s.store.change_log.sizes(head.repo, after, head.rev)
            if changes <= EDIT
        ]
        if small:
            self._edits.enqueue_commits(head.repo, small)
        self._examined[head.repo] = head.rev

    def _is_followed(self, repo: int) -> bool:
        """Return whether a job is running. It may or may not see the newest revision."""
        return self._s.store.leases.taken(lease_of(repo), datetime.now(UTC))

    def _compare(self, now: datetime) -> None:
        """Compare all markers with all heads.

        Queue jobs for what is behind, forget deleted repositories, and store the lag.
        """
        if self._newest is None:
            self._solr.ensure()
        markers = self._solr.markers()
        heads = self._s.store.change_log.heads()
        trusted = self._trust(markers, heads)
        behind = [
            head
            for head in heads
            if (marker := trusted.get(head.repo)) is None or marker.rev < head.rev
        ]
        self._newest = max((head.updated_on for head in heads), default=now)
        self._settled.clear()
        for number in markers.keys() - {head.repo for head in heads}:
            log.info("forgot a deleted repository", extra={"repo": number})
            self._follower.forget_gone(number)
        self._examined = {
            head.repo: rev for head in behind if (rev := self._examined.get(head.repo)) is not None
        }
        # Continue after the last repository, so that each one is served.
        for head in ([head for head in behind if head.repo > self._compared] or behind)[:AT_ONCE]:
            if not self._is_followed(head.repo):
                self._queue.enqueue(head.repo)
            self._compared = head.repo
        self._compare_at = time.monotonic() + (COMPARE if len(behind) <= AT_ONCE else SETTLE)
        self._report(behind, trusted, now)

    def _trust(self, markers: dict[int, Marker], heads: Iterable[RepoHead]) -> dict[int, Marker]:
        """Return the markers that belong to this store's log, by repository.

        A marker is checked again after a write to its repository. A log that was restored from a
        backup may lack its revision, or have another commit with that number.
        """
        identity = self._s.store.index_notes.identity()
        own = {
            head: marker
            for head in heads
            if (marker := markers.get(head.repo)) and marker.store == identity
        }
        unknown = [marker for head, marker in own.items() if self._trusted.get(marker) != head]
        log_entries = self._s.store.change_log.revisions(
            [(marker.repo, marker.rev) for marker in unknown if marker.rev]
        )
        foreign = {
            marker
            for marker in unknown
            if marker.commit != (log_entries.get(marker.repo, NONE)["commit"] if marker.rev else "")
        }
        self._trusted = {marker: head for head, marker in own.items() if marker not in foreign}
        return {marker.repo: marker for marker in self._trusted}

    def _report(self, behind: list[RepoHead], markers: dict[int, Marker], now: datetime) -> None:
        """Store how far the index is behind, for /metrics.

        The values are the number of revisions, and the age in seconds of the oldest one that is not
        indexed.
        """
        lacks = {
            head.repo: markers[head.repo].rev + 1 if head.repo in markers else min(1, head.rev)
            for head in behind
        }
        found = self._s.store.change_log.revisions(
            [(repo, rev) for repo, rev in lacks.items() if rev]
        )
        oldest = min((revision["at"] for revision in found.values()), default=now)
        self._s.store.index_notes.set_lag(
            {
                "at": now,
                "away": False,
                "repositories": len(behind),
                "revisions": sum(head.rev - lacks[head.repo] + 1 for head in behind if head.rev),
                "seconds": max(0.0, (now - oldest).total_seconds()),
            }
        )


NONE = {"commit": None}
