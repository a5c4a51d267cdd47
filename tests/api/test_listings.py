"""Search, filters, sorts and facets of lists over HTTP (contract 5.4 and 13.3)."""

import io
import itertools
import json
import zipfile
from types import SimpleNamespace

import pytest

from oclapi.resources import listings
from search.choice import Search
from search.mongo import MongoIndex
from tests.builders import Api, good, new_org, new_source

numbers = itertools.count(1)


def ids_of(response):
    return [item["id"] for item in good(response).get_json()]


def rest_of(url):
    return url.removeprefix("http://localhost")


def walk(api, url):
    """Follow the `next` links and return the ids of each page."""
    pages = []
    while url:
        response = api.get(rest_of(url))
        pages.append(ids_of(response))
        url = response.headers.get("next")
    return pages


@pytest.fixture(scope="module")
def filled(app):
    """A source with concepts A to F and mappings between them. No test changes it."""
    source = new_source(Api(app.test_client()))
    source.concept(
        "A", concept_class="Test", datatype="Numeric", extras={"units": "mmol/L", "a": {"b": 1}}
    )
    source.concept(
        "B",
        concept_class="Diagnosis",
        names=[{"name": "High fever", "locale": "en"}, {"name": "Fièvre", "locale": "fr"}],
    )
    source.concept(
        "C",
        concept_class="diagnosis",
        names=[{"name": "Yellow fever", "locale": "en"}],
        external_id="EXT-7",
    )
    source.concept(
        "D",
        concept_class="Misc, other",
        descriptions=[{"description": "A picture", "locale": "en"}],
    )
    source.concept("E", retired=True)
    source.mapping("m1", "A", "B")
    source.mapping("m2", "B", "C", map_type="Narrower Than")
    source.mapping("m3", "C", "D", retired=True)
    source.release("v1")
    source.concept(
        "F", concept_class="Test", names=[{"name": "Fever of unknown origin", "locale": "en"}]
    )
    return source


CONCEPTS = {
    "no parameter": ("", "FDCBA"),
    "a word": ("q=fever&sortAsc=id", "BCF"),
    "a phrase": ("q=%22yellow+fever%22", "C"),
    "a prefix": ("q=yell*", "C"),
    "a code": ("q=d", "D"),
    "no word": ("q=***", "FDCBA"),
    "an empty value": ("q=&conceptClass=&locale=", "FDCBA"),
    "words and a filter": ("q=fever&conceptClass=test", "F"),
    "a class": ("conceptClass=DIAGNOSIS", "CB"),
    "alternatives": ("conceptClass=diagnosis,test", "FCBA"),
    "a quoted value": ("conceptClass=%22misc,%20other%22", "D"),
    "a quoted and a plain one": ("conceptClass=%22Misc,+other%22,test", "FDA"),
    "a datatype": ("datatype=numeric", "A"),
    "a datatype by its other name": ("dataType=numeric", "A"),
    "a locale": ("locale=FR", "B"),
    "its source": ("source={source}", "FDCBA"),
    "another source": ("source=nowhere", ""),
    "its owner": ("owner={owner}&ownerType=organization&org={owner}", "FDCBA"),
    "a user": ("user={owner}", ""),
    "a collection": ("collection={source}", ""),
    "an editor": ("updatedBy=ROOT,somebody", "FDCBA"),
    "an extra": ("extras__units=MMOL/l", "A"),
    "a nested extra": ("extras__a__b=1", "A"),
    "not an extra": ("extras__units!=mmol/l", "FDCB"),
    "with retired ones": ("includeRetired=true", "FEDCBA"),
    "retired ones": ("retired=true", "E"),
    "none retired": ("retired=false&includeRetired=true", "FDCBA"),
    "what is released": ("released=true", "DCBA"),
    "what is not": ("released=false", "F"),
    "what is released of a class": ("released=true&conceptClass=test", "A"),
    "by id": ("sortAsc=id", "ABCDF"),
    "by name": ("sortAsc=name", "FBADC"),
    "by class": ("sortDesc=conceptClass", "FADCB"),
    "by datatype": ("sortAsc=datatype", "BCDFA"),
    "by the last update": ("sortAsc=last_update", "ABCDF"),
    "descending wins": ("sortAsc=id&sortDesc=lastUpdated", "FDCBA"),
    "best match": ("q=fever&sortDesc=best_match&conceptClass=test", "F"),
}


