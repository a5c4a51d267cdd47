"""Addresses as they arrive: taken from the raw request line, decoded once, and repaired where a
known client is wrong.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

from werkzeug.routing import BaseConverter

from oclapi.bodies import RESERVED_USERS, RESERVED_VERSIONS

SECOND_QUERY = re.compile(r"\?limit=(?=\d*$)")
SIGNED = "/exports/"
"""Below it addresses end in the name of a file."""


class RawPaths:
    """WSGI: give the router a path in which only an encoded slash and an encoded percent sign are
    still encoded.

    Servers decode the path before the router splits it, so a key holding a slash would become two
    steps. The raw address is in RAW_URI. Addresses come with and without a slash at the end; the
    router would not know which methods the other spelling has, so it sees one.
    """

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        raw = environ.get("RAW_URI") or environ.get("REQUEST_URI")
        if raw:
            path = raw.partition("?")[0]
            if not path.startswith("/"):
                path = urlsplit(path).path or "/"  # a proxy's absolute form
            environ["PATH_INFO"] = _ended(
                unquote_to_bytes(path).decode("latin-1") if "%" not in path else _decoded(path)
            )
        query = environ.get("QUERY_STRING", "")
        if "?limit=" in query:  # a client that appends its parameters with a second question mark
            environ["QUERY_STRING"] = SECOND_QUERY.sub("&limit=", query)
        return self._app(environ, start_response)


def _decoded(path: str) -> str:
    steps = (
        unquote_to_bytes(step).replace(b"%", b"%25").replace(b"/", b"%2F")
        for step in path.split("/")
    )
    return b"/".join(steps).decode("latin-1")


def _ended(path: str) -> str:
    if path.startswith(SIGNED):
        return path.removesuffix("/")
    return path if path.endswith("/") else path + "/"


def shown(path: str) -> str:
    """The path that the router saw, as it stands in a link."""
    return quote(path, safe="/%@:+,;=!$&'()*~")


class Id(BaseConverter):
    """A step that can be an id; any other is no address of ours."""

    regex = r"[A-Za-z0-9._@-]{1,255}"


class VersionId(BaseConverter):
    """A step that can be the id of a version: not one of the words that stand in its place (the
    router knows no order of methods).
    """

    regex = rf"(?!(?:{'|'.join(sorted(RESERVED_VERSIONS - {'HEAD', 'latest'}))})(?:/|\Z)){Id.regex}"
    part_isolating = True


class Username(BaseConverter):
    """A step that can be a username: not one of the words that stand in its place."""

    regex = rf"(?!(?:{'|'.join(sorted(RESERVED_USERS))})(?:/|\Z)){Id.regex}"
    part_isolating = True


class Key(BaseConverter):
    """A key of extras: any text, an encoded slash included."""

    regex = r"[^/]+"
    part_isolating = True

    def to_python(self, value: str) -> str:
        return unquote(value)
