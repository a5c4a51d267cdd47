"""The settings of gunicorn, which reads the names of this module."""

import json
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from gunicorn import util

from config.settings import BadSetting, Settings

try:
    _settings = Settings.load()
except BadSetting as error:
    sys.exit(f"oclapi: {error}")

bind = f"127.0.0.1:{_settings.port}"
workers = _settings.web_concurrency
worker_class = "gthread"
threads = 8
# Seconds without a heartbeat of a worker process. A long download does not count: a thread
# serves it.
timeout = 300
graceful_timeout = 10
keepalive = 5
# gunicorn refuses more than 1 MiB. Below that, the application responds with 414 and a JSON body.
limit_request_line = 0
# More headers, or longer ones, are refused with 431.
limit_request_fields = 100
limit_request_field_size = 16380
# The control socket would be a file in the home folder of the user.
control_socket_disable = True
errorlog = "-"


def _write_error(sock: Any, status_int: int, reason: str, mesg: str) -> None:
    """Send the JSON error of a request that gunicorn refuses itself, such as invalid HTTP."""
    body = json.dumps({"detail": mesg or reason}).encode()
    headers = [
        f"HTTP/1.1 {status_int} {reason}",
        "Connection: close",
        f"Date: {util.http_date()}",
        "Content-Type: application/json",
        "Access-Control-Allow-Origin: *",
        f"Content-Length: {len(body)}",
    ]
    util.write_nonblock(sock, "\r\n".join([*headers, "", ""]).encode("latin-1") + body)


# gunicorn 27 has no setting or hook for the body of these responses, which is HTML. A worker class
# of our own could override `handle_error`, but would have to repeat its table of exceptions and
# statuses. tests/unit/test_gunicorn.py fails when gunicorn does not call this function any more.
util.write_error = _write_error


def pre_request(worker: Any, req: Any) -> None:
    """Close the connection after a request whose body may not be read to its end.

    The response must say so (`Connection: close`), or the client sends its next request on a
    connection that gunicorn closes (see `body.discard_rest`). gunicorn drops a `Connection` header
    of the application, so this hook calls `Request.force_close`, which is not documented.
    """
    headers = dict(req.headers)
    length = headers.get("CONTENT-LENGTH", "0")
    too_large = length.isdecimal() and int(length) > _settings.max_body
    if "TRANSFER-ENCODING" in headers or too_large:
        req.force_close()


def _metrics_folder() -> str:
    """Return the folder where the processes keep their counts (see oclapi/metrics.py).

    It is below OCL_HOME, or a temporary folder when OCL_HOME can't be written to.
    """
    folder = Path(_settings.home, "metrics", str(_settings.port)).resolve()
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)
    return tempfile.mkdtemp(prefix="oclapi-metrics-")


# It is set already when gunicorn reloads its settings.
if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = _metrics_folder()


def on_starting(server: Any) -> None:
    """Delete the counts of an earlier run."""
    for file in Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).glob("*.db"):
        file.unlink(missing_ok=True)
