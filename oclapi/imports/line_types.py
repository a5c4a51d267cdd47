"""The types of lines: what a line needs, where its item belongs, and how it is written."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from oclapi import bodies, urls
from oclapi.access import Caller, Under, may, need
from oclapi.editing import owners, repositories, users
from oclapi.editing.users import SHORTEST_PASSWORD
from oclapi.errors import Invalid, NotFound
from oclapi.model import Json, Organization, Repository, User, Version
from oclapi.store.store import Store

REQUIRED = "this field is required"

Check = Callable[[Json], Json]
"""Returns the checked body. Raises Invalid."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to read lines.

    `type` and `source` (the URL of a source) are the defaults of lines without them. `shortest` is
    the minimum length of a password. `address` is that of this server, which URLs may begin with.
    """

    update_if_exists: bool = True
    type: str | None = None
    source: str | None = None
    shortest: int = SHORTEST_PASSWORD
    address: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a line names, and what it wants to do with it."""

    parent: str  # URL of the owner of a source, or of the source of a version
    id: str
    action: str


@dataclass(frozen=True, slots=True)
class Writes:
    """How an item is written that needs a write of its own. All functions check the rights."""

    # Returns the item, None when the caller may not know of it.
    find: Callable[[Store, Caller, Subject], Any]
    # Checks the rights to create the item, before its body is looked at.
    allow: Callable[[Store, Caller, Subject], None]
    create: Callable[[Store, Caller, Subject, Json, Options], object]
    # Returns whether the item changed.
    update: Callable[[Store, Caller, Any, Json, Options], bool]
    delete: Callable[[Store, Caller, Any], object]
    # The HTTP status of a line for an item that exists already.
    exists: int = 400


@dataclass(frozen=True, slots=True)
class LineType:
    """A type of line."""

    name: str
    create: Check
    update: Check
    # Required keys of a new item. The outcome is `invalid` when a key is missing, and `failed` when
    # a value is not valid.
    needed: tuple[str, ...]
    # Returns the URL of the owner or source that a line names, "" if its item belongs to none.
    # Raises Invalid.
    parent: Callable[[Json, Options], str]
    # Returns the URL of an item by the URL of its parent and its id.
    url: Callable[[str, str], str]
    named: tuple[str, ...] = ("id",)  # keys for the id, the first that is given counts
    # Returns the id as it is kept. Raises ValueError.
    check_id: Callable[[str], str] = urls.content_id
    # None: a concept or mapping, which shares a commit with other lines (content.py).
    writes: Writes | None = None

    @property
    def is_content(self) -> bool:
        return self.writes is None


def checked_id(field: str, value: object, check: Callable[[str], str], place: str = "") -> str:
    """Return an id as it is kept. Raises Invalid on `field`; `place` says where in the field."""
    if not isinstance(value, str):
        raise Invalid.field(field, f"{place}must be a text")
    try:
        return check(value)
    except ValueError as error:
        raise Invalid.field(field, f"{place}{error}") from error


def owner_of(given: Json) -> str:
    """Return the URL of the owner that a line names. Raises Invalid."""
    url = given.get("owner_url")
    if url is not None:
        found = urls.owner(url) if isinstance(url, str) else None
        if found:
            return found
        raise Invalid.field("owner_url", "this is not the URL of an organisation or user")
    owner = given.get("owner")
    if owner is None:
        raise Invalid.field("owner", REQUIRED)
    owner = checked_id("owner", owner, urls.check_id)
    kind = given.get("owner_type") or "Organization"
    if not isinstance(kind, str) or kind.lower() not in ("organization", "user"):
        raise Invalid.field("owner_type", "must be Organization or User")
    return urls.owner_url(kind.lower().capitalize(), owner)


