"""Edits of repositories and their versions: metadata, schema, deletion, releases."""

import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from oclapi import bodies, jsonio, representations, urls
from oclapi.access import Action, Caller, Under, may, need
from oclapi.editing import lookups, openmrs
from oclapi.editing.entries import Pair, pair_of
from oclapi.editing.values import changed, external_target
from oclapi.errors import Invalid, NotFound
from oclapi.model import (
    Head,
    Json,
    Kind,
    Organization,
    Repository,
    RepositoryKind,
    Selection,
    Version,
)
from oclapi.store.database import Transaction
from oclapi.store.metadata import stored
from oclapi.store.store import Store

EDITABLE = frozenset(
    (
        "name",
        "full_name",
        "description",
        "website",
        "external_id",
        "source_type",
        "custom_validation_schema",
        "extras",
        "default_locale",
        "supported_locales",
        "public_access",
    )
)
"""The fields of a repository that an update may change."""
SHOWN_USES = 20
"""Most collections and most mappings that a refused deletion names."""
SHOWN_FAILURES = 100
"""Most entries that a refused schema names."""
NOT_UNIQUE = {"names": ["a fully specified or preferred name must be unique in its locale"]}
SAME_RELATION = {"__all__": ["there is another active mapping of this kind between these concepts"]}
KINDS: tuple[Kind, ...] = ("concept", "mapping")
ACTIVE = {kind: Selection(kind, retired=False) for kind in KINDS}


def create(
    store: Store, kind: RepositoryKind, owner_url: str, body: Json, caller: Caller
) -> Repository:
    """Add a repository under an owner and return it.

    By default the repository of a private owner is private. Raises Invalid when the id is taken,
    NotFound for an unknown owner, and Forbidden when the caller is no longer a member.
    """
    locale = body.get("default_locale", "en")
    fields = {
        "uuid": uuid.uuid4().hex,
        "name": body["name"],
        "full_name": body.get("full_name") or body["name"],
        **{
            name: body.get(name)
            for name in (
                "description",
                "website",
                "external_id",
                "source_type",
                "custom_validation_schema",
                "extras",
            )
        },
        "default_locale": locale,
        "supported_locales": body.get("supported_locales") or [locale],
        "keeps_claims": body.get("custom_validation_schema") == "OpenMRS",
    }

    def make(session: Transaction) -> Json:
        owner = store.owners.lock(owner_url, session)
        need(store.users.reload(caller, session), "create repository", Under(owner_url))
        is_private = isinstance(owner, Organization) and owner.public_access == "None"
        access = "None" if is_private else "View"
        return {**stored(fields), "public_access": body.get("public_access", access)}

    return store.repos.create(kind, owner_url, body["id"], make, caller.by)


def update(store: Store, repo: Repository, body: Json, caller: Caller) -> tuple[Repository, bool]:
    """Change the metadata in `body`. Return the repository, and whether it changed.

    Raises Invalid, with `failed_concept_validations` when entries violate a new schema, and the
    errors of `access.need`. Setting the schema reads all entries, even if an earlier attempt has
    stored the claims of concepts: that attempt may have been interrupted, or may still be running.
    """
    if body.get("id", repo.id) != repo.id:
        raise Invalid.field("id", "an id can't be changed")
    if (
        body.get("custom_validation_schema") == "OpenMRS"
        and repo.custom_validation_schema != "OpenMRS"
    ):
        store.rows.keep_claims(repo.number, _claims_of)
        checked = _check_before(store, repo)
    else:
        checked = None

    def change(session: Transaction, head: Head) -> Json:
        before = head.repo
        given = {name: value for name, value in body.items() if name in EDITABLE}
        opens = given.get("public_access", before.public_access) != before.public_access
        action: Action = "own" if opens else "write"
        need(store.users.reload(caller, session), action, head.repo)
        if "full_name" in given and not given["full_name"]:
            given["full_name"] = given.get("name", before.name)
        if "supported_locales" in given and not given["supported_locales"]:
            given["supported_locales"] = [given.get("default_locale", before.default_locale)]
        sets = changed(before, given)
        if sets.get("custom_validation_schema") == "OpenMRS" and head.repo.rev != checked:
            revision = head.repo.revision
            check_schema(
                lookups.bodies(store, session, revision, ACTIVE["concept"]),
                lookups.bodies(store, session, revision, ACTIVE["mapping"]),
                _lists(store, session),
            )
        return stored(sets)

    return store.repos.edit(repo.number, change, caller.by)


