"""The zip and tgz containers of an archive, read by common tools."""

import gzip
import io
import itertools
import json
import random
import shutil
import struct
import subprocess
import tarfile
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isal import isal_zlib

from oclapi.exports.archive import (
    BLOCK,
    READ,
    Segments,
    Slice,
    layout,
    tar_header,
    tar_trailer,
    tgz_layout,
    write_archive,
    zip_directory,
    zip_header,
    zip_layout,
)
from oclapi.model import Archive

GIB = 2**30
EDGES = [
    0,
    1,
    511,
    512,
    513,
    BLOCK - 1,
    BLOCK,
    BLOCK + 1,
    3 * BLOCK,
    READ - 1,
    READ,
    READ + 1,
    2 * READ + BLOCK,
]

JAVA = """
import java.io.*; import java.util.zip.*; import java.nio.file.*;
class Read { public static void main(String[] a) throws Exception {
  byte[] b = new byte[1 << 20]; CRC32 one = new CRC32(), two = new CRC32();
  long n = 0, m = 0; int k;
  try (ZipInputStream z = new ZipInputStream(new BufferedInputStream(new FileInputStream(a[0])))) {
    ZipEntry e = z.getNextEntry();
    if (!e.getName().equals("export.json")) throw new Error(e.getName());
    while ((k = z.read(b)) > 0) { one.update(b, 0, k); n += k; }
    if (z.getNextEntry() != null) throw new Error("a second entry"); }
  try (ZipFile f = new ZipFile(a[0]); InputStream i = f.getInputStream(f.getEntry("export.json"))) {
    while ((k = i.read(b)) > 0) { two.update(b, 0, k); m += k; } }
  if (n != m || one.getValue() != two.getValue()) throw new Error("two readings differ");
  System.out.println(n + " " + one.getValue());
}}
"""


def packed(parts, mtime=0):
    file = io.BytesIO()
    return file, write_archive(parts, file, mtime)


def content(segments, file, start=0, stop=None):
    return b"".join(segments.read(file, start, stop))


