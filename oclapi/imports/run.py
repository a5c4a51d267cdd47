"""Bulk import: lines in, commits out. Knows no terminal and no HTTP.

A commit writes a batch of lines together with the progress of the task, so an import that was
killed at any moment goes on after the last line that was stored, and neither repeats nor forgets
one. Lines of organisations, sources and versions are writes of their own: one that was done and not
noted when the import was killed is done again, finds its item there, and is `unchanged` then.
"""

import gc
import hashlib
import itertools
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from oclapi import jsonio
from oclapi.access import Caller
from oclapi.editing.draft import Draft, TooManyRows
from oclapi.editing.write import write
from oclapi.errors import Invalid, NotAuthenticated, NotFound, OclError
from oclapi.imports import content, single
from oclapi.imports.lines import Line, Options, read
from oclapi.imports.outcomes import Report, Result, refused
from oclapi.model import Json
from oclapi.store.database import Transaction
from oclapi.store.store import Store

log = logging.getLogger(__name__)

BATCH_ROWS = 1000
BATCH_BYTES = 8 * 2**20
MOST_ROWS = 2 * BATCH_ROWS
"""Rows of a commit of several lines, mappings that are written again because they show a concept's
new name included. The database gives up transactions that outgrow its cache, and everybody else
waits for them.
"""
# lines of a commit while somebody waits: an editor's wait is as long as a commit of the import
BESIDE_ROWS = 250
REST = 0.020  # seconds; what writers need that wait for a repository: each tries again within 10 ms

LISTS = "/orgs/OCL/"
"""Owner of the lookup lists of the schema OpenMRS: a commit reads them as they were before it, so
it never changes them beside others.
"""

Thing = TypeVar("Thing")


def task_key(content_hash: str, options: Options, caller: Caller) -> str:
    """The key of an import: the same content, read in the same way for the same user, is the same
    import and can be continued.
    """
    told = [content_hash, options.update_if_exists, options.type, options.source, caller.username]
    return hashlib.sha256(jsonio.dumps(told)).hexdigest()[:40]


def run(
    store: Store,
    caller: Caller,
    lines: Iterable[bytes],
    options: Options,
    task: str,
    on_progress: Callable[[Report, Sequence[Result]], None] | None = None,
) -> Report:
    """Import `lines` in their order; every one that is not blank gets exactly one outcome
    (`store.tasks.results(task)`).

    An unfinished task of this key is continued: the lines that it has handled are passed over.
    `on_progress` is called after each step with the counts so far and the results of that step.
    Raises StoreUnavailable, RepositoryBusy, OutcomeUnknown; NotAuthenticated when the caller is
    deactivated on the way; Overtaken when another run of the same task began. Then the task stays
    unfinished and can be continued. Memory: three batches of at most 8 MiB, or of one line.
    """
    begun = store.tasks.begin(task, caller.by)
    work = _Run(store, caller, options, begun, on_progress)
    numbered = itertools.islice(enumerate(lines, 1), begun["lines"], None)
    with _rare_collections():
        for batch in _ahead(batches(read(numbered, options))):
            work.handle(batch)
    store.tasks.finish(task, begun["run"], "SUCCESS")
    return work.report()


def batches(lines: Iterable[Line]) -> Iterator[Sequence[Line]]:
    """Neighbouring lines that one commit can take, in order: cut before a second line for the same
    item.
    """
    batch: list[Line] = []
    rows = size = 0
    seen: set[object] = set()
    in_lists = False
    for line in lines:
        names = list(line.names())
        full = rows + line.rows > BATCH_ROWS or size + line.size > BATCH_BYTES
        crosses = not line.settled and line.place.startswith(LISTS) != in_lists
        if batch and (full or crosses or not line.is_content or not seen.isdisjoint(names)):
            yield batch
            batch, rows, size, seen = [], 0, 0, set()
        if not line.is_content:
            yield [line]
            continue
        batch.append(line)
        rows, size, in_lists = rows + line.rows, size + line.size, in_lists != crosses
        seen.update(names)
    if batch:
        yield batch


