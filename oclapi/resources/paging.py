"""Pages: what the request asks for, the cursor that pins a revision, and the headers that lead on
(contract 5.1).
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from flask import request
from itsdangerous import BadSignature, URLSafeTimedSerializer

from config.settings import Settings
from oclapi.errors import Invalid
from oclapi.resources import params
from oclapi.resources.paths import shown
from oclapi.resources.responses import absolute, wants_zip
from search.base import Position


@dataclass(frozen=True, slots=True)
class Paging:
    """Which part of a list is asked for."""

    limit: int  # 0: everything
    offset: int = 0
    by_offset: bool = False  # the request counts in items, not in pages

    @property
    def everything(self) -> bool:
        return self.limit == 0

    @property
    def page(self) -> int:
        return self.offset // self.limit + 1 if self.limit else 1


@dataclass(frozen=True, slots=True)
class Cursor:
    """What one page tells the next."""

    listing: str  # which listing of which version this is: a cursor fits no other
    repo: int
    rev: int  # the revision that every page is read at
    since: Mapping[str, int]  # first revision shown, by kind of entry, as the first page found it
    filters: str  # the parameters that `since` and `after` belong to
    offset: int = 0  # where `after` lies
    # where the page before ended, by kind; None: the page is found by counting
    after: Mapping[str, Position] | None = None


def paging(settings: Settings) -> Paging:
    """The request's limit and page or offset. Everything for `Compress: true`, which ignores them.
    Raises Invalid.
    """
    if wants_zip():
        return Paging(0)
    limit = params.number("limit")
    limit = settings.page_default if limit is None else limit
    if limit > settings.page_limit:
        raise Invalid.field("limit", f"must be at most {settings.page_limit}, or 0 for everything")
    page, offset = params.number("page", low=1), params.number("offset")
    if limit == 0:
        return Paging(0)
    if offset is not None:
        return Paging(limit, offset, by_offset=True)
    return Paging(limit, ((page or 1) - 1) * limit)


@functools.lru_cache(maxsize=4)
def _signer(secret_key: str) -> URLSafeTimedSerializer:
    """Kept, because deriving its key costs more than signing."""
    return URLSafeTimedSerializer(secret_key, salt="cursor")


class Cursors:
    """Signs cursors and reads them back."""

    def __init__(self, settings: Settings) -> None:
        self._signer = _signer(settings.secret_key)
        self._life = settings.cursor_life

    def given(self, listing: str, repo: int) -> Cursor | None:
        """The request's cursor; None without one, and for an answer that is complete anyway. Raises
        Invalid.

        It must be ours, young enough, and of this listing of this repository.
        """
        text = params.text("cursor")
        if text is None or wants_zip():
            return None
        try:
            found = _unpacked(self._signer.loads(text, max_age=self._life))
        except BadSignature as error:
            raise _unknown() from error
        if (found.listing, found.repo) != (listing, repo):
            raise _unknown()
        return found

    def text(self, cursor: Cursor) -> str:
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
    asked_for: Paging,
    total: int,
    returned: int,
    cursor: Cursor | None = None,
    longest: int | None = None,
) -> dict[str, str]:
    """The paging headers. `total`: items in the whole result; `longest`: where lists are cut side
    by side, the length of the longest.

    `cursor`, of the next page, goes into every link; only the next page continues where it points.
    """
    length = total if longest is None else longest
    made = {"num_found": str(total), "num_returned": str(returned), "offset": str(asked_for.offset)}
    if asked_for.everything:
        return {**made, "pages": "1", "page_number": "1"}
    limit, offset = asked_for.limit, asked_for.offset
    pages = max(1, -(-length // limit))
    made |= {"pages": str(pages), "page_number": str(asked_for.page)}
    signer = Cursors(settings) if cursor else None
    jump = signer.text(replace(cursor, after=None, offset=0)) if signer and cursor else None
    last = (pages - 1) * limit
    links = {
        "first": _link(settings, asked_for, 0, jump),
        "last": _link(settings, asked_for, last, jump),
    }
    if offset + limit < length:
        step = signer.text(cursor) if signer and cursor else None
        links["next"] = made["next"] = _link(settings, asked_for, offset + limit, step)
    if offset > 0:
        links["prev"] = made["previous"] = _link(
            settings, asked_for, min(max(0, offset - limit), last), jump
        )
    made["Link"] = ", ".join(f'<{url}>; rel="{name}"' for name, url in links.items())
    return made


def _link(settings: Settings, asked_for: Paging, offset: int, cursor: str | None) -> str:
    place = ("offset", offset) if asked_for.by_offset else ("page", offset // asked_for.limit + 1)
    kept: list[tuple[str, Any]] = [
        pair
        for pair in request.args.items(multi=True)
        if pair[0] not in ("page", "offset", "cursor")
    ]
    pinned = [("cursor", cursor)] if cursor else []
    return f"{absolute(shown(request.path), settings)}?{urlencode([*kept, place, *pinned])}"


def _unpacked(parts: Any) -> Cursor:
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


def _unknown() -> Invalid:
    return Invalid.field(
        "cursor", "this cursor is not known here or has expired; start again without it"
    )
