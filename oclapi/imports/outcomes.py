"""What became of each line of an import, and of an import as a whole (contract 16). Pure."""

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
]

REFUSALS: tuple[Outcome, ...] = (
    "invalid",
    "permission_denied",
    "not_found",
    "failed",
    "exception",
    "unknown",
)
"""The outcomes of lines that were to change something and did not."""

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
}

TEXT_SHOWN = 300
"""Characters of one message that are kept: a line may hold long values, and all lines of a commit
are kept together.
"""
TEXTS_SHOWN = 5
"""Messages that are kept for one field."""
FIELDS_SHOWN = 20
"""Fields with messages that are kept for one line."""


@dataclass(frozen=True, slots=True)
class Result:
    """The one outcome of a line. `status` is what a direct call would answer."""

    line: int  # from 1
    type: str | None  # as the contract writes it, or as it was given
    url: str | None
    action: str
    outcome: Outcome
    status: int
    errors: Mapping[str, Sequence[str]] | None = None

    def as_json(self) -> Json:
        """An entry of `results`, with its outcome."""
        return {
            "line": self.line,
            "type": self.type,
            "url": self.url,
            "action": self.action,
            "outcome": self.outcome,
            "status": self.status,
            "errors": self.errors,
        }


def refused(error: OclError) -> tuple[Outcome, int, Mapping[str, Sequence[str]]]:
    """The outcome, status and messages of a line that an edit refused; a failure that is not the
    line's own is raised again.
    """
    told = kept(error.errors or {"__all__": [error.detail]})
    if isinstance(error, VersionExists):
        return "exists", 409, told
    if isinstance(error, Invalid):
        return "failed", 400, told
    if isinstance(error, NotAuthenticated):
        return "permission_denied", 401, told
    if isinstance(error, Forbidden):
        return "permission_denied", 403, told
    if isinstance(error, NotFound):
        return "not_found", 404, told
    raise error


def kept(errors: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Messages cut to what is kept."""
    return {
        field[:TEXT_SHOWN]: [text[:TEXT_SHOWN] for text in texts[:TEXTS_SHOWN]]
        for field, texts in list(errors.items())[:FIELDS_SHOWN]
    }


@dataclass(frozen=True, slots=True)
class Report:
    """How far an import came. Blank lines are not counted."""

    task: str
    started_at: datetime  # of the first run, when the import was continued
    counts: Mapping[str, int] = field(default_factory=Counter)
    seconds: float = 0.0  # of this run
    continued: int = 0  # lines of the input that earlier runs had handled

    @property
    def processed(self) -> int:
        return sum(self.counts.values())

    @property
    def refused(self) -> int:
        """Lines that were to change something and did not."""
        return sum(self.counts.get(outcome, 0) for outcome in REFUSALS)

    @property
    def message(self) -> str:
        """One line of counts."""
        told = ", ".join(
            f"{count} {outcome}" for outcome, count in sorted(self.counts.items()) if count
        )
        return (
            f"{self.processed} processed: {told}" if told else "nothing to do: the input is empty"
        )

    def as_json(self) -> Json:
        """The contract's `report`; `total` is what was read so far."""
        return {
            "total": self.processed,
            "processed": self.processed,
            **{name: count for name, count in self.counts.items() if count},
            "start_time": times.show(self.started_at),
            "elapsed_seconds": round(self.seconds, 3),
        }
