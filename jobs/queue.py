"""The job queue on Redis, spoken through RQ."""

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
INDEX = "index"
EDITS = "edits"
"""Index jobs with little to do, which do not wait behind those with much."""
PATIENCE = 2  # seconds for one answer of Redis
LONGEST_JOB = 6 * 3600  # seconds
KEEP_FAILED = 24 * 3600  # seconds; the reason is in the store as well
# from a worker taking a job to the job's first sign of life in the store
HANDED_OVER = timedelta(seconds=30)
INDEX_TURN = timedelta(seconds=10)  # the same for an index job; after that its lease tells


class RQQueue:
    """One queue of named jobs. Opens no connection before its first use."""

    def __init__(self, url: str, name: str) -> None:
        self._redis = Redis.from_url(
            url,
            socket_timeout=PATIENCE,
            socket_connect_timeout=PATIENCE,
            retry=Retry(NoBackoff(), 1),
        )
        self._queue = Queue(name, connection=self._redis)
        self.name = name

    def reach(self) -> None:
        with _told():
            self._redis.ping()

    def knows(self, token: str, begun: timedelta = HANDED_OVER) -> bool:
        """Whether the job waits here, or began less than `begun` ago and has not ended.

        Cost: two round trips, some more in the moment in which a worker takes the job.
        """
        with _told():
            try:
                job = Job.fetch(token, connection=self._redis)
                if job.get_status(refresh=False) == JobStatus.QUEUED:
                    if self._queue.get_job_position(token) is not None or self._being_taken(token):
                        return True
                    # it may have begun between the looks
                    job = Job.fetch(token, connection=self._redis)
            except NoSuchJobError:
                return False
            return (
                job.started_at is not None
                and job.ended_at is None
                and now() - job.started_at < begun
            )

    def _being_taken(self, token: str) -> bool:
        """A worker moved the job out of the queue and has not begun it. One that died there leaves
        it for ever: hence the time.
        """
        between = self._queue.intermediate_queue
        if token not in between.get_job_ids():
            return False
        between.set_first_seen(token)
        first_seen = between.get_first_seen(token)
        return first_seen is not None and now() - first_seen < HANDED_OVER

    def cancel(self, token: str) -> None:
        with _told():
            try:
                job = Job.fetch(token, connection=self._redis)
            except NoSuchJobError:
                return
            if job.get_status(refresh=False) == JobStatus.QUEUED:
                job.delete()


class RQExportQueue(RQQueue):
    """An ExportQueue."""

    def __init__(self, url: str) -> None:
        super().__init__(url, EXPORTS)

    def enqueue(self, version_id: str, token: str) -> None:
        """By name, so that no request imports a job."""
        with _told():
            self._queue.enqueue_call(
                "jobs.export.build_export",
                (version_id, token),
                job_id=token,
                timeout=LONGEST_JOB,
                result_ttl=0,
                failure_ttl=KEEP_FAILED,
                description=f"export of version {version_id}",
            )


class RQIndexQueue(RQQueue):
    """Jobs that bring the index of one repository up to date: at most one of a repository waits.
    INDEX or EDITS by name.
    """

    def enqueue(self, repo: int, upto: int | None = None) -> bool:
        """False when a job for that repository waits already or has just begun: it may see what is
        new, or not.

        `upto`: as for the job.
        """
        return self._add(f"{self.name}-{repo}", "jobs.index.index_repository", repo, upto)

    def enqueue_commits(self, repo: int, revisions: Sequence[int]) -> bool:
        """Have these commits indexed before their turn. False as for `enqueue`."""
        return self._add(
            f"{self.name}-{repo}-{revisions[-1]}", "jobs.index.index_commits", repo, list(revisions)
        )

    def _add(self, token: str, function: str, repo: int, *more: Any) -> bool:
        if self.knows(token, INDEX_TURN):
            return False
        with _told():
            # what is left of it belongs to a worker that died, or to a failure
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


def others_wait() -> bool:
    """Whether jobs wait behind the one that asks; never for a job that is called as a function."""
    job = get_current_job()
    with _told():
        return job is not None and Queue(job.origin, connection=job.connection).count > 0


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise QueueUnavailable("the job queue can't be reached; nothing was started") from error
