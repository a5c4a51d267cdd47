"""Where the servers of tests keep their data."""

import shutil
import tempfile
from pathlib import Path

import psutil

MEMORY = Path("/dev/shm")
ROOM = 6 * 2**30
"""Bytes that must be free before data goes to memory: the servers of a test run take up to a third
of it.
"""


def servers_folder() -> "tempfile.TemporaryDirectory[str]":
    """Yield a temporary folder, in memory if there is room, because acknowledged writes use fsync.

    kill -9 loses the same data in both cases, since the pages belong to the kernel.
    """
    in_memory = (
        MEMORY.is_dir()
        and min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available) > ROOM
    )
    return tempfile.TemporaryDirectory(
        prefix="ocl-test-", dir=MEMORY if in_memory else None, ignore_cleanup_errors=True
    )
