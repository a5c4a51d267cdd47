"""The lines of an import, parsed and checked as far as possible without the store (contract 16).

Blank lines are skipped, but they are numbered, so the number of a line is the one that an editor
shows.
"""

import codecs
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from oclapi import jsonio, urls
from oclapi.editing import mappings
from oclapi.editing.entries import MappingKey
from oclapi.errors import Invalid
from oclapi.imports import keys
from oclapi.imports.line_types import NOT_YET, REQUIRED, TYPES, Check, LineType, Options, checked_id
from oclapi.imports.outcomes import STATUS, Outcome, Result, kept
from oclapi.model import Json

MAX_LINE = 16 * 2**20
"""Most bytes of a line. A longer one is refused without being read into memory."""
MAX_MAPPINGS = 999
"""Most `mappings` of a concept. A line is stored in one commit of at most 1,000 rows."""

CONCEPT, MAPPING, VERSION = TYPES["concept"], TYPES["mapping"], TYPES["source version"]
ACTIONS = ("CREATE_OR_UPDATE", "CREATE", "UPDATE", "DELETE", "DELETE_IF_EXISTS", "SKIP")


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

    def given(self, name: str) -> object:
        """Return a field of its body, None without it or when the body is not valid."""
        return None if isinstance(self.update, Invalid) else self.update.get(name)


@dataclass(frozen=True, slots=True)
class Line:
    """A line. `settled` is its outcome if that did not need the store."""

    number: int  # from 1
    size: int  # bytes
    type: str | None  # as the result shows it
    action: str
    kind: LineType | None = None  # of an open line
    parent: str = ""  # URL of the repository of an entry or version, or of the owner of a source
    url: str | None = None
    item: Item | None = None
    mappings: tuple[Item, ...] = ()
    settled: Result | None = None
    ignored: tuple[str, ...] = ()  # keys that nothing reads

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
            self.ignored,
        )

    @property
    def rows(self) -> int:
        """Return the most rows that the line can write."""
        return 1 + len(self.mappings)

    @property
    def is_content(self) -> bool:
        """Return whether it can share a commit with other lines."""
        return self.kind is None or self.kind.is_content

    @property
    def is_version(self) -> bool:
        """Return whether it names a version of a repository."""
        return self.kind is VERSION

    @property
    def all_mappings(self) -> tuple[Item, ...]:
        """Return the mapping of the line, or those of its concept."""
        return (self.item,) if self.item and self.kind is MAPPING else self.mappings

    def keys(self) -> Iterator[object]:
        """Yield the keys of its items. Two lines with a common key change the same item."""
        if self.url:
            yield self.url
        for item in self.all_mappings:
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


def lines_of(file: Path, longest: int = MAX_LINE) -> Iterator[bytes]:
    """Yield the lines of a file, as `split` does."""
    with open(file, "rb") as stream:
        yield from split(stream, longest)


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
        given = _without_blank(urls.with_paths(jsonio.object_of(raw), options.address))
    except Invalid as error:
        return _settled(blank, "invalid", error.errors)
    named = given.get("type", options.type)
    if named is None:
        return _settled(blank, "invalid", {"type": ["this field is required"]})
    name = named.strip().lower() if isinstance(named, str) else ""
    kind, action = TYPES.get(name), given.get("__action", ACTIONS[0])
    shown = kind.name if kind else NOT_YET.get(name, str(named)[:80])
    chosen = action.upper() if isinstance(action, str) else ""
    line = Line(number, len(raw), shown, chosen[:80])
    if kind is None and name not in NOT_YET:
        return _settled(line, "unknown", {"type": [f"unknown type {str(named)[:80]}"]})
    if chosen not in ACTIONS:
        return _settled(line, "invalid", {"__action": [f"must be one of {', '.join(ACTIONS)}"]})
    if chosen == "SKIP":
        return _settled(line, "others", None)
    if kind is None:
        return _settled(line, "unknown", {"type": [f"the type {shown} is not supported yet"]})
    try:
        return _open(line, kind, _with_texts(given), options)
    except Invalid as error:
        missing = all(texts == [REQUIRED] for texts in error.errors.values())
        return _settled(line, "invalid" if missing else "failed", error.errors)


