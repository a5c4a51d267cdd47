"""The README's curl lines, typed as they stand there, against a source with the ids of the demo's."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.site import concept_body, document, done, running

pytestmark = [pytest.mark.servers, pytest.mark.slow]

README = Path(__file__).parents[2] / "README.md"
ADDRESS = "http://127.0.0.1:8000"
SOURCE = "/orgs/CDC/sources/ICD-10-CM/"


def lines():
    """The shell lines of the README that speak to a running server."""
    blocks = re.findall(r"```sh\n(.*?)```", README.read_text(), re.DOTALL)
    (found,) = [block for block in blocks if "curl" in block]
    return found.splitlines()


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
        done(site.client.post(f"{SOURCE}concepts/", concept_body("A03")))
        yield site


@pytest.fixture(scope="module")
def typed(site, tmp_path_factory):
    """What each line printed and its HTTP status, by the line; and the folder in which they ran,
    the parent of `var`.
    """
    folder, home = site.home.parent, tmp_path_factory.mktemp("home")
    (home / ".curlrc").write_text('silent\nshow-error\nwrite-out = "%{stderr}%{http_code}"\n')
    known, done_by = "", {}
    for line in lines():
        if not line.startswith("curl"):
            known += line.replace(ADDRESS, site.url) + "\n"
            continue
        script = known + line.replace(ADDRESS, site.url)
        ended = subprocess.run(
            ["sh", "-c", script],
            cwd=folder,
            env={**os.environ, "HOME": str(home)},
            capture_output=True,
            check=False,
        )
        assert ended.returncode == 0, (line, ended.stderr)
        done_by[line] = (int(ended.stderr), ended.stdout.decode())
    return done_by, folder


def test_there_are_ten_lines_and_all_succeed(typed):
    answers, _ = typed
    assert len(answers) >= 9
    assert {status for status, _ in answers.values()} == {200, 201}


def printed(typed, part):
    """The body that the one line printed which holds these words."""
    (found,) = [text for line, (_, text) in typed[0].items() if part in line]
    return found


def test_the_lines_print_what_the_readme_says(typed):
    assert json.loads(printed(typed, "$S/  ")) | {
        "id": "ICD-10-CM",
        "active_concepts": 5,
    } == json.loads(printed(typed, "$S/  "))
    assert [version["id"] for version in json.loads(printed(typed, "released=true"))] == ["2026"]
    assert json.loads(printed(typed, "concepts/A00/"))["display_name"] == "Name of A00"
    headers, _, body = printed(typed, "concepts/?limit=2").partition("\r\n\r\n")
    assert "num_found: 4" in headers.splitlines()
    assert "\r\nnext: http" in headers
    assert len(json.loads(body)) == 2
    assert {
        mapping["from_concept_code"] for mapping in json.loads(printed(typed, "mappings/?limit=2"))
    } == {"A"}
    assert "exportStatus: ready" in printed(typed, "curl -I").splitlines()
    assert len(json.loads(printed(typed, "updatedSince").partition("\r\n\r\n")[2])["concepts"]) == 5
    assert json.loads(printed(typed, "-X POST"))["id"] == "HOME"


def test_the_archive_that_was_downloaded_has_the_name_of_the_release(typed):
    (archive,) = typed[1].glob("*.zip")
    assert archive.name.startswith("ICD-10-CM_2026.")
    assert len(json.loads(document(archive.read_bytes()))["concepts"]) == 4
