"""The measured servers, started as `make run` does, in a temporary folder with generated data."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPConnection
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from bench import data
from bench.measure import Effort
from config.settings import Settings
from oclapi import jsonio
from oclapi.access import Caller
from oclapi.app import build_services, prepare
from oclapi.imports import run as imports
from oclapi.imports.line_types import Options
from oclapi.imports.lines import lines_of
from oclapi.local.run import ROOT, RUN_CACHE_GB, WEB
from oclapi.local.servers import (
    HOST,
    Server,
    database_url,
    free_port,
    launch,
    queue_url,
    start_mongod,
    start_redis,
    wait_until,
)
from oclapi.model import Repository
from oclapi.store.store import Store

TOKEN = "0123456789abcdef0123456789abcdef01234567"
CALLER = Caller("root", is_staff=True, is_superuser=True)
WHOLE, TENTH, THOUSANDS, THOUSAND = "CIEL", "TENTH", "THOUSANDS", "THOUSAND"
"""The sources: one of the requested size, one with a tenth of it, one with 1,000 concepts and 1,000
mappings, and one with 1,000 rows in all.
"""

NONE: Mapping[str, str] = {}

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Stage:
    """The running servers. Child processes open their own connections."""

    folder: Path
    settings: Settings
    mongod: Server
    web: Server
    size: int  # concepts of WHOLE
    effort: Effort
    say: Say

    @property
    def token(self) -> str:
        return TOKEN

    def settings_of(self, database: str) -> Settings:
        """Return settings for another database on the same servers."""
        return self.settings.model_copy(update={"mongo_url": database_url(self.mongod, database)})

    def connect(self) -> "Client":
        return Client(self.web.port, self.token)


@contextmanager
def stage(size: int, effort: Effort, say: Say) -> Iterator[Stage]:
    """Start MongoDB, Redis and the web server in a temporary folder, which is removed at the end.

    Raises LocalError.
    """
    with (
        tempfile.TemporaryDirectory(prefix="ocl-bench-", ignore_cleanup_errors=True) as name,
        ExitStack() as stack,
    ):
        folder = Path(name)
        mongod = start_mongod(folder / "mongo", cache_gb=RUN_CACHE_GB)
        stack.callback(mongod.stop)
        redis = start_redis(folder / "redis")
        stack.callback(redis.stop)
        settings = Settings(
            mongo_url=database_url(mongod, "bench"),
            redis_url=queue_url(redis),
            home=str(folder),
            export_cache=str(folder / "exports"),
            secret_key="the-key-of-a-measurement-is-no-secret",
            root_token=TOKEN,
        )
        web = start_web(folder / "web", settings)
        stack.callback(web.stop)
        yield Stage(folder, settings, mongod, web, size, effort, say)


def start_web(folder: Path, settings: Settings, app: str = WEB[-1]) -> Server:
    """Start gunicorn with the configuration of `make run`, and its application or another."""
    port = free_port()
    process = launch(
        "web",
        [*WEB[:-1], app],
        folder,
        environ={**os.environ, **environ(settings), "PORT": str(port)},
        cwd=ROOT,
        port=port,
    )
    server = Server("web", f"http://{HOST}:{port}", port, folder, process)
    wait_until(server, _serves, patience=60)
    return server


def environ(settings: Settings) -> Mapping[str, str]:
    return {
        "MONGO_URL": settings.mongo_url,
        "REDIS_URL": settings.redis_url,
        "OCL_HOME": settings.home,
        "SOLR_URL": settings.solr_url,
        "OCL_EXPORT_CACHE": settings.export_cache,
        "OCL_SECRET_KEY": settings.secret_key,
        "OCL_ROOT_TOKEN": TOKEN,
    }


@contextmanager
def open_store(settings: Settings) -> Iterator[Store]:
    """Open a store for this process and create its indexes."""
    services = build_services(settings)
    with services.store.database.client:
        prepare(services)
        yield services.store


def write_lines(file: Path, size: int, **how: object) -> int:
    """Write generated data to a file. Returns the number of its rows."""
    rows = 0
    with file.open("wb") as out:
        for line in data.lines(size, **how):  # type: ignore[arg-type]
            out.write(line + b"\n")
            rows += b'"type":"Concept"' in line[:20] or b'"type":"Mapping"' in line[:20]
    return rows


def load(store: Store, file: Path, rows: int) -> float:
    """Import a file and return the seconds. Raises AssertionError when a line was not created."""
    report = imports.run(store, CALLER, lambda: lines_of(file), Options(), file.stem)
    wrong = {
        outcome: count
        for outcome, count in report.counts.items()
        if outcome not in ("created", "unchanged")
    }
    if wrong or report.processed < rows:
        raise AssertionError(
            f"the generated data was not imported: {dict(report.counts)} "
            f"{next(store.tasks.results(file.stem), None)}"
        )
    return report.seconds


def repo_of(store: Store, source: str) -> Repository:
    """Return one of the sources."""
    found = store.repos.by_url(data.source_url(source))
    if found is None:
        raise AssertionError(f"{source} was not loaded")
    return found


class Client:
    """A persistent connection of the superuser. Raises AssertionError for an error status."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = HTTPConnection(HOST, port, timeout=60)
        self._headers = {"Authorization": f"Token {token}"}

    def open(self) -> None:
        """Connect now, so that no request includes the time for it."""
        self._connection.connect()

    def close(self) -> None:
        self._connection.close()

    def send(self, method: str, path: str, body: object = None) -> bytes:
        """Send a request and return the body of the response."""
        return self.request(method, path, body)[1]

    def request(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] = NONE
    ) -> tuple[Message, bytes]:
        """Send a request and return the headers and the body of the response."""
        content = None if body is None else jsonio.dumps(body)
        kind = {} if body is None else {"Content-Type": "application/json"}
        self._connection.request(method, path, content, {**self._headers, **kind, **headers})
        response = self._connection.getresponse()
        read = response.read()
        _check(response.status, method, path, read)
        return response.headers, read

    def first_byte(self, path: str) -> None:
        """Return when the first byte of the body has arrived. Close the connection then."""
        self._connection.request("GET", path, headers=self._headers)
        response = self._connection.getresponse()
        _check(response.status, "GET", path, response.read(1))


def _check(status: int, method: str, path: str, read: bytes) -> None:
    if status >= 300 or status == 208:
        raise AssertionError(
            f"{method} {path} returned {status}: {read[:300].decode(errors='replace')}"
        )


def _serves(server: Server) -> bool:
    try:
        with urlopen(f"{server.url}/orgs/", timeout=10) as response:
            return bool(response.status == 200)
    except (URLError, OSError):  # not listening yet
        return False


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
