"""The schema OpenMRS with OCL's own lookup lists: which entries of real dictionaries it refuses."""

import gzip
import json
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from oclapi import bodies
from oclapi.editing import concepts, mappings, openmrs
from oclapi.editing.entries import pair_of

FILES = {
    "Classes": "concept_classes",
    "Datatypes": "datatypes_fixed",
    "NameTypes": "nametypes_fixed",
    "DescriptionTypes": "description_types",
    "Locales": "locales",
    "MapTypes": "maptypes_fixed",
}


@pytest.fixture(scope="module")
def data():
    folder = os.environ.get("OCL_TEST_DATA")
    if not folder:
        pytest.skip("OCL_TEST_DATA is unset: the dictionaries are not there")
    return Path(folder)


@pytest.fixture(scope="module")
def lists(data):
    return {
        source: openmrs.listed(
            source,
            [
                name["name"]
                for concept in read(data / "ocl_lists" / f"{file}.json")
                for name in concept["names"]
            ],
        )
        for source, file in FILES.items()
    }


def read(file):
    """Return the lines of a file, or the entries of an export by kind."""
    if file.suffix == ".zip":
        with zipfile.ZipFile(file) as archive:
            return json.loads(archive.read("export.json"))
    if file.suffix == ".tgz":
        with tarfile.open(file) as archive:
            return json.load(archive.extractfile("export.json"))
    content = file.read_bytes()
    if file.suffix == ".gz":
        content = gzip.decompress(content)
    return [json.loads(line) for line in content.splitlines()]


def refused(given, lists):
    """Return the errors by id of the concepts that are refused when they are written in order."""
    found, holders = {}, {}
    for body in given:
        body = bodies.concept_create({**body, "id": str(body["id"])})
        value = {
            "external_id": None,
            "datatype": "None",
            "retired": False,
            **body,
            **{part: concepts.texts(part, body.get(part) or (), ()) for part in concepts.TEXT},
        }
        if value["retired"]:
            continue
        claims = openmrs.claims(value)
        errors = openmrs.concept_errors(value, lists)
        if clashes := [holders[claim] for claim in claims if claim in holders]:
            errors["clash"] = clashes
        if errors:
            found[value["id"]] = errors
        else:
            holders.update(dict.fromkeys(claims, value["id"]))
    return found


@pytest.mark.parametrize("file", ["ciel_concepts_2019.jsonl", "ciel_concepts_2018.jsonl.gz"])
def test_no_concept_of_ciel_is_refused(data, lists, file):
    given = read(data / file)
    assert len(given) == 1946
    assert refused(given, lists) == {}


def test_of_ciel_in_2015_five_concepts_have_a_name_or_type_twice(data, lists):
    given = read(data / "ciel_export_2015.tgz")["concepts"]
    assert len(given) == 1946
    assert refused(given, lists) == {
        "892": {"names": ["more than one fully specified name in the locale am"]},
        "1169": {"names": ["more than one name 'HIV status' in the locale en"]},
        "1560": {"names": ["more than one name 'Membre de la famille' in the locale fr"]},
        "1843": {"names": ["more than one name 'VISAGE' in the locale fr"]},
        "1844": {"names": ["more than one name 'TORSE' in the locale fr"]},
    }


def test_of_pih_one_concept_has_an_external_id_of_38_characters(data, lists):
    given = read(data / "pih_concepts.json.gz")
    assert len(given) == 3135
    assert refused(given, lists) == {"232": {"external_id": ["may have at most 36 characters"]}}


@pytest.mark.parametrize(
    ("file", "count"),
    [
        ("CIELAllergySet_v7_autoexpand-7.2025-08-11_004701", 115),
        ("DeathCause_v11_autoexpand-11.2025-11-19_070349", 7),
        ("DeathCause_v9_autoexpand-9.2025-10-27_160004", 6),
        ("IPD-DEMO_v1.4.0_autoexpand-1.4.0.2024-10-19_015216", 12),
        ("SOAP_v2_autoexpand-2.2026-06-24_193813", 518),
        ("VitalSignCodes_v1_autoexpand-1.2023-02-28_084421", 1),
        ("procedures_v11_autoexpand-11.2026-05-30_231803", 75),
    ],
)
def test_no_concept_of_ciel_in_the_releases_of_collections_is_refused(data, lists, file, count):
    given = [
        concept
        for concept in read(data / "refapp" / f"openmrs_{file}.zip")["concepts"]
        if concept["source"] == "CIEL"
    ]
    assert len(given) == count
    assert refused(given, lists) == {}


@pytest.mark.parametrize(
    ("file", "count"),
    [("ciel_mappings_2019.jsonl", 5579), ("pih_mappings.json.gz", 15132)],
)
def test_mappings_have_listed_types_and_no_two_of_one_kind_join_a_pair(data, lists, file, count):
    given = read(data / file)
    assert len(given) == count
    for mapping in given:
        assert openmrs.mapping_errors({"external_id": None, **mapping}, lists["MapTypes"]) == {}
    keys = {key for mapping in given if (key := mappings.key_of(mapping))}
    assert len({pair_of(*key) for key in keys}) == len(keys)
