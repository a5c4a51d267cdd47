"""The lookup lists of the schema OpenMRS, as lines of an import (contract 18).

The terms are those of OpenMRS and of OCL's lists. The languages are those of the Unicode CLDR, with
their codes of two or three letters. The descriptions are our own.
"""

import re
from collections.abc import Iterator
from importlib.resources import files

from oclapi import jsonio
from oclapi.model import Json

OWNER = "OCL"
CLASSES = {
    "Classes": ("Concept classes", "Concept Class"),
    "Datatypes": ("Datatypes of concepts", "Datatype"),
    "NameTypes": ("Types of names", "NameType"),
    "DescriptionTypes": ("Types of descriptions", "DescriptionType"),
    "MapTypes": ("Types of mappings", "MapType"),
    "Locales": ("Languages", "Locale"),
}
"""The name of each list, and the class of its concepts."""


def lines() -> Iterator[bytes]:
    """Yield the lines of the sources and their concepts. Every database has the organisation."""
    for source, (name, _) in CLASSES.items():
        yield jsonio.dumps({"type": "Source", "id": source, "owner": OWNER, "name": name})
    with (files("config") / "lookup_lists.jsonl").open("rb") as entries:
        for entry in entries:
            yield jsonio.dumps(_concept(jsonio.object_of(entry)))


def _concept(entry: Json) -> Json:
    """Return the import line of an entry: `list`, `name`, and what it may have besides.

    These are `description`, `also` (other names), and `code` (of a language, which is its id).
    """
    code = entry.get("code")
    names = [_name(entry["name"], "FULLY_SPECIFIED", locale_preferred=True)]
    if code:
        names.append(_name(code, "ISO 639-1" if len(code) == 2 else "ISO 639-2"))
    names += [_name(name, "ISO 639-2" if code else None) for name in entry.get("also", ())]
    described = (
        [{"description": text, "locale": "en"}] if (text := entry.get("description")) else []
    )
    return {
        "type": "Concept",
        "owner": OWNER,
        "source": entry["list"],
        "id": code or re.sub(r"[^A-Za-z0-9]+", "-", entry["name"]),
        "concept_class": CLASSES[entry["list"]][1],
        "datatype": "N/A",
        "names": names,
        "descriptions": described,
    }


def _name(text: str, kind: str | None, *, locale_preferred: bool = False) -> Json:
    return {
        "name": text,
        "locale": "en",
        "name_type": kind,
        "locale_preferred": locale_preferred,
    }
