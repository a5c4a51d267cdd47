"""Keeping the search index up to date: the job that brings one repository's copy further, and the
watch that starts such jobs.
"""

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

SLICE = 1.0  # seconds of work for one repository when others wait
SLICE_ROWS = 10_000
LONGEST = 5.0  # seconds of work when nobody waits: the worker may be told to end
LEASE = timedelta(seconds=10)  # after it, somebody else may follow a repository whose job died

COMPARE = 10.0  # seconds from one comparison of all markers with all heads to the next
# how much later than its time a commit may become visible; the comparison finds even later ones
MARGIN = timedelta(seconds=15)
SETTLE = 1.0  # seconds until what a job wrote can be seen by searches
AT_ONCE = 200  # jobs that one comparison starts; the next one comes soon then
# changes of a commit at most that is indexed before larger ones, and commits that are looked at for
# that
EDIT = 100
MANY = 20  # markers that are asked for one by one
AWAY = 2.0  # seconds until an engine or a queue that failed is asked again


def index_repository(number: int, upto: int | None = None) -> None:
    """RQ job: bring the search index of that repository further, for a while; the watch starts
    another while it is behind.

    `upto`: the revision that it ends with, for jobs that others wait behind. Safe to run twice,
    late or beside itself: see search/follow.py. A repository that is gone is forgotten. An engine
    that is away ends the job without noise: the watch tells, and starts it again.
    """
    belongs_to(job=f"index-{number}")
    s = services()
    if s.solr is None:
        return
    # the index would be right without it, but the work would be done twice
    with s.store.leases.holding(lease_of(number), LEASE) as ours:
        if ours:
            _follow(s, s.solr, number, upto)


def index_commits(number: int, revisions: list[int]) -> None:
    """RQ job: let words find these commits of a repository whose earlier ones are still being
    indexed. Safe to lose, or to run twice.
    """
    belongs_to(job=f"edits-{number}")
    s = services()
    if s.solr is None:
        return
    try:
        # a reindex waits for whoever writes
        with s.store.leases.holding(f"{lease_of(number)}-edits", LEASE) as ours:
            if ours:
                Follower(s.store, s.solr).index_early(number, revisions)
                log.info(
                    "indexed before its turn", extra={"repo": number, "revisions": len(revisions)}
                )
    except (Overtaken, NotFound, SearchUnavailable) as error:
        log.info("index job stopped", extra={"repo": number, "rows": 0, "reason": error.detail})