def text(size, seed=0):
    """Return JSON-like bytes that compress about as well as a terminology."""
    words = [b'{"type": "Concept", "id": "%d"}, ' % number for number in range(500)]
    generator = random.Random(seed)
    return b"".join(generator.choices(words, k=size // 30 + 1))[:size]


def read_tar(data):
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        (entry,) = archive.getmembers()
        assert (entry.name, entry.mode) == ("export.json", 0o644)
        file = archive.extractfile(entry)
        assert file
        return file.read()


def read_zip(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == ["export.json"]
        assert archive.testzip() is None
        return archive.read("export.json")


def read_zip_as_a_stream(data):
    """Read a zip file by its local header only."""
    needed, flags, method, _, _, crc, small, large, name, extra = struct.unpack(
        "<HHHHHLLLHH", data[4:30]
    )
    assert (needed, flags, method) == (20, 0, 8)
    start = 30 + name + extra
    inflate = zlib.decompressobj(-15)
    document = inflate.decompress(data[start : start + small])
    assert inflate.eof
    assert (len(document), zlib.crc32(document)) == (large, crc)
    return document


@pytest.mark.parametrize("size", EDGES)
def test_both_containers_contain_the_document(size):
    document = text(size)
    file, archive = packed([document])
    tgz, zipped = content(tgz_layout(archive), file), content(zip_layout(archive), file)
    assert read_tar(tgz) == read_zip(zipped) == read_zip_as_a_stream(zipped) == document
    assert (len(tgz), len(zipped)) == (tgz_layout(archive).size, zip_layout(archive).size)
    assert tgz == file.getvalue()
    assert len(gzip.decompress(tgz)) % 10240 == 0


@settings(deadline=None, max_examples=60)
@given(
    edge=st.sampled_from([0, 512, BLOCK, 2 * BLOCK, READ, READ + BLOCK]),
    off=st.integers(-2, 2),
    cuts=st.lists(st.integers(0, READ + 2 * BLOCK), max_size=8),
    noise=st.binary(max_size=2000),
)
def test_the_bytes_do_not_depend_on_the_chunks_of_the_document(edge, off, cuts, noise):
    document = (noise + text(max(edge + off, 0)))[: max(edge + off, 0)]
    positions = [0, *sorted(min(cut, len(document)) for cut in cuts), len(document)]
    whole, first = packed([document])
    chunked, second = packed(document[low:high] for low, high in itertools.pairwise(positions))
    assert first == second
    assert whole.getvalue() == chunked.getvalue()
    assert read_tar(whole.getvalue()) == document
    assert read_zip(content(zip_layout(first), whole)) == document


def test_single_rows_give_the_same_bytes_as_the_whole_document():
    rows = [text(50 + number % 900, number) for number in range(3000)]
    assert packed(rows)[0].getvalue() == packed([b"".join(rows)])[0].getvalue()


@settings(deadline=None)
@given(st.data())
def test_any_range_of_a_container_can_be_read(data):
    file, archive = packed([text(100_000)])
    segments = layout(archive, data.draw(st.sampled_from(["zip", "tgz"])))
    start = data.draw(st.integers(0, segments.size))
    stop = data.draw(st.integers(start, segments.size))
    assert content(segments, file, start, stop) == content(segments, file)[start:stop]


def test_a_truncated_file_in_the_cache_raises():
    file, archive = packed([text(100_000)])
    with pytest.raises(EOFError):
        content(tgz_layout(archive), io.BytesIO(file.getvalue()[:-1]))


def test_both_containers_have_the_given_time():
    file, archive = packed([b"{}"], mtime=1_772_620_830)  # 2026-03-04T10:40:30Z
    with tarfile.open(fileobj=io.BytesIO(file.getvalue()), mode="r:gz") as tar:
        assert tar.getmember("export.json").mtime == 1_772_620_830
    with zipfile.ZipFile(io.BytesIO(content(zip_layout(archive), file))) as zipped:
        assert zipped.getinfo("export.json").date_time == (2026, 3, 4, 10, 40, 30)


def test_writing_stops_when_the_callback_raises():
    calls = []

    def stop():
        calls.append(1)
        if len(calls) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        write_archive((text(READ) for _ in range(10)), io.BytesIO(), alive=stop)


def test_memory_does_not_grow_with_the_document(tmp_path):
    row = text(READ // 2)

    def peak(rows):
        tracemalloc.start()
        with (tmp_path / "x").open("w+b") as file:
            write_archive((row for _ in range(rows)), file)
        high = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return high

    assert peak(200) < 1.2 * peak(20)
    assert peak(200) < 8 * READ


def test_a_tar_size_over_8_gib_is_written_in_base_256():
    small = tarfile.TarInfo.frombuf(tar_header(8 * GIB - 1, 0), "ascii", "strict")
    large = tar_header(8 * GIB, 0)
    assert small.size == 8 * GIB - 1
    assert large[124] == 0x80
    assert tarfile.TarInfo.frombuf(large, "ascii", "strict").size == 8 * GIB


@pytest.mark.parametrize("size", [0, 1, 512, 10240, 10240 - 512, 8 * GIB + 7])
def test_a_tar_ends_with_two_empty_blocks_and_a_complete_record(size):
    trailer = tar_trailer(size)
    assert (512 + size + len(trailer)) % 10240 == 0
    assert 1024 <= len(trailer) < 10240 + 1024 + 512
    assert not any(trailer)


def sizes(json_size, packed_size):
    start = 527
    return Archive(packed_size + start + 20, json_size, 7, start, start + packed_size - 2, 0, "")


@pytest.mark.parametrize(
    ("json_size", "packed_size", "extra"),
    [
        (4 * GIB - 2, 100, b""),
        (4 * GIB - 1, 100, b"\1\0"),
        (4 * GIB, 100, b"\1\0"),
        (9 * GIB, 5 * GIB, b"\1\0"),
    ],
)
def test_sizes_from_4_gib_on_use_zip64(json_size, packed_size, extra):
    archive = sizes(json_size, packed_size)
    header = zip_header(archive, packed_size)
    directory = zip_directory(archive, packed_size, len(header) + packed_size)
    assert header[41:43] == extra

    class Sparse(io.BytesIO):
        """The end of a zip file without its content."""

        gap = len(header) + packed_size

        def seek(self, offset, whence=0):
            if whence == 2:
                return super().seek(offset, 2) + self.gap
            return (
                super().seek(max(offset - self.gap, 0)) + self.gap
                if whence == 0
                else super().seek(offset, whence)
            )

        def tell(self):
            return super().tell() + self.gap

    (entry,) = zipfile.ZipFile(Sparse(directory)).infolist()
    assert (entry.file_size, entry.compress_size, entry.header_offset) == (
        json_size,
        packed_size,
        0,
    )


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A zip of 4 GiB + 3 MiB of JSON, quickly built by repeating one compressed MiB."""
    folder = tmp_path_factory.mktemp("large")
    one = b'["export"],' * (READ // 11) + b" " * (READ % 11)
    deflate = zlib.compressobj(1, zlib.DEFLATED, -15)
    blocks = deflate.compress(one) + deflate.flush(zlib.Z_FULL_FLUSH)
    times = 4096 + 3
    crc = 0
    for _ in range(times):
        crc = isal_zlib.crc32_combine(crc, zlib.crc32(one), READ)
    cached = folder / "cached"
    cached.write_bytes(blocks * times)
    archive = Archive(len(blocks) * times, READ * times, crc, 0, len(blocks) * times, 0, "")
    with cached.open("rb") as file, (folder / "large.zip").open("wb") as out:
        out.writelines(zip_layout(archive).read(file))
    return folder / "large.zip", archive


def test_a_zip_of_more_than_4_gib_opens(large):
    path, archive = large
    total = 0
    with zipfile.ZipFile(path) as zipped, zipped.open("export.json") as entry:
        while chunk := entry.read(4 * READ):  # reading the end checks the CRC
            total += len(chunk)
    assert total == archive.json_size


def need(tool):
    found = shutil.which(tool)
    if not found:
        pytest.skip(f"{tool} is not installed")
    return found


def run(*command, stdin=None):
    return subprocess.run(command, check=True, capture_output=True, input=stdin).stdout


@pytest.fixture
def both(tmp_path):
    document = json.dumps({"concepts": [text(70_000).decode("latin-1")]}).encode()
    file, archive = packed([document], 1_772_620_830)
    (tmp_path / "x.tgz").write_bytes(file.getvalue())
    (tmp_path / "x.zip").write_bytes(content(zip_layout(archive), file))
    return tmp_path, document


def test_tar_and_gzip_open_the_tarball(both):
    folder, document = both
    assert run(need("tar"), "-xzOf", folder / "x.tgz") == document
    assert run(need("tar"), "-tzf", folder / "x.tgz") == b"export.json\n"
    assert run(need("gzip"), "-tv", folder / "x.tgz") == b""


def test_unzip_opens_the_zip(both):
    folder, document = both
    assert run(need("unzip"), "-p", folder / "x.zip") == document
    assert b"No errors detected" in run(need("unzip"), "-t", folder / "x.zip")


def java(folder: Path):
    source = folder / "Read.java"
    source.write_text(JAVA)
    return [need("java"), "-Xshare:auto", "-XX:TieredStopAtLevel=1", str(source)]


def test_java_opens_the_zip_as_a_file_and_as_a_stream(both):
    folder, document = both
    assert run(*java(folder), folder / "x.zip").split() == [
        b"%d" % len(document),
        b"%d" % zlib.crc32(document),
    ]


def test_java_opens_a_zip_of_more_than_4_gib(large, tmp_path):
    path, archive = large
    assert run(*java(tmp_path), path).split() == [
        b"%d" % archive.json_size,
        b"%d" % archive.json_crc,
    ]


def test_segments_have_a_total_size():
    assert Segments((b"abc", Slice(10, 5), b"")).size == 8
