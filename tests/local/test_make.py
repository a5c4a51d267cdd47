"""The Makefile's targets, as somebody types them, in a checkout that has its packages already."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from pymongo import MongoClient

from oclapi.local.servers import free_port
from tests.builders import until
from tests.folders import servers_folder

pytestmark = pytest.mark.servers

ROOT = Path(__file__).parents[2]
MAKE = shutil.which("make") or "make"
NO_SOLR = "http://127.0.0.1:9/solr"


@pytest.fixture(scope="module")
def checkout():
    """The program's files, a `.venv` with the packages of this test run, and no `var`."""
    with servers_folder() as folder:
        here = Path(folder)
        for name in ("Makefile", "oclapi", "jobs", "search", "config", "wsgi.py"):
            (here / name).symlink_to(ROOT / name)
        (here / ".venv").mkdir()
        for name in ("bin", "lib", "pyvenv.cfg"):
            (here / ".venv" / name).symlink_to(Path(sys.prefix) / name)
        (here / ".venv" / ".installed").touch()
        yield here


@pytest.fixture
def environ(checkout):
    kept = {
        name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH") if name in os.environ
    }
    return {**kept, "PORT": str(free_port()), "SOLR_URL": NO_SOLR, "OCL_ROOT_TOKEN": "a" * 40}


def made(checkout, environ, *words, **how):
    return subprocess.run(
        [MAKE, *words],
        cwd=checkout,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        **how,
    )


def told(terminal, text):
    """Read what a terminal shows until it shows this text, or its end; what it showed."""
    shown = ""
    while text not in shown:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # nobody is at the other end any more
            piece = b""
        if not piece:
            return shown
        shown += piece.decode(errors="replace")
    return shown


def test_a_server_is_run_filled_and_stopped_as_the_readme_says(checkout, environ):
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(checkout)
        os.execve(MAKE, [MAKE, "run"], environ)
    try:
        shown = told(terminal, "Ctrl-C stops everything")
        assert f"address  http://127.0.0.1:{environ['PORT']}/" in shown, shown
        family = psutil.Process(process).children(recursive=True)
        assert any("mongod" in child.name() for child in family)

        lines = [
            {"type": "Organization", "id": "HOME", "name": "Home"},
            {"type": "Source", "owner": "HOME", "id": "S", "name": "S"},
        ]
        (checkout / "first.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        concept = {"id": "A", "concept_class": "Test", "names": [{"name": "A", "locale": "en"}]}
        first = made(checkout, environ, "import", "FILE=first.jsonl")
        assert (first.returncode, "created" in first.stdout) == (0, True), first.stderr
        where = ("TYPE=Concept", "SOURCE=/orgs/HOME/sources/S/")
        second = made(
            checkout, environ, "import", "FILE=-", *where, input=json.dumps(concept) + "\n"
        )
        assert second.returncode == 0, second.stderr
        listed = made(checkout, environ, "user", "ARGS=list")
        assert "root" in listed.stdout, listed.stderr
        asked = ["sh", "-c", '. var/addresses.env; printf %s "$MONGO_URL"']
        url = subprocess.run(
            asked, cwd=checkout, env=environ, capture_output=True, text=True, check=True
        ).stdout
        with MongoClient(url) as client:
            assert (
                client.get_default_database().rows.find_one({"id": "A"})["url"]
                == "/orgs/HOME/sources/S/concepts/A/"
            )

        os.write(terminal, b"\x03")

        assert "stopped" in told(terminal, "\0")
        os.waitpid(process, 0)
        until(
            lambda: (
                not any(
                    child.is_running() and child.status() != psutil.STATUS_ZOMBIE
                    for child in family
                )
            )
        )
    finally:
        os.close(terminal)
        if psutil.pid_exists(process):
            os.kill(process, signal.SIGHUP)


def test_without_a_file_an_import_says_what_it_needs(checkout, environ):
    answer = made(checkout, environ, "import")
    assert answer.returncode != 0
    assert answer.stderr.startswith("make import: FILE=... is needed")


def test_an_old_python_is_one_line_before_anything_is_installed(tmp_path, environ):
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copytree(ROOT / "config" / "requirements", tmp_path / "config" / "requirements")
    old = tmp_path / "old-python"
    old.write_text(
        f'#!/bin/sh\nshift\nexec {sys.executable} -c "import sys; sys.version_info = (3, 10, 0); $1"\n'
    )
    old.chmod(0o755)

    answer = made(tmp_path, environ, "install", f"PYTHON={old}")

    assert answer.returncode != 0
    assert answer.stderr.startswith("Python 3.11 or newer is needed: make PYTHON=...\n")
    assert not (tmp_path / ".venv").exists()
