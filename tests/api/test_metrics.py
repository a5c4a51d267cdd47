"""/metrics: what Prometheus reads."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from oclapi.errors import StoreUnavailable
from oclapi.store.exports import Exports
from tests.builders import good, new_source

pytestmark = pytest.mark.servers


def parse(text):
    """Return every value by (name, labels)."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def read(api):
    return parse(good(api.anonymous.get("/metrics")).get_data(as_text=True))


def requests(api, **labels):
    return read(api).get(("oclapi_request_seconds_count", tuple(sorted(labels.items()))), 0)


def test_requests_are_counted_by_pattern_and_status(api):
    source = new_source(api)
    pattern = {
        "route": "/orgs/<id:org>/sources/<id:source>/concepts/<content:concept>/",
        "method": "GET",
    }
    before = [requests(api, **pattern, status=status) for status in ("200", "404")]
    source.concept("A")
    good(api.get(f"{source.url}concepts/A/"))
    api.get(f"{source.url}concepts/B/")
    assert [requests(api, **pattern, status=status) for status in ("200", "404")] == [
        count + 1 for count in before
    ]


def test_no_id_and_no_other_text_of_a_request_becomes_a_label(api):
    source = new_source(api)
    good(api.get(source.url))
    api.get("/nowhere/SECRET/")
    api.open("BREW", "/orgs/")
    text = good(api.get("/metrics")).get_data(as_text=True)
    assert not any(
        word in text for word in (source.url.split("/")[4], "SECRET", "nowhere", "BREW", "root")
    )
    assert 'method="other"' in text and 'route="none"' in text


def test_exports_are_counted_by_state(api):
    source = new_source(api)
    before = read(api)
    source.release("v1")
    after = read(api)
    changes = {
        labels: value - before[name, labels]
        for (name, labels), value in after.items()
        if name == "oclapi_exports"
    }
    assert changes[(("state", "queued"),)] == 1  # every release is exported
    assert sum(changes.values()) == 1


def test_the_lag_of_the_index_is_what_the_worker_saw(api, services):
    store = services.store
    assert ("oclapi_index_reachable", ()) not in read(api)
    seen = datetime.now(UTC) - timedelta(seconds=5)
    store.index_notes.set_lag(
        {"at": seen, "away": False, "repositories": 2, "revisions": 7, "seconds": 1.5}
    )
    lag = read(api)
    assert [
        lag[f"oclapi_index_behind_{name}", ()] for name in ("repositories", "revisions", "seconds")
    ] == [2, 7, 1.5]
    assert (lag["oclapi_index_reachable", ()], lag["oclapi_index_refused_rows", ()]) == (1, 0)
    assert 5 <= lag["oclapi_index_check_age_seconds", ()] < 60
    store.index_notes.set_lag({"at": seen, "away": True})
    lag = read(api)
    assert lag["oclapi_index_reachable", ()] == 0
    assert ("oclapi_index_behind_revisions", ()) not in lag


def test_without_the_database_the_counts_of_the_processes_are_still_reported(api, monkeypatch):
    assert read(api)["oclapi_store_up", ()] == 1

    def states(exports):
        raise StoreUnavailable("the database can't be reached")

    monkeypatch.setattr(Exports, "states", states)
    values = read(api)
    assert values["oclapi_store_up", ()] == 0
    assert not [name for name, _ in values if name.startswith(("oclapi_exports", "oclapi_index"))]
    assert any(name == "oclapi_request_seconds_count" for name, _ in values)


def test_the_counts_of_several_processes_are_added_up(tmp_path):
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    count = "from oclapi import metrics; metrics.count_request('GET', '/orgs/', 200, 0.1)"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", count], env=environ, check=True)
    text = (
        "from oclapi import metrics; "
        "print(metrics.text([('gauge', 'Of all.', {(): 42.0})]).decode())"
    )
    values = parse(
        subprocess.run(
            [sys.executable, "-c", text], env=environ, check=True, capture_output=True, text=True
        ).stdout
    )
    assert (
        values[
            "oclapi_request_seconds_count",
            (("method", "GET"), ("route", "/orgs/"), ("status", "200")),
        ]
        == 2
    )
    assert values["gauge", ()] == 42


COUNT = """
import os, sys
from oclapi import metrics
if sys.argv[1] == "fold":
    metrics.fold_ended()
else:
    for _ in range(int(sys.argv[1])):
        metrics.listings.labels("solr").inc()
        metrics.count_request("GET", "/orgs/", 200, 0.003)
    if sys.argv[2:]:
        os.kill(os.getpid(), 9)
"""


def test_the_counts_of_ended_processes_are_kept_in_one_file_of_each_kind(tmp_path):
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}

    def run(*arguments):
        subprocess.run([sys.executable, "-c", COUNT, *arguments], env=environ, timeout=60)

    run("1")
    for count in ("2", "4"):
        run(count, "killed")
        run("fold")
    ended = subprocess.Popen(["true"])
    ended.wait()
    (tmp_path / f"counter_{ended.pid}.db").touch()
    run("fold")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "counter_ended.db",
        "histogram_ended.db",
    ]
    show = "from oclapi import metrics; print(metrics.text([]).decode())"
    printed = subprocess.run(
        [sys.executable, "-c", show], env=environ, timeout=60, capture_output=True, text=True
    )
    found = parse(printed.stdout)
    assert found["oclapi_listings_total", (("engine", "solr"),)] == 7
    labels = (("method", "GET"), ("route", "/orgs/"), ("status", "200"))
    assert found["oclapi_request_seconds_count", labels] == 7
    assert found["oclapi_request_seconds_bucket", (("le", "0.005"), *labels)] == 7
