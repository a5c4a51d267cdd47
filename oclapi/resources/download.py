"""Conditional requests and range requests for downloads (RFC 9110, sections 13 and 14)."""

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
    """What a request gets: a status, and the bytes [start, stop) of the file (none for 304)."""

    status: int  # 200, 206 or 304
    start: int = 0
    stop: int = 0


def select(
    method: str, headers: Mapping[str, str], size: int, etag: str, last_modified: datetime
) -> Selected:
    """Choose the response in the order of RFC 9110 section 13.2.2.

    `headers` are those of the request, `etag` is strong and quoted, `last_modified` is aware.
    If-Modified-Since is used only without If-None-Match. A range is used only in a GET whose
    If-Range, if present, matches. Several ranges, other units and malformed ranges give the whole
    file. Raises RangeNotSatisfiable.
    """
    if "If-None-Match" in headers:
        if _none_match_fails(headers["If-None-Match"], etag):
            return Selected(304)
    elif (since := _date(headers.get("If-Modified-Since"))) and _second(last_modified) <= since:
        return Selected(304)
    if (
        method == "GET"
        and "Range" in headers
        and _if_range_matches(headers.get("If-Range"), etag, last_modified)
    ):
        found = one_range(headers["Range"], size)
        if found:
            return Selected(206, *found)
    return Selected(200, 0, size)


def one_range(header: str, size: int) -> tuple[int, int] | None:
    """Return the bytes [start, stop) of a Range header, or None if it must be ignored.

    Raises RangeNotSatisfiable.
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
        """Put Last-Modified back, which Werkzeug removes from a 304.

        A client needs it to update its copy.
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
    disposition: str,
) -> Download:
    """Build the response. It owns `file` (None only for HEAD) and closes it at its end.

    The body is sent in chunks of at most 1 MiB.
    """
    headers = {"ETag": etag, "Last-Modified": http_date(last_modified)}
    body: Iterator[bytes] = iter(())
    if selected.status != 304:
        headers |= {
            "Content-Type": media_type,
            "Content-Disposition": disposition,
            "Content-Length": str(selected.stop - selected.start),
        }
        if method != "HEAD" and file:
            body = content.read(file, selected.start, selected.stop)
    if selected.status == 200:
        headers["Accept-Ranges"] = "bytes"
    elif selected.status == 206:
        headers["Content-Range"] = f"bytes {selected.start}-{selected.stop - 1}/{content.size}"
    response = Download(body, selected.status)
    del response.headers["Content-Type"]  # Flask's default, which a 304 must not have
    response.headers.update(headers)
    if file:
        response.call_on_close(file.close)
    return response


def _none_match_fails(header: str, etag: str) -> bool:
    """Compare weakly: W/"x" and "x" are equal."""
    return header.strip() == "*" or etag in ENTITY_TAGS.findall(header)


def _if_range_matches(header: str | None, etag: str, last_modified: datetime) -> bool:
    """Compare strongly: a weak tag never matches, a date must equal that of the file."""
    if header is None:
        return True
    header = header.strip()
    if header.startswith(('"', "W/")):
        return header == etag
    return _date(header) == _second(last_modified)


def _date(header: str | None) -> datetime | None:
    """Parse a date of HTTP. Return None for other text and for impossible dates."""
    try:
        return parse_date(header)
    except OverflowError:
        return None


def _second(time: datetime) -> datetime:
    return time.replace(microsecond=0)
