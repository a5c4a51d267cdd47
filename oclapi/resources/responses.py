"""Responses: JSON bodies, whole or streamed, and common headers (contract 1.4 and 5.3)."""

import io
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import IO, Any

from flask import Response, request
from isal import isal_zlib

from config.settings import Settings
from oclapi import jsonio, times

COMPRESSIBLE = ("application/json", "text/html", "text/css", "text/javascript")
"""Media types of responses that are compressed."""
GZIP_FROM = 600
"""Smaller bodies, in bytes, are not compressed. Their gzip header would outweigh the gain."""

ZIP_IN_MEMORY = 8 * 2**20
"""Bytes of a ZIP that are kept in memory. A larger one goes to a temporary file."""

CHUNK = 2**18
"""Bytes of a ZIP that are read at once."""


def ok(value: Any, headers: Mapping[str, str] | None = None) -> Response:
    """Return 200 with a JSON value."""
    return ok_bytes(jsonio.dumps(value), headers)


def ok_bytes(body: bytes | Iterator[bytes], headers: Mapping[str, str] | None = None) -> Response:
    """Like `ok`, for JSON that is serialised already: all its bytes, or a stream of chunks."""
    return Response(body, 200, headers, mimetype="application/json")


def array(batches: Iterable[Sequence[bytes]]) -> Iterator[bytes]:
    """Yield a JSON array of values that are serialised already."""
    separator = b"["
    for batch in batches:
        if batch:
            yield separator + b",".join(batch)
            separator = b","
    yield b"]" if separator == b"," else b"[]"


def created(body: bytes, url: str, settings: Settings) -> Response:
    """Return 201 with the new item, whose relative URL is `url`."""
    return Response(body, 201, {"Location": absolute(url, settings)}, mimetype="application/json")


def nothing() -> Response:
    """Return 204, which has no body."""
    response = Response(status=204)
    del response.headers["Content-Type"]
    return response


def absolute(url: str, settings: Settings) -> str:
    """Return the absolute form of a relative URL."""
    return address(settings) + url


def address(settings: Settings) -> str:
    """Return the address of this server, without a slash at its end."""
    return (settings.base_url or request.host_url).rstrip("/")


def last_updated(time: datetime) -> dict[str, str]:
    """Return the lastUpdated header: the time of the newest commit that the response reflects."""
    return {"lastUpdated": times.format(time)}


def finish(response: Response) -> Response:
    """Compress a response where possible, and set the headers that all responses have."""
    compressible = response.mimetype in COMPRESSIBLE
    if compressible and request.accept_encodings.quality("gzip") > 0:
        _compress(response)
    response.headers["Vary"] = ", ".join(
        dict.fromkeys(["Authorization", "Accept-Encoding", *response.vary])
    )
    # Flask's own response to OPTIONS has no body, but says that it is HTML.
    if request.method == "OPTIONS" and response.status_code == 200:
        response.headers.pop("Content-Type", None)
    return response


def _compress(response: Response) -> None:
    if response.is_sequence:
        body = response.get_data()
        if len(body) >= GZIP_FROM:
            response.set_data(b"".join(gzipped([body])))
            response.headers["Content-Encoding"] = "gzip"
    else:
        response.response = gzipped(response.iter_encoded())
        response.headers["Content-Encoding"] = "gzip"


def gzipped(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Compress the parts as one gzip member."""
    compressor = isal_zlib.compressobj(1, isal_zlib.DEFLATED, 31)
    for part in parts:
        if chunk := compressor.compress(part):
            yield chunk
    yield compressor.flush()


def as_zip(response: Response, *, head: bool) -> Response:
    """Return a JSON response as a ZIP with one entry, and any other response unchanged.

    For HEAD no file is built, so the response has no length.
    """
    if response.status_code != 200 or response.mimetype != "application/json":
        return response
    parts = response.iter_encoded()
    del response.headers["Content-Length"]
    response.mimetype, response.response = "application/zip", iter(())
    response.headers["Content-Disposition"] = 'attachment; filename="export.zip"'
    if not head:
        file = zipped("export.json", parts)
        response.content_length = file.seek(0, io.SEEK_END)
        response.response = _read(file)
    return response


def zipped(name: str, parts: Iterable[bytes]) -> IO[bytes]:
    """Write the parts to a ZIP with one entry. Return it as a temporary file.

    The ZIP is complete before the first byte is sent. A streamed ZIP has no sizes in its entry
    header, which breaks stream readers such as Java's, and a fault would truncate it. Memory: at
    most 8 MiB, a larger ZIP goes to disk.
    """
    file = tempfile.SpooledTemporaryFile(ZIP_IN_MEMORY)  # noqa: SIM115 - the caller closes it
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
        while chunk := file.read(CHUNK):
            yield chunk
