"""kill -9 and other failures of a running server while clients use it (contract section 17)."""

import json
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from oclapi import jsonio
from oclapi.local import run
from oclapi.local.servers import free_port
from tests.acceptance.invariants import check_repository
from tests.acceptance.site import (
    COMPLETE,
    NO_ANSWER,
    NO_SOLR,
    Client,
    concept_body,
    document,
    done,
    files,
    running,
)
from tests.builders import until
from tests.local.test_run import Launcher

pytestmark = [pytest.mark.servers, pytest.mark.slow]

WRITERS = 4
KILLS = 4


@pytest.fixture(scope="module")
def site():
    with running(OCL_EXPORT_SILENCE="2", OCL_EXPORT_LINK_LIFE="1", OCL_COMMIT_PATIENCE="5") as site:
        yield site


@dataclass
class Seen:
    """What the server said of each write; a write is known by the text that it stored."""

    yes: list[str] = field(default_factory=list)
    no: list[str] = field(default_factory=list)
    # no answer, or one that says that the outcome is unknown
    nothing: list[str] = field(default_factory=list)
    faults: list[tuple[str, int, bytes]] = field(default_factory=list)  # answers that must not be
    slowest: float = 0.0


class Writer(threading.Thread):
    """A client that creates, edits and renames concepts until it is stopped.

    It renames a concept that many mappings show.
    """

    def __init__(self, client, source, name):
        super().__init__(name=name)
        self.client, self.source, self.seen = client, source, Seen()
        self._stopped = threading.Event()
        self._texts = (f"{name}-{number}" for number in range(10**9))

    def run(self):
        while not self._stopped.is_set():
            made = next(self._texts)
            self.write(
                made,
                self.client.post,
                f"{self.source}concepts/",
                concept_body(made, extras={"written": made}),
            )
            if made in self.seen.yes:
                edited = next(self._texts)
                self.write(
                    edited,
                    self.client.put,
                    f"{self.source}concepts/{made}/",
                    {"extras": {"written": edited}},
                )
            renamed = next(self._texts)
            names = [{"name": renamed, "locale": "en"}]
            self.write(
                renamed,
                self.client.put,
                f"{self.source}concepts/HUB/",
                {"names": names, "extras": {"written": renamed}},
            )

    def write(self, text, send, url, body):
        try:
            answer = send(url, body)
        except NO_ANSWER:
            self.seen.nothing.append(text)
            self._stopped.wait(0.02)
            return
        self.seen.slowest = max(self.seen.slowest, answer.seconds)
        if answer.status in (200, 201):
            self.seen.yes.append(text)
        elif answer.status == 503 and "unknown" in answer.json["detail"]:
            self.seen.nothing.append(text)
        elif answer.status == 503 and answer.headers["Retry-After"]:
            self.seen.no.append(text)
        else:
            self.seen.faults.append((text, answer.status, answer.body[:500]))

    def stop(self):
        self._stopped.set()
        self.join()


@contextmanager
def writers(site, source):
    """Run writers in the background. Yields the responses that they saw."""
    threads = [
        Writer(Client(site.url, site.client.token, patience=60), source, f"w{number}")
        for number in range(WRITERS)
    ]
    for thread in threads:
        thread.start()
    try:
        yield [thread.seen for thread in threads]
    finally:
        for thread in threads:
            thread.stop()


def hub(site, name):
    """A source in which one concept is shown by forty mappings."""
    source = site.new_source("Kills", name, "HUB")
    spokes = [f"S{number}" for number in range(20)]
    site.load(
        *({**concept_body(spoke), "type": "Concept", "source_url": source} for spoke in spokes)
    )
    pairs = [*((spoke, "HUB") for spoke in spokes), *(("HUB", spoke) for spoke in spokes)]
    site.load(*(mapping_line(source, start, end) for start, end in pairs))
    return source


def mapping_line(source, start, end):
    ends = {
        "from_concept_url": f"{source}concepts/{start}/",
        "to_concept_url": f"{source}concepts/{end}/",
    }
    return {
        "type": "Mapping",
        "source_url": source,
        "id": f"{start}-{end}",
        "map_type": "SAME-AS",
        **ends,
    }


def acknowledged(seen):
    return sum(len(one.yes) for one in seen)


