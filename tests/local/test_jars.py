"""Downloads of jars, from a Maven repository of the test's own."""

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from oclapi.local import jars, solr
from oclapi.local.jars import DownloadFailed, Jar, WrongJar
from oclapi.local.servers import HOST

CONTENTS = {"a-1.0.jar": b"first", "b-2.0-tests.jar": b"second"}


class Repository:
    """A Maven repository: `files` by path, and the paths of the jars that were requested."""

    def __init__(self, url):
        self.url = url
        self.files = {
            "/org/example/a/1.0/a-1.0.jar": CONTENTS["a-1.0.jar"],
            "/org/example/b/2.0/b-2.0-tests.jar": CONTENTS["b-2.0-tests.jar"],
        }
        self.requested = []
        self.refusals = 0  # so many requests for jars are refused before they are served


@pytest.fixture
def repository(monkeypatch, tmp_path):
    """It is the one that jgo's configuration names, as for a mirror."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            content = repository.files.get(self.path)
            if self.path.endswith(".jar"):
                repository.requested.append(self.path.rpartition("/")[2])
                if repository.refusals:
                    repository.refusals -= 1
                    content = None
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, format, *args):
            pass

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        repository = Repository(f"http://{HOST}:{server.server_port}")
        config = tmp_path / "jgo.conf"
        config.write_text(f"[repositories]\ncentral = {repository.url}\n")
        monkeypatch.setenv("JGO_CONFIG_FILE", str(config))
        monkeypatch.setattr(jars, "PAUSES", (0.0, 0.0))
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield repository
        server.shutdown()
        thread.join()


@pytest.fixture
def pinned():
    def jar(coordinates, file):
        return Jar(coordinates, file, hashlib.sha256(CONTENTS[file]).hexdigest())

    return [
        jar("org.example:a:jar:1.0", "a-1.0.jar"),
        jar("org.example:b:jar:tests:2.0", "b-2.0-tests.jar"),
    ]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "solr" / "lib-1"


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_jars_are_downloaded_from_the_repository_that_jgo_is_configured_for(
    repository, pinned, folder
):
    jars.fetch(pinned, folder)
    assert contents(folder) == CONTENTS
    jars.verify(pinned, folder)
    assert not folder.with_suffix(".part").exists()


def test_jars_that_are_there_are_not_downloaded_again(repository, pinned, folder):
    jars.fetch(pinned, folder)
    jars.fetch(pinned, folder)
    assert sorted(repository.requested) == sorted(CONTENTS)


def test_two_processes_at_once_download_each_jar_once(repository, pinned, folder):
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda number: jars.fetch(pinned, folder), range(2)))
    assert contents(folder) == CONTENTS
    assert sorted(repository.requested) == sorted(CONTENTS)


def test_a_request_that_fails_is_repeated(repository, pinned, folder):
    repository.refusals = 2
    jars.fetch(pinned[:1], folder)
    assert repository.requested == ["a-1.0.jar"] * 3


def test_an_interrupted_download_continues_with_the_jars_that_are_missing(
    repository, pinned, folder
):
    content = repository.files.pop("/org/example/b/2.0/b-2.0-tests.jar")
    with pytest.raises(DownloadFailed, match=r"^could not download b-2.0-tests.jar: [^\n]+$"):
        jars.fetch(pinned, folder)
    assert not folder.exists()
    half = folder.with_suffix(".part") / "downloads/org/example/b/2.0/b-2.0-tests.jar"
    half.parent.mkdir(parents=True, exist_ok=True)
    half.write_bytes(content[:3])
    repository.files["/org/example/b/2.0/b-2.0-tests.jar"] = content
    repository.requested.clear()

    jars.fetch(pinned, folder)

    assert repository.requested == ["b-2.0-tests.jar"]
    assert contents(folder) == CONTENTS


def test_a_downloaded_jar_with_another_hash_is_refused(repository, pinned, folder):
    repository.files["/org/example/a/1.0/a-1.0.jar"] = b"other"
    with pytest.raises(WrongJar, match=r"^the downloaded a-1.0.jar has SHA-256 d[^\n]+$"):
        jars.fetch(pinned, folder)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda folder: (folder / "a-1.0.jar").write_bytes(b"other"), "a-1.0.jar has another SHA"),
        (lambda folder: (folder / "a-1.0.jar").unlink(), "a-1.0.jar is missing"),
        (lambda folder: (folder / "c.jar").write_bytes(b"c"), "c.jar is not in the lock file"),
    ],
    ids=["changed", "missing", "unknown"],
)
def test_a_folder_of_jars_that_was_changed_is_refused(repository, pinned, folder, change, reason):
    jars.fetch(pinned, folder)
    change(folder)
    with pytest.raises(WrongJar, match=rf"^{folder}/{reason}[^\n]+$"):
        jars.verify(pinned, folder)


def test_resolving_pins_a_package_and_what_it_needs(repository, tmp_path):
    pom = (
        "<project><modelVersion>4.0.0</modelVersion><groupId>org.example</groupId>"
        "<artifactId>{}</artifactId><version>{}</version><dependencies>{}</dependencies></project>"
    )
    needs = (
        "<dependency><groupId>org.example</groupId><artifactId>{}</artifactId>"
        "<version>{}</version><scope>{}</scope></dependency>"
    )
    repository.files |= {
        "/org/example/a/1.0/a-1.0.pom": pom.format(
            "a", "1.0", needs.format("c", "3.0", "runtime") + needs.format("d", "4.0", "test")
        ).encode(),
        "/org/example/c/3.0/c-3.0.pom": pom.format("c", "3.0", "").encode(),
        "/org/example/c/3.0/c-3.0.jar": b"third",
    }
    found = jars.resolve(["org.example:a:1.0!"], tmp_path / "cache")
    assert found == [
        Jar("org.example:a:jar:1.0", "a-1.0.jar", hashlib.sha256(b"first").hexdigest()),
        Jar("org.example:c:jar:3.0", "c-3.0.jar", hashlib.sha256(b"third").hexdigest()),
    ]


def test_a_lock_file_is_read_as_it_was_written(pinned, tmp_path):
    jars.write_lock(tmp_path / "jars.lock", pinned[::-1])
    assert jars.read_lock(tmp_path / "jars.lock") == pinned


def test_the_lock_file_of_solr_pins_its_packages_and_one_version_of_jetty():
    pinned = jars.read_lock(solr.LOCK)
    found = {jar.coordinates.replace(":jar:", ":") for jar in pinned}
    assert {name.removesuffix("!") for name in solr.PACKAGES} <= found
    jetty = {name for name in found if name.startswith("org.eclipse.jetty:jetty-")}
    versions = {name.rpartition(":")[2] for name in jetty if "servlet-api" not in name}
    assert versions == {"10.0.26"}
    assert len({jar.file for jar in pinned}) == len(pinned)
