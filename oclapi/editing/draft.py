"""What one commit is about to write: the state under the lock, and the changes made to it so far.

An edit looks things up here, raises before it has changed anything, or puts one item. Many edits share a draft in a bulk load:
each sees what the ones before it did, and `load_*` fetch what a whole batch will look up in one query each.
"""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from oclapi import jsonio, representations, urls
from oclapi.access import Caller, may
from oclapi.editing import naming, openmrs
from oclapi.editing.values import mapping_value, shown_concepts
from oclapi.errors import Invalid
from oclapi.model import Change, Head, Json, Kind, Revision, Row
from oclapi.store.database import Transaction
from oclapi.store.rows import Slice
from oclapi.store.store import Store

MappingKey = tuple[str, str, str]
"""(from, map_type, to): what no second mapping of a source may share."""


@dataclass(slots=True)
class Item:
    """One concept or mapping as this commit will leave it."""

    repo: Json
    kind: Kind
    url: str
    value: Json  # its own fields, see editing/concepts.py and editing/mappings.py
    row: Row | None  # the living row that it replaces
    body: bytes = b""  # the published JSON; b"" until the commit has rendered it

    @property
    def created(self) -> bool:
        return self.row is None


@dataclass(frozen=True, slots=True)
class Target:
    """A concept that something refers to."""

    url: str
    name: str
    code: str
    repo: Json


@functools.lru_cache(maxsize=64)
def lookup_names(store: Store, revision: Revision) -> frozenset[str]:
    """Every name of the active concepts at a revision: the entries of a lookup list. Kept, since a revision never changes."""
    bodies = store.rows.bodies(revision, Slice("concept"))
    return frozenset(name["name"] for body in bodies for name in jsonio.loads_own(body)["names"])