def list_url(source, rest, query):
    _, _, owner, _, short, _ = source.url.split("/")
    return f"{source.url}{rest}?{query.format(owner=owner, source=short)}"


@pytest.mark.parametrize(("query", "ids"), CONCEPTS.values(), ids=CONCEPTS)
def test_concepts_are_filtered_and_sorted(api, filled, query, ids):
    response = api.get(list_url(filled, "concepts/", query))
    assert ids_of(response) == list(ids)
    assert response.headers["num_found"] == str(len(ids))
    assert (response.headers["search-engine"], response.headers["search-behind"]) == (
        "mongodb",
        "0",
    )


@pytest.mark.parametrize(("query", "ids"), CONCEPTS.values(), ids=CONCEPTS)
def test_pages_and_streams_contain_the_same_entries(api, filled, query, ids):
    url = list_url(filled, "concepts/", query)
    assert [one for page in walk(api, f"{url}&limit=2") for one in page] == list(ids)
    whole = api.get(f"{url}&limit=0")
    assert ids_of(whole) == list(ids)
    assert (whole.headers["num_found"], whole.headers["num_returned"], whole.headers["pages"]) == (
        str(len(ids)),
        str(len(ids)),
        "1",
    )


MAPPINGS = {
    "no parameter": ("", ["m2", "m1"]),
    "a type": ("mapType=same-as", ["m1"]),
    "a code": ("concept=b", ["m2", "m1"]),
    "a code from": ("fromConcept=B", ["m2"]),
    "a name to": ("toConcept=high+fever", ["m1"]),
    "a URL to": ("toConcept={url}concepts/B/", ["m1"]),
    "a URL without a slash and with a version": (
        "toConcept=http://localhost{url}v1/concepts/B",
        ["m1"],
    ),
    "a source": (
        "conceptSource={source}&fromConceptSource={source}&toConceptSource={source}",
        ["m2", "m1"],
    ),
    "an owner": (
        "conceptOwner={owner}&fromConceptOwner={owner}&toConceptOwner={owner}",
        ["m2", "m1"],
    ),
    "an owner's type": ("conceptOwnerType=Organization&fromConceptOwnerType=user", []),
    "a name in words": ("q=fever&sortAsc=lastUpdate", ["m1", "m2"]),
    "by type": ("sortAsc=mapType", ["m2", "m1"]),
    "retired ones": ("retired=true", ["m3"]),
    "nothing after the release": ("released=false", []),
}


@pytest.mark.parametrize(("query", "ids"), MAPPINGS.values(), ids=MAPPINGS)
def test_mappings_are_filtered_and_sorted(api, filled, query, ids):
    url = list_url(filled, "mappings/", query.replace("{url}", filled.url))
    assert ids_of(api.get(url)) == ids
    assert ids_of(api.get(f"{url}&limit=0")) == ids


def test_the_content_of_a_version_is_listed(api, filled):
    assert ids_of(api.get(f"{filled.url}v1/concepts/?q=fever&sortAsc=id&released=false")) == [
        "B",
        "C",
    ]
    assert ids_of(api.get(f"{filled.url}latest/concepts/?conceptClass=test")) == ["A"]


SPELLINGS = {
    "concepts/": [
        ("lastUpdate", "last_update", "lastUpdated", "updated_on"),
        ("bestMatch", "best_match", "_score"),
        ("id", "mnemonic", "_mnemonic", "id_lowercase", "numeric_id"),
        ("name", "_name", "display_name"),
        ("conceptClass", "concept_class"),
        ("datatype", "dataType"),
        ("source",),
        ("owner",),
    ],
    "mappings/": [
        ("lastUpdate", "last_update", "lastUpdated", "updated_on"),
        ("bestMatch", "best_match", "_score"),
        ("id", "mnemonic", "_mnemonic", "id_lowercase", "numeric_id"),
        ("mapType", "map_type"),
        ("fromConcept",),
        ("toConcept",),
        ("source",),
        ("owner",),
    ],
    "/sources/": [
        ("lastUpdate", "last_update", "lastUpdated", "updated_on"),
        ("bestMatch", "best_match", "_score"),
        ("id", "mnemonic", "_mnemonic", "id_lowercase", "numeric_id"),
        ("name", "_name", "display_name"),
        ("full_name",),
        ("sourceType", "source_type"),
        ("owner",),
        ("createdOn", "created_on"),
    ],
    "/orgs/": [
        ("lastUpdate", "last_update", "lastUpdated", "updated_on"),
        ("bestMatch", "best_match", "_score"),
        ("id", "mnemonic", "_mnemonic", "id_lowercase", "numeric_id"),
        ("name", "_name", "display_name"),
        ("createdOn", "created_on"),
    ],
    "/users/": [
        ("username", "_username"),
        ("name", "_name", "display_name"),
        ("dateJoined", "date_joined"),
        ("bestMatch", "best_match", "_score"),
    ],
}


