"""Log lines: one JSON object each, on standard error, with the id of the request or job that they
belong to.
"""

import logging
import sys
from typing import Any

import structlog


def configure(level: str) -> None:
    """Send our lines and those of the libraries through one formatter. `level` is the least severe
    one that is written.
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
    logging.getLogger("pymongo").setLevel(logging.WARNING)  # at DEBUG it writes whole documents
    logging.getLogger("flask_cors").setLevel(logging.WARNING)  # at DEBUG it writes secret paths


def belongs_to(**ids: str) -> None:
    """From here on the lines of this thread carry these ids (`request`, `job`) and no earlier ones."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**ids)
