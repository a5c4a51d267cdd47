"""The body of a request: read up to a limit and parsed."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from flask import request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from config.settings import Settings
from oclapi import jsonio, urls
from oclapi.errors import BodyTooLarge, Invalid, UnsupportedMediaType
from oclapi.model import Json
from oclapi.resources.responses import address

CHUNK = 2**20
"""Bytes of a body that are read at once."""

FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
FORM_PARTS = 1000
"""Most parts of a form."""


LARGE = 2**20
"""Size from which bodies are read and parsed one at a time, in bytes."""
_LARGE_BODY = threading.Lock()

SMALL = 64 * 2**10
"""Largest size of a form, and of a body that a client without credentials may send, in bytes."""


def read(settings: Settings) -> Json:
    """Return the JSON object in the body.

    Raises Invalid, UnsupportedMediaType, BodyTooLarge. Call it after the rights were checked, so
    that nothing is received and parsed for a stranger.
    """
    with _turn():
        return _parse(_receive(settings.max_body), settings)


def read_optional(settings: Settings) -> Json:
    """Like `read`, but an empty body is {}."""
    with _turn():
        raw = _receive(settings.max_body)
        return _parse(raw, settings) if raw else {}


def read_flat(settings: Settings, most: int | None = None) -> Json:
    """Like `read`, but a form is accepted too. The first value of a repeated key counts.

    `most` is the largest size in bytes, by default `OCL_MAX_BODY`. A form has at most SMALL bytes.
    """
    is_form = request.mimetype in FORMS
    most = SMALL if is_form else most or settings.max_body
    most = min(most, settings.max_body)
    if not is_form:
        with _turn():
            return _parse(_receive(most), settings)
    raw = _receive(most)
    try:
        parser = FormDataParser(max_form_parts=FORM_PARTS, silent=False)
        _, fields, _ = parser.parse(
            io.BytesIO(raw), request.mimetype, len(raw), request.mimetype_params
        )
    except (ValueError, RequestEntityTooLarge) as error:
        raise Invalid.field("__all__", "this is not a valid form") from error
    return jsonio.object_of(jsonio.dumps(fields.to_dict()), settings.max_depth)


@contextmanager
def _turn() -> Iterator[None]:
    """Wait until no other thread reads a large body: that needs several times its size in memory.

    What is left afterwards is the value, and a large one is refused soon, as no field may be large.
    """
    length = request.content_length
    with _LARGE_BODY if length is None or length > LARGE else nullcontext():
        yield


def _parse(raw: bytes, settings: Settings) -> Json:
    if request.mimetype not in ("", "application/json"):
        raise UnsupportedMediaType(
            f"the body must be application/json, not {request.mimetype[:100]}"
        )
    jsonio.check_values(raw, settings.max_values)
    parsed = jsonio.object_of(raw, settings.max_depth)
    return urls.with_paths(parsed, address(settings))


def _receive(most: int) -> bytes:
    """Return the raw body, which has at most `most` bytes.

    At most one byte more is read. Werkzeug's own limit is not used: it silently truncates a body
    without a Content-Length.
    """
    too_large = BodyTooLarge(f"the body has more than {most} bytes")
    if (request.content_length or 0) > most:
        raise too_large
    chunks, left = [], most
    while chunk := _read_chunk(min(left + 1, CHUNK)):
        left -= len(chunk)
        if left < 0:
            raise too_large
        chunks.append(chunk)
    raw = b"".join(chunks)
    # A truncated body can still be a complete JSON document or form.
    if len(raw) < (request.content_length or 0):
        raise Invalid.field(
            "__all__", f"the body has {len(raw)} bytes, {request.content_length} were announced"
        )
    return raw


def _read_chunk(most: int) -> bytes:
    try:
        return request.stream.read(most)
    except HTTPException:
        raise
    # Servers raise different errors for a truncated or badly framed body. They share no base class.
    except Exception as error:
        raise Invalid.field("__all__", "the body can't be read to its end") from error