@pytest.mark.parametrize("rest", SPELLINGS)
def test_all_spellings_of_a_sort_give_the_same_order(api, filled, rest):
    url = rest if rest.startswith("/") else f"{filled.url}{rest}"
    for spellings in SPELLINGS[rest]:
        for way in ("sortAsc", "sortDesc"):
            found = {
                json.dumps(good(api.get(f"{url}?limit=20&{way}={spelling}")).get_json())
                for spelling in spellings
            }
            assert len(found) == 1, spellings


@pytest.mark.parametrize(
    ("url", "sorts"),
    [
        ("concepts/", ["mapType", "fromConcept", "createdOn", "full_name"]),
        ("mappings/", ["name", "conceptClass", "display_name"]),
        ("/sources/", ["username", "conceptClass", "dateJoined", "collectionType"]),
        ("/orgs/", ["owner", "full_name", "username"]),
        ("/users/", ["id", "lastUpdate", "createdOn", "_mnemonic"]),
    ],
)
def test_a_list_refuses_the_sorts_of_others(api, filled, url, sorts):
    for sort in sorts:
        response = api.get(f"{url if url[0] == '/' else filled.url + url}?sortAsc={sort}")
        assert (response.status_code, list(response.get_json()["errors"])) == (400, ["sortAsc"])


def test_ids_and_codes_sort_by_the_numbers_in_them(api):
    source = new_source(api)
    ids = ["1", "2", "2a", "10", "A-9", "a-9", "A-10"]
    for concept in reversed(ids):
        source.concept(concept)
    for number in ("10", "9", "1"):
        source.mapping(f"m{number}", "A-10", number if number != "9" else "a-9")
    assert ids_of(api.get(f"{source.url}concepts/?sortAsc=id")) == ids
    assert ids_of(api.get(f"{source.url}concepts/?sortDesc=numeric_id")) == ids[::-1]
    walked = walk(api, f"{source.url}concepts/?sortAsc=id_lowercase&limit=2")
    assert walked == [ids[0:2], ids[2:4], ids[4:6], ids[6:]]
    mappings = f"{source.url}mappings/"
    assert ids_of(api.get(f"{mappings}?sortAsc=id")) == ["m1", "m9", "m10"]
    assert ids_of(api.get(f"{mappings}?sortAsc=toConcept")) == ["m1", "m10", "m9"]
    assert ids_of(api.get(f"{mappings}?sortDesc=fromConcept")) == ["m9", "m10", "m1"]


def test_names_sort_without_case_and_accents(api):
    source = new_source(api)
    names = ["Eczema", "Édema", "edema b", "Œdeme", "oedemf", "Straße", "strasse c"]
    for number, name in enumerate(names):
        source.concept(f"c{7 - number}", names=[{"name": name, "locale": "en"}])
    shown = good(api.get(f"{source.url}concepts/?sortAsc=_name")).get_json()
    assert [concept["display_name"] for concept in shown] == names


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("facetsOnly=maybe", "facetsOnly"),
        ("sortAsc=mapType", "sortAsc"),
        ("sortDesc=updated", "sortDesc"),
        ("sortAsc=nonsense&sortDesc=id", "sortAsc"),
        ("retired=x", "retired"),
        ("released=maybe", "released"),
        ("updatedSince=yesterday", "updatedSince"),
        ("limit=-1", "limit"),
        ("verbose=2", "verbose"),
        ("includeRetired=no", "includeRetired"),
    ],
)
@pytest.mark.parametrize("rest", ["{source}concepts/", "{source}v1/concepts/", "/concepts/"])
def test_the_error_for_a_bad_value_names_the_parameter(api, filled, rest, query, field):
    response = api.get(f"{rest.replace('{source}', filled.url)}?{query}")
    assert (response.status_code, list(response.get_json()["errors"])) == (400, [field])