def _ahead(things: Iterator[Thing]) -> Iterator[Thing]:
    """The same things, each made in another thread while the one before is used: parsing goes on
    while the store writes.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="import") as pool:
        coming = pool.submit(next, things, None)
        while (thing := coming.result()) is not None:
            coming = pool.submit(next, things, None)
            yield thing


@contextmanager
def _rare_collections() -> Iterator[None]:
    """A batch makes many objects and no cycles: looking for some at the usual pace takes a sixth of
    the time of an import.
    """
    usual = gc.get_threshold()
    gc.set_threshold(200_000, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


class _Run:
    """One run of a task: what it needs, and how far it came."""

    def __init__(
        self,
        store: Store,
        caller: Caller,
        options: Options,
        task: Json,
        on_progress: Callable[[Report, Sequence[Result]], None] | None,
    ) -> None:
        self._store = store
        self._caller = caller
        self._options = options
        self._task = task
        self._counts: Counter[str] = Counter(task["counts"])
        self._on_progress = on_progress
        self._started = time.monotonic()
        self._most = BATCH_ROWS  # lines of the next commit
        # lines that a commit has room for, given how many mappings show what they name anew
        self._fit = BATCH_ROWS

    def report(self) -> Report:
        seconds = time.monotonic() - self._started
        return Report(
            self._task["_id"],
            self._task["started_at"],
            Counter(self._counts),
            seconds,
            self._task["lines"],
        )

    def handle(self, batch: Sequence[Line]) -> None:
        """Store the lines of a batch and their outcomes, in one commit where nothing goes wrong."""
        while batch:
            part = batch[: min(self._most, self._fit)]
            try:
                results = self._step(part)
            except TooManyRows as error:
                self._fit = max(1, min(len(part) // 2, len(part) * BATCH_ROWS // error.rows))
                continue
            except OclError:  # the store's own, or Overtaken: the import can't go on
                raise
            # a line that nobody foresaw must not end the import: halve the batch until it stands
            # alone
            except Exception:
                if len(batch) > 1:
                    middle = len(part) // 2 or 1
                    self.handle(batch[:middle])
                    self.handle(batch[middle:])
                    return
                log.exception(
                    "a line of an import broke",
                    extra={"task": self._task["_id"], "line": batch[0].number},
                )
                results = self._note(
                    [
                        batch[0].result(
                            "exception",
                            errors={"__all__": ["an unexpected error; the log tells more"]},
                        )
                    ]
                )
            self._counts.update(result.outcome for result in results)
            if self._on_progress:
                self._on_progress(self.report(), results)
            batch = batch[len(results) :]
            self._fit = min(BATCH_ROWS, self._fit + self._fit // 4 + 1)

    def _step(self, batch: Sequence[Line]) -> Sequence[Result]:
        self._look_at_rights()
        if not batch[0].is_content:
            return self._note([single.apply(self._store, self._caller, batch[0], self._options)])
        while True:
            places = {line.place for line in batch if not line.settled}
            repos = self._store.repos.by_urls(places) if places else []
            try:
                return self._commit(batch, repos)
            except NotFound:  # one of them was deleted in between: its lines have no place any more
                continue

    def _look_at_rights(self) -> None:
        """Take the user's rights as they are now: an earlier line may have made an organisation,
        and somebody may have changed them.

        An operator at the command line is no user of the store and keeps theirs. Raises
        NotAuthenticated for a user who was deactivated.
        """
        name = self._caller.by
        found = self._store.users.caller(name)
        if found is None and self._store.users.get(name) is not None:
            raise NotAuthenticated(f"{name} was deactivated")
        self._caller = found or self._caller

    def _commit(self, batch: Sequence[Line], repos: Sequence[Json]) -> Sequence[Result]:
        results: Sequence[Result] = ()
        numbers = [repo["_id"] for repo in repos]
        waited = self._store.commits.waited(numbers) if numbers else 0

        def edit(draft: Draft) -> Sequence[Result]:
            nonlocal results
            results = content.apply(draft, batch, self._options.update_if_exists)
            return results

        def also_write(session: Transaction) -> None:
            self._advance(session, results)

        try:
            write(
                self._store,
                self._caller,
                repos,
                edit,
                also_write,
                MOST_ROWS if len(batch) > 1 else None,
            )
        # of a line alone: more mappings show the name that it changes than can be written again
        except Invalid as error:
            return self._note([batch[0].result(*refused(error))])
        somebody_waits = bool(numbers) and self._store.commits.waited(numbers) > waited
        self._most = BESIDE_ROWS if somebody_waits else BATCH_ROWS
        if somebody_waits:
            time.sleep(REST)
        return results

    def _note(self, results: Sequence[Result]) -> Sequence[Result]:
        """Note outcomes that wrote no content."""
        self._store.database.transaction(lambda session: self._advance(session, results))
        return results

    def _advance(self, session: Transaction, results: Sequence[Result]) -> None:
        counts = self._counts + Counter(result.outcome for result in results)
        self._store.tasks.advance(
            session,
            self._task["_id"],
            self._task["run"],
            lines=results[-1].line,
            counts=counts,
            results=[result.as_json() for result in results],
        )
