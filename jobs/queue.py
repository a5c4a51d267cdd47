"""The job queues on Redis, accessed through RQ."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue, get_current_job
from rq.exceptions import DuplicateJobError, NoSuchJobError
from rq.job import Job, JobStatus
from rq.utils import now

from oclapi.errors import QueueUnavailable

EXPORTS = "exports"
URGENT_EXPORTS = "exports-urgent"
"""Wakes a worker that builds only small exports that somebody asked for."""
INDEX = "index"
EDITS = "edits"
"""Small index jobs, which do not wait behind large ones."""
PATIENCE = 2  # seconds for one response of Redis
LONGEST_JOB = 6 * 3600  # seconds
KEEP_FAILED = 24 * 3600  # seconds; the store has the reason too
# Most time between a worker taking an index job and the lease of the job.
HANDED_OVER = timedelta(seconds=10)
MOST_WAKES = 100  # more than workers use between two ticks


class RQExportQueue:
    """An ExportQueue. No connection is opened before its first use."""

    def __init__(self, url: str) -> None:
        self._redis = connection(url)
        self._queues = {
            False: Queue(EXPORTS, connection=self._redis),
            True: Queue(URGENT_EXPORTS, connection=self._redis),
        }

    def reach(self) -> None:
        with translate_errors():
            self._redis.ping()

    def wake(self, *, urgent: bool) -> None:
        if urgent:
            self._wake(urgent=True)
        self._wake(urgent=False)

    def refill(self, queued: int, urgent: int) -> None:
        for only_urgent, number in ((True, urgent), (False, queued)):
            if number:
                with translate_errors():
                    present = self._queues[only_urgent].count
                for _ in range(min(number, MOST_WAKES) - present):
                    self._wake(urgent=only_urgent)

    def _wake(self, *, urgent: bool) -> None:
        """Queue a job that builds one export. It is named by a string: no request imports it."""
        with translate_errors():
            self._queues[urgent].enqueue_call(
                "jobs.export.build_next",
                kwargs={"urgent": urgent},
                timeout=LONGEST_JOB,
                result_ttl=0,
                failure_ttl=KEEP_FAILED,
                description="the next urgent export" if urgent else "the next export",
            )


class RQIndexQueue:
    """A queue of index jobs, INDEX or EDITS. At most one job of a repository is queued.

    No connection is opened before its first use.
    """

    def __init__(self, url: str, name: str) -> None:
        self._redis = connection(url)
        self._queue = Queue(name, connection=self._redis)
        self.name = name

    def knows(self, token: str) -> bool:
        """Return whether the job is queued, or has just started and not ended yet.

        Cost: two round trips, and a few more while a worker takes the job.
        """
        with translate_errors():
            try:
                job = Job.fetch(token, connection=self._redis)
                if job.get_status(refresh=False) == JobStatus.QUEUED:
                    if self._queue.get_job_position(token) is not None or self._being_taken(token):
                        return True
                    # It may have started between the two requests.
                    job = Job.fetch(token, connection=self._redis)
            except NoSuchJobError:
                return False
            return (
                job.started_at is not None
                and job.ended_at is None
                and now() - job.started_at < HANDED_OVER
            )

    def _being_taken(self, token: str) -> bool:
        """Return whether a worker has taken the job from the queue and not started it yet.

        A worker that died in between leaves the job there for ever, so the time is limited.
        """
        between = self._queue.intermediate_queue
        if token not in between.get_job_ids():
            return False
        between.set_first_seen(token)
        first_seen = between.get_first_seen(token)
        return first_seen is not None and now() - first_seen < HANDED_OVER

    def enqueue(self, repo: int, upto: int | None = None) -> bool:
        """Queue an index job. `upto` is the last revision to index.

        Returns False when a job for that repository is queued already or has just started. That job
        may or may not see the newest revision.
        """
        return self._add(f"{self.name}-{repo}", "jobs.index.index_repository", repo, upto)

    def enqueue_commits(self, repo: int, revisions: Sequence[int]) -> bool:
        """Queue a job that indexes these commits early. Returns False like `enqueue`."""
        return self._add(
            f"{self.name}-{repo}-{revisions[-1]}", "jobs.index.index_commits", repo, list(revisions)
        )

    def _add(self, token: str, function: str, repo: int, *more: Any) -> bool:
        if self.knows(token):
            return False
        with translate_errors():
            # A remaining job of that name belongs to a dead worker, or has failed.
            with suppress(NoSuchJobError):
                Job.fetch(token, connection=self._redis).delete()
            try:
                self._queue.enqueue_call(
                    function,
                    (repo, *more),
                    job_id=token,
                    timeout=LONGEST_JOB,
                    result_ttl=0,
                    failure_ttl=KEEP_FAILED,
                    description=f"index of repository {repo}",
                    unique=True,
                )
            except DuplicateJobError:
                return False
        return True


def connection(url: str) -> "Redis":
    """Return a client of Redis that opens no connection before its first use."""
    return Redis.from_url(
        url,
        socket_timeout=PATIENCE,
        socket_connect_timeout=PATIENCE,
        retry=Retry(NoBackoff(), 1),
    )


def others_wait() -> bool:
    """Return whether other jobs wait in the queue of the current job.

    It is False when a job is called as a function.
    """
    job = get_current_job()
    with translate_errors():
        return job is not None and Queue(job.origin, connection=job.connection).count > 0


@contextmanager
def translate_errors() -> Iterator[None]:
    """Re-raise errors of Redis as QueueUnavailable."""
    try:
        yield
    except RedisError as error:
        raise QueueUnavailable("the job queue can't be reached; nothing was started") from error
