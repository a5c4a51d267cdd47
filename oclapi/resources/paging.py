"""Paging: the parameters, the cursor that pins a revision, and the headers (contract 5.1)."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from flask import request
from itsdangerous import BadSignature, URLSafeTimedSerializer

from config.settings import Settings
from oclapi.errors import Invalid
from oclapi.resources import params
from oclapi.resources.paths import packed, shown
from oclapi.resources.responses import absolute
from search.base import Position

LINK_BYTES = 4000
"""Most bytes of all links to other pages together. Clients and proxies refuse 4 to 8 KiB."""
QUERY_BYTES = 1500
"""A longer query string of a link is compressed."""
PACKED_BYTES = 2500
"""Most bytes of the compressed parameters of a request. They leave room for a cursor."""
FAR = 2**31 - 1
"""The largest offset. It is past the end of every list, and MongoDB accepts it."""


@dataclass(frozen=True, slots=True)
class Paging:
    """The page of a list that a request selects."""

    limit: int  # 0: everything
    offset: int
    by_offset: bool  # whether the request gives `offset` instead of `page`
    url: str  # of the list, without parameters
    parameters: Sequence[tuple[str, str]]  # the others, which every link repeats

    @property
    def everything(self) -> bool:
        return self.limit == 0

    @property
    def skip(self) -> int:
        """The offset as MongoDB accepts it: FAR is past the end of every list."""
        return min(self.offset, FAR)

    @property
    def page(self) -> int:
        return self.offset // self.limit + 1 if self.limit else 1


@dataclass(frozen=True, slots=True)
class Cursor:
    """The state that one page passes to the next."""

    # Identifies the list, with its version. A cursor is only valid for this list.
    listing: str
    repo: int
    # The revision at which every page is read.
    rev: int
    # The first revision that is shown, by kind of entry, as the first page found it.
    since: Mapping[str, int]
    # The query parameters that `since` and `after` belong to.
    filters: str
    # The number of items up to `after`.
    offset: int = 0
    # The key of the last item of the previous page, by kind. None: items are skipped by count.
    after: Mapping[str, Position] | None = None

    def position(self, filters: str, offset: int) -> Mapping[str, Position]:
        """Return where a page starts, by kind. It is empty if the page is not the next one."""
        follows = self.filters == filters and self.offset == offset
        return (self.after or {}) if follows else {}


def paging(settings: Settings) -> Paging:
    """Return the page that the request selects by limit and page or offset. Raises Invalid.

    A request with `Compress: true` gets everything; the parameters are ignored.
    """
    limit, page, offset = 0, None, None
    if not params.wants_zip():
        given = params.number("limit")
        limit = settings.page_default if given is None else given
        if limit > settings.page_limit:
            raise Invalid.field(
                "limit", f"must be at most {settings.page_limit}, or 0 for everything"
            )
        page, offset = params.number("page", low=1), params.number("offset")
    parameters = params.all_except("page", "offset", "cursor")
    query = urlencode(parameters)
    if len(query) > PACKED_BYTES and len(packed(query)) > PACKED_BYTES:
        raise Invalid.field("__all__", "the parameters are too long for links to further pages")
    return Paging(
        limit,
        offset=0 if limit == 0 else ((page or 1) - 1) * limit if offset is None else offset,
        by_offset=offset is not None,
        url=absolute(shown(request.path), settings),
        parameters=parameters,
    )


@functools.lru_cache(maxsize=4)
def _signer(secret_key: str) -> URLSafeTimedSerializer:
    """Return the signer. It is cached because deriving its key costs more than signing."""
    return URLSafeTimedSerializer(secret_key, salt="cursor")


class Cursors:
    """Signs cursors and reads them back."""

    def __init__(self, settings: Settings) -> None:
        self._signer = _signer(settings.secret_key)
        self._life = settings.cursor_life

    def read(self, text: str | None, listing: str, repo: int) -> Cursor | None:
        """Return the cursor in a parameter, or None without one.

        Raises Invalid if the cursor was not issued by this server, is too old, or belongs to
        another list or repository.
        """
        if text is None:
            return None
        try:
            found = _decode(self._signer.loads(text, max_age=self._life))
        except BadSignature as error:
            raise _invalid_cursor() from error
        if (found.listing, found.repo) != (listing, repo):
            raise _invalid_cursor()
        return found

    def encode(self, cursor: Cursor) -> str:
        after = {kind: list(key) for kind, key in cursor.after.items()} if cursor.after else None
        parts = [
            cursor.listing,
            cursor.repo,
            cursor.rev,
            dict(cursor.since),
            cursor.filters,
            cursor.offset,
            after,
        ]
        return str(self._signer.dumps(parts))


def headers(
    settings: Settings,
    requested: Paging,
    total: int,
    returned: int,
    cursor: Cursor | None = None,
    longest: int | None = None,
) -> dict[str, str]:
    """Return the paging headers.

    `total` is the number of items in the whole result. If several lists are paged together,
    `longest` is the length of the longest. `cursor` is the cursor for the next page. Every link
    contains it, so that all pages are read at the same revision, but only the link to the next
    page contains the position.
    """
    length = total if longest is None else longest
    fields = {
        "num_found": str(total),
        "num_returned": str(returned),
        "offset": str(requested.offset),
    }
    if requested.everything:
        return all_headers(total)
    limit, offset = requested.limit, requested.offset
    pages = max(1, -(-length // limit))
    fields |= {"pages": str(pages), "page_number": str(requested.page)}
    cursors = Cursors(settings)
    pinned = cursors.encode(replace(cursor, after=None, offset=0)) if cursor else None
    last = (pages - 1) * limit
    links = {
        "first": _link(requested, 0, pinned),
        "last": _link(requested, last, pinned),
    }
    if offset + limit < length:
        following = cursors.encode(cursor) if cursor else None
        links["next"] = _link(requested, offset + limit, following)
    if offset > 0:
        links["prev"] = _link(requested, min(max(0, offset - limit), last), pinned)
    return {**fields, **_links(links)}


def _links(links: Mapping[str, str]) -> dict[str, str]:
    """Return the headers for the links, by relation, that fit into LINK_BYTES together.

    Every relation is in `Link`, and those of the neighbours have a header of their own. If that is
    too long, `Link` loses the ends of the list, then all, and then `previous` is left out. The link
    to the next page is always there.
    """
    own = {"next": "next", "previous": "prev"}
    single = {name: links[rel] for name, rel in own.items() if rel in links}
    for kept in (links.keys(), own.values(), ()):
        named = [f'<{url}>; rel="{rel}"' for rel, url in links.items() if rel in kept]
        fields = {**single, **({"Link": ", ".join(named)} if named else {})}
        if sum(map(len, fields.values())) <= LINK_BYTES:
            return fields
    return {"next": links["next"]} if "next" in links else {}


def all_headers(total: int) -> dict[str, str]:
    """Return the paging headers of a list that is returned whole."""
    return {
        "num_found": str(total),
        "num_returned": str(total),
        "offset": "0",
        "pages": "1",
        "page_number": "1",
    }


def no_entries(total: int) -> dict[str, str]:
    """Return the paging headers of facets without their list."""
    return {**all_headers(total), "num_returned": "0"}


def _link(requested: Paging, offset: int, cursor: str | None) -> str:
    page = ("offset", offset) if requested.by_offset else ("page", offset // requested.limit + 1)
    pinned = [("cursor", cursor)] if cursor else []
    query = urlencode([*requested.parameters, page, *pinned])
    return f"{requested.url}?{query if len(query) <= QUERY_BYTES else packed(query)}"


def _decode(parts: Any) -> Cursor:
    listing, repo, rev, since, filters, offset, after = parts
    return Cursor(
        listing,
        repo,
        rev,
        since,
        filters,
        offset,
        after and {kind: (key[0], key[1]) for kind, key in after.items()},
    )


def _invalid_cursor() -> Invalid:
    return Invalid.field(
        "cursor", "the cursor is not valid for this list or has expired; start again without it"
    )
