"""Times as the API shows and reads them (contract 1.3). Pure."""

import functools
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

_FORM = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})"
    r"(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d+))?)?"
    r"(Z|z|[+\- ]\d{2}(?::?\d{2})?)?)?"
)


@dataclass(frozen=True, slots=True)
class Moment:
    """A time from a client."""

    at: datetime  # aware UTC
    whole_seconds: bool  # without a fraction: the client may have truncated it


def now_ms() -> datetime:
    """Return the current time in whole milliseconds, the precision of the store."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


@functools.lru_cache(maxsize=256)  # all rows of a commit share its time
def format(time: datetime) -> str:
    """Format an aware UTC time as `2026-03-04T10:20:30.123Z`."""
    return f"{time.isoformat(timespec='milliseconds')[:23]}Z"


def read(text: str) -> Moment:
    """Read ISO 8601 or epoch milliseconds. Raises ValueError with a readable reason.

    ISO 8601 may have `Z`, an offset or none (UTC), and `T` or a space. Seconds, fraction and the
    whole time are optional. A `+` of an offset that arrived as a space is accepted. Fractions are
    truncated to microseconds.
    """
    if text.isascii() and text.isdigit():
        return Moment(_epoch(text), whole_seconds=False)
    found = _FORM.fullmatch(text)
    if not found or not text.isascii():
        raise ValueError(
            "not a date: give ISO 8601 such as 2026-03-04T10:20:30.123Z, or epoch milliseconds"
        )
    year, month, day, hour, minute, second, fraction, offset = found.groups()
    micros = int((fraction or "0")[:6].ljust(6, "0"))
    try:
        local = datetime(
            int(year),
            int(month),
            int(day),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            micros,
            _zone(offset),
        )
        return Moment(local.astimezone(UTC), whole_seconds=fraction is None)
    except (ValueError, OverflowError) as error:
        raise ValueError("not a date: this day or time does not exist") from error


def _epoch(text: str) -> datetime:
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
            milliseconds=int(text.lstrip("0")[:20] or 0)
        )
    except OverflowError as error:
        raise ValueError("not a date: epoch milliseconds end with the year 9999") from error


def _zone(offset: str | None) -> timezone:
    if offset in (None, "Z", "z"):
        return UTC
    assert offset is not None
    hours, minutes = int(offset[1:3]), int(offset[3:].lstrip(":") or 0)
    if hours > 23 or minutes > 59:
        raise ValueError("an offset must be less than a day")
    ahead = timedelta(hours=hours, minutes=minutes)
    return timezone(-ahead if offset[0] == "-" else ahead)
