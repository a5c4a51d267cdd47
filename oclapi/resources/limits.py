"""Rate limits, and the headers that protect users of browsers (contract 1.4 and section 2)."""

import ipaddress
import logging
import math
import time

from flask import Response, g, request
from limits import RateLimitItemPerSecond
from limits.errors import StorageError
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter

from config.settings import Settings
from oclapi.access import ANONYMOUS
from oclapi.errors import TooManyRequests

log = logging.getLogger(__name__)

MINUTE = 60  # seconds
REDIS_TIMEOUT = 0.2  # seconds; every request waits for Redis
REDIS_PAUSE = 5  # seconds without counting after Redis failed

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",  # keeps the URLs of private items out of other sites' logs
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""Headers of every response. A page that shows more than text sets a policy of its own."""


class RateLimiter:
    """Limits the requests of one client, counted in Redis for all processes of the server.

    At most `amount` requests pass in any period of `window` seconds. The times of the requests come
    from the web servers, so several machines need synchronised clocks. Opens no connection until
    the first request.
    """

    def __init__(self, redis_url: str, amount: int, window: int = MINUTE) -> None:
        storage = RedisStorage(
            redis_url,
            key_prefix="rate",
            wrap_exceptions=True,
            socket_timeout=REDIS_TIMEOUT,
            socket_connect_timeout=REDIS_TIMEOUT,
        )
        self._limiter = MovingWindowRateLimiter(storage)
        self._item = RateLimitItemPerSecond(amount, window, namespace="requests")
        self._paused_until = 0.0

    def hit(self, client: str) -> float:
        """Count one request of a client. Return 0, or the seconds to wait if it may not pass.

        A request that may not pass does not count. Never fails: while Redis can't be reached, every
        request passes. Cost: one command of Redis, two for a request that may not pass, none for a
        few seconds after Redis failed.
        """
        if time.monotonic() < self._paused_until:
            return 0.0
        try:
            if self._limiter.hit(self._item, client):
                return 0.0
            reset = self._limiter.get_window_stats(self._item, client).reset_time
            return max(reset - time.time(), 0.001)
        except StorageError as error:
            self._paused_until = time.monotonic() + REDIS_PAUSE
            log.warning("requests are not counted", extra={"failure": str(error)})
            return 0.0


def check_rate(limiter: RateLimiter) -> None:
    """Count this request for its user, or for its network without one. Raises TooManyRequests.

    Users are counted rather than tokens, because a user can get any number of tokens.
    """
    user = g.get("caller", ANONYMOUS).username
    wait = math.ceil(limiter.hit(f"user:{user}" if user else f"address:{client_network()}"))
    if wait > 0:
        raise TooManyRequests(wait)


def client_network() -> str:
    """Return the client's IPv4 address, or the /64 network of its IPv6 address.

    One customer usually has a whole /64 network, so 2**64 addresses. A text that is not an address
    is returned unchanged, cut after 64 characters.
    """
    text = _without_port(request.remote_addr or "")
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text[:64]
    if address.version == 4:
        return text
    # A socket for both versions shows IPv4 clients with addresses of one IPv6 network.
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))


def _without_port(address: str) -> str:
    """Remove the port that some proxies add: `a.b.c.d:port` or `[v6]:port`.

    It differs between the connections of one client.
    """
    if address.startswith("["):
        return address[1:].partition("]")[0]
    host, _, port = address.rpartition(":")
    return host if port.isdecimal() and host.count(".") == 3 and ":" not in host else address


def add_security_headers(response: Response, settings: Settings) -> Response:
    """Add the security headers that the response does not have yet."""
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    if settings.hsts:
        response.headers["Strict-Transport-Security"] = f"max-age={settings.hsts}"
    return response
