"""Values that must be unique in a repository, as they are after the edits so far."""

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from typing import Generic, TypeVar

from oclapi.editing.entries import Entry
from oclapi.editing.journal import Journal
from oclapi.model import Row

Value = TypeVar("Value", bound=Hashable)
NOBODY: frozenset[str] = frozenset()


class UniquenessIndex(Generic[Value]):
    """Which entries have a value: the stored ones, as changed by the entries of a unit of work.

    A value is looked up in the store once, in one query with others, and follows the edits from
    then on. Values are kept by repository number, because a commit may span several repositories.
    """

    def __init__(
        self,
        journal: Journal,
        entries: Mapping[tuple[int, str], Entry],
        values_of: Callable[[Entry], Iterable[Value]],
        find: Callable[[int, Collection[Value]], Iterable[Row]],
        values_of_row: Callable[[Row], Iterable[Value]],
    ) -> None:
        """`find` returns the living rows of a repository that have one of the values."""
        self._journal = journal
        self._entries = entries
        self._values_of = values_of
        self._find = find
        self._values_of_row = values_of_row
        self._holders: dict[tuple[int, Value], frozenset[str]] = {}
        # By entry: those values in `_holders` that it has.
        self._held: dict[tuple[int, str], tuple[Value, ...]] = {}

    def load(self, number: int, values: Iterable[Value]) -> None:
        """Look up these values of a repository, in one query."""
        missing = {value for value in values if (number, value) not in self._holders}
        if not missing:
            return
        for value in missing:
            self._journal.set(self._holders, (number, value), NOBODY)
        for row in self._find(number, missing):
            if (number, row.url) not in self._entries:
                self._add(number, row.url, missing.intersection(self._values_of_row(row)))
        for (repo, url), entry in self._entries.items():
            if repo == number:
                self._add(number, url, missing.intersection(self._values_of(entry)))

    def holders(self, number: int, values: Iterable[Value]) -> frozenset[str]:
        """Return the URLs of the entries of the repository that have one of these values."""
        wanted = list(values)
        self.load(number, wanted)
        return NOBODY.union(*(self._holders[number, value] for value in wanted))

    def put(self, entry: Entry) -> None:
        """Follow a change of an entry."""
        if not self._holders:
            return
        number, url = entry.key
        held = self._held.get(entry.key, ())
        for value in held:
            known = number, value
            self._journal.set(self._holders, known, self._holders[known] - {url})
        if held:
            self._journal.set(self._held, entry.key, ())
        self._add(number, url, self._values_of(entry))

    def _add(self, number: int, url: str, values: Iterable[Value]) -> None:
        """Add the entry to the holders of those values that were looked up."""
        known = tuple(value for value in values if (number, value) in self._holders)
        for value in known:
            holders = self._holders[number, value]
            self._journal.set(self._holders, (number, value), holders | {url})
        if known:
            key = number, url
            self._journal.set(self._held, key, (*self._held.get(key, ()), *known))
