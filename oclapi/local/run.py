"""`make run`: start the databases, the worker and the web server, watch them, and stop them.

The state is in OCL_HOME (var): mongo/ redis/ solr/ exports/ mail/ log/, secrets.json (created
once), addresses.env (the addresses and settings of the running servers, for the command line) and
lock (one run per folder). Only its owner can read it. No process manager is used, because the
common ones stop everything when one process dies, and kill a database after a few seconds.
"""

import fcntl
import json
import os
import secrets
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import psutil
import redis
import rq

import config
from config.settings import BadSetting, Settings, variable
from oclapi.errors import OclError
from oclapi.local.progress import progress
from oclapi.local.servers import (
    HOST,
    FolderInUse,
    LocalError,
    Server,
    ServerFailed,
    check_port,
    database_url,
    launch,
    queue_url,
    start_mongod,
    start_redis,
    try_lock,
    wait_until,
    write_private,
)
from oclapi.local.solr import solr_jars, start_solr
from oclapi.migration import migrate, prepare
from oclapi.store.formats import FORMAT
from oclapi.store.store import open_store
from search.synonyms import synonyms

# The folder of config, jobs, search and wsgi.py, in a checkout and in an installed wheel.
ROOT = Path(config.__file__).resolve().parents[1]
WEB: Sequence[str] = (
    sys.executable,
    "-m",
    "gunicorn",
    "--config",
    str(ROOT / "config" / "gunicorn.py"),
    "wsgi:app",
)
WORKER: Sequence[str] = (sys.executable, "-m", "jobs.worker")

SECRETS, ADDRESSES = "secrets.json", "addresses.env"
FOLDERS = ("mongo", "redis", "solr", "exports", "mail", "log", "metrics", "demo")
RUN_CACHE_GB = 1.0
# Seconds before each restart. A process that has run for STEADY seconds starts at the first again.
PAUSES = (1, 2, 4, 8, 15, 30)
STEADY = 120.0  # longer than a start may take

Report = Callable[[str], None]


@dataclass(slots=True)
class Part:
    """A process of the run, and how to restart it at its address.

    The run ends when a `vital` process ends.
    """

    server: Server
    restart: Callable[[], Server]
    vital: bool = False
    patience: float = 30.0  # seconds before it is killed when it is stopped
    deaths: int = 0
    since: float = 0.0  # time.monotonic() of its last start
    due: float | None = None  # time.monotonic() of its next start, after it has ended


@dataclass(frozen=True, slots=True)
class LocalRun:
    """A complete running server. `environ` is the environment of its processes."""

    url: str  # http://127.0.0.1:PORT, without a slash at the end
    token: str  # of the first superuser
    home: Path
    environ: Mapping[str, str]
    parts: Sequence[Part]

    @property
    def settings(self) -> Settings:
        return Settings.from_environ(self.environ)


