"""Ids, and the relative URLs of items that are built from them. Pure.

Every URL is built here in its canonical spelling: UTF-8, percent-encoded except for ASCII letters,
digits and `- . _ ~ @ :`. Every other spelling is parsed too. The store, the search engine and
cursors hold canonical URLs only.
"""

import functools
import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from oclapi.model import Json, Kind

ID = r"[A-Za-z0-9._@-]{1,255}"
"""The ids of owners and repositories."""
ID_RULE = "may hold 1 to 255 letters, digits and - . _ @"
"""The message for a text that is no id of an owner or repository."""
LONGEST_ID = 255  # characters, in form NFC
LONGEST = 8192
"""Most characters of an item's URL with the server address. A character has up to 12 in a URL."""
RESERVED_VERSIONS = frozenset(
    (
        "HEAD",
        "latest",
        "versions",
        "concepts",
        "mappings",
        "references",
        "extras",
        "export",
        "processing",
        "children",
        "summary",
        "atom",
        "revisions",
        "changes",
        "releases",
    )
)
"""Words that no new version may have as its id."""
NO_VERSIONS = "|".join(sorted(RESERVED_VERSIONS - {"HEAD", "latest"}))
"""Words below a repository that name no version of it, as a pattern."""
_INSIDE = "versions|mappings|names|descriptions|extras"  # below an item: no versions of it either
_REFUSED = frozenset(("Cc", "Cs", "Co", "Cn", "Zl", "Zp"))  # Unicode categories

_UNRESERVED = "A-Za-z0-9._~@:-"  # characters that a canonical URL does not encode
_SIMPLE = re.compile(rf"[{_UNRESERVED}]{{1,{LONGEST_ID}}}").fullmatch
_ASCII = re.compile(r"[!-~](?:[ -~]{0,253}[!-~])?").fullmatch
_SPELLED = [
    chr(byte) if re.match(f"[{_UNRESERVED}]", chr(byte)) else f"%{byte:02X}" for byte in range(256)
]
"""How a canonical URL spells each byte."""


class _Form:
    """The form of a URL, as a pattern in which STEP stands for an id of content."""

    def __init__(self, pattern: str) -> None:
        self._simple, self._encoded = (
            re.compile(pattern.replace("STEP", step)).fullmatch
            for step in (f"[{_UNRESERVED}]{{1,{LONGEST_ID}}}", f"[%{_UNRESERVED}]+")
        )

    def match(self, url: str) -> re.Match[str] | None:
        """Match the canonical spelling of a URL. A URL without escapes mostly has it already."""
        if "%" not in url and "/." not in url and (found := self._simple(url)):
            return found
        try:
            return self._encoded(_canonical(url))
        except ValueError:
            return None


_OWNER = rf"/(?:orgs|users)/{ID}/"
_REPO_VERSION = (
    rf"(?P<repo>{_OWNER}(?:sources|collections)/{ID}/)"
    rf"(?:(?:versions/)?(?!(?:{NO_VERSIONS})/)(?P<version>STEP)/)?"
)
_OWNER_ONLY = _Form(_OWNER)
_REPO_ONLY = _Form(_REPO_VERSION)
_CONTENT = _Form(
    rf"{_REPO_VERSION}(?P<kind>concept|mapping)s/(?P<id>STEP)/"
    rf"(?:(?!(?:{_INSIDE})/)(?P<item_version>STEP)/)?"
)


def check_id(text: str) -> str:
    """Return the id of an owner or repository.

    Raises ValueError, which names the first character that it must not hold.
    """
    if not re.fullmatch(ID, text):
        wrong = re.search(r"[^A-Za-z0-9._@-]", text)
        text = f"{_named(wrong.group())} is not allowed: an id {ID_RULE}" if wrong else ID_RULE
        raise ValueError(text)
    return _addressable(text)


def content_id(text: str) -> str:
    """Return the id of a concept, mapping or version in form NFC.

    It may hold 1 to 255 characters of any script, signs, slashes and inner blanks. Raises
    ValueError, which names the first character that it must not hold.
    """
    if _ASCII(text):
        return _addressable(text)
    # A character in form NFC replaces at most four, so a longer text is not read.
    found = nfc(text[: 4 * LONGEST_ID + 1])
    if not 1 <= len(found) <= LONGEST_ID:
        raise ValueError(f"must have 1 to {LONGEST_ID} characters")
    if found != found.strip():
        raise ValueError("must not begin or end with white space")
    for character in found:
        if unicodedata.category(character) in _REFUSED:
            raise ValueError(f"the character {_named(character)} is not allowed")
    return found


def nfc(text: str) -> str:
    """Return a text in form NFC, in which ids are kept and compared."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _addressable(text: str) -> str:
    if text in (".", ".."):
        raise ValueError("may not be . or .., which clients and proxies remove from a URL")
    return text


def _named(character: str) -> str:
    code = f"U+{ord(character):04X}"
    return f"{character} ({code})" if character.isprintable() and character != " " else code


def encoded(text: str) -> str:
    """Return an id as a canonical URL spells it."""
    return text if _SIMPLE(text) else "".join([_SPELLED[byte] for byte in text.encode()])


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


def item(url: str) -> ItemUrl | None:
    """Parse the URL of a concept or mapping; None when it has another form."""
    return _item(url) if len(url) <= LONGEST else None


# a bulk load parses each URL several times within a few commits
@functools.lru_cache(maxsize=8192)
def _item(url: str) -> ItemUrl | None:
    found = _CONTENT.match(url)
    if not found:
        return None
    kind: Kind = "concept" if found["kind"] == "concept" else "mapping"
    repo, item_id, version, item_version = found.group("repo", "id", "version", "item_version")
    if "%" in found.string:
        item_id, version, item_version = (
            step and unquote(step) for step in (item_id, version, item_version)
        )
    return ItemUrl(repo, kind, item_id, version, item_version)


def repo(url: str) -> str | None:
    """Return the repository's URL without a version; None when the URL has another form."""
    found = _REPO_ONLY.match(url)
    return found["repo"] if found else None


def owner(url: str) -> str | None:
    """Return the URL of an owner in its canonical spelling; None when it has another form."""
    found = _OWNER_ONLY.match(url)
    return found.group() if found else None


def _canonical(url: str) -> str:
    """Return the canonical spelling of a relative URL, with a slash at its end.

    The parameters are left out. A percent sign that begins no escape stands for itself, as in URLs
    that were not encoded. Raises ValueError when a step can't be an id.
    """
    path = url.partition("?")[0].partition("#")[0]
    root, *steps = path.removesuffix("/").split("/")
    if root:
        raise ValueError("not a relative URL")
    return (
        "".join(f"/{encoded(content_id(unquote(step, errors='strict')))}" for step in steps) + "/"
    )


def item_url(repo_url: str, kind: Kind, item_id: str) -> str:
    """Return the URL of a concept or mapping."""
    return f"{repo_url}{kind}s/{encoded(item_id)}/"


def version_url(repo_url: str, version: str) -> str:
    """Return the URL of a version of a repository."""
    return f"{repo_url}{encoded(version)}/"


def repo_of(url: str) -> str:
    """Return the repository of an item by its canonical URL."""
    return "/".join(url.split("/", 5)[:5]) + "/"


def id_of(url: str) -> str:
    """Return the id of an item by its canonical URL, which has no version."""
    return unquote(url.rsplit("/", 2)[1])


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
