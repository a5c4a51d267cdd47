"""What is known of a version's export, and the steps that a request or the tick may take. Who may
take them is asked elsewhere.
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
from oclapi.model import Json
from oclapi.store.exports import Exports

log = logging.getLogger(__name__)

Status = Literal["ready", "processing", "missing", "failed"]

GRACE = timedelta(seconds=5)  # between setting a job and queueing it, the queue can't know it yet
MOST_TRIES = 3  # a version whose jobs die so often without a word is given up


@dataclass(frozen=True, slots=True)
class File:
    """One archive in the cache."""

    name: str
    edition: int  # of the version that it shows
    made_at: datetime
    content_at: datetime  # of the newest content commit in it
    archive: Archive

    @property
    def token(self) -> str:
        return token_of(self.name)


@dataclass(frozen=True, slots=True)
class ExportState:
    """One moment of an export."""

    status: Status
    # a job is queued or running, maybe beside a file; or the file is out of date and one will come
    busy: bool
    file: File | None = None
    error: str | None = None  # one line; beside a file: why the last rebuild failed
    failed_at: datetime | None = None
    processed: int | None = None  # entries written so far by the job
    total: int | None = None


class ExportStates:
    """The exports of all versions. A version is its stored document; `now` is aware UTC. Raises
    StoreUnavailable.
    """

    def __init__(self, exports: Exports, queue: ExportQueue, silence: int) -> None:
        """`silence`: a running job that was not heard of for so many seconds counts as dead."""
        self._exports = exports
        self._queue = queue
        self._silence = timedelta(seconds=silence)

    def of(self, version: Json, now: datetime, document: Json | None = None) -> ExportState:
        """How the export stands. `document`: its stored state where it was read already. Raises
        NotFound when the version is gone.

        Cost: one read; one look at the queue for a job that waits.
        """
        return state_of(*self._look(version, now, document))

    def ask(self, version: Json, now: datetime) -> tuple[bool, ExportState]:
        """Have the export made unless it is there or on its way; return whether this call started a
        job, and how it stands then.

        `failed` comes back only when this was the moment to give up. Raises QueueUnavailable
        (nothing is left behind), NotFound.
        """
        while True:
            document, alive = self._look(version, now)
            state = state_of(document, alive)
            if state.status in ("ready", "processing"):
                return False, state
            if self._given_up(version, document, now):
                return False, self.of(version, now)
            if self._start(version, document, now):
                return True, self.of(version, now)

    def recreate(self, version: Json, now: datetime) -> tuple[bool, ExportState]:
        """Stop serving the archive and have another made. False when one is being made and there is
        none yet: then that one is it.

        Raises QueueUnavailable (the archive is still served), NotFound.
        """
        while True:
            document, alive = self._look(version, now)
            state = state_of(document, alive)
            if state.status == "processing":
                return False, state
            if alive or self._start(version, document, now):
                if state.file:
                    self._exports.drop(_key(version), state.file.name)
                return True, self.of(version, now)

    def delete(self, version: Json, now: datetime) -> bool:
        """Stop serving the archive and cancel the job. False when there is neither. Raises
        NotFound.
        """
        while True:
            document, alive = self._look(version, now)
            state = state_of(document, alive)
            if state.status not in ("ready", "processing"):
                return False
            if self._exports.delete(_key(version), document):
                if "job" in document:
                    self._cancel(document["job"]["token"])
                return True

    def begin(self, version: Json, now: datetime) -> None:
        """Queue the export of a version that was just changed; with the queue down the tick does it
        later.
        """
        try:
            self.heal(version, now)
        except QueueUnavailable as error:
            _tell_later(version, error)

    def begin_first(self, version: Json, token: str) -> bool:
        """Queue the job that a version was made with. False with the queue down: the tick starts
        another later.
        """
        try:
            self._hand_over(version, token)
        except QueueUnavailable as error:
            _tell_later(version, error)
            return False
        return True

    def heal(self, version: Json, now: datetime) -> None:
        """Start what is wanted and has no live job; give up what died too often. Raises
        QueueUnavailable, NotFound.
        """
        document, alive = self._look(version, now)
        if alive or self._given_up(version, document, now):
            return
        if "job" in document:
            # so that it is not forgotten when the queue is down
            self._exports.want(_key(version), version["edition"])
        elif "wanted" not in document:
            return
        self._start(version, document, now)

    def clear(self, version: Json, now: datetime) -> None:
        """Forget a job that died. A live one goes on. Raises NotFound."""
        document, alive = self._look(version, now)
        if "job" in document and not alive:
            self._exports.release(_key(version), document["job"]["token"])

    def file(self, version: Json, token: str) -> File:
        """The archive that a link with this token was given out for. Raises NotFound when it was
        deleted or replaced long ago.
        """
        document = self._read(version)
        for file in [document.get("file"), *document.get("earlier", ())]:
            if file and token_of(file["name"]) == token:
                return file_of(file)
        raise NotFound("this archive is gone; ask for the export again")

    def lost(self, version: Json, file: File) -> None:
        """The cache does not hold this file any more: stop serving it."""
        log.warning(
            "archive is gone from the cache", extra={"version_id": _key(version), "file": file.name}
        )
        self._exports.drop(_key(version), file.name)

    def _read(self, version: Json) -> Json:
        found = self._exports.read(_key(version))
        if found is None:
            raise NotFound("the version is gone")
        return found

    def _look(
        self, version: Json, now: datetime, document: Json | None = None
    ) -> tuple[Json, bool]:
        """The export's document, and whether its job is alive.

        A job that the queue does not know may have begun, or ended, after the document was read:
        then it is read again.
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
        """With the queue down, a job that waits in it helps nobody: another can be asked for, which
        tells the client.
        """
        try:
            return self._queue.knows(token)
        except QueueUnavailable:
            return False

    def _start(self, version: Json, document: Json, now: datetime) -> bool:
        """Ask for a job in place of the one in `document`; False when another caller was faster."""
        # first, so that nothing looks as if it were on its way while the tick tries again and again
        self._queue.reach()
        token = self._exports.ask(version, document.get("job"), now)
        if token is None:
            return False
        self._hand_over(version, token)
        return True

    def _hand_over(self, version: Json, token: str) -> None:
        """Queue a job that the store knows. Raises QueueUnavailable: then the store does not know
        it any more.
        """
        try:
            self._queue.enqueue(_key(version), token)
        except QueueUnavailable:
            self._exports.release(_key(version), token)
            raise

    def _given_up(self, version: Json, document: Json, now: datetime) -> bool:
        """Make a failure of a job that died, when it was the last try."""
        job = document.get("job")
        if not job or job["state"] != "running" or job["tries"] < MOST_TRIES:
            return False
        text = f"the worker died {job['tries']} times while it made this export"
        try:
            self._exports.fail(_key(version), job["token"], text, version["edition"], now)
        except Overtaken:  # someone else took the step, this or another one
            return False
        return True

    def _cancel(self, token: str) -> None:
        try:
            self._queue.cancel(token)
        except QueueUnavailable as error:  # the job finds out itself that it was cancelled
            log.info(
                "cancelled job stays in the queue", extra={"job": token, "reason": error.detail}
            )


def _tell_later(version: Json, error: QueueUnavailable) -> None:
    log.warning(
        "export waits for the queue", extra={"version_id": _key(version), "reason": error.detail}
    )


def job_alive(
    job: Json | None, now: datetime, silence: timedelta, queue_knows: Callable[[str], bool]
) -> bool:
    """Whether something will come of a job. `queue_knows` is asked only for a job that waits longer
    than a moment.
    """
    if not job:
        return False
    if job["state"] == "running":
        return bool(now - job["heartbeat"] < silence)
    return now - job["asked_at"] < GRACE or queue_knows(job["token"])


def state_of(document: Json, alive: bool) -> ExportState:
    """What a stored document tells. `alive`: its job is (see `job_alive`)."""
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


def _key(version: Json) -> str:
    return str(version["_id"])
