"""One compression pass, two containers: the `.tgz` that is cached, and the `.zip` that is served
from slices of it.

    gzip header | stored block: tar header | deflate blocks of the JSON, ended by a sync flush |
    last stored block: tar trailer | crc, size
                                             ^ archive.start                                ^
                                             archive.end
    zip header with sizes                  | the same deflate blocks                       | an
    empty last block | directory

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

Format = Literal["zip", "tgz"]

LAYOUT = 1
"""Number of this file's way of laying out containers, a part of every ETag: raise it when one byte
of a container changes.
"""

NAME = "export.json"
# the compressor is fed exactly this much at a time: another size gives other bytes
BLOCK = 64 * 1024
LEVEL = 1
READ = 1024 * 1024

# no name, no time: the tar header has both
GZIP_HEADER = b"\x1f\x8b\x08\x00" + bytes(4) + b"\x00\xff"
TAR_HEADER = 512
TAR_RECORD = 10240  # the whole tar is a multiple of it, as strict readers expect
START = len(GZIP_HEADER) + 5 + TAR_HEADER  # 5: head of the stored block around the tar header
LAST_EMPTY_BLOCK = b"\x03\x00"

ZIP32 = 2**32 - 1  # this size and above (4 GiB) needs zip64
NO_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that zip can tell


@dataclass(frozen=True, slots=True)
class Archive:
    """A finished archive: what is needed to serve it in both containers. Sizes and places are
    bytes.
    """

    size: int  # of the cached file
    json_size: int
    json_crc: int
    start: int  # the JSON's deflate blocks are the bytes [start, end) of the cached file
    end: int
    mtime: int  # seconds since 1970, as both containers tell it
    sha256: str  # of the cached file, hex


@dataclass(frozen=True, slots=True)
class Slice:
    """Bytes [offset, offset + length) of the cached file."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Segments:
    """A virtual file: literal bytes and slices of the cached file, one after the other."""

    parts: tuple[bytes | Slice, ...]

    @property
    def size(self) -> int:
        return sum(_length(part) for part in self.parts)

    def read(self, file: BinaryIO, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield the bytes [start, stop) in pieces of at most 1 MiB; `file` is the cached file,
        seekable.

        Raises EOFError when the cached file is shorter than its archive says.
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
                yield from _pieces(file, part.offset + low, high - low)


def write_archive(
    parts: Iterable[bytes], out: BinaryIO, mtime: int = 0, alive: Callable[[], None] = lambda: None
) -> Archive:
    """Write the parts of one JSON document as a gzipped tar into `out`, which is empty, seekable
    and readable.

    The same document and `mtime` give the same bytes, however it is cut into parts (with the same
    release of isal). `alive` is called after each MiB at the latest, also while the finished file
    is hashed; it stops the writing by raising. Memory: a few MiB and the largest part. Leaves `out`
    flushed, at no particular place.
    """
    out.write(bytes(START))  # its content is known at the end
    deflate = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, -15)
    json_size = json_crc = 0
    end = START
    for chunk in _chunks(parts):
        for place in range(0, len(chunk), BLOCK):
            end += out.write(deflate.compress(chunk[place : place + BLOCK]))
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
    """The bytes of one of the two containers."""
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
    """The 512 bytes before the entry; from 8 GiB on its size is written in base 256."""
    entry = tarfile.TarInfo(NAME)
    entry.size, entry.mtime = size, mtime
    return entry.tobuf(tarfile.GNU_FORMAT)


def tar_trailer(size: int) -> bytes:
    """Zeros after the entry: to a whole block, then two blocks, then to a whole record of 10,240
    bytes.
    """
    content = TAR_HEADER + size + -size % 512
    return bytes(-size % 512 + 1024 + -(content + 1024) % TAR_RECORD)


def zip_header(archive: Archive, packed: int) -> bytes:
    """The local header; it holds the sizes, so that a reader of a stream knows them before the
    content.
    """
    return (
        struct.pack("<L", 0x04034B50)
        + _zip_entry(archive, packed)
        + NAME.encode()
        + _zip64(archive, packed)
    )


def zip_directory(archive: Archive, packed: int, offset: int) -> bytes:
    """The central directory at `offset` with its one entry, and the records that end the file."""
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
    """What the local header and the directory tell in the same words."""
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
    """The extra field with both sizes; empty when they fit into four bytes."""
    if max(packed, archive.json_size) < ZIP32:
        return b""
    return struct.pack("<HHQQ", 1, 16, archive.json_size, packed)


def _stored(data: bytes, *, last: bool) -> bytes:
    """A stored deflate block, for a place that begins a byte."""
    return struct.pack("<BHH", last, len(data), len(data) ^ 0xFFFF) + data


def _chunks(parts: Iterable[bytes]) -> Iterator[bytes | memoryview]:
    """The same bytes in multiples of BLOCK, at most 2 MiB each; only the last may be odd."""
    held: list[bytes | memoryview] = []
    size = 0
    for part in parts:
        for piece in (part,) if len(part) <= READ else _cut(part):
            held.append(piece)
            size += len(piece)
            if size >= READ:
                joined = b"".join(held)
                even = size - size % BLOCK
                yield memoryview(joined)[:even]
                held, size = [joined[even:]], size - even
    if size:
        yield b"".join(held)


def _cut(part: bytes) -> Iterator[memoryview]:
    for place in range(0, len(part), READ):
        yield memoryview(part)[place : place + READ]


def _pieces(file: BinaryIO, offset: int, length: int) -> Iterator[bytes]:
    file.seek(offset)
    while length:
        piece = file.read(min(length, READ))
        if not piece:
            raise EOFError("the cached archive is shorter than it was when it was made")
        length -= len(piece)
        yield piece


def _sha256(file: BinaryIO, alive: Callable[[], None]) -> str:
    file.seek(0)
    digest = hashlib.sha256()
    while piece := file.read(READ):
        digest.update(piece)
        alive()
    return digest.hexdigest()


def _length(part: bytes | Slice) -> int:
    return len(part) if isinstance(part, bytes) else part.length
