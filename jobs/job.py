"""What all jobs do: claim their work, report that they are alive, and tell why they failed."""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from config.logging import belongs_to
from oclapi.errors import OclError, Overtaken

log = logging.getLogger(__name__)

BEAT = 1.0  # seconds between heartbeats


class Record(Protocol):
    """Where the state of one job is stored.

    Its methods raise Overtaken when another job has replaced it.

    See oclapi/store/jobs.py.
    """

    def claim(self, now: datetime) -> None: ...

    def report(self, processed: int, now: datetime) -> None: ...

    def fail(self, text: str, now: datetime) -> None: ...


class Heartbeat:
    """Stores about once a second that the job is alive, and its progress.

    A call raises Overtaken when the job was cancelled or replaced.
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        self._last = time.monotonic()
        self.processed = 0  # entries

    def __call__(self) -> None:
        if time.monotonic() - self._last >= BEAT:
            self._record.report(self.processed, datetime.now(UTC))
            self._last = time.monotonic()


def run(token: str, record: Record, work: Callable[[Heartbeat], None]) -> bool:
    """Claim a job, and do its work. Returns whether it could be claimed.

    A failure is stored as one line and raised again. A job that was cancelled or replaced stops
    without one.
    """
    belongs_to(job=token)
    claimed = False
    try:
        record.claim(datetime.now(UTC))
        claimed = True
        work(Heartbeat(record))
    except Overtaken as error:
        log.info("job stopped", extra={"job": token, "reason": error.detail})
    except Exception as error:  # every failure is reported to those who wait for the job
        text = reason(error)
        try:
            record.fail(text, datetime.now(UTC))
            log.error("job failed", extra={"job": token, "reason": text})
        except Overtaken:
            log.info("an obsolete job failed", extra={"job": token, "reason": text})
        raise
    return claimed


def reason(error: Exception) -> str:
    """Describe an error in one line, without paths or other internals."""
    if isinstance(error, OclError):
        return error.detail.splitlines()[0]
    if isinstance(error, OSError) and error.strerror:
        return f"the archive could not be written: {error.strerror}"
    return f"internal server error ({type(error).__name__})"