LISTS_OF_ONE_ORDER = [
    "versions/",
    "v1/children/",
    "concepts/A/versions/",
    "concepts/A/mappings/",
    "mappings/m1/versions/",
]


@pytest.mark.parametrize("query", ["sortAsc=foo", "sortDesc=lastUpdate"])
@pytest.mark.parametrize("rest", LISTS_OF_ONE_ORDER)
def test_a_list_with_one_order_refuses_a_field_to_sort_by(api, filled, rest, query):
    response = api.get(f"{filled.url}{rest}?{query}")
    assert (response.status_code, list(response.get_json()["errors"])) == (
        400,
        [query.split("=")[0]],
    )
    assert api.get(f"{filled.url}{rest}?sortAsc=").status_code == 200


@pytest.mark.parametrize(
    "query", ["verbose=x", "includeMappings=2", "includeInverseMappings=no", "includeRetired=maybe"]
)
@pytest.mark.parametrize("rest", ["concepts/A/", "v1/concepts/A/", "concepts/A/{version}/"])
def test_the_error_for_a_bad_value_names_the_parameter_of_one_concept(api, filled, rest, query):
    version = good(api.get(f"{filled.url}concepts/A/")).get_json()["version"]
    response = api.get(f"{filled.url}{rest.replace('{version}', version)}?{query}")
    assert (response.status_code, list(response.get_json()["errors"])) == (
        400,
        [query.split("=")[0]],
    )


@pytest.mark.parametrize(
    "text",
    ["*:*", "{!term f=repo}1", '"', "a\x00b", "((", "x" * 1000, "fever OR repo:1", "ف", "\\", "%"],
)
def test_any_text_is_safe(api, filled, text):
    response = api.open("GET", f"{filled.url}concepts/", query_string={"q": text})
    assert response.status_code == 200


@pytest.mark.parametrize(
    "name", ["source", "updatedBy", "conceptClass", "extras__a", "concept", "toConceptOwner"]
)
@pytest.mark.parametrize("value", ["\x00", "(", ".*", '"', ",,,", "a|b", "$where", "x" * 1000])
def test_any_value_of_a_filter_is_safe(api, filled, name, value):
    for rest in ("concepts/", "mappings/"):
        assert api.open("GET", f"{filled.url}{rest}", query_string={name: value}).status_code == 200


def test_facets_are_returned_with_the_results(api, filled):
    response = good(
        api.get(f"{filled.url}concepts/?limit=1&conceptClass=diagnosis,test", includeFacets="true")
    )

    body = response.get_json()
    assert list(body) == ["results", "facets"]
    assert [concept["id"] for concept in body["results"]] == ["F"]
    assert (body["facets"]["dates"], body["facets"]["queries"]) == ({}, {})
    counted = body["facets"]["fields"]
    assert counted["conceptClass"] == [["Test", 2], ["Diagnosis", 1], ["diagnosis", 1]]
    assert counted["datatype"] == [["None", 3], ["Numeric", 1]]
    assert counted["locale"] == [["en", 4], ["fr", 1]]
    assert counted["retired"] == [["false", 4]]
    assert counted["ownerType"] == [["Organization", 4]]
    assert response.headers["num_found"] == "4"
    whole = good(
        api.get(f"{filled.url}concepts/?limit=0&conceptClass=diagnosis,test", includeFacets="1")
    ).get_json()
    assert ([concept["id"] for concept in whole["results"]], whole["facets"]) == (
        list("FCBA"),
        body["facets"],
    )
    nothing = good(
        api.get(f"{filled.url}concepts/?source=nowhere", includeFacets="true")
    ).get_json()
    assert (nothing["results"], nothing["facets"]["fields"]["conceptClass"]) == ([], [])
    assert isinstance(
        good(api.get(f"{filled.url}concepts/", includeFacets="false")).get_json(), list
    )


