"""A worker whose export jobs die, or wait, once at a given step. The worker itself repairs them.

    python -m tests.jobs.dying_worker FOLDER

The file FOLDER/VERSION_ID contains the step (see tests/jobs/dying.py). With the prefix `wait ` the
job waits there until the file is deleted.
"""

import os
import signal
import sys
import time
from pathlib import Path

from jobs import export, job, tick, worker
from tests.jobs import dying


def dying_in(folder):
    """Patch the job. Each job runs in a fork, so what it patches does not affect later jobs."""
    build = export.build_export

    def build_export(version, token, since=None):
        file = folder / version
        if file.exists():
            step = file.read_text()
            if step.startswith("wait "):
                job.BEAT = 0.0
                dying.halt = lambda: wait_until_deleted(file)
            else:
                file.unlink()
                dying.halt = lambda: os.kill(os.getpid(), signal.SIGKILL)
            dying.STEPS[step.removeprefix("wait ")]()
        return build(version, token, since)

    export.build_export = build_export


def wait_until_deleted(file):
    while file.exists():
        time.sleep(0.05)


if __name__ == "__main__":
    dying_in(Path(sys.argv[1]))
    tick.CLEANING_PACE = 1.0
    worker.main()
