"""Entries whose ids have any characters, in both engines (contract 1.2)."""

import pytest

from oclapi import urls
from oclapi.store.database import Database
from oclapi.store.store import Store
from search.base import Filter, Query
from tests.editing.conftest import KEY, Source, new_concept, new_mapping
from tests.search.conftest import Library

WORDS = {
    "HEM/BC": "hem/bc",
    "HP:0000118": "HP:0000118",
    "mg/dL": "mg/dL",
    "M8000/3": "M8000/3",
    "1.0.0+b1": "1.0.0+b1",
    "[12.03.2025.1]": "[12.03.2025.1]",
    "FY21 Q1": "fy21 q1",
    "Ébola": "ebola",
    "%2F": "%2F",
    'x"y\\z': 'x"y\\z',
    "😀" * 255: None,
    "%": None,
    "A+": None,
}
"""Ids, and the words that find them, without those that are signs alone."""
PLACE = {short: position for position, short in enumerate(WORDS)}


@pytest.fixture(scope="module")
def library(new_mongo_url):
    database = Database(new_mongo_url(), patience=60)
    database.prepare()
    store = Store(database, KEY)
    store.owners.ensure_first("root", "")
    store.owners.create_org("NorthLab", {"name": "x", "public_access": "View"}, "root")
    lab = Source(store, "LABX")
    lab.edit(*(new_concept(short, f"Name {place}") for short, place in PLACE.items()))
    lab.edit(
        *(
            new_mapping(short, urls.item_url(lab.url, "concept", short), "A+", map_type="T")
            for short in PLACE
        )
    )
    yield Library(store, lab, lab, lab, lab, lab)
    database.client.close()


def ids(found):
    return [urls.id_of(key.url) for key in found.keys]


@pytest.mark.parametrize(
    ("short", "text"), [pair for pair in WORDS.items() if pair[1]], ids=lambda text: ascii(text)
)
def test_the_words_of_an_id_find_it(engine, library, short, text):
    assert ids(engine.find(library.at(1), Query("concept", text))) == [short]


@pytest.mark.parametrize("short", WORDS, ids=lambda text: ascii(text[:12]))
def test_a_filter_takes_a_concept_by_its_id_or_url(engine, library, short):
    for value in (short, urls.item_url(library.lab.url, "concept", short)):
        query = Query("mapping", filters=(Filter("fromConcept", (value,)),))
        assert ids(engine.find(library.at(2), query)) == [short]


@pytest.mark.parametrize("sort", ["name", "id", "lastUpdate", "conceptClass"])
@pytest.mark.parametrize("descending", [False, True])
def test_pages_hold_each_row_once_in_one_order(engine, library, sort, descending):
    query = Query("concept", sort=sort, descending=descending)
    whole = ids(engine.find(library.at(1), query))
    assert sorted(whole) == sorted(WORDS)
    seen, after = [], None
    while True:
        found = engine.find(
            library.at(1), query, limit=2, skip=len(seen) if after is None else 0, after=after
        )
        if not found.keys:
            break
        seen += ids(found)
        after = found.last
    assert seen == whole
    if sort in ("conceptClass", "lastUpdate"):  # ties are in the order of URLs
        by_url = sorted(WORDS, key=urls.encoded)
        assert seen == (by_url[::-1] if descending else by_url)


def test_facets_count_them(engine, library):
    facets = engine.find(library.at(2), Query("mapping", facets=True)).facets
    assert facets["fromConceptSource"] == [("LABX", len(WORDS))]
    assert facets["mapType"] == [("T", len(WORDS))]