@pytest.mark.parametrize("limit", ["", "&limit=1", "&limit=0", "&limit=2&page=2"])
def test_facets_are_returned_alone(api, filled, limit):
    url = f"{filled.url}concepts/?conceptClass=diagnosis,test"
    both = good(api.get(url, includeFacets="true")).get_json()
    response = good(api.get(f"{url}&facetsOnly=true{limit}"))
    assert response.get_json() == {"facets": both["facets"]}
    headers = response.headers
    assert [headers[name] for name in ("num_found", "num_returned", "pages")] == ["4", "0", "1"]
    assert "next" not in headers
    assert "lastUpdated" in headers
    assert isinstance(good(api.get(f"{url}&facetsOnly=false")).get_json(), list)


def test_facets_of_sources_are_returned_alone(api, owner):
    response = good(api.anonymous.get(f"{owner}sources/?facetsOnly=true&limit=1"))
    both = good(api.anonymous.get(f"{owner}sources/", includeFacets="true")).get_json()
    assert response.get_json() == {"facets": both["facets"]}
    assert (response.headers["num_found"], response.headers["num_returned"]) == ("3", "0")
    assert good(api.get("/orgs/?facetsOnly=1")).get_json()["facets"]["fields"] == {}


def test_facets_of_mappings_count_both_ends(api, filled):
    counted = good(
        api.get(f"{filled.url}mappings/?includeRetired=true", includeFacets="true")
    ).get_json()["facets"]["fields"]
    assert counted["mapType"] == [["SAME-AS", 2], ["Narrower Than", 1]]
    assert counted["retired"] == [["false", 2], ["true", 1]]
    assert counted["toConceptSource"] == [[filled.url.split("/")[4], 3]]


def test_a_zip_contains_all_matching_entries(api, filled):
    response = good(api.get(f"{filled.url}concepts/?conceptClass=test&limit=1", Compress="true"))
    with zipfile.ZipFile(io.BytesIO(response.data)) as archive:
        assert [concept["id"] for concept in json.loads(archive.read("export.json"))] == ["F", "A"]


def test_details_and_mappings_are_included_in_filtered_lists(api, filled):
    for limit in (10, 0):
        found = good(
            api.get(f"{filled.url}concepts/?q=fever&sortAsc=id&includeMappings=true&limit={limit}")
        ).get_json()
        assert [[mapping["id"] for mapping in concept["mappings"]] for concept in found] == [
            ["m2"],
            [],
            [],
        ]
        detailed = good(
            api.get(f"{filled.url}concepts/?conceptClass=test&verbose=true&limit={limit}")
        ).get_json()
        assert detailed[1] == good(api.get(f"{filled.url}concepts/A/")).get_json()


@pytest.mark.parametrize(
    "query",
    [
        "sortAsc=name",
        "sortDesc=conceptClass",
        "q=name&sortAsc=id",
        "q=name",
        "datatype=none",
        "sortAsc=id",
    ],
)
def test_pages_by_cursor_neither_skip_nor_repeat_while_others_write(api, source, query):
    source.concepts(*"ABCDEFG")
    url = f"{source.url}concepts/?{query}"
    before = ids_of(api.get(f"{url}&limit=0"))
    seen, following = [], f"{url}&limit=2"
    while following:
        response = api.get(rest_of(following))
        seen += ids_of(response)
        assert response.headers["num_found"] == "7"
        following = response.headers.get("next")
        good(
            api.put(
                f"{source.url}concepts/D/",
                {"datatype": "Text", "extras": {"n": next(numbers)}, "concept_class": "Z"},
            )
        )
        source.concept(f"AA{next(numbers)}")
    assert seen == before


def test_a_cursor_with_another_page_or_other_parameters_jumps(api, filled):
    following = rest_of(
        good(api.get(f"{filled.url}concepts/?sortAsc=name&limit=2")).headers["next"]
    )

    assert ids_of(api.get(following)) == ["A", "D"]
    assert ids_of(api.get(following.replace("page=2", "page=3"))) == ["C"]
    assert ids_of(api.get(following.replace("page=2", "page=1"))) == ["F", "B"]
    assert ids_of(api.get(following.replace("sortAsc=name", "sortAsc=id"))) == ["C", "D"]
    assert ids_of(api.get(following.replace("limit=2", "limit=1"))) == ["B"]


