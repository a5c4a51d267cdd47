"""Renamed concepts: the mappings of the same source that display them change with them."""

from collections.abc import Iterable, Iterator, Mapping

from oclapi.editing.entries import Entry
from oclapi.editing.values import mapping_value, shown_concepts
from oclapi.errors import Invalid
from oclapi.model import Repository
from oclapi.store.database import Transaction
from oclapi.store.store import Store

SHOWN_BYTES = 32 * 2**20
"""Most bytes of the mappings that a commit writes because they show a renamed concept."""


class TooManyRows(Exception):
    """The commit would write more rows than allowed, because many mappings show renamed concepts.

    MongoDB aborts a transaction that outgrows a tenth of its cache, so a retry does not help.
    """

    def __init__(self, rows: int) -> None:
        super().__init__(f"the commit would write {rows} rows")
        self.rows = rows


def affected(
    store: Store,
    session: Transaction,
    entries: Mapping[tuple[int, str], Entry],
    most: int | None = None,
) -> Iterator[Entry]:
    """Yield the stored mappings that display a concept which these entries rename.

    Mappings among the entries are left out. `most` is the number of rows that a commit of several
    edits may write; TooManyRows is raised when it is exceeded. Without `most`, too many mappings
    raise Invalid on `names`.
    """
    for repo, names in _renamed(entries.values()):
        limit = store.most_shown
        # Count first, so that a refusal is quick.
        shown = store.rows.count_showing(session, repo.number, names)
        rows = len(entries) + shown
        if shown > limit or (most and rows > most):
            text = f"{shown} mappings display it, at most {limit} can be updated"
            raise _too_many(rows, text, most)
        size = 0
        for row in store.rows.living_showing(session, repo.number, names):
            size += len(row.body)
            if size > SHOWN_BYTES:
                text = (
                    f"the {shown} mappings that display it have over {SHOWN_BYTES} bytes, "
                    "more than can be updated"
                )
                raise _too_many(rows, text, most)
            if (repo.number, row.url) not in entries:
                value = mapping_value(row)
                if any(value[field] in names for field in shown_concepts(value)):
                    yield Entry(repo, "mapping", row.url, {**value, "update_comment": None}, row)


def show_new_names(entries: Mapping[tuple[int, str], Entry]) -> None:
    """Update the names of renamed concepts in the mappings among the entries."""
    for entry in entries.values():
        if entry.kind == "mapping":
            for field in shown_concepts(entry.value):
                concept = entries.get((entry.repo.number, entry.value[field]))
                if concept:
                    entry.value[field.replace("_url", "_name")] = concept.value["display_name"]


def _renamed(entries: Iterable[Entry]) -> Iterator[tuple[Repository, dict[str, str]]]:
    """Yield each repository with the new names of its renamed concepts, by URL."""
    by_repo: dict[int, tuple[Repository, dict[str, str]]] = {}
    for entry in entries:
        if entry.kind == "concept" and entry.row and not entry.removed:
            name = entry.value["display_name"]
            if entry.row.header["display"] != name:
                by_repo.setdefault(entry.repo.number, (entry.repo, {}))[1][entry.url] = name
    yield from by_repo.values()


def _too_many(rows: int, text: str, most: int | None) -> Exception:
    if most:
        return TooManyRows(rows)
    return Invalid.field("names", f"the display name of this concept can't change: {text} at once")
