"""The values that the packages exchange. No I/O, no imports of other modules.

Everything that is read is a function of (repository, revision): see `Revision`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

LIVE = 2**31 - 1
"""`to_rev` of a row that no later commit has ended."""

Kind = Literal["concept", "mapping"]
Json = dict[str, Any]


@dataclass(frozen=True, slots=True, order=True)
class Revision:
    """One state of one repository. What is read at it never changes."""

    repo: int  # internal number of a source or collection, never reused
    number: int  # 0 is the empty repository; each commit adds 1


@dataclass(frozen=True, slots=True)
class Head:
    """The revision that a commit writes, its time, and its repository."""

    revision: Revision
    at: datetime  # aware UTC, whole milliseconds; `updated_on` of every row of this commit
    repo: Json  # the repository's document as this transaction sees it


@dataclass(frozen=True, slots=True)
class Row:
    """One state of a concept or mapping, seen by every revision R with from_rev <= R < to_rev."""

    repo: int
    kind: Kind
    url: str
    id: str
    from_rev: int
    to_rev: int  # LIVE: the newest state
    at: datetime
    retired: bool
    body: bytes  # the published JSON, rendered once; b"" when only the header was read
    # the other stored fields (see store/rows.py)
    header: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[int, str]:
        """Its position in commit order, unique within (repo, kind)."""
        return (self.from_rev, self.url)


@dataclass(frozen=True, slots=True)
class Change:
    """One item's new state in a commit."""

    repo: int
    kind: Kind
    url: str
    id: str
    retired: bool
    body: bytes
    header: Json  # filter and sort fields of the new row
    # the living row that this one ends, as read in the same transaction
    replaces: Row | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """Exact numbers of entries at one revision."""

    concepts: int = 0
    mappings: int = 0
    active_concepts: int = 0  # not retired
    active_mappings: int = 0

    def of(self, kind: Kind, *, active: bool = False) -> int:
        """Return the number of entries of this kind."""
        name = f"{kind}s"
        return int(getattr(self, f"active_{name}" if active else name))
