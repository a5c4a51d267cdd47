"""The draft of a commit: the stored state under the lock, and the changes so far.

An edit looks items up here and then raises or puts one item. The edits of an import share a draft.
Each of them sees the changes of the earlier ones, and the `load_*` methods fetch what a whole batch
needs in one query each.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from oclapi import jsonio, representations, urls
from oclapi.access import Caller, may
from oclapi.editing import openmrs
from oclapi.editing.values import mapping_value, shown_concepts
from oclapi.errors import Invalid, NotFound, OclError
from oclapi.model import Change, Head, Json, Kind, Repository, Revision, Row, Selection
from oclapi.store.database import Transaction
from oclapi.store.store import Store
from search import fields

MappingKey = tuple[str, str, str]
"""(from, map_type, to), unique among the mappings of a source."""

Pair = tuple[str, str]
"""(from, to), unique among the active mappings of a source with the schema OpenMRS."""

SHOWN_BYTES = 32 * 2**20
"""Most bytes of the mappings that a commit writes because they show a renamed concept."""

_ABSENT = object()


@dataclass(slots=True)
class Item:
    """A concept or mapping in its state after this commit."""

    repo: Repository
    kind: Kind
    url: str
    value: Json  # its own fields, see editing/concepts.py and editing/mappings.py
    row: Row | None  # the living row that it replaces
    body: bytes = b""  # the published JSON, once the commit has rendered it

    @property
    def created(self) -> bool:
        return self.row is None


class Target(NamedTuple):
    """A concept that an entry refers to."""

    url: str
    name: str
    code: str
    repo: Repository


class TooManyRows(Exception):
    """The commit would write more rows than allowed, because many mappings show renamed concepts.

    MongoDB aborts a transaction that outgrows a tenth of its cache, so a retry does not help.
    """

    def __init__(self, rows: int) -> None:
        super().__init__(f"the commit would write {rows} rows")
        self.rows = rows


@functools.lru_cache(maxsize=64)
def lookup_names(store: Store, revision: Revision) -> frozenset[str] | None:
    """Return all names of the active concepts of a lookup list at a revision.

    Returns None when the list was deleted. The result is cached, since a revision never changes.
    """
    bodies = store.rows.bodies(revision, Selection("concept"))
    try:
        return frozenset(
            name["name"] for body in bodies for name in jsonio.loads_own(body)["names"]
        )
    except NotFound:
        return None


class Draft:
    """The changes of one run of a commit's `build`."""

    def __init__(
        self, store: Store, session: Transaction, heads: Mapping[int, Head], caller: Caller
    ) -> None:
        self.caller = caller
        self._store = store
        self._session = session
        self._heads = heads
        # The lines of an import may name repositories that the caller may not read.
        self._repos: dict[str, Repository | None] = {
            head.repo.url: head.repo if may(caller, "read", head.repo) else None
            for head in heads.values()
        }
        self._rows: dict[str, Row | None] = {}
        self._names: dict[str, str | None] = {}
        self._lists: dict[str, frozenset[str] | None] = {}
        # The following combine the stored state with the items of this draft. They are changed
        # through `_set` only, so that changes can be reverted. Keys, pairs and claims are kept by
        # repository number, since a commit may span several repositories.
        self._items: dict[str, Item] = {}
        self._keys: dict[tuple[int, MappingKey], str | None] = {}
        self._pairs: dict[tuple[int, Pair], frozenset[str]] = {}
        self._claims: dict[tuple[int, int], frozenset[str]] = {}
        # by concept: those claims in `_claims` that it has
        self._claims_of: dict[str, tuple[int, ...]] = {}
        self._journal: list[tuple[dict[Any, Any], Any, Any]] = []

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Apply all edits inside or none of them: an OclError reverts them and is raised again."""
        start = len(self._journal)
        try:
            yield
        except OclError:
            while len(self._journal) > start:
                state, key, before = self._journal.pop()
                if before is _ABSENT:
                    del state[key]
                else:
                    state[key] = before
            raise

    def _set(self, state: dict[Any, Any], key: Any, value: Any) -> None:
        self._journal.append((state, key, state.get(key, _ABSENT)))
        state[key] = value

    # Looking up

    def load_repos(self, wanted: Iterable[str]) -> None:
        """Fetch these repositories in one query."""
        missing = {url for url in wanted if url not in self._repos}
        if missing:
            self._repos.update(dict.fromkeys(missing))
            for found in self._store.repos.by_urls(missing, self._session):
                self._repos[found.url] = found if may(self.caller, "read", found) else None

    def repo(self, url: str) -> Repository | None:
        """Return the repository at this URL, or None when the caller may not read it."""
        if url not in self._repos:
            self.load_repos([url])
        return self._repos[url]

    def pending(self, url: str) -> Item | None:
        """Return the item if an earlier edit of this draft put it."""
        return self._items.get(url)

    def living(self, repo: Repository, kind: Kind, url: str) -> Row | None:
        """Return the stored row of an item with its body, or None."""
        row = self._rows.get(url)
        if url not in self._rows or (row and not row.body):
            self.load(repo, kind, [url])
        return self._rows[url]

    def exists(self, repo: Repository, kind: Kind, url: str) -> bool:
        if url not in self._rows and url not in self._items:
            self.load(repo, kind, [url], body=False)
        return url in self._items or self._rows[url] is not None

    def load(
        self, repo: Repository, kind: Kind, wanted: Iterable[str], *, body: bool = True
    ) -> None:
        """Fetch the living rows of these items in one query."""
        missing = {
            url
            for url in wanted
            if self._rows.get(url) is None or (body and not self._rows[url].body)  # type: ignore[union-attr]
        }
        if missing:
            self._rows.update(dict.fromkeys(missing))
            self._rows.update(
                {
                    row.url: row
                    for row in self._store.rows.living(
                        self._session, repo.number, kind, missing, body=body
                    )
                }
            )

    def load_targets(self, wanted: Iterable[str]) -> None:
        """Fetch the names of these concepts of any readable repository in one query each."""
        by_repo: dict[str, set[str]] = {}
        for url in wanted:
            found = urls.item(url)
            if found and found.kind == "concept":
                stable = found.stable
                if stable not in self._names and stable not in self._items:
                    by_repo.setdefault(found.repo, set()).add(stable)
        self.load_repos(by_repo)
        for repo_url, stables in by_repo.items():
            repo = self.repo(repo_url)
            if repo:
                self._names.update(dict.fromkeys(stables))
                self._names.update(
                    self._store.rows.living_names(self._session, repo.number, stables)
                )

    def target(self, field: str, url: str) -> Target:
        """Return the concept at a URL.

        Raises Invalid on `field` when the URL is malformed, or when there is no concept that the
        caller may read.
        """
        found = urls.item(url)
        if found is None or found.kind != "concept":
            raise Invalid.field(field, "this is not the URL of a concept")
        stable, repo = found.stable, self.repo(found.repo)
        name = self.name(stable)
        if repo is None or name is None:
            raise Invalid.field(field, f"concept {stable[:300]} not found")
        return Target(stable, name, found.id, repo)

    def name(self, url: str) -> str | None:
        """Return the display name of the concept at this stable URL.

        Returns None when there is no concept that the caller may read.
        """
        item = self._items.get(url)
        if item:
            return str(item.value["display_name"])
        if url not in self._names:
            self.load_targets([url])
        return self._names.get(url)

    def load_keys(self, repo: Repository, keys: Iterable[MappingKey]) -> None:
        """Fetch the mappings with these keys in one query."""
        number = repo.number
        missing = {key for key in keys if (number, key) not in self._keys}
        if missing:
            for key in missing:
                self._set(self._keys, (number, key), None)
            for row in self._store.rows.living_mappings(self._session, number, list(missing)):
                if row.url not in self._items:
                    self._set(
                        self._keys,
                        (number, (row.header["from"], row.header["map_type"], row.header["to"])),
                        row.url,
                    )
            for item in self._items.values():
                if (
                    item.kind == "mapping"
                    and item.repo.number == number
                    and _key(item.value) in missing
                ):
                    self._set(self._keys, (number, _key(item.value)), item.url)

    def mapped(self, repo: Repository, key: MappingKey) -> str | None:
        """Return the URL of the repository's mapping with this key, or None."""
        indexed = (repo.number, key)
        if indexed not in self._keys:
            self.load_keys(repo, [key])
        return self._keys[indexed]

    def load_pairs(self, repo: Repository, pairs: Iterable[Pair]) -> None:
        """Fetch the active mappings between these pairs of concepts, in one query."""
        number = repo.number
        missing = {pair for pair in pairs if (number, pair) not in self._pairs}
        if missing:
            for pair in missing:
                self._set(self._pairs, (number, pair), frozenset())
            for row in self._store.rows.living_between(self._session, number, missing):
                if row.url not in self._items:
                    self._join(number, (row.header["from"], row.header["to"]), row.url)
            for item in self._items.values():
                if (
                    item.kind == "mapping"
                    and item.repo.number == number
                    and _pair(item.value) in missing
                ):
                    self._join(number, _pair(item.value), item.url)

    def _join(self, number: int, pair: Pair | None, url: str) -> None:
        if (number, pair) in self._pairs:
            self._set(self._pairs, (number, pair), self._pairs[number, pair] | {url})  # type: ignore[index]

    def active_between(self, repo: Repository, start: str, end: str) -> frozenset[str]:
        """Return the URLs of the repository's active mappings from one concept to another."""
        self.load_pairs(repo, [(start, end)])
        return self._pairs[repo.number, (start, end)]

    def load_claims(self, repo: Repository, claims: Iterable[int]) -> None:
        """Fetch the concepts with these claims in one query."""
        number = repo.number
        missing = {claim for claim in claims if (number, claim) not in self._claims}
        if missing:
            for claim in missing:
                self._set(self._claims, (number, claim), frozenset())
            for row in self._store.rows.claimants(self._session, number, missing):
                if row.url not in self._items:
                    self._add_claims(number, row.url, missing.intersection(row.header["claims"]))
            for item in self._items.values():
                if item.kind == "concept" and item.repo.number == number:
                    self._add_claims(
                        number, item.url, missing.intersection(openmrs.claims(item.value))
                    )

    def _add_claims(self, number: int, url: str, claims: Iterable[int]) -> None:
        """Add the concept to those of the claims that were loaded."""
        known = [claim for claim in claims if (number, claim) in self._claims]
        for claim in known:
            self._set(self._claims, (number, claim), self._claims[number, claim] | {url})
        if known:
            self._set(self._claims_of, url, (*self._claims_of.get(url, ()), *known))

    def _remove_claims(self, number: int, url: str) -> None:
        for claim in self._claims_of.get(url, ()):
            self._set(self._claims, (number, claim), self._claims[number, claim] - {url})
        if url in self._claims_of:
            self._set(self._claims_of, url, ())

    def claimants(self, repo: Repository, claims: Iterable[int]) -> set[str]:
        """Return the URLs of the repository's concepts that have one of these claims."""
        wanted = list(claims)
        self.load_claims(repo, wanted)
        return set().union(*(self._claims[repo.number, claim] for claim in wanted))

    def lookup(self, source: str) -> frozenset[str] | None:
        """Return the names of the active concepts in a lookup list before this commit.

        Returns None when that source of the organisation OCL does not exist.
        """
        if source not in self._lists:
            repo = self._store.repos.by_url(f"/orgs/OCL/sources/{source}/", self._session)
            # The revision of this commit can't be read or cached.
            number = repo.rev - (repo.number in self._heads) if repo else 0
            self._lists[source] = (
                lookup_names(self._store, Revision(repo.number, number)) if repo else None
            )
        return self._lists[source]

    # Changing

    def put(self, item: Item) -> None:
        """Add the item to the commit. It replaces an earlier state of the same item."""
        before, number = self._items.get(item.url), item.repo.number
        self._set(self._items, item.url, item)
        if item.kind == "concept":
            if self._claims:
                self._remove_claims(number, item.url)
                self._add_claims(number, item.url, openmrs.claims(item.value))
            return
        old = before.value if before else None
        if old is None and item.row:
            header = item.row.header
            old = {
                "from_concept_url": header["from"],
                "map_type": header["map_type"],
                "to": header["to"],
                "retired": item.row.retired,
            }
        if old:
            self._set(self._keys, (number, _key(old)), None)
            indexed = (number, _pair(old))
            if indexed in self._pairs:
                self._set(self._pairs, indexed, self._pairs[indexed] - {item.url})
        self._set(self._keys, (number, _key(item.value)), item.url)
        self._join(number, _pair(item.value), item.url)

    def changes(self, most: int | None = None) -> Iterator[Change]:
        """Return the changes of the commit, including mappings that show renamed concepts.

        It is called once, at the end of `build`. `most` is the number of rows that a commit of
        several edits may write; TooManyRows is raised when it is exceeded. Without `most`, too many
        mappings raise Invalid on `names`. The session is not used after the return; each change is
        rendered when it is consumed.
        """
        self._rename(most)
        if most and len(self._items) > most:
            raise TooManyRows(len(self._items))
        used = (
            url for item in self._items.values() if item.kind == "mapping" for url in _uses(item)
        )
        guarded = {repo.number for url in used if (repo := self._repos.get(_repo_of(url)))}
        if guarded:
            self._store.repos.guard(self._session, sorted(guarded))
        return self._rendered()

    def _rendered(self) -> Iterator[Change]:
        for item in self._items.values():
            change = self._render(item)
            item.body = change.body
            yield change

    def _rename(self, most: int | None) -> None:
        by_repo: dict[int, dict[str, str]] = {}
        for item in self._items.values():
            if (
                item.kind == "concept"
                and item.row
                and item.row.header["display"] != item.value["display_name"]
            ):
                by_repo.setdefault(item.repo.number, {})[item.url] = item.value["display_name"]
        for number, names in by_repo.items():
            repo, limit = self._heads[number].repo, self._store.most_shown
            # Count first, so that a refusal is quick.
            shown = self._store.rows.count_showing(self._session, number, names)
            if shown > limit or (most and len(self._items) + shown > most):
                raise _too_many(
                    len(self._items) + shown,
                    f"{shown} mappings display it, at most {limit} can be updated",
                    most,
                )
            size = 0
            for row in self._store.rows.living_showing(self._session, number, names):
                size += len(row.body)
                if size > SHOWN_BYTES:
                    text = (
                        f"the {shown} mappings that display it have over {SHOWN_BYTES} bytes, "
                        "more than can be updated"
                    )
                    raise _too_many(len(self._items) + shown, text, most)
                if row.url not in self._items:
                    value = mapping_value(row)
                    if any(value[field] in names for field in shown_concepts(value)):
                        self._items[row.url] = Item(
                            repo, "mapping", row.url, {**value, "update_comment": None}, row
                        )
        for item in self._items.values():
            if item.kind == "mapping":
                for field in shown_concepts(item.value):
                    concept = self._items.get(item.value[field])
                    if concept:
                        item.value[field.replace("_url", "_name")] = concept.value["display_name"]

    def _render(self, item: Item) -> Change:
        head = self._heads[item.repo.number]
        value, by = item.value, self.caller.by
        if item.kind == "concept":
            body = representations.concept_body(
                value, item.repo.url, head.revision.number, head.at, by
            )
            header = fields.concept_header(value, by)
            if head.repo.keeps_claims:
                header["claims"] = openmrs.claims(value)
        else:
            number = item.row.header["number"] + 1 if item.row else 1
            body = representations.mapping_body(value, item.repo.url, number, head.at, by)
            header = fields.mapping_header(value, number, by)
            if uses := _uses(item):
                header["uses"] = uses
        return Change(
            item.repo.number,
            item.kind,
            item.url,
            value["id"],
            value["retired"],
            body,
            header,
            item.row,
        )


def _too_many(rows: int, text: str, most: int | None) -> Exception:
    return (
        TooManyRows(rows)
        if most
        else Invalid.field(
            "names", f"the display name of this concept can't change: {text} at once"
        )
    )


def _key(mapping: Mapping[str, Any]) -> MappingKey:
    return mapping["from_concept_url"], mapping["map_type"], mapping["to"]


def _pair(mapping: Mapping[str, Any]) -> Pair | None:
    """Return the two concepts of an active mapping."""
    return None if mapping["retired"] else (mapping["from_concept_url"], mapping["to"])


def _uses(mapping: Item) -> list[str]:
    """Return the concepts of other repositories that the mapping uses."""
    ends = (mapping.value["from_concept_url"], mapping.value["to_concept_url"])
    return [url for url in ends if url and not url.startswith(mapping.repo.url)]


def _repo_of(item_url: str) -> str:
    """Return the repository of a concept's stable URL."""
    return "/".join(item_url.split("/")[:5]) + "/"