def test_filters_find_a_write_at_once(api, source):
    for number in range(5):
        source.concept(f"C{number}", concept_class=f"K{number}")
        assert ids_of(api.get(f"{source.url}concepts/?conceptClass=k{number}")) == [f"C{number}"]
        good(api.put(f"{source.url}concepts/C{number}/", {"concept_class": "Other"}))
        assert ids_of(api.get(f"{source.url}concepts/?conceptClass=k{number}")) == []


def test_a_difference_can_be_filtered(api, source):
    source.concepts("A", "B")
    since = source.concept("C", datatype="Text").get_json()["updated_on"]
    source.concept("D")
    assert ids_of(api.get(f"{source.url}concepts/?updatedSince={since}&datatype=text")) == ["C"]
    assert ids_of(api.get(f"{source.url}concepts/?updatedSince={since}&sortAsc=id")) == ["C", "D"]
    assert (
        ids_of(api.get(f"{source.url}concepts/?updatedSince=2999-01-01T00:00:00.000Z&sortAsc=id"))
        == []
    )


# Over all sources


@pytest.fixture
def tag(api):
    """A concept class that no other test uses.

    Two public sources and a private one have two concepts of it and a mapping each.
    """
    name = f"Tag{next(numbers)}"
    for access in ("View", "Edit", "None"):
        source = new_source(api, public_access=access)
        source.concept(f"X{access}", concept_class=name, datatype="Text")
        source.concept(f"Y{access}", concept_class=name)
        source.mapping(f"m{access}", f"X{access}", f"Y{access}", map_type=name)
    return name


def test_public_sources_are_listed_together_newest_first_for_every_caller(api, tag):
    for caller in (api, api.anonymous):
        response = caller.get(f"/concepts/?conceptClass={tag}")
        assert ids_of(response) == ["YEdit", "XEdit", "YView", "XView"]
        assert response.headers["num_found"] == "4"
        assert "lastUpdated" not in response.headers
        assert ids_of(caller.get(f"/mappings/?mapType={tag}")) == ["mEdit", "mView"]
        assert not {"XNone", "YNone"} & set(ids_of(caller.get("/concepts/?limit=500")))


def test_the_number_of_all_public_entries_is_exact(api, tag):
    found = int(good(api.get("/concepts/?limit=1")).headers["num_found"])
    new_source(api, public_access="None").concept("Z")
    other = new_source(api)
    other.concept("Z1")
    other.concept("Z2", retired=True)
    response = good(api.get("/concepts/?limit=500"))
    assert int(response.headers["num_found"]) == found + 1 == len(response.get_json())
    assert (
        int(good(api.get("/concepts/?includeRetired=true&limit=1")).headers["num_found"])
        >= found + 2
    )


def test_pages_over_all_sources_follow_each_other(api, tag):
    assert walk(api, f"/concepts/?conceptClass={tag}&limit=3") == [
        ["YEdit", "XEdit", "YView"],
        ["XView"],
    ]
    whole = ids_of(api.get("/concepts/?limit=0"))
    assert ids_of(api.get("/concepts/?limit=3&page=2")) == whole[3:6]
    assert ids_of(api.get("/concepts/?limit=500")) == whole[:500]


def test_all_sources_are_filtered_sorted_and_cut_by_time(api, tag):
    listed = good(api.get(f"/concepts/?conceptClass={tag}&verbose=true")).get_json()
    first = listed[-1]
    query = f"/concepts/?conceptClass={tag}"
    assert ids_of(api.get(f"{query}&source={first['source']}")) == ["YView", "XView"]
    assert ids_of(api.get(f"{query}&owner={first['owner']}&datatype=text")) == ["XView"]
    assert ids_of(api.get(f"{query}&collection=x")) == []
    assert ids_of(api.get(f"{query}&sortAsc=id")) == ["XEdit", "XView", "YEdit", "YView"]
    assert ids_of(api.get(f"{query}&updatedSince={listed[1]['updated_on']}")) == ["YEdit", "XEdit"]
    assert [
        len(concept["mappings"])
        for concept in good(api.get(f"{query}&includeMappings=true&sortAsc=id")).get_json()
    ] == [1, 1, 0, 0]


