"""The job that builds an archive."""

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime

from config.logging import belongs_to
from oclapi.errors import NotFound, OclError, Overtaken
from oclapi.exports.archive import write_archive
from oclapi.model import Repository, Selection, Version
from oclapi.reading import document, views
from oclapi.representations import version_detail
from oclapi.services import Services, services

log = logging.getLogger(__name__)

EVERYTHING: document.Selections = {
    "concept": Selection("concept", retired=None),
    "mapping": Selection("mapping", retired=None),
}
BEAT = 1.0  # seconds between heartbeats


def build_export(version_id: str, token: str) -> None:
    """RQ job: build the archive of a version and publish it in the cache.

    It is safe to run it twice or late: every write is conditional on `token`, and the file appears
    complete or not at all. A failure is stored in the state of the export as one line and raised.
    Memory: a few batches of rows, whatever the size of the repository.
    """
    belongs_to(job=token)
    s = services()
    begun = time.monotonic()
    edition = 0
    try:
        s.store.exports.claim(version_id, token, _now())
        version, repo = _subject(s, version_id)
        edition = version.edition
        heartbeat = Heartbeat(s, version_id, token)
        name = _build(s, version, repo, token, heartbeat)
        log.info(
            "export built",
            extra={
                "version_id": version_id,
                "job": token,
                "entries": heartbeat.processed,
                "file": name,
                "seconds": round(time.monotonic() - begun, 3),
            },
        )
    except Overtaken as error:
        log.info("export job stopped", extra={"version_id": version_id, "reason": error.detail})
    except Exception as error:  # every failure is reported to waiting clients
        _report(s, version_id, token, reason(error), edition)
        raise


class Heartbeat:
    """Stores about once a second that the job is alive, and its progress.

    A call raises Overtaken when the job has lost the export.
    """

    def __init__(self, s: Services, version_id: str, token: str) -> None:
        self._s, self._version_id, self._token = s, version_id, token
        self._last = time.monotonic()
        self.processed = 0  # entries

    def __call__(self) -> None:
        if time.monotonic() - self._last >= BEAT:
            self._s.store.exports.beat(self._version_id, self._token, self.processed, _now())
            self._last = time.monotonic()


def reason(error: Exception) -> str:
    """Describe an error in one line, without paths or other internals."""
    if isinstance(error, OclError):
        return error.detail.splitlines()[0]
    if isinstance(error, OSError) and error.strerror:
        return f"the archive could not be written: {error.strerror}"
    return f"internal server error ({type(error).__name__})"


def _build(
    s: Services, version: Version, repo: Repository, token: str, heartbeat: Heartbeat
) -> str:
    """Write and publish the archive. Returns its file name."""
    lists = document.batches(s.store, views.of_version(repo, version), EVERYTHING)
    counted = {kind: _reported(batches, heartbeat) for kind, batches in lists.items()}
    with s.cache.writer(f"{repo.url}{version.id}/", token) as draft:
        archive = write_archive(
            document.document(version_detail(version, repo), counted),
            draft.file,
            int(version.content_at.timestamp()),
            heartbeat,
        )
        draft.publish(heartbeat)
        now = _now()
        file = {
            "name": draft.name,
            "edition": version.edition,
            "made_at": now,
            "content_at": version.content_at,
            "archive": asdict(archive),
        }
        try:
            s.store.exports.publish(version.key, token, file, now)
        except Overtaken:
            s.cache.delete(draft.name)
            raise
    return draft.name


def _reported(batches: Iterator[list[bytes]], heartbeat: Heartbeat) -> Iterator[list[bytes]]:
    for batch in ahead(batches):
        heartbeat.processed += len(batch)
        heartbeat()
        yield batch


def ahead(batches: Iterator[list[bytes]]) -> Iterator[list[bytes]]:
    """Yield the same batches, but read the next one while the current one is compressed."""
    with ThreadPoolExecutor(1) as reader:
        following = reader.submit(next, batches, None)
        while (batch := following.result()) is not None:
            following = reader.submit(next, batches, None)
            yield batch


def _subject(s: Services, version_id: str) -> tuple[Version, Repository]:
    """Return the version and its repository.

    They are read after the claim, so a later edit requests another file.
    """
    version = s.store.versions.by_key(version_id)
    repo = s.store.repos.by_number(version.repo) if version else None
    if not version or not repo:
        raise NotFound("the version was deleted")
    return version, repo


def _report(s: Services, version_id: str, token: str, text: str, edition: int) -> None:
    try:
        s.store.exports.fail(version_id, token, text, edition, _now())
    except Overtaken:
        log.info(
            "an obsolete export job failed",
            extra={"version_id": version_id, "reason": text},
        )


def _now() -> datetime:
    return datetime.now(UTC)