@contextmanager
def local_servers(environ: Mapping[str, str], report: Report = print) -> Iterator[LocalRun]:
    """Start the databases, the worker and the web server, and stop them at the end.

    Databases that the environment names (MONGO_URL, REDIS_URL, SOLR_URL) are not started. Call it
    from the main thread: the processes end with the thread that started them. `report` is called
    with a line when something takes long or is missing. Until the end, files that this process and
    its children create are for their owner only. Raises BadSetting, and LocalError when a part
    can't run; the other parts are stopped then. Raises
    WrongFormat and StoreUnavailable when the database can't be used.
    """
    settings = Settings.from_environ(environ)
    port = settings.port
    home = Path(settings.home).resolve()
    with ExitStack() as stack:
        stack.callback(os.umask, os.umask(0o077))
        home.mkdir(parents=True, exist_ok=True)
        stack.enter_context(_only_run(home))
        # Earlier versions made them readable by others. OCL_HOME itself may have other content.
        for folder in (home / name for name in FOLDERS):
            if folder.is_dir() and not folder.is_symlink():
                folder.chmod(0o700)
        # Temporary files of a killed run.
        for left in (*home.glob(f".{SECRETS}.*"), *home.glob(f".{ADDRESSES}.*")):
            left.unlink()
        # Fail before the databases start. The port is checked again when web starts.
        check_port(port, "web")
        synonyms()
        parts: list[Part] = []

        def add(
            start: Callable[[int | None], Server], vital: bool = False, patience: float = 30.0
        ) -> Server:
            server = start(None)
            part = Part(server, lambda: start(server.port), vital, patience, since=time.monotonic())
            parts.append(part)
            stack.callback(lambda: part.server.stop(part.patience))
            return server

        ours = _secrets(home, environ)
        ours["OCL_HOME"] = str(home)
        ours["OCL_EXPORT_CACHE"] = environ.get("OCL_EXPORT_CACHE") or str(home / "exports")
        ours["OCL_MAIL"] = environ.get("OCL_MAIL") or str(home / "mail")
        ours["PORT"] = str(port)
        log = home / "log"
        if not environ.get("MONGO_URL"):
            ours["MONGO_URL"] = database_url(
                add(lambda at: start_mongod(home / "mongo", RUN_CACHE_GB), vital=True), "oclapi"
            )
        if not environ.get("REDIS_URL"):
            ours["REDIS_URL"] = queue_url(add(lambda at: start_redis(home / "redis")))
        if not environ.get("SOLR_URL"):
            try:
                jars = solr_jars(home / "solr", report)
                ours["SOLR_URL"] = add(lambda at: start_solr(home / "solr", at, jars)).url
            except LocalError as error:
                report(f"Solr could not be started, the built-in search is used: {error}")
        given = {**environ, **ours, "PYTHONUNBUFFERED": "1"}
        _prepare(Settings.from_environ(given), not environ.get("MONGO_URL"), report)
        stack.enter_context(_addresses(home, given))
        redis_url = given["REDIS_URL"]
        add(
            lambda at: _start_program(
                "worker",
                WORKER,
                log,
                given,
                0,
                lambda server: _works(server, redis_url),
                alone=False,
            ),
            patience=10,
        )
        add(lambda at: _start_program("web", WEB, log, given, port, _serves))
        yield LocalRun(f"http://{HOST}:{port}", given["OCL_ROOT_TOKEN"], home, given, parts)


def _prepare(settings: Settings, own: bool, report: Report) -> None:
    """Check the format of the database. One of this run's `own` is migrated, whatever its size."""
    store = open_store(settings)
    with store.database.client:
        if own and store.formats.number() < FORMAT:
            report(f"migrating the database to the format {FORMAT}")
            with progress("migration", store.formats.rows(), store.formats.migrated()) as advance:
                migrate(store, advance)
        else:
            prepare(store, settings.migrate_at_start)