def test_releases_of_all_sources_are_listed_together(api):
    name = f"Tag{next(numbers)}"
    one, other, private = new_source(api), new_source(api), new_source(api, public_access="None")
    for source in (one, other, private):
        source.concept("A", concept_class=name)
    for source in (one, private):
        source.release("v1")
        good(api.put(f"{source.url}concepts/A/", {"datatype": "Text"}))
        source.concept("B", concept_class=name)
    released = good(api.get(f"/concepts/?conceptClass={name}&released=true")).get_json()
    assert [(concept["url"], concept["datatype"]) for concept in released] == [
        (f"{one.url}concepts/A/", "None")
    ]
    fresh = good(api.get(f"/concepts/?conceptClass={name}&released=false&limit=0")).get_json()
    assert [concept["url"] for concept in fresh] == [
        f"{one.url}concepts/B/",
        f"{one.url}concepts/A/",
        f"{other.url}concepts/A/",
    ]


def test_words_and_facets_over_all_sources_need_the_search_engine(api, filled):
    new_source(api).concept("A")
    for response in (api.get("/concepts/?q=fever"), api.get("/mappings/", includeFacets="true")):
        assert response.status_code == 503
        assert response.headers["Retry-After"]
    _, _, owner, _, short, _ = filled.url.split("/")
    assert ids_of(api.get(f"/concepts/?q=fever&sortAsc=id&source={short}&owner={owner}")) == [
        "B",
        "C",
        "F",
    ]


