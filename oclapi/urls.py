"""Parsing and building the relative URLs of items. Pure."""

import functools
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from oclapi.model import Json, Kind

ID = r"[A-Za-z0-9._@-]{1,255}"
ID_RULE = "may hold 1 to 255 letters, digits and - . _ @"
"""The message for a text that is no id."""
LONGEST = 4096
"""Most characters of an item's URL with the server address; its five ids have at most 255."""
_REPO = rf"/(?:orgs|users)/{ID}/(?:sources|collections)/{ID}/"
_BELOW = "versions|concepts|mappings|references|extras|export"  # these words are no versions
_INSIDE = "versions|mappings|names|descriptions|extras"  # below an item: no versions of it either
_REPO_VERSION = rf"(?P<repo>{_REPO})(?:(?:versions/)?(?!(?:{_BELOW})/)(?P<version>{ID})/)?"
_CONTENT = re.compile(
    rf"{_REPO_VERSION}(?P<kind>concept|mapping)s/(?P<id>{ID})/(?:(?!(?:{_INSIDE})/)(?P<item_version>{ID})/)?"
)
_REPO_ONLY = re.compile(_REPO_VERSION)


@dataclass(frozen=True, slots=True)
class ItemUrl:
    """The parsed URL of a concept or mapping."""

    repo: str  # URL of its repository
    kind: Kind
    id: str
    version: str | None = None  # of the repository
    item_version: str | None = None

    @property
    def stable(self) -> str:
        """The URL of the item without any version."""
        return item_url(self.repo, self.kind, self.id)


URL_FIELDS = ("from_concept_url", "to_concept_url", "to_source_url", "source_url", "owner_url")
"""The fields of bodies and import lines that name an item of this server."""


def with_paths(body: Json, address: str) -> Json:
    """Return a body whose URL fields contain paths only, where they name this server.

    `address` is the server's, such as `https://terms.example.org`. A URL of another server is left
    as it is: no item has it.
    """
    found = {
        field: without_address(value, address)
        for field in URL_FIELDS
        if isinstance(value := body.get(field), str) and "//" in value
    }
    return {**body, **found} if found else body


def without_address(url: str, address: str) -> str:
    """Return the path of a URL of the server at `address`, and any other URL unchanged."""
    try:
        parts, own = urlsplit(url), urlsplit(address)
    except ValueError:
        return url
    prefix = own.path.rstrip("/")
    if (
        not parts.netloc
        or parts.netloc.lower() != own.netloc.lower()
        or parts.scheme not in ("", "http", "https")
        or not parts.path.startswith(f"{prefix}/")
    ):
        return url
    return parts.path.removeprefix(prefix)


def path_of(url: str) -> str:
    """Return the path of a relative URL, with one slash at its end.

    Raises ValueError when the URL has no path, or the address of a server.
    """
    parts = urlsplit(url)
    # urlsplit drops line breaks and tabs silently
    if parts.netloc or not parts.path.startswith("/") or min(url) <= " ":
        raise ValueError("not the path of an item")
    return parts.path if parts.path.endswith("/") else parts.path + "/"


def item(url: str) -> ItemUrl | None:
    """Parse the URL of a concept or mapping; None when it has another form."""
    return _item(url) if len(url) <= LONGEST else None


# a bulk load parses each URL several times within a few commits
@functools.lru_cache(maxsize=8192)
def _item(url: str) -> ItemUrl | None:
    found = _CONTENT.fullmatch(url) or _in_path(_CONTENT, url)
    if not found:
        return None
    kind: Kind = "concept" if found["kind"] == "concept" else "mapping"
    return ItemUrl(found["repo"], kind, found["id"], found["version"], found["item_version"])


def repo(url: str) -> str | None:
    """Return the repository's URL without a version; None when the URL has another form."""
    found = _REPO_ONLY.fullmatch(url) or _in_path(_REPO_ONLY, url)
    return found["repo"] if found else None


def _in_path(form: re.Pattern[str], url: str) -> re.Match[str] | None:
    """Match a URL without the last slash. Slow, so tried last."""
    try:
        return form.fullmatch(path_of(url))
    except ValueError:
        return None


def item_url(repo_url: str, kind: Kind, item_id: str) -> str:
    """Return the URL of a concept or mapping."""
    return f"{repo_url}{kind}s/{item_id}/"


def owner_url(owner_type: str, owner: str) -> str:
    """Return the URL of an owner; `owner_type` is Organization or User."""
    return f"/{'users' if owner_type == 'User' else 'orgs'}/{owner}/"


@dataclass(frozen=True, slots=True)
class RepoParts:
    """The parts of a repository's URL."""

    url: str
    owner: str
    owner_type: str  # Organization or User
    owner_url: str
    id: str


@functools.lru_cache(maxsize=1024)
def parts(repo_url: str) -> RepoParts:
    """Parse the URL of a repository."""
    _, owners, owner, _, short_id, _ = repo_url.split("/")
    return RepoParts(
        repo_url,
        owner,
        "User" if owners == "users" else "Organization",
        f"/{owners}/{owner}/",
        short_id,
    )
