"""The interface to a job queue.

The jobs, and the order in which they are done, are in the store. The queue only wakes workers: a
worker that wakes builds the export that is next. So a lost or needless wake does no harm.
"""

from typing import Protocol


class ExportQueue(Protocol):
    """Wakes the workers that build exports. All methods raise QueueUnavailable."""

    def reach(self) -> None:
        """Check that the queue is up."""

    def wake(self, *, urgent: bool) -> None:
        """Wake a worker for one more export. `urgent`: also one that builds only urgent exports.

        After QueueUnavailable a worker may or may not wake.
        """

    def refill(self, queued: int, urgent: int) -> None:
        """Wake workers for this many exports, unless enough wakes are in the queue already.

        `urgent` is the number of urgent ones among them.
        """
