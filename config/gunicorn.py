"""gunicorn's settings (it reads the module's names): threads, this machine only, request lines left
to the app to judge.
"""

import json
import os
import re
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from gunicorn import util

bind = f"127.0.0.1:{os.environ.get('PORT') or 8000}"
_asked = os.environ.get("WEB_CONCURRENCY") or "2"
if not re.fullmatch("[1-9][0-9]{0,2}", _asked):
    sys.exit("oclapi: WEB_CONCURRENCY must be a number from 1 to 999")
workers = int(_asked)
worker_class = "gthread"
threads = 8
# seconds without a sign of life from a worker process; a long download does not count, threads
# serve it
timeout = 300
graceful_timeout = 10
keepalive = 5
limit_request_line = 0  # gunicorn cuts at 1 MiB; below that the app answers 414 with a JSON body
limit_request_fields = 100  # and of this many bytes each; more is 431
limit_request_field_size = 16380
control_socket_disable = True  # it would be a file in the home folder of whoever starts us
errorlog = "-"
_told = os.environ.get("OCL_MAX_BODY", "")
# a bad value is told by the app, which then does not start
_MOST_READ = int(_told) if _told.isdecimal() else 16 * 2**20


def _write_error(sock: Any, status: int, reason: str, message: str) -> None:
    """Answer a request that gunicorn refuses itself, such as one that is no HTTP, as the app
    answers: with JSON.
    """
    body = json.dumps({"detail": message or reason}).encode()
    head = f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nDate: {util.http_date()}\r\nContent-Type: application/json\r\n"
    util.write_nonblock(
        sock,
        f"{head}Access-Control-Allow-Origin: *\r\nContent-Length: {len(body)}\r\n\r\n".encode(
            "latin-1"
        )
        + body,
    )


util.write_error = _write_error  # there is no setting for it


def pre_request(worker: Any, req: Any) -> None:
    """Say `Connection: close` where the app may answer without reading the body to its end
    (`body.discard_rest`).
    """
    sent = dict(req.headers)
    length = sent.get("CONTENT-LENGTH", "0")
    if "TRANSFER-ENCODING" in sent or (length.isdecimal() and int(length) > _MOST_READ):
        req.force_close()


def _metrics_folder() -> str:
    """Where the processes of this server keep their counts (see oclapi/metrics.py): below OCL_HOME,
    else a temporary folder.
    """
    folder = Path(os.environ.get("OCL_HOME") or "var", "metrics", bind.rpartition(":")[2]).resolve()
    with suppress(OSError):  # a file system that can't be written to
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)
    return tempfile.mkdtemp(prefix="oclapi-metrics-")


if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):  # set already when the settings are read again
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = _metrics_folder()


def on_starting(server: Any) -> None:
    """Counts begin at zero: what processes of an earlier run left is not ours."""
    for left in Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).glob("*.db"):
        left.unlink(missing_ok=True)
