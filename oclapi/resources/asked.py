"""What a request says: its query parameters and its body, checked or refused."""

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Literal, TypeVar

from flask import request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from config.settings import Settings
from oclapi import jsonio, times
from oclapi.errors import BodyTooLarge, BodyTypeNotAccepted, Invalid
from oclapi.model import Json

PIECE = 2**20
"""Bytes of a body that are read at once."""
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
FORM_PARTS = 1000
"""Parts that a form may have."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
ALTERNATIVE = re.compile(r'\s*"([^"]*)"\s*(?:,|$)|([^,]+)')
LAST_UPDATE: dict[str, Literal["lastUpdate"]] = {
    "lastUpdate": "lastUpdate",
    "last_update": "lastUpdate",
    "lastUpdated": "lastUpdate",
}
BEST_MATCH: dict[str, Literal["bestMatch"]] = {"bestMatch": "bestMatch", "best_match": "bestMatch"}
"""Spellings of sorts that several listings have."""

Field = TypeVar("Field", bound=str)


def text(name: str) -> str | None:
    """A query parameter; None when it is absent or empty."""
    return request.args.get(name) or None


def flag(name: str) -> bool | None:
    """A boolean query parameter; None when it is absent. Raises Invalid."""
    given = text(name)
    if given is None:
        return None
    if given.lower() not in BOOLEANS:
        raise Invalid.field(name, "must be true or false")
    return BOOLEANS[given.lower()]


def number(name: str, *, low: int = 0) -> int | None:
    """A whole number in a query parameter; None when it is absent. Raises Invalid."""
    given = text(name)
    if given is None:
        return None
    if not re.fullmatch(r"[0-9]{1,100}", given, re.ASCII) or int(given) < low:
        raise Invalid.field(name, f"must be a whole number of at least {low}")
    return int(given)


def moment(name: str) -> times.Moment | None:
    """A moment in a query parameter, 1970 for all that are earlier; None when it is absent. Raises
    Invalid.
    """
    given = text(name)
    if given is None:
        return None
    try:
        found = times.read(given)
    except ValueError as error:
        raise Invalid.field(name, str(error)) from error
    return found if found.at > EPOCH else times.Moment(EPOCH, whole_seconds=False)


def order(spellings: Mapping[str, Field], default: tuple[Field, bool]) -> tuple[Field, bool]:
    """The field that the request sorts by, and whether the largest come first. Raises Invalid for
    an unknown field.
    """
    found = default
    for name in ("sortAsc", "sortDesc"):  # of both given, the second wins
        given = text(name)
        if given is not None:
            if given not in spellings:
                raise Invalid.field(
                    name,
                    f"this list can be sorted by {', '.join(dict.fromkeys(spellings.values()))}",
                )
            found = spellings[given], name == "sortDesc"
    return found


def no_order() -> None:
    """Raise Invalid where the request names a field to sort by: this list has one order only."""
    for name in ("sortAsc", "sortDesc"):
        if request.args.get(name):
            raise Invalid.field(name, "this list has one order, it can't be sorted by a field")


def wants_facets() -> bool:
    """Did the request ask for facets beside the results?"""
    return request.headers.get("includeFacets", "").strip().lower() in ("true", "1")


def body(settings: Settings) -> Json:
    """The request's JSON object. Raises Invalid, BodyTypeNotAccepted, BodyTooLarge."""
    return _object(_raw(settings), settings)


def optional_body(settings: Settings) -> Json:
    """As `body`; an empty one is {}."""
    raw = _raw(settings)
    return _object(raw, settings) if raw else {}


def flat_body(settings: Settings) -> Json:
    """As `body`, for bodies without lists and objects in them: a form is taken too. Of a key given
    twice the first counts.
    """
    if request.mimetype not in FORMS:
        return body(settings)
    raw = _raw(settings)
    try:
        reader = FormDataParser(max_form_parts=FORM_PARTS, silent=False)
        _, fields, _ = reader.parse(
            io.BytesIO(raw), request.mimetype, len(raw), request.mimetype_params
        )
    except (ValueError, RequestEntityTooLarge) as error:
        raise Invalid.field("__all__", "this is not a valid form") from error
    return jsonio.object_of(jsonio.dumps(fields.to_dict()), settings.max_depth)


def _object(raw: bytes, settings: Settings) -> Json:
    if request.mimetype not in ("", "application/json"):
        raise BodyTypeNotAccepted(
            f"the body must be application/json, not {request.mimetype[:100]}"
        )
    return jsonio.object_of(raw, settings.max_depth)


def _raw(settings: Settings) -> bytes:
    """The body as it came, read no further than the limit. Werkzeug's own limit cuts a body of
    untold length without a word.
    """
    most = settings.max_body
    too_large = BodyTooLarge(f"the body has more than {most} bytes")
    if (request.content_length or 0) > most:
        raise too_large
    pieces, left = [], most
    while piece := _piece(min(left + 1, PIECE), settings):
        left -= len(piece)
        if left < 0:
            raise too_large
        pieces.append(piece)
    raw = b"".join(pieces)
    # what was cut off on its way can be whole JSON, or a whole form, all the same
    if len(raw) < (request.content_length or 0):
        raise Invalid.field(
            "__all__", f"the body has {len(raw)} bytes, {request.content_length} were announced"
        )
    return raw


def leave_nothing(settings: Settings) -> None:
    """Read what is left of the body before the answer is sent, but no more than a body may have.

    Many clients send the whole body before they look for an answer, and see a broken connection in
    place of a 401 or 413.
    """
    left = settings.max_body
    try:
        while left > 0 and (piece := _piece(min(left, PIECE), settings)):
            left -= len(piece)
    except (Invalid, HTTPException):  # what is wrong with the body does not change the answer
        return


def _piece(most: int, settings: Settings) -> bytes:
    try:
        with _patience(settings.body_silence):
            return request.stream.read(most)
    except HTTPException:
        raise
    # servers have errors of their own, of no common kind, for a body that is cut off or badly
    # framed
    except Exception as error:
        raise Invalid.field("__all__", "the body can't be read to its end") from error


@contextmanager
def _patience(silence: int) -> Iterator[None]:
    """Wait so many seconds for the next bytes of a body, not for ever: whoever sends none holds a
    thread of the server.
    """
    connection = request.environ.get("gunicorn.socket")
    if connection is None:
        yield
        return
    before = connection.gettimeout()
    connection.settimeout(silence)
    try:
        yield
    finally:
        connection.settimeout(before)


def alternatives(name: str) -> list[str] | None:
    """The values of a filter parameter, any of which may match; None without it. A value in double
    quotes may hold commas.
    """
    given = text(name)
    if given is None:
        return None
    return [
        quoted or plain.strip()
        for quoted, plain in ALTERNATIVE.findall(given)
        if quoted or plain.strip()
    ]
