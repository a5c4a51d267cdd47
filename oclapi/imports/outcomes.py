"""The outcomes of import lines, and the report of an import (contract 16)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from oclapi import times
from oclapi.errors import Forbidden, Invalid, NotAuthenticated, NotFound, OclError, VersionExists
from oclapi.model import Json

Outcome = Literal[
    "created",
    "updated",
    "unchanged",
    "deleted",
    "exists",
    "invalid",
    "permission_denied",
    "not_found",
    "failed",
    "exception",
    "unknown",
    "others",
    "waiting",
]
"""`waiting` is no outcome of the contract: the line is tried again, see run.py."""

REFUSALS: tuple[Outcome, ...] = (
    "invalid",
    "permission_denied",
    "not_found",
    "failed",
    "exception",
    "unknown",
)
"""The outcomes of refused lines."""

STATUS: Mapping[Outcome, int] = {
    "created": 201,
    "updated": 200,
    "unchanged": 200,
    "deleted": 204,
    "exists": 400,
    "invalid": 400,
    "permission_denied": 403,
    "not_found": 404,
    "failed": 400,
    "exception": 500,
    "unknown": 400,
    "others": 200,
    "waiting": 202,
}

TEXT_SHOWN = 300
"""Most characters of a stored message. A line may contain long values."""
TEXTS_SHOWN = 5
"""Most stored messages for one field."""
FIELDS_SHOWN = 20
"""Most fields with stored messages for one line."""


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of a line. `status` is the status of a direct request."""

    line: int  # from 1
    type: str | None  # in the contract's spelling, or as given
    url: str | None
    action: str
    outcome: Outcome
    status: int
    errors: Mapping[str, Sequence[str]] | None = None
    ignored: Sequence[str] = ()  # keys that nothing reads

    def as_json(self) -> Json:
        """Return the entry of `results`."""
        more = {"ignored": list(self.ignored)} if self.ignored else {}
        return {
            "line": self.line,
            "type": self.type,
            "url": self.url,
            "action": self.action,
            "outcome": self.outcome,
            "status": self.status,
            "errors": self.errors,
            **more,
        }


def refused(error: OclError) -> tuple[Outcome, int, Mapping[str, Sequence[str]]]:
    """Return the outcome, status and messages of a line that an edit refused.

    An error that is not caused by the line is raised again.
    """
    messages = kept(error.errors or {"__all__": [error.detail]})
    if isinstance(error, VersionExists):
        return "exists", 409, messages
    if isinstance(error, Invalid):
        return "failed", 400, messages
    if isinstance(error, NotAuthenticated):
        return "permission_denied", 401, messages
    if isinstance(error, Forbidden):
        return "permission_denied", 403, messages
    if isinstance(error, NotFound):
        return "not_found", 404, messages
    raise error


def tried(error: OclError, last: bool) -> tuple[Outcome, int, Mapping[str, Sequence[str]] | None]:
    """Return the same of a line that may be tried again, unless this was its `last` time."""
    if error.waits and not last:
        return "waiting", STATUS["waiting"], None
    return refused(error)


def kept(errors: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Cut messages to their stored length and number."""
    return {
        field[:TEXT_SHOWN]: [text[:TEXT_SHOWN] for text in texts[:TEXTS_SHOWN]]
        for field, texts in list(errors.items())[:FIELDS_SHOWN]
    }


@dataclass(frozen=True, slots=True)
class Report:
    """The progress of an import. Blank lines are not counted.

    Lines that wait to be tried again have no outcome yet, so they are not in `counts`.
    """

    task: str
    started_at: datetime  # of the first run
    counts: Mapping[str, int] = field(default_factory=Counter)
    seconds: float = 0.0  # of this run
    continued: int = 0  # lines that earlier runs had handled
    lines: int = 0  # number of the last line that was read
    waiting: int = 0
    ignored: Mapping[str, Sequence[str]] = field(default_factory=dict)  # by type of line

    @property
    def processed(self) -> int:
        return sum(self.counts.values())

    @property
    def refused(self) -> int:
        """The number of refused lines."""
        return sum(self.counts.get(outcome, 0) for outcome in REFUSALS)

    @property
    def message(self) -> str:
        """One line of counts."""
        counts = ", ".join(
            f"{count} {outcome}" for outcome, count in sorted(self.counts.items()) if count
        )
        return (
            f"{self.processed} processed: {counts}"
            if counts
            else "nothing to do: the input is empty"
        )

    def as_json(self) -> Json:
        """Return the contract's `report`. `total` is the number of lines read so far."""
        ignored = {name: list(keys) for name, keys in self.ignored.items()}
        return {
            "total": self.processed + self.waiting,
            "processed": self.processed,
            **{name: count for name, count in self.counts.items() if count},
            "start_time": times.format(self.started_at),
            "elapsed_seconds": round(self.seconds, 3),
            **({"ignored": ignored} if ignored else {}),
        }
