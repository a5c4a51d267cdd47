"""What only the built-in search does."""

import pytest

from oclapi.errors import SearchUnavailable
from search.base import Filter, Query, Scope
from search.mongo import MongoIndex
from tests.search.conftest import Engine

pytestmark = pytest.mark.servers


@pytest.fixture
def mongo(library):
    return Engine(MongoIndex(library.store.database, 30), library.store)


@pytest.mark.parametrize("query", [Query("concept", text="fever"), Query("concept", facets=True)])
def test_words_and_facets_over_several_repositories_need_the_search_engine(mongo, library, query):
    with pytest.raises(SearchUnavailable):
        mongo.find(Scope(heads=(library.lab.number, library.ref.number)), query)


@pytest.mark.parametrize(
    "query",
    [Query("concept", text="fever"), Query("concept", filters=(Filter("datatype", ("x",)),)), Query("concept", sort="name")],
)
def test_a_search_that_takes_too_long_is_given_up(library, query):
    impatient = Engine(MongoIndex(library.store.database, 0), library.store)
    with pytest.raises(SearchUnavailable):
        impatient.find(library.at(6), query)


def test_rows_of_several_repositories_are_found_page_by_page(mongo, library):
    scope = Scope(heads=(library.lab.number, library.ref.number))
    first = mongo.find(scope, Query("concept"), limit=3)
    assert mongo.ids(scope, Query("concept"), after=first.last) == mongo.ids(scope, Query("concept"))[3:]