def test_the_entries_of_a_deleted_source_leave_the_lists_at_once(api, tag):
    [found] = good(api.get(f"/concepts/?conceptClass={tag}&limit=1")).get_json()
    good(api.delete(found["url"].split("concepts/")[0]))
    assert ids_of(api.get(f"/concepts/?conceptClass={tag}")) == ["YView", "XView"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("url", ["/concepts/", "/mappings/"])
def test_lists_over_all_sources_are_read_only(api, method, url):
    assert api.open(method, url, json={}).status_code == 405


def test_a_search_that_takes_too_long_is_503(api, filled, services, monkeypatch):
    monkeypatch.setattr(
        type(services),
        "search",
        property(lambda self: Search(self.store, MongoIndex(self.store.database, 0))),
    )
    assert api.get(f"{filled.url}concepts/?q=fever").status_code == 503


# Sources and organisations


@pytest.fixture(scope="module")
def owner(app):
    """An organisation with three public sources and a private one."""
    api = Api(app.test_client())
    url = new_org(api, company="Acme, Inc.", location="Kisumu")
    bodies = [
        {
            "id": "ICD",
            "name": "beta",
            "source_type": "Dictionary",
            "supported_locales": "en,fr",
            "extras": {"region": 4},
        },
        {
            "id": "LOINC",
            "name": "Alpha",
            "full_name": "Laboratory codes",
            "description": "Tests and Œdèmes",
        },
        {
            "id": "CIEL",
            "name": "gamma",
            "source_type": "dictionary",
            "custom_validation_schema": "OpenMRS",
        },
        {"id": "SECRET", "name": "delta", "source_type": "Dictionary", "public_access": "None"},
    ]
    for body in bodies:
        good(api.post(f"{url}sources/", body))
    return url


SOURCES = {
    "no parameter": ("", ["CIEL", "LOINC", "ICD"]),
    "by name": ("sortAsc=name", ["LOINC", "ICD", "CIEL"]),
    "by name, descending": ("sortDesc=name", ["CIEL", "ICD", "LOINC"]),
    "by full name": ("sortAsc=full_name", ["ICD", "CIEL", "LOINC"]),
    "by id": ("sortAsc=id", ["CIEL", "ICD", "LOINC"]),
    "by type": ("sortAsc=sourceType", ["LOINC", "CIEL", "ICD"]),
    "by owner": ("sortAsc=owner", ["CIEL", "ICD", "LOINC"]),
    "by creation": ("sortAsc=createdOn", ["ICD", "LOINC", "CIEL"]),
    "best match": ("q=codes&sortDesc=_score", ["LOINC"]),
    "oldest first": ("sortAsc=last_update", ["ICD", "LOINC", "CIEL"]),
    "an id": ("q=icd", ["ICD"]),
    "a word of the full name": ("q=laboratory", ["LOINC"]),
    "a word of the description": ("q=oedemes", ["LOINC"]),
    "a prefix": ("q=gam*", ["CIEL"]),
    "a type": ("sourceType=Dictionary", ["CIEL", "ICD"]),
    "a locale": ("locale=FR", ["ICD"]),
    "a schema": ("customValidationSchema=openmrs", ["CIEL"]),
    "no schema": ("customValidationSchema=none", ["LOINC", "ICD"]),
    "its owner": ("owner={owner}&ownerType=Organization&org={owner}", ["CIEL", "LOINC", "ICD"]),
    "a user": ("user={owner}", []),
    "an extra": ("extras__region=4", ["ICD"]),
    "not an extra": ("extras__region!=4", ["CIEL", "LOINC"]),
    "a later time": ("updatedSince=2999-01-01", []),
}


@pytest.mark.parametrize(("query", "ids"), SOURCES.values(), ids=SOURCES)
def test_sources_are_filtered_and_sorted(api, owner, query, ids):
    short = owner.split("/")[2]
    url = f"{owner}sources/?{query.format(owner=short)}"
    assert ids_of(api.anonymous.get(url)) == ids
    assert [one for page in walk(api.anonymous, f"{url}&limit=1") for one in page] == ids
    assert ids_of(api.anonymous.get(f"/sources/?owner={short}&{query.format(owner=short)}")) == ids


def test_facets_of_sources_count_what_the_caller_may_read(api, owner):
    response = good(api.anonymous.get(f"{owner}sources/?limit=1", includeFacets="true"))
    body = response.get_json()
    assert (len(body["results"]), response.headers["num_found"]) == (1, "3")
    assert body["facets"] == {
        "fields": {
            "sourceType": [["Dictionary", 1], ["dictionary", 1]],
            "locale": [["en", 3], ["fr", 1]],
            "owner": [[owner.split("/")[2], 3]],
            "ownerType": [["Organization", 3]],
            "customValidationSchema": [["None", 2], ["OpenMRS", 1]],
        },
        "dates": {},
        "queries": {},
    }
    assert good(api.get(f"{owner}sources/", includeFacets="true")).get_json()["facets"]["fields"][
        "sourceType"
    ][0] == ["Dictionary", 2]


def test_a_private_source_is_never_found(api, owner):
    for query in ("q=secret", "q=delta", "sortAsc=name", "extras__x!=1", "sourceType=dictionary"):
        assert "SECRET" not in ids_of(api.anonymous.get(f"/sources/?{query}&limit=500"))
    assert ids_of(api.get(f"{owner}sources/?q=secret")) == ["SECRET"]


def test_organisations_are_filtered_and_sorted(api, owner):
    org = owner.split("/")[2]
    assert ids_of(api.get("/orgs/?company=%22acme,%20inc.%22")) == [org]
    assert ids_of(api.get(f"/orgs/?location=kisumu&q={org}")) == [org]
    assert ids_of(api.get("/orgs/?q=kisumu")) == [org]
    assert ids_of(api.get("/orgs/?q=open+concept")) == ["OCL"]
    names = [
        item["name"].casefold()
        for item in good(api.get("/orgs/?sortAsc=name&limit=500")).get_json()
    ]
    assert names == sorted(names)


@pytest.mark.parametrize("url", ["/sources/", "/orgs/", "{owner}sources/"])
@pytest.mark.parametrize(
    "query", ["sortAsc=version", "sortDesc=nonsense", "updatedSince=x", "limit=x", "facetsOnly=x"]
)
def test_the_error_for_a_bad_value_names_the_parameter_of_a_list_of_owners_or_sources(
    api, owner, url, query
):
    response = api.get(f"{url.replace('{owner}', owner)}?{query}")
    assert (response.status_code, list(response.get_json()["errors"])) == (
        400,
        [query.split("=")[0]],
    )


def test_a_list_that_takes_too_long_to_search_is_503(api, source, monkeypatch):
    seconds = itertools.count(step=6)
    monkeypatch.setattr(listings, "time", SimpleNamespace(monotonic=lambda: next(seconds)))

    response = api.get("/sources/?extras__a=1&extras__b=2")

    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
