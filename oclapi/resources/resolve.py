"""What a path names, and whether the caller may do there what they want. Order of checks:
existence, right, method (contract 4).
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
"""The steps of an address by name: org or user (neither: the caller), source or collection,
version, concept, mapping, ...
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A repository as a path names it: HEAD, or one of its versions."""

    repo: Json
    version: Json | None  # None: HEAD
    revision: Revision

    @property
    def record(self) -> Json:
        """The document that holds what is counted and dated there: the version's, or the
        repository's at HEAD.
        """
        return self.version or self.repo

    @property
    def shown_version(self) -> Json:
        """The version's document; HEAD in the same shape."""
        return self.version or head_version(self.repo)


def owner_url(path: Path, caller: Caller) -> str:
    """The owner's address. Raises NotAuthenticated for `/user/` without credentials."""
    if "org" in path:
        return urls.owner_url("Organization", path["org"])
    if "user" in path:
        return urls.owner_url("User", path["user"])
    if caller.username is None:
        raise NotAuthenticated("credentials are needed for /user/")
    return urls.owner_url("User", caller.username)


def owner(store: Store, path: Path, caller: Caller) -> Json:
    """The owner's document. Raises NotFound, NotAuthenticated."""
    if "org" in path:
        return org(store, path)
    return user(store, path, caller)


def user(store: Store, path: Path, caller: Caller, *, deactivated: bool = False) -> Json:
    """The user that the path names, without a name the caller; `deactivated`: one who is
    deactivated too, for those who may know of them.

    Raises NotFound, NotAuthenticated.
    """
    found = store.users.get(owner_url(path, caller).split("/")[2])
    if found is None or not (found["active"] or (deactivated and may(caller, "see deactivated"))):
        raise NotFound("there is no such user")
    return found


def org(store: Store, path: Path) -> Json:
    """The organisation. Raises NotFound."""
    found = store.owners.org(path["org"])
    if found is None:
        raise NotFound(f"there is no organisation {path['org']}")
    return found


def repo(store: Store, path: Path, caller: Caller, session: Session = None) -> Json:
    """The repository, which the caller may read. Raises NotFound, NotAuthenticated, Forbidden."""
    url = repo_url(path, caller)
    return _readable(store.repos.by_url(url, session), url, caller)


def repo_url(path: Path, caller: Caller) -> str:
    """The repository's address. Raises as `owner_url`."""
    kind = "source" if "source" in path else "collection"
    return f"{owner_url(path, caller)}{kind}s/{path[kind]}/"


def place(store: Store, path: Path, caller: Caller, session: Session = None) -> Place:
    """The repository and the version that the path names, HEAD without one. Raises as `repo`;
    NotFound for an unknown version.
    """
    found = repo(store, path, caller, session)
    asked = path.get("version", "HEAD")
    if asked == "HEAD":
        return Place(found, None, revision_of(found))
    if asked == "latest":
        return _version(found, asked, store.versions.latest(found["_id"], session))
    return _version(found, asked, store.versions.by_id(found["_id"], asked, session))


def exported(store: Store, path: Path, caller: Caller) -> tuple[Place, Json | None]:
    """As `place`, and the document of the version's export, None when it is gone. Cost: one command
    for all.
    """
    url, asked = repo_url(path, caller), path["version"]
    found, version, export = store.versions.with_export(url, asked)
    there = _readable(found, url, caller)
    return Place(there, None, revision_of(there)) if asked == "HEAD" else _version(
        there, asked, version
    ), export


def _readable(found: Json | None, url: str, caller: Caller) -> Json:
    if found is None:
        raise NotFound(f"there is no {'source' if '/sources/' in url else 'collection'} {url}")
    need(caller, "read", found)
    return found


def _version(found: Json, asked: str, version: Json | None) -> Place:
    if version is None:
        raise NotFound(
            "this repository has no released version"
            if asked == "latest"
            else f"there is no version {asked}"
        )
    return Place(found, version, revision_of(version))


def writable(store: Store, path: Path, caller: Caller, kind: Kind | None = None) -> Json:
    """The repository whose content the path would change. `kind`: the item that the path names must
    exist.

    Raises as `place`; NotFound for the item; NotAuthenticated or Forbidden without the right to
    write; Frozen below a version.
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
    """The concept or mapping as it stands there. Raises NotFound."""
    row = store.rows.one(session, where.revision, urls.item_url(where.repo["url"], kind, item_id))
    if row is None:
        raise NotFound(f"there is no {kind} {item_id} here")
    return row