def check_writes(site, source, seen):
    """Check that acknowledged writes exist, refused ones do not, and nothing is half-written."""
    assert [fault for one in seen for fault in one.faults] == []
    with site.store() as store:
        number = store.repos.by_url(source).number
        check_repository(store, number)
        bodies = [
            jsonio.loads_own(row["body"])
            for row in store.database.rows.find({"repo": number, "kind": "concept"})
        ]
    written = [body["extras"]["written"] for body in bodies if "written" in body["extras"]]
    assert len(written) == len(set(written))
    yes, no, nothing = (
        {text for one in seen for text in getattr(one, kind)} for kind in ("yes", "no", "nothing")
    )
    assert yes <= set(written)
    assert not no & set(written)
    assert set(written) <= yes | nothing

    shown = done(site.client.get(f"{source}?{COMPLETE}"))
    assert len(shown.json["mappings"]) == 40
    newest = {body["id"]: body for body in sorted(bodies, key=lambda body: body["updated_on"])}
    assert {concept["id"]: concept["version"] for concept in shown.json["concepts"]} == {
        id: body["version"] for id, body in newest.items()
    }


def test_writes_survive_the_web_server_being_killed_again_and_again(site):
    source = hub(site, "web")
    with writers(site, source) as seen:
        for _ in range(KILLS):
            before = acknowledged(seen)
            until(lambda before=before: acknowledged(seen) > before + 20)
            site.kill("web")
            site.start("web")
        until(lambda: acknowledged(seen) > before + 40)
    check_writes(site, source, seen)
    assert any(one.nothing for one in seen)


def test_writes_survive_the_database_being_killed(site):
    source = hub(site, "mongod")
    with writers(site, source) as seen:
        for turn in range(2):
            before = acknowledged(seen)
            until(lambda before=before: acknowledged(seen) > before + 20)
            refused = [len(one.no) for one in seen]
            site.kill("mongod")
            # it stays away until all who wrote at that moment, and those who came later, were seen
            if turn:
                until(
                    lambda refused=refused: all(
                        len(one.no) > before + 1 for one, before in zip(seen, refused, strict=True)
                    )
                )
            site.start("mongod")
        until(lambda: acknowledged(seen) > before + 40)
    check_writes(site, source, seen)
    assert max(one.slowest for one in seen) < 15


def test_without_the_database_every_request_is_told_soon(site):
    source = hub(site, "away")
    with ThreadPoolExecutor(8) as pool, site.without("mongod"):
        calls = [
            (site.client.get, source),
            (site.anonymous.get, f"{source}concepts/"),
            (site.anonymous.get, f"{source}?{COMPLETE}"),
            (site.anonymous.head, f"{source}versions/"),
            (site.anonymous.get, f"{source}v1/export/"),
            (site.client.post, f"{source}concepts/", concept_body("refused")),
            (site.client.put, f"{source}concepts/HUB/", {"extras": {"refused": True}}),
            (site.client.post, f"{source}versions/", {"id": "refused"}),
        ]
        answers = [future.result() for future in [pool.submit(*call) for call in calls]]
    for call, answer in zip(calls, answers, strict=True):
        assert (answer.status, answer.headers["Content-Type"]) == (503, "application/json"), call
        assert int(answer.headers["Retry-After"]) >= 1
        assert call[0] == site.anonymous.head or "database" in answer.json["detail"]
        assert answer.seconds < 10, call
    after = done(site.client.get(f"{source}concepts/HUB/")).json
    assert "refused" not in after["extras"]
    assert site.client.get(f"{source}concepts/refused/").status == 404
    assert site.client.get(f"{source}refused/").status == 404
    with site.store() as store:
        check_repository(store, store.repos.by_url(source).number)


