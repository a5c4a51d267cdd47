"""Carries out edits in a commit, for resources and imports."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from oclapi.access import Caller
from oclapi.editing.unit_of_work import UnitOfWork
from oclapi.model import Change, Head, Removal, Repository
from oclapi.store.database import Transaction
from oclapi.store.store import Store

Result = TypeVar("Result")


def write(
    store: Store,
    caller: Caller,
    repos: Sequence[Repository],
    edit: Callable[[UnitOfWork], Result],
    also_write: Callable[[Transaction], None] | None = None,
    most: int | None = None,
) -> Result:
    """Run `edit` on a unit of work of these repositories, commit it, and return the result.

    The entries in the result have their bodies then. `edit` may run again on a new unit of work, so
    it must have no other side effects. Nothing is stored when it raises, or when
    `UnitOfWork.changes` raises because of too many rows (`most`). The caller must check the rights
    on each repository with `access.need`, before and again inside of `edit` with `unit.caller`,
    whose memberships were reloaded in the transaction.
    """
    result: list[Result] = []

    def build(session: Transaction, heads: Mapping[int, Head]) -> Iterator[Change | Removal]:
        unit = UnitOfWork(store, session, heads, store.users.reload(caller, session))
        result[:] = [edit(unit)]
        return unit.changes(most)

    store.commits.commit([repo.number for repo in repos], build, caller.by, also_write=also_write)
    return result[0]
