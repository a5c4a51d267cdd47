"""The demo: its ICD-10-CM lines, its checks of archives, and a whole run on a part of them."""

import hashlib
import io
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import zipfile
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from urllib.request import urlopen

import pytest

from oclapi import jsonio
from oclapi.imports.line_types import Options
from oclapi.imports.lines import line_of
from oclapi.local import demo, icd10cm, progress
from oclapi.local.demo import DemoFailed, Hashed, Text
from oclapi.local.run import local_servers
from oclapi.local.servers import free_port

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def listed():
    return icd10cm.codes()


def test_every_code_is_there_under_an_id_of_its_own(listed):
    assert len(listed) == 98_505
    assert len({code.id for code in listed}) == 98_505


def test_a_parent_comes_before_its_children_and_only_chapters_have_none(listed):
    met, roots = set(), 0
    for code in listed:
        above = icd10cm.parent_id(code)
        assert above is None or above in met
        roots += above is None
        met.add(code.id)
    assert roots == 22


def test_a_block_and_its_only_category_are_two_entries(listed):
    found = {code.id: code for code in listed if code.code == "B10"}
    assert set(found) == {"B10-B10", "B10"}
    assert [icd10cm.concept(found[each])["concept_class"] for each in ("B10-B10", "B10")] == [
        "Block",
        "Category",
    ]
    assert [icd10cm.parent_id(found[each]) for each in ("B10-B10", "B10")] == ["1", "B10-B10"]


def test_titles_inclusion_terms_and_notes_become_names_and_descriptions(listed):
    [diabetes] = [icd10cm.concept(code) for code in listed if code.id == "E10"]
    assert diabetes["names"][0] == {
        "name": "Type 1 diabetes mellitus",
        "locale": "en",
        "locale_preferred": True,
        "name_type": "FULLY_SPECIFIED",
    }
    assert {
        "description": "brittle diabetes (mellitus)",
        "locale": "en",
        "description_type": "Includes",
    } in diabetes["descriptions"]
    assert {entry["description_type"] for entry in diabetes["descriptions"]} == {
        "Includes",
        "Excludes1",
    }
    [botulism] = [icd10cm.concept(code) for code in listed if code.id == "A05.1"]
    assert [(name["name"], name["name_type"]) for name in botulism["names"]] == [
        ("Botulism food poisoning", "FULLY_SPECIFIED"),
        ("Botulism NOS", "Synonym"),
        ("Classical foodborne intoxication due to Clostridium botulinum", "Synonym"),
    ]


def test_every_line_is_one_that_an_import_takes(listed):
    for line in icd10cm.lines(listed):
        read = line_of(1, jsonio.dumps(line), Options())
        assert read.settled is None
        assert isinstance(read.item.create, dict), read


class Drop:
    """A file that returns three bytes at a time, so that characters and entries are split."""

    def __init__(self, data):
        self._file = io.BytesIO(data)

    def read(self, size):
        return self._file.read(min(size, 3))


def test_a_document_is_read_entry_by_entry_however_it_is_cut():
    concepts = [{"id": "A", "name": "ärztliche \U0001f600 ]},["}, {"id": "B"}]
    document = (
        b'{"id":"v1",\n"concepts":[\n'
        + b",\n".join(map(jsonio.dumps, concepts))
        + b'],\n"mappings":[]}'
    )
    text = Text(Hashed(Drop(document)))
    assert text.until('"concepts":[').rstrip(", \n") == '{"id":"v1"'
    assert list(text.entries()) == concepts
    text.until('"mappings":[')
    assert list(text.entries()) == []


def test_a_document_that_ends_early_is_refused():
    text = Text(Hashed(Drop(b'{"concepts":[{"id":"A"}')))
    text.until('"concepts":[')
    with pytest.raises(DemoFailed, match="truncated"):
        list(text.entries())


@pytest.fixture(scope="module")
def part(listed):
    """Enough for every kind of content: synonyms, descriptions, extras, and the parents of all."""
    wanted = {"4", "E08-E13", "E10", "E10.1", "E10.10", "E10.32", "E10.321", "E10.3"}
    return [code for number, code in enumerate(listed) if number < 150 or code.id in wanted]


