"""A worker: `python -m jobs.worker`. One process makes exports and one ticks; two keep the search
index where SOLR_URL names one.

This one starts them again when they die. The parent only waits. It opens no connection, so its
children are born clean; all they need is imported before, so they are born fast.
"""

import ctypes
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

from flask import Flask
from redis import Redis
from rq import SimpleWorker, Worker
from rq.worker import BaseWorker, WorkerStatus

import jobs.export
import jobs.index  # noqa: F401 - a job's process is a copy of this one: what is imported here costs it nothing
from config.logging import configure
from config.settings import BadSetting, Settings
from jobs import tick
from jobs.queue import EDITS, EXPORTS, INDEX
from oclapi.app import build_services, create_app
from oclapi.services import Services

log = logging.getLogger(__name__)

TOLD_TO_END = (signal.SIGTERM, signal.SIGINT)
PAUSE = 1.0  # seconds before a process that died is started again
LAST_CALL = 2.0  # seconds between two looks at a worker that was told to end and has no job


class Patient(BaseWorker):
    """Finds a queue that was away soon after it is back, and ends when it is told to.

    RQ ends a worker that waits for a job by an exception out of its signal handler. One that comes
    while a destructor runs is swallowed there, and the worker would wait on for ever: so a thread
    looks whether it came.
    """

    max_connection_wait_time = 2.0
    told_to_end = False

    def work(self, *args: Any, **kwargs: Any) -> bool:
        ended = threading.Event()
        threading.Thread(target=self._make_sure, args=(ended,), name="end", daemon=True).start()
        try:
            return bool(super().work(*args, **kwargs))
        finally:
            ended.set()

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        self.told_to_end = True
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]

    def _make_sure(self, ended: threading.Event) -> None:
        idle = 0
        while not ended.wait(LAST_CALL):
            idle = idle + 1 if self.told_to_end and self.get_state() != WorkerStatus.BUSY else 0
            if idle == 2:  # at the first look it may be on its way out
                os._exit(0)


class PatientWorker(Patient, Worker):
    """Runs each job in a process of its own, which is where MongoDB is connected."""


class IndexWorker(Patient, SimpleWorker):
    """Runs its jobs itself: they are short and many, and keep their connections."""


def main() -> None:
    """Run until SIGTERM or SIGINT; then the job that runs is finished first."""
    try:
        settings = Settings.from_environ(os.environ)
        configure(settings.log_level)
        services = build_services(settings)
    except BadSetting as error:
        sys.exit(f"oclapi: {error}")
    app = create_app(services)
    roles = {"queue": lambda: run_queue(app, settings), "tick": lambda: run_tick(services)}
    if settings.solr_url:
        roles |= {
            "index": lambda: run_index(app, settings, INDEX),
            "edits": lambda: run_index(app, settings, EDITS),
        }
    keep_running(roles)


def run_queue(app: Flask, settings: Settings) -> None:
    """Make exports one after the other."""
    with app.app_context():
        PatientWorker([EXPORTS], connection=Redis.from_url(settings.redis_url)).work()


def run_index(app: Flask, settings: Settings, queue: str) -> None:
    """Keep the search index, one repository after the other."""
    with app.app_context():
        IndexWorker([queue], connection=Redis.from_url(settings.redis_url)).work()


def run_tick(services: Services) -> None:
    parent, stopped = os.getppid(), False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    tick.run(services, lambda: stopped or os.getppid() != parent)


def keep_running(roles: Mapping[str, Callable[[], None]]) -> None:
    """Run each role in a process of its own until this one is told to end; start again what ends
    before.
    """
    running: dict[int, str] = {}
    stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        for pid in running:
            os.kill(pid, signal.SIGTERM)

    for number in TOLD_TO_END:
        signal.signal(number, stop)
    for role in roles:
        _spawn(role, roles[role], running)
    while running:
        pid, status = os.wait()
        signal.pthread_sigmask(signal.SIG_BLOCK, TOLD_TO_END)
        role = running.pop(pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, TOLD_TO_END)
        if not stopping:
            log.error(
                "process ended and is started again",
                extra={"role": role, "code": os.waitstatus_to_exitcode(status)},
            )
            time.sleep(PAUSE)
        if not stopping:
            _spawn(role, roles[role], running)


def _spawn(role: str, work: Callable[[], None], running: dict[int, str]) -> None:
    """Start a child and note it. No signal comes between the two, nor before the child has
    forgotten its parent's handlers.
    """
    parent = os.getpid()
    signal.pthread_sigmask(signal.SIG_BLOCK, TOLD_TO_END)
    pid = os.fork()
    if pid:
        running[pid] = role
        signal.pthread_sigmask(signal.SIG_UNBLOCK, TOLD_TO_END)
        return
    try:
        for number in TOLD_TO_END:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, TOLD_TO_END)
        _end_with(parent)
        work()
    except BaseException:  # the copy of the parent must not go on as a second parent
        log.exception("worker process failed")
        os._exit(1)
    os._exit(0)


def _end_with(parent: int) -> None:
    """Be told to end when the parent is killed (Linux: PR_SET_PDEATHSIG is 1; elsewhere only the
    tick looks for itself).
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, int(signal.SIGTERM))
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    main()
