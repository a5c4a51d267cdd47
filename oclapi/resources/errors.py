"""Errors as HTTP responses: the table of statuses, and the shape of the body (contract 2)."""

import logging
from typing import Any

import flask_restful
from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from oclapi import jsonio
from oclapi.errors import (
    BodyTooLarge,
    ExportFailed,
    Forbidden,
    Frozen,
    IndexBusy,
    IndexIncomplete,
    Invalid,
    LinkRefused,
    MethodNotAllowed,
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
    UnsupportedMediaType,
    VersionExists,
    WrongFormat,
)
from oclapi.model import Json
from oclapi.resources import auth

log = logging.getLogger(__name__)

STATUS: dict[type[OclError], int] = {
    Invalid: 400,
    NotAuthenticated: 401,
    Forbidden: 403,
    LinkRefused: 403,
    NotFound: 404,
    Frozen: 405,
    MethodNotAllowed: 405,
    VersionExists: 409,
    BodyTooLarge: 413,
    UnsupportedMediaType: 415,
    RangeNotSatisfiable: 416,
    TooManyRequests: 429,
    ExportFailed: 500,
    Overtaken: 500,  # raised in jobs only
    IndexBusy: 500,  # raised in commands only
    IndexIncomplete: 500,  # raised in commands only
    WrongFormat: 500,  # raised when a process starts
    OutcomeUnknown: 503,
    QueueUnavailable: 503,
    SearchUnavailable: 503,
    SearchBehind: 500,  # never reaches a client: the built-in search takes over
    RepositoryBusy: 503,
    StoreUnavailable: 503,
}


class Api(flask_restful.Api):
    """Flask-RESTful as a router only.

    It would respond to errors before Flask's error handlers see them. This hands them back.
    """

    def error_router(self, original_handler: Any, error: Exception) -> Any:
        return original_handler(error)


def register(app: Flask) -> None:
    """Register the error handlers, so that all errors have the same shape."""
    app.register_error_handler(OclError, render_ocl_error)
    app.register_error_handler(HTTPException, render_http_error)
    app.register_error_handler(Exception, render_fault)


def error_body(
    detail: str, errors: dict[str, list[str]] | None = None, extra: Json | None = None
) -> Json:
    """Build the body of an error response.

    It has `detail`, `errors` if there are any, and the keys of `extra`. Each key of `errors` is
    repeated at the top level, where existing clients read it.
    """
    body: Json = {"detail": detail}
    if errors:
        body["errors"] = errors
        body |= {name: texts for name, texts in errors.items() if name not in ("detail", "errors")}
    return body | (extra or {})


def render_ocl_error(error: OclError) -> Response:
    """Return the response to one of the server's own errors."""
    status = STATUS[type(error)]
    headers, detail = {}, error.detail
    if status == 401:
        headers["WWW-Authenticate"] = "Token"
        detail += auth.hint()
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, Frozen):
        headers["Allow"] = "GET, HEAD, OPTIONS"
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(error.allow)
    if isinstance(error, RangeNotSatisfiable):
        headers["Content-Range"] = f"bytes */{error.size}"
    if status >= 500:
        log.warning(
            "request failed", extra={"failure": type(error).__name__, "detail": error.detail}
        )
    return _response(error_body(detail, error.errors, error.extra), status, headers)


def render_http_error(error: HTTPException) -> Response:
    """Return the response to an error of Flask, such as an unknown path or method."""
    headers = {
        name: value
        for name, value in error.get_headers()
        if name.lower() not in ("content-type", "content-length")
    }
    return _response(error_body(error.description or error.name), error.code or 500, headers)


def render_fault(error: Exception) -> Response:
    """Return the response to an unexpected error. Only the log contains the details."""
    log.error("internal server error", exc_info=error)
    return _response(error_body("internal server error"), 500, {})


def _response(body: Json, status: int, headers: dict[str, str]) -> Response:
    return Response(jsonio.dumps(body), status, headers, mimetype="application/json")
