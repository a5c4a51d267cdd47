"""The job queue on Redis, spoken through RQ."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.job import Job, JobStatus
from rq.utils import now

from oclapi.errors import QueueUnavailable

EXPORTS = "exports"
PATIENCE = 2  # seconds for one answer of Redis
LONGEST_JOB = 6 * 3600  # seconds
KEEP_FAILED = 24 * 3600  # seconds; the reason is in the store as well
HANDED_OVER = timedelta(seconds=30)  # from a worker taking a job to the job's first sign of life in the store


class RQExportQueue:
    """An ExportQueue. Opens no connection before its first use."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE, retry=Retry(NoBackoff(), 1))
        self._queue = Queue(EXPORTS, connection=self._redis)

    def reach(self) -> None:
        with _told():
            self._redis.ping()

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

    def knows(self, token: str) -> bool:
        """Cost: two round trips, some more in the moment in which a worker takes the job."""
        with _told():
            try:
                job = Job.fetch(token, connection=self._redis)
                if job.get_status(refresh=False) == JobStatus.QUEUED:
                    if self._queue.get_job_position(token) is not None or self._being_taken(token):
                        return True
                    job = Job.fetch(token, connection=self._redis)  # it may have begun between the looks
            except NoSuchJobError:
                return False
            return job.started_at is not None and job.ended_at is None and now() - job.started_at < HANDED_OVER

    def _being_taken(self, token: str) -> bool:
        """A worker moved the job out of the queue and has not begun it. One that died there leaves it for ever: hence the time."""
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


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise QueueUnavailable("the job queue can't be reached; nothing was started") from error
