"""The lookup lists of the schema OpenMRS: sources of the organisation OCL."""

from collections.abc import Iterator

from oclapi import jsonio
from oclapi.model import Revision, Selection
from oclapi.store.database import Session
from oclapi.store.store import Store


def url_of(source: str) -> str:
    """Return the URL of a lookup list."""
    return f"/orgs/OCL/sources/{source}/"


def names(store: Store, session: Session, revision: Revision) -> Iterator[str]:
    """Yield all names of the active concepts of a lookup list, but for retired names.

    Cost: a read of the whole list.
    """
    for body in bodies(store, session, revision, Selection("concept")):
        for name in jsonio.loads_own(body)["names"]:
            if not name.get("retired"):
                yield name["name"]


def bodies(
    store: Store, session: Session, revision: Revision, selection: Selection
) -> Iterator[bytes]:
    """Yield the selected bodies through one session, in commit order. Memory: 1,000 rows."""
    after = None
    while rows := store.rows.page(session, revision, selection, limit=1000, after=after):
        yield from (row.body for row in rows)
        after = rows[-1].key
