"""Editors beside a load: they get their turn soon, and nothing of either is lost."""

import threading
import time

import pytest

from oclapi.editing import concepts
from oclapi.editing.write import write
from tests.imports.conftest import LAB, ROOT, Imports, concept, counted

pytestmark = pytest.mark.servers


def test_a_writer_that_finds_a_repository_held_can_be_noticed(store):
    imports = Imports(store)
    imports.run(
        {"type": "Organization", "id": "NorthLab", "name": "N"},
        {"type": "Source", "owner": "NorthLab", "id": "LAB", "name": "L"},
    )
    repo = store.repos.by_url(LAB)
    assert store.commits.waited([repo["_id"]]) == 0
    other = threading.Thread(target=edit, args=(store, repo, "other"))

    def slow(draft):
        if not other.ident:
            other.start()
        wait_for(lambda: store.commits.waited([repo["_id"]]) > 0)
        concepts.create(draft, repo, body("mine"))

    write(store, ROOT, [repo], slow)
    other.join()
    assert sorted(row["id"] for row in imports.rows()) == ["mine", "other"]


@pytest.mark.slow
def test_editors_beside_a_load_are_not_starved(store):
    imports = Imports(store)
    imports.run(
        {"type": "Organization", "id": "NorthLab", "name": "N"},
        {"type": "Source", "owner": "NorthLab", "id": "LAB", "name": "L"},
    )
    repo = store.repos.by_url(LAB)
    loaded = threading.Thread(
        target=imports.run, args=[concept(number) for number in range(20_000)]
    )
    waits = []

    def keep_editing(name):
        made = 0
        while loaded.is_alive():
            begun = time.monotonic()
            edit(store, repo, f"{name}-{made}")
            waits.append(time.monotonic() - begun)
            made += 1
            threading.Event().wait(0.05)  # an editor thinks

    editors = [threading.Thread(target=keep_editing, args=(name,)) for name in ("amina", "ben")]
    loaded.start()
    for editor in editors:
        editor.start()
    for thread in (loaded, *editors):
        thread.join()
    assert counted(imports.results) == {"created": 20_000}
    assert len(imports.rows()) == 20_000 + len(waits)
    # The goal is 0.25 s on a quiet machine (make bench measures it); a starved editor waited for
    # seconds.
    assert sorted(waits)[int(len(waits) * 0.95)] < 1.0, sorted(waits)[-10:]


def edit(store, repo, concept_id):
    write(store, ROOT, [repo], lambda draft: concepts.create(draft, repo, body(concept_id)))


def body(concept_id):
    return {
        "id": concept_id,
        "concept_class": "Test",
        "names": [{"name": concept_id, "locale": "en"}],
    }


def wait_for(condition, seconds=20.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited too long"
        threading.Event().wait(0.002)
