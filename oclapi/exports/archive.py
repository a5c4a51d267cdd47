"""Archives: one compression pass for two containers.

The `.tgz` is cached. The `.zip` is served from slices of it::

    tgz: gzip header, stored block (tar header) | deflate blocks | stored block (tar trailer), crc
    zip: local header with sizes                | deflate blocks | empty last block, directory

The deflate blocks hold the JSON and end with a sync flush. They are the bytes from `archive.start`
to `archive.end` of the cached file.

Sources: RFC 1951 (deflate: stored blocks, the sync flush), RFC 1952 (gzip), GNU tar manual "Basic
Tar Format" (base-256 sizes), PKWARE APPNOTE 6.3.10 sections 4.3.7 to 4.3.16 and 4.5.3 (zip, zip64).
"""

import hashlib
import struct
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

from isal import isal_zlib

from oclapi.model import Archive

Format = Literal["zip", "tgz"]

LAYOUT = 1
"""Version of the layout, a part of every ETag. Increase it when a byte of a container changes."""

NAME = "export.json"
BLOCK = 64 * 1024  # input of the compressor; another size gives other bytes
LEVEL = 1
READ = 1024 * 1024

# Name and time are in the tar header.
GZIP_HEADER = b"\x1f\x8b\x08\x00" + bytes(4) + b"\x00\xff"
TAR_HEADER = 512
TAR_RECORD = 10240  # strict readers expect a multiple of it
START = len(GZIP_HEADER) + 5 + TAR_HEADER  # 5: header of the stored block
LAST_EMPTY_BLOCK = b"\x03\x00"

ZIP32 = 2**32 - 1  # this size and above (4 GiB) needs zip64
NO_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest time of the zip format


@dataclass(frozen=True, slots=True)
class Slice:
    """Bytes [offset, offset + length) of the cached file."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Segments:
    """A virtual file: a sequence of literal bytes and slices of the cached file."""

    parts: tuple[bytes | Slice, ...]

    @property
    def size(self) -> int:
        return sum(_length(part) for part in self.parts)

    def read(self, file: BinaryIO, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield the bytes [start, stop) in chunks of at most 1 MiB. `file` is the cached file.

        Raises EOFError when the cached file is too short.
        """
        stop = self.size if stop is None else stop
        at = 0
        for part in self.parts:
            length = _length(part)
            low, high = max(start - at, 0), min(stop - at, length)
            at += length
            if low >= high:
                continue
            if isinstance(part, bytes):
                yield part[low:high]
            else:
                yield from _read_chunks(file, part.offset + low, high - low)


def write_archive(
    parts: Iterable[bytes], out: BinaryIO, mtime: int = 0, alive: Callable[[], None] = lambda: None
) -> Archive:
    """Write the parts of a JSON document as a gzipped tar into `out`.

    `out` must be empty, seekable and readable. The same document and `mtime` give the same bytes,
    whatever the parts (with the same release of isal). `alive` is called at least once for each
    MiB, also while the finished file is hashed. It can stop the writing by raising. `out` is
    flushed at the end; its position is undefined. Memory: a few MiB and the largest part.
    """
    out.write(bytes(START))  # overwritten at the end
    deflate = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, -15)
    json_size = json_crc = 0
    end = START
    for chunk in _chunks(parts):
        for offset in range(0, len(chunk), BLOCK):
            end += out.write(deflate.compress(chunk[offset : offset + BLOCK]))
        json_crc = isal_zlib.crc32(chunk, json_crc)
        json_size += len(chunk)
        alive()
    end += out.write(deflate.flush(isal_zlib.Z_SYNC_FLUSH))

    header, trailer = tar_header(json_size, mtime), tar_trailer(json_size)
    crc = isal_zlib.crc32_combine(isal_zlib.crc32(header), json_crc, json_size)
    crc = isal_zlib.crc32_combine(crc, isal_zlib.crc32(trailer), len(trailer))
    out.write(_stored(trailer, last=True))
    out.write(struct.pack("<LL", crc, (len(header) + json_size + len(trailer)) % 2**32))
    size = out.tell()
    out.seek(0)
    out.write(GZIP_HEADER + _stored(header, last=False))
    out.flush()
    return Archive(size, json_size, json_crc, START, end, mtime, _sha256(out, alive))


def layout(archive: Archive, format: Format) -> Segments:
    """Return the bytes of one of the two containers."""
    return zip_layout(archive) if format == "zip" else tgz_layout(archive)


def tgz_layout(archive: Archive) -> Segments:
    return Segments((Slice(0, archive.size),))


