"""Rows as the store has them, made without it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from oclapi import representations, urls
from oclapi.model import LIVE, Row
from search import fields

SOURCE = "/orgs/NorthLab/sources/LABX/"
BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


def concept(
    short_id: str,
    *names: str,
    repo: int = 7,
    url: str = SOURCE,
    rev: int = 1,
    to: int = LIVE,
    **given: Any,
) -> Row:
    """A concept of these names, the first in English and the others in Spanish."""
    texts = [
        {
            "uuid": str(place),
            "external_id": None,
            "name": name,
            "locale": "es" if place else "en",
            "locale_preferred": not place,
            "name_type": None,
            "type": "ConceptName",
        }
        for place, name in enumerate(names or (f"Name of {short_id}",))
    ]
    value = {
        "id": short_id,
        "uuid": short_id,
        "external_id": None,
        "concept_class": "Test",
        "datatype": "None",
        "names": texts,
        "retired": False,
        "retire_reason": None,
        "display_name": texts[0]["name"],
        "display_locale": "en",
        "descriptions": [],
        "extras": {},
        "locale": None,
        "update_comment": None,
        "created_on": None,
        "created_by": None,
        **given,
    }
    at = BEGUN + timedelta(seconds=rev)
    body = representations.concept_body(value, url, rev, at, "Amina")
    header = fields.concept_header(value, "Amina")
    return Row(
        repo,
        "concept",
        urls.item_url(url, "concept", short_id),
        short_id,
        rev,
        to,
        at,
        value["retired"],
        body,
        header,
    )


def mapping(
    short_id: str, start: str, end: str, *, repo: int = 7, rev: int = 1, **given: Any
) -> Row:
    """A mapping of LABX between two concept URLs."""
    to = urls.item(end)
    assert to is not None
    value = {
        "id": short_id,
        "uuid": short_id,
        "external_id": None,
        "retired": False,
        "retire_reason": None,
        "map_type": "SAME-AS",
        "from_concept_url": start,
        "from_concept_name": "Start",
        "to_source_url": to.repo,
        "to_concept_code": to.id,
        "to_concept_name": "End",
        "to_concept_url": end,
        "to": end,
        "own_to_name": False,
        "sort_weight": None,
        "extras": None,
        "update_comment": None,
        "created_on": None,
        "created_by": None,
        **given,
    }
    at = BEGUN + timedelta(seconds=rev)
    body, header = (
        representations.mapping_body(value, SOURCE, 1, at, "amina"),
        fields.mapping_header(value, 1, "amina"),
    )
    return Row(
        repo,
        "mapping",
        urls.item_url(SOURCE, "mapping", short_id),
        short_id,
        rev,
        LIVE,
        at,
        value["retired"],
        body,
        header,
    )


def described(text: str) -> dict[str, Any]:
    return {
        "uuid": "d",
        "external_id": None,
        "description": text,
        "locale": "en",
        "locale_preferred": True,
        "description_type": None,
    }
