"""Resolve paths: find what a path names, and check what the caller may do with it.

Order of checks: existence, permission, method (contract 4).
"""

from typing import Any

from oclapi import urls
from oclapi.access import Caller, may, need
from oclapi.errors import Frozen, NotAuthenticated, NotFound
from oclapi.model import Export, Kind, Organization, Repository, Row, User, Version
from oclapi.reading import views
from oclapi.reading.views import View
from oclapi.store.database import Session
from oclapi.store.store import Store

Path = dict[str, Any]
"""Path parameters by name: org or user (neither for `/user/`), source or collection, version,
concept, mapping and others.
"""


def owner_url(path: Path, caller: Caller) -> str:
    """Return the owner's URL. Raises NotAuthenticated for `/user/` without credentials."""
    if "org" in path:
        return urls.owner_url("Organization", path["org"])
    if "user" in path:
        return urls.owner_url("User", path["user"])
    if caller.username is None:
        raise NotAuthenticated("credentials are needed for /user/")
    return urls.owner_url("User", caller.username)


def owner(store: Store, path: Path, caller: Caller) -> Organization | User:
    """Return the owner that the path names. Raises NotFound, NotAuthenticated."""
    if "org" in path:
        return org(store, path)
    return user(store, path, caller)


def user(store: Store, path: Path, caller: Caller, *, deactivated: bool = False) -> User:
    """Return the user that the path names, or the caller for `/user/`.

    With `deactivated`, deactivated users are found too if the caller may see them. Raises NotFound,
    NotAuthenticated.
    """
    found = store.users.get(owner_url(path, caller).split("/")[2])
    if found is None or not (found.active or (deactivated and may(caller, "see deactivated"))):
        raise NotFound("user not found")
    return found


def org(store: Store, path: Path) -> Organization:
    """Return the organisation. Raises NotFound."""
    found = store.owners.org(path["org"])
    if found is None:
        raise NotFound(f"organisation {path['org']} not found")
    return found


def repo(store: Store, path: Path, caller: Caller, session: Session = None) -> Repository:
    """Return the repository, which the caller may read.

    Raises NotFound, NotAuthenticated, Forbidden.
    """
    url = repo_url(path, caller)
    return _readable(store.repos.by_url(url, session), url, caller)


def repo_url(path: Path, caller: Caller) -> str:
    """Return the repository's URL. Raises what `owner_url` raises."""
    kind = "source" if "source" in path else "collection"
    return f"{owner_url(path, caller)}{kind}s/{path[kind]}/"


def view(store: Store, path: Path, caller: Caller, session: Session = None) -> View:
    """Return the repository at the version that the path names, HEAD by default.

    Raises what `repo` raises, and NotFound for an unknown version.
    """
    found = repo(store, path, caller, session)
    version_id = path.get("version", "HEAD")
    if version_id == "HEAD":
        return views.head(found)
    if version_id == "latest":
        return _at_version(found, version_id, store.versions.latest(found.number, session))
    version = store.versions.by_id(found.number, version_id, session)
    return _at_version(found, version_id, version)


def exported(store: Store, path: Path, caller: Caller) -> tuple[View, Export | None]:
    """Like `view`, with the version's export, None if it was deleted.

    Cost: one command for all.
    """
    url, version_id = repo_url(path, caller), path["version"]
    repository, version, export = store.versions.with_export(url, version_id)
    found = _readable(repository, url, caller)
    if version_id == "HEAD":
        return views.head(found), export
    return _at_version(found, version_id, version), export


def _readable(found: Repository | None, url: str, caller: Caller) -> Repository:
    if found is None:
        raise NotFound(f"{'source' if '/sources/' in url else 'collection'} {url} not found")
    need(caller, "read", found)
    return found


def _at_version(found: Repository, version_id: str, version: Version | None) -> View:
    if version is None:
        raise NotFound(
            "this repository has no released version"
            if version_id == "latest"
            else f"version {version_id} not found"
        )
    return views.of_version(found, version)


def writable(store: Store, path: Path, caller: Caller, kind: Kind | None = None) -> Repository:
    """Return the repository whose content a request wants to change.

    With `kind`, the concept or mapping that the path names must exist. Raises what `view` raises,
    NotFound for the entry, NotAuthenticated or Forbidden without the permission to write, and
    Frozen at a version.
    """
    if kind is None:
        found = view(store, path, caller)
    else:
        with store.snapshot() as session:
            found = view(store, path, caller, session)
            entry(store, found, kind, path[kind], session)
    need(caller, "write", found.repo)
    if found.version:
        raise Frozen(f"version {found.version.id} is frozen; write to {found.repo.url}")
    return found.repo


def entry(store: Store, view: View, kind: Kind, entry_id: str, session: Session) -> Row:
    """Return the state of a concept or mapping in the view. Raises NotFound."""
    row = store.rows.one(session, view.revision, urls.item_url(view.repo.url, kind, entry_id))
    if row is None:
        raise NotFound(f"{kind} {entry_id} not found")
    return row
