"""HTTP requests to Solr: a session for pysolr with time limits, and one type of error."""

import io
import time
from typing import Any
from urllib.parse import urlsplit

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
SHOWN = 500
"""Most characters of Solr's own message in an error."""


class _Body(Json):
    """The body of a response. A missing key means that the server is not Solr."""

    def __missing__(self, key: str) -> Any:
        raise SearchUnavailable(f"the server at SOLR_URL is not Solr: its response has no {key}")


class Session(requests.Session):
    """A session whose requests raise SearchUnavailable, which pysolr passes on.

    pysolr has one error for everything and no status. The time-out of requests starts again with
    each byte; here the body takes at most twice the time-out after the head.
    """

    def __init__(self, *, once: bool = False) -> None:
        """With `once`, requests are never repeated, and each has a new connection.

        It is for requests that must not be executed twice.
        """
        super().__init__()
        self._once = once
        # Looking for proxies in the environment costs more than the request, and Solr needs none.
        self.trust_env = False

    def send(self, request: requests.PreparedRequest, **how: Any) -> requests.Response:
        """Send a request and read the whole response.

        Raises SearchUnavailable. Its `refused` is true for HTTP 400.
        """
        if self._once:
            self.close()
        # A header has the user and the password of SOLR_URL now, and no error shall show them.
        address = urlsplit(request.url or "")
        request.url = address._replace(netloc=address.netloc.rpartition("@")[2]).geturl()
        for last in (self._once, True):
            try:
                response = _whole(super().send(request, **{**how, "stream": True}), how["timeout"])
            except requests.Timeout as error:
                raise _failure("its response did not arrive or did not end in time") from error
            except requests.ConnectionError as error:
                # Solr may have closed an idle connection: try once more with a new one.
                if last:
                    raise _failure("it can't be reached, or it closed the connection") from error
            except requests.RequestException as error:
                raise _failure(str(error)[:SHOWN]) from error
            else:
                if response.status_code != 200:
                    failure = _failure(f"HTTP {response.status_code}: {_message(response)}")
                    failure.refused = response.status_code == 400
                    raise failure
                return response
        raise AssertionError("the last try returns or raises")


class _Codec:
    """Reads and writes JSON for pysolr."""

    @staticmethod
    def decode(text: str) -> Json:
        return _parsed(text)

    @staticmethod
    def encode(value: Any) -> str:
        return orjson.dumps(value).decode()


def connect(url: str, patience: float) -> pysolr.Solr:
    """Return pysolr's connection to a core. `patience` is the time-out in seconds.

    Searches return the body of the response. Every method raises SearchUnavailable.
    """
    return pysolr.Solr(
        url,
        decoder=_Codec,
        encoder=_Codec,
        timeout=patience,
        results_cls=lambda body, next_page=None: body,
        session=Session(),
    )


def get(session: Session, url: str, patience: float, **params: str | int) -> Json:
    """Return the JSON of a GET, for the parts of Solr's API that pysolr does not have.

    Those are the administration of cores and collections, and the schema. Raises SearchUnavailable.
    """
    return _parsed(session.get(url, params=params, timeout=patience).content)


def _whole(response: requests.Response, patience: float) -> requests.Response:
    """Read the body of a streamed response, which stays available in `content`.

    Raises requests.Timeout and ConnectionError.
    """
    begun, parts, size = time.monotonic(), list[bytes](), 0
    try:
        while part := response.raw.read1(CHUNK, decode_content=True):
            parts.append(part)
            size += len(part)
            if time.monotonic() - begun > patience or size > LARGEST:
                raise requests.Timeout("the response did not end")
    except urllib3.exceptions.TimeoutError as error:
        raise requests.Timeout(error) from error
    except urllib3.exceptions.HTTPError as error:
        raise requests.ConnectionError(error) from error
    finally:
        response.close()  # a body read to its end has returned its connection already
    response.raw = io.BytesIO(b"".join(parts))
    return response


def _parsed(text: str | bytes) -> Json:
    try:
        body = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _failure("its response is not JSON") from error
    return _Body(body if isinstance(body, dict) else {})


def _message(response: requests.Response) -> str:
    """Return what Solr says about an error."""
    try:
        return str(response.json()["error"]["msg"])[:SHOWN]
    except (ValueError, KeyError, TypeError):
        return response.reason or "no reason given"


def _failure(reason: str) -> SearchUnavailable:
    return SearchUnavailable(f"the search engine failed: {reason}")
