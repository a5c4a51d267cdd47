"""A worker whose processes of export jobs die, or wait, at one moment of one run each: no hand but
its own heals them.

python -m tests.jobs.dying_worker FOLDER       FOLDER/VERSION_ID names the moment
(tests/jobs/dying.py), or begins with `wait `
"""

import os
import signal
import sys
import time
from pathlib import Path

from jobs import export, tick, worker
from tests.jobs import dying


def dying_in(folder):
    """Patch the job; its process is a copy of this one, so what is patched in it is gone with it."""
    build = export.build_export

    def build_export(version_id, token):
        mark = folder / version_id
        if mark.exists():
            moment = mark.read_text()
            if moment.startswith("wait "):
                export.BEAT = 0.0
                dying.halt = lambda: wait_until_gone(mark)
            else:
                mark.unlink()
                dying.halt = lambda: os.kill(os.getpid(), signal.SIGKILL)
            dying.MOMENTS[moment.removeprefix("wait ")]()
        build(version_id, token)

    export.build_export = build_export


def wait_until_gone(mark):
    while mark.exists():
        time.sleep(0.05)


if __name__ == "__main__":
    dying_in(Path(sys.argv[1]))
    tick.CLEANING_PACE = 1.0
    worker.main()
