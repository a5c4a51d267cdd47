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
    """A temporary folder: in memory where there is room, since every acknowledged write waits for
    an fsync, else on the disk.

    A kill -9 loses as much or as little in either: the pages are the kernel's.
    """
    in_memory = (
        MEMORY.is_dir()
        and min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available) > ROOM
    )
    return tempfile.TemporaryDirectory(
        prefix="ocl-test-", dir=MEMORY if in_memory else None, ignore_cleanup_errors=True
    )
