"""From edits to a commit: what a resource or an import calls."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from oclapi.access import Caller
from oclapi.editing.draft import Draft
from oclapi.model import Change, Head, Json
from oclapi.store.database import Transaction
from oclapi.store.store import Store

Result = TypeVar("Result")


def write(
    store: Store,
    caller: Caller,
    repos: Sequence[Json],
    edit: Callable[[Draft], Result],
    also_write: Callable[[Transaction], None] | None = None,
    most: int | None = None,
) -> Result:
    """Run `edit` on a draft of these repositories and commit what it put; return its result, whose
    items then hold their bodies.

    `edit` may run again, on a new draft, so it has no effect but through it. What it raises leaves
    no trace. Stores nothing, and raises what `Draft.changes` tells, where too many mappings show a
    concept's new name, or the rows are over `most`. Rights are the caller's business: ask
    `access.need` for each repository before, and again inside with `draft.caller`, whose
    memberships are those of the transaction.
    """
    result: list[Result] = []

    def build(session: Transaction, heads: Mapping[int, Head]) -> Iterator[Change]:
        draft = Draft(store, session, heads, store.users.reload(caller, session))
        result[:] = [edit(draft)]
        return draft.changes(most)

    store.commits.commit([repo["_id"] for repo in repos], build, caller.by, also_write=also_write)
    return result[0]
