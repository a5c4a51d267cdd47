"""The document of a repository with its content, as GET shows it and an export stores it.

It is the JSON object of the detail, with `concepts` and `mappings` as its last keys. Each entry
stands on a line of its own (contract 15).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from oclapi import jsonio
from oclapi.model import Json, Kind, Row, Selection
from oclapi.reading.views import View
from oclapi.store.database import Session
from oclapi.store.store import Store
from search.base import Position

Selections = Mapping[Kind, Selection]
"""What a document contains of each kind of entry. Its order is that of the keys."""


def page(
    store: Store,
    session: Session,
    view: View,
    selections: Selections,
    *,
    limit: int,
    skip: int = 0,
    after: Mapping[str, Position] | None = None,
) -> Mapping[Kind, Sequence[Row]]:
    """Return at most `limit` entries of each kind in commit order.

    They follow `after`, the position by kind. Without one, the first `skip` are left out, which
    costs a scan of their index keys.
    """
    found: dict[Kind, Sequence[Row]] = {}
    for kind, selection in selections.items():
        last = after.get(kind) if after else None
        found[kind] = store.rows.page(
            session,
            view.revision,
            selection,
            limit=limit,
            skip=skip,
            after=last and (int(last[0]), last[1]),
        )
    return found


def batches(
    store: Store, view: View, selections: Selections
) -> Mapping[Kind, Iterator[list[bytes]]]:
    """Return all entries of each kind as JSON, in lists and in commit order. Needs no session."""
    return {
        kind: store.rows.body_batches(view.revision, selection)
        for kind, selection in selections.items()
    }


def document(detail: Json, lists: Mapping[Kind, Iterable[Sequence[bytes]]]) -> Iterator[bytes]:
    """Yield the document of a detail and lists of encoded entries."""
    kept = {name: value for name, value in detail.items() if name not in ("concepts", "mappings")}
    yield jsonio.dumps(kept)[:-1]
    for kind, entries in lists.items():
        yield b',\n"%ss":[' % kind.encode()
        between = b"\n"
        for batch in entries:
            if batch:
                yield between + b",\n".join(batch)
                between = b",\n"
        yield b"\n]"
    yield b"}\n"