def test_while_the_database_hangs_reads_fail_soon_and_metrics_go_on(site):
    source = site.new_source("Kills", "hangs", "A", "B")
    done(site.client.post(f"{source}versions/", {"id": "v1"}))
    site.export_ready(f"{source}v1/")
    reads = [
        (site.anonymous.get, f"{source}concepts/A/"),
        (site.anonymous.get, f"{source}concepts/"),
        (site.anonymous.get, f"{source}concepts/?q=name"),
        (site.anonymous.get, f"{source}versions/"),
        (site.anonymous.get, f"{source}v1/"),
        (site.anonymous.get, f"{source}?{COMPLETE}"),
        (site.anonymous.head, f"{source}v1/export/"),
        (site.client.get, "/user/"),
    ]
    with ThreadPoolExecutor(len(reads) + 1) as pool:
        with site.paused("mongod"):
            edit = {"extras": {"written": "while it hangs"}}
            written = pool.submit(site.client.put, f"{source}concepts/A/", edit)
            for _ in range(2):
                answers = [pool.submit(*call) for call in reads]
                metrics = site.anonymous.get("/metrics")
                # 1 s, and a half for a busy machine
                assert metrics.status == 200 and metrics.seconds < 1.5
                assert b"oclapi_store_up 0.0" in metrics.body
                for call, answer in zip(reads, (each.result() for each in answers), strict=True):
                    assert answer.status == 503, call
                    assert answer.headers["Content-Type"] == "application/json"
                    assert int(answer.headers["Retry-After"]) >= 1
                    assert answer.seconds < 4, call  # 3 s, and one for a busy machine
        answer = written.result()
    until(lambda: all(send(path).status == 200 for send, path in reads))
    # Each process of the web server finds out for itself that the database is back.
    until(lambda: b"oclapi_store_up 1.0" in done(site.anonymous.get("/metrics")).body)
    extras = done(site.client.get(f"{source}concepts/A/")).json["extras"]
    if answer.status == 200:
        assert extras == edit["extras"]
    else:
        assert answer.status == 503
        assert not extras or "unknown" in answer.json["detail"]
    with site.store() as store:
        check_repository(store, store.repos.by_url(source).number)


def test_without_redis_all_but_exports_goes_on(site):
    source = site.new_source("Kills", "redis", "A")
    done(site.client.post(f"{source}versions/", {"id": "v1"}))
    site.export_ready(f"{source}v1/")
    with site.without("redis"):
        done(site.client.post(f"{source}concepts/", concept_body("B")))
        assert done(site.client.get(f"{source}concepts/?limit=1")).headers["num_found"] == "2"
        assert site.client.post(f"{source}versions/", {"id": "v2"}).status == 201
        assert site.client.head(f"{source}v2/export/").headers["exportStatus"] == "missing"
        assert done(site.client.get(f"{source}v2/")).json["is_processing"] is False
        asked = site.client.get(f"{source}v2/export/")
        assert (asked.status, asked.headers["exportStatus"]) == (503, "missing")
        assert int(asked.headers["Retry-After"]) >= 1
        assert site.client.post(f"{source}v2/export/").status == 503
        with site.store() as store:
            assert store.database.exports.count_documents({"job": {"$exists": True}}) == 0
        assert len(concepts_in(done(site.anonymous.get(f"{source}v1/export/")))) == 1
    until(lambda: site.client.head(f"{source}v2/export/").status == 200)
    assert len(concepts_in(done(site.anonymous.get(f"{source}v2/export/")))) == 2


def concepts_in(answer):
    return jsonio.loads_own(document(answer.body))["concepts"]


@pytest.fixture
def released(site):
    """Return the URL of a version and the name of its archive in the cache.

    The archive has over 100,000 bytes, since half of its content is random.
    """
    source = site.new_source("Kills", f"released{time.monotonic_ns()}")
    noise = random.Random(1)
    bodies = (
        concept_body(f"C{number}", extras={"noise": noise.randbytes(40).hex()})
        for number in range(3000)
    )
    site.load(*({**body, "type": "Concept", "source_url": source} for body in bodies))
    done(site.client.post(f"{source}versions/", {"id": "v1"}))
    site.export_ready(f"{source}v1/")
    done(site.client.delete(f"{source}v1/export/"))
    return f"{source}v1/"


def failed(site, version):
    """Ask for the export and wait until that has failed; the reason."""
    assert site.client.get(f"{version}export/").status == 208
    seen = until(lambda: site.client.head(f"{version}export/").headers["exportError"])
    asked = site.client.get(f"{version}export/")
    assert (asked.status, asked.headers["exportStatus"], asked.headers["exportError"]) == (
        500,
        "failed",
        seen,
    )
    assert seen in asked.json["detail"]
    assert site.client.head(f"{version}export/").status == 204
    return seen


