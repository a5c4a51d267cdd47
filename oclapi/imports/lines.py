"""The lines of an import, parsed and checked as far as possible without the store (contract 16).

Blank lines are skipped, but they are numbered, so the number of a line is the one that an editor
shows.
"""

import codecs
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from oclapi import bodies, jsonio, urls
from oclapi.editing import mappings
from oclapi.editing.entries import MappingKey
from oclapi.editing.users import SHORTEST_PASSWORD
from oclapi.errors import Invalid
from oclapi.imports.outcomes import STATUS, Outcome, Result, kept
from oclapi.model import Json

MAX_LINE = 16 * 2**20
"""Most bytes of a line. A longer one is refused without being read into memory."""
MAX_MAPPINGS = 999
"""Most `mappings` of a concept. A line is stored in one commit of at most 1,000 rows."""

TYPES = {
    name.lower(): name
    for name in (
        "Organization",
        "Source",
        "Source Version",
        "Concept",
        "Mapping",
        "User",
        "Collection",
        "Collection Version",
        "Reference",
    )
}
NOT_YET = ("Collection", "Collection Version", "Reference")
"""Types of the contract that this server does not support yet."""
ACTIONS = ("CREATE_OR_UPDATE", "CREATE", "UPDATE", "DELETE", "DELETE_IF_EXISTS", "SKIP")

Check = Callable[[Json], Json]

CHECKS: Mapping[str, tuple[Check, Check]] = {
    "User": (bodies.user_create, bodies.user_update),
    "Organization": (bodies.org_create, bodies.org_update),
    "Source": (bodies.source_create, bodies.source_update),
    "Source Version": (bodies.version_create, bodies.version_update),
    "Concept": (bodies.concept_create, bodies.concept_update),
    "Mapping": (bodies.mapping_create, bodies.mapping_update),
}
NEEDED: Mapping[str, tuple[str, ...]] = {
    "User": ("username", "name", "email"),
    "Organization": ("id", "name"),
    "Source": ("id", "name"),
    "Source Version": ("id",),
    "Concept": ("id", "concept_class", "names"),
    "Mapping": ("map_type", "from_concept_url"),
}
"""Required keys of a new item.

The outcome is `invalid` when a key is missing, and `failed` when a value is not valid.
"""

_ID = re.compile(urls.ID)


@dataclass(frozen=True, slots=True)
class Options:
    """How to read lines.

    `type` and `source` (the URL of a source) are the defaults of lines without them. `shortest` is
    the minimum length of a password.
    """

    update_if_exists: bool = True
    type: str | None = None
    source: str | None = None
    shortest: int = SHORTEST_PASSWORD


@dataclass(frozen=True, slots=True)
class Item:
    """An item of a line.

    Its body is checked for creation and for update, since only the store knows which one is needed.
    """

    id: str | None  # None: a mapping that is found by its key, or gets a new id
    create: Json | Invalid
    update: Json | Invalid
    missing: tuple[str, ...]  # required keys that it lacks
    key: MappingKey | None = None  # of a mapping


@dataclass(frozen=True, slots=True)
class Line:
    """A line. `settled` is its outcome if that did not need the store."""

    number: int  # from 1
    size: int  # bytes
    type: str | None
    action: str
    parent: str = ""  # URL of the repository of an entry or version, or of the owner of a source
    url: str | None = None
    item: Item | None = None
    mappings: tuple[Item, ...] = ()
    settled: Result | None = None

    def result(
        self,
        outcome: Outcome,
        status: int | None = None,
        errors: Mapping[str, Sequence[str]] | None = None,
        url: str | None = None,
    ) -> Result:
        return Result(
            self.number,
            self.type,
            url or self.url,
            self.action,
            outcome,
            status or STATUS[outcome],
            errors,
        )

    @property
    def rows(self) -> int:
        """Return the most rows that the line can write."""
        return 1 + len(self.mappings)

    @property
    def is_content(self) -> bool:
        """Return whether it can share a commit with other lines."""
        return self.settled is not None or self.type in ("Concept", "Mapping")

    def names(self) -> Iterator[object]:
        """Yield the keys of its items. Two lines with a common key change the same item."""
        if self.settled:
            return
        if self.url:
            yield self.url
        for item in (self.item, *self.mappings) if self.type == "Mapping" else self.mappings:
            assert item is not None  # an open line has one
            if item.key:
                yield self.parent, item.key
            if item.id:
                yield urls.item_url(self.parent, "mapping", item.id)


