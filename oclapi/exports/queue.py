"""What exports need of a job queue. The truth about a job is in the store; a queue only wakes a
worker.
"""

from typing import Protocol


class ExportQueue(Protocol):
    """Wakes a worker for one version. A token is 32 hex characters and names one job for ever."""

    def reach(self) -> None:
        """Does nothing. Raises QueueUnavailable where the other calls would."""

    def enqueue(self, version_id: str, token: str) -> None:
        """Have a worker build the export of that version under that token. Raises QueueUnavailable:
        then it may or may not run.
        """

    def knows(self, token: str) -> bool:
        """Whether the job waits, or was handed to a worker a moment ago. Raises QueueUnavailable."""

    def cancel(self, token: str) -> None:
        """Forget a job that waits; one that runs, or is unknown, is left alone. Raises
        QueueUnavailable.
        """
