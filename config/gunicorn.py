"""The settings of gunicorn, which reads the names of this module."""

import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from config.settings import BadSetting, Settings

try:
    _settings = Settings.load()
except BadSetting as error:
    sys.exit(f"oclapi: {error}")

bind = f"127.0.0.1:{_settings.port}"
workers = _settings.web_concurrency
worker_class = "oclapi.connections.BufferingWorker"
threads = 8
# Connections of a process. Above it, new ones wait.
worker_connections = 1000
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
# No header of a request changes how its path is read or its scheme, and files are not sent by
# gunicorn itself. OCL_TRUSTED_PROXIES and OCL_BASE_URL say what a proxy does.
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}
sendfile = False
# The control socket would be a file in the home folder of the user.
control_socket_disable = True
errorlog = "-"


def _metrics_folder() -> str:
    """Return the folder where the processes keep their counts (see oclapi/metrics.py).

    It is below OCL_HOME, or a temporary folder when OCL_HOME can't be written to.
    """
    folder = Path(_settings.home, "metrics", str(_settings.port)).resolve()
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)
    return tempfile.mkdtemp(prefix="oclapi-metrics-")


# What the processes write is for their owner only.
os.umask(0o077)

# It is set already when gunicorn reloads its settings.
if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = _metrics_folder()


def on_starting(server: Any) -> None:
    """Delete the counts of an earlier run."""
    for file in Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).glob("*.db"):
        file.unlink(missing_ok=True)