def split(stream: IO[bytes], longest: int = MAX_LINE) -> Iterator[bytes]:
    """Yield the lines of a stream, without a byte order mark before the first.

    A line over `longest` bytes is cut after `longest` + 1 bytes. Memory: one line.
    """
    mark = codecs.BOM_UTF8
    while line := stream.readline(longest + 1):
        yield line.removeprefix(mark)
        mark = b""
        # Skip the rest of a line that is too long.
        while len(line) > longest and not line.endswith(b"\n"):
            line = stream.readline(longest + 1)


def read(numbered: Iterable[tuple[int, bytes]], options: Options) -> Iterator[Line]:
    """Yield the checked lines that are not blank. The errors of a line are its outcome."""
    for number, raw in numbered:
        if raw.strip():
            yield line_of(number, raw, options)


def line_of(number: int, raw: bytes, options: Options) -> Line:
    """Parse and check one line."""
    blank = Line(number, len(raw), None, ACTIONS[0])
    if len(raw) > MAX_LINE:
        return _settled(
            blank, "invalid", {"__all__": [f"a line may have at most {MAX_LINE} bytes"]}
        )
    try:
        given = jsonio.object_of(raw)
    except Invalid as error:
        return _settled(blank, "invalid", error.errors)
    named = given.get("type", options.type)
    if named is None:
        return _settled(blank, "invalid", {"type": ["this field is required"]})
    kind = TYPES.get(named.strip().lower()) if isinstance(named, str) else None
    action = given.get("__action", ACTIONS[0])
    chosen = action.upper() if isinstance(action, str) else ""
    line = Line(number, len(raw), kind or str(named)[:80], chosen[:80])
    if kind is None:
        return _settled(line, "unknown", {"type": [f"unknown type {str(named)[:80]}"]})
    if chosen not in ACTIONS:
        return _settled(line, "invalid", {"__action": [f"must be one of {', '.join(ACTIONS)}"]})
    if chosen == "SKIP":
        return _settled(line, "others", None)
    if kind in NOT_YET:
        return _settled(line, "unknown", {"type": [f"the type {kind} is not supported yet"]})
    try:
        return _open(line, kind, _with_texts(given), options)
    except Invalid as error:
        missing = all(texts == [_REQUIRED] for texts in error.errors.values())
        return _settled(line, "invalid" if missing else "failed", error.errors)


_REQUIRED = "this field is required"
NAMING = ("id", "username", "owner", "source")


def _settled(line: Line, outcome: Outcome, errors: Mapping[str, list[str]] | None) -> Line:
    result = Result(
        line.number,
        line.type,
        None,
        line.action,
        outcome,
        STATUS[outcome],
        None if errors is None else kept(errors),
    )
    return Line(line.number, line.size, line.type, line.action, settled=result)


def _with_texts(given: Json) -> Json:
    """Replace integers that are ids by their decimal text."""
    if int not in map(type, map(given.get, NAMING)):
        return given
    return {**given, **{name: str(given[name]) for name in NAMING if type(given.get(name)) is int}}


def _open(line: Line, kind: str, given: Json, options: Options) -> Line:
    """Return a line whose outcome depends on the store. Raises Invalid."""
    parent = (
        ""
        if kind in ("User", "Organization")
        else _owner(given)
        if kind == "Source"
        else _source(given, options)
    )
    named = "username" if kind == "User" else "id"
    given_id = (
        given.get("short_code") if kind == "Source" and "id" not in given else given.get(named)
    )
    if kind != "Mapping" and given_id is None:
        raise Invalid.field(named, _REQUIRED)
    if given_id is not None and not (isinstance(given_id, str) and _ID.fullmatch(given_id)):
        raise Invalid.field(named, urls.ID_RULE)
    item = _item(kind, given, given_id)
    url = _url(kind, parent, given_id)
    inner = _inner(given, url) if kind == "Concept" and "DELETE" not in line.action else ()
    return Line(line.number, line.size, kind, line.action, parent, url, item, inner)


