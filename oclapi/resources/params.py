"""The query parameters of a request."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, TypeVar

from flask import request

from oclapi import booleans, times
from oclapi.errors import Invalid

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ALTERNATIVE = re.compile(r'\s*"((?:[^"]|"")*)"\s*(?:,|$)|([^,]+)')
LONGEST = 1000
"""Most characters of a text to search for, and of each value of a filter."""
LAST_UPDATE: dict[str, Literal["lastUpdate"]] = {
    "lastUpdate": "lastUpdate",
    "last_update": "lastUpdate",
    "lastUpdated": "lastUpdate",
    "updated_on": "lastUpdate",
}
BEST_MATCH: dict[str, Literal["bestMatch"]] = {
    "bestMatch": "bestMatch",
    "best_match": "bestMatch",
    "_score": "bestMatch",
}
ID: dict[str, Literal["id"]] = {
    "id": "id",
    "mnemonic": "id",
    "_mnemonic": "id",
    "id_lowercase": "id",
    "numeric_id": "id",
}
NAME: dict[str, Literal["name"]] = {"name": "name", "_name": "name", "display_name": "name"}
CREATED_ON: dict[str, Literal["createdOn"]] = {"createdOn": "createdOn", "created_on": "createdOn"}
"""Sort fields that several lists have, by spelling."""

Field = TypeVar("Field", bound=str)


def text(name: str) -> str | None:
    """Return a query parameter, or None if it is absent or empty."""
    return request.args.get(name) or None


def words() -> str:
    """Return the text to search for, "" without one. Raises Invalid if it is too long."""
    return _short("q", text("q") or "")


def _short(name: str, value: str, most: int = LONGEST) -> str:
    if len(value) > most:
        raise Invalid.field(name, f"must have at most {most} characters")
    return value


def flag(name: str) -> bool | None:
    """Return a boolean query parameter, or None if it is absent. Raises Invalid."""
    given = text(name)
    if given is None:
        return None
    value = booleans.parse(given)
    if value is None:
        raise Invalid.field(name, "must be true or false")
    return value


def number(name: str, *, low: int = 0) -> int | None:
    """Return an integer query parameter, or None if it is absent.

    Raises Invalid for other text and for numbers below `low`.
    """
    given = text(name)
    if given is None:
        return None
    if not re.fullmatch(r"[0-9]{1,100}", given, re.ASCII) or int(given) < low:
        raise Invalid.field(name, f"must be a whole number of at least {low}")
    return int(given)


def moment(name: str) -> times.Moment | None:
    """Return a date in a query parameter, or None if it is absent. Raises Invalid.

    Dates before 1970 are read as 1970.
    """
    given = text(name)
    if given is None:
        return None
    try:
        found = times.read(given)
    except ValueError as error:
        raise Invalid.field(name, str(error)) from error
    return found if found.at > EPOCH else times.Moment(EPOCH, whole_seconds=False)


def since() -> datetime | None:
    """Return the time of `updatedSince`, or None if it is absent. Raises Invalid."""
    found = moment("updatedSince")
    return found.at if found else None


def order(spellings: Mapping[str, Field], default: tuple[Field, bool]) -> tuple[Field, bool]:
    """Return the field to sort by, and whether the order is descending.

    `sortDesc` wins over `sortAsc`. Raises Invalid for an unknown field.
    """
    found = default
    for name in ("sortAsc", "sortDesc"):
        given = text(name)
        if given is not None:
            if given not in spellings:
                raise Invalid.field(
                    name,
                    f"this list can be sorted by {', '.join(dict.fromkeys(spellings.values()))}",
                )
            found = spellings[given], name == "sortDesc"
    return found


def no_order() -> None:
    """Raise Invalid if the request names a field to sort by, in lists that have one order only."""
    for name in ("sortAsc", "sortDesc"):
        if request.args.get(name):
            raise Invalid.field(name, "this list can't be sorted by a field")


def wants_facets() -> bool:
    """Return whether the client wants facets, with the results or without. Raises Invalid."""
    return facets_only() or bool(booleans.parse(request.headers.get("includeFacets", "").strip()))


def facets_only() -> bool:
    """Return whether the client wants facets without the results. Raises Invalid."""
    return bool(flag("facetsOnly"))


def wants_zip() -> bool:
    """Return whether the client wants the response as a ZIP."""
    compress = booleans.parse(request.headers.get("Compress", "").strip())
    return request.method in ("GET", "HEAD") and bool(compress)


def cursor() -> str | None:
    """Return the cursor, or None if the request has none or gets everything as a ZIP."""
    return None if wants_zip() else text("cursor")


def all_except(*names: str) -> list[tuple[str, str]]:
    """Return all query parameters except these, as given."""
    return [pair for pair in request.args.items(multi=True) if pair[0] not in names]


def alternatives(name: str, most: int = LONGEST) -> list[str] | None:
    """Return the comma-separated values of a filter, or None if it is absent.

    An entry matches if it has any of the values. A value in double quotes may contain commas, and
    quotes as "". Raises Invalid if one has more than `most` characters.
    """
    given = text(name)
    if given is None:
        return None
    return [
        _short(name, quoted.replace('""', '"') or plain.strip(), most)
        for quoted, plain in ALTERNATIVE.findall(given)
        if quoted or plain.strip()
    ]
