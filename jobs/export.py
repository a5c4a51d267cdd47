"""The job that builds archives."""

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from jobs import job
from jobs.job import Heartbeat
from oclapi.errors import NotFound, Overtaken
from oclapi.exports.archive import write_archive
from oclapi.model import ExportFile, ExportKey, Repository, Selection, Version
from oclapi.reading import document, views
from oclapi.representations import version_detail
from oclapi.services import Services, services

log = logging.getLogger(__name__)

EVERYTHING: document.Selections = {
    "concept": Selection("concept", retired=None),
    "mapping": Selection("mapping", retired=None),
}


def build_next(*, urgent: bool) -> None:
    """RQ job: build the export that is next in the store, if there is one.

    `urgent`: only an urgent one. See oclapi/store/exports.py for the order. The job may run too
    often: then it finds nothing to do.
    """
    exports = services().store.exports
    while found := exports.next_queued(urgent=urgent):
        key, token = found
        if build_export(key.version, token, key.since):
            return


def build_export(version: str, token: str, since: int | None = None) -> bool:
    """Build the archive of an export and publish it in the cache.

    `version` and `since` are those of its ExportKey. Returns False when another worker has the job,
    or it was cancelled before. It is safe to call it twice or late: every write is conditional on
    `token`, and the file appears complete or not at all. A failure is stored in the state of the
    export as one line and raised. Memory: a few batches of rows, whatever the size of the
    repository.
    """
    s = services()
    record = ExportRecord(s, ExportKey(version, since), token)
    return job.run(token, record, lambda heartbeat: _build(s, record, heartbeat))


class ExportRecord:
    """The record of an export's job, see `jobs.job.Record`."""

    def __init__(self, s: Services, key: ExportKey, token: str) -> None:
        self._exports = s.store.exports
        self.key, self.token = key, token
        # Of the version that is exported, once it was read: a failure concerns this edition.
        self.edition = 0

    def claim(self, now: datetime) -> None:
        self._exports.claim(self.key, self.token, now)

    def report(self, processed: int, now: datetime) -> None:
        self._exports.report(self.key, self.token, processed, now)

    def fail(self, text: str, now: datetime) -> None:
        self._exports.fail(self.key, self.token, text, self.edition, now)


def _build(s: Services, record: ExportRecord, heartbeat: Heartbeat) -> None:
    """Write and publish the archive."""
    begun, key, token = time.monotonic(), record.key, record.token
    version, repo = _subject(s, key)
    record.edition = version.edition
    lists = document.batches(s.store, views.of_version(repo, version), EVERYTHING)
    counted = {kind: _reported(batches, heartbeat) for kind, batches in lists.items()}
    with s.cache.writer(repo.number, key, token) as draft:
        archive = write_archive(
            document.document(version_detail(version, repo), counted),
            draft.file,
            int(version.content_at.timestamp()),
            heartbeat,
        )
        draft.publish(heartbeat)
        now = datetime.now(UTC)
        file = ExportFile(draft.name, version.edition, now, version.content_at, archive)
        try:
            s.store.exports.publish(key, token, file, now)
        except Overtaken:
            s.cache.delete(draft.name)
            raise
    log.info(
        "export built",
        extra={
            "version_id": key.version,
            "job": token,
            "entries": heartbeat.processed,
            "file": draft.name,
            "seconds": round(time.monotonic() - begun, 3),
        },
    )


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


def _subject(s: Services, key: ExportKey) -> tuple[Version, Repository]:
    """Return the version and its repository.

    They are read after the claim, so a later edit requests another file.
    """
    version = s.store.versions.by_key(key.version)
    repo = s.store.repos.by_number(version.repo) if version else None
    if not version:
        raise NotFound("the version was deleted")
    if not repo:
        raise NotFound("the repository was deleted")
    return version, repo
