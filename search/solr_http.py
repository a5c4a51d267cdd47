"""HTTP to Solr: JSON both ways through pysolr's connection, whole answers within their time, and
one kind of failure.
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

PIECE = 2**18
LARGEST = 2**28
"""Bytes of an answer of Solr: of one piece that is read, and of the whole; markers of a million
repositories are half of that.
"""

_JSON = {"Content-Type": "application/json"}
_STATUS = re.compile(r"\(HTTP (\d+)\)")


class _Answer(Json):
    """What Solr answered; without what was asked for, it is not Solr's."""

    def __missing__(self, key: str) -> Any:
        raise SearchUnavailable(f"what answers at SOLR_URL is not Solr: it tells no {key}")


class _Connection(requests.Session):
    """Reads a body within its time-out: alone, the library begins to count anew with each byte that
    comes.
    """

    def __init__(self) -> None:
        super().__init__()
        # reading the environment for proxies costs more than sending does, and no proxy knows Solr
        self.trust_env = False

    def send(self, request: requests.PreparedRequest, **how: Any) -> requests.Response:
        """Takes at most twice the time-out from the end of the answer's head on."""
        answer = super().send(request, **{**how, "stream": True})
        begun, parts, size = time.monotonic(), list[bytes](), 0
        try:
            while part := answer.raw.read1(PIECE, decode_content=True):
                parts.append(part)
                size += len(part)
                if time.monotonic() - begun > how["timeout"] or size > LARGEST:
                    raise requests.Timeout("the answer did not end")
        except urllib3.exceptions.TimeoutError as error:
            raise requests.Timeout(error) from error
        except urllib3.exceptions.HTTPError as error:
            raise requests.ConnectionError(error) from error
        finally:
            answer.close()  # what was read to its end has given its connection back before
        answer._content = b"".join(parts)  # where the library keeps what it reads itself
        return answer


class Http(pysolr.Solr):
    """pysolr's connection, with JSON both ways and our errors."""

    def __init__(self, url: str, patience: float, *, once: bool = False) -> None:
        """`once`: what is sent does something else when it is sent twice, so each request has a new
        connection and is not repeated.
        """
        super().__init__(url, timeout=patience, session=_Connection())
        self._once = once

    def _get_log(self) -> logging.Logger:
        """pysolr logs each failure with its stack; ours are told once, by whoever catches them."""
        return _quiet

    def json(self, method: str, path: str, body: Any = None, **params: str | int) -> Json:
        """Send, and read the answer. Raises SearchUnavailable (`refused`: HTTP 400)."""
        path = f"{path}?{urlencode(params)}" if params else path
        sent = orjson.dumps(body) if body is not None else None
        if self._once:
            self.get_session().close()
        for last in (self._once, True):
            try:
                answer = orjson.loads(self._send_request(method, path, sent, dict(_JSON)))
                return _Answer(answer if isinstance(answer, dict) else {})
            except pysolr.SolrError as error:
                lost = isinstance(error.__context__, requests.ConnectionError) and not isinstance(
                    error.__context__, requests.Timeout
                )
                # a connection kept open may have been closed meanwhile: once more with a new one
                if last or not lost:
                    status = _STATUS.search(str(error))
                    failure = SearchUnavailable(_said(error, error.__context__))
                    failure.refused = bool(status and status[1] == "400")
                    raise failure from error
            # what pysolr lets through
            except (requests.RequestException, orjson.JSONDecodeError) as error:
                raise SearchUnavailable(_said(error, error)) from error
        raise AssertionError("the last try returns or raises")


def _said(error: Exception, cause: BaseException | None) -> str:
    """What failed, in words for an operator: the libraries' own hold addresses of objects."""
    reason = str(error)[:500]
    if isinstance(cause, requests.Timeout):
        reason = "its answer did not come or did not end in time"
    elif isinstance(cause, requests.ConnectionError):
        reason = "it can't be reached, or cut the connection"
    return f"the search engine failed: {reason}"


_quiet = logging.Logger("pysolr, unheard")
_quiet.addHandler(logging.NullHandler())