def source_of(given: Json, options: Options) -> str:
    """Return the URL of the source that a line names by URL, by owner and id, or by default.

    Raises Invalid.
    """
    url, source = given.get("source_url"), given.get("source")
    if url is not None:
        found = urls.repo(url) if isinstance(url, str) else None
        if found is None or "/sources/" not in found:
            raise Invalid.field("source_url", "this is not the URL of a source")
        return found
    if source is not None and (
        given.get("owner") is not None or given.get("owner_url") is not None
    ):
        source = checked_id("source", source, urls.check_id)
        return f"{owner_of(given)}sources/{source}/"
    if options.source is None:
        raise Invalid({name: [REQUIRED] for name in ("owner", "source") if given.get(name) is None})
    here, kind = urls.parts(options.source), given.get("owner_type")
    owner = owner_of(given) if given.get("owner_url") is not None else here.owner_url
    same_kind = kind is None or (isinstance(kind, str) and kind.lower() == here.owner_type.lower())
    if (
        source not in (None, here.id)
        or given.get("owner") not in (None, here.owner)
        or owner != here.owner_url
        or not same_kind
    ):
        raise Invalid.field(
            "__all__",
            "a line that names only its owner or only its source must agree with the source "
            "given for all lines",
        )
    return options.source


# Users


def _find_user(store: Store, caller: Caller, subject: Subject) -> User | None:
    need(caller, "manage users")
    user = store.users.get(subject.id)
    # A deactivated user can't be deactivated again.
    return user if user and (user.active or "DELETE" not in subject.action) else None


def _create_user(
    store: Store, caller: Caller, subject: Subject, body: Json, options: Options
) -> object:
    return users.create(store, body, caller, shortest=options.shortest)


def _update_user(store: Store, caller: Caller, user: User, body: Json, options: Options) -> bool:
    _, changed = users.update(store, user.username, body, caller, shortest=options.shortest)
    return changed


# Organisations


def _find_org(store: Store, caller: Caller, subject: Subject) -> Organization | None:
    org = store.owners.org(subject.id)
    if org and subject.action != "CREATE":
        need(caller, "read org", org)
    return org


def _create_org(
    store: Store, caller: Caller, subject: Subject, body: Json, options: Options
) -> object:
    return owners.create_org(store, body, caller)


def _update_org(
    store: Store, caller: Caller, org: Organization, body: Json, options: Options
) -> bool:
    need(caller, "edit org", org)
    _, changed = owners.update_org(store, org.id, body, caller)
    return changed


def _delete_org(store: Store, caller: Caller, org: Organization) -> None:
    need(caller, "delete org", org)
    owners.delete_org(store, org.id, caller)


# Sources


def _find_source(store: Store, caller: Caller, subject: Subject) -> Repository | None:
    return _readable(store, caller, f"{subject.parent}sources/{subject.id}/")


def _allow_source(store: Store, caller: Caller, subject: Subject) -> None:
    _check_owner(store, caller, subject.parent)
    need(caller, "create repository", Under(subject.parent))


def _create_source(
    store: Store, caller: Caller, subject: Subject, body: Json, options: Options
) -> object:
    return repositories.create(store, "source", subject.parent, body, caller)


def _update_source(
    store: Store, caller: Caller, source: Repository, body: Json, options: Options
) -> bool:
    opens = body.get("public_access", source.public_access) != source.public_access
    need(caller, "own" if opens else "write", source)
    _, changed = repositories.update(store, source, body, caller)
    return changed


def _delete_source(store: Store, caller: Caller, source: Repository) -> None:
    need(caller, "own", source)
    repositories.delete(store, source, caller)


def _readable(store: Store, caller: Caller, url: str) -> Repository | None:
    """Return the repository, or None when the caller may not read it."""
    repo = store.repos.by_url(url)
    return repo if repo and may(caller, "read", repo) else None


def _check_owner(store: Store, caller: Caller, url: str) -> None:
    """Raise NotFound unless an owner that the caller may read exists at this URL."""
    _, owners_of_kind, owner, _ = url.split("/")
    if owners_of_kind == "orgs":
        org = store.owners.org(owner)
        known = org is not None and may(caller, "read org", org)
    else:
        user = store.users.get(owner)
        known = user is not None and user.active
    if not known:
        raise NotFound(f"owner {url} not found", waits=True)