def made_after_all(site, version):
    """Whoever asks for it by POST need not wait until the failure is forgotten."""
    assert site.client.post(f"{version}export/").status == 202
    assert len(concepts_in(site.exported(version))) == 3000
    assert site.client.head(f"{version}export/").headers["exportError"] is None


def test_a_cache_that_can_not_be_written_is_told(site, released):
    cache = Path(site.settings.export_cache)
    aside = cache.rename(cache.with_name("aside"))
    cache.write_text("a file where a folder should be")
    try:
        assert failed(site, released) == "the archive could not be written: Not a directory"
    finally:
        cache.unlink()
        aside.rename(cache)
    made_after_all(site, released)


def test_a_full_disk_is_told_and_nothing_half_written_stays(site, released):
    before = files(site.settings.export_cache)
    with file_limit(site.processes("worker"), 64 * 1024):
        assert failed(site, released) == "the archive could not be written: File too large"
    assert files(site.settings.export_cache) == before
    made_after_all(site, released)


@contextmanager
def file_limit(processes, size):
    """No file of these processes, and of those that they start, grows over so many bytes."""
    limits = [process.rlimit(psutil.RLIMIT_FSIZE) for process in processes]
    for process, (_, hard) in zip(processes, limits, strict=True):
        process.rlimit(psutil.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        for process, limit in zip(processes, limits, strict=True):
            with suppress(psutil.NoSuchProcess):  # one that ran a job ends with it
                process.rlimit(psutil.RLIMIT_FSIZE, limit)


def test_an_export_survives_the_worker_being_killed(site, released):
    part = half_written(site, released)
    site.start("worker")
    # nobody asks again: HEAD starts nothing
    until(lambda: site.client.head(f"{released}export/").status == 200)
    assert len(concepts_in(site.exported(released))) == 3000
    until(lambda: part not in files(site.settings.export_cache))
    assert not [name for name in files(site.settings.export_cache) if name.endswith(".part")]


def half_written(site, version):
    """Request the export, kill -9 the worker while it writes, and return the file left behind."""
    cache = site.settings.export_cache
    for _ in range(10):
        before = set(files(cache))
        done(site.client.post(f"{version}export/"))
        new = until(lambda before=before: set(files(cache)) - before)
        site.kill("worker")
        left = [name for name in new if name.endswith(".part") and Path(cache, name).exists()]
        if left:
            return left[0]
        site.start("worker")  # it was faster than we: once more
        until(lambda: site.client.head(f"{version}export/").status == 200)
    pytest.fail("the worker was always faster")


def test_the_launcher_brings_a_killed_worker_back_and_its_export_is_made(tmp_path):
    names = ("PATH", "HOME", "LD_LIBRARY_PATH")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    environ = {
        **kept,
        "OCL_HOME": str(tmp_path),
        "PORT": str(free_port()),
        "SOLR_URL": NO_SOLR,
        "OCL_EXPORT_SILENCE": "2",
    }
    launcher = Launcher(environ, web=run.WEB, worker=run.WORKER)
    try:
        url = launcher.line("address").split()[1].rstrip("/")
        launcher.ready()
        token = json.loads((tmp_path / "secrets.json").read_text())["OCL_ROOT_TOKEN"]
        client = Client(url, token)
        done(client.post("/orgs/", {"id": "Org", "name": "Org"}))
        done(client.post("/orgs/Org/sources/", {"id": "S", "name": "S"}))
        done(client.post("/orgs/Org/sources/S/concepts/", concept_body("A")))
        kill_family(
            next(
                child
                for child in psutil.Process(launcher.process.pid).children()
                if "jobs.worker" in child.cmdline()
            )
        )
        done(client.post("/orgs/Org/sources/S/versions/", {"id": "v1"}))
        assert launcher.line("worker") == "worker ended with code -9, it restarts in 1 s"
        until(lambda: client.head("/orgs/Org/sources/S/v1/export/").status == 200)
    finally:
        code, errors = launcher.end()
        launcher.process.stdout.close()
        launcher.process.stderr.close()
    assert (code, errors) == (0, "")


def kill_family(process):
    for each in [process, *process.children(recursive=True)]:
        each.kill()
