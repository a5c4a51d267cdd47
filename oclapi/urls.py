"""Relative URLs of the API's items: taken apart and put together. Pure."""

import functools
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from oclapi.model import Kind

ID = r"[A-Za-z0-9._@-]{1,255}"
LONGEST = 4096
"""Characters of an item's URL, server address included; its five ids have 255 at most."""
_REPO = rf"/(?:orgs|users)/{ID}/(?:sources|collections)/{ID}/"
_BELOW = "versions|concepts|mappings|references|extras|export"  # what stands there is no version
_INSIDE = "versions|mappings|names|descriptions|extras"  # of an item: no version of it either
_PLACE = rf"(?P<repo>{_REPO})(?:(?:versions/)?(?!(?:{_BELOW})/)(?P<version>{ID})/)?"
_CONTENT = re.compile(
    rf"{_PLACE}(?P<kind>concept|mapping)s/(?P<id>{ID})/(?:(?!(?:{_INSIDE})/)(?P<item_version>{ID})/)?"
)
_REPO_ONLY = re.compile(_PLACE)


@dataclass(frozen=True, slots=True)
class ItemUrl:
    """The address of a concept or mapping."""

    repo: str  # URL of its repository
    kind: Kind
    id: str
    version: str | None = None  # of the repository
    item_version: str | None = None

    @property
    def stable(self) -> str:
        """The item itself, whatever version was named."""
        return item_url(self.repo, self.kind, self.id)


def path_of(url: str) -> str:
    """The path of a relative or absolute URL, with one slash at its end. ValueError where it has
    none.
    """
    parts = urlsplit(url)
    # urlsplit leaves line breaks and tabs out without a word
    if not parts.path.startswith("/") or min(url) <= " ":
        raise ValueError("not the path of an item")
    return parts.path if parts.path.endswith("/") else parts.path + "/"


def item(url: str) -> ItemUrl | None:
    """The concept or mapping that a URL names, None when it has not the form of one."""
    return _item(url) if len(url) <= LONGEST else None


# a bulk load asks for each URL several times within a few commits
@functools.lru_cache(maxsize=8192)
def _item(url: str) -> ItemUrl | None:
    found = _CONTENT.fullmatch(url) or _in_path(_CONTENT, url)
    if not found:
        return None
    kind: Kind = "concept" if found["kind"] == "concept" else "mapping"
    return ItemUrl(found["repo"], kind, found["id"], found["version"], found["item_version"])


def repo(url: str) -> str | None:
    """The URL of the repository that a URL names (a version part is dropped), None when it has not
    the form of one.
    """
    found = _REPO_ONLY.fullmatch(url) or _in_path(_REPO_ONLY, url)
    return found["repo"] if found else None


def _in_path(form: re.Pattern[str], url: str) -> re.Match[str] | None:
    """For URLs that are absolute or lack the last slash: most have the form as they are, and taking
    a URL apart is slow.
    """
    try:
        return form.fullmatch(path_of(url))
    except ValueError:
        return None


def item_url(repo_url: str, kind: Kind, item_id: str) -> str:
    return f"{repo_url}{kind}s/{item_id}/"


def owner_url(owner_type: str, owner: str) -> str:
    """`owner_type`: Organization or User."""
    return f"/{'users' if owner_type == 'User' else 'orgs'}/{owner}/"


@dataclass(frozen=True, slots=True)
class RepoParts:
    """What the URL of a repository says of it."""

    url: str
    owner: str
    owner_type: str  # Organization or User
    owner_url: str
    id: str


@functools.lru_cache(maxsize=1024)
def parts(repo_url: str) -> RepoParts:
    """Take the URL of a repository apart."""
    _, owners, owner, _, short_id, _ = repo_url.split("/")
    return RepoParts(
        repo_url,
        owner,
        "User" if owners == "users" else "Organization",
        f"/{owners}/{owner}/",
        short_id,
    )
