"""Answers: JSON bodies whole or streamed, and what every answer carries (contract 1.4 and 5.3)."""

import io
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import IO, Any

from flask import Response, request
from isal import isal_zlib

from config.settings import Settings
from oclapi import jsonio, times

GZIP_FROM = 600
"""Bytes below which a body is sent as it is: the gzip frame would eat the gain."""

IN_MEMORY = 8 * 2**20
"""Bytes of a ZIP that are held in memory; what goes beyond lies in a temporary file."""
PIECE = 2**18


def ok(value: Any, headers: Mapping[str, str] | None = None) -> Response:
    """200 with a JSON value."""
    return ok_bytes(jsonio.dumps(value), headers)


def ok_bytes(body: bytes | Iterator[bytes], headers: Mapping[str, str] | None = None) -> Response:
    """200 with JSON that is bytes already, or a stream of them; as a ZIP where the request wants
    one.
    """
    if wants_zip():
        return _zip([body] if isinstance(body, bytes) else body, headers)
    return Response(body, 200, headers, mimetype="application/json")


def created(body: bytes, url: str, settings: Settings) -> Response:
    """201 with the new item; `url` is its relative address."""
    return Response(body, 201, {"Location": absolute(url, settings)}, mimetype="application/json")


def nothing() -> Response:
    """204."""
    response = Response(status=204)
    del response.headers["Content-Type"]
    return response


def absolute(url: str, settings: Settings) -> str:
    """A relative address with the server's before it."""
    return (settings.base_url or request.host_url).rstrip("/") + url


def last_updated(moment: datetime) -> dict[str, str]:
    """The header that tells up to when an answer reflects its repository's content."""
    return {"lastUpdated": times.show(moment)}


def wants_zip() -> bool:
    """Did the request ask for its answer as a ZIP?"""
    return request.method in ("GET", "HEAD") and request.headers.get(
        "Compress", ""
    ).strip().lower() in ("true", "1")


def finish(response: Response) -> Response:
    """The last step of every answer: its packing, and the headers that all of them have."""
    if (
        response.mimetype in ("application/json", "text/html")
        and request.accept_encodings.quality("gzip") > 0
    ):
        _as_gzip(response)
    response.headers["Vary"] = ", ".join(
        dict.fromkeys(["Authorization", "Accept-Encoding", *response.vary])
    )
    # Flask's own answer, which has no body and says that it is HTML
    if request.method == "OPTIONS" and response.status_code == 200:
        response.headers.pop("Content-Type", None)
    return response


def _as_gzip(response: Response) -> None:
    if response.is_sequence:
        body = response.get_data()
        if len(body) >= GZIP_FROM:
            response.set_data(b"".join(gzipped([body])))
            response.headers["Content-Encoding"] = "gzip"
    else:
        response.response = gzipped(response.iter_encoded())
        response.headers["Content-Encoding"] = "gzip"


def gzipped(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The parts as one gzip member."""
    pack = isal_zlib.compressobj(1, isal_zlib.DEFLATED, 31)
    for part in parts:
        if piece := pack.compress(part):
            yield piece
    yield pack.flush()


def _zip(parts: Iterable[bytes], headers: Mapping[str, str] | None) -> Response:
    """200 with the parts in a ZIP."""
    # of no known length, also where HEAD makes no file
    response = Response(iter(()), 200, headers, mimetype="application/zip")
    response.headers["Content-Disposition"] = 'attachment; filename="export.zip"'
    if request.method != "HEAD":
        file = zipped("export.json", parts)
        response.content_length = file.seek(0, io.SEEK_END)
        response.response = _read(file)
    return response


def zipped(name: str, parts: Iterable[bytes]) -> IO[bytes]:
    """A temporary file with a ZIP of one entry.

    Made whole before the first byte is sent, because a header without the sizes, which a stream
    would need, breaks readers of streams such as Java's. So a fault in the middle is an error
    answer and no half an archive. Memory: 8 MiB, the rest lies on disk.
    """
    file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - it outlives this function
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED
    try:
        with (
            zipfile.ZipFile(file, "w", compresslevel=1) as archive,
            archive.open(entry, "w", force_zip64=True) as out,
        ):
            for part in parts:
                out.write(part)
    except BaseException:
        file.close()
        raise
    return file


def _read(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while piece := file.read(PIECE):
            yield piece
