"""Metadata of owners, repositories and versions as it is stored."""

from typing import Any

from oclapi import jsonio
from oclapi.model import Json


def stored(fields: Json) -> Json:
    """Return metadata as it is stored: with extras as bytes, because BSON can't keep all keys."""
    if fields.get("extras") is None:
        return fields
    return {**fields, "extras": jsonio.dumps(fields["extras"])}


def extras_of(document: Json) -> Any:
    """Return the extras of a stored document, None when it has none."""
    raw = document.get("extras")
    return None if raw is None else jsonio.loads_own(raw)