def set_extra(store: Store, repo: Repository, key: str, value: Any, caller: Caller) -> None:
    """Create or replace a key of the repository's extras. Raises Invalid over their limits."""

    def change(session: Transaction, head: Head) -> Json:
        need(store.users.reload(caller, session), "write", head.repo)
        return _with_extra(head.repo, key, value)

    store.repos.edit(repo.number, change, caller.by)


def delete_extra(store: Store, repo: Repository, key: str, caller: Caller) -> None:
    """Remove a key of the repository's extras. Raises NotFound."""

    def change(session: Transaction, head: Head) -> Json:
        need(store.users.reload(caller, session), "write", head.repo)
        return stored({"extras": without(head.repo.extras or {}, key)})

    store.repos.edit(repo.number, change, caller.by)


def set_version_extra(
    store: Store, repo: Repository, version: str, key: str, value: Any, caller: Caller
) -> tuple[Version, bool]:
    """Like `set_extra` for a version. Returns the version and whether its export is out of date."""

    def change(session: Transaction, found: Version) -> Json:
        _need_reloaded(store, session, repo, "write", caller)
        return _with_extra(found, key, value)

    return store.versions.edit(repo.number, version, change, caller.by)


def delete_version_extra(
    store: Store, repo: Repository, version: str, key: str, caller: Caller
) -> tuple[Version, bool]:
    """Like `delete_extra` for a version.

    Returns the version and whether its export is out of date.
    """

    def change(session: Transaction, found: Version) -> Json:
        _need_reloaded(store, session, repo, "write", caller)
        return stored({"extras": without(found.extras or {}, key)})

    return store.versions.edit(repo.number, version, change, caller.by)


def _with_extra(edited: Repository | Version, key: str, value: Any) -> Json:
    """Return the change that sets a key of the extras; empty without a change."""
    before = edited.extras or {}
    after = {**before, key: value}
    if jsonio.dumps_sorted(before) == jsonio.dumps_sorted(after):
        return {}
    return stored(bodies.version_update({"extras": after}))


def without(extras: Json, key: str) -> Json:
    """Return the extras without a key. Raises NotFound."""
    if key not in extras:
        raise NotFound(f"extra {key} not found")
    return {name: value for name, value in extras.items() if name != key}


def delete(store: Store, repo: Repository, caller: Caller) -> None:
    """Delete a repository.

    Raises Invalid with `usage` (as far as the caller may read it) while others use its concepts or
    mappings.
    """
    in_use = check_unused(store, caller)

    def check(session: Transaction, head: Head) -> None:
        need(store.users.reload(caller, session), "own", head.repo)
        in_use(session, head)

    store.repos.delete(repo.number, check)


def check_unused(
    store: Store, caller: Caller, except_owner: str | None = None
) -> Callable[[Transaction, Head], None]:
    """Return a check that raises Invalid while other repositories use content of a repository.

    Uses by repositories of `except_owner`, which are deleted together, do not count.
    """

    def check(session: Transaction, head: Head) -> None:
        usage: dict[str, set[str]] = {"collections": set(), "mappings": set()}
        users: dict[int, Repository | None] = {}
        used = False
        for row in store.rows.using(session, head.repo.url):
            if row.repo not in users:
                users[row.repo] = store.repos.by_number(row.repo, session)
            user = users[row.repo]
            # None: deleted, and its rows are not purged yet.
            if user is None or user.owner_url == except_owner:
                continue
            used = True
            if may(caller, "read", user):
                if "expression" in row.header:
                    usage["collections"].add(user.url)
                else:
                    usage["mappings"].add(row.url)
        if used:
            text = (
                "this source is in use: "
                "a collection or another source's mapping refers to its content"
            )
            raise Invalid(
                {"__all__": [text]},
                {"usage": {name: sorted(found)[:SHOWN_USES] for name, found in usage.items()}},
            )

    return check