def lease_of(number: int) -> str:
    """The lease that a running job of this repository holds."""
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
    """Sees which repositories the index is behind with, and queues a job for each: among the edits
    where there is little to do.

    Where there is much, or a job runs already, small new commits get a job of their own, so that
    words find them soon. What was lost on the way (a job, a worker, the queue, the index itself) is
    seen by the next comparison. A failure of the engine or of the queue is logged once, not at each
    look.
    """

    def __init__(
        self, s: Services, solr: SolrIndex, queue: RQIndexQueue, edits: RQIndexQueue
    ) -> None:
        self._s, self._solr, self._queue, self._edits = s, solr, queue, edits
        self._follower = Follower(s.store, solr)
        self._newest: datetime | None = None  # time of the newest change seen
        # by repository: a revision, and when to look at its marker again
        self._settled: dict[int, tuple[int, float]] = {}
        # by repository that is behind: the newest revision that was looked at for edits
        self._hurried: dict[int, int] = {}
        self._compared = -1  # the last repository that a comparison started
        # those whose commit was found in the log, with the head of that moment
        self._trusted: dict[Marker, RepoHead] = {}
        self._compare_at = 0.0  # time.monotonic() of the next comparison
        self._away = False
        self._ask_at = 0.0  # time.monotonic() before which nothing is asked

    def look(self, now: datetime) -> None:
        """One look at what changed since the last; now and then a comparison of everything. Cost:
        one small query where nothing did.
        """
        if time.monotonic() < self._ask_at:
            return
        try:
            if self._away:
                self._solr.ensure()
            if self._newest is None or time.monotonic() >= self._compare_at:
                self._compare(now)
            else:
                self._attend(self._s.store.change_log.changed_since(self._newest - MARGIN))
            if self._away:
                log.info("the index is followed again")
                self._away = False
        except (SearchUnavailable, QueueUnavailable) as error:
            if not self._away:
                log.warning("the index waits", extra={"reason": error.detail})
                self._s.store.index_notes.set_lag({"at": now, "away": True})
            self._away = True
            self._compare_at, self._ask_at = 0.0, time.monotonic() + AWAY

    def _attend(self, heads: Iterable[RepoHead]) -> None:
        """Start jobs for those of these repositories whose marker is not at the head."""
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
                self._hurry(head, reached)

    def _is_settled(self, head: RepoHead) -> bool:
        rev, again = self._settled.get(head.repo, (-1, 0.0))
        return rev == head.rev and time.monotonic() < again

    def _is_little(self, repo: int, after: int, upto: int) -> bool:
        return (
            upto - after <= EDIT
            and sum(changes for _, changes in self._s.store.change_log.sizes(repo, after, upto))
            <= EDIT
        )

    def _hurry(self, head: RepoHead, reached: int) -> None:
        """Queue the edits among the commits that came since the last look at this repository."""
        after = max(self._hurried.get(head.repo, 0), reached, head.rev - EDIT)
        small = [
            rev
            for rev, changes in self._s.store.change_log.sizes(head.repo, after, head.rev)
            if changes <= EDIT
        ]
        if small:
            self._edits.enqueue_commits(head.repo, small)
        self._hurried[head.repo] = head.rev

    def _is_followed(self, repo: int) -> bool:
        """Whether a job runs: it may see what is new, or not."""
        return self._s.store.leases.taken(lease_of(repo), datetime.now(UTC))

    def _compare(self, now: datetime) -> None:
        """All markers with all heads: start jobs for what is behind, drop what is gone, tell the
        lag.
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
        self._hurried = {
            head.repo: rev for head in behind if (rev := self._hurried.get(head.repo)) is not None
        }
        # each has its turn
        for head in ([head for head in behind if head.repo > self._compared] or behind)[:AT_ONCE]:
            if not self._is_followed(head.repo):
                self._queue.enqueue(head.repo)
            self._compared = head.repo
        self._compare_at = time.monotonic() + (COMPARE if len(behind) <= AT_ONCE else SETTLE)
        self._tell(behind, trusted, now)

    def _trust(self, markers: dict[int, Marker], heads: Iterable[RepoHead]) -> dict[int, Marker]:
        """The markers that tell of this store's own log, by repository. One is looked up again when
        its repository was written to: a log that was put back from a backup has lost it, or has
        another commit of that number.
        """
        identity = self._s.store.index_notes.identity()
        ours = {
            head: marker
            for head in heads
            if (marker := markers.get(head.repo)) and marker.store == identity
        }
        unknown = [marker for head, marker in ours.items() if self._trusted.get(marker) != head]
        log_entries = self._s.store.change_log.revisions(
            [(marker.repo, marker.rev) for marker in unknown if marker.rev]
        )
        strange = {
            marker
            for marker in unknown
            if marker.commit != (log_entries.get(marker.repo, NONE)["commit"] if marker.rev else "")
        }
        self._trusted = {marker: head for head, marker in ours.items() if marker not in strange}
        return {marker.repo: marker for marker in self._trusted}

    def _tell(self, behind: list[RepoHead], markers: dict[int, Marker], now: datetime) -> None:
        """How far the index is behind, for /metrics: revisions, and seconds since the oldest that
        it lacks was made.
        """
        lacks = {
            head.repo: markers[head.repo].rev + 1 if head.repo in markers else min(1, head.rev)
            for head in behind
        }
        made = self._s.store.change_log.revisions(
            [(repo, rev) for repo, rev in lacks.items() if rev]
        )
        oldest = min((found["at"] for found in made.values()), default=now)
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
