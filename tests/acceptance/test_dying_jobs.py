"""kill -9 of the process of an export, at each of its steps: the server recovers by itself."""

import sys
from pathlib import Path

import pytest

from oclapi.local import run
from oclapi.model import ExportKey
from tests.acceptance.site import concept_body, document, done, files, running
from tests.builders import until
from tests.jobs.dying import STEPS

pytestmark = [pytest.mark.servers, pytest.mark.slow]

SOURCE = "/orgs/Dying/sources/S/"
CONCEPTS = 2500


@pytest.fixture(scope="module")
def marks(tmp_path_factory):
    return tmp_path_factory.mktemp("marks")


@pytest.fixture(scope="module")
def site(marks):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "WORKER", (sys.executable, "-m", "tests.jobs.dying_worker", str(marks)))
        with running(OCL_EXPORT_SILENCE="2", OCL_EXPORT_LINK_LIFE="1") as site:
            site.new_source("Dying", "S")
            site.load(
                *(
                    {**concept_body(f"C{number}"), "type": "Concept", "source_url": SOURCE}
                    for number in range(CONCEPTS)
                )
            )
            ends = {
                "from_concept_url": f"{SOURCE}concepts/C0/",
                "to_concept_url": f"{SOURCE}concepts/C1/",
            }
            site.load(
                {"type": "Mapping", "source_url": SOURCE, "id": "m", "map_type": "SAME-AS", **ends}
            )
            yield site


@pytest.fixture(scope="module")
def versions(site):
    """A version for each moment, with its export; `key`: how the database names one."""
    names = [f"v{number}" for number in range(len(STEPS))]
    for name in names:
        done(site.client.post(f"{SOURCE}versions/", {"id": name}))
    for name in names:
        site.export_ready(f"{SOURCE}{name}/")
    return names


def key(site, name):
    with site.store() as store:
        return store.versions.by_id(store.repos.by_url(SOURCE).number, name).key


def test_an_export_whose_process_is_killed_is_made_all_the_same_and_leaves_nothing(
    site, versions, marks
):
    before = document(site.exported(f"{SOURCE}{versions[0]}/").body)
    for name, moment in zip(versions, STEPS, strict=True):
        Path(marks, key(site, name)).write_text(moment)
    for name in versions:
        assert site.client.post(f"{SOURCE}{name}/export/").status == 202

    until(lambda: not any(marks.iterdir()))  # each process has reached its moment, and died there
    for name in versions:
        # it starts nothing
        until(lambda name=name: site.client.head(f"{SOURCE}{name}/export/").status == 200)

    archives = [site.exported(f"{SOURCE}{name}/") for name in versions]
    assert document(archives[0].body) == before
    for archive in archives:
        assert document(archive.body).count(b'"type":"Concept"') == CONCEPTS
    until(lambda: len(files(site.settings.export_cache)) == len(versions))
    assert not [name for name in files(site.settings.export_cache) if name.endswith(".part")]
    with site.store() as store:
        assert list(store.exports.unsettled()) == []


def test_a_running_export_tells_how_far_it_is(site, versions, marks):
    version = f"{SOURCE}{versions[0]}/"
    mark = Path(marks, key(site, versions[0]))
    mark.write_text("wait half of the concepts")
    assert site.client.post(f"{version}export/").status == 202

    until(lambda: site.client.get(f"{version}export/").json["processed"] == 2000)
    told = site.client.get(f"{version}export/")
    assert (told.status, told.headers["exportStatus"], told.json["exportStatus"]) == (
        208,
        "processing",
        "processing",
    )
    assert (told.json["processed"], told.json["total"]) == (2000, CONCEPTS + 1)
    assert 1 <= int(told.headers["Retry-After"]) <= 60
    assert done(site.client.get(version)).json["is_processing"] is True

    mark.unlink()
    site.export_ready(version)


def test_a_stuck_export_can_be_cleared(site, versions, marks):
    version = f"{SOURCE}{versions[0]}/"
    mark = Path(marks, key(site, versions[0]))
    mark.write_text("wait half of the concepts")
    assert site.client.post(f"{version}export/").status == 202
    until(lambda: site.client.get(f"{version}export/").json["processed"])
    with site.without("worker"):
        mark.unlink()
        until(lambda: site.client.head(f"{version}export/").status == 204)  # silent for too long
        with site.store() as store:
            assert store.exports.read(ExportKey(key(site, versions[0]))).job

        assert site.client.post(f"{version}processing/").status == 200

        assert done(site.client.get(f"{version}processing/")).json is False
        with site.store() as store:
            assert not store.exports.read(ExportKey(key(site, versions[0]))).job
    assert site.client.post(f"{version}export/").status in (202, 208)
    site.export_ready(version)