def _claims_of(body: bytes) -> list[int]:
    return openmrs.claims(jsonio.loads_own(body))


def _check_before(store: Store, repo: Repository) -> int | None:
    """Check the repository for the schema OpenMRS and return the checked revision.

    It runs before the transaction that sets the schema, which would block other writers and be
    aborted after a minute. The transaction checks again only if the repository has changed. Raises
    the errors of `check_schema`.
    """
    now = store.repos.by_number(repo.number)
    if now is None:
        return None
    with store.snapshot() as session:
        lists = _lists(store, session)
    concepts, mappings = (store.rows.bodies(now.revision, ACTIVE[kind]) for kind in KINDS)
    check_schema(concepts, mappings, lists)
    return now.rev


def _lists(store: Store, session: Transaction) -> openmrs.Lists:
    """Return the current lookup lists."""
    lists = {}
    for source in (*openmrs.LOOKUP_SOURCES, "MapTypes"):
        found = store.repos.by_url(lookups.url_of(source), session)
        lists[source] = (
            openmrs.listed(source, lookups.names(store, session, found.revision)) if found else None
        )
    return lists


def check_schema(
    concepts: Iterable[bytes], mappings: Iterable[bytes], lists: openmrs.Lists
) -> None:
    """Raise Invalid when active entries violate the schema OpenMRS.

    `failed_concept_validations` names at most SHOWN_FAILURES of them. Cost: one pass over the
    bodies, and memory for a number and a URL for each unique name and each mapping.
    """
    failed: dict[str, dict[str, list[str]]] = {}
    counts = {
        "concepts": _note_failures(
            failed,
            concepts,
            lambda concept: openmrs.concept_errors(concept, lists),
            openmrs.claims,
            NOT_UNIQUE,
        ),
        "mappings": _note_failures(
            failed,
            mappings,
            lambda mapping: openmrs.mapping_errors(mapping, lists.get("MapTypes")),
            lambda mapping: [hash(_pair_of(mapping))],
            SAME_RELATION,
        ),
    }
    if failed:
        shown = " and ".join(f"{count} {noun}" for noun, count in counts.items() if count)
        more = f", {SHOWN_FAILURES} of them are named" if len(failed) > SHOWN_FAILURES else ""
        failures = [
            {"mnemonic": urls.id_of(url), "url": url, "errors": errors}
            for url, errors in list(failed.items())[:SHOWN_FAILURES]
        ]
        text = f"{shown} violate the schema OpenMRS{more}"
        raise Invalid(
            {"custom_validation_schema": [text]}, {"failed_concept_validations": failures}
        )


def _note_failures(
    failed: dict[str, dict[str, list[str]]],
    entries: Iterable[bytes],
    errors_of: Callable[[Json], Mapping[str, list[str]]],
    values_of: Callable[[Json], Iterable[int]],
    shared: Mapping[str, list[str]],
) -> int:
    """Add the entries with errors to `failed` by URL, and return their number.

    `shared` is the error of entries that have one of their `values_of` in common.
    """
    before = len(failed)
    holders: dict[int, str] = {}

    def note(url: str, errors: Mapping[str, list[str]]) -> None:
        kept = failed.setdefault(url, {})
        if len(failed) <= SHOWN_FAILURES or kept:
            for field, texts in errors.items():
                kept[field] = list(dict.fromkeys([*kept.get(field, ()), *texts]))

    for body in entries:
        entry = jsonio.loads_own(body)
        url = entry["url"]
        if errors := errors_of(entry):
            note(url, errors)
        for value in values_of(entry):
            first = holders.setdefault(value, url)
            if first != url:
                note(first, shared)
                note(url, shared)
    return len(failed) - before


