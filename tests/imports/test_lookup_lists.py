"""The lookup lists that `python -m oclapi lists` loads."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from oclapi.imports import lookup_lists
from tests.imports.conftest import concept, counted, mapping

pytestmark = pytest.mark.servers

ROOT = Path(__file__).parents[2]
CHECKED = "/orgs/NorthLab/sources/CHECKED/"
SIZES = {
    "Classes": 30,
    "Datatypes": 12,
    "NameTypes": 4,
    "DescriptionTypes": 2,
    "MapTypes": 75,
    "Locales": 645,
}
NAMES = {
    "Classes": "concept_classes",
    "Datatypes": "datatypes_fixed",
    "NameTypes": "nametypes_fixed",
    "DescriptionTypes": "description_types",
    "MapTypes": "maptypes_fixed",
    "Locales": "locales",
}
"""The files with OCL's own lists."""


def lines():
    return [json.loads(line) for line in lookup_lists.lines()]


def test_the_lists_are_created_once_and_changes_are_kept(imports):
    total = len(SIZES) + sum(SIZES.values())
    assert set(imports.outcomes(*lookup_lists.lines(), update_if_exists=False)) == {"created"}
    assert imports.report.processed == total
    rows = {source: imports.rows(f"/orgs/OCL/sources/{source}/") for source in SIZES}
    assert {source: len(bodies) for source, bodies in rows.items()} == SIZES
    changed = {
        "type": "Concept",
        "owner": "OCL",
        "source": "Classes",
        "id": "Test",
        "retired": True,
    }
    assert imports.outcomes(changed) == ["updated"]
    imports.run(*lookup_lists.lines(), update_if_exists=False)
    assert counted(imports.results) == {"exists": total}
    assert [
        body["id"] for body in imports.rows("/orgs/OCL/sources/Classes/") if body["retired"]
    ] == ["Test"]


def test_a_language_has_its_codes(imports):
    imports.run(*lookup_lists.lines())
    body = next(body for body in imports.rows("/orgs/OCL/sources/Locales/") if body["id"] == "sw")
    assert (body["display_name"], body["locale"]) == ("Swahili", "sw")
    assert [(name["name"], name["name_type"]) for name in body["names"]] == [
        ("Swahili", "FULLY_SPECIFIED"),
        ("sw", "ISO 639-1"),
        ("swa", "ISO 639-2"),
    ]


def test_a_source_with_the_schema_uses_them(lab):
    lab.run(*lookup_lists.lines())
    checked = {
        "type": "Source",
        "owner": "NorthLab",
        "id": "CHECKED",
        "name": "Checked",
        "custom_validation_schema": "OpenMRS",
    }
    names = [{"name": "Glicose", "locale": "pt", "name_type": "FULLY_SPECIFIED"}]
    assert lab.outcomes(
        checked,
        concept(1, CHECKED, concept_class="Misc Order", datatype="N/A", names=names),
        concept(2, CHECKED, concept_class="Symptom/Finding"),
        concept(3, CHECKED, concept_class="Nonsense"),
        mapping(1, 2, CHECKED, map_type="Q-AND-A"),
        mapping(1, 2, CHECKED, map_type="NONSENSE"),
    ) == ["created", "created", "created", "failed", "created", "failed"]


def test_the_names_of_ocls_lists_are_there():
    """All but the abbreviations of HL7, and the codes of families of languages."""
    folder = os.environ.get("OCL_TEST_DATA")
    if not folder:
        pytest.skip("OCL_TEST_DATA, the folder of OCL's lists, is not set")

    def plain(name):
        return re.sub("[ _-]", "", name).lower()

    ours = {source: set() for source in SIZES}
    for line in lines():
        if line["type"] == "Concept":
            ours[line["source"]].update(plain(name["name"]) for name in line["names"])
    codes = {"ISO 639-1", "ISO 639-2"}
    missing = {source: set() for source in SIZES}
    for source, file in NAMES.items():
        for line in Path(folder, f"ocl_lists/{file}.json").read_bytes().splitlines():
            for name in json.loads(line)["names"] if line.strip() else ():
                if source == "Locales" and name["name_type"] not in codes:
                    continue
                if (
                    name["name_type"] != "HL7 Abbreviation"
                    and plain(name["name"]) not in ours[source]
                ):
                    missing[source].add(name["name"])
    assert {source: len(names) for source, names in missing.items()} == {
        **dict.fromkeys(SIZES, 0),
        "Locales": 68,
    }
    assert {"afa", "bnt", "kar"} <= missing["Locales"]


def test_the_command_can_be_run_again(mongo_url):
    def load():
        return subprocess.run(
            [sys.executable, "-m", "oclapi", "lists"],
            cwd=ROOT,
            env={**os.environ, "MONGO_URL": mongo_url},
            capture_output=True,
            text=True,
            timeout=100,
        )

    total = len(SIZES) + sum(SIZES.values())
    for outcome in ("created", "exists"):
        done = load()
        assert done.returncode == 0, done.stderr
        assert f"{total} processed: {total} {outcome}" in done.stdout


def test_each_entry_has_an_id_of_its_own():
    ids = [(line["source"], line["id"]) for line in lines() if line["type"] == "Concept"]
    assert len(ids) == len(set(ids)) == sum(SIZES.values())
    assert ("Classes", "Symptom-Finding") in ids
