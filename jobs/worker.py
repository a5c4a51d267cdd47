"""The worker: `python -m jobs.worker`.

One process builds exports. Another one builds only urgent exports, so that they don't wait for a
large one. A third one runs the tick. Two processes index when SOLR_URL is set. Another one runs
before them and prepares the database. The parent restarts
those that die. It opens no connection, so that no child inherits one, and it imports all they need,
so that they start fast.
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
import jobs.index  # noqa: F401 - imported before the fork
from config.logging import configure
from config.settings import BadSetting, Settings
from jobs import tick
from jobs.queue import EDITS, EXPORTS, INDEX, URGENT_EXPORTS
from oclapi import migration
from oclapi.app import build_services, create_app
from oclapi.errors import StoreUnavailable, WrongFormat
from oclapi.services import Services

log = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
PAUSE = 1.0  # seconds before a dead process is restarted
CHECK = 2.0  # seconds between checks of a worker that was stopped and has no job


class Patient(BaseWorker):
    """Reconnects soon to a queue that was down, and stops reliably.

    RQ stops a waiting worker by an exception in its signal handler. An exception that is raised
    while a destructor runs is lost, and the worker would wait for ever. So a thread checks that a
    stopped worker ends.
    """

    max_connection_wait_time = 2.0
    stop_requested = False

    def work(self, *args: Any, **kwargs: Any) -> bool:
        ended = threading.Event()
        threading.Thread(target=self._ensure_stop, args=(ended,), name="end", daemon=True).start()
        try:
            return bool(super().work(*args, **kwargs))
        finally:
            ended.set()

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        self.stop_requested = True
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]

    def _ensure_stop(self, ended: threading.Event) -> None:
        idle = 0
        while not ended.wait(CHECK):
            idle = idle + 1 if self.stop_requested and self.get_state() != WorkerStatus.BUSY else 0
            if idle == 2:  # at the first check it may be ending
                os._exit(0)


class PatientWorker(Patient, Worker):
    """Runs each job in a new process, which opens its own connection to MongoDB."""


class IndexWorker(Patient, SimpleWorker):
    """Runs many short jobs in its own process, so that they share connections."""


def main() -> None:
    """Run until SIGTERM or SIGINT. A running job is finished first."""
    os.umask(0o077)  # archives and mail are for their owner only
    try:
        settings = Settings.load()
        configure(settings.log_level)
        services = build_services(settings)
    except BadSetting as error:
        sys.exit(f"oclapi: {error}")
    _run_first(lambda: prepare(services))
    app = create_app(services)
    roles = {
        "exports": lambda: run_exports(app, settings, EXPORTS),
        "urgent exports": lambda: run_exports(app, settings, URGENT_EXPORTS),
        "tick": lambda: run_tick(services),
    }
    if settings.solr_url:
        roles |= {
            "index": lambda: run_index(app, settings, INDEX),
            "edits": lambda: run_index(app, settings, EDITS),
        }
    keep_running(roles)


def prepare(services: Services) -> None:
    """Prepare the database as soon as it can be reached.

    Ends the process when the database has another format.
    """
    while True:
        try:
            return migration.prepare(services.store, services.settings.migrate_at_start)
        except StoreUnavailable as error:
            log.warning("the worker waits for the database", extra={"reason": error.detail})
            time.sleep(PAUSE)
        except WrongFormat as error:
            sys.stderr.write(f"oclapi: {error}\n")
            sys.stderr.flush()
            os._exit(1)


def run_exports(app: Flask, settings: Settings, queue: str) -> None:
    """Build exports, one after the other."""
    with app.app_context():
        PatientWorker([queue], connection=Redis.from_url(settings.redis_url)).work()


def run_index(app: Flask, settings: Settings, queue: str) -> None:
    """Run index jobs, one after the other."""
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
    """Run each role in its own process until this one is stopped. Dead processes are restarted."""
    running: dict[int, str] = {}
    stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        for pid in running:
            os.kill(pid, signal.SIGTERM)

    for number in STOP_SIGNALS:
        signal.signal(number, stop)
    for role in roles:
        _spawn(role, roles[role], running)
    while running:
        pid, status = os.wait()
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        role = running.pop(pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        if not stopping:
            log.error(
                "process ended and is restarted",
                extra={"role": role, "code": os.waitstatus_to_exitcode(status)},
            )
            time.sleep(PAUSE)
        if not stopping:
            _spawn(role, roles[role], running)


def _run_first(work: Callable[[], None]) -> None:
    """Run this in a child and wait for it. When it fails, this process ends too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _spawn("first", work, {})
    _, status = os.wait()
    if status:
        sys.exit(1)


def _spawn(role: str, work: Callable[[], None], running: dict[int, str]) -> None:
    """Start a child and record it.

    Signals are blocked in between, and until the child has reset its parent's handlers.
    """
    parent = os.getpid()
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    pid = os.fork()
    if pid:
        running[pid] = role
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        return
    try:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        _end_with(parent)
        work()
    except BaseException:  # the child must never continue as a second parent
        log.exception("worker process failed")
        os._exit(1)
    os._exit(0)


def _end_with(parent: int) -> None:
    """Receive SIGTERM when the parent is killed.

    It works on Linux (PR_SET_PDEATHSIG is 1). Elsewhere only the tick checks its parent.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, int(signal.SIGTERM))
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    main()