def archive_of(folder, part, change=lambda document: None):
    document = {
        "id": "2026",
        "released": True,
        "active_concepts": len(part),
        "concepts": [
            {
                "extras": {},
                **icd10cm.concept(code),
                "display_name": icd10cm.concept(code)["names"][0]["name"],
            }
            for code in part
        ],
        "mappings": [
            {"id": end, "map_type": "PARENT-OF", "from_concept_code": start, "to_concept_code": end}
            for start, end in sorted(demo.mapped(part))
        ],
    }
    document = jsonio.loads_own(jsonio.dumps(document))
    change(document)
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("export.json", jsonio.dumps(document))
    return folder / "a.zip"


def concept_with(document, field, more_than=0):
    return next(concept for concept in document["concepts"] if len(concept[field]) > more_than)


CHANGES = {
    "a concept less": (lambda document: document["concepts"].pop(), "lacks 1 concepts"),
    "a concept twice": (
        lambda document: document["concepts"].append(document["concepts"][0]),
        "differs from the input",
    ),
    "another title": (
        lambda document: document["concepts"][3].update(display_name="?"),
        "differs from the input",
    ),
    "another name": (
        lambda document: document["concepts"][3]["names"][0].update(name="?"),
        "differs from the input",
    ),
    "another class": (
        lambda document: document["concepts"][3].update(concept_class="?"),
        "differs from the input",
    ),
    "a synonym less": (
        lambda document: concept_with(document, "names", 1)["names"].pop(),
        "differs from the input",
    ),
    "a note less": (
        lambda document: concept_with(document, "descriptions")["descriptions"].pop(),
        "differs from the input",
    ),
    "other extras": (
        lambda document: concept_with(document, "extras").update(extras={}),
        "differs from the input",
    ),
    "a mapping less": (
        lambda document: document["mappings"].pop(),
        "lacks 0 concepts and 1 mappings",
    ),
    "another map type": (
        lambda document: document["mappings"][0].update(map_type="?"),
        "differs from the input",
    ),
    "other counts": (
        lambda document: document.update(active_concepts=1),
        "not labelled as release 2026",
    ),
}


@pytest.mark.parametrize(
    ("change", "said"),
    [(lambda document: None, ""), *CHANGES.values()],
    ids=["no change", *CHANGES],
)
def test_an_archive_is_compared_entry_by_entry(part, tmp_path, change, said):
    file = archive_of(tmp_path, part, change)
    loaded = {code.id: demo.content(icd10cm.concept(code)) for code in part}, demo.mapped(part)
    if not said:
        assert len(demo.check(file, *loaded)) == 64
        return
    with pytest.raises(DemoFailed, match=said):
        demo.check(file, *loaded)


# The whole way


MAIN = """import os, sys
from oclapi.local import demo, icd10cm, progress
wanted = set(sys.argv[1].split(","))
icd10cm.codes = lambda real=icd10cm.codes: [code for code in real() if code.id in wanted]
sys.exit(demo.main(os.environ))
"""


@pytest.fixture
def environ(tmp_path):
    return {
        "OCL_HOME": str(tmp_path / "var"),
        "PORT": str(free_port()),
        "SOLR_URL": "http://127.0.0.1:9/solr",
        "PATH": "/usr/bin:/bin",
    }


def start(environ, part):
    command = [sys.executable, "-c", MAIN, ",".join(code.id for code in part)]
    return subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(process):
    out, errors = process.communicate(timeout=120)
    return process.returncode, out, errors


