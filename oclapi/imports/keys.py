"""The keys of lines that nothing reads, which are named so that no content is lost in silence."""

from collections.abc import Mapping
from typing import Any

from oclapi import bodies
from oclapi.model import Json

MOST_NAMED = 20
"""Most keys that are named for one line."""
LONGEST = 80
"""Most characters of a key that are shown."""

_ANY = frozenset(("type", "__action"))
_OWNER = frozenset(("owner", "owner_type", "owner_url"))
_PLACE: Mapping[str, frozenset[str]] = {
    "User": _ANY,
    "Organization": _ANY,
    "Source": _ANY | _OWNER | {"short_code"},
    "Source Version": _ANY | _OWNER | {"source", "source_url"},
    "Concept": _ANY | _OWNER | {"source", "source_url", "mappings"},
    "Mapping": _ANY | _OWNER | {"source", "source_url"},
}
"""The keys that say what a line is and where its item belongs."""

_MADE = frozenset(["url", "uuid", "created_on", "created_by", "updated_on", "updated_by"])
_COUNTED = frozenset(
    [
        "versions",
        "active_concepts",
        "active_mappings",
        "versions_url",
        "concepts_url",
        "mappings_url",
    ]
)
_ANSWERED: Mapping[str, frozenset[str]] = {
    "User": _MADE
    | frozenset(
        [
            "orgs",
            "public_collections",
            "public_sources",
            "organizations_url",
            "orgs_url",
            "sources_url",
            "collections_url",
        ]
    ),
    "Organization": _MADE
    | frozenset(
        [
            "members",
            "public_collections",
            "public_sources",
            "members_url",
            "sources_url",
            "collections_url",
        ]
    ),
    "Source": _MADE | _COUNTED,
    # A version has the fields of its source too.
    "Source Version": _MADE
    | _COUNTED
    | frozenset(
        [
            "version_url",
            "previous_version_url",
            "previousVersionUrl",
            "parentVersionUrl",
            "parent_version_url",
            "is_processing",
            "sourceUrl",
            "short_code",
            "name",
            "full_name",
            "source_type",
            "public_access",
            "default_locale",
            "supported_locales",
            "website",
            "custom_validation_schema",
        ]
    ),
    "Concept": _MADE
    | frozenset(
        [
            "display_name",
            "display_locale",
            "version",
            "version_url",
            "is_latest_version",
            "locale",
            "version_created_on",
            "version_created_by",
        ]
    ),
    "Mapping": _MADE
    | frozenset(
        [
            "created_at",
            "updated_at",
            "version",
            "version_url",
            "versioned_object_id",
            "versioned_object_url",
            "is_latest_version",
            "from_concept_code",
            "from_concept_name",
            "to_source_owner",
            "to_source_owner_type",
            "to_source_name",
            "from_source_owner",
            "from_source_owner_type",
            "from_source_name",
            "from_source_url",
        ]
    ),
}
"""The keys of our own answers that can't be written. A line that was read may have them."""


def _of(form: Any) -> frozenset[str]:
    return frozenset(form.__required_keys__ | form.__optional_keys__)


_BODY = {
    "User": _of(bodies.User) | _of(bodies.UserChange),
    "Organization": _of(bodies.Org),
    "Source": _of(bodies.Source),
    "Source Version": _of(bodies.Version) | _of(bodies.VersionChange),
    "Concept": _of(bodies.Concept),
    "Mapping": _of(bodies.Mapping),
}
KNOWN: Mapping[str, frozenset[str]] = {
    name: _BODY[name] | _PLACE[name] | _ANSWERED[name] for name in _BODY
}
"""The keys of each type of line that are read or need not be."""
KNOWN_INSIDE: Mapping[str, frozenset[str]] = {
    "names": _of(bodies.Name) | {"type"},
    "descriptions": _of(bodies.Description) | {"type"},
    "mappings": KNOWN["Mapping"],
}
"""The same of the entries of a concept's lists."""


def ignored(kind: str, given: Json) -> tuple[str, ...]:
    """Return the keys of a line that nothing reads, and whose value is not null.

    Those of the entries of a list have its name before them, such as `names.checksum`.
    """
    found = _unread(given, KNOWN[kind])
    if kind == "Concept":
        for part, known in KNOWN_INSIDE.items():
            entries = given.get(part)
            if isinstance(entries, list):
                inside = {
                    key
                    for entry in entries
                    if isinstance(entry, dict) and not entry.keys() <= known
                    for key in _unread(entry, known)
                }
                found += [f"{part}.{key}" for key in sorted(inside)]
    return tuple(key[:LONGEST] for key in found[:MOST_NAMED])


def _unread(given: Json, known: frozenset[str]) -> list[str]:
    if given.keys() <= known:
        return []
    return [key for key, value in given.items() if key not in known and value is not None]
