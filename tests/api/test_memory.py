"""Responses without a limit need the memory of one batch, whatever their size."""

import hashlib
import re
import tracemalloc
from contextlib import closing
from pathlib import Path

import pytest

from oclapi import jsonio
from oclapi.access import Caller
from oclapi.imports.line_types import Options
from oclapi.imports.run import run
from oclapi.store import ranges
from tests.builders import TOKEN, Api, new_source

ROOT = Caller("root", is_staff=True, is_superuser=True)
CONCEPTS = 10_000
TEXT = "Described at length. " * 140
MOST = 14 * 2**20
"""The most bytes that a response may keep in memory. The content is more than twice as large."""


@pytest.fixture(scope="module")
def large(app, services):
    """A source with 35 MB of content."""
    source = new_source(Api(app.test_client()))
    descriptions = [{"description": TEXT, "locale": "en"}]
    lines = (
        jsonio.dumps(
            {
                "type": "Concept",
                "id": str(number),
                "concept_class": "Test",
                "names": [{"name": "n", "locale": "en"}],
                "descriptions": descriptions,
            }
        )
        for number in range(CONCEPTS)
    )
    assert run(services.store, ROOT, lambda: lines, Options(source=source.url), "large").counts == {
        "created": CONCEPTS
    }
    return source


class Received:
    """What is kept of a body: its size, its end and its digest."""

    def __init__(self):
        self.size, self.tail, self.digest = 0, b"", hashlib.sha256()

    def add(self, chunk):
        self.size += len(chunk)
        self.tail = (self.tail + chunk[-200:])[-200:]
        self.digest.update(chunk)


def received(app, url, headers):
    """The body at this URL, read chunk by chunk."""
    body = Received()
    response = app.test_client().get(url, headers=headers, buffered=False)
    with closing(response):
        for chunk in response.iter_encoded():
            body.add(chunk)
    assert response.status_code == 200
    return body


def resident(name):
    """A line of this process's status, in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{name}:\s+(\d+)", status)[1]) * 1024


@pytest.mark.parametrize("compress", ["false", "true"])
@pytest.mark.parametrize(
    "rest",
    [
        "concepts/?verbose=true&limit=0",
        "concepts/?verbose=true&limit=0&sortAsc=name",
        "?includeConcepts=true&limit=0",
    ],
)
def test_everything_is_sent_with_the_memory_of_a_batch(app, large, monkeypatch, rest, compress):
    monkeypatch.setattr(ranges, "LIST", 100)
    headers = {"Authorization": f"Token {TOKEN}", "Compress": compress}
    app.test_client().get(f"{large.url}versions/", headers=headers)  # warm the caches

    tracemalloc.start()
    try:
        sent = received(app, f"{large.url}{rest}", headers)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert compress == "true" or (sent.size > 2 * MOST and sent.tail.endswith((b"}]", b"}\n]}\n")))
    assert peak < MOST, f"{peak / 2**20:.1f} MiB"


ORGS = 60
EXTRAS = "x" * (2**20 - 100)
MOST_OF_LISTS = 60 * 2**20
"""The most resident memory that a list may add. orjson reserves much more than it uses."""


@pytest.fixture(scope="module")
def owners(app):
    """Organisations with a source each, both with almost the most extras that they may have."""
    api = Api(app.test_client())
    for number in range(ORGS):
        body = {"id": f"Fat{number:02}", "name": "Fat", "extras": {"a": EXTRAS, "n": number}}
        assert api.post("/orgs/", body).status_code == 201
        source = {**body, "id": "S", "full_name": f"{ORGS - number:02}", "extras": {"a": EXTRAS}}
        assert api.post(f"/orgs/Fat{number:02}/sources/", source).status_code == 201


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("/orgs/?limit=500&q=fat", range(ORGS)),
        ("/orgs/?limit=500&extras__n=7", [7]),
        ("/orgs/?limit=500&extras__n!=7&q=fat", [n for n in range(ORGS) if n != 7]),
        ("/orgs/?limit=500&verbose=true&sortDesc=name&q=fat", reversed(range(ORGS))),
        ("/orgs/?limit=500&verbose=true&updatedSince=2000-01-01", None),
        ("/orgs/?limit=0&verbose=true&q=fat*&sortAsc=lastUpdate", range(ORGS)),
        ("/user/orgs/?limit=0&verbose=true", None),
        ("/sources/?limit=500&verbose=true&sortAsc=name", None),
        ("/sources/?limit=0&verbose=true", None),
        ("/users/root/orgs/?limit=500&q=fat", range(ORGS)),
    ],
)
def test_a_list_of_owners_or_repositories_never_holds_all_extras_at_once(app, owners, url, found):
    headers = {"Authorization": f"Token {TOKEN}"}
    app.test_client().get("/orgs/?limit=1&q=none", headers=headers)  # warm the caches

    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    body = received(app, url, headers)
    peak = resident("VmHWM") - before

    assert peak < MOST_OF_LISTS, f"{peak / 2**20:.1f} MiB"
    whole = app.test_client().get(url, headers=headers)
    assert (len(whole.data), hashlib.sha256(whole.data).digest()) == (
        body.size,
        body.digest.digest(),
    )
    items = whole.get_json()
    assert int(whole.headers["num_returned"]) == int(whole.headers["num_found"]) == len(items)
    if "verbose" in url:
        assert sum(len((one["extras"] or {}).get("a", "")) for one in items) == ORGS * len(EXTRAS)
    if found is not None:
        ids = [f"Fat{number:02}" for number in found]
        assert [one["id"] for one in items] == (ids if "sort" in url else ids[::-1])