def _pair_of(mapping: Json) -> Pair:
    end = mapping["to_concept_url"] or external_target(
        mapping["to_source_url"], mapping["to_concept_code"]
    )
    return pair_of(mapping["from_concept_url"], mapping["map_type"], end)


def _need_reloaded(
    store: Store, session: Transaction, repo: Repository, action: Action, caller: Caller
) -> None:
    """Check the caller's right inside the transaction, with the repository and caller reloaded.

    Both may have changed since the request was checked.
    """
    there = store.repos.by_number(repo.number, session)
    if there is None:
        raise NotFound("the repository was deleted")
    need(store.users.reload(caller, session), action, there)


# Versions


def create_version(
    store: Store, repo: Repository, body: Json, caller: Caller, job: str | None = None
) -> Version:
    """Create a version of the repository's current state and return it.

    `job`: see `Versions.create`. Raises VersionExists, and Invalid for an unknown previous or
    parent version.
    """

    def fields(session: Transaction, head: Head) -> Json:
        need(store.users.reload(caller, session), "write", head.repo)
        newest = store.versions.newest(repo.number, session)
        given = {
            "previous_version": newest.id if newest else None,
            "parent_version": None,
            **_links(body),
        }
        check_links(store, session, repo, body["id"], body)
        return {
            "description": body.get("description"),
            "released": body.get("released", False),
            "retired": False,
            "previous_version": given["previous_version"],
            "parent_version": given["parent_version"],
            "version_external_id": external_id(body, head.repo.external_id),
            "extras": stored({"extras": body["extras"]})["extras"]
            if "extras" in body
            else head.repo.extras_json,
            "frozen": jsonio.dumps(representations.repo_detail(head.repo)),
            "created_by": caller.by,
            "updated_by": caller.by,
        }

    return store.versions.create(repo.number, body["id"], fields, job)


def update_version(
    store: Store, repo: Repository, version: str, body: Json, caller: Caller
) -> tuple[Version, bool]:
    """Change the fields in `body`. Returns the version and whether its export is out of date."""
    if body.get("id", version) != version:
        raise Invalid.field("id", "an id can't be changed")

    def change(session: Transaction, found: Version) -> Json:
        _need_reloaded(store, session, repo, "write", caller)
        check_links(store, session, repo, version, body)
        given = {
            name: body[name]
            for name in ("description", "released", "retired", "extras")
            if name in body
        } | _links(body)
        of_repo = found.frozen["external_id"]
        if "version_external_id" in body or body.get("external_id", of_repo) != of_repo:
            given["version_external_id"] = external_id(body, of_repo)
        return stored(changed(found, given))

    return store.versions.edit(repo.number, version, change, caller.by)


def delete_version(store: Store, repo: Repository, version: str, caller: Caller) -> list[Version]:
    """Delete the version. Returns its followers, whose exports are out of date.

    Raises NotFound.
    """
    return store.versions.delete(
        repo.number, version, lambda session: _need_reloaded(store, session, repo, "own", caller)
    )


def _links(body: Json) -> Json:
    """Return the links in a body. An empty one counts as none."""
    return {
        name: body[name] or None for name in ("previous_version", "parent_version") if name in body
    }


def check_links(
    store: Store, session: Transaction, repo: Repository, version: str, body: Json
) -> None:
    """Raise Invalid when the previous or parent version is unknown or the version itself.

    They are locked until the commit.
    """
    for field, alias in (
        ("previous_version", "previousVersion"),
        ("parent_version", "parentVersion"),
    ):
        other = body.get(field)
        if other and (other == version or store.versions.lock(session, repo.number, other) is None):
            text = (
                "a version can't follow itself"
                if other == version
                else f"version {other[:80]} not found"
            )
            raise Invalid({alias: [text], field: [text]})


def external_id(body: Json, of_repo: str | None) -> str | None:
    """Return the version's external id.

    The alias counts only when it is alone and differs from the repository's external id, so that a
    version can be sent back as it was read.
    """
    if "version_external_id" in body:
        return body["version_external_id"]  # type: ignore[no-any-return]
    alias = body.get("external_id")
    return alias if alias != of_repo else None
