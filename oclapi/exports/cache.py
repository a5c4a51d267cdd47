"""Where archives lie: a local folder or any fsspec address, with a folder for each version that
mirrors its relative URL.

An archive's name is its place below the root and ends in the token of the job that made it, so no
name is ever used twice and a file never changes. What counts as an archive is decided by the store,
which names the file after it lies here whole.
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

UPLOAD = 8 * 1024 * 1024
PART = ".part"  # ends the name of a file that is still being written


class ExportCache:
    """Archives by name. Errors of a folder or of the address are OSError, or what its fsspec driver
    raises.
    """

    def __init__(self, url: str) -> None:
        """`url`: a folder, or an fsspec address such as s3://bucket/exports. Nothing is opened or
        made here.
        """
        self._files, root = url_to_fs(url)
        self._root = str(root).rstrip("/")
        self._local = isinstance(self._files, LocalFileSystem)

    @contextmanager
    def writer(self, version_url: str, token: str) -> Iterator["Draft"]:
        """A draft to write one archive into. Leaving the block without `publish` removes all trace
        of it.
        """
        name = f"{folder_of(version_url)}/{token}.tgz"
        if not self._local:
            # it has no name, so a killed worker leaves none behind
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
        """The archive for reading, seekable; None when there is none of that name. It stays
        readable after `delete` on a local folder.
        """
        try:
            if self._local:
                return Path(self._root, name).open("rb", buffering=0)
            return cast(BinaryIO, self._files.open(f"{self._root}/{name}", "rb"))
        except FileNotFoundError:
            return None

    def holds(self, name: str) -> bool:
        """Whether the archive is there. Cost: one look at the folder, or one request."""
        if not self._local:
            return bool(self._files.isfile(f"{self._root}/{name}"))
        try:
            # which tells a folder that can't be entered from a missing file
            return S_ISREG(Path(self._root, name).stat().st_mode)
        except FileNotFoundError:
            return False

    def delete(self, name: str) -> None:
        """Remove one file; nothing happens when it is gone already."""
        with suppress(FileNotFoundError):
            self._files.rm_file(f"{self._root}/{name}")

    def older_than(self, moment: datetime) -> Iterator[str]:
        """The names of all files last written before `moment`, unfinished ones too, in no order.
        Cost: a walk over the cache.
        """
        for path in self._files.find(self._root):
            with suppress(FileNotFoundError):  # another worker was faster
                if _aware(self._files.modified(path)) < moment:
                    yield str(path).removeprefix(self._root).lstrip("/")

    def _upload(self, name: str, file: BinaryIO, alive: Callable[[], None]) -> None:
        path = f"{self._root}/{name}"
        self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
        file.seek(0)
        with self._files.open(path, "wb") as out:
            while piece := file.read(UPLOAD):
                out.write(piece)
                alive()


@dataclass(slots=True)
class Draft:
    """An archive that is being written. `name` is the one it will have."""

    name: str
    file: BinaryIO  # empty, seekable, readable
    _publish: Callable[[Callable[[], None]], None] = field(repr=False)

    def publish(self, alive: Callable[[], None] = lambda: None) -> None:
        """Put the whole file under its name; when this returns it survives a crash. `alive` is
        called after each 8 MiB of an upload.
        """
        self._publish(alive)


def folder_of(version_url: str) -> str:
    """The folder of a version's archives. `.` and `..` are ids like others, so they are spelled in
    a way that no file system bends.
    """
    steps = (
        step.replace(".", "%2E") if step in (".", "..") else step
        for step in version_url.split("/")
        if step
    )
    return "/".join(steps)


def token_of(name: str) -> str:
    """The token of the job that wrote, or is writing, the file of this name."""
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


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
