"""The cache of archives: a local folder or any fsspec URL.

Each repository has a folder, and each of its exports a folder below it. They are named by internal
keys, because ids may be longer than the names of files. The name of an archive is its path below
the root. It ends in the token of the job that made it, so no name is used twice and a file never
changes. The store names a file after it was written completely; only named files are served.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from stat import S_ISREG
from typing import BinaryIO, cast

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from oclapi.model import ExportKey

UPLOAD = 8 * 1024 * 1024
PART = ".part"  # suffix of a file that is being written


class ExportCache:
    """Archives by name. Failures raise OSError, or the errors of the fsspec driver."""

    def __init__(self, url: str) -> None:
        """`url` is a folder or an fsspec URL such as s3://bucket/exports. Nothing is opened yet."""
        self._files, root = url_to_fs(url)
        self._root = str(root).rstrip("/")
        self._local = isinstance(self._files, LocalFileSystem)

    @contextmanager
    def writer(self, repo: int, key: ExportKey, token: str) -> Iterator["Draft"]:
        """Yield a draft for one archive. Without `publish` the draft is removed at the end."""
        name = f"{repo}/{key}/{token}.tgz"
        if not self._local:
            # A nameless file disappears with a killed worker.
            with tempfile.TemporaryFile() as file:
                yield Draft(
                    name,
                    cast(BinaryIO, file),
                    lambda alive: self._upload(name, cast(BinaryIO, file), alive),
                )
            return
        final = Path(self._root, name)
        part = final.with_suffix(PART)
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("w+b") as file:
                yield Draft(name, file, lambda alive: _rename(file, part, final))
        finally:
            part.unlink(missing_ok=True)

    def open(self, name: str) -> BinaryIO | None:
        """Open an archive for reading. Returns None when there is none of that name.

        In a local folder it stays readable after `delete`.
        """
        try:
            if self._local:
                return Path(self._root, name).open("rb", buffering=0)
            return cast(BinaryIO, self._files.open(f"{self._root}/{name}", "rb"))
        except FileNotFoundError:
            return None

    def holds(self, name: str) -> bool:
        """Return whether the archive exists. Cost: one `stat` or one request."""
        if not self._local:
            return bool(self._files.isfile(f"{self._root}/{name}"))
        try:
            # Unlike `exists`, `stat` reports a folder without permission as an error.
            return S_ISREG(Path(self._root, name).stat().st_mode)
        except FileNotFoundError:
            return False

    def delete(self, name: str) -> None:
        """Delete a file. A missing file is ignored."""
        with suppress(FileNotFoundError):
            self._files.rm_file(f"{self._root}/{name}")

    def older_than(self, time: datetime) -> Iterator[str]:
        """Yield the names of all files that were last written before `time`, in no order.

        Unfinished files are included. Cost: a walk over the cache.
        """
        for path in self._files.find(self._root):
            with suppress(FileNotFoundError):  # deleted by another worker
                if _aware(self._files.modified(path)) < time:
                    yield str(path).removeprefix(self._root).lstrip("/")

    def _upload(self, name: str, file: BinaryIO, alive: Callable[[], None]) -> None:
        path = f"{self._root}/{name}"
        self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
        file.seek(0)
        with self._files.open(path, "wb") as out:
            while chunk := file.read(UPLOAD):
                out.write(chunk)
                alive()


@dataclass(slots=True)
class Draft:
    """An archive that is being written. `name` is its future name."""

    name: str
    file: BinaryIO  # empty, seekable, readable
    _publish: Callable[[Callable[[], None]], None] = field(repr=False)

    def publish(self, alive: Callable[[], None] = lambda: None) -> None:
        """Publish the complete file under its name. It then survives a crash.

        `alive` is called after each 8 MiB of an upload.
        """
        self._publish(alive)


def token_of(name: str) -> str:
    """Return the token of the job that writes or wrote the file of this name."""
    return PurePosixPath(name).stem


def _rename(file: BinaryIO, part: Path, final: Path) -> None:
    file.flush()
    os.fsync(file.fileno())
    part.rename(final)
    folder = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)