PLACE = (
    *("id", "short_code", "username", "type", "__action"),
    *("owner", "owner_type", "owner_url", "source", "source_url"),
)
"""The keys that say what a line is, and which item it is for. A blank value says nothing."""
TEXTS = ("id", "username", "owner", "source", "external_id", "to_concept_code")
"""The keys whose integers are read as texts."""


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


def _without_blank(given: Json) -> Json:
    """Leave out the keys of PLACE that are null or blank."""
    blank = {
        name
        for name in PLACE
        if (value := given.get(name, 0)) is None or (isinstance(value, str) and not value.strip())
    }
    return {name: value for name, value in given.items() if name not in blank} if blank else given


def _with_texts(given: Json) -> Json:
    """Replace integers by their decimal text where a text is meant."""
    for part in ("names", "descriptions"):
        entries = given.get(part)
        if isinstance(entries, list) and any(
            isinstance(entry, dict) and type(entry.get("external_id")) is int for entry in entries
        ):
            given = {
                **given,
                part: [_with_texts(e) if isinstance(e, dict) else e for e in entries],
            }
    if int not in map(type, map(given.get, TEXTS)):
        return given
    return {**given, **{name: str(given[name]) for name in TEXTS if type(given.get(name)) is int}}


def _open(line: Line, kind: LineType, given: Json, options: Options) -> Line:
    """Return a line whose outcome depends on the store. Raises Invalid."""
    parent = kind.parent(given, options)
    named = next((name for name in kind.named if name in given), kind.named[0])
    given_id = given.get(named)
    if kind is not MAPPING and given_id is None:
        raise Invalid.field(kind.named[0], REQUIRED)
    if given_id is not None:
        given_id = checked_id(kind.named[0], given_id, kind.check_id)
    item = _item(kind, given, given_id)
    url = None if given_id is None else kind.url(parent, given_id)
    inner = _inner(given, url, options) if kind is CONCEPT and "DELETE" not in line.action else ()
    return Line(
        line.number,
        line.size,
        kind.name,
        line.action,
        kind,
        parent,
        url,
        item,
        inner,
        ignored=keys.ignored(kind.name, given),
    )


def _item(kind: LineType, given: Json, item_id: str | None) -> Item:
    new = _checked(kind.create, given)
    # A valid body for a new concept or mapping is also valid for an update.
    valid = kind.is_content and not isinstance(new, Invalid)
    old = new if valid else _checked(kind.update, given)
    missing: tuple[str, ...] = ()
    if isinstance(new, Invalid):  # a valid body has all required keys
        missing = tuple(
            name
            for name in kind.needed
            if given.get(name) is None and not (name == "id" and item_id)
        )
    key = mappings.key_of(old) if kind is MAPPING and not isinstance(old, Invalid) else None
    return Item(item_id, new, old, missing, key)


def _checked(check: Check, given: Json) -> Json | Invalid:
    try:
        return check(given)
    except Invalid as error:
        return error


def _inner(given: Json, concept_url: str | None, options: Options) -> tuple[Item, ...]:
    """Return the entries of a concept's `mappings`. Raises Invalid."""
    entries = given.get("mappings") or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Invalid.field("mappings", "must be a list of objects")
    if len(entries) > MAX_MAPPINGS:
        raise Invalid.field("mappings", f"may have at most {MAX_MAPPINGS} entries")
    items = []
    for position, given_entry in enumerate(entries):
        entry = urls.with_paths(given_entry, options.address)
        start = entry.get("from_concept_url") or concept_url
        found = urls.item(start) if isinstance(start, str) else None
        if found is None or found.stable != concept_url:
            raise Invalid.field(
                "mappings", f"mappings[{position}].from_concept_url: must be this concept"
            )
        body = _with_texts({**_without_blank(entry), "from_concept_url": concept_url})
        item_id = body.get("id")
        if item_id is not None:
            place = f"mappings[{position}].id: "
            item_id = checked_id("mappings", item_id, urls.content_id, place)
        items.append(_item(MAPPING, body, item_id))
    return tuple(items)