class Draft:
    """The work of one run of a commit's `build`."""

    def __init__(self, store: Store, session: Transaction, heads: Mapping[int, Head], caller: Caller) -> None:
        self.caller = caller
        self._store = store
        self._session = session
        self._heads = heads
        self._repos: dict[str, Json | None] = {head.repo["url"]: head.repo for head in heads.values()}
        self._rows: dict[str, Row | None] = {}
        self._items: dict[str, Item] = {}
        self._keys: dict[MappingKey, str | None] = {}
        self._claims: dict[int, set[str]] = {}

    # Looking up

    def repo(self, url: str) -> Json | None:
        """The repository at this URL as the transaction sees it; None when there is none or the caller may not read it."""
        if url not in self._repos:
            found = self._store.repos.by_url(url, self._session)
            self._repos[url] = found if found and may(self.caller, "read", found) else None
        return self._repos[url]

    def pending(self, url: str) -> Item | None:
        """The item as an earlier edit of this commit left it."""
        return self._items.get(url)

    def living(self, repo: Json, kind: Kind, url: str) -> Row | None:
        """The stored row of an item with its body, None when there is none."""
        row = self._rows.get(url)
        if url not in self._rows or (row and not row.body):
            self.load(repo, kind, [url])
        return self._rows[url]

    def exists(self, repo: Json, kind: Kind, url: str) -> bool:
        if url not in self._rows and url not in self._items:
            self.load(repo, kind, [url], body=False)
        return url in self._items or self._rows[url] is not None

    def load(self, repo: Json, kind: Kind, wanted: Iterable[str], *, body: bool = True) -> None:
        """Fetch the living rows of these items in one query."""
        missing = {url for url in wanted if self._rows.get(url) is None or (body and not self._rows[url].body)}  # type: ignore[union-attr]
        if missing:
            self._rows.update(dict.fromkeys(missing))
            self._rows.update({row.url: row for row in self._store.rows.living(self._session, repo["_id"], kind, missing, body=body)})

    def load_targets(self, wanted: Iterable[str]) -> None:
        """Fetch the concepts that these URLs name, of any readable repository; those that name nothing are passed over."""
        by_repo: dict[str, set[str]] = {}
        for url in wanted:
            found = urls.item(url)
            if found and found.kind == "concept" and found.stable not in self._rows:
                by_repo.setdefault(found.repo, set()).add(found.stable)
        for repo_url, stable in by_repo.items():
            repo = self.repo(repo_url)
            if repo:
                self.load(repo, "concept", stable, body=False)

    def target(self, field: str, url: str) -> Target:
        """The concept that a URL names. Raises Invalid on `field` when it is malformed, names nothing or nothing the caller may read."""
        found = urls.item(url)
        if found is None or found.kind != "concept":
            raise Invalid.field(field, "this is not the URL of a concept")
        repo = self.repo(found.repo)
        if repo is None or not self.exists(repo, "concept", found.stable):
            raise Invalid.field(field, f"there is no concept {found.stable[:300]}")
        return Target(found.stable, self._name(found.stable), found.id, repo)

    def _name(self, url: str) -> str:
        item, row = self._items.get(url), self._rows.get(url)
        return str(item.value["display_name"] if item else row.header["display"] if row else "")

    def load_keys(self, repo: Json, keys: Iterable[MappingKey]) -> None:
        """Fetch which of these (from, map_type, to) are mapped already, in one query."""
        missing = [key for key in keys if key not in self._keys]
        if missing:
            self._keys.update(dict.fromkeys(missing))
            for row in self._store.rows.living_mappings(self._session, repo["_id"], missing):
                header = row.header
                if row.url not in self._items:
                    self._keys[header["from"], header["map_type"], header["to"]] = row.url

    def mapped(self, repo: Json, key: MappingKey) -> str | None:
        """URL of the repository's mapping with this (from, map_type, to), None when there is none."""
        self.load_keys(repo, [key])
        return self._keys[key]

    def active_between(self, repo: Json, start: str, end: str) -> set[str]:
        """URLs of the repository's active mappings from one concept to another."""
        stored = {row.url for row in self._store.rows.living_between(self._session, repo["_id"], start, end) if row.url not in self._items}
        made = {
            item.url for item in self._items.values()
            if item.kind == "mapping" and not item.value["retired"] and (item.value["from_concept_url"],
            item.value["to_concept_url"]) == (start, end)
        }  # fmt: skip
        return stored | made

    def load_claims(self, repo: Json, claims: Iterable[int]) -> None:
        """Fetch who holds these claims, in one query."""
        missing = [claim for claim in claims if claim not in self._claims]
        if missing:
            self._claims.update({claim: set() for claim in missing})
            for row in self._store.rows.claimants(self._session, repo["_id"], missing):
                for claim in row.header["claims"]:
                    if claim in self._claims and row.url not in self._items:
                        self._claims[claim].add(row.url)
            for item in self._items.values():
                if item.kind == "concept":
                    self._hold(item)

    def claimants(self, repo: Json, claims: Iterable[int]) -> set[str]:
        """URLs of the repository's concepts that hold one of these claims."""
        wanted = list(claims)
        self.load_claims(repo, wanted)
        return set().union(*(self._claims[claim] for claim in wanted))

    def lookup(self, source: str) -> frozenset[str] | None:
        """The names of the active concepts in a lookup list of the organisation OCL; None when that source does not exist."""
        repo = self._store.repos.by_url(f"/orgs/OCL/sources/{source}/", self._session)
        return lookup_names(self._store, Revision(repo["_id"], repo["rev"])) if repo else None

    # Changing

    def put(self, item: Item) -> None:
        """Make the item part of the commit; a later put of the same item takes its place."""
        before = self._items.get(item.url)
        old = before.value if before else None
        if item.kind == "mapping":
            if old is None and item.row:
                old = {"from_concept_url": item.row.header["from"], "map_type": item.row.header["map_type"], "to": item.row.header["to"]}
            if old:
                self._keys[old["from_concept_url"], old["map_type"], old["to"]] = None
            self._keys[item.value["from_concept_url"], item.value["map_type"], item.value["to"]] = item.url
        self._items[item.url] = item
        if item.kind == "concept":
            for holders in self._claims.values():
                holders.discard(item.url)
            self._hold(item)

    def _hold(self, item: Item) -> None:
        if self._claims:
            for claim in openmrs.claims(item.value):
                if claim in self._claims:
                    self._claims[claim].add(item.url)

    def changes(self) -> list[Change]:
        """Render what was put, and the mappings that show a concept which got another name. Called once, at the end of `build`."""
        self._rename()
        guarded: set[int] = set()
        made = []
        for item in self._items.values():
            change = self._render(item)
            item.body = change.body
            made.append(change)
            guarded.update(repo["_id"] for url in change.header.get("uses", ()) if (repo := self._repos.get(_repo_of(url))))
        if guarded:
            self._store.repos.guard(self._session, sorted(guarded))
        return made

    def _rename(self) -> None:
        by_repo: dict[int, dict[str, str]] = {}
        for item in self._items.values():
            if item.kind == "concept" and item.row and item.row.header["display"] != item.value["display_name"]:
                by_repo.setdefault(item.repo["_id"], {})[item.url] = item.value["display_name"]
        for number, names in by_repo.items():
            repo = self._heads[number].repo
            for row in self._store.rows.living_showing(self._session, number, names):
                if row.url not in self._items:
                    value = mapping_value(row)
                    if any(value[field] in names for field in shown_concepts(value)):
                        self._items[row.url] = Item(repo, "mapping", row.url, {**value, "update_comment": None}, row)
            for item in self._items.values():
                if item.kind == "mapping" and item.repo["_id"] == number:
                    for field in shown_concepts(item.value):
                        shown = field.replace("_url", "_name")
                        item.value[shown] = names.get(item.value[field], item.value[shown])

    def _render(self, item: Item) -> Change:
        head = self._heads[item.repo["_id"]]
        value, by = item.value, self.caller.by
        header: Json
        if item.kind == "concept":
            body = representations.concept_body(value, item.repo["url"], head.revision.number, head.at, by)
            header = {
                "display": value["display_name"], "name": naming.fold(value["display_name"]),
                "concept_class": naming.fold(value["concept_class"]),
                "datatype": naming.fold(value["datatype"]),
                "locales": sorted({naming.fold(name["locale"]) for name in value["names"]}), "by": naming.fold(by),
            }  # fmt: skip
            if head.repo["keeps_claims"]:
                header["claims"] = openmrs.claims(value)
        else:
            number = item.row.header["number"] + 1 if item.row else 1
            body = representations.mapping_body(value, item.repo["url"], number, head.at, by)
            header = {
                "from": value["from_concept_url"], "map_type": value["map_type"], "to": value["to"], "number": number,
                "by": naming.fold(by),
                "own_to_name": value["own_to_name"],
            }  # fmt: skip
            uses = [url for url in (value["from_concept_url"], value["to_concept_url"]) if url and not url.startswith(item.repo["url"])]
            if uses:
                header["uses"] = uses
        return Change(item.repo["_id"], item.kind, item.url, value["id"], value["retired"], body, header, item.row)


def _repo_of(item_url: str) -> str:
    """The repository's part of a concept's URL."""
    return item_url.rsplit("concepts/", 1)[0]
