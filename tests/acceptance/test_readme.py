"""The curl commands of the README, run as written against a source like the demo's."""

import json
import os
import re
import shlex
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.acceptance.site import concept_body, document, done, running
from tests.builders import until

pytestmark = [pytest.mark.servers, pytest.mark.slow]

README = Path(__file__).parents[2] / "README.md"
ADDRESS = "http://127.0.0.1:8000"
SOURCE = "/orgs/CDC/sources/ICD-10-CM/"


MAX_OUTPUT = 10_000
"""Most characters that one command may print on a terminal."""


def commands():
    """The shell commands of the tour, each on one line."""
    blocks = re.findall(r"```sh\n(.*?)```", README.read_text(), re.DOTALL)
    (tour,) = [block for block in blocks if "curl" in block]
    return tour.replace("\\\n", "").splitlines()


@pytest.fixture(scope="module")
def site():
    if not shutil.which("curl"):
        pytest.skip("curl is not on this machine")
    with running() as site:
        site.new_source("CDC", "ICD-10-CM", "A", "A00", "A01", "A02")
        for child in ("A00", "A01", "A02"):
            ends = {
                "from_concept_url": f"{SOURCE}concepts/A/",
                "to_concept_url": f"{SOURCE}concepts/{child}/",
            }
            done(
                site.client.post(
                    f"{SOURCE}mappings/", {"id": child, "map_type": "PARENT-CHILD", **ends}
                )
            )
        done(site.client.post(f"{SOURCE}versions/", {"id": "2026", "released": True}))
        site.export_ready(f"{SOURCE}2026/")
        last = done(site.client.post(f"{SOURCE}concepts/", concept_body("A03"))).json
        # The tour asks for changes since a whole second, which must be later than these.
        next_second = datetime.fromisoformat(last["updated_on"]) + timedelta(seconds=1)
        until(lambda: datetime.now(UTC) > next_second)
        yield site


@pytest.fixture(scope="module")
def tour(site, tmp_path_factory):
    """The HTTP status and the output of each command, and the folder in which they ran.

    The folder is the parent of `var`, as for a user who ran `make run`.
    """
    folder, home = site.home.parent, tmp_path_factory.mktemp("home")
    (home / ".curlrc").write_text('silent\nshow-error\nwrite-out = "%{stderr}%{http_code}"\n')

    def shell(script):
        ended = subprocess.run(
            ["sh", "-c", script],
            cwd=folder,
            env={**os.environ, "HOME": str(home)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, (script, ended.stderr)
        return ended

    variables, results = "", {}
    for command in commands():
        script = variables + command.replace(ADDRESS, site.url)
        if command.startswith("curl"):
            ended = shell(script)
            results[command] = (int(ended.stderr), ended.stdout)
        else:
            name = command.partition("=")[0]
            value = shell(f'{script}\nprintf %s "${name}"').stdout
            variables += f"{name}={shlex.quote(value)}\n"
    return results, folder


def output(tour, part):
    """The output of the one command that contains this text."""
    (found,) = [text for command, (_, text) in tour[0].items() if part in command]
    return found


def head_and_body(text):
    head, _, body = text.partition("\n\n")
    return head, json.loads(body)


def test_the_tour_has_eleven_commands_and_all_succeed(tour):
    results, _ = tour
    assert len(results) == 11
    assert {status for status, _ in results.values()} == {200, 201}


def test_no_command_floods_the_terminal(tour):
    results, _ = tour
    assert {command for command, (_, text) in results.items() if len(text) > MAX_OUTPUT} == set()
    for command in results:
        assert "limit=0" not in command.partition("#")[0]


def test_the_commands_print_what_the_readme_says(tour):
    source = json.loads(output(tour, "$S/  "))
    assert (source["id"], source["active_concepts"]) == ("ICD-10-CM", 5)
    assert [version["id"] for version in json.loads(output(tour, "released=true"))] == ["2026"]
    assert json.loads(output(tour, "2026/concepts/A00/"))["display_name"] == "Name of A00"
    head, page = head_and_body(output(tour, "2026/concepts/?limit=2"))
    assert "num_found: 4" in head.splitlines()
    assert "\nnext: http" in head
    assert len(page) == 2
    assert [found["id"] for found in json.loads(output(tour, "?q="))] == ["A00"]
    mappings = json.loads(output(tour, "mappings/?limit=2"))
    assert {mapping["from_concept_code"] for mapping in mappings} == {"A"}
    assert "exportStatus: ready" in output(tour, "curl -I").splitlines()
    assert json.loads(output(tour, "-X POST"))["id"] == "HOME"


def test_the_difference_contains_the_edit_of_the_tour_only(tour):
    assert json.loads(output(tour, "-X PUT"))["extras"] == {"reviewed": True}
    _, source = head_and_body(output(tour, "updatedSince"))
    assert [concept["id"] for concept in source["concepts"]] == ["A00"]
    assert source["concepts"][0]["extras"] == {"reviewed": True}


def test_the_downloaded_archive_has_the_name_of_the_release(tour):
    (archive,) = tour[1].glob("*.zip")
    assert archive.name.startswith("ICD-10-CM_2026.")
    assert len(json.loads(document(archive.read_bytes()))["concepts"]) == 4