# Versions


def _source_of_version(store: Store, caller: Caller, subject: Subject) -> Repository:
    source = _readable(store, caller, subject.parent)
    if source is None:
        raise NotFound(f"source {subject.parent} not found", waits=True)
    return source


def _find_version(
    store: Store, caller: Caller, subject: Subject
) -> tuple[Repository, Version] | None:
    source = _source_of_version(store, caller, subject)
    version = store.versions.by_id(source.number, subject.id)
    return (source, version) if version else None


def _allow_version(store: Store, caller: Caller, subject: Subject) -> None:
    need(caller, "write", _source_of_version(store, caller, subject))


def _create_version(
    store: Store, caller: Caller, subject: Subject, body: Json, options: Options
) -> object:
    source = _source_of_version(store, caller, subject)
    return repositories.create_version(store, source, body, caller)


def _update_version(
    store: Store, caller: Caller, found: tuple[Repository, Version], body: Json, options: Options
) -> bool:
    source, version = found
    need(caller, "write", source)
    _, changed = repositories.update_version(store, source, version.id, body, caller)
    return changed


def _delete_version(store: Store, caller: Caller, found: tuple[Repository, Version]) -> object:
    source, version = found
    need(caller, "own", source)
    return repositories.delete_version(store, source, version.id, caller)


TYPES: Mapping[str, LineType] = {
    kind.name.lower(): kind
    for kind in (
        LineType(
            "User",
            bodies.user_create,
            bodies.user_update,
            needed=("username", "name", "email"),
            parent=lambda given, options: "",
            url=lambda parent, username: urls.owner_url("User", username),
            named=("username",),
            check_id=urls.check_id,
            writes=Writes(
                _find_user,
                lambda store, caller, subject: None,  # checked by _find_user
                _create_user,
                _update_user,
                lambda store, caller, user: users.deactivate(store, user.username, caller),
            ),
        ),
        LineType(
            "Organization",
            bodies.org_create,
            bodies.org_update,
            needed=("id", "name"),
            parent=lambda given, options: "",
            url=lambda parent, org: urls.owner_url("Organization", org),
            check_id=urls.check_id,
            writes=Writes(
                _find_org,
                lambda store, caller, subject: need(caller, "create org"),
                _create_org,
                _update_org,
                _delete_org,
            ),
        ),
        LineType(
            "Source",
            bodies.source_create,
            bodies.source_update,
            needed=("id", "name"),
            parent=lambda given, options: owner_of(given),
            url=lambda parent, source: f"{parent}sources/{source}/",
            named=("id", "short_code"),
            check_id=urls.check_id,
            writes=Writes(
                _find_source, _allow_source, _create_source, _update_source, _delete_source
            ),
        ),
        LineType(
            "Source Version",
            bodies.version_create,
            bodies.version_update,
            needed=("id",),
            parent=source_of,
            url=urls.version_url,
            writes=Writes(
                _find_version,
                _allow_version,
                _create_version,
                _update_version,
                _delete_version,
                exists=409,
            ),
        ),
        LineType(
            "Concept",
            bodies.concept_create,
            bodies.concept_update,
            needed=("id", "concept_class", "names"),
            parent=source_of,
            url=lambda parent, concept: urls.item_url(parent, "concept", concept),
        ),
        LineType(
            "Mapping",
            bodies.mapping_create,
            bodies.mapping_update,
            needed=("map_type", "from_concept_url"),
            parent=source_of,
            url=lambda parent, mapping: urls.item_url(parent, "mapping", mapping),
        ),
    )
}
"""The types by their names in lower case."""
NOT_YET = {name.lower(): name for name in ("Collection", "Collection Version", "Reference")}
"""Types of the contract that this server does not support yet."""
