"""HTTP requests to Solr through pysolr's connection.

Bodies are JSON, a whole response arrives within a time limit, and there is one type of error.
"""

import logging
import re
import time
from typing import Any
from urllib.parse import urlencode

import orjson
import pysolr
import requests
import urllib3

from oclapi.errors import SearchUnavailable
from oclapi.model import Json

CHUNK = 2**18
"""Bytes of a response that are read at once."""
LARGEST = 2**28
"""Most bytes of a response. The markers of a million repositories need half of that."""

_JSON = {"Content-Type": "application/json"}
_STATUS = re.compile(r"\(HTTP (\d+)\)")


class _Body(Json):
    """The body of a response. A missing key means that the server is not Solr."""

    def __missing__(self, key: str) -> Any:
        raise SearchUnavailable(f"the server at SOLR_URL is not Solr: its response has no {key}")


class _Connection(requests.Session):
    """A session that limits the time of a whole response.

    The library's own time-out starts again with each byte.
    """

    def __init__(self) -> None:
        super().__init__()
        # Looking for proxies in the environment costs more than the request, and Solr needs none.
        self.trust_env = False

    def send(self, request: requests.PreparedRequest, **how: Any) -> requests.Response:
        """Send a request. The body takes at most twice the time-out after the head."""
        response = super().send(request, **{**how, "stream": True})
        begun, parts, size = time.monotonic(), list[bytes](), 0
        try:
            while part := response.raw.read1(CHUNK, decode_content=True):
                parts.append(part)
                size += len(part)
                if time.monotonic() - begun > how["timeout"] or size > LARGEST:
                    raise requests.Timeout("the response did not end")
        except urllib3.exceptions.TimeoutError as error:
            raise requests.Timeout(error) from error
        except urllib3.exceptions.HTTPError as error:
            raise requests.ConnectionError(error) from error
        finally:
            response.close()  # a body read to its end has returned its connection already
        response._content = b"".join(parts)  # where the library keeps the body
        return response


class Http(pysolr.Solr):
    """pysolr's connection with JSON bodies and the errors of this project."""

    def __init__(self, url: str, patience: float, *, once: bool = False) -> None:
        """With `once`, requests are never repeated, and each has a new connection.

        It is for requests that must not be executed twice.
        """
        super().__init__(url, timeout=patience, session=_Connection())
        self._once = once

    def _get_log(self) -> logging.Logger:
        """Silence pysolr, which logs each error with its stack. The caller logs them once."""
        return _quiet

    def json(self, method: str, path: str, body: Any = None, **params: str | int) -> Json:
        """Send a request and return the body of the response.

        Raises SearchUnavailable. Its `refused` is true for HTTP 400.
        """
        path = f"{path}?{urlencode(params)}" if params else path
        sent = orjson.dumps(body) if body is not None else None
        if self._once:
            self.get_session().close()
        for last in (self._once, True):
            try:
                parsed = orjson.loads(self._send_request(method, path, sent, dict(_JSON)))
                return _Body(parsed if isinstance(parsed, dict) else {})
            except pysolr.SolrError as error:
                lost = isinstance(error.__context__, requests.ConnectionError) and not isinstance(
                    error.__context__, requests.Timeout
                )
                # Solr may have closed an idle connection: try once more with a new one.
                if last or not lost:
                    status = _STATUS.search(str(error))
                    failure = SearchUnavailable(_reason(error, error.__context__))
                    failure.refused = bool(status and status[1] == "400")
                    raise failure from error
            # pysolr does not translate these.
            except (requests.RequestException, orjson.JSONDecodeError) as error:
                raise SearchUnavailable(_reason(error, error)) from error
        raise AssertionError("the last try returns or raises")


def _reason(error: Exception, cause: BaseException | None) -> str:
    """Describe a failure for an operator. The libraries' own texts contain object addresses."""
    reason = str(error)[:500]
    if isinstance(cause, requests.Timeout):
        reason = "its response did not arrive or did not end in time"
    elif isinstance(cause, requests.ConnectionError):
        reason = "it can't be reached, or it closed the connection"
    return f"the search engine failed: {reason}"


_quiet = logging.Logger("pysolr, silent")
_quiet.addHandler(logging.NullHandler())