def zip_layout(archive: Archive) -> Segments:
    packed = archive.end - archive.start + len(LAST_EMPTY_BLOCK)
    header = zip_header(archive, packed)
    return Segments(
        (
            header,
            Slice(archive.start, archive.end - archive.start),
            LAST_EMPTY_BLOCK + zip_directory(archive, packed, len(header) + packed),
        )
    )


def tar_header(size: int, mtime: int) -> bytes:
    """Return the 512 bytes before the entry. A size from 8 GiB on is written in base 256."""
    entry = tarfile.TarInfo(NAME)
    entry.size, entry.mtime = size, mtime
    return entry.tobuf(tarfile.GNU_FORMAT)


def tar_trailer(size: int) -> bytes:
    """Return the zeros after the entry: up to a block, two blocks, and up to a record."""
    content = TAR_HEADER + size + -size % 512
    return bytes(-size % 512 + 1024 + -(content + 1024) % TAR_RECORD)


def zip_header(archive: Archive, packed: int) -> bytes:
    """Return the local header. It contains the sizes, which readers of streams need."""
    return (
        struct.pack("<L", 0x04034B50)
        + _zip_entry(archive, packed)
        + NAME.encode()
        + _zip64(archive, packed)
    )


def zip_directory(archive: Archive, packed: int, offset: int) -> bytes:
    """Return the central directory at `offset` and the records at the end of the file."""
    big = _zip64(archive, packed)
    made_by = 3 << 8 | (45 if big else 20)  # 3: Unix, so that the file mode counts
    entry = (
        struct.pack("<LH", 0x02014B50, made_by)
        + _zip_entry(archive, packed)
        + struct.pack("<HHHLL", 0, 0, 0, 0o100644 << 16, 0)
        + NAME.encode()
        + big
    )
    end = b""
    if offset >= ZIP32:
        end += struct.pack(
            "<LQHHLLQQQQ", 0x06064B50, 44, made_by, 45, 0, 0, 1, 1, len(entry), offset
        )
        end += struct.pack("<LLQL", 0x07064B50, 0, offset + len(entry), 1)
    return (
        entry
        + end
        + struct.pack("<LHHHHLLH", 0x06054B50, 0, 0, 1, 1, len(entry), min(offset, ZIP32), 0)
    )


def _zip_entry(archive: Archive, packed: int) -> bytes:
    """Return the fields that the local header and the directory share."""
    big = _zip64(archive, packed)
    year, month, day, hour, minute, second = max(time.gmtime(archive.mtime)[:6], NO_TIME)
    return struct.pack(
        "<HHHHHLLLHH",
        45 if big else 20,  # version needed
        0,
        8,  # deflated
        hour << 11 | minute << 5 | second // 2,
        (year - 1980) << 9 | month << 5 | day,
        archive.json_crc,
        ZIP32 if big else packed,
        ZIP32 if big else archive.json_size,
        len(NAME),
        len(big),
    )


def _zip64(archive: Archive, packed: int) -> bytes:
    """Return the extra field with both sizes, or nothing when they fit into four bytes."""
    if max(packed, archive.json_size) < ZIP32:
        return b""
    return struct.pack("<HHQQ", 1, 16, archive.json_size, packed)


def _stored(data: bytes, *, last: bool) -> bytes:
    """Return a stored deflate block. It must start at a byte boundary."""
    return struct.pack("<BHH", last, len(data), len(data) ^ 0xFFFF) + data


def _chunks(parts: Iterable[bytes]) -> Iterator[bytes | memoryview]:
    """Yield the same bytes in multiples of BLOCK, at most 2 MiB each. Only the last may differ."""
    collected: list[bytes | memoryview] = []
    size = 0
    for part in parts:
        for chunk in (part,) if len(part) <= READ else _cut(part):
            collected.append(chunk)
            size += len(chunk)
            if size >= READ:
                joined = b"".join(collected)
                even = size - size % BLOCK
                yield memoryview(joined)[:even]
                collected, size = [joined[even:]], size - even
    if size:
        yield b"".join(collected)


def _cut(part: bytes) -> Iterator[memoryview]:
    for offset in range(0, len(part), READ):
        yield memoryview(part)[offset : offset + READ]


def _read_chunks(file: BinaryIO, offset: int, length: int) -> Iterator[bytes]:
    file.seek(offset)
    while length:
        chunk = file.read(min(length, READ))
        if not chunk:
            raise EOFError("the cached archive is too short")
        length -= len(chunk)
        yield chunk


def _sha256(file: BinaryIO, alive: Callable[[], None]) -> str:
    file.seek(0)
    digest = hashlib.sha256()
    while chunk := file.read(READ):
        digest.update(chunk)
        alive()
    return digest.hexdigest()


def _length(part: bytes | Slice) -> int:
    return len(part) if isinstance(part, bytes) else part.length