def with_files(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment with the settings in `.env` and in secret files. Raises BadSetting."""
    return {**environ, **Settings.load(environ).to_environ()}


def watch(run: LocalRun, report: Report = print) -> None:
    """Restart processes that end, after growing pauses, for ever.

    Raises ServerFailed when a vital process has ended.
    """
    while True:
        for part in run.parts:
            _check(part, report, time.monotonic())
        time.sleep(0.2)


def _check(part: Part, report: Report, now: float) -> None:
    """Restart a process if it has ended and its pause is over. `now` is a time.monotonic()."""
    if part.server.alive():
        return
    name, code = part.server.name, part.server.process.returncode
    if part.vital:
        raise ServerFailed(
            f"{name} ended with code {code}; everything stops (see {part.server.folder / name}.log)"
        )
    if part.due is None:
        part.deaths = 0 if now - part.since > STEADY else part.deaths
        pause = PAUSES[min(part.deaths, len(PAUSES) - 1)]
        part.deaths, part.due = part.deaths + 1, now + pause
        report(f"{name} ended with code {code}, it restarts in {pause} s")
    elif now >= part.due:
        part.due, part.since = None, now
        try:
            part.server = part.restart()
            report(f"{name} runs again")
        except LocalError as error:  # counts as one more death at the next check
            report(f"{name} does not start: {error}")


def _start_program(
    name: str,
    command: Sequence[str],
    log: Path,
    environ: Mapping[str, str],
    port: int,
    answers: Callable[[Server], bool],
    alone: bool = True,
) -> Server:
    process = launch(name, command, log, environ=environ, cwd=ROOT, alone=alone, port=port)
    server = Server(name, f"http://{HOST}:{port}", port, log, process)
    wait_until(server, answers, patience=60)
    return server


def _serves(server: Server) -> bool:
    try:
        with urlopen(f"{server.url}/orgs/", timeout=10) as response:
            return bool(response.status == 200)
    except (URLError, OSError):  # not listening yet, or without a database
        return False


def _works(server: Server, redis_url: str) -> bool:
    """Return whether one of its processes is registered with the queue."""
    try:
        pids = {
            server.pid,
            *(child.pid for child in psutil.Process(server.pid).children(recursive=True)),
        }
        with redis.Redis.from_url(redis_url, socket_timeout=5) as connection:
            return any(worker.pid in pids for worker in rq.Worker.all(connection=connection))
    except (redis.RedisError, psutil.NoSuchProcess):  # not ready yet
        return False


@contextmanager
def _only_run(home: Path) -> Iterator[None]:
    """Lock `home`/lock, until this process ends at the latest."""
    with open(home / "lock", "a+") as lock:
        if not try_lock(lock.fileno()):
            lock.seek(0)
            raise FolderInUse(
                f"another run (process {lock.read().strip() or 'unknown'}) uses {home}; "
                "stop it or set OCL_HOME"
            )
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
        fcntl.flock(lock.fileno(), fcntl.LOCK_UN)


def _secrets(home: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the superuser's token and the signing key.

    They come from the environment, or from `home`/secrets.json, which the first run creates.
    """
    created = {"OCL_ROOT_TOKEN": secrets.token_hex(20), "OCL_SECRET_KEY": secrets.token_hex(32)}
    file = home / SECRETS
    if not file.exists():
        write_private(file, json.dumps(created, indent=1) + "\n")
    try:
        kept = json.loads(file.read_text())
        values = {name: environ.get(name) or str(kept[name]) for name in created}
    except (ValueError, KeyError, TypeError) as error:
        raise LocalError(
            f"{file} can't be read as JSON with {' and '.join(created)}: "
            "restore it, or remove it to get new ones"
        ) from error
    Settings.from_environ(values)
    return values


@contextmanager
def _addresses(home: Path, given: Mapping[str, str]) -> Iterator[None]:
    """Write the addresses and settings of the servers to `home`/addresses.env during the run.

    A shell reads the file; variables that are set there already win. It does not contain the web
    server's port and processes, which no command needs, nor the superuser's token and the mail
    server with its password.
    """
    file = home / ADDRESSES
    withheld = {"root_token", "mail", "port", "web_concurrency"}
    written = {variable(name) for name in Settings.model_fields if name not in withheld}
    lines = (
        f'[ -n "${{{name}:-}}" ] || {name}={shlex.quote(value)}\n'
        for name, value in given.items()
        if name in written and value
    )
    write_private(file, "".join(lines))
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def stop_on_signals() -> None:
    """Raise KeyboardInterrupt on the first Ctrl-C, SIGTERM or SIGHUP, and ignore the next ones."""

    def stop(number: int, frame: Any) -> None:
        for each in stopping:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    stopping = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for each in stopping:
        signal.signal(each, stop)


def main(environ: Mapping[str, str]) -> int:
    """Run until stopped and return the exit code. The token is printed to a terminal only.

    The code is 1 when a part can't run. One line on stderr gives the reason then.
    """
    stop_on_signals()

    def report(line: str) -> None:
        print(line, flush=True)

    try:
        report("starting")
        given = with_files(environ)
        with local_servers(given, report) as run:
            report(f"address  {run.url}/")
            if sys.stdout.isatty():  # Other output may be a log that others read.
                shown = run.token
            elif given.get("OCL_ROOT_TOKEN"):
                shown = "as set in OCL_ROOT_TOKEN"
            else:
                shown = f"in {run.home / SECRETS}"
            report(f"token    {shown}  (superuser {run.settings.root_user})")
            report(f"state    {run.home}, logs in {run.home / 'log'}")
            report("Ctrl-C stops everything")
            watch(run, report)
    except KeyboardInterrupt:
        print("stopped", flush=True)
    except (LocalError, BadSetting, OclError, OSError) as error:
        print(f"make run: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
