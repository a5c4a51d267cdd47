"""The commands that look after the index, as they are typed."""

import os
import re
import signal
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from oclapi import index_commands
from oclapi.__main__ import cli
from search.documents import Marker, document, document_id
from search.follow import Follower
from tests.editing.conftest import change_concept, new_concept
from tests.indexing.conftest import complete, held

pytestmark = [pytest.mark.servers, pytest.mark.solr]


@pytest.fixture
def run(monkeypatch, prepared_mongo_url, solr):
    """Type a command; its exit code and what it printed."""
    monkeypatch.setenv("OCL_SOLR_CORE", solr.core)
    monkeypatch.setenv("MONGO_URL", prepared_mongo_url)
    monkeypatch.setenv("SOLR_URL", solr.url)

    def run(*command):
        result = CliRunner().invoke(cli, command)
        return result.exit_code, result.output

    return run


@pytest.fixture
def filled(store, solr, source, other):
    """Six rows of one source, one of another."""
    source.edit(*[new_concept(one) for one in "ABCD"])
    source.edit(change_concept("A", retired=True), change_concept("B", datatype="Text"))
    other.edit(new_concept("R"))
    solr.ensure()
    for one in (source, other):
        Follower(store, solr).follow(one.number)
    solr.commit()
    return source


def key(source, concept, from_rev=1):
    return document_id(source.number, from_rev, source.concept_url(concept))


def columns(output, url):
    [line] = [line for line in output.splitlines() if line.startswith(url)]
    return line.split()[1:]


def damage(store, solr, source):
    """A row is missing, one has another end, one should not be there."""
    solr.drop([key(source, "C")])
    change = store.change_log.row(source.number, source.concept_url("D"), 1)
    wrong = document(change.row, 1, source.url) | {"to_rev": 2, "retired": True}
    stray = document(change.row, 1, source.url) | {
        "id": key(source, "X"),
        "url": source.concept_url("X"),
    }
    solr.write([wrong, stray], force=True)
    solr.commit()


def test_reindex_makes_the_whole_index_again(run, solr, filled, other):
    solr.drop([key(filled, "C")])
    code, output = run("reindex")
    assert code == 0
    assert "reindex: 7 of 7" in output
    assert output.endswith("reindexed 2 repositories, 7 rows\n")
    assert complete(solr, filled) and complete(solr, other)


def test_reindex_of_one_source_leaves_the_others_alone(run, solr, filled, other):
    solr.drop([key(filled, "C"), key(other, "R")])
    assert run("reindex", filled.url.rstrip("/"))[1].endswith("reindexed 1 repository, 6 rows\n")
    assert complete(solr, filled)
    assert held(solr, other) == []


def test_reindex_of_a_source_that_is_not_there_says_so(run, filled):
    assert run("reindex", "/orgs/NorthLab/sources/NONE/") == (
        1,
        "Error: source not found: /orgs/NorthLab/sources/NONE/\n",
    )


def test_a_reindex_beside_another_says_so(run, store, filled):
    store.leases.take("reindex", "other", timedelta(seconds=30), filled.document.updated_on)
    store.database.leases.update_one(
        {"_id": "reindex"}, {"$set": {"until": filled.document.updated_on.replace(year=2100)}}
    )
    code, output = run("reindex")
    assert (code, "another reindex is running" in output) == (1, True)


def test_status_of_an_index_that_is_up_to_date(run, filled, other):
    code, output = run("index-status")
    assert code == 0
    assert columns(output, filled.url) == ["6", "6", "2", "0", "0", "0"]
    assert columns(output, other.url) == ["1", "1", "1", "0", "0", "0"]
    assert output.endswith("2 repositories, 0 revisions behind, 0 with drift\n")


def test_status_tells_drift(run, solr, filled):
    solr.drop([key(filled, "C")])
    code, output = run("index-status")
    assert (code, columns(output, filled.url)) == (1, ["6", "5", "2", "0", "-1", "0"])


def test_status_tells_how_far_the_index_is_behind(run, store, filled):
    filled.edit(new_concept("E"))
    code, output = run("index-status")
    assert (code, columns(output, filled.url)) == (0, ["7", "6", "2", "1", "0", "0"])
    revision = {"repo": filled.number, "rev": 3}
    made = store.database.revisions.find_one(revision)["at"]
    store.database.revisions.update_one(revision, {"$set": {"at": made - timedelta(minutes=2)}})
    assert run("index-status")[0] == 1


