"""Responses without a limit need the memory of one batch, whatever their size."""

import tracemalloc

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
    assert run(services.store, ROOT, lines, Options(source=source.url), "large").counts == {
        "created": CONCEPTS
    }
    return source


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
        response = app.test_client().get(f"{large.url}{rest}", headers=headers, buffered=False)
        sent, tail = 0, b""
        for chunk in response.iter_encoded():
            sent += len(chunk)
            tail = (tail + chunk)[-200:]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        response.close()

    assert response.status_code == 200
    assert compress == "true" or (sent > 2 * MOST and tail.endswith((b"}]", b"}\n]}\n")))
    assert peak < MOST, f"{peak / 2**20:.1f} MiB"
