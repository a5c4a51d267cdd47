"""Random writers and readers: every read at a revision equals a model in memory."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oclapi.model import Revision, Selection
from tests.store.conftest import Repo, concept_change

WRITERS, READERS, COMMITS, READS = 3, 3, 25, 40
POOL = [f"C{number}" for number in range(60)]


@dataclass
class History:
    """What the writers wrote, and what the readers saw."""

    # revision -> concept -> (body, retired)
    commits: dict[int, dict[str, tuple[bytes, bool]]] = field(default_factory=dict)
    seen: list[tuple[str, int, Selection, object]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def rows_at(self, revision: int, wanted: Selection) -> list[tuple[int, str, bytes]]:
        """(commit, concept, body) of what is visible, in commit order."""
        state: dict[str, tuple[int, bytes, bool]] = {}
        for number in range(1, revision + 1):
            for concept, (body, retired) in self.commits[number].items():
                state[concept] = (number, body, retired)
        rows = [
            (number, concept, body)
            for concept, (number, body, retired) in state.items()
            if wanted.retired in (None, retired)
        ]
        return sorted(row for row in rows if row[0] >= wanted.since)


def write(repo: Repo, history: History, random: Random) -> None:
    for _ in range(COMMITS):
        concepts = random.sample(POOL, random.choice([1, 1, 2, 15]))
        states = {
            concept: (str(random.random()).encode(), random.random() < 0.3) for concept in concepts
        }

        def build(session, heads, states=states):
            urls = {repo.concept_url(concept): concept for concept in states}
            old = {
                row.url: row
                for row in repo.store.rows.living(session, repo.number, "concept", urls)
            }
            return [
                concept_change(
                    repo.number, url, old.get(url), retired=states[name][1], body=states[name][0]
                )
                for url, name in urls.items()
            ]

        revision = repo.store.commits.commit([repo.number], build, "amina")[repo.number]
        with history.lock:
            history.commits[revision.number] = states


def by_pages(repo: Repo, revision: Revision, wanted: Selection, random: Random) -> object:
    """Walk over cursor pages, each from a snapshot of its own."""
    rows, after, limit = [], None, random.choice([1, 7, 20])
    newest_first = random.random() < 0.5
    while True:
        with repo.store.snapshot() as session:
            page = repo.store.rows.page(
                session, revision, wanted, limit=limit, after=after, newest_first=newest_first
            )
        rows += [(row.from_rev, row.id, row.body) for row in page]
        if len(page) < limit:
            return rows[::-1] if newest_first else rows
        after = page[-1].key


def by_stream(repo: Repo, revision: Revision, wanted: Selection, random: Random) -> object:
    batches = repo.store.rows.body_batches(revision, wanted, size=random.choice([3, 10, 5000]))
    return [body for batch in batches for body in batch]


def by_count(repo: Repo, revision: Revision, wanted: Selection, random: Random) -> object:
    with repo.store.snapshot() as session:
        return repo.store.rows.count(session, revision, wanted)


def by_item(repo: Repo, revision: Revision, wanted: Selection, random: Random) -> object:
    found = {}
    with repo.store.snapshot() as session:
        for concept in POOL:
            row = repo.store.rows.one(session, revision, repo.concept_url(concept))
            if row and wanted.retired in (None, row.retired) and row.from_rev >= wanted.since:
                found[concept] = row.body
    return found


READINGS: dict[str, tuple[Callable[..., object], Callable[..., object]]] = {
    "pages": (by_pages, lambda rows: rows),
    "stream": (by_stream, lambda rows: [body for _, _, body in rows]),
    "count": (by_count, len),
    "items": (by_item, lambda rows: {concept: body for _, concept, body in rows}),
}


def read(repo: Repo, history: History, random: Random) -> None:
    for _ in range(READS):
        newest = repo.head().number
        revision = random.choice([newest, newest, random.randint(0, newest)])
        since = random.choice([0, 0, random.randint(0, newest)])
        wanted = Selection("concept", since=since, retired=random.choice([None, False, True]))
        way = random.choice(list(READINGS))
        result = READINGS[way][0](repo, Revision(repo.number, revision), wanted, random)
        with history.lock:
            history.seen.append((way, revision, wanted, result))


@pytest.mark.servers
@settings(
    max_examples=4,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    print_blob=False,
)
@given(seed=st.integers(0, 2**32))
def test_every_read_at_a_revision_equals_the_model(store, seed):
    repo, history, random = Repo(store, f"S{seed}-{Random().random()}"), History(), Random(seed)

    with ThreadPoolExecutor(WRITERS + READERS) as pool:
        work = [pool.submit(write, repo, history, Random(random.random())) for _ in range(WRITERS)]
        work += [pool.submit(read, repo, history, Random(random.random())) for _ in range(READERS)]
        for done in work:
            done.result()

    # The same concept name may be part of several commits at once: the store's own order decides,
    # and the commits are its log.
    assert sorted(history.commits) == list(range(1, WRITERS * COMMITS + 1))
    assert len(history.seen) == READERS * READS
    for way, revision, wanted, result in history.seen:
        assert result == READINGS[way][1](history.rows_at(revision, wanted)), (
            way,
            revision,
            wanted,
        )
