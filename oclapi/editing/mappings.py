"""Edits of mappings.

Each edit takes a unit of work and a checked body. It raises, or puts one entry into the unit, and
returns the entry and whether it changed.
"""

from collections.abc import Mapping
from typing import Any

from oclapi import urls
from oclapi.editing import openmrs
from oclapi.editing.concepts import Edited
from oclapi.editing.entries import Entry, MappingKey, pairs
from oclapi.editing.unit_of_work import UnitOfWork
from oclapi.editing.values import external_target, same, shown_concepts
from oclapi.errors import Invalid, NotFound
from oclapi.model import Json, Repository

TARGET_FIELDS = ("to_concept_url", "to_source_url", "to_concept_code")


def create(unit: UnitOfWork, repo: Repository, body: Json, *, absent: bool = True) -> Edited:
    """Add a mapping. Without an id in the body it gets one that sorts by its arrival.

    `absent` says whether an internal target that is not here becomes an external one when its
    source and code are given too. Raises Invalid, see contract 12.3.
    """
    if body.get("id"):
        url = urls.item_url(repo.url, "mapping", body["id"])
        if unit.exists(repo, "mapping", url):
            text = f"a mapping with the id {body['id']} exists already"
            raise Invalid({"__all__": [text], "id": [text]})
    uuid = unit.new_uuid(repo)
    value = {
        "id": body.get("id") or _dashed(uuid),
        "uuid": uuid,
        "external_id": body.get("external_id"),
        "retired": body.get("retired", False),
        "retire_reason": body.get("retire_reason"),
        "map_type": body["map_type"],
        "sort_weight": body.get("sort_weight"),
        "extras": body.get("extras"),
        "update_comment": body.get("update_comment"),
        "created_on": None,
        "created_by": None,
    }
    _set_from(unit, value, body["from_concept_url"])
    _set_target(unit, value, body, absent)
    url = urls.item_url(repo.url, "mapping", value["id"])
    return _put(unit, Entry(repo, "mapping", url, value, None)), True


def _dashed(uuid: str) -> str:
    """Return a uuid with dashes."""
    return f"{uuid[:8]}-{uuid[8:12]}-{uuid[12:16]}-{uuid[16:20]}-{uuid[20:]}"


def update(
    unit: UnitOfWork, repo: Repository, mapping: str, body: Json, *, absent: bool = True
) -> Edited:
    """Change the fields in `body`. An update without a change creates no version.

    `absent` as in `create`.

    Raises NotFound, and Invalid, also when the source's schema refuses the result.
    """
    url = urls.item_url(repo.url, "mapping", mapping)
    current = unit.current(repo, "mapping", url)
    if current is None:
        raise NotFound(f"mapping {mapping} not found")
    before = current.value
    if body.get("id") not in (None, mapping):
        raise Invalid.field("id", "an id can't be changed")
    value = dict(before)
    for field in ("external_id", "retired", "retire_reason", "map_type", "sort_weight", "extras"):
        if field in body:
            value[field] = body[field]
    if before["retired"] and not value["retired"]:
        value["retire_reason"] = None
    if "from_concept_url" in body and _names_another(
        body["from_concept_url"], before["from_concept_url"]
    ):
        _set_from(unit, value, body["from_concept_url"])
    _change_target(unit, value, body, absent)
    if same(before, value):
        return current, False
    _refresh_names(unit, repo, value)
    value["update_comment"] = body.get("update_comment")
    after = Entry(repo, "mapping", url, value, current.row)
    return _put(unit, after), True


def retire(unit: UnitOfWork, repo: Repository, mapping: str, comment: str | None) -> Edited:
    """Retire a mapping. A retired one stays unchanged.

    Raises NotFound.
    """
    return update(unit, repo, mapping, {"retired": True, "update_comment": comment})


def key_of(body: Mapping[str, Any]) -> MappingKey | None:
    """Return (from, map_type, to) of a body, or None when it is incomplete.

    Imports find mappings without an id by it.
    """
    start = urls.item(body["from_concept_url"]) if body.get("from_concept_url") else None
    if start is None or not body.get("map_type"):
        return None
    if body.get("to_concept_url"):
        end = urls.item(body["to_concept_url"])
        return (start.stable, body["map_type"], end.stable) if end else None
    source = urls.repo(body["to_source_url"]) if body.get("to_source_url") else None
    if source is None or not body.get("to_concept_code"):
        return None
    return start.stable, body["map_type"], external_target(source, body["to_concept_code"])


def _names_another(given: str, kept: str | None) -> bool:
    found = urls.item(given)
    return found is None or found.stable != kept


def _set_from(unit: UnitOfWork, value: Json, url: str) -> None:
    target = unit.target("from_concept_url", url)
    value["from_concept_url"], value["from_concept_name"] = target.url, target.name


