"""Paths of requests: read from the raw request line, decoded once, and matched by converters.

A query string that a known client gets wrong is repaired here too.
"""

import re
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

from werkzeug.routing import BaseConverter, ValidationError

from oclapi import urls
from oclapi.bodies import RESERVED_USERS

SECOND_QUERY = re.compile(r"\?limit=(?=\d*$)")
PACKED = "packed="
"""The parameter with a packed query. Clients may add parameters behind it."""
PACKED_MORE = 1024
"""Bytes by which a packed query may be longer than a request line: a link adds parameters."""
BROKEN = "oclapi.broken_path"
"""The key of the environment whose value says what is wrong with the path, if it is not valid."""
BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
SIGNED = "/exports/"
"""Prefix of signed links. Their paths end in a file name, without a slash."""


class RawPaths:
    """WSGI middleware that decodes the raw path of a request for the router.

    Servers decode the path before the router splits it, so an id with an encoded slash would become
    two segments. Here each segment is decoded by itself, and only slashes and percent signs stay
    encoded. The raw path is in RAW_URI. A path that can't be decoded is marked with BROKEN.

    Paths arrive with and without a slash at the end. The router gets one form only: it would not
    know the methods of the other form.
    """

    def __init__(self, app: Callable[..., Iterable[bytes]], longest: int) -> None:
        """`longest` is the largest size of a request line, in bytes."""
        self._app = app
        self._longest = longest + PACKED_MORE

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        raw = environ.get("RAW_URI") or environ.get("REQUEST_URI")
        if raw:
            path = raw.partition("?")[0]
            if not path.startswith("/"):
                path = urlsplit(path).path or "/"  # the absolute form, which proxies send
            try:
                environ["PATH_INFO"] = _with_final_slash(
                    _decode(_below(environ.get("SCRIPT_NAME", ""), path))
                )
            except ValueError as error:
                environ[BROKEN], environ["PATH_INFO"] = str(error), "/"
        query = unpacked(environ.get("QUERY_STRING", ""), self._longest)
        environ["QUERY_STRING"] = query
        if "?limit=" in query:  # A known client appends a parameter with a second question mark.
            environ["QUERY_STRING"] = SECOND_QUERY.sub("&limit=", query)
        return self._app(environ, start_response)


def packed(query: str) -> str:
    """Return a query string as a single compressed parameter, for links that would be too long."""
    return PACKED + urlsafe_b64encode(zlib.compress(query.encode(), 9)).decode().rstrip("=")


def unpacked(query: str, longest: int) -> str:
    """Return the query string that was packed, and what follows it, or any other one unchanged.

    A parameter that can't be read, or has more than `longest` bytes, is left as it is, and ignored
    like every unknown parameter.
    """
    if not query.startswith(PACKED):
        return query
    text, separator, more = query.removeprefix(PACKED).partition("&")
    try:
        reader = zlib.decompressobj()
        found = reader.decompress(urlsafe_b64decode(text + "=" * (-len(text) % 4)), longest)
    except (ValueError, zlib.error):
        return query
    return found.decode("latin-1") + separator + more if reader.eof else query


def _below(prefix: str, path: str) -> str:
    """Return the part of a path below the prefix at which the application is mounted."""
    if prefix and f"{path}/".startswith(f"{prefix}/"):
        return path.removeprefix(prefix) or "/"
    return path


def _decode(path: str) -> str:
    """Return the path for the router. Raises ValueError if it is not valid UTF-8 with escapes."""
    if "%" not in path and path.isascii():
        return path
    if BROKEN_ESCAPE.search(path):
        raise ValueError("a percent sign in a path must be followed by two hex digits")
    segments = (
        unquote_to_bytes(segment).replace(b"%", b"%25").replace(b"/", b"%2F")
        for segment in path.encode("latin-1").split(b"/")
    )
    decoded = b"/".join(segments)
    try:
        decoded.decode()
    except UnicodeDecodeError as error:
        raise ValueError("a path must be UTF-8") from error
    return decoded.decode("latin-1")


def _with_final_slash(path: str) -> str:
    if path.startswith(SIGNED):
        return path.removesuffix("/")
    return path if path.endswith("/") else path + "/"


def shown(path: str) -> str:
    """Return a path, as the router sees it, in the form that is used in links."""
    return quote(path, safe="/%@:")


class Id(BaseConverter):
    """A segment with the syntax of the id of an owner or repository."""

    regex = urls.ID


class Key(BaseConverter):
    """A key of extras. It may be any text, and may contain an encoded slash."""

    regex = r"[^/]+"
    part_isolating = True

    def to_python(self, value: str) -> str:
        return unquote(value)


class ContentId(Key):
    """A segment that can be the id of a concept or mapping."""

    def to_python(self, value: str) -> str:
        try:
            return urls.content_id(unquote(value))
        except ValueError as error:
            raise ValidationError(str(error)) from error


class VersionId(ContentId):
    """A segment that can be the id of a version.

    It excludes the reserved words, which are segments of other rules in the same position.
    """

    regex = rf"(?!(?:{urls.NO_VERSIONS})(?:/|\Z)){Key.regex}"
    part_isolating = True


class Username(BaseConverter):
    """A segment that can be a username. It excludes the reserved words."""

    regex = rf"(?!(?:{'|'.join(sorted(RESERVED_USERS))})(?:/|\Z)){Id.regex}"
    part_isolating = True
