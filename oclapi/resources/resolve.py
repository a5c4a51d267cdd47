"""Resolve paths: find what a path names, and check what the caller may do with it.

Order of checks: existence, permission, method (contract 4).
"""

from dataclasses import dataclass
from typing import Any

from oclapi import urls
from oclapi.access import Caller, may, need
from oclapi.errors import Frozen, NotAuthenticated, NotFound
from oclapi.model import Json, Kind, Revision, Row
from oclapi.representations import head_version
from oclapi.store.database import Session
from oclapi.store.store import Store
from oclapi.store.versions import revision_of

Path = dict[str, Any]
"""Path parameters by name: org or user (neither for `/user/`), source or collection, version,
concept, mapping and others.
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A repository at HEAD or at one of its versions."""

    repo: Json
    version: Json | None  # None for HEAD
    revision: Revision

    @property
    def record(self) -> Json:
        """The document with the counts and dates: the version's, or at HEAD the repository's."""
        return self.version or self.repo

    @property
    def shown_version(self) -> Json:
        """The version's document, or HEAD in the same shape."""
        return self.version or head_version(self.repo)


def owner_url(path: Path, caller: Caller) -> str:
    """Return the owner's URL. Raises NotAuthenticated for `/user/` without credentials."""
    if "org" in path:
        return urls.owner_url("Organization", path["org"])
    if "user" in path:
        return urls.owner_url("User", path["user"])
    if caller.username is None:
        raise NotAuthenticated("credentials are needed for /user/")
    return urls.owner_url("User", caller.username)


def owner(store: Store, path: Path, caller: Caller) -> Json:
    """Return the owner's document. Raises NotFound, NotAuthenticated."""
    if "org" in path:
        return org(store, path)
    return user(store, path, caller)


def user(store: Store, path: Path, caller: Caller, *, deactivated: bool = False) -> Json:
    """Return the user that the path names, or the caller for `/user/`.

    With `deactivated`, deactivated users are found too if the caller may see them. Raises NotFound,
    NotAuthenticated.
    """
    found = store.users.get(owner_url(path, caller).split("/")[2])
    if found is None or not (found["active"] or (deactivated and may(caller, "see deactivated"))):
        raise NotFound("user not found")
    return found


def org(store: Store, path: Path) -> Json:
    """Return the organisation. Raises NotFound."""
    found = store.owners.org(path["org"])
    if found is None:
        raise NotFound(f"organisation {path['org']} not found")
    return found


def repo(store: Store, path: Path, caller: Caller, session: Session = None) -> Json:
    """Return the repository, which the caller may read.

    Raises NotFound, NotAuthenticated, Forbidden.
    """
    url = repo_url(path, caller)
    return _readable(store.repos.by_url(url, session), url, caller)


def repo_url(path: Path, caller: Caller) -> str:
    """Return the repository's URL. Raises as `owner_url`."""
    kind = "source" if "source" in path else "collection"
    return f"{owner_url(path, caller)}{kind}s/{path[kind]}/"


def place(store: Store, path: Path, caller: Caller, session: Session = None) -> Place:
    """Return the repository at the version that the path names, HEAD by default.

    Raises as `repo`, and NotFound for an unknown version.
    """
    found = repo(store, path, caller, session)
    version_id = path.get("version", "HEAD")
    if version_id == "HEAD":
        return Place(found, None, revision_of(found))
    if version_id == "latest":
        return _at_version(found, version_id, store.versions.latest(found["_id"], session))
    version = store.versions.by_id(found["_id"], version_id, session)
    return _at_version(found, version_id, version)


def exported(store: Store, path: Path, caller: Caller) -> tuple[Place, Json | None]:
    """Like `place`, with the document of the version's export, None if it was deleted.

    Cost: one command for all.
    """
    url, version_id = repo_url(path, caller), path["version"]
    repo_document, version, export = store.versions.with_export(url, version_id)
    found = _readable(repo_document, url, caller)
    if version_id == "HEAD":
        return Place(found, None, revision_of(found)), export
    return _at_version(found, version_id, version), export


def _readable(found: Json | None, url: str, caller: Caller) -> Json:
    if found is None:
        raise NotFound(f"{'source' if '/sources/' in url else 'collection'} {url} not found")
    need(caller, "read", found)
    return found


def _at_version(found: Json, version_id: str, version: Json | None) -> Place:
    if version is None:
        raise NotFound(
            "this repository has no released version"
            if version_id == "latest"
            else f"version {version_id} not found"
        )
    return Place(found, version, revision_of(version))


def writable(store: Store, path: Path, caller: Caller, kind: Kind | None = None) -> Json:
    """Return the repository whose content a request wants to change.

    With `kind`, the concept or mapping that the path names must exist. Raises as `place`, NotFound
    for the item, NotAuthenticated or Forbidden without the permission to write, and Frozen at a
    version.
    """
    if kind is None:
        where = place(store, path, caller)
    else:
        with store.snapshot() as session:
            where = place(store, path, caller, session)
            item(store, where, kind, path[kind], session)
    need(caller, "write", where.repo)
    if where.version:
        raise Frozen(f"version {where.version['id']} is frozen; write to {where.repo['url']}")
    return where.repo


def item(store: Store, where: Place, kind: Kind, item_id: str, session: Session) -> Row:
    """Return the state of a concept or mapping at `where`. Raises NotFound."""
    row = store.rows.one(session, where.revision, urls.item_url(where.repo["url"], kind, item_id))
    if row is None:
        raise NotFound(f"{kind} {item_id} not found")
    return row
