"""The interface to a job queue.

The state of a job is in the store. The queue only wakes a worker.
"""

from typing import Protocol

from oclapi.model import ExportKey


class ExportQueue(Protocol):
    """Queues export jobs. A token of 32 hex characters names one job and is never used again."""

    def reach(self) -> None:
        """Check that the queue is up. Raises QueueUnavailable otherwise."""

    def enqueue(self, key: ExportKey, token: str) -> None:
        """Queue the job of an export.

        Raises QueueUnavailable. The job may or may not run then.
        """

    def knows(self, token: str) -> bool:
        """Return whether the job is queued or has just started. Raises QueueUnavailable."""

    def cancel(self, token: str) -> None:
        """Remove a queued job. A running or unknown job is ignored. Raises QueueUnavailable."""
