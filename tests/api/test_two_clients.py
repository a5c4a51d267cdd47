"""Two clients at once (contract 17): responses are correct and no write is lost."""

import io
import json
import zipfile
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from oclapi.store import rows
from tests.builders import Api, concept_body, good, new_source

TIMES = 50


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(4) as threads:
        yield threads


def at_once(pool, *calls):
    """Run calls (function, arguments) at the same time and return their results."""
    barrier = Barrier(len(calls))

    def run(call, *arguments):
        barrier.wait(timeout=30)
        return call(*arguments)

    return [future.result() for future in [pool.submit(run, *call) for call in calls]]


@pytest.fixture
def clients(app):
    return [Api(app.test_client()) for _ in range(2)]


def test_only_one_client_creates_a_concept(pool, source, clients):
    for number in range(TIMES):
        body = concept_body(f"C/{number} é")
        responses = at_once(
            pool, *((client.post, f"{source.url}concepts/", body) for client in clients)
        )

        assert sorted(response.status_code for response in responses) == [201, 400]
    assert sorted(source.ids()) == sorted(f"C/{number} é" for number in range(TIMES))


def test_both_edits_of_a_concept_become_versions(pool, source, clients):
    source.concept("A/names")
    for number in range(TIMES):
        both = zip(("first", "second"), clients, strict=True)
        responses = at_once(
            pool,
            *(
                (client.put, f"{source.url}concepts/A%2Fnames/extras/{who}/", {who: number})
                for who, client in both
            ),
        )
        assert [response.status_code for response in responses] == [200, 200]

    history = good(
        source.api.get(f"{source.url}concepts/A%2Fnames/versions/?verbose=true&limit=0")
    ).get_json()
    assert len(history) == 1 + 2 * TIMES
    assert history[0]["extras"] == {"first": TIMES - 1, "second": TIMES - 1}
    times = [concept["updated_on"] for concept in history]
    assert times == sorted(set(times), reverse=True)


def test_only_one_client_creates_a_version(pool, source, clients, queue):
    source.concept("A")
    for number in range(TIMES):
        body = {"id": f"concepts/{number}+b", "released": True}
        responses = at_once(
            pool, *((client.post, f"{source.url}versions/", body) for client in clients)
        )

        assert sorted(response.status_code for response in responses) == [201, 409]
    assert good(source.api.get(source.url)).get_json()["versions"] == TIMES + 1
    assert good(source.api.get(f"{source.url}versions/")).headers["num_found"] == str(TIMES + 1)


def test_only_one_client_creates_a_source(pool, api, clients):
    owner = new_source(api).url.split("sources/")[0]
    for number in range(TIMES // 5):
        body = {"id": f"made-{number}", "name": "S"}
        responses = at_once(pool, *((client.post, f"{owner}sources/", body) for client in clients))

        assert sorted(response.status_code for response in responses) == [201, 400]


def test_a_version_created_during_edits_contains_whole_commits(pool, source, clients, queue):
    source.concepts("A")
    writer, releaser = clients
    for number in range(TIMES // 2):
        at_once(
            pool,
            (writer.put, f"{source.url}concepts/A/", {"extras": {"n": number}}),
            (releaser.post, f"{source.url}versions/", {"id": f"v{number}"}),
        )
        version = good(source.api.get(f"{source.url}v{number}/?includeConcepts=true&limit=0"))
        [concept] = version.get_json()["concepts"]
        assert concept["extras"].get("n", -1) in (number - 1, number)
        assert version.headers["lastUpdated"] == concept["updated_on"]


def test_a_complete_list_is_of_one_revision_while_others_write(source, clients, monkeypatch):
    # A new snapshot for every five rows.
    monkeypatch.setattr(rows.Rows.body_batches, "__defaults__", (5,))
    source.concepts(*(f"C{number}" for number in range(30)))
    before = source.ids()

    streamed = clients[0].open(
        "GET", f"{source.url}concepts/?limit=0&sortAsc=lastUpdate", buffered=False
    )
    for concept in before:
        good(clients[1].delete(f"{source.url}concepts/{concept}/"))

    assert [concept["id"] for concept in streamed.get_json()] == before


@pytest.mark.parametrize(
    "rest",
    [
        "concepts/?sortAsc=lastUpdate",
        "concepts/?sortAsc=lastUpdate&verbose=true",
        "?includeConcepts=true",
    ],
)
def test_a_zip_is_of_one_revision_while_others_write(source, clients, monkeypatch, rest):
    monkeypatch.setattr(rows.Rows.body_batches, "__defaults__", (5,))
    source.concepts(*(f"C{number}" for number in range(30)))
    before = source.ids()
    read = rows.Rows.body_batches

    def interrupted(*args, **kwargs):
        batches = read(*args, **kwargs)
        yield next(batches)
        for concept in before:
            good(clients[1].delete(f"{source.url}concepts/{concept}/"))
        source.concept("new")
        yield from batches

    monkeypatch.setattr(rows.Rows, "body_batches", interrupted)
    zipped = good(clients[0].get(f"{source.url}{rest}", Compress="true"))

    with zipfile.ZipFile(io.BytesIO(zipped.data)) as archive:
        found = json.loads(archive.read("export.json"))
    entries = found["concepts"] if rest.startswith("?") else found
    assert [entry["id"] for entry in entries] == before
    assert not any(entry["retired"] for entry in entries)
