"""The query parameters of a request."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, TypeVar

from flask import request

from oclapi import times
from oclapi.errors import Invalid

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
ALTERNATIVE = re.compile(r'\s*"([^"]*)"\s*(?:,|$)|([^,]+)')
LAST_UPDATE: dict[str, Literal["lastUpdate"]] = {
    "lastUpdate": "lastUpdate",
    "last_update": "lastUpdate",
    "lastUpdated": "lastUpdate",
}
BEST_MATCH: dict[str, Literal["bestMatch"]] = {"bestMatch": "bestMatch", "best_match": "bestMatch"}
"""Spellings of sorts that several listings have."""

Field = TypeVar("Field", bound=str)


def text(name: str) -> str | None:
    """A query parameter; None when it is absent or empty."""
    return request.args.get(name) or None


def flag(name: str) -> bool | None:
    """A boolean query parameter; None when it is absent. Raises Invalid."""
    given = text(name)
    if given is None:
        return None
    if given.lower() not in BOOLEANS:
        raise Invalid.field(name, "must be true or false")
    return BOOLEANS[given.lower()]


def number(name: str, *, low: int = 0) -> int | None:
    """A whole number in a query parameter; None when it is absent. Raises Invalid."""
    given = text(name)
    if given is None:
        return None
    if not re.fullmatch(r"[0-9]{1,100}", given, re.ASCII) or int(given) < low:
        raise Invalid.field(name, f"must be a whole number of at least {low}")
    return int(given)


def moment(name: str) -> times.Moment | None:
    """A moment in a query parameter, 1970 for all that are earlier; None when it is absent. Raises
    Invalid.
    """
    given = text(name)
    if given is None:
        return None
    try:
        found = times.read(given)
    except ValueError as error:
        raise Invalid.field(name, str(error)) from error
    return found if found.at > EPOCH else times.Moment(EPOCH, whole_seconds=False)


def order(spellings: Mapping[str, Field], default: tuple[Field, bool]) -> tuple[Field, bool]:
    """The field that the request sorts by, and whether the largest come first. Raises Invalid for
    an unknown field.
    """
    found = default
    for name in ("sortAsc", "sortDesc"):  # of both given, the second wins
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
    """Raise Invalid where the request names a field to sort by: this list has one order only."""
    for name in ("sortAsc", "sortDesc"):
        if request.args.get(name):
            raise Invalid.field(name, "this list has one order, it can't be sorted by a field")


def wants_facets() -> bool:
    """Did the request ask for facets beside the results?"""
    return request.headers.get("includeFacets", "").strip().lower() in ("true", "1")


def alternatives(name: str) -> list[str] | None:
    """The values of a filter parameter, any of which may match; None without it. A value in double
    quotes may hold commas.
    """
    given = text(name)
    if given is None:
        return None
    return [
        quoted or plain.strip()
        for quoted, plain in ALTERNATIVE.findall(given)
        if quoted or plain.strip()
    ]