def _item(kind: str, given: Json, item_id: str | None) -> Item:
    create, update = CHECKS[kind]
    new = _checked(create, given)
    # A valid body for a new concept or mapping is also valid for an update.
    old = (
        new
        if kind in ("Concept", "Mapping") and not isinstance(new, Invalid)
        else _checked(update, given)
    )
    missing: tuple[str, ...] = ()
    if isinstance(new, Invalid):  # a valid body has all required keys
        missing = tuple(
            name
            for name in NEEDED[kind]
            if given.get(name) is None and not (name == "id" and item_id)
        )
    key = mappings.key_of(old) if kind == "Mapping" and not isinstance(old, Invalid) else None
    return Item(item_id, new, old, missing, key)


def _checked(check: Check, given: Json) -> Json | Invalid:
    try:
        return check(given)
    except Invalid as error:
        return error


def _inner(given: Json, concept_url: str | None) -> tuple[Item, ...]:
    """Return the entries of a concept's `mappings`. Raises Invalid."""
    entries = given.get("mappings") or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Invalid.field("mappings", "must be a list of objects")
    if len(entries) > MAX_MAPPINGS:
        raise Invalid.field("mappings", f"may have at most {MAX_MAPPINGS} entries")
    items = []
    for position, entry in enumerate(entries):
        start = entry.get("from_concept_url") or concept_url
        found = urls.item(start) if isinstance(start, str) else None
        if found is None or found.stable != concept_url:
            raise Invalid.field(
                "mappings", f"mappings[{position}].from_concept_url: must be this concept"
            )
        body = _with_texts({**entry, "from_concept_url": concept_url})
        item_id = body.get("id")
        if item_id is not None and not (isinstance(item_id, str) and _ID.fullmatch(item_id)):
            raise Invalid.field(
                "mappings",
                f"mappings[{position}].id: {urls.ID_RULE}",
            )
        items.append(_item("Mapping", body, item_id))
    return tuple(items)


def _owner(given: Json) -> str:
    """Return the URL of the owner that a line names. Raises Invalid."""
    url = given.get("owner_url")
    if isinstance(url, str) and re.fullmatch(rf"/(orgs|users)/{urls.ID}/?", url):
        return url if url.endswith("/") else url + "/"
    if url is not None:
        raise Invalid.field("owner_url", "this is not the URL of an organisation or user")
    owner = given.get("owner")
    if owner is None:
        raise Invalid.field("owner", _REQUIRED)
    if not isinstance(owner, str) or not _ID.fullmatch(owner):
        raise Invalid.field("owner", urls.ID_RULE)
    kind = given.get("owner_type") or "Organization"
    if not isinstance(kind, str) or kind.lower() not in ("organization", "user"):
        raise Invalid.field("owner_type", "must be Organization or User")
    return urls.owner_url(kind.lower().capitalize(), owner)


def _source(given: Json, options: Options) -> str:
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
        if not isinstance(source, str) or not _ID.fullmatch(source):
            raise Invalid.field("source", urls.ID_RULE)
        return f"{_owner(given)}sources/{source}/"
    if options.source is None:
        raise Invalid(
            {name: [_REQUIRED] for name in ("owner", "source") if given.get(name) is None}
        )
    here, kind = urls.parts(options.source), given.get("owner_type")
    owner = _owner(given) if given.get("owner_url") is not None else here.owner_url
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


def _url(kind: str, parent: str, item_id: str | None) -> str | None:
    if item_id is None:
        return None
    if kind in ("User", "Organization"):
        return urls.owner_url(kind, item_id)
    if kind == "Source":
        return f"{parent}sources/{item_id}/"
    if kind == "Source Version":
        return f"{parent}{item_id}/"
    return urls.item_url(parent, "concept" if kind == "Concept" else "mapping", item_id)
