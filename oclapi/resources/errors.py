"""Failures as HTTP: the one table of statuses, and the one shape of an error's body (contract
section 2).
"""

import logging
from typing import Any

import flask_restful
from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from oclapi import jsonio
from oclapi.errors import (
    BodyTooLarge,
    BodyTypeNotAccepted,
    ExportFailed,
    Forbidden,
    Frozen,
    IndexBusy,
    IndexIncomplete,
    Invalid,
    LinkRefused,
    MethodNotOffered,
    NotAuthenticated,
    NotFound,
    OclError,
    OutcomeUnknown,
    Overtaken,
    QueueUnavailable,
    RangeNotSatisfiable,
    RepositoryBusy,
    SearchBehind,
    SearchUnavailable,
    StoreUnavailable,
    TooManyRequests,
    VersionExists,
)
from oclapi.model import Json

log = logging.getLogger(__name__)

STATUS: dict[type[OclError], int] = {
    Invalid: 400,
    NotAuthenticated: 401,
    Forbidden: 403,
    LinkRefused: 403,
    NotFound: 404,
    Frozen: 405,
    MethodNotOffered: 405,
    VersionExists: 409,
    BodyTooLarge: 413,
    BodyTypeNotAccepted: 415,
    RangeNotSatisfiable: 416,
    TooManyRequests: 429,
    ExportFailed: 500,
    Overtaken: 500,  # jobs end by it; no request should
    IndexBusy: 500,  # commands end by these two
    IndexIncomplete: 500,
    OutcomeUnknown: 503,
    QueueUnavailable: 503,
    SearchUnavailable: 503,
    SearchBehind: 500,  # the built-in search answers then; no request should see it
    RepositoryBusy: 503,
    StoreUnavailable: 503,
}


class Api(flask_restful.Api):
    """Flask-RESTful as a router only: it would answer errors before Flask's handlers see them; this
    gives them back.
    """

    def error_router(self, original_handler: Any, error: Exception) -> Any:
        return original_handler(error)


def register(app: Flask) -> None:
    """Let every failure of a request end in the one shape."""
    app.register_error_handler(OclError, answer_ours)
    app.register_error_handler(HTTPException, answer_http)
    app.register_error_handler(Exception, answer_fault)


def error_body(
    detail: str, errors: dict[str, list[str]] | None = None, extra: Json | None = None
) -> Json:
    """`detail`, `errors` where there are any, each of them again at the top level (existing clients
    read them there), further keys.
    """
    body: Json = {"detail": detail}
    if errors:
        body["errors"] = errors
        body |= {name: texts for name, texts in errors.items() if name not in ("detail", "errors")}
    return body | (extra or {})


def answer_ours(error: OclError) -> Response:
    """A failure that the code foresaw."""
    status = STATUS[type(error)]
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = "Token"
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, Frozen):
        headers["Allow"] = "GET, HEAD, OPTIONS"
    if isinstance(error, MethodNotOffered):
        headers["Allow"] = ", ".join(error.allow)
    if isinstance(error, RangeNotSatisfiable):
        headers["Content-Range"] = f"bytes */{error.size}"
    if status >= 500:
        log.warning(
            "request failed", extra={"failure": type(error).__name__, "detail": error.detail}
        )
    return _response(error_body(error.detail, error.errors, error.extra), status, headers)


def answer_http(error: HTTPException) -> Response:
    """A failure that Flask found: unknown address, method not offered, body too large."""
    kept = {
        name: value
        for name, value in error.get_headers()
        if name.lower() not in ("content-type", "content-length")
    }
    return _response(error_body(error.description or error.name), error.code or 500, kept)


def answer_fault(error: Exception) -> Response:
    """Anything else is a fault of the server: the log tells what, the answer does not."""
    log.error("fault", exc_info=error)
    return _response(error_body("the server made a mistake; the request was not answered"), 500, {})


def _response(body: Json, status: int, headers: dict[str, str]) -> Response:
    return Response(jsonio.dumps(body), status, headers, mimetype="application/json")
