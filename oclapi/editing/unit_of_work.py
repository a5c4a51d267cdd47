"""The unit of work of a commit: the stored state under the lock, and the changes so far.

An edit looks entries up here and then raises or puts one entry. The edits of an import share a unit
of work. Each of them sees the changes of the earlier ones, and the `load_*` methods fetch what a
whole batch needs in one query each.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import NamedTuple

from oclapi import urls
from oclapi.access import Caller, may
from oclapi.editing import lookups, openmrs, renames
from oclapi.editing.entries import Entry, MappingKey, Pair, mapping_keys, pair_of, pairs, uses
from oclapi.editing.journal import Journal
from oclapi.editing.renames import TooManyRows
from oclapi.editing.rendering import render
from oclapi.editing.uniqueness import NOBODY, UniquenessIndex
from oclapi.editing.values import arrival_uuid, concept_value, mapping_value
from oclapi.errors import Invalid
from oclapi.model import Change, Head, Kind, Removal, Repository, Revision, Row
from oclapi.store.database import Transaction
from oclapi.store.store import Store


class Target(NamedTuple):
    """A concept that an entry refers to."""

    url: str
    name: str
    code: str
    repo: Repository


class UnitOfWork:
    """The changes of one run of a commit's `build`.

    Entries are identified by the number of their repository and their URL: a collection holds
    copies of entries under the URLs of their sources.
    """

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
        self._rows: dict[tuple[int, str], Row | None] = {}
        self._names: dict[str, str | None] = {}
        self._lists: dict[str, frozenset[str] | None] = {}
        # The entries and the indexes over them are changed through the journal only.
        self._journal = Journal()
        self._uuids = 0  # that new mappings got
        self._entries: dict[tuple[int, str], Entry] = {}
        rows = store.rows
        self._keys = UniquenessIndex[MappingKey](
            self._journal,
            self._entries,
            mapping_keys,
            lambda number, keys: rows.living_mappings(session, number, list(keys)),
            lambda row: [(row.header["from"], row.header["map_type"], row.header["to"])],
        )
        self._pairs = UniquenessIndex[Pair](
            self._journal,
            self._entries,
            pairs,
            lambda number, pairs: rows.living_between(
                session, number, {pair[:2] for pair in pairs}
            ),
            lambda row: [pair_of(row.header["from"], row.header["map_type"], row.header["to"])],
        )
        self._claims = UniquenessIndex[int](
            self._journal,
            self._entries,
            _claims,
            lambda number, claims: rows.claimants(session, number, claims),
            lambda row: row.header["claims"],
        )

    def whole(self) -> AbstractContextManager[None]:
        """Apply all edits inside or none of them: an OclError reverts them and is raised again."""
        return self._journal.whole()

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

    def pending(self, repo: Repository, url: str) -> Entry | None:
        """Return the entry if an earlier edit of this unit of work put it."""
        return self._entries.get((repo.number, url))

    def current(self, repo: Repository, kind: Kind, url: str) -> Entry | None:
        """Return the entry as an earlier edit left it, or else as it is stored; None without it."""
        pending = self.pending(repo, url)
        if pending:
            return None if pending.removed else pending
        row = self.living(repo, kind, url)
        if row is None:
            return None
        value = concept_value(row) if kind == "concept" else mapping_value(row)
        return Entry(repo, kind, url, value, row, row.body)

    def living(self, repo: Repository, kind: Kind, url: str) -> Row | None:
        """Return the stored row of an entry with its body, or None."""
        key = repo.number, url
        row = self._rows.get(key)
        if key not in self._rows or (row and not row.body):
            self.load(repo, kind, [url])
        return self._rows[key]

    def exists(self, repo: Repository, kind: Kind, url: str) -> bool:
        """Return whether the entry exists, as an earlier edit left it or else in the store."""
        key = repo.number, url
        pending = self._entries.get(key)
        if pending:
            return not pending.removed
        if key not in self._rows:
            self.load(repo, kind, [url], body=False)
        return self._rows[key] is not None

    def load(
        self, repo: Repository, kind: Kind, wanted: Iterable[str], *, body: bool = True
    ) -> None:
        """Fetch the living rows of these entries in one query."""
        number = repo.number
        missing = {url for url in wanted if self._misses(self._rows.get((number, url)), body)}
        if missing:
            self._rows.update(dict.fromkeys((number, url) for url in missing))
            found = self._store.rows.living(self._session, number, kind, missing, body=body)
            self._rows.update({(number, row.url): row for row in found})

    @staticmethod
    def _misses(row: Row | None, body: bool) -> bool:
        return row is None or (body and not row.body)

    def load_targets(self, wanted: Iterable[str]) -> None:
        """Fetch the names of these concepts of any readable repository in one query each."""
        by_repo: dict[str, set[str]] = {}
        for url in wanted:
            found = urls.item(url)
            if found and found.kind == "concept" and found.stable not in self._names:
                by_repo.setdefault(found.repo, set()).add(found.stable)
        self.load_repos(by_repo)
        for repo_url, stables in by_repo.items():
            repo = self.repo(repo_url)
            if repo:
                missing = {url for url in stables if (repo.number, url) not in self._entries}
                if missing:
                    self._names.update(dict.fromkeys(missing))
                    self._names.update(
                        self._store.rows.living_names(self._session, repo.number, missing)
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
        name = self._name(repo, stable)
        if repo is None or name is None:
            raise Invalid.field(field, f"concept {stable[:300]} not found", waits=True)
        return Target(stable, name, found.id, repo)

    def name(self, url: str) -> str | None:
        """Return the display name of the concept at this stable URL.

        Returns None when there is no concept that the caller may read.
        """
        return self._name(self.repo(urls.repo_of(url)), url)

    def _name(self, repo: Repository | None, url: str) -> str | None:
        entry = self._entries.get((repo.number, url)) if repo else None
        if entry:
            return None if entry.removed else str(entry.value["display_name"])
        if url not in self._names:
            self.load_targets([url])
        return self._names.get(url)

    def load_keys(self, repo: Repository, keys: Iterable[MappingKey]) -> None:
        """Fetch the mappings with these keys in one query."""
        self._keys.load(repo.number, keys)

    def mapped(self, repo: Repository, key: MappingKey) -> str | None:
        """Return the URL of the repository's mapping with this key, or None."""
        return next(iter(self._keys.holders(repo.number, key)), None)

    def load_pairs(self, repo: Repository, pairs: Iterable[Pair]) -> None:
        """Fetch the active mappings with these pairs, in one query."""
        self._pairs.load(repo.number, pairs)

    def active_between(self, repo: Repository, pair: Pair) -> frozenset[str]:
        """Return the URLs of the repository's active mappings with this pair."""
        return self._pairs.holders(repo.number, pair)

    def load_claims(self, repo: Repository, claims: Iterable[int]) -> None:
        """Fetch the concepts with these claims in one query."""
        self._claims.load(repo.number, claims)

    def claimants(self, repo: Repository, claims: Collection[int]) -> frozenset[str]:
        """Return the URLs of the repository's concepts that have one of these claims."""
        self.load_claims(repo, claims)
        return NOBODY.union(*(self._claims.holders(repo.number, claim) for claim in claims))

    def lookup(self, source: str) -> frozenset[str] | None:
        """Return the values of a lookup list before this commit, as `openmrs.listed` has them.

        Returns None when that source of the organisation OCL does not exist.
        """
        if source not in self._lists:
            repo = self._store.repos.by_url(lookups.url_of(source), self._session)
            # The revision of this commit does not exist yet.
            number = repo.rev - (repo.number in self._heads) if repo else 0
            self._lists[source] = (
                openmrs.listed(
                    source,
                    lookups.names(self._store, self._session, Revision(repo.number, number)),
                )
                if repo
                else None
            )
        return self._lists[source]

    # Changing

    def new_uuid(self, repo: Repository) -> str:
        """Return a uuid that sorts after those that this repository got before."""
        self._uuids += 1
        return arrival_uuid(self._heads[repo.number].at, self._uuids)

    def put(self, entry: Entry) -> None:
        """Add the entry to the commit. It replaces an earlier state of the same entry."""
        for index in (self._keys, self._pairs) if entry.kind == "mapping" else (self._claims,):
            index.put(entry)
        self._journal.set(self._entries, entry.key, entry)

    def remove(self, entry: Entry) -> None:
        """End the entry's row without a successor. An entry that was never stored is dropped."""
        self.put(Entry(entry.repo, entry.kind, entry.url, entry.value, entry.row, removed=True))

    def changes(self, most: int | None = None) -> Iterator[Change | Removal]:
        """Return the changes of the commit, including mappings that show renamed concepts.

        It is called once, at the end of `build`. `most` is the number of rows that a commit of
        several edits may write; TooManyRows is raised when it is exceeded. The errors are those of
        `renames.affected`. The session is not used after the return; each change is rendered when
        it is consumed.
        """
        for entry in list(renames.affected(self._store, self._session, self._entries, most)):
            self._entries[entry.key] = entry
        renames.show_new_names(self._entries)
        if most and len(self._entries) > most:
            raise TooManyRows(len(self._entries))
        written = [entry for entry in self._entries.values() if entry.row or not entry.removed]
        used = (url for entry in written if entry.kind == "mapping" for url in uses(entry))
        guarded = {repo.number for url in used if (repo := self._repos.get(urls.repo_of(url)))}
        if guarded:
            self._store.repos.guard(self._session, sorted(guarded))
        return self._rendered(written)

    def _rendered(self, entries: Iterable[Entry]) -> Iterator[Change | Removal]:
        for entry in entries:
            change = render(entry, self._heads[entry.repo.number], self.caller.by)
            if isinstance(change, Change):
                entry.body = change.body
            yield change


def _claims(entry: Entry) -> Iterable[int]:
    return openmrs.claims(entry.value) if entry.kind == "concept" and not entry.removed else ()
