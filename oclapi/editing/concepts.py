"""Edits of concepts.

Each edit takes a draft and a checked body. It raises, or puts one item into the draft and returns
the item and whether it changed.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from oclapi import bodies, urls
from oclapi.editing import naming, openmrs
from oclapi.editing.draft import Draft, Item
from oclapi.editing.values import check_size, concept_value, new_uuid, same
from oclapi.errors import Invalid, NotFound
from oclapi.model import Json, Repository

Edited = tuple[Item, bool]
"""The item, and whether this edit changed it."""

Content = frozenset[tuple[str, Any]]

TEXT = {
    "names": ("name", "name_type", "ConceptName"),
    "descriptions": ("description", "description_type", "ConceptDescription"),
}


def create(draft: Draft, repo: Repository, body: Json) -> Edited:
    """Add a concept.

    Raises Invalid when the id is taken (keys `__all__` and `id`) or the source's schema refuses it.
    """
    url = urls.item_url(repo.url, "concept", body["id"])
    if draft.exists(repo, "concept", url):
        text = f"a concept with the id {body['id']} exists already"
        raise Invalid({"__all__": [text], "id": [text]})
    value = {
        "id": body["id"],
        "uuid": new_uuid(),
        "external_id": body.get("external_id"),
        "concept_class": body["concept_class"],
        "datatype": body.get("datatype", "None"),
        "names": entries("names", body["names"], ()),
        "descriptions": entries("descriptions", body.get("descriptions") or (), ()),
        "retired": body.get("retired", False),
        "extras": body.get("extras") or {},
        "update_comment": body.get("update_comment"),
        "created_on": None,
        "created_by": None,
    }
    return _put(draft, Item(repo, "concept", url, value, None)), True


def update(draft: Draft, repo: Repository, concept: str, body: Json) -> Edited:
    """Change the fields in `body`. An update without a change creates no version.

    Raises NotFound, Invalid.
    """

    def change(value: Json) -> None:
        if body.get("id", concept) != concept:
            raise Invalid.field("id", "an id can't be changed")
        for field in ("external_id", "concept_class", "datatype", "retired"):
            if field in body:
                value[field] = body[field]
        if "extras" in body:
            value["extras"] = body["extras"] or {}
        for part in ("names", "descriptions"):
            if part in body:
                value[part] = entries(part, body[part] or (), value[part])

    return edit(draft, repo, concept, change, body.get("update_comment"))


def retire(draft: Draft, repo: Repository, concept: str, comment: str | None) -> Edited:
    """Retire a concept. Its source's schema is not checked.

    Raises NotFound, and Invalid when it is retired already.
    """

    def change(value: Json) -> None:
        if value["retired"]:
            raise Invalid.field("__all__", "this concept is already retired")
        value["retired"] = True

    return edit(draft, repo, concept, change, comment, by_schema=False)


def edit(
    draft: Draft,
    repo: Repository,
    concept: str,
    change: Callable[[Json], None],
    comment: str | None = None,
    *,
    by_schema: bool = True,
) -> Edited:
    """Apply `change` to the concept's value. Creates a version only if the value differs.

    Raises NotFound, the errors of `change`, and with `by_schema` Invalid when the source's schema
    refuses the result.
    """
    url = urls.item_url(repo.url, "concept", concept)
    item, row = draft.pending(url), draft.living(repo, "concept", url)
    if item is None and row is None:
        raise NotFound(f"concept {concept} not found")
    before = item.value if item else concept_value(row)  # type: ignore[arg-type]
    value = {
        **before,
        "names": list(before["names"]),
        "descriptions": list(before["descriptions"]),
        "extras": dict(before["extras"]),
    }
    change(value)
    if same(before, value):
        return item or Item(repo, "concept", url, before, row, row.body if row else b""), False
    value["update_comment"] = comment
    return _put(draft, Item(repo, "concept", url, value, row), by_schema=by_schema), True


def _put(draft: Draft, item: Item, *, by_schema: bool = True) -> Item:
    value, repo = item.value, item.repo
    shown = naming.display_name(value["names"], repo.default_locale, repo.supported_locales)
    value["display_name"], value["display_locale"] = shown
    value["locale"] = naming.lookup_locale(value["names"])
    check_size(value)
    if by_schema and repo.custom_validation_schema == "OpenMRS":
        check_openmrs(draft, item)
    draft.put(item)
    return item


def check_openmrs(draft: Draft, item: Item) -> None:
    """Raise Invalid when the concept violates the schema OpenMRS (contract 18)."""
    lists = {source: draft.lookup(source) for source in openmrs.LOOKUP_SOURCES}
    errors = openmrs.concept_errors(item.value, lists)
    others = draft.claimants(item.repo, openmrs.rivals(item.value)) - {item.url}
    if others:
        text = (
            "a fully specified or preferred name must be unique in its locale; "
            f"{sorted(others)[0]} has it too"
        )
        errors.setdefault("names", []).append(text)
    if errors:
        raise Invalid(errors)


def entries(part: str, given: Iterable[Json], kept: Sequence[Json]) -> list[Json]:
    """Return the entries of `names` or `descriptions` as stored, in the given order.

    An entry keeps its uuid when it is equal to an existing one or contains its uuid.
    """
    text, type_field, type_name = TEXT[part]
    left = {entry["uuid"]: entry for entry in kept}
    result: list[Json] = []
    for body in given:
        result.append(
            {
                "uuid": left.pop(body["uuid"])["uuid"] if body.get("uuid") in left else None,
                "external_id": body.get("external_id"),
                text: body[text],
                "locale": body["locale"],
                "locale_preferred": body.get("locale_preferred", False),
                type_field: body.get(type_field),
                "type": type_name,
            }
        )
    spare: dict[Content, list[str]] = {}
    for old in reversed(left.values()):
        spare.setdefault(_content(old), []).append(old["uuid"])
    for entry in result:
        if entry["uuid"] is None:
            twins = spare.get(_content(entry)) if spare else None
            entry["uuid"] = twins.pop() if twins else new_uuid()
    return result


def _content(entry: Json) -> Content:
    """Return what two equal entries have in common: everything except the uuid."""
    return frozenset((name, value) for name, value in entry.items() if name != "uuid")


# One entry of a concept's names or descriptions


def add_entry(
    draft: Draft, repo: Repository, concept: str, part: str, body: Json
) -> tuple[Edited, Json]:
    """Append a name or description. Returns the edit and the new entry.

    Raises NotFound, and Invalid when the list is full.
    """
    [entry] = entries(part, [{**body, "uuid": None}], ())

    def change(value: Json) -> None:
        if len(value[part]) >= bodies.ENTRIES:
            raise Invalid.field(part, f"may have at most {bodies.ENTRIES} entries")
        value[part].append(entry)

    return edit(draft, repo, concept, change), entry


def update_entry(
    draft: Draft, repo: Repository, concept: str, part: str, uuid: str, body: Json
) -> tuple[Edited, Json]:
    """Change the fields of an entry that are in `body`. Returns the edit and the entry.

    Raises NotFound.
    """
    result: Json = {}

    def change(value: Json) -> None:
        position = _position(value[part], uuid)
        result.update(
            {
                **value[part][position],
                **{
                    name: body[name]
                    for name in body
                    if name in value[part][position] and name not in ("uuid", "type")
                },
            }
        )
        value[part][position] = dict(result)

    return edit(draft, repo, concept, change), result


def delete_entry(draft: Draft, repo: Repository, concept: str, part: str, uuid: str) -> Edited:
    """Remove an entry. Raises NotFound, and Invalid for the last name."""

    def change(value: Json) -> None:
        position = _position(value[part], uuid)
        if part == "names" and len(value[part]) == 1:
            raise Invalid.field("names", "a concept must have at least one name")
        del value[part][position]

    return edit(draft, repo, concept, change)


def _position(found: Sequence[Json], uuid: str) -> int:
    for position, entry in enumerate(found):
        if entry["uuid"] == uuid:
            return position
    raise NotFound(f"entry {uuid} not found")


# One key of a concept's extras


def set_extra(draft: Draft, repo: Repository, concept: str, key: str, given: Any) -> Edited:
    """Create or replace a key. Raises NotFound, and Invalid when the extras exceed a limit."""

    def change(value: Json) -> None:
        value["extras"] = bodies.concept_update({"extras": {**value["extras"], key: given}})[
            "extras"
        ]

    return edit(draft, repo, concept, change)


def delete_extra(draft: Draft, repo: Repository, concept: str, key: str) -> Edited:
    """Remove a key. Raises NotFound."""

    def change(value: Json) -> None:
        if key not in value["extras"]:
            raise NotFound(f"extra {key} not found")
        del value["extras"][key]

    return edit(draft, repo, concept, change)
