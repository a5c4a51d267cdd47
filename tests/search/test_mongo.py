"""What only the built-in search does."""

from urllib.parse import quote

import pytest
from pymongo import MongoClient

from oclapi.errors import SearchUnavailable
from oclapi.store.database import Database
from oclapi.store.store import Store
from search.base import Filter, Query, Scope
from search.mongo import MongoIndex
from tests.editing.conftest import KEY
from tests.search.conftest import Engine
from tests.store.test_plans import Reads, plans

pytestmark = pytest.mark.servers


@pytest.fixture
def mongo(library):
    return Engine(MongoIndex(library.store.database, 30), library.store)


@pytest.fixture
def heads(library):
    return Scope(heads=(library.lab.number, library.ref.number))


@pytest.mark.parametrize("query", [Query("concept", text="fever"), Query("concept", facets=True)])
def test_words_and_facets_over_several_repositories_need_the_search_engine(mongo, heads, query):
    with pytest.raises(SearchUnavailable):
        mongo.find(heads, query)


@pytest.mark.parametrize(
    "query",
    [
        Query("concept", text="fever"),
        Query("concept", filters=(Filter("datatype", ("x",)),)),
        Query("concept", sort="name"),
    ],
)
def test_a_search_that_takes_too_long_is_given_up(library, query):
    impatient = Engine(MongoIndex(library.store.database, 0), library.store)
    with pytest.raises(SearchUnavailable):
        impatient.find(library.at(6), query)


def test_the_server_gives_a_long_search_up(library):
    def slow(session):
        return library.store.database.rows.find(
            {"$where": "sleep(200) || true"}, session=session, max_time_ms=50
        ).to_list()

    index = MongoIndex(library.store.database, 30)
    index._db = _Failing(library.store.database, slow)
    with pytest.raises(SearchUnavailable):
        Engine(index, library.store).find(library.at(6), Query("concept", sort="name"))


class _Failing:
    """A database whose rows take too long."""

    def __init__(self, database, slow):
        self.repos, self.revisions, self.rows = database.repos, database.revisions, self
        self.aggregate = lambda *steps, session, **how: slow(None)


def test_rows_of_several_repositories_are_found_page_by_page(mongo, heads):
    first = mongo.find(heads, Query("concept"), limit=3)
    assert (
        mongo.ids(heads, Query("concept"), after=first.last)
        == mongo.ids(heads, Query("concept"))[3:]
    )


@pytest.fixture(scope="module")
def watched(library):
    """The library's store through a client whose commands are kept."""
    reads = Reads()
    database = library.store.database
    socket = quote(database.client.address[0], safe="")
    client = MongoClient(
        f"mongodb://{socket}", event_listeners=[reads], tz_aware=True, directConnection=True
    )
    url = f"mongodb://127.0.0.1/{database.rows.database.name}"
    yield Store(Database(url, client=client), KEY), reads
    client.close()


@pytest.mark.parametrize("where", ["one", "heads"])
@pytest.mark.parametrize(
    "query", [Query("concept"), Query("concept", descending=False), Query("concept", retired=None)]
)
@pytest.mark.parametrize("after", [None, "last"])
def test_the_default_order_reads_index_keys_only(watched, library, heads, where, query, after):
    store, reads = watched
    scope = heads if where == "heads" else Scope((library.at(6),))
    index = MongoIndex(store.database, 30)
    last = index.find(None, scope, query, limit=2).last if after else None

    used = plans(store, reads, lambda: index.find(None, scope, query, limit=2, after=last))

    stages = {stage for stage, _ in used}
    assert ("IXSCAN", "feed" if where == "heads" else "order") in used
    assert "PROJECTION_COVERED" in stages
    assert not stages & {"COLLSCAN", "SORT"}
    assert {name for stage, name in used if stage == "FETCH"} <= {None}


@pytest.mark.parametrize(
    "query",
    [
        Query("concept", filters=(Filter("conceptClass", ("test",)),)),
        Query("concept", filters=(Filter("datatype", ("none",), negated=True),)),
        Query("concept", sort="name"),
        Query("concept", facets=True),
        Query("concept", text="fever"),
    ],
)
def test_a_search_of_one_repository_reads_no_other(watched, library, query):
    store, reads = watched
    used = plans(
        store,
        reads,
        lambda: MongoIndex(store.database, 30).find(None, Scope((library.at(6),)), query, limit=2),
    )
    assert {name for stage, name in used if stage == "IXSCAN"} <= {"order", "rev"}
    assert "COLLSCAN" not in {stage for stage, _ in used}
