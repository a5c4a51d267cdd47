"""Which engine answers a listing."""

from dataclasses import dataclass, field, replace

import pytest

from oclapi import metrics
from oclapi.errors import SearchBehind, SearchUnavailable
from search.base import Hits, Query, Scope
from search.choice import Search
from search.mongo import MongoIndex
from tests.editing.conftest import new_concept
from tests.search.conftest import PATIENCE

PLAIN = Query("concept")
WORDS = Query("concept", text="fever")


@dataclass
class Stub:
    """A Solr with a fixed result that records its requests."""

    hits: Hits = field(default_factory=lambda: Hits((), 77))
    error: Exception | None = None
    requests: list[dict[str, object]] = field(default_factory=list)
    name: str = "solr"
    meanwhile: object = None

    def find(self, session, scope, query, *, limit, skip=0, after=None, fresh=True):
        self.requests.append({"limit": limit, "skip": skip, "after": after, "fresh": fresh})
        if self.meanwhile:
            self.meanwhile()
        if self.error:
            raise self.error
        return self.hits


@pytest.fixture
def ask(library):
    def ask(solr, scope, query, **how):
        search = Search(library.store, MongoIndex(library.store.database, PATIENCE), solr)
        with library.store.snapshot() as session:
            # a listing has read its repository before it searches
            library.store.repos.by_number(library.lab.number, session)
            return search.find(session, scope, query, **{"limit": 10, **how})

    return ask


@pytest.fixture
def one(library):
    return Scope((library.at(6),))


@pytest.fixture
def heads(library):
    return Scope(heads=(library.lab.number, library.ref.number))


def revisions(library, scope):
    return library.store.repos.reached(scope.heads)


def test_without_solr_the_store_answers(ask, one):
    answer = ask(None, one, PLAIN)
    assert (answer.engine, answer.hits.total, answer.behind) == ("mongodb", 5, 0)


def test_solr_answers_where_there_is_one(ask, one):
    solr = Stub()
    answer = ask(solr, one, PLAIN, limit=5, skip=3, after=(1, "/"))
    assert (answer.engine, answer.hits.total) == ("solr", 77)
    assert solr.requests == [{"limit": 5, "skip": 3, "after": (1, "/"), "fresh": True}]


@pytest.mark.parametrize("error", [SearchBehind("not that far"), SearchUnavailable("down")])
@pytest.mark.parametrize("query", [PLAIN, WORDS, Query("concept", facets=True)])
def test_the_store_answers_what_solr_can_not(ask, one, error, query):
    answer = ask(Stub(error=error), one, query)
    assert answer.engine == "mongodb"
    assert answer.hits.total == (3 if query is WORDS else 5)


@pytest.mark.parametrize(
    ("query", "fresh"),
    [
        (PLAIN, True),
        (Query("concept", text="*"), True),
        (WORDS, False),
        (Query("concept", facets=True), False),
    ],
)
def test_only_words_and_facets_may_lag(ask, one, query, fresh):
    solr = Stub(Hits((), 77, behind=3))
    assert ask(solr, one, query).behind == 3
    assert solr.requests[0]["fresh"] is fresh


def test_the_living_rows_of_many_are_taken_from_solr_when_it_knows_all_their_revisions(
    ask, library, heads
):
    known = revisions(library, heads)
    assert ask(Stub(Hits((), 77, reached=known)), heads, PLAIN).engine == "solr"
    for reached in (known - 1, known + 1):
        assert ask(Stub(Hits((), 77, reached=reached)), heads, PLAIN).engine == "mongodb"
    lagging = ask(Stub(Hits((), 77, reached=known - 2)), heads, WORDS)
    assert (lagging.engine, lagging.behind) == ("solr", 2)


def test_a_commit_while_solr_answers_makes_the_store_answer(ask, library):
    scope = Scope(heads=(library.own.number, library.ref.number))
    solr = Stub(meanwhile=lambda: library.own.edit(new_concept("during")))
    solr.hits = Hits((), 77, reached=revisions(library, scope) + 1)
    assert ask(solr, scope, PLAIN).engine == "mongodb"
    solr.meanwhile, solr.hits = None, replace(solr.hits, reached=revisions(library, scope))
    assert ask(solr, scope, PLAIN).engine == "solr"


def test_when_nobody_can_answer_that_is_told(ask, heads):
    with pytest.raises(SearchUnavailable):
        ask(Stub(error=SearchUnavailable("down")), heads, WORDS)


def test_answers_are_counted_by_engine(ask, one, monkeypatch):
    def counted(engine):
        return metrics.listings.labels(engine=engine)._value.get()

    before = counted("solr"), counted("mongodb")
    ask(Stub(), one, PLAIN)
    ask(Stub(error=SearchBehind("not that far")), one, PLAIN)
    assert (counted("solr"), counted("mongodb")) == (before[0] + 1, before[1] + 1)


@pytest.mark.parametrize("step", [1, 2, 3, 100])
@pytest.mark.parametrize(
    "query",
    [
        PLAIN,
        WORDS,
        Query("concept", sort="name"),
        Query("concept", text="fever", sort="bestMatch"),
        Query("mapping", sort="bestMatch"),
    ],
)
def test_everything_is_every_page(ask, library, one, monkeypatch, step, query):
    monkeypatch.setattr("search.choice.STEP", step)
    whole = ask(None, one, query, limit=100).hits
    with library.store.snapshot() as session:
        answer, batches = Search(
            library.store, MongoIndex(library.store.database, PATIENCE)
        ).everything(session, one, query)
    assert [key for batch in batches for key in batch] == list(whole.keys)
    assert answer.hits.total == whole.total
