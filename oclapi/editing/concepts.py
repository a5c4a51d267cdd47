"""Edits of concepts.

Each edit takes a unit of work and a checked body. It raises, or puts one entry into the unit, and
returns the entry and whether it changed.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from oclapi import bodies, urls
from oclapi.editing import naming, openmrs
from oclapi.editing.entries import Entry
from oclapi.editing.unit_of_work import UnitOfWork
from oclapi.editing.values import check_size, new_uuid, same
from oclapi.errors import Invalid, NotFound
from oclapi.model import Json, Repository, not_retired

Edited = tuple[Entry, bool]
"""The entry, and whether this edit changed it."""

Content = frozenset[tuple[str, Any]]

TEXT = {
    "names": ("name", "name_type", "ConceptName"),
    "descriptions": ("description", "description_type", "ConceptDescription"),
}


def create(unit: UnitOfWork, repo: Repository, body: Json) -> Edited:
    """Add a concept.

    Raises Invalid when the id is taken (keys `__all__` and `id`) or the source's schema refuses it.
    """
    url = urls.item_url(repo.url, "concept", body["id"])
    if unit.exists(repo, "concept", url):
        text = f"a concept with the id {body['id']} exists already"
        raise Invalid({"__all__": [text], "id": [text]})
    value = {
        "id": body["id"],
        "uuid": new_uuid(),
        "external_id": body.get("external_id"),
        "concept_class": body["concept_class"],
        "datatype": body.get("datatype", "None"),
        "names": texts("names", body["names"], ()),
        "descriptions": texts("descriptions", body.get("descriptions") or (), ()),
        "retired": body.get("retired", False),
        "retire_reason": body.get("retire_reason"),
        "extras": body.get("extras") or {},
        "update_comment": body.get("update_comment"),
        "created_on": None,
        "created_by": None,
    }
    return _put(unit, Entry(repo, "concept", url, value, None)), True


def update(unit: UnitOfWork, repo: Repository, concept: str, body: Json) -> Edited:
    """Change the fields in `body`. An update without a change creates no version.

    Raises NotFound, Invalid.
    """

    def change(value: Json) -> None:
        if body.get("id", concept) != concept:
            raise Invalid.field("id", "an id can't be changed")
        was_retired = value["retired"]
        for field in ("external_id", "concept_class", "datatype", "retired", "retire_reason"):
            if field in body:
                value[field] = body[field]
        if was_retired and not value["retired"]:
            value["retire_reason"] = None
        if "extras" in body:
            value["extras"] = body["extras"] or {}
        for part in ("names", "descriptions"):
            if part in body:
                value[part] = texts(part, body[part] or (), value[part])

    return edit(unit, repo, concept, change, body.get("update_comment"))


def retire(unit: UnitOfWork, repo: Repository, concept: str, comment: str | None) -> Edited:
    """Retire a concept.

    Raises NotFound, and Invalid when it is retired already.
    """

    def change(value: Json) -> None:
        if value["retired"]:
            raise Invalid.field("__all__", "this concept is already retired")
        value["retired"] = True

    return edit(unit, repo, concept, change, comment)


def edit(
    unit: UnitOfWork,
    repo: Repository,
    concept: str,
    change: Callable[[Json], None],
    comment: str | None = None,
) -> Edited:
    """Apply `change` to the concept's value. Creates a version only if the value differs.

    Raises NotFound, the errors of `change`, and Invalid when the source's schema refuses the
    result.
    """
    url = urls.item_url(repo.url, "concept", concept)
    before = unit.current(repo, "concept", url)
    if before is None:
        raise NotFound(f"concept {concept} not found")
    value = {
        **before.value,
        "names": list(before.value["names"]),
        "descriptions": list(before.value["descriptions"]),
        "extras": dict(before.value["extras"]),
    }
    change(value)
    if same(before.value, value):
        return before, False
    value["update_comment"] = comment
    after = Entry(repo, "concept", url, value, before.row)
    return _put(unit, after), True


def _put(unit: UnitOfWork, entry: Entry) -> Entry:
    value, repo = entry.value, entry.repo
    if not not_retired(value["names"]):
        raise Invalid.field("names", "at least one name that is not retired is needed")
    shown = naming.display_name(value["names"], repo.default_locale, repo.supported_locales)
    value["display_name"], value["display_locale"] = shown
    value["locale"] = naming.lookup_locale(value["names"])
    check_size(value)
    if repo.custom_validation_schema == "OpenMRS" and not value["retired"]:
        check_openmrs(unit, entry)
    unit.put(entry)
    return entry


def check_openmrs(unit: UnitOfWork, entry: Entry) -> None:
    """Raise Invalid when the active concept violates the schema OpenMRS (contract 18)."""
    lists = {source: unit.lookup(source) for source in openmrs.LOOKUP_SOURCES}
    errors = openmrs.concept_errors(entry.value, lists)
    waits = not errors
    others = unit.claimants(entry.repo, openmrs.claims(entry.value)) - {entry.url}
    if others:
        text = (
            "a fully specified or preferred name must be unique in its locale; "
            f"{sorted(others)[0]} has it too"
        )
        errors.setdefault("names", []).append(text)
    if errors:
        raise Invalid(errors, waits=waits)


def texts(part: str, given: Iterable[Json], kept: Sequence[Json]) -> list[Json]:
    """Return `names` or `descriptions` as they are stored, in the given order.

    One keeps its uuid when it is equal to an existing one or contains its uuid. In the latter case
    it loses the reason of its retirement when it is no longer retired.
    """
    text, type_field, type_name = TEXT[part]
    left = {kept_text["uuid"]: kept_text for kept_text in kept}
    result: list[Json] = []
    for body in given:
        old = left.pop(body["uuid"], None) if "uuid" in body else None
        retired = body.get("retired", False)
        unretired = old is not None and old["retired"] and not retired
        result.append(
            {
                "uuid": old["uuid"] if old else None,
                "external_id": body.get("external_id"),
                text: body[text],
                "locale": body["locale"],
                "locale_preferred": body.get("locale_preferred", False),
                type_field: body.get(type_field),
                "retired": retired,
                "retire_reason": None if unretired else body.get("retire_reason"),
                "type": type_name,
            }
        )
    spare: dict[Content, list[str]] = {}
    for old in reversed(left.values()):
        spare.setdefault(_content(old), []).append(old["uuid"])
    for new in result:
        if new["uuid"] is None:
            twins = spare.get(_content(new)) if spare else None
            new["uuid"] = twins.pop() if twins else new_uuid()
    return result


def _content(named: Json) -> Content:
    """Return what two equal names or descriptions have in common: all except the uuid."""
    return frozenset((name, value) for name, value in named.items() if name != "uuid")


# One name or description of a concept


def add_text(
    unit: UnitOfWork, repo: Repository, concept: str, part: str, body: Json
) -> tuple[Edited, Json]:
    """Append a name or description. Returns the edit and the new one.

    Raises NotFound, and Invalid when the list is full.
    """
    [new] = texts(part, [{**body, "uuid": None}], ())

    def change(value: Json) -> None:
        if len(value[part]) >= bodies.ENTRIES:
            raise Invalid.field(part, f"may have at most {bodies.ENTRIES} entries")
        value[part].append(new)

    return edit(unit, repo, concept, change), new


def update_text(
    unit: UnitOfWork, repo: Repository, concept: str, part: str, uuid: str, body: Json
) -> tuple[Edited, Json]:
    """Change the fields of a name or description that are in `body`. Return the edit and the text.

    Raises NotFound, and Invalid for the last name that is not retired.
    """
    result: Json = {}

    def change(value: Json) -> None:
        position = _position(value[part], uuid)
        [changed] = texts(part, [{**value[part][position], **body, "uuid": uuid}], value[part])
        result.update(changed)
        value[part][position] = changed

    return edit(unit, repo, concept, change), result


def delete_text(unit: UnitOfWork, repo: Repository, concept: str, part: str, uuid: str) -> Edited:
    """Remove a name or description.

    Raises NotFound, and Invalid for the last name that is not retired.
    """

    def change(value: Json) -> None:
        del value[part][_position(value[part], uuid)]

    return edit(unit, repo, concept, change)


def _position(found: Sequence[Json], uuid: str) -> int:
    for position, one in enumerate(found):
        if one["uuid"] == uuid:
            return position
    raise NotFound(f"entry {uuid} not found")


# One key of a concept's extras


def set_extra(unit: UnitOfWork, repo: Repository, concept: str, key: str, given: Any) -> Edited:
    """Create or replace a key. Raises NotFound, and Invalid when the extras exceed a limit."""

    def change(value: Json) -> None:
        value["extras"] = bodies.concept_update({"extras": {**value["extras"], key: given}})[
            "extras"
        ]

    return edit(unit, repo, concept, change)


def delete_extra(unit: UnitOfWork, repo: Repository, concept: str, key: str) -> Edited:
    """Remove a key. Raises NotFound."""

    def change(value: Json) -> None:
        if key not in value["extras"]:
            raise NotFound(f"extra {key} not found")
        del value["extras"][key]

    return edit(unit, repo, concept, change)
