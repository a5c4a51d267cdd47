"""Bulk import: lines in, commits out.

A commit writes a batch of lines together with the progress of the task. So a killed import
continues after the last stored line, and no line is lost or repeated. Lines of organisations,
sources and versions are separate writes. Such a line may be carried out twice when the import is
killed before its progress is stored; it is `unchanged` the second time.

A line that names something which is not there yet, or needs a name or a relation that another item
has, waits, and so do later lines for the same item. It is tried again before each version line of
its repository and after the last line, until none of those that wait can be carried out. So the
order of the lines does not matter.
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
from dataclasses import dataclass, replace
from typing import TypeVar

from oclapi import jsonio
from oclapi.access import Caller
from oclapi.editing.renames import TooManyRows
from oclapi.editing.unit_of_work import UnitOfWork
from oclapi.editing.write import write
from oclapi.errors import Invalid, NotAuthenticated, NotFound, OclError
from oclapi.imports import content, single
from oclapi.imports.line_types import Options
from oclapi.imports.lines import Line, read
from oclapi.imports.outcomes import Report, Result, refused
from oclapi.imports.relations import Relations
from oclapi.model import Json, Repository
from oclapi.store.database import Transaction
from oclapi.store.store import Store

log = logging.getLogger(__name__)

BATCH_ROWS = 1000
BATCH_BYTES = 8 * 2**20
MOST_ROWS = 2 * BATCH_ROWS
"""Most rows of a commit of several lines, including mappings that show a renamed concept.

MongoDB aborts transactions that outgrow its cache, and other writers wait for them.
"""
SHARED_ROWS = 250
"""Most rows of a commit while other writers wait, who wait for a whole commit of the import."""
MOST_IGNORED = 50
"""Most ignored keys of a type of line that a report names."""
REST = 0.020  # seconds after a commit while other writers wait; they retry within 10 ms

LISTS = "/orgs/OCL/"
"""Owner of the lookup lists of the schema OpenMRS.

