"""Listings over HTTP with the real Solr: the same answers as without it."""

import pytest

from config.settings import Settings
from oclapi.app import create_app
from oclapi.exports.cache import ExportCache
from oclapi.services import Services
from oclapi.store.rows import row_of
from search.documents import document
from tests.builders import KEY, TOKEN, Api, MemoryQueue, good
from tests.search.conftest import copy_all

pytestmark = pytest.mark.solr

LAB = "/orgs/NorthLab/sources/LABX/"


@pytest.fixture(scope="module")
def solr(library, new_solr_index):
    with new_solr_index(lambda: "the store") as index:
        copy_all(library.store, index)
        yield index


@pytest.fixture(scope="module")
def open_api(library, tmp_path_factory):
    """Gives a client of the library's server, with Solr or without."""
    library.store.owners.ensure_first("root", TOKEN)

    def opened(solr=None):
        settings = Settings(
            mongo_url="mongodb://127.0.0.1/unused", secret_key=KEY, root_token=TOKEN
        )
        cache = ExportCache(str(tmp_path_factory.mktemp("exports")))
        return Api(
            create_app(Services(settings, library.store, cache, MemoryQueue(), solr)).test_client()
        )

    return opened


def rest_of(url):
    return url.removeprefix("http://localhost")


BOTH = [
    f"{LAB}concepts/?",
    f"{LAB}concepts/?sortAsc=name",
    f"{LAB}concepts/?sortDesc=conceptClass",
    f"{LAB}concepts/?sortAsc=id",
    f"{LAB}concepts/?conceptClass=diagnosis,test",
    f"{LAB}concepts/?locale=fr",
    f"{LAB}concepts/?extras__units!=none",
    f"{LAB}concepts/?retired=true",
    f"{LAB}concepts/?includeRetired=true&verbose=true",
    f"{LAB}concepts/?released=true",
    f"{LAB}concepts/?released=false",
    f"{LAB}v1/concepts/?datatype=numeric&includeMappings=true",
    f"{LAB}concepts/?updatedSince=2020-01-01",
    f"{LAB}concepts/?source=labx&owner=northlab",
    f"{LAB}concepts/?updatedBy=root&sortAsc=lastUpdate",
    f"{LAB}mappings/?mapType=same-as",
    f"{LAB}mappings/?concept=A2&includeRetired=true",
    f"{LAB}mappings/?toConceptSource=refx",
    f"{LAB}mappings/?sortAsc=mapType",
    f"{LAB}mappings/?sortDesc=toConcept",
    f"{LAB}concepts/?q=fever",
    "/orgs/NorthLab/sources/SIGNS/concepts/?q=A%2B&sortDesc=_score",
    "/orgs/NorthLab/sources/SIGNS/concepts/?q=x-ray",
    "/concepts/?sortAsc=source",
    "/mappings/?sortDesc=owner",
    "/concepts/?",
    "/concepts/?sortAsc=name",
    "/concepts/?datatype=none&source=labx,refx",
    "/mappings/?",
    "/concepts/?released=true",
    "/concepts/?released=false",
    "/concepts/?updatedSince=2020-01-01",
]


@pytest.mark.parametrize("url", BOTH)
def test_solr_gives_the_same_pages_as_the_store(open_api, solr, url):
    with_solr, without = open_api(solr), open_api()
    following = f"{url}&limit=2"
    plain = f"{url}&limit=2"
    while following:
        found, expected = good(with_solr.get(rest_of(following))), good(without.get(rest_of(plain)))
        assert (found.headers["search-engine"], found.headers["search-behind"]) == ("solr", "0")
        assert expected.headers["search-engine"] == "mongodb"
        assert found.get_json() == expected.get_json()
        assert found.headers["num_found"] == expected.headers["num_found"]
        following, plain = found.headers.get("next"), expected.headers.get("next")
    assert plain is None
    assert (
        good(with_solr.get(f"{url}&limit=0")).get_json()
        == good(without.get(f"{url}&limit=0")).get_json()
    )


def test_a_cursor_of_one_engine_leads_on_in_the_other(open_api, solr):
    for first, second in ((open_api(solr), open_api()), (open_api(), open_api(solr))):
        for sort in ("sortAsc=name", "sortDesc=lastUpdate", "sortAsc=datatype"):
            whole = good(first.get(f"{LAB}concepts/?{sort}")).get_json()
            following = good(first.get(f"{LAB}concepts/?{sort}&limit=2")).headers["next"]
            assert good(second.get(rest_of(following))).get_json() == whole[2:4]


@pytest.mark.parametrize(
    "url",
    [
        f"{LAB}concepts/?limit=2",
        f"{LAB}mappings/?includeRetired=true",
        f"{LAB}v1/concepts/?locale=en",
    ],
)
def test_facets_are_the_same(open_api, solr, url):
    found, expected = (
        good(api.get(url, includeFacets="true")) for api in (open_api(solr), open_api())
    )
    assert (found.headers["search-engine"], expected.headers["search-engine"]) == (
        "solr",
        "mongodb",
    )
    assert found.get_json() == expected.get_json()


