"""The clients of the field read from a real server: the command `ocl`, and the package `ocldev`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ocldev.oclexport import OclExportFactory

from tests.acceptance.site import concept_body, done, running

pytestmark = [pytest.mark.servers, pytest.mark.slow]

OCL = Path(sys.executable).with_name("ocl")
IDS = ["malaria", "fever", "C2", "C10"]


@pytest.fixture(scope="module")
def site():
    """A server with an organisation, and a source that has content and a released version."""
    with running() as site:
        source = site.new_source("Field", "Signs", default_locale="en", supported_locales="en,fr")
        for number, concept in enumerate(IDS):
            body = concept_body(concept, extras={"number": number})
            done(site.client.post(f"{source}concepts/", body))
        done(site.client.put(f"{source}concepts/fever/", {"datatype": "Text"}))
        ends = {
            "from_concept_url": f"{source}concepts/malaria/",
            "to_concept_url": f"{source}concepts/fever/",
        }
        done(site.client.post(f"{source}mappings/", {"map_type": "CAUSES", **ends}))
        done(site.client.put(f"{source}extras/area/", {"area": "tropics"}))
        done(site.client.post(f"{source}versions/", {"id": "v1", "released": True}))
        site.export_ready(f"{source}v1/")
        yield site


@pytest.fixture
def ocl(site, tmp_path):
    """Runs a command of `ocl`, and returns what it prints as JSON."""

    def run(*arguments):
        server = {"name": "here", "base_url": site.url, "token": site.client.token}
        config = tmp_path / ".ocl" / "config.json"
        config.parent.mkdir(exist_ok=True)
        config.write_text(json.dumps({"default_server": "here", "servers": {"here": server}}))
        ended = subprocess.run(
            [OCL, "--json", *arguments],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return json.loads(ended.stdout)

    return run


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["whoami"], ("username", "root")),
        (["org", "get", "Field"], ("id", "Field")),
        (["user", "get", "root"], ("username", "root")),
        (["repo", "get", "Field", "Signs"], ("short_code", "Signs")),
        (["repo", "get", "Field", "Signs", "--repo-version", "v1"], ("id", "v1")),
        (["repo", "extras", "Field", "Signs"], ("area", "tropics")),
        (["concept", "get", "Field", "Signs", "fever"], ("datatype", "Text")),
        (["concept", "extras", "Field", "Signs", "C10"], ("number", 3)),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_ocl_reads_one_item(ocl, arguments, expected):
    field, value = expected
    assert ocl(*arguments)[field] == value


CONCEPTS = ["--owner", "Field", "--repo", "Signs"]


@pytest.mark.parametrize(
    ("arguments", "field", "values"),
    [
        (["org", "list", "field"], "id", ["Field"]),
        (["org", "members", "Field"], "username", ["root"]),
        (["user", "list"], "username", ["root"]),
        (["user", "orgs", "root"], "id", ["Field", "OCL"]),
        (["repo", "versions", "Field", "Signs"], "id", ["HEAD", "v1"]),
        (["concept", "list", *CONCEPTS], "id", ["fever", "C10", "C2", "malaria"]),
        (["concept", "search", "fever", *CONCEPTS], "id", ["fever"]),
        (["concept", "versions", "Field", "Signs", "fever"], "version", ["5", "2"]),
        (["concept", "names", "Field", "Signs", "fever"], "name", ["Name of fever"]),
        (["mapping", "search", *CONCEPTS], "map_type", ["CAUSES"]),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_ocl_reads_a_list(ocl, arguments, field, values):
    listing = ocl(*arguments)
    assert [entry[field] for entry in listing["results"]] == values
    assert listing["count"] == len(values)


def test_ocldev_reads_the_latest_export(site):
    export = OclExportFactory.load_latest_export(
        f"{site.url}/orgs/Field/sources/Signs/", oclapitoken=site.client.token
    )
    concept = export.get_concept_by_id("malaria", include_mappings=True)
    assert [mapping["to_concept_code"] for mapping in concept["mappings"]] == ["fever"]
    assert sorted(concept["id"] for concept in export.get_concepts()) == sorted(IDS)
