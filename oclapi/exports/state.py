"""The state of a version's export, and its transitions.

Rights are checked by the callers.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from oclapi.errors import NotFound, Overtaken, QueueUnavailable
from oclapi.exports.archive import Archive
from oclapi.exports.cache import token_of
from oclapi.exports.queue import ExportQueue
from oclapi.model import Json, Version
from oclapi.store.exports import Exports

log = logging.getLogger(__name__)

Status = Literal["ready", "processing", "missing", "failed"]

GRACE = timedelta(seconds=5)  # most time between storing a job and queueing it
MOST_TRIES = 3  # an export whose job died this often has failed


@dataclass(frozen=True, slots=True)
class File:
    """An archive in the cache."""

    name: str
    edition: int  # of the version
    made_at: datetime
    content_at: datetime  # time of the newest content commit in it
    archive: Archive

    @property
    def token(self) -> str:
        return token_of(self.name)


@dataclass(frozen=True, slots=True)
class ExportState:
    """The state of an export at one time."""

    status: Status
    # A job is queued or running, or the file is out of date and will be replaced.
    busy: bool
    file: File | None = None
    error: str | None = None  # one line; with a file: why the last rebuild failed
    failed_at: datetime | None = None
    processed: int | None = None  # entries written so far by the job
    total: int | None = None


class ExportStates:
    """The exports of all versions.

    `now` is aware UTC. All methods raise
    StoreUnavailable.
    """

    def __init__(self, exports: Exports, queue: ExportQueue, silence: int) -> None:
        """A running job without a heartbeat for `silence` seconds counts as dead."""
        self._exports = exports
        self._queue = queue
        self._silence = timedelta(seconds=silence)

    def of(self, version: Version, now: datetime, document: Json | None = None) -> ExportState:
        """Return the state of an export. `document` is its stored state, if it was read already.

        Raises NotFound when the version was deleted. Cost: one read, and one request to the queue
        while a job is queued.
        """
        return state_of(*self._read_alive(version, now, document))

    def ask(self, version: Version, now: datetime) -> tuple[bool, ExportState]:
        """Start the export unless it exists or is being made.

        Returns whether this call started a job, and the new state. The state is `failed` only when
        the last try has just failed. Raises NotFound, and QueueUnavailable without any effect.
        """
        while True:
            document, alive = self._read_alive(version, now)
            state = state_of(document, alive)
            if state.status in ("ready", "processing"):
                return False, state
            if self._given_up(version, document, now):
                return False, self.of(version, now)
            if self._start(version, document, now):
                return True, self.of(version, now)

    def recreate(self, version: Version, now: datetime) -> tuple[bool, ExportState]:
        """Stop serving the archive and start a new export.

        Returns False when there is no archive and a job is making one already. Raises NotFound, and
        QueueUnavailable while the archive is still served.
        """
        while True:
            document, alive = self._read_alive(version, now)
            state = state_of(document, alive)
            if state.status == "processing":
                return False, state
            if alive or self._start(version, document, now):
                if state.file:
                    self._exports.drop(version.key, state.file.name)
                return True, self.of(version, now)

    def delete(self, version: Version, now: datetime) -> bool:
        """Stop serving the archive and cancel the job.

        Returns False when there is neither. Raises NotFound.
        """
        while True:
            document, alive = self._read_alive(version, now)
            state = state_of(document, alive)
            if state.status not in ("ready", "processing"):
                return False
            if self._exports.delete(version.key, document):
                if "job" in document:
                    self._cancel(document["job"]["token"])
                return True

    def begin(self, version: Version, now: datetime) -> None:
        """Queue the export of a changed version. While the queue is down the tick does it later."""
        try:
            self.heal(version, now)
        except QueueUnavailable as error:
            _log_postponed(version, error)

    def begin_first(self, version: Version, token: str) -> bool:
        """Queue the first job of a new version.

        Returns False while the queue is down. The tick then starts another job later.
        """
        try:
            self._hand_over(version, token)
        except QueueUnavailable as error:
            _log_postponed(version, error)
            return False
        return True

    def heal(self, version: Version, now: datetime) -> None:
        """Start a requested export without a live job, or let it fail after too many tries.

        Raises QueueUnavailable, NotFound.
        """
        document, alive = self._read_alive(version, now)
        if alive or self._given_up(version, document, now):
            return
        if "job" in document:
            # The request is kept while the queue is down.
            self._exports.want(version.key, version.edition)
        elif "wanted" not in document:
            return
        self._start(version, document, now)

    def clear(self, version: Version, now: datetime) -> None:
        """Forget a dead job. A live one continues. Raises NotFound."""
        document, alive = self._read_alive(version, now)
        if "job" in document and not alive:
            self._exports.release(version.key, document["job"]["token"])

    def file(self, version: Version, token: str) -> File:
        """Return the archive of a link with this token.

        Raises NotFound when it was deleted, or replaced so long ago that its links have expired.
        """
        document = self._read(version)
        for file in [document.get("file"), *document.get("earlier", ())]:
            if file and token_of(file["name"]) == token:
                return file_of(file)
        raise NotFound("this archive was deleted; request the export again")

    def lost(self, version: Version, file: File) -> None:
        """Stop serving a file that is missing in the cache."""
        log.warning(
            "archive is missing in the cache",
            extra={"version_id": version.key, "file": file.name},
        )
        self._exports.drop(version.key, file.name)

    def _read(self, version: Version) -> Json:
        found = self._exports.read(version.key)
        if found is None:
            raise NotFound("the version was deleted")
        return found

    def _read_alive(
        self, version: Version, now: datetime, document: Json | None = None
    ) -> tuple[Json, bool]:
        """Return the export's document, and whether its job is alive.

        A job that is unknown to the queue may have started or ended after the document was read, so
        the document is read again.
        """
        document = document or self._read(version)
        while not (alive := self._alive(document, now)) and "job" in document:
            again = self._read(version)
            if again.get("job") == document["job"]:
                break
            document = again
        return document, alive

    def _alive(self, document: Json, now: datetime) -> bool:
        return job_alive(document.get("job"), now, self._silence, self._known)

    def _known(self, token: str) -> bool:
        """Return whether the queue knows the job.

        While the queue is down it does not. A client that requests the export again then gets a
        503.
        """
        try:
            return self._queue.knows(token)
        except QueueUnavailable:
            return False

    def _start(self, version: Version, document: Json, now: datetime) -> bool:
        """Start a job in place of the one in `document`. Returns False when another caller did."""
        # Check the queue first, so that the state is not `processing` while it is down.
        self._queue.reach()
        token = self._exports.ask(version, document.get("job"), now)
        if token is None:
            return False
        self._hand_over(version, token)
        return True

    def _hand_over(self, version: Version, token: str) -> None:
        """Queue a stored job. On QueueUnavailable the job is removed from the store again."""
        try:
            self._queue.enqueue(version.key, token)
        except QueueUnavailable:
            self._exports.release(version.key, token)
            raise

    def _given_up(self, version: Version, document: Json, now: datetime) -> bool:
        """Let the export fail when its job died in the last try. Returns whether it failed."""
        job = document.get("job")
        if not job or job["state"] != "running" or job["tries"] < MOST_TRIES:
            return False
        text = f"the worker died {job['tries']} times while it made this export"
        try:
            self._exports.fail(version.key, job["token"], text, version.edition, now)
        except Overtaken:  # another process changed the state
            return False
        return True

    def _cancel(self, token: str) -> None:
        try:
            self._queue.cancel(token)
        except QueueUnavailable as error:  # the job notices by itself that it was cancelled
            log.info(
                "cancelled job stays in the queue", extra={"job": token, "reason": error.detail}
            )


def _log_postponed(version: Version, error: QueueUnavailable) -> None:
    log.warning(
        "export waits for the queue", extra={"version_id": version.key, "reason": error.detail}
    )


def job_alive(
    job: Json | None, now: datetime, silence: timedelta, queue_knows: Callable[[str], bool]
) -> bool:
    """Return whether a job is alive. `queue_knows` is only called for a job older than GRACE."""
    if not job:
        return False
    if job["state"] == "running":
        return bool(now - job["heartbeat"] < silence)
    return now - job["asked_at"] < GRACE or queue_knows(job["token"])


def state_of(document: Json, alive: bool) -> ExportState:
    """Return the state that a stored document describes. `alive`: see `job_alive`."""
    file = file_of(document["file"]) if "file" in document else None
    error = document.get("error") or {}
    status: Status = (
        "ready" if file else "processing" if alive else "failed" if error else "missing"
    )
    job = document["job"] if alive else {}
    busy = alive or bool(file and "wanted" in document)
    return ExportState(
        status,
        busy,
        file,
        error.get("text"),
        error.get("at"),
        job.get("processed"),
        job.get("total"),
    )


def file_of(stored: Json) -> File:
    return File(
        stored["name"],
        stored["edition"],
        stored["made_at"],
        stored["content_at"],
        Archive(**stored["archive"]),
    )
