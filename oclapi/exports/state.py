"""The state of a version's export, and its transitions.

Rights are checked by the callers.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from oclapi.errors import NotFound, Overtaken, QueueUnavailable
from oclapi.exports.queue import ExportQueue
from oclapi.model import Export, ExportFile, ExportKey, Version
from oclapi.store.exports import URGENT, Exports, rank_of

log = logging.getLogger(__name__)

Status = Literal["ready", "processing", "missing", "failed"]

MOST_TRIES = 3  # an export whose job died this often has failed


@dataclass(frozen=True, slots=True)
class ExportState:
    """The state of an export at one time."""

    status: Status
    # A job is queued or running, or the file is out of date and will be replaced.
    busy: bool
    file: ExportFile | None = None
    error: str | None = None  # one line; with a file: why the last rebuild failed
    failed_at: datetime | None = None
    processed: int | None = None  # entries written so far by the job
    total: int | None = None


class ExportStates:
    """The exports of all versions.

    `now` is aware UTC. All methods raise StoreUnavailable.
    """

    def __init__(self, exports: Exports, queue: ExportQueue, silence: int) -> None:
        """A running job without a heartbeat for `silence` seconds counts as dead."""
        self._exports = exports
        self._queue = queue
        self._silence = timedelta(seconds=silence)

    def of(self, version: Version, now: datetime, stored: Export | None = None) -> ExportState:
        """Return the state of an export. `stored` is its stored state, if it was read already.

        Raises NotFound when the version was deleted. Cost: one read, and one request to the queue
        while a job is queued.
        """
        return state_of(*self._read_alive(version, now, stored))

    def request(self, version: Version, now: datetime) -> tuple[bool, ExportState]:
        """Start the export unless it exists or is being made. Somebody waits for it.

        Returns whether this call started a job, and the new state. The state is `failed` only when
        the last try has just failed. Raises NotFound, and QueueUnavailable without any effect.
        """
        while True:
            export, alive = self._read_alive(version, now)
            state = state_of(export, alive)
            if state.status == "processing":
                self._ask(version, export)
            if state.status in ("ready", "processing"):
                return False, state
            if self._given_up(version, export, now):
                return False, self.of(version, now)
            if self._start(version, export, now, asked=True):
                return True, self.of(version, now)

    def recreate(self, version: Version, now: datetime) -> tuple[bool, ExportState]:
        """Stop serving the archive and start a new export.

        Returns False when there is no archive and a job is making one already. Raises NotFound, and
        QueueUnavailable while the archive is still served.
        """
        while True:
            export, alive = self._read_alive(version, now)
            state = state_of(export, alive)
            if state.status == "processing":
                return False, state
            if alive or self._start(version, export, now, asked=True):
                if alive:
                    self._ask(version, export)
                if state.file:
                    self._exports.drop(_key(version), state.file.name)
                return True, self.of(version, now)

    def delete(self, version: Version, now: datetime) -> bool:
        """Stop serving the archive and cancel the job.

        Returns False when there is neither. Raises NotFound.
        """
        while True:
            export, alive = self._read_alive(version, now)
            state = state_of(export, alive)
            if state.status not in ("ready", "processing"):
                return False
            if self._exports.delete(_key(version), export):
                return True

    def begin(self, version: Version, now: datetime) -> None:
        """Queue the export of a changed version. While the queue is down the tick does it later."""
        try:
            self.heal(version, now)
        except QueueUnavailable as error:
            _log_postponed(version, error)

    def begin_first(self, version: Version, token: str) -> bool:
        """Wake a worker for the first job of a new version.

        Returns False while the queue is down. The tick then starts another job later.
        """
        try:
            self._wake(version, token, asked=False)
        except QueueUnavailable as error:
            _log_postponed(version, error)
            return False
        return True

    def heal(self, version: Version, now: datetime) -> None:
        """Start a requested export without a live job, or let it fail after too many tries.

        Raises QueueUnavailable, NotFound.
        """
        export, alive = self._read_alive(version, now)
        if alive or self._given_up(version, export, now):
            return
        if export.job:
            # The request is kept while the queue is down.
            self._exports.want(_key(version), version.edition)
        elif export.wanted is None:
            return
        self._start(version, export, now, asked=export.asked)

    def clear(self, version: Version, now: datetime) -> None:
        """Forget a dead job. A live one continues. Raises NotFound."""
        export, alive = self._read_alive(version, now)
        if export.job and not alive:
            self._exports.cancel(_key(version), export.job.token)

    def file(self, version: Version, token: str) -> ExportFile:
        """Return the archive of a link with this token.

        Raises NotFound when it was deleted, or replaced so long ago that its links have expired.
        """
        export = self._read(version)
        for file in (export.file, *export.earlier):
            if file and file.token == token:
                return file
        raise NotFound("this archive was deleted; request the export again")

    def lost(self, version: Version, file: ExportFile) -> None:
        """Stop serving a file that is missing in the cache."""
        log.warning(
            "archive is missing in the cache",
            extra={"version_id": version.key, "file": file.name},
        )
        self._exports.drop(_key(version), file.name)

    def _read(self, version: Version) -> Export:
        found = self._exports.read(_key(version))
        if found is None:
            raise NotFound("the version was deleted")
        return found

    def _read_alive(
        self, version: Version, now: datetime, stored: Export | None = None
    ) -> tuple[Export, bool]:
        """Return the stored export, and whether its job is alive.

        A job that seems to be dead may have started or ended after the export was read, so it is
        read again.
        """
        export = stored or self._read(version)
        while not (alive := self._alive(export, now)) and export.job:
            again = self._read(version)
            if again.job == export.job:
                break
            export = again
        return export, alive

    def _alive(self, export: Export, now: datetime) -> bool:
        job = export.job
        return job is not None and job.is_alive(now, self._silence, self._queue_is_up)

    def _queue_is_up(self) -> bool:
        """Return whether workers can be woken.

        Otherwise a client that requests a queued export again gets a 503.
        """
        try:
            self._queue.reach()
        except QueueUnavailable:
            return False
        return True

    def _start(self, version: Version, export: Export, now: datetime, *, asked: bool) -> bool:
        """Start a job in place of that of the export. Returns False when another caller did."""
        # Check the queue first, so that the state is not `processing` while it is down.
        self._queue.reach()
        total = version.counts.entries
        token = self._exports.request(_key(version), export.job, total, now, asked=asked)
        if token is None:
            return False
        self._wake(version, token, asked=asked)
        return True

    def _wake(self, version: Version, token: str, *, asked: bool) -> None:
        """Wake a worker for a stored job. On QueueUnavailable the job is removed from the store."""
        urgent = rank_of(version.counts.entries, asked=asked) == URGENT
        try:
            self._queue.wake(urgent=urgent)
        except QueueUnavailable:
            self._exports.cancel(_key(version), token)
            raise

    def _ask(self, version: Version, export: Export) -> None:
        """Move a queued job that nobody asked for to those that somebody asked for."""
        job = export.job
        if not job or job.state != "queued" or export.asked:
            return
        if not self._exports.ask(_key(version), job):
            return
        if rank_of(job.total, asked=True) == URGENT:
            try:
                self._queue.wake(urgent=True)
            except QueueUnavailable as error:
                _log_postponed(version, error)

    def _given_up(self, version: Version, export: Export, now: datetime) -> bool:
        """Let the export fail when its job died in the last try. Returns whether it failed."""
        job = export.job
        if not job or job.state != "running" or job.tries < MOST_TRIES:
            return False
        text = f"the worker died {job.tries} times while it made this export"
        try:
            self._exports.fail(_key(version), job.token, text, version.edition, now)
        except Overtaken:  # another process changed the state
            return False
        return True


def _log_postponed(version: Version, error: QueueUnavailable) -> None:
    log.warning(
        "export waits for the queue", extra={"version_id": version.key, "reason": error.detail}
    )


def state_of(export: Export, alive: bool) -> ExportState:
    """Return the state that a stored export describes. `alive`: whether its job is."""
    file, error = export.file, export.error
    status: Status = (
        "ready" if file else "processing" if alive else "failed" if error else "missing"
    )
    job = export.job if alive else None
    return ExportState(
        status,
        alive or (file is not None and export.wanted is not None),
        file,
        error.text if error else None,
        error.at if error else None,
        job.processed if job else None,
        job.total if job else None,
    )


def _key(version: Version) -> ExportKey:
    return ExportKey(version.key)
