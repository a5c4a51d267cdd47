"""How often one caller may ask, and the headers that keep browsers from being used against a user
(contract 1.4 and 2).
"""

import ipaddress
import math
from typing import Protocol

from flask import Response, g, request

from config.settings import Settings
from oclapi.access import ANYBODY
from oclapi.errors import TooManyRequests

SAFE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",  # addresses of private items stay out of other sites' logs
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""On every answer; a page that shows more than text brings a policy of its own."""


class Rates(Protocol):
    """Counts requests, the same for every process of a server."""

    def take(self, who: str) -> float:
        """Count one request of `who`, a short text. 0 when it may go on, else the seconds until the
        next one may.

        Never fails: where the counts can't be reached, everybody may go on.
        """


def count(rates: Rates) -> None:
    """Count this request, for its user or for the address that it comes from. Raises
    TooManyRequests.

    Per user rather than per token: a user may log in as often as they like.
    """
    user = g.get("caller", ANYBODY).username
    wait = math.ceil(rates.take(f"user:{user}" if user else f"address:{network()}"))
    if wait > 0:
        raise TooManyRequests(wait)


def network() -> str:
    """The address that the request comes from; of IPv6 only the part that names a customer, who has
    2**64 addresses to choose from.
    """
    address = _without_port(request.remote_addr or "")
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    # a socket for both shows all of IPv4 in one network
    if found.version == 6 and found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else address


def _without_port(address: str) -> str:
    """The address alone: some proxies write `a.b.c.d:port` or `[v6]:port`, and each connection has
    another port.
    """
    if address.startswith("["):
        return address[1:].partition("]")[0]
    host, _, port = address.rpartition(":")
    return host if port.isdecimal() and host.count(".") == 3 and ":" not in host else address


def protect(response: Response, settings: Settings) -> Response:
    """Add the security headers that the answer does not bring itself."""
    for name, value in SAFE.items():
        response.headers.setdefault(name, value)
    if settings.hsts:
        response.headers["Strict-Transport-Security"] = f"max-age={settings.hsts}"
    return response
