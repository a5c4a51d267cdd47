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

    def holders(self, number: int, value: Value) -> frozenset[str]:
        """Return the URLs of the entries of the repository that have this value."""
        key = number, value
        if key not in self._holders:
            self.load(number, [value])
        return self._holders[key]

    def put(self, entry: Entry) -> None:
        """Follow a change of an entry, before the entry replaces its earlier state."""
        if not self._holders:
            return
        number, url = entry.key
        for value in self._values_before(entry):
            holders = self._holders.get((number, value), NOBODY)
            if url in holders:
                self._journal.set(self._holders, (number, value), holders - {url})
        self._add(number, url, self._values_of(entry))

    def _values_before(self, entry: Entry) -> Iterable[Value]:
        earlier = self._entries.get(entry.key)
        if earlier:
            return self._values_of(earlier)
        return self._values_of_row(entry.row) if entry.row else ()

    def _add(self, number: int, url: str, values: Iterable[Value]) -> None:
        """Add the entry to the holders of those values that were looked up."""
        for value in values:
            holders = self._holders.get((number, value))
            if holders is not None:
                self._journal.set(self._holders, (number, value), holders | {url})
