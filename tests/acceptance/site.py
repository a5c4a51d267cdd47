"""A complete server as `make run` starts it, in a temporary folder, and clients for it."""

import io
import json
import os
import tarfile
import time
import zipfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from email.message import Message
from functools import cached_property
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from oclapi import jsonio
from oclapi.access import Caller
from oclapi.imports.line_types import Options
from oclapi.imports.run import run as run_import
from oclapi.local.run import local_servers
from oclapi.local.servers import free_port
from oclapi.store.database import Database
from oclapi.store.store import Store
from tests.builders import pause, until
from tests.conftest import _started
from tests.folders import servers_folder

NO_SOLR = "http://127.0.0.1:9/solr"  # named, so none is started
ROOT = Caller("root", is_staff=True, is_superuser=True)
COMPLETE = "includeConcepts=true&includeMappings=true&includeRetired=true&limit=0"
NO_ANSWER = (OSError, HTTPException)
"""What a client sees of a server that is killed: neither a yes nor a no."""


@dataclass(frozen=True)
class Answer:
    """One answer, read to its end."""

    status: int
    headers: Message
    body: bytes
    seconds: float

    @cached_property
    def json(self):
        return json.loads(self.body)


class Client:
    """A client of the API.

    Each request opens a new connection, so any process of the server may answer it.
    """

    def __init__(self, url, token=None, patience=60):
        self.url, self.token, self._patience = url, token, patience

    def call(self, method, path, body=None, **headers):
        """Send a request. Header names are given with `_` for `-`.

        Raises one of NO_ANSWER when there is no response within `patience` seconds.
        """
        begun = time.monotonic()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            sent["Authorization"] = f"Token {self.token}"
        if body is not None:
            sent["Content-Type"] = "application/json"
        address = urlsplit(self.url)
        connection = HTTPConnection(address.hostname, address.port, timeout=self._patience)
        try:
            connection.request(method, path, None if body is None else jsonio.dumps(body), sent)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read(), time.monotonic() - begun)
        finally:
            connection.close()

    def get(self, path, **headers):
        return self.call("GET", path, **headers)

    def head(self, path, **headers):
        return self.call("HEAD", path, **headers)

    def post(self, path, body=None):
        return self.call("POST", path, body)

    def put(self, path, body):
        return self.call("PUT", path, body)

    def delete(self, path):
        return self.call("DELETE", path)


class Site:
    """A running server: its processes (mongod, redis, worker, web), its store, its superuser."""

    def __init__(self, run):
        self._run = run
        self.url, self.home, self.environ, self.settings = (
            run.url,
            run.home,
            run.environ,
            run.settings,
        )
        self.client = Client(run.url, run.token)
        self.anonymous = Client(run.url)

    @contextmanager
    def store(self):
        """Return a new connection to the store.

        It reads what is on the server's disk, not what a client has in memory.
        """
        database = Database(self.settings.mongo_url, patience=60)
        try:
            yield Store(database, self.settings.secret_key)
        finally:
            database.client.close()

    def part(self, name):
        return next(part for part in self._run.parts if part.server.name == name)

    def processes(self, name):
        """The process and all that it started, the eldest first."""
        eldest = psutil.Process(self.part(name).server.pid)
        return [eldest, *eldest.children(recursive=True)]

    def kill(self, name):
        """kill -9 of all its processes."""
        self.part(name).server.kill()

    def start(self, name):
        """Start it again on its port and its folder."""
        part = self.part(name)
        part.server = part.restart()

    @contextmanager
    def without(self, name):
        """Killed before the block, there again after it."""
        self.kill(name)
        try:
            yield
        finally:
            self.start(name)

    @contextmanager
    def paused(self, name):
        """As a machine that hangs: its processes are there and do nothing."""
        stopped = self.processes(name)
        for process in stopped:
            pause(process.pid)
        try:
            yield
        finally:
            for process in reversed(stopped):
                process.resume()

    def log(self, name):
        """The entries of a program's log that are JSON."""
        lines = (self.home / "log" / f"{name}.log").read_bytes().splitlines()
        return [json.loads(line) for line in lines if line.startswith(b"{")]

    def load(self, *lines):
        """Import lines; all of them are taken."""
        with self.store() as store:
            report = run_import(
                store,
                ROOT,
                lambda: map(jsonio.dumps, lines),
                Options(),
                f"load-{time.monotonic_ns()}",
            )
        assert not report.refused, report.message

    def new_source(self, owner, source, *concepts, **fields):
        """Create a source with concepts of these ids over HTTP and return its URL.

        A missing organisation is created too.
        """
        if self.client.get(f"/orgs/{owner}/").status == 404:
            done(self.client.post("/orgs/", {"id": owner, "name": owner}))
        done(self.client.post(f"/orgs/{owner}/sources/", {"id": source, "name": source, **fields}))
        url = f"/orgs/{owner}/sources/{source}/"
        for concept in concepts:
            done(self.client.post(f"{url}concepts/", concept_body(concept)))
        return url

    def exported(self, version_url):
        """Wait for the export as a subscriber does, and download the ZIP.

        It sends HEAD and waits at most as long as Retry-After says.
        """
        self.export_ready(version_url)
        return done(self.client.get(f"{version_url}export/"))

    def export_ready(self, version_url, patience=60):
        def ready():
            answer = self.client.head(f"{version_url}export/")
            assert answer.status in (200, 208), (answer.status, str(answer.headers))
            assert answer.status == 200 or 1 <= int(answer.headers["Retry-After"]) <= 60
            return answer if answer.status == 200 else None

        return until(ready, patience)


@contextmanager
def running(**environ):
    """Start a site with these settings, or skip the test. Call it from the main thread."""
    names = ("PATH", "HOME", "LD_LIBRARY_PATH")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    with servers_folder() as folder, ExitStack() as stack:
        given = {
            **kept,
            "OCL_HOME": f"{folder}/var",
            "PORT": str(free_port()),
            "SOLR_URL": NO_SOLR,
            **environ,
        }
        yield Site(_started(lambda: stack.enter_context(local_servers(given, lambda line: None))))


def done(answer):
    """The answer, which must be a success."""
    assert answer.status < 300, (answer.status, answer.body[:2000])
    return answer


def concept_body(concept, **fields):
    return {
        "id": concept,
        "concept_class": "Test",
        "names": [{"name": f"Name of {concept}", "locale": "en"}],
        **fields,
    }


def document(archive):
    """The bytes of export.json in an archive, the only entry."""
    if archive.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(archive)) as packed:
            assert packed.namelist() == ["export.json"]
            assert packed.testzip() is None
            return packed.read("export.json")
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        assert tar.getnames() == ["export.json"]
        return tar.extractfile("export.json").read()


def files(folder):
    """The names of all files below a folder."""
    return sorted(
        str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file()
    )