def test_words_and_facets_over_all_sources(open_api, solr):
    api = open_api(solr)
    found = good(api.get("/concepts/?q=fever&sortAsc=id"))
    assert [concept["id"] for concept in found.get_json()] == ["A2", "B1", "C1"]
    assert found.headers["search-engine"] == "solr"
    counted = good(api.get("/mappings/?includeRetired=true", includeFacets="true")).get_json()[
        "facets"
    ]["fields"]
    assert counted["source"] == [["LABX", 3], ["SIGNS", 2]]
    whole = good(api.get("/mappings/?includeRetired=true&limit=0", includeFacets="true")).get_json()
    assert (len(whole["results"]), whole["facets"]["fields"]) == (5, counted)
    assert [
        concept["id"]
        for concept in good(api.get("/concepts/?q=fever&sortAsc=id&limit=0")).get_json()
    ] == ["A2", "B1", "C1"]


def test_a_write_is_listed_at_once_and_counted_as_missing_where_words_are_asked_for(
    open_api, solr, library
):
    api = open_api(solr)
    body = {"id": "N1", "concept_class": "New", "names": [{"name": "Newest", "locale": "en"}]}
    good(api.post("/orgs/NorthLab/sources/OWN/concepts/", body))

    listed = good(api.get("/orgs/NorthLab/sources/OWN/concepts/?conceptClass=new"))
    everywhere = good(api.get("/concepts/?limit=1"))
    worded = good(api.get("/orgs/NorthLab/sources/OWN/concepts/?q=newest"))

    assert ([concept["id"] for concept in listed.get_json()], listed.headers["search-engine"]) == (
        ["N1"],
        "mongodb",
    )
    assert (
        [concept["id"] for concept in everywhere.get_json()],
        everywhere.headers["search-engine"],
    ) == (["N1"], "mongodb")
    assert (
        worded.get_json(),
        worded.headers["search-engine"],
        worded.headers["search-behind"],
    ) == ([], "solr", "1")
    copy_all(library.store, solr)
    for url in (
        "/orgs/NorthLab/sources/OWN/concepts/?q=newest",
        "/concepts/?limit=1",
        "/concepts/?q=newest",
    ):
        answer = good(api.get(url))
        assert [concept["id"] for concept in answer.get_json()] == ["N1"]
        assert (answer.headers["search-engine"], answer.headers["search-behind"]) == ("solr", "0")


def test_the_pages_of_a_cursor_do_not_change_when_the_index_catches_up(open_api, solr, library):
    api = open_api(solr)
    source = "/orgs/NorthLab/sources/OWN/concepts/"

    def create(*ids):
        for name in ids:
            names = [{"name": f"Pinned {name}", "locale": "en"}]
            good(api.post(source, {"id": name, "concept_class": "New", "names": names}))

    create("P1", "P2", "P3", "P4", "P5")
    copy_all(library.store, solr)
    create("P6", "P7", "P8")
    number = library.own.number
    rows = library.store.database.rows.find({"repo": number, "id": "P8"})
    head = library.store.repos.by_number(number)
    # an edit that was indexed early, beyond the marker
    solr.write([document(row_of(row), head.rev, head.url) for row in rows])
    solr.commit()

    found, counts = [], set()
    page = good(api.get(f"{source}?q=pinned&limit=2&sortAsc=id"))
    assert page.headers["search-behind"] == "3"
    copy_all(library.store, solr)
    while page:
        found += [concept["id"] for concept in page.get_json()]
        counts.add(page.headers["num_found"])
        following = page.headers.get("next")
        page = good(api.get(rest_of(following))) if following else None
    assert (found, counts) == (["P1", "P2", "P3", "P4", "P5"], {"5"})
    whole = good(api.get(f"{source}?q=pinned&sortAsc=id"))
    assert [concept["id"] for concept in whole.get_json()][-3:] == ["P6", "P7", "P8"]


def test_an_edit_that_was_indexed_early_is_found_when_the_result_is_one_page(
    open_api, solr, library
):
    api = open_api(solr)
    source = "/orgs/NorthLab/sources/OWN/concepts/"
    for name in ("E1", "E2"):
        names = [{"name": f"Early {name}", "locale": "en"}]
        good(api.post(source, {"id": name, "concept_class": "New", "names": names}))
    number = library.own.number
    head = library.store.repos.by_number(number)
    rows = library.store.database.rows.find({"repo": number, "id": "E2"})
    solr.write([document(row_of(row), head.rev, head.url) for row in rows])
    solr.commit()
    found = good(api.get(f"{source}?q=early"))
    assert [concept["id"] for concept in found.get_json()] == ["E2"]
    assert found.headers["search-behind"] == "2"
    copy_all(library.store, solr)
