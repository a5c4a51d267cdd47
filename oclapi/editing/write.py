"""Carries out edits in a commit, for resources and imports."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from oclapi.access import Caller
from oclapi.editing.draft import Draft
from oclapi.model import Change, Head, Repository
from oclapi.store.database import Transaction
from oclapi.store.store import Store

Result = TypeVar("Result")


def write(
    store: Store,
    caller: Caller,
    repos: Sequence[Repository],
    edit: Callable[[Draft], Result],
    also_write: Callable[[Transaction], None] | None = None,
    most: int | None = None,
) -> Result:
    """Run `edit` on a draft of these repositories, commit the draft, and return the result.

    The items in the result have their bodies then. `edit` may run again on a new draft, so it must
    have no other side effects. Nothing is stored when it raises, or when `Draft.changes` raises
    because of too many rows (`most`). The caller must check the rights on each repository with
    `access.need`, before and again inside of `edit` with `draft.caller`, whose memberships were
    reloaded in the transaction.
    """
    result: list[Result] = []

    def build(session: Transaction, heads: Mapping[int, Head]) -> Iterator[Change]:
        draft = Draft(store, session, heads, store.users.reload(caller, session))
        result[:] = [edit(draft)]
        return draft.changes(most)

    store.commits.commit([repo.number for repo in repos], build, caller.by, also_write=also_write)
    return result[0]
