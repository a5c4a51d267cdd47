"""Cross-origin requests: pages of any site may use the API (contract 1.4)."""

import re

from flask import Flask
from flask_cors import CORS

EXPOSED = (
    "num_found",
    "num_returned",
    "num_found_concepts",
    "num_found_mappings",
    "offset",
    "next",
    "previous",
    "pages",
    "page_number",
    "Link",
    "lastUpdated",
    "Last-Updated",
    "Location",
    "Allow",
    "Retry-After",
    "WWW-Authenticate",
    "Date",
    "ETag",
    "Last-Modified",
    "Content-Disposition",
    "Content-Length",
    "Content-Range",
    "Accept-Ranges",
    "exportStatus",
    "exportError",
    "exportURL",
    "search-engine",
    "search-behind",
)
"""Response headers that scripts may read, besides those that browsers always show them."""

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}\Z")
"""Request headers that a preflight may ask for: any valid name of a sensible length.

flask-cors repeats the names in its response. Its own default allows any text, line breaks included.
"""

MAX_AGE = 86_400
"""Seconds that a browser may remember the result of a preflight."""


def register(app: Flask) -> None:
    """Add the CORS headers to every response of the application, errors included."""
    CORS(
        app,
        origins="*",
        send_wildcard=True,
        methods=METHODS,
        allow_headers=HEADER_NAME,
        expose_headers=EXPOSED,
        max_age=MAX_AGE,
        vary_header=False,  # the response is the same for every origin
        intercept_exceptions=False,  # error responses also pass through `after_request`
    )
