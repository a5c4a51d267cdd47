"""The targets of the Makefile, in a checkout whose packages are installed already."""

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
    """A folder with the program's files and the packages of this test run, but without `var`."""
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


def run_make(checkout, environ, *arguments, **options):
    return subprocess.run(
        [MAKE, *arguments],
        cwd=checkout,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )


def read_until(terminal, text):
    """Return the output of a terminal up to this text, or up to its end."""
    output = ""
    while text not in output:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # The process at the other end has ended.
            chunk = b""
        if not chunk:
            return output
        output += chunk.decode(errors="replace")
    return output


def test_make_run_starts_a_server_that_the_other_targets_use_and_ctrl_c_stops_it(checkout, environ):
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(checkout)
        os.execve(MAKE, [MAKE, "run"], environ)
    try:
        output = read_until(terminal, "Ctrl-C stops everything")
        assert f"address  http://127.0.0.1:{environ['PORT']}/" in output, output
        assert f"token    {environ['OCL_ROOT_TOKEN']}  (superuser root)" in output
        processes = psutil.Process(process).children(recursive=True)
        assert any("mongod" in child.name() for child in processes)

        lines = [
            {"type": "Organization", "id": "HOME", "name": "Home"},
            {"type": "Source", "owner": "HOME", "id": "S", "name": "S"},
        ]
        (checkout / "first.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        concept = {"id": "A", "concept_class": "Test", "names": [{"name": "A", "locale": "en"}]}
        first = run_make(checkout, environ, "import", "FILE=first.jsonl")
        assert (first.returncode, "created" in first.stdout) == (0, True), first.stderr
        defaults = ("TYPE=Concept", "SOURCE=/orgs/HOME/sources/S/")
        second = run_make(
            checkout, environ, "import", "FILE=-", *defaults, input=json.dumps(concept) + "\n"
        )
        assert second.returncode == 0, second.stderr
        listed = run_make(checkout, environ, "user", "ARGS=list")
        assert "root" in listed.stdout, listed.stderr
        print_url = ["sh", "-c", '. var/addresses.env; printf %s "$MONGO_URL"']
        url = subprocess.run(
            print_url, cwd=checkout, env=environ, capture_output=True, text=True, check=True
        ).stdout
        with MongoClient(url) as client:
            assert (
                client.get_default_database().rows.find_one({"id": "A"})["url"]
                == "/orgs/HOME/sources/S/concepts/A/"
            )

        os.write(terminal, b"\x03")

        assert "stopped" in read_until(terminal, "\0")
        os.waitpid(process, 0)
        until(
            lambda: (
                not any(
                    child.is_running() and child.status() != psutil.STATUS_ZOMBIE
                    for child in processes
                )
            )
        )
    finally:
        os.close(terminal)
        if psutil.pid_exists(process):
            os.kill(process, signal.SIGHUP)


def test_an_import_without_a_file_says_that_it_needs_one(checkout, environ):
    result = run_make(checkout, environ, "import")
    assert result.returncode != 0
    assert result.stderr.startswith("make import: FILE=... is needed")


def test_an_old_python_is_reported_in_one_line_before_anything_is_installed(tmp_path, environ):
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copytree(ROOT / "config" / "requirements", tmp_path / "config" / "requirements")
    old = tmp_path / "old-python"
    old.write_text(
        "#!/bin/sh\n"
        "shift\n"
        f'exec {sys.executable} -c "import sys; sys.version_info = (3, 10, 0); $1"\n'
    )
    old.chmod(0o755)

    result = run_make(tmp_path, environ, "install", f"PYTHON={old}")

    assert result.returncode != 0
    assert result.stderr.startswith("Python 3.11 or newer is needed: make PYTHON=...\n")
    assert not (tmp_path / ".venv").exists()
