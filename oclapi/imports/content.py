"""Lines of concepts and mappings. Many of them share the unit of work of one commit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from oclapi import urls
from oclapi.access import may, need
from oclapi.editing import concepts, mappings, openmrs
from oclapi.editing.entries import pair_of
from oclapi.editing.unit_of_work import UnitOfWork
from oclapi.errors import Invalid, NotFound, OclError
from oclapi.imports.lines import CONCEPT, Item, Line
from oclapi.imports.outcomes import Outcome, Result, tried
from oclapi.model import Json, Repository

Verb = str
"""What to do with a line: `create`, `update`, `delete`, or an outcome that needs no edit."""


def verb(action: str, is_there: bool, update_if_exists: bool) -> Verb:
    """Return what an action means for an item that exists or not.

    `update_if_exists` does not affect UPDATE, which is explicit.
    """
    if action.startswith("DELETE"):
        return "delete" if is_there else "not_found" if action == "DELETE" else "unchanged"
    if is_there:
        return (
            "update"
            if action == "UPDATE" or (action == "CREATE_OR_UPDATE" and update_if_exists)
            else "exists"
        )
    return "not_found" if action == "UPDATE" else "create"


@dataclass(frozen=True, slots=True)
class How:
    """How lines are carried out.

    Lines that can't be carried out wait, unless this is the `last` time. With `absent`, a mapping
    whose target is not there becomes external if its source and code are given (contract 12.1).
    """

    update_if_exists: bool
    absent: bool = False
    last: bool = False


def apply(unit: UnitOfWork, lines: Sequence[Line], how: How) -> list[Result]:
    """Apply the lines in order and return their results.

    A line that is refused changes nothing, and neither does one that waits for another line.

    It stops before a line for an item that an earlier line has changed already (a mapping that is
    found once by its id and once by its concepts). There are fewer results than lines then.
    """
    _prefetch(unit, lines, how.update_if_exists)
    results: list[Result] = []
    for line in lines:
        if line.settled:
            results.append(line.settled)
            continue
        if _touched(unit, line):
            break
        results.append(_apply_one(unit, line, how))
    return results


def _apply_one(unit: UnitOfWork, line: Line, how: How) -> Result:
    try:
        with unit.whole():
            repo = unit.repo(line.parent)
            if repo is None or repo.kind != "source" or not may(unit.caller, "read", repo):
                raise NotFound(f"source {line.parent} not found", waits=True)
            need(unit.caller, "write", repo)
            if line.kind is CONCEPT:
                return _concept(unit, repo, line, how)
            return _mapping(unit, repo, line, how)
    except OclError as error:
        return line.result(*tried(error, how.last))


def _touched(unit: UnitOfWork, line: Line) -> bool:
    """Return whether this commit changes the entry of the line already."""
    repo = unit.repo(line.parent)
    if repo is None:
        return False
    if line.url and unit.pending(repo, line.url):
        return True
    key = line.item.key if line.item else None
    found = unit.mapped(repo, key) if key else None
    return found is not None and unit.pending(repo, found) is not None


def _concept(unit: UnitOfWork, repo: Repository, line: Line, how: How) -> Result:
    item, url = line.item, line.url
    # lines.py settles lines without an id.
    assert item is not None and item.id is not None and url is not None
    what = verb(line.action, unit.exists(repo, "concept", url), how.update_if_exists)
    if what == "delete":
        row = unit.living(repo, "concept", url)
        if line.action == "DELETE_IF_EXISTS" and row and row.retired:
            return line.result("unchanged")
        concepts.retire(unit, repo, item.id, _comment(item))
        return line.result("deleted")
    if what == "create":
        if item.missing:
            return incomplete(line, item)
        concepts.create(unit, repo, checked_body(item.create))
    elif what == "update":
        _, changed = concepts.update(unit, repo, item.id, checked_body(item.update))
        what = "updated" if changed else "unchanged"
    else:
        return line.result(what, errors=messages(what, line))  # type: ignore[arg-type]
    for position, mapping in enumerate(line.mappings):
        outcome = _inner(unit, repo, mapping, position, how)
        if what == "unchanged" and outcome in ("created", "updated"):
            what = "updated"
    return line.result("created" if what == "create" else what)  # type: ignore[arg-type]


def _inner(
    unit: UnitOfWork,
    repo: Repository,
    mapping: Item,
    position: int,
    how: How,
) -> Outcome:
    """Create or update one of a concept line's mappings.

    Raises Invalid, which reverts the whole line.
    """
    try:
        outcome, _ = _write_mapping(unit, repo, mapping, "CREATE_OR_UPDATE", how)
        if outcome == "invalid":
            raise Invalid({name: ["this field is required"] for name in mapping.missing})
        return outcome
    except Invalid as error:
        located = [
            f"mappings[{position}].{name}: {text}"
            for name, texts in error.errors.items()
            for text in texts
        ]
        raise Invalid({"mappings": located}, waits=error.waits) from error


def _mapping(unit: UnitOfWork, repo: Repository, line: Line, how: How) -> Result:
    assert line.item is not None  # only settled lines have none
    outcome, url = _write_mapping(unit, repo, line.item, line.action, how)
    if outcome == "invalid":
        return incomplete(line, line.item)
    deleted = (
        line.action.startswith("DELETE") and url is not None and unit.exists(repo, "mapping", url)
    )
    return line.result(
        outcome,
        204 if outcome == "unchanged" and deleted else None,
        messages(outcome, line),
        url=url,
    )


def _write_mapping(
    unit: UnitOfWork,
    repo: Repository,
    item: Item,
    action: str,
    how: How,
) -> tuple[Outcome, str | None]:
    """Find the mapping by its id or its concepts, and carry out the action.

    Returns the outcome and the URL of the mapping.
    """
    url = urls.item_url(repo.url, "mapping", item.id) if item.id else None
    if url is None or not unit.exists(repo, "mapping", url):
        mapped = unit.mapped(repo, item.key) if item.key else None
        if url and mapped:
            raise Invalid.field("id", f"this relation has another mapping: {mapped}", waits=True)
        url = mapped or url
    is_there = url is not None and unit.exists(repo, "mapping", url)
    what = verb(action, is_there, how.update_if_exists)
    if what == "create":
        if item.missing:
            return "invalid", url
        created, _ = mappings.create(unit, repo, checked_body(item.create), absent=how.absent)
        return "created", created.url
    if what not in ("update", "delete"):
        return what, url  # type: ignore[return-value]
    assert url is not None  # it exists
    found = urls.id_of(url)
    if what == "delete":
        _, changed = mappings.retire(unit, repo, found, _comment(item))
        return "deleted" if changed else "unchanged", url
    _, changed = mappings.update(unit, repo, found, checked_body(item.update), absent=how.absent)
    return "updated" if changed else "unchanged", url


def checked_body(checked: Json | Invalid) -> Json:
    """Return a body that was checked with its line, or raise what is wrong with it."""
    if isinstance(checked, Invalid):
        raise checked
    return checked


def _comment(item: Item) -> str | None:
    return None if isinstance(item.update, Invalid) else item.update.get("update_comment")


def incomplete(line: Line, item: Item) -> Result:
    """Return the result of a line that lacks required keys of a new item."""
    return line.result(
        "invalid", errors={name: ["this field is required"] for name in item.missing}
    )


def messages(outcome: str, line: Line) -> Mapping[str, list[str]] | None:
    """Return the messages of outcomes that have no error."""
    noun = (line.type or "item").lower()
    if outcome == "exists":
        return {
            "__all__": [
                f"{noun} {line.url} exists already" if line.url else f"this {noun} exists already"
            ]
        }
    if outcome == "not_found":
        return {"__all__": [f"{noun} {line.url} not found" if line.url else f"{noun} not found"]}
    return None


# Prefetching: a few queries for a whole batch instead of some for each line


def _prefetch(unit: UnitOfWork, lines: Sequence[Line], update_if_exists: bool) -> None:
    by_source: dict[str, list[Line]] = {}
    for line in lines:
        if not line.settled:
            by_source.setdefault(line.parent, []).append(line)
    unit.load_repos(by_source)
    for source, here in by_source.items():
        repo = unit.repo(source)
        if repo is not None:
            _prefetch_concepts(
                unit, repo, [line for line in here if line.kind is CONCEPT], update_if_exists
            )
            _prefetch_mappings(
                unit,
                repo,
                [item for line in here for item in line.all_mappings],
                update_if_exists,
            )


def _prefetch_concepts(
    unit: UnitOfWork, repo: Repository, lines: Sequence[Line], bodies: bool
) -> None:
    unit.load(repo, "concept", [line.url for line in lines if line.url], body=bodies)
    if repo.custom_validation_schema == "OpenMRS":
        given = [
            line.item.update
            for line in lines
            if line.item and not isinstance(line.item.update, Invalid)
        ]
        unit.load_claims(
            repo,
            {claim for body in given if "names" in body for claim in openmrs.claims(_named(body))},
        )


def _named(body: Json) -> Mapping[str, Any]:
    """Return the part of a concept that determines its claims."""
    return {
        "retired": body.get("retired", False),
        "names": [{"name_type": None, "locale_preferred": False, **name} for name in body["names"]],
    }


def _prefetch_mappings(
    unit: UnitOfWork, repo: Repository, items: Sequence[Item], bodies: bool
) -> None:
    if not items:
        return
    wanted = {urls.item_url(repo.url, "mapping", item.id) for item in items if item.id}
    keys = {item.key for item in items if item.key}
    unit.load_keys(repo, keys)
    wanted.update(url for key in keys if (url := unit.mapped(repo, key)))
    unit.load(repo, "mapping", wanted, body=bodies)
    targets: set[str] = set()
    sources: set[str] = set()
    for item in items:
        body = item.update
        if isinstance(body, Invalid):
            continue
        targets.update(
            url for name in ("from_concept_url", "to_concept_url") if (url := body.get(name))
        )
        found = urls.repo(source) if (source := body.get("to_source_url")) else None
        if found:
            sources.add(found)
    unit.load_repos(sources)
    unit.load_targets(targets)
    if repo.custom_validation_schema == "OpenMRS":
        unit.load_pairs(repo, {pair_of(*key) for key in keys})
