"""A library of a few sources, and the engines that find things in it.

An engine under test is a SearchIndex with `learn()`, which lets it take up everything that the
store holds by now.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from oclapi.model import Revision
from oclapi.store.commits import repository_of
from oclapi.store.database import Database
from oclapi.store.rows import row_of
from oclapi.store.store import Store
from search.base import Hits, Query, Scope, SearchIndex, Span
from search.documents import Marker, document
from search.mongo import MongoIndex
from search.solr import SolrIndex
from tests.editing.conftest import (
    KEY,
    Source,
    change_concept,
    change_mapping,
    named,
    new_concept,
    new_mapping,
)

PATIENCE = 30
SIGNS = (
    "A+",
    "A-",
    "A",
    "CD8",
    "CD8%",
    "++",
    "+",
    "1:32",
    "1 32",
    "\u00bd",
    "1 2",
    "\u20ac",
    "10\u2079/L",
    "109/L",
    "\u0437\u0434\u043e\u0440\u043e\u0432'\u044f",
    "\u0437\u0434\u043e\u0440\u043e\u0432\u2019\u044f",
    "% of ++",
)
_numbers = itertools.count(1)


@dataclass
class Engine:
    """An engine under test."""

    index: SearchIndex
    store: Store
    learn: Callable[[], None] = field(default=lambda: None)

    def find(self, scope: Scope | Span, query: Query, *, limit: int = 100, **how: Any) -> Hits:
        with self.store.snapshot() as session:
            where = scope if isinstance(scope, Scope) else Scope((scope,))
            return self.index.find(session, where, query, limit=limit, **how)

    def ids(self, scope: Scope | Span, query: Query, **how: Any) -> list[str]:
        return [key.url.split("/")[-2] for key in self.find(scope, query, **how).keys]


@dataclass
class Library:
    """Sources with content. `lab`: see `filled`; `ref` has two concepts; `own` has one.

    `names` has ids and names that are hard to sort; `signs` has SIGNS as names.
    """

    store: Store
    lab: Source
    ref: Source
    own: Source
    names: Source
    signs: Source

    def at(self, number: int, since: int = 0) -> Span:
        return Span(Revision(self.lab.number, number), since)


@pytest.fixture(scope="module")
def library(new_mongo_url):
    database = Database(new_mongo_url(), patience=60)
    database.prepare()
    store = Store(database, KEY)
    store.owners.ensure_first("root", "")
    store.owners.create_org(
        "NorthLab", {"name": "North Laboratory", "public_access": "View"}, "root"
    )
    store.owners.create_org("RefOrg", {"name": "Reference", "public_access": "View"}, "root")
    yield filled(store)
    database.client.close()


def filled(store: Store) -> Library:
    """Commit 1 to 4 of lab make concepts and mappings, the later ones edit, rename and retire."""
    ref = Source(store, "REFX", "RefOrg")
    ref.edit(new_concept("G-22", "Glucose"), new_concept("R1", "Œdème"))
    own = Source(store, "OWN", "NorthLab")
    own.concept("O1", "Own thing", concept_class="Misc")
    lab = Source(store, "LABX", supported_locales=["en", "fr"])
    lab.edit(
        new_concept(
            "A1",
            "Serum glucose",
            concept_class="Test",
            datatype="Numeric",
            extras={"units": "mmol/L", "a": {"b": 1}},
        ),
        new_concept(
            "A2",
            "High fever",
            concept_class="Diagnosis",
            names=[named("High fever"), named("Forte fièvre", "fr")],
        ),
        new_concept(
            "a10",
            concept_class="Procedure",
            names=[named("X-ray of chest", external_id="NAME-5")],
            descriptions=[{"description": "A picture", "locale": "en", "external_id": "NOTE-9"}],
        ),
    )
    lab.edit(
        new_concept(
            "B1",
            "Yellow fever",
            concept_class="diagnosis",
            external_id="EXT-77",
            extras={"units": "none", "list": ["x", "y"]},
        ),
        new_concept(
            "B2", "糖尿病", concept_class="Misc, other", names=[named("糖尿病", "zh-Hans")]
        ),
    )
    lab.edit(
        new_mapping("m1", "A1", f"{ref.url}concepts/G-22/"),
        new_mapping("m2", "A2", "B1", map_type="Narrower Than"),
    )
    lab.edit(new_mapping("m3", "A1", "A2", map_type="same-as", extras={"k": True}))
    lab.release("v1", released=True)
    lab.edit(
        change_concept("B1", datatype="Text"),
        change_concept("A1", retired=True),
        new_concept("C1", "Fever of unknown origin"),
    )
    lab.edit(change_mapping("m3", retired=True))
    names = Source(store, "NAMES")
    names.edit(
        new_concept("i-10", "Name eczema"),
        new_concept("i-2", "name Œdème"),
        new_concept("I-2", "Name oedeme b"),
        new_concept("i-1", "Name Straße"),
        new_concept("i-x", "name Strassf"),
    )
    signs = Source(store, "SIGNS")
    signs.edit(
        *(
            new_concept(f"s{number}", name, concept_class="Sign")
            for number, name in enumerate(SIGNS)
        ),
        new_concept("c1", "Chest x-ray", names=[named("Chest x-ray"), named("Rx", "es")]),
        new_concept("c2", "Chest xray of a child"),
        new_concept("c3", "Chest x ray"),
        new_concept("c4", "Gly\u00adcemia of Crohn's disease"),
    )
    signs.edit(
        new_mapping("p", "s0", to_source_url=ref.url, to_concept_code="A+"),
        new_mapping("q", "s0", to_source_url=ref.url, to_concept_code="A-"),
    )
    return Library(store, lab, ref, own, names, signs)


@pytest.fixture(scope="module", params=["mongo", pytest.param("solr", marks=pytest.mark.solr)])
def engine(request, library):
    if request.param == "mongo":
        yield Engine(MongoIndex(library.store.database, PATIENCE), library.store)
        return
    with request.getfixturevalue("new_solr_index")(lambda: "the store") as index:
        made = Engine(index, library.store, lambda: copy_all(library.store, index))
        made.learn()
        yield made


@pytest.fixture(scope="session")
def new_solr_index(solr_server):
    """Opens an empty index of its own for the store of that identity, and removes it at the end."""

    @contextmanager
    def opened(store: Callable[[], str]) -> Iterator[SolrIndex]:
        index = SolrIndex(solr_server.url, f"test{next(_numbers)}", store, patience=PATIENCE)
        index.create(index.core)
        yield index
        index.remove(index.core)

    return opened


@pytest.fixture
def index(new_solr_index):
    """An empty index of this test's own."""
    with new_solr_index(lambda: "the store") as index:
        yield index


def copy_all(store: Store, index: SolrIndex) -> None:
    """Write every row and every repository's marker, and wait until searches see them."""
    for repo in map(repository_of, store.database.repos.find()):
        rows = map(row_of, store.database.rows.find({"repo": repo.number}))
        index.write(
            [document(row, repo.rev, repo.url) for row in rows],
            Marker(repo.number, repo.rev, "a commit", "the store"),
        )
    index.commit()
