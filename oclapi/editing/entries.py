"""A concept or mapping as an edit changes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from oclapi.editing import openmrs
from oclapi.model import Json, Kind, Repository, Row

MappingKey = tuple[str, str, str]
"""(from, map_type, to), unique among the mappings of a source."""

Pair = tuple[str, str, str]
"""(from, to, `openmrs.relation`), unique among the active mappings under the schema OpenMRS."""


@dataclass(slots=True)
class Entry:
    """A concept or mapping in its state after the commit."""

    repo: Repository  # the one whose commit writes it
    kind: Kind
    url: str
    value: Json  # its own fields, see editing/values.py
    row: Row | None  # the living row that it replaces
    body: bytes = b""  # the published JSON, once the commit has rendered it
    removed: bool = False  # its row ends without a successor

    @property
    def created(self) -> bool:
        return self.row is None

    @property
    def key(self) -> tuple[int, str]:
        """What identifies it in a commit: the number of its repository, and its URL."""
        return self.repo.number, self.url


def mapping_keys(entry: Entry) -> tuple[MappingKey, ...]:
    """Return the key of a mapping, as a collection."""
    if entry.kind != "mapping" or entry.removed:
        return ()
    return (key_of(entry.value),)


def pairs(entry: Entry) -> tuple[Pair, ...]:
    """Return the pair of an active mapping, as a collection."""
    if entry.kind != "mapping" or entry.removed or entry.value["retired"]:
        return ()
    return (pair_of(*key_of(entry.value)),)


def pair_of(start: str, map_type: str, end: str) -> Pair:
    """Return the pair of a mapping with this key."""
    return start, end, openmrs.relation(map_type)


def key_of(mapping: Mapping[str, Any]) -> MappingKey:
    """Return the key of a mapping's value."""
    return mapping["from_concept_url"], mapping["map_type"], mapping["to"]


def uses(mapping: Entry) -> list[str]:
    """Return the concepts of other repositories that a mapping uses."""
    ends = (mapping.value["from_concept_url"], mapping.value["to_concept_url"])
    return [url for url in ends if url and not url.startswith(mapping.repo.url)]
