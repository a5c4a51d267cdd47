"""Time limits on the connection to the client."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


@contextmanager
def receive_timeout(environ: Mapping[str, Any], seconds: float) -> Iterator[None]:
    """Limit how long each read from the client's socket may wait.

    A client that sends nothing would otherwise occupy a thread for ever. Has an effect only under
    gunicorn, which puts its socket into the WSGI environment.
    """
    connection = environ.get("gunicorn.socket")
    if connection is None:
        yield
        return
    before = connection.gettimeout()
    connection.settimeout(seconds)
    try:
        yield
    finally:
        connection.settimeout(before)
