"""Lists of owners, repositories and versions: documents, paged by counting."""

from collections.abc import Callable
from typing import Any

from flask import Response

from config.settings import Settings
from oclapi.model import Json
from oclapi.resources import asked, paging
from oclapi.resources.answers import ok

Listing = Callable[..., tuple[int, list[Json]]]
"""A store function: how many documents match, and one page of them (`limit`, `skip`)."""

FAR = 2**31 - 1
"""An offset beyond every list."""


def answer(settings: Settings, listing: Listing, where: Json, present: Callable[[Json], Any], *, sorted_by: bool = True) -> Response:
    """One page of the documents that match `where` and the request's `updatedSince`."""
    part = paging.paging(settings)
    way = {"oldest_first": not asked.newest_first()} if sorted_by else {}
    total, found = listing({**where, **updated_since()}, limit=part.limit, skip=min(part.offset, FAR), **way)
    return ok([present(document) for document in found], paging.headers(settings, part, total, len(found)))


def updated_since() -> Json:
    """The filter that `updatedSince` means for documents."""
    moment = asked.moment("updatedSince")
    return {"updated_on": {"$gte": moment.at}} if moment else {}
