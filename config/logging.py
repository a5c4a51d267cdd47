"""Log lines as JSON objects on standard error.

Each line has the id of the request or job that it belongs to.
"""

import logging
import sys
from typing import Any

import structlog


def configure(level: str) -> None:
    """Format the lines of the server and of the libraries in the same way.

    `level` is the lowest level that is written.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(default=str),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # pymongo writes whole documents, flask_cors paths that contain secrets, and pysolr requests.
    for name in ("pymongo", "flask_cors", "pysolr"):
        logging.getLogger(name).setLevel(logging.WARNING)


def belongs_to(**ids: str) -> None:
    """Add these ids (`request`, `job`) to the following lines of this thread.

    Ids of earlier calls are dropped.
    """
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**ids)
