"""The job that makes one archive."""

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime

from config.logging import belongs_to
from oclapi import jsonio
from oclapi.errors import NotFound, OclError, Overtaken
from oclapi.exports.archive import write_archive
from oclapi.model import Json, Revision
from oclapi.representations import version_detail
from oclapi.services import Services, services
from oclapi.store.rows import Slice
from oclapi.store.versions import revision_of

log = logging.getLogger(__name__)

BEAT = 1.0  # seconds between two signs of life


def build_export(version_id: str, token: str) -> None:
    """RQ job: put the archive of that version in the cache and name it in the version's export
    state.

    Safe to run twice or late: every write is conditional on `token`, and the file appears whole or
    not at all. Any failure is told in the export's state in one line, then raised. Memory: a few
    batches of rows, whatever the size.
    """
    belongs_to(job=token)
    s = services()
    begun = time.monotonic()
    version: Json = {"edition": 0}
    try:
        s.store.exports.claim(version_id, token, _now())
        version, repo = _subject(s, version_id)
        pulse = Pulse(s, version_id, token)
        name = _build(s, version, repo, token, pulse)
        log.info(
            "export built",
            extra={
                "version_id": version_id,
                "job": token,
                "entries": pulse.processed,
                "file": name,
                "seconds": round(time.monotonic() - begun, 3),
            },
        )
    except Overtaken as error:
        log.info("export job stopped", extra={"version_id": version_id, "reason": error.detail})
    except Exception as error:  # whatever went wrong, a client that waits must be told
        _tell(s, version_id, token, reason(error), version["edition"])
        raise


class Pulse:
    """Tells the store about once a second that the job lives and how far it is. Raises Overtaken
    where it is called.
    """

    def __init__(self, s: Services, version_id: str, token: str) -> None:
        self._s, self._version_id, self._token = s, version_id, token
        self._last = time.monotonic()
        self.processed = 0  # entries

    def __call__(self) -> None:
        if time.monotonic() - self._last >= BEAT:
            self._s.store.exports.beat(self._version_id, self._token, self.processed, _now())
            self._last = time.monotonic()


def document(head: Json, lists: dict[str, Iterator[list[bytes]]]) -> Iterator[bytes]:
    """The JSON object of `head` with lists behind its own keys; each list comes in batches of
    encoded entries.
    """
    yield jsonio.dumps(head)[:-1]
    for name, batches in lists.items():
        yield b',\n"%s":[' % name.encode()
        between = b"\n"
        for batch in batches:
            yield between + b",\n".join(batch)
            between = b",\n"
        yield b"\n]"
    yield b"}\n"


def reason(error: Exception) -> str:
    """One line for people, without paths or other internals."""
    if isinstance(error, OclError):
        return error.detail.splitlines()[0]
    if isinstance(error, OSError) and error.strerror:
        return f"the archive could not be written: {error.strerror}"
    return f"the export failed with a fault of the server ({type(error).__name__})"


def _build(s: Services, version: Json, repo: Json, token: str, pulse: Pulse) -> str:
    """Write, publish and name the archive; return its name."""
    revision = revision_of(version)
    rows = {
        "concepts": _batches(s, revision, "concept", pulse),
        "mappings": _batches(s, revision, "mapping", pulse),
    }
    with s.cache.writer(f"{repo['url']}{version['id']}/", token) as draft:
        archive = write_archive(
            document(version_detail(version, repo), rows),
            draft.file,
            int(version["content_at"].timestamp()),
            pulse,
        )
        draft.publish(pulse)
        now = _now()
        file = {
            "name": draft.name,
            "edition": version["edition"],
            "made_at": now,
            "content_at": version["content_at"],
            "archive": asdict(archive),
        }
        try:
            s.store.exports.publish(str(version["_id"]), token, file, now)
        except Overtaken:
            s.cache.delete(draft.name)
            raise
    return draft.name


def _batches(s: Services, revision: Revision, kind: str, pulse: Pulse) -> Iterator[list[bytes]]:
    wanted = Slice("concept" if kind == "concept" else "mapping", retired=None)
    for batch in ahead(s.store.rows.body_batches(revision, wanted)):
        pulse.processed += len(batch)
        pulse()
        yield batch


def ahead(batches: Iterator[list[bytes]]) -> Iterator[list[bytes]]:
    """The same batches, each read while the one before is packed: the database and the compressor
    wait less for each other.
    """
    with ThreadPoolExecutor(1) as reader:
        following = reader.submit(next, batches, None)
        while (batch := following.result()) is not None:
            following = reader.submit(next, batches, None)
            yield batch


def _subject(s: Services, version_id: str) -> tuple[Json, Json]:
    """The version and its repository, read after the claim: an edit from now on wants another file."""
    version = s.store.versions.by_key(version_id)
    repo = s.store.repos.by_number(version["repo"]) if version else None
    if not version or not repo:
        raise NotFound("the version is gone")
    return version, repo


def _tell(s: Services, version_id: str, token: str, text: str, edition: int) -> None:
    try:
        s.store.exports.fail(version_id, token, text, edition, _now())
    except Overtaken:
        log.info(
            "failure of an export job that nobody waits for",
            extra={"version_id": version_id, "reason": text},
        )


def _now() -> datetime:
    return datetime.now(UTC)