A commit reads them as they were before it, so lines of this owner have commits of their own.
"""

Value = TypeVar("Value")

Lines = Callable[[], Iterable[bytes]]
"""Returns the lines of an input, from the first."""


def task_key(content_hash: str, options: Options, caller: Caller) -> str:
    """Return the key of an import.

    Equal content with equal options of the same user is the same import and can be continued.
    """
    parts = [content_hash, options.update_if_exists, options.type, options.source, caller.username]
    return hashlib.sha256(jsonio.dumps(parts)).hexdigest()[:40]


def run(
    store: Store,
    caller: Caller,
    lines: Lines,
    options: Options,
    task: str,
    on_progress: Callable[[Report, Sequence[Result]], None] | None = None,
) -> Report:
    """Import the lines in order. Each line that is not blank gets exactly one outcome.

    `lines` is called once, and again for each time that lines which wait are tried.
    `store.tasks.results(task)` returns the outcomes. An unfinished task of this key is continued
    after its last handled line. `on_progress` is called after each step with the counts so far and
    the results of that step.

    Raises StoreUnavailable, RepositoryBusy, OutcomeUnknown; NotAuthenticated when the caller is
    deactivated meanwhile; Overtaken when another run of the same task has started. The task stays
    unfinished then and can be continued. Memory: three batches of at most 8 MiB, or of one line,
    and some hundred bytes for each line that waits.
    """
    begun = store.tasks.begin(task, caller.by)
    work = _Run(store, caller, lines, options, begun, on_progress)
    with _rare_collections():
        work.run()
    store.tasks.finish(task, begun["run"], "SUCCESS")
    return work.report()


def batches(lines: Iterable[Line]) -> Iterator[Sequence[Line]]:
    """Yield batches of consecutive lines for one commit each.

    A batch ends before a second line for the same item.
    """
    batch: list[Line] = []
    rows = size = 0
    seen: set[object] = set()
    in_lists = False
    for line in lines:
        keys = list(line.keys())
        full = rows + line.rows > BATCH_ROWS or size + line.size > BATCH_BYTES
        crosses = not line.settled and line.parent.startswith(LISTS) != in_lists
        if batch and (full or crosses or not line.is_content or not seen.isdisjoint(keys)):
            yield batch
            batch, rows, size, seen = [], 0, 0, set()
        if not line.is_content:
            yield [line]
            continue
        batch.append(line)
        rows, size, in_lists = rows + line.rows, size + line.size, in_lists != crosses
        seen.update(keys)
    if batch:
        yield batch


def _ahead(values: Iterator[Value]) -> Iterator[Value]:
    """Yield the same values, but compute the next one in a thread while the current one is used."""
    with ThreadPoolExecutor(1, thread_name_prefix="import") as pool:
        coming = pool.submit(next, values, None)
        while (value := coming.result()) is not None:
            coming = pool.submit(next, values, None)
            yield value


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Run the garbage collector less often.

    A batch creates many objects and no cycles. The default settings cost a sixth of an import.
    """
    usual = gc.get_threshold()
    gc.set_threshold(200_000, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """What is kept of a line that waits: its repository or owner, and the hashes of its keys."""

    parent: str
    keys: tuple[int, ...]


class _Run:
    """One run of a task, with its progress."""

    def __init__(
        self,
        store: Store,
        caller: Caller,
        lines: Lines,
        options: Options,
        task: Json,
        on_progress: Callable[[Report, Sequence[Result]], None] | None,
    ) -> None:
        self._store = store
        self._caller = caller
        self._lines = lines
        self._options = options
        self._task = task
        self._counts: Counter[str] = Counter(task["counts"])
        # By type of line, in order of appearance.
        self._ignored: dict[str, list[str]] = dict(task.get("ignored", {}))
        self._on_progress = on_progress
        self._started = time.monotonic()
        self._most = BATCH_ROWS  # most lines of the next commit
        # Lines that fit into a commit together with the mappings that show renamed concepts.
        self._fit = BATCH_ROWS
        self._read: int = task["lines"]
        self._waiting: dict[int, _Waiting] = {}
        # The keys of the lines that wait and come before those that are tried.
        self._blocked: set[int] = set()
        self._how = content.How(options.update_if_exists)
        self._turn = 0
        """Above 0 while lines are tried again."""
        self._turns = 0

    def run(self) -> None:
        """Handle the lines that no earlier run has handled."""
        tasks, task = self._store.tasks, self._task["_id"]
        self._turns = max(tasks.turns(task), default=0)
        for line in self._chosen(tasks.waiting(task)):
            self._wait(line)
        for batch in _ahead(batches(self._unread())):
            if batch[0].is_version:
                self._try_again(batch[0].parent)
            self._handle(batch)
        self._try_again()
        self._how = replace(self._how, absent=True)
        self._try_again()
        self._how = replace(self._how, last=True)
        self._try_once(set(self._waiting))

    def _unread(self) -> Iterator[Line]:
        """Read the lines that no earlier run has handled.

        The earlier ones are read for their relations only.
        """
        begin, relations = self._read, Relations()
        for line in read(enumerate(self._lines(), 1), self._options):
            checked = relations.check(line)
            if line.number > begin:
                yield checked

    def report(self) -> Report:
        seconds = time.monotonic() - self._started
        return Report(
            self._task["_id"],
            self._task["started_at"],
            Counter(self._counts),
            seconds,
            self._task["lines"],
            self._read,
            len(self._waiting),
            self._ignored,
        )

    def _try_again(self, parent: str | None = None) -> None:
        """Try the lines that wait, or those of one repository, until none can be carried out."""
        before = None
        while len(self._waiting) != before:
            before = len(self._waiting)
            self._try_once(
                {
                    number
                    for number, line in self._waiting.items()
                    if parent is None or line.parent == parent
                }
            )

    def _try_once(self, numbers: set[int]) -> None:
        if not numbers:
            return
        self._blocked = set()
        self._turns += 1
        self._turn = self._turns
        for batch in _ahead(batches(self._chosen(numbers))):
            self._handle(batch)
        self._turn = 0
        self._blocked = {key for line in self._waiting.values() for key in line.keys}

    def _chosen(self, numbers: set[int]) -> Iterator[Line]:
        """Read the lines with these numbers, in order."""
        upto = max(numbers, default=0)
        some = itertools.islice(enumerate(self._lines(), 1), upto)
        return read(((number, raw) for number, raw in some if number in numbers), self._options)

    def _wait(self, line: Line) -> None:
        keys = tuple(map(hash, line.keys()))
        self._waiting[line.number] = _Waiting(line.parent, keys)
        self._blocked.update(keys)

    def _behind(self, line: Line) -> Line:
        """Return the line, settled as waiting when it has to wait behind an earlier line.

        That is one for the same item. A version that has to be tried again waits behind all lines
        of its repository.
        """
        blocked = self._blocked and not self._blocked.isdisjoint(map(hash, line.keys()))
        if line.is_version and line.number in self._waiting and not self._how.last:
            blocked = blocked or any(
                number < line.number and earlier.parent == line.parent
                for number, earlier in self._waiting.items()
            )
        return replace(line, settled=line.result("waiting")) if blocked else line

    def _handle(self, batch: Sequence[Line]) -> None:
        """Store the lines of a batch and their outcomes, in one commit if possible."""
        batch = [self._behind(line) for line in batch]
        while batch:
            part = batch[: min(self._most, self._fit)]
            try:
                results = self._step(part)
            except TooManyRows as error:
                self._fit = max(1, min(len(part) // 2, len(part) * BATCH_ROWS // error.rows))
                continue
            except OclError:  # from the store, or Overtaken: the import can't continue
                raise
            # A line with an unexpected error must not end the import: find it by bisection.
            except Exception:
                if len(batch) > 1:
                    middle = len(part) // 2 or 1
                    self._handle(batch[:middle])
                    self._handle(batch[middle:])
                    return
                log.exception(
                    "an import line failed unexpectedly",
                    extra={"task": self._task["_id"], "line": batch[0].number},
                )
                results = self._store_results(
                    [
                        batch[0].result(
                            "exception",
                            errors={"__all__": ["unexpected error, see the log"]},
                        )
                    ]
                )
            settled = _settled(results)
            self._counts.update(result.outcome for result in settled)
            self._ignored = _with_ignored(self._ignored, settled)
            self._read = max(self._read, results[-1].line)
            for line, result in zip(batch, results, strict=False):
                if result.outcome == "waiting":
                    self._wait(line)
                else:
                    self._waiting.pop(result.line, None)
            if self._on_progress:
                self._on_progress(self.report(), results)
            batch = batch[len(results) :]
            self._fit = min(BATCH_ROWS, self._fit + self._fit // 4 + 1)

    def _step(self, batch: Sequence[Line]) -> Sequence[Result]:
        self._reload_caller()
        if not batch[0].is_content:
            line = batch[0]
            return self._store_results(
                [
                    line.settled
                    or single.apply(self._store, self._caller, line, self._options, self._how.last)
                ]
            )
        while True:
            sources = {line.parent for line in batch if not line.settled}
            repos = self._store.repos.by_urls(sources) if sources else []
            try:
                return self._commit(batch, repos)
            except NotFound:  # one of the sources was deleted meanwhile
                continue

    def _reload_caller(self) -> None:
        """Reload the user's rights, which earlier lines or other users may have changed.

        The operator of the command line is not stored and stays the same. Raises NotAuthenticated
        for a deactivated user.
        """
        name = self._caller.by
        found = self._store.users.caller(name)
        if found is None and self._store.users.get(name) is not None:
            raise NotAuthenticated(f"{name} was deactivated")
        self._caller = found or self._caller

    def _commit(self, batch: Sequence[Line], repos: Sequence[Repository]) -> Sequence[Result]:
        results: Sequence[Result] = ()
        numbers = [repo.number for repo in repos]
        waited = self._store.commits.waited(numbers) if numbers else 0

        def edit(unit: UnitOfWork) -> Sequence[Result]:
            nonlocal results
            results = content.apply(unit, batch, self._how)
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
        # A single line that renames a concept which too many mappings show.
        except Invalid as error:
            return self._store_results([batch[0].result(*refused(error))])
        others_wait = bool(numbers) and self._store.commits.waited(numbers) > waited
        self._most = SHARED_ROWS if others_wait else BATCH_ROWS
        if others_wait:
            time.sleep(REST)
        return results

    def _store_results(self, results: Sequence[Result]) -> Sequence[Result]:
        """Store outcomes of lines that wrote no content."""
        self._store.database.transaction(lambda session: self._advance(session, results))
        return results

    def _advance(self, session: Transaction, results: Sequence[Result]) -> None:
        settled = _settled(results)
        self._store.tasks.advance(
            session,
            self._task["_id"],
            self._task["run"],
            lines=max(self._read, results[-1].line),
            counts=self._counts + Counter(result.outcome for result in settled),
            results=[result.as_json() for result in settled],
            waiting=[
                result.line
                for result in results
                if result.outcome == "waiting" and result.line not in self._waiting
            ],
            turn=self._turn,
            ignored=_with_ignored(self._ignored, settled),
        )


def _with_ignored(so_far: dict[str, list[str]], results: Sequence[Result]) -> dict[str, list[str]]:
    """Return the ignored keys by type, with those of these results."""
    found = so_far
    for result in results:
        here = found.get(result.type or "", [])
        new = [key for key in result.ignored if key not in here]
        if new and result.type and len(here) < MOST_IGNORED:
            found = {**found, result.type: (here + new)[:MOST_IGNORED]}
    return found


def _settled(results: Sequence[Result]) -> Sequence[Result]:
    return [result for result in results if result.outcome != "waiting"]
