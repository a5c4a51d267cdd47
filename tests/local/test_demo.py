"""The demo: what it makes of ICD-10-CM, how it checks archives, and the whole way on a part of it with real servers."""

import io
import zipfile

import pytest

from oclapi import jsonio
from oclapi.imports.lines import Options, line_of
from oclapi.local import demo, icd10cm
from oclapi.local.demo import DemoFailed, Hashed, Text
from oclapi.local.run import local_servers
from oclapi.local.servers import LocalError, free_port


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
    assert [icd10cm.concept(found[each])["concept_class"] for each in ("B10-B10", "B10")] == ["Block", "Category"]
    assert [icd10cm.parent_id(found[each]) for each in ("B10-B10", "B10")] == ["1", "B10-B10"]


def test_titles_inclusion_terms_and_notes_become_names_and_descriptions(listed):
    [diabetes] = [icd10cm.concept(code) for code in listed if code.id == "E10"]
    assert diabetes["names"][0] == {
        "name": "Type 1 diabetes mellitus", "locale": "en", "locale_preferred": True, "name_type": "FULLY_SPECIFIED",
    }  # fmt: skip
    assert {"description": "brittle diabetes (mellitus)", "locale": "en", "description_type": "Includes"} in diabetes["descriptions"]
    assert {entry["description_type"] for entry in diabetes["descriptions"]} == {"Includes", "Excludes1"}


def test_every_line_is_one_that_an_import_takes(listed):
    for line in icd10cm.lines(listed):
        read = line_of(1, jsonio.dumps(line), Options())
        assert read.settled is None
        assert isinstance(read.item.create, dict), read


class Drop:
    """A file that gives three bytes at a time, so that characters and entries are cut everywhere."""

    def __init__(self, data):
        self._file = io.BytesIO(data)

    def read(self, size):
        return self._file.read(min(size, 3))


def test_a_document_is_read_entry_by_entry_however_it_is_cut():
    concepts = [{"id": "A", "name": "ärztliche \U0001f600 ]},["}, {"id": "B"}]
    document = b'{"id":"v1",\n"concepts":[\n' + b",\n".join(map(jsonio.dumps, concepts)) + b'],\n"mappings":[]}'
    text = Text(Hashed(Drop(document)))
    assert text.until('"concepts":[').rstrip(", \n") == '{"id":"v1"'
    assert list(text.entries()) == concepts
    text.until('"mappings":[')
    assert list(text.entries()) == []


def test_a_document_that_ends_early_is_refused():
    text = Text(Hashed(Drop(b'{"concepts":[{"id":"A"}')))
    text.until('"concepts":[')
    with pytest.raises(DemoFailed, match="ends before"):
        list(text.entries())


def archive_of(folder, part, *, active=None, leave_out=0, rename=None):
    names = [(code.id, rename or icd10cm.concept(code)["names"][0]["name"]) for code in part][leave_out:]
    pairs = demo.mapped(part)
    document = {
        "id": "2026", "released": True, "active_concepts": active or len(part),
        "concepts": [{"id": code, "display_name": name} for code, name in names],
        "mappings": [
            {"id": end, "map_type": "PARENT-OF", "from_concept_code": start, "to_concept_code": end} for start, end in sorted(pairs)
        ],
    }  # fmt: skip
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("export.json", jsonio.dumps(document))
    return folder / "a.zip"


def test_an_archive_is_compared_entry_by_entry(listed, tmp_path):
    part = listed[:40]
    assert len(demo.check(archive_of(tmp_path, part), part)) == 64
    with pytest.raises(DemoFailed, match="lacks 1 concepts"):
        demo.check(archive_of(tmp_path, part, leave_out=1), part)
    with pytest.raises(DemoFailed, match="not as it was loaded"):
        demo.check(archive_of(tmp_path, part, rename="?"), part)
    with pytest.raises(DemoFailed, match="does not say"):
        demo.check(archive_of(tmp_path, part, active=1), part)


@pytest.mark.servers
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_whole_way_twice_the_second_time_changes_nothing(listed, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(icd10cm, "codes", lambda: listed[:1500])
    environ = {"OCL_HOME": str(tmp_path), "PORT": str(free_port()), "SOLR_URL": "http://127.0.0.1:9/solr", "PATH": "/usr/bin:/bin"}
    try:
        with local_servers(environ, lambda line: None) as server:
            demo.demo(server)
            first = capsys.readouterr().out
            demo.demo(server)
            second = capsys.readouterr().out
    except LocalError as error:
        pytest.skip(str(error))
    total = 2 + 1500 + len(demo.mapped(listed[:1500]))
    assert f"{total} processed: {total} created" in first
    assert "2026 made" in first
    assert f"{total} processed: {total} unchanged" in second
    assert "nothing has changed" in second
    assert len(list((tmp_path / "demo").glob("ICD-10-CM_2026.*"))) == 2