def _set_target(unit: UnitOfWork, value: Json, body: Mapping[str, Any], absent: bool) -> None:
    """Resolve a complete target, internal or external."""
    url, source, code = (body.get(field) for field in TARGET_FIELDS)
    if url and not (_is_absent(unit, url, source, code) and absent):
        target = unit.target("to_concept_url", url)
        given = body.get("to_concept_name")
        own = bool(given) and given != target.name
        value.update(
            to_concept_url=target.url,
            to_source_url=target.repo.url,
            to_concept_code=target.code,
            to_concept_name=given if own else target.name,
            to=target.url,
            own_to_name=own,
        )
        return
    if not source or not code:
        raise Invalid.field(
            "__all__", "a mapping needs to_concept_url, or to_source_url and to_concept_code"
        )
    found = urls.repo(source)
    if found is None:
        raise Invalid.field("to_source_url", "this is not the URL of a source")
    source_there = unit.repo(found)
    if source_there is None or source_there.kind != "source":
        raise Invalid.field("to_source_url", f"source {found[:300]} not found", waits=True)
    value.update(
        to_concept_url=None,
        to_source_url=found,
        to_concept_code=code,
        to_concept_name=body.get("to_concept_name"),
        to=external_target(found, code),
        own_to_name=False,
    )


def _is_absent(unit: UnitOfWork, url: str, source: str | None, code: str | None) -> bool:
    """Return whether a target is given by URL, source and code, and the URL names nothing.

    Nothing is also what the caller may not read. Such a target is external (contract 12.1). Raises
    Invalid when the URL is not that of the code in the source.
    """
    found = urls.item(url)
    if found is None or found.kind != "concept":
        return False
    repo = urls.repo(source) if source else found.repo
    if repo is None:
        raise Invalid.field("to_source_url", "this is not the URL of a source")
    if repo != found.repo or (code and urls.nfc(code) != found.id):
        raise Invalid.field(
            "__all__",
            "to_concept_url and to_source_url with to_concept_code name different concepts; "
            "give one of the two",
        )
    return bool(source and code) and unit.name(found.stable) is None


def _change_target(unit: UnitOfWork, value: Json, body: Mapping[str, Any], absent: bool) -> None:
    """Update the target. Only the given parts change, and one form of target clears the other.

    A target that is unchanged is not looked up, because the caller may have lost access to it.
    """
    given = {field: body[field] for field in TARGET_FIELDS if body.get(field)}
    name = {"to_concept_name": body["to_concept_name"]} if "to_concept_name" in body else {}
    emptied = [
        field for field in TARGET_FIELDS if field in body and not body[field] and value[field]
    ]
    whole = absent and len(given) == len(TARGET_FIELDS)
    if whole and not _names_target(given, value) and _is_absent(unit, *given.values()):
        del given["to_concept_url"]
    internal = bool(value["to_concept_url"])
    # Source and code of an internal target are derived from its URL.
    if internal and "to_concept_url" not in emptied:
        emptied = []
    if emptied or not _names_target(given, value):
        half = internal and not emptied and "to_concept_url" not in given and len(given) == 1
        if not given or half or (not internal and emptied and "to_concept_url" not in given):
            raise Invalid.field(
                "__all__", "a mapping needs to_concept_url, or to_source_url and to_concept_code"
            )
        kept = (
            {}
            if "to_concept_url" in given
            else {field: value[field] for field in ("to_source_url", "to_concept_code")}
        )
        _set_target(unit, value, {**kept, **given, **name}, absent)
    elif name and body["to_concept_name"] != value["to_concept_name"]:
        if value["to_concept_url"]:
            _set_target(unit, value, {"to_concept_url": value["to_concept_url"], **name}, absent)
        else:
            value["to_concept_name"] = body["to_concept_name"]


def _names_target(given: Mapping[str, str], value: Json) -> bool:
    """Return whether all of these fields equal those of the current target."""
    if "to_concept_url" in given and _names_another(
        given["to_concept_url"], value["to_concept_url"]
    ):
        return False
    if "to_source_url" in given and urls.repo(given["to_source_url"]) != value["to_source_url"]:
        return False
    code: str = value["to_concept_code"]
    return given.get("to_concept_code", code) == code


def _refresh_names(unit: UnitOfWork, repo: Repository, value: Json) -> None:
    """Update the names of concepts of other sources.

    The unit of work updates those of its own source.
    """
    for field in shown_concepts(value):
        if not value[field].startswith(repo.url):
            shown = field.replace("_url", "_name")
            value[shown] = unit.name(value[field]) or value[shown]


def _put(unit: UnitOfWork, entry: Entry) -> Entry:
    value, repo = entry.value, entry.repo
    other = unit.mapped(repo, (value["from_concept_url"], value["map_type"], value["to"]))
    if other and other != entry.url:
        raise Invalid.field(
            "__all__", f"these concepts are mapped by that map type already: {other}", waits=True
        )
    if repo.custom_validation_schema == "OpenMRS" and not value["retired"]:
        check_openmrs(unit, entry)
    unit.put(entry)
    return entry


def check_openmrs(unit: UnitOfWork, entry: Entry) -> None:
    """Raise Invalid when the active mapping violates the schema OpenMRS (contract 12.3)."""
    errors = openmrs.mapping_errors(entry.value, unit.lookup("MapTypes"))
    waits = not errors
    [pair] = pairs(entry)
    others = unit.active_between(entry.repo, pair) - {entry.url}
    if others:
        errors["__all__"] = [
            "there is an active mapping of this kind between these two concepts already: "
            f"{sorted(others)[0]}"
        ]
    if errors:
        raise Invalid(errors, waits=waits)