def test_rows_beyond_the_marker_are_no_drift(run, store, solr, filled):
    filled.edit(new_concept("E"), new_concept("F"))
    change = store.change_log.row(filled.number, filled.concept_url("E"), 3)
    solr.write([document(change.row, 3, filled.url)])
    code, output = run("index-status")
    assert (code, columns(output, filled.url)) == (0, ["8", "7", "2", "1", "0", "0"])
    assert run("index-check")[0] == 0


def test_rows_that_were_refused_are_told_and_are_no_drift(run, store, solr, filled):
    solr.drop([key(filled, "C")])
    store.index_notes.refuse(filled.number, [key(filled, "C")], filled.document.updated_on)
    code, output = run("index-status")
    assert (code, columns(output, filled.url)) == (0, ["6", "5", "2", "0", "0", "1"])
    assert run("index-check")[0] == 0


def test_rows_of_a_repository_that_is_gone_are_drift_until_they_are_mended(
    run, store, solr, filled, other
):
    store.repos.delete(other.number, lambda session, head: None)
    code, output = run("index-status")
    assert (code, columns(output, f"(repository {other.number}, deleted)")[2:]) == (
        1,
        ["0", "1", "1", "0", "+1", "0"],
    )
    assert run("index-check")[0] == 1
    assert run("index-check", "--repair")[0] == 0
    assert run("index-status")[0] == 0


def test_check_finds_nothing_where_nothing_differs(run, filled):
    code, output = run("index-check")
    assert (code, output.splitlines()[-1]) == (0, "0 missing, 0 wrong, 0 stray")


def test_check_tells_what_differs(run, store, solr, filled):
    damage(store, solr, filled)
    code, output = run("index-check")
    assert code == 1
    assert (
        f"missing: {filled.concept_url('C')} of revision 1: "
        "the database has to_rev 2147483647, the index nothing" in output
    )
    assert (
        f"wrong: {filled.concept_url('D')} of revision 1: "
        "the database has to_rev 2147483647, the index to_rev 2, retired" in output
    )
    assert f"stray: {filled.concept_url('X')} of revision 1: the database has nothing" in output
    assert output.splitlines()[-1] == "1 missing, 1 wrong, 1 stray"


def test_repair_mends_what_differs(run, store, solr, filled):
    damage(store, solr, filled)
    code, output = run("index-check", "--repair")
    assert (code, output.splitlines()[-1]) == (0, "0 missing, 0 wrong, 0 stray after the repair")
    assert complete(solr, filled)


def test_a_sample_finds_what_is_missing_or_wrong(run, store, solr, filled):
    damage(store, solr, filled)
    code, output = run("index-check", "--sample", "100")
    assert (code, output.splitlines()[-1]) == (1, "1 missing, 1 wrong, 0 stray")
    assert re.search(r"missing: .*/concepts/C/", output)


def test_check_of_a_source_that_is_not_indexed_yet_says_so(run, solr, filled, other):
    solr.forget(other.number)
    solr.commit()
    code, output = run("index-check")
    assert (code, f"{other.url}: not indexed yet" in output) == (1, True)


def test_a_marker_of_another_database_counts_as_none(run, store, solr, filled):
    solr.write([], Marker(filled.number, 3, "x", "another"))
    solr.commit()
    assert columns(run("index-status")[1], filled.url) == ["6", "6", "none", "2", "0", "0"]


def test_without_an_engine_the_commands_say_so(run, monkeypatch):
    monkeypatch.setenv("SOLR_URL", "")
    for command in ("reindex", "index-status", "index-check"):
        code, output = run(command)
        assert (code, "SOLR_URL is not set" in output) == (1, True)


def test_an_engine_that_is_away_is_one_line(run, monkeypatch):
    monkeypatch.setenv("SOLR_URL", "http://127.0.0.1:9/solr")
    code, output = run("index-status")
    assert (code, output.count("\n")) == (1, 1)
    assert (
        output
        == "Error: the search engine failed: it can't be reached, or it closed the connection\n"
    )


def test_a_reindex_that_is_stopped_says_so_and_gives_its_lease_back(
    run, store, filled, monkeypatch
):
    whole = index_commands.rebuild_all

    def stopped(store, index, progress):
        return whole(store, index, lambda rows: os.kill(os.getpid(), signal.SIGTERM))

    monkeypatch.setattr(index_commands, "rebuild_all", stopped)
    handler = signal.getsignal(signal.SIGTERM)
    code, said = run("reindex")
    assert (code, said.splitlines()[-1]) == (130, "stopped; the old index stays in use")
    assert not store.leases.taken("reindex", datetime.now(UTC))
    assert signal.getsignal(signal.SIGTERM) == handler
