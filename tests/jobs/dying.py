"""A job process that stops at a given step of an export, and waits to be killed.

    python -m tests.jobs.dying STEP VERSION_ID TOKEN

It prints a line when it has reached the step. The settings are read from the environment.
"""

import os
import signal
import sys
from pathlib import Path

from config.settings import Settings
from jobs import export
from oclapi.exports import archive
from oclapi.store.exports import Exports
from tests.jobs.conftest import build, in_context


def halt():
    sys.stdout.write("reached\n")
    sys.stdout.flush()
    signal.pause()


def before(owner, name):
    original = getattr(owner, name)

    def halted(*args, **kwargs):
        halt()
        return original(*args, **kwargs)

    setattr(owner, name, halted)


def after(owner, name):
    original = getattr(owner, name)

    def halted(*args, **kwargs):
        result = original(*args, **kwargs)
        halt()
        return result

    setattr(owner, name, halted)


def at_batch(count):
    original = export._reported
    remaining = count

    def batches(*args, **kwargs):
        nonlocal remaining
        for batch in original(*args, **kwargs):
            remaining -= 1
            if remaining == 0:
                halt()
            yield batch

    export._reported = batches


STEPS = {
    "it is claimed": lambda: before(Exports, "claim"),
    "the version is read": lambda: after(Exports, "claim"),
    "the first row": lambda: at_batch(1),
    "half of the concepts": lambda: at_batch(2),
    "the mappings": lambda: at_batch(4),
    "the tar header": lambda: before(archive, "tar_header"),
    "the hash": lambda: before(archive, "_sha256"),
    "the file is on disk": lambda: before(os, "fsync"),
    "the file has its name": lambda: before(Path, "rename"),
    "the export names the file": lambda: before(Exports, "publish"),
    "the job ends": lambda: after(Exports, "publish"),
}

if __name__ == "__main__":
    step, version_id, token = sys.argv[1:]
    STEPS[step]()
    with in_context(build(Settings.from_environ(os.environ))):
        export.build_export(version_id, token)
