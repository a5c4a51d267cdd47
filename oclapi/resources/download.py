"""Conditions and ranges of a download: RFC 9110 sections 13 (conditional requests) and 14 (range
requests).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, Protocol

from flask import Response
from werkzeug.http import http_date, parse_date

from oclapi.errors import RangeNotSatisfiable

ENTITY_TAGS = re.compile(r'(?:W/)?("[^"]*")')
ONE_RANGE = re.compile(r"([0-9]{0,1000})-([0-9]{0,1000})", re.ASCII)


class Content(Protocol):
    """Bytes that can be sent in part (see exports/archive.py)."""

    @property
    def size(self) -> int: ...

    def read(self, file: BinaryIO, start: int = 0, stop: int | None = None) -> Iterator[bytes]: ...


@dataclass(frozen=True, slots=True)
class Selected:
    """What one request gets: a status, and the bytes [start, stop) of the file (none for 304)."""

    status: int  # 200, 206 or 304
    start: int = 0
    stop: int = 0


def select(
    method: str, asked: Mapping[str, str], size: int, etag: str, last_modified: datetime
) -> Selected:
    """Choose the answer in the order of RFC 9110 section 13.2.2.

    `asked` are the request's headers, `etag` is strong and quoted, `last_modified` aware.
    If-Modified-Since counts only without If-None-Match. A range counts only in a GET, when its
    If-Range holds; several ranges, other units and malformed ones give the whole. Raises
    RangeNotSatisfiable.
    """
    if "If-None-Match" in asked:
        if _none_match_fails(asked["If-None-Match"], etag):
            return Selected(304)
    elif (since := _date(asked.get("If-Modified-Since"))) and _second(last_modified) <= since:
        return Selected(304)
    if (
        method == "GET"
        and "Range" in asked
        and _if_range_holds(asked.get("If-Range"), etag, last_modified)
    ):
        found = one_range(asked["Range"], size)
        if found:
            return Selected(206, *found)
    return Selected(200, 0, size)


def one_range(header: str, size: int) -> tuple[int, int] | None:
    """The bytes [start, stop) that a Range header asks for; None when it is to be ignored. Raises
    RangeNotSatisfiable.
    """
    unit, equals, ranges = header.partition("=")
    wanted = [one.strip() for one in ranges.split(",") if one.strip()]
    if unit.strip().lower() != "bytes" or not equals or len(wanted) != 1:
        return None
    match = ONE_RANGE.fullmatch(wanted[0])
    if not match or match.group() == "-":
        return None
    first, last = match.groups()
    if not first:
        if int(last) == 0 or size == 0:
            raise RangeNotSatisfiable(size)
        return max(size - int(last), 0), size
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise RangeNotSatisfiable(size)
    return int(first), min(int(last) + 1, size) if last else size


class Download(Response):
    """A Flask response of file content."""

    def get_wsgi_headers(self, environ: Any) -> Any:
        """Put Last-Modified back: Werkzeug takes it out of a 304, where a client needs it to renew
        what it keeps.
        """
        headers = super().get_wsgi_headers(environ)
        if "Last-Modified" in self.headers:
            headers["Last-Modified"] = self.headers["Last-Modified"]
        return headers


def respond(
    method: str,
    selected: Selected,
    content: Content,
    file: BinaryIO | None,
    etag: str,
    last_modified: datetime,
    media_type: str,
    file_name: str,
) -> Download:
    """Build the answer; it owns `file` (None only for HEAD) and closes it at its end. The body
    comes in pieces of at most 1 MiB.
    """
    headers = {"ETag": etag, "Last-Modified": http_date(last_modified)}
    body: Iterator[bytes] = iter(())
    if selected.status != 304:
        headers |= {
            "Content-Type": media_type,
            "Content-Disposition": f'attachment; filename="{file_name}"',
            "Content-Length": str(selected.stop - selected.start),
        }
        if method != "HEAD" and file:
            body = content.read(file, selected.start, selected.stop)
    if selected.status == 200:
        headers["Accept-Ranges"] = "bytes"
    elif selected.status == 206:
        headers["Content-Range"] = f"bytes {selected.start}-{selected.stop - 1}/{content.size}"
    response = Download(body, selected.status)
    del response.headers["Content-Type"]  # Flask's own guess, which a 304 must not show
    response.headers.update(headers)
    if file:
        response.call_on_close(file.close)
    return response


def _none_match_fails(header: str, etag: str) -> bool:
    """Weak comparison: W/"x" and "x" are the same."""
    return header.strip() == "*" or etag in ENTITY_TAGS.findall(header)


def _if_range_holds(header: str | None, etag: str, last_modified: datetime) -> bool:
    """Strong comparison: a weak tag never holds; a date holds only when it is exactly the file's."""
    if header is None:
        return True
    header = header.strip()
    if header.startswith(('"', "W/")):
        return header == etag
    return _date(header) == _second(last_modified)


def _date(header: str | None) -> datetime | None:
    """A date of HTTP; None for what is none, also for one that no calendar holds."""
    try:
        return parse_date(header)
    except OverflowError:
        return None


def _second(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)
