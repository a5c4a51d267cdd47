"""The API reference at /docs: Swagger UI, with requests that can be tried out.

Its files come from the package swagger-ui-py and are served by this server, so that the page
contacts no other.
"""

import functools
import hashlib
import mimetypes
from importlib.util import find_spec
from pathlib import Path

from flask import Response, request

from oclapi.errors import NotFound
from oclapi.resources import described
from oclapi.resources.endpoint import Endpoint

STATIC = Path(__file__).parent / "static"
PAGE = (STATIC / "index.html").read_bytes()
OWN = ("start.js",)
VIEWER = ("swagger-ui.css", "swagger-ui-bundle.js")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
"""The viewer sets styles of elements, and shows images that are part of its style sheet."""


class Reference(Endpoint):
    """The API reference as a web page."""

    about = described.EndpointDoc(tag="Server", responses={"get": {200: {"text/html": {}}}})

    def get(self) -> Response:
        return Response(PAGE, 200, {"Content-Security-Policy": POLICY}, mimetype="text/html")


class ReferenceFile(Endpoint):
    """A script or style sheet of the API reference."""

    about = described.EndpointDoc(
        tag="Server", responses={"get": {200: {"text/javascript": {}, "text/css": {}}, 304: None}}
    )

    def get(self, key: str) -> Response:
        if key not in (*OWN, *VIEWER):
            raise NotFound("file not found")
        content = _file(key)
        response = Response(content, 200, mimetype=mimetypes.guess_type(key)[0])
        response.set_etag(hashlib.sha256(content).hexdigest()[:32])
        response.headers["Cache-Control"] = "public, max-age=3600"
        response.make_conditional(request)
        return response


@functools.lru_cache(maxsize=len(OWN) + len(VIEWER))
def _file(name: str) -> bytes:
    if name in OWN:
        return (STATIC / name).read_bytes()
    package = find_spec("swagger_ui")
    assert package is not None and package.origin is not None  # it is a requirement
    return (Path(package.origin).parent / "static" / name).read_bytes()
