"""Two clients at once (contract 17): each answer is true, and nothing is lost between them."""

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


def at_once(pool, *acts):
    """The results of these calls (function, arguments), begun in the same moment."""
    barrier = Barrier(len(acts))

    def run(act, *arguments):
        barrier.wait(timeout=30)
        return act(*arguments)

    return [future.result() for future in [pool.submit(run, *act) for act in acts]]


@pytest.fixture
def clients(app):
    return [Api(app.test_client()) for _ in range(2)]


def test_one_id_is_given_once(pool, source, clients):
    for turn in range(TIMES):
        body = concept_body(f"C{turn}")
        answers = at_once(
            pool, *((client.post, f"{source.url}concepts/", body) for client in clients)
        )

        assert sorted(answer.status_code for answer in answers) == [201, 400]
    assert sorted(source.ids()) == sorted(f"C{turn}" for turn in range(TIMES))


def test_both_edits_of_a_concept_become_versions(pool, source, clients):
    source.concept("A")
    for turn in range(TIMES):
        both = zip(("first", "second"), clients, strict=True)
        answers = at_once(
            pool,
            *(
                (client.put, f"{source.url}concepts/A/extras/{who}/", {who: turn})
                for who, client in both
            ),
        )
        assert [answer.status_code for answer in answers] == [200, 200]

    history = good(
        source.api.get(f"{source.url}concepts/A/versions/?verbose=true&limit=0")
    ).get_json()
    assert len(history) == 1 + 2 * TIMES
    assert history[0]["extras"] == {"first": TIMES - 1, "second": TIMES - 1}
    times = [concept["updated_on"] for concept in history]
    assert times == sorted(set(times), reverse=True)


def test_one_version_is_released_once(pool, source, clients, queue):
    source.concept("A")
    for turn in range(TIMES):
        body = {"id": f"v{turn}", "released": True}
        answers = at_once(
            pool, *((client.post, f"{source.url}versions/", body) for client in clients)
        )

        assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert good(source.api.get(source.url)).get_json()["versions"] == TIMES + 1
    assert good(source.api.get(f"{source.url}versions/")).headers["num_found"] == str(TIMES + 1)


def test_one_source_is_made_once(pool, api, clients):
    owner = new_source(api).url.split("sources/")[0]
    for turn in range(TIMES // 5):
        body = {"id": f"made-{turn}", "name": "S"}
        answers = at_once(pool, *((client.post, f"{owner}sources/", body) for client in clients))

        assert sorted(answer.status_code for answer in answers) == [201, 400]


def test_a_release_beside_edits_holds_whole_commits(pool, source, clients, queue):
    source.concepts("A")
    writer, releaser = clients
    for turn in range(TIMES // 2):
        at_once(
            pool,
            (writer.put, f"{source.url}concepts/A/", {"extras": {"n": turn}}),
            (releaser.post, f"{source.url}versions/", {"id": f"v{turn}"}),
        )
        version = good(source.api.get(f"{source.url}v{turn}/?includeConcepts=true&limit=0"))
        [concept] = version.get_json()["concepts"]
        assert concept["extras"].get("n", -1) in (turn - 1, turn)
        assert version.headers["lastUpdated"] == concept["updated_on"]


def test_a_complete_list_is_of_one_revision_while_others_write(source, clients, monkeypatch):
    # a new snapshot after each five rows
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
def test_a_packed_answer_is_of_one_revision_while_others_write(source, clients, monkeypatch, rest):
    monkeypatch.setattr(rows.Rows.body_batches, "__defaults__", (5,))
    source.concepts(*(f"C{number}" for number in range(30)))
    before = source.ids()
    read = rows.Rows.body_batches

    def interrupted(*asked, **how):
        batches = read(*asked, **how)
        yield next(batches)
        for concept in before:
            good(clients[1].delete(f"{source.url}concepts/{concept}/"))
        source.concept("new")
        yield from batches

    monkeypatch.setattr(rows.Rows, "body_batches", interrupted)
    packed = good(clients[0].get(f"{source.url}{rest}", Compress="true"))

    with zipfile.ZipFile(io.BytesIO(packed.data)) as archive:
        found = json.loads(archive.read("export.json"))
    entries = found["concepts"] if rest.startswith("?") else found
    assert [entry["id"] for entry in entries] == before
    assert not any(entry["retired"] for entry in entries)
