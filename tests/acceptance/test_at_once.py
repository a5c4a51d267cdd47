"""Concurrent clients of a web server with two processes (contract section 17)."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.acceptance.invariants import check_repository
from tests.acceptance.site import COMPLETE, concept_body, document, done, running
from tests.builders import until

pytestmark = [pytest.mark.servers, pytest.mark.slow]

TIMES = 50


@pytest.fixture(scope="module")
def site():
    with running(WEB_CONCURRENCY="2") as site:
        yield site


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(4) as threads:
        yield threads


def at_once(pool, *calls):
    """The answers to these calls (function, arguments), begun in the same moment."""
    barrier = Barrier(len(calls))

    def run(function, *arguments):
        barrier.wait(timeout=30)
        return function(*arguments)

    return [future.result() for future in [pool.submit(run, *call) for call in calls]]


def statuses(answers):
    return sorted(answer.status for answer in answers)


def check(site, source):
    with site.store() as store:
        check_repository(store, store.repos.by_url(source).number)


def test_two_processes_serve(site):
    assert len(site.processes("web")) == 3  # and their parent


def test_one_id_is_given_once(site, pool):
    source = site.new_source("AtOnce", "ids")
    for turn in range(TIMES):
        bodies = [concept_body(f"C{turn}", extras={"by": who}) for who in range(3)]
        answers = at_once(
            pool, *((site.client.post, f"{source}concepts/", body) for body in bodies)
        )

        assert statuses(answers) == [201, 400, 400]
        assert all(
            {"__all__", "id"} <= answer.json["errors"].keys()
            for answer in answers
            if answer.status == 400
        )
        winner = next(
            body for body, answer in zip(bodies, answers, strict=True) if answer.status == 201
        )
        assert site.client.get(f"{source}concepts/C{turn}/").json["extras"] == winner["extras"]
    assert done(site.client.get(f"{source}concepts/?limit=1")).headers["num_found"] == str(TIMES)
    check(site, source)


def test_both_edits_of_a_concept_become_versions(site, pool):
    source = site.new_source("AtOnce", "edits", "A")
    concept = f"{source}concepts/A/"
    for turn in range(TIMES):
        edits = [{"extras": {"turn": turn, "by": who}} for who in range(3)]
        answers = at_once(pool, *((site.client.put, concept, edit) for edit in edits))

        assert statuses(answers) == [200, 200, 200]
        by_version = {answer.json["version"]: answer.json for answer in answers}
        assert len(by_version) == 3
        newest = max(by_version.values(), key=lambda body: body["updated_on"])
        assert site.client.get(concept).json == newest
    history = done(site.client.get(f"{concept}versions/?verbose=true&limit=0")).json
    assert sorted((state["extras"]["turn"], state["extras"]["by"]) for state in history[:-1]) == [
        (turn, who) for turn in range(TIMES) for who in range(3)
    ]
    check(site, source)


def test_one_version_is_released_once(site, pool):
    source = site.new_source("AtOnce", "versions", "A")
    for turn in range(TIMES):
        bodies = [{"id": f"v{turn}", "released": True, "description": str(who)} for who in range(3)]
        answers = at_once(
            pool, *((site.client.post, f"{source}versions/", body) for body in bodies)
        )

        assert statuses(answers) == [201, 409, 409]
        winner = next(
            body for body, answer in zip(bodies, answers, strict=True) if answer.status == 201
        )
        assert site.client.get(f"{source}v{turn}/").json["description"] == winner["description"]
        # what would keep the worker busy for the next tests
        done(site.client.delete(f"{source}v{turn}/export/"))
    assert done(site.client.get(f"{source}versions/")).headers["num_found"] == str(TIMES + 1)
    check(site, source)


@pytest.fixture
def waiting(site):
    """How many exports wait for a worker."""
    with site.store() as store:
        yield lambda: store.exports.queued()[0]


def test_an_export_asked_for_by_many_is_one_job(site, pool, waiting):
    source = site.new_source("AtOnce", "asked", "A")
    until(lambda: not waiting())
    with site.paused("worker"):
        for turn in range(TIMES):
            export = f"{source}v{turn}/export/"
            done(site.client.post(f"{source}versions/", {"id": f"v{turn}"}))
            done(site.client.delete(export))
            assert site.client.head(export).headers["exportStatus"] == "missing"

            client, anonymous = site.client, site.anonymous
            answers = at_once(
                pool,
                (client.get, export),
                (client.post, export),
                (anonymous.get, export),
                (client.post, export),
            )

            assert set(statuses(answers)) <= {202, 208}
            assert answers[0].status == answers[2].status == 208
            assert all(answer.headers["exportStatus"] == "processing" for answer in answers)
            assert waiting() == turn + 1
        for turn in range(1, TIMES):
            done(site.client.delete(f"{source}v{turn}/export/"))
        assert waiting() == 1
    site.export_ready(f"{source}v0/")


def test_an_export_asked_for_while_a_worker_takes_jobs_is_built_once(site, pool):
    source = site.new_source("AtOnce", "built", "A")
    done(site.client.post(f"{source}versions/", {"id": "v1"}))
    export = f"{source}v1/export/"
    first = document(site.exported(f"{source}v1/").body)
    with site.store() as store:
        repo = store.repos.by_url(source).number
        key = store.versions.by_id(repo, "v1").key
        for _ in range(TIMES):
            done(site.client.delete(export))
            answers = at_once(pool, *((site.client.get, export) for _ in range(4)))

            assert set(statuses(answers)) <= {200, 208}
            assert document(site.exported(f"{source}v1/").body) == first
        assert list(store.exports.unsettled()) == []
    until(lambda: len(built(site, key)) >= 1 + TIMES)  # a job says so after its file is named
    assert len(built(site, key)) == 1 + TIMES


def built(site, version_key):
    """The jobs that made an archive of this version, by the worker's log."""
    return [
        entry["job"]
        for entry in site.log("worker")
        if entry.get("event") == "export built" and entry["version_id"] == version_key
    ]


def test_a_mapping_and_the_deletion_of_its_target_do_not_both_happen(site, pool):
    source = site.new_source("AtOnce", "mappings", "A")
    happened = set()
    for turn in range(TIMES):
        target = site.new_source("AtOnce", f"target{turn}", "B")
        ends = {
            "from_concept_url": f"{source}concepts/A/",
            "to_concept_url": f"{target}concepts/B/",
        }
        mapping = {"id": f"m{turn}", "map_type": "SAME-AS", **ends}
        calls = [(site.client.post, f"{source}mappings/", mapping), (site.client.delete, target)]
        mapped, deleted = at_once(pool, *(calls if turn % 2 else reversed(calls)))[
            :: 1 if turn % 2 else -1
        ]

        happened.add((mapped.status, deleted.status))
        assert (mapped.status, deleted.status) in {(201, 400), (400, 204)}
        if mapped.status == 201:
            assert deleted.json["usage"]["mappings"] == [f"{source}mappings/m{turn}/"]
        else:
            assert "to_concept_url" in mapped.json["errors"]
        assert site.client.get(target).status == (200 if mapped.status == 201 else 404)
        assert site.client.get(f"{source}mappings/m{turn}/").status == (
            200 if mapped.status == 201 else 404
        )
    assert done(site.client.get(f"{source}?{COMPLETE}")).headers["num_found_concepts"] == "1"
    check(site, source)