@pytest.mark.servers
# They are skipped when this machine can't run them.
@pytest.mark.usefixtures("mongo_server", "redis_server")
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_whole_way_twice_the_second_time_changes_nothing(part, environ):
    code, first, errors = ended(start(environ, part))
    assert (code, errors) == (0, "")
    code, second, errors = ended(start(environ, part))
    assert (code, errors) == (0, "")

    total = 2 + len(part) + len(demo.mapped(part))
    assert f"{total} processed: {total} created" in first
    assert f"loading: {total:,} of {total:,}, " in first
    assert f"exporting: {total - 2:,} of {total - 2:,}, " in first
    assert re.search(r"[\d.]+ s, [\d,]+ rows/s\n", first)
    assert "2026 created" in first
    assert "nothing has changed" not in first
    archives = re.findall(r"archive   (\S+)  ([\d,]+) bytes(.*)\n +sha256 ([0-9a-f]{64})", first)
    assert [Path(file).suffix for file, *_ in archives] == [".zip", ".tgz"]
    for file, size, again, sha256 in archives:
        data = Path(file).read_bytes()
        assert (f"{len(data):,}", again, hashlib.sha256(data).hexdigest()) == (size, "", sha256)
        assert f"bytes: {len(data):,} of {len(data):,}, " in first

    assert f"{total} processed: {total} unchanged" in second
    assert "2026 existed already" in second
    assert "nothing has changed: everything existed already" in second
    assert re.findall("sha256 ([0-9a-f]{64})", first) == re.findall("sha256 ([0-9a-f]{64})", second)
    assert len(list(Path(environ["OCL_HOME"], "demo").iterdir())) == 2

    assert "\nmake run   " in second
    tried = re.findall(r"^  curl (?:-OJ )?'?([^'\n]+?)'?$", second, re.MULTILINE)
    assert len(tried) == 5
    with local_servers(environ, lambda line: None) as server:
        for url in tried:
            with urlopen(url) as answer:
                assert answer.status == 200
        with urlopen(f"{server.url}{icd10cm.SOURCE_URL}") as answer:
            source = json.load(answer)
        assert (source["active_concepts"], source["active_mappings"], source["versions"]) == (
            len(part),
            total - 2 - len(part),
            2,
        )


@pytest.mark.servers
# They are skipped when this machine can't run them.
@pytest.mark.usefixtures("mongo_server", "redis_server")
def test_a_demo_that_is_stopped_says_so_and_one_that_can_not_start_why(part, environ):
    stopped = start(environ, part)
    assert stopped.stdout.readline() == "starting the servers\n"
    stopped.send_signal(signal.SIGINT)
    assert ended(stopped) == (130, "stopped; the next make demo continues\n", "")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(environ["PORT"])))
        taken.listen()
        code, _, errors = ended(start(environ, part))
    assert (code, errors.count("\n")) == (1, 1)
    assert errors.startswith(f"make demo: port {environ['PORT']} for web is in use")


# How far a work is


def test_without_a_terminal_progress_is_a_line_now_and_then_and_one_at_the_end(monkeypatch, capsys):
    moments = iter([0, 1, 4.9, 5, 5, 6, 7, 7])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(moments))
    with progress.progress("loading", 3000) as told:
        for done in (100, 500, 1000, 2000, 3000):
            told(done)
    assert (
        capsys.readouterr().out
        == "loading: 1,000 of 3,000, 200/s\nloading: 3,000 of 3,000, 429/s\n"
    )


def test_the_wait_for_an_export_tells_what_the_server_tells(monkeypatch):
    told = []
    answers = iter(
        [
            (208, b""),
            (208, b'{"processed": 3}'),
            (208, b""),
            (208, b'{"processed": null}'),
            (200, b""),
        ]
    )

    @contextmanager
    def call(*asked):
        status, body = next(answers)
        yield status, {"Retry-After": "0"}, io.BytesIO(body)

    monkeypatch.setattr(demo, "call", call)
    monkeypatch.setattr(demo, "progress", lambda title, total: nullcontext(told.append))
    assert demo.wait_for_export(None, 10) >= 0
    assert told == [3, 0, 10]


def all_of(terminal):
    """Read a terminal whose other side is closed; a single read may return only a part."""
    chunks = []
    with suppress(OSError):  # Linux reports the closed side as an error
        while chunk := os.read(terminal, 65536):
            chunks.append(chunk)
    return b"".join(chunks)


def test_on_a_terminal_progress_is_a_bar(monkeypatch):
    ours, theirs = pty.openpty()
    with open(theirs, "w") as terminal:
        monkeypatch.setattr("sys.stdout", terminal)
        monkeypatch.setenv("TERM", "xterm")
        with progress.progress("loading", 3000) as told:
            told(1000)
            told(3000)
    shown = all_of(ours).decode()
    os.close(ours)
    assert "loading" in shown
    assert "\u2501" in shown
    assert "3000/3000" in shown
