"""Pages, cursors, differences and included content over HTTP (contract 5)."""

import time
from datetime import datetime, timedelta

import pytest
from itsdangerous import TimestampSigner

from oclapi.store import rows
from tests.builders import good, new_source


def ids_of(response):
    return [item["id"] for item in good(response).get_json()]


def rest_of(url):
    """Return a link without the address of the server."""
    return url.removeprefix("http://localhost")


def walk(api, url, between=lambda: None):
    """Follow the `next` links and return all pages. `between` is called after each page."""
    pages = []
    while url:
        response = good(api.get(rest_of(url)))
        pages.append(response)
        between()
        url = response.headers.get("next")
    return pages


@pytest.fixture
def seven(source):
    source.concepts(*"ABCDEFG")
    return source


def test_a_list_is_newest_first_in_pages_of_ten(api, source):
    source.concepts(*"ABCDEFGHIJKL")

    response = api.get(f"{source.url}concepts/")

    assert ids_of(response) == list("LKJIHGFEDC")
    headers = response.headers
    assert (headers["num_found"], headers["num_returned"], headers["offset"]) == ("12", "10", "0")
    assert (headers["pages"], headers["page_number"]) == ("2", "1")
    assert "previous" not in headers
    assert ids_of(api.get(rest_of(headers["next"]))) == ["B", "A"]


def test_the_links_of_a_page_lead_on_and_back(api, seven):
    second = good(api.get(f"{seven.url}concepts/?limit=3&page=2&includeRetired=true"))

    assert ids_of(second) == list("DCB")
    assert (second.headers["offset"], second.headers["pages"], second.headers["page_number"]) == (
        "3",
        "3",
        "2",
    )
    assert ids_of(api.get(rest_of(second.headers["next"]))) == ["A"]
    assert ids_of(api.get(rest_of(second.headers["previous"]))) == list("GFE")
    assert "includeRetired=true" in second.headers["next"]
    links = {
        part.split('rel="')[1][:-1]: part.split(">")[0][1:]
        for part in second.headers["Link"].split(", ")
    }
    assert (links["next"], links["prev"]) == (second.headers["next"], second.headers["previous"])
    assert ids_of(api.get(rest_of(links["first"]))) == list("GFE")
    assert ids_of(api.get(rest_of(links["last"]))) == ["A"]
    last = good(api.get(rest_of(links["last"])))
    assert "next" not in last.headers


def test_an_offset_takes_precedence_over_a_page_and_is_kept_in_the_links(api, seven):
    response = good(api.get(f"{seven.url}concepts/?limit=3&offset=2&page=3"))

    assert ids_of(response) == list("EDC")
    assert "offset=5" in response.headers["next"]
    assert "page=" not in response.headers["next"]
    assert ids_of(api.get(rest_of(response.headers["next"]))) == list("BA")
    assert ids_of(api.get(rest_of(response.headers["previous"]))) == list("GFE")


@pytest.mark.parametrize("query", ["page=9", "offset=7", f"offset={10**30}", f"page={10**30}"])
@pytest.mark.parametrize(
    "listing",
    [
        "{source}concepts/",
        "{source}versions/",
        "/orgs/",
        "/sources/",
        "{source}concepts/A/versions/",
    ],
)
def test_a_page_past_the_end_is_empty(api, seven, query, listing):
    url = listing.replace("{source}", seven.url)
    far = (
        query
        if url.startswith(seven.url)
        else query.replace("=7", "=70000").replace("=9", "=90000")
    )
    response = good(api.get(f"{url}?{far}"))

    assert response.get_json() == []
    assert "next" not in response.headers
    assert response.headers["num_returned"] == "0"
    assert good(api.get(rest_of(response.headers["previous"]))).get_json() != []


@pytest.mark.parametrize("verbose", ["true", "false"])
@pytest.mark.parametrize(
    ("sort", "expected"),
    [("", "GFEDCBA"), ("&sortAsc=lastUpdate", "ABCDEFG"), ("&sortDesc=last_update", "GFEDCBA")],
)
def test_everything_comes_in_one_stream_in_the_same_order(
    api, seven, monkeypatch, verbose, sort, expected
):
    # Batches of two rows, so that seven rows need several snapshots.
    monkeypatch.setattr(rows.Rows.body_batches, "__defaults__", (2,))
    response = good(api.get(f"{seven.url}concepts/?limit=0&verbose={verbose}{sort}"))

    assert ids_of(response) == list(expected)
    assert (
        response.get_json()
        == good(api.get(f"{seven.url}concepts/?limit=100&verbose={verbose}{sort}")).get_json()
    )
    assert (
        response.headers["num_found"],
        response.headers["num_returned"],
        response.headers["pages"],
        response.headers["page_number"],
    ) == (
        "7",
        "7",
        "1",
        "1",
    )
    assert "next" not in response.headers
    assert "Content-Length" not in response.headers


@pytest.mark.parametrize("sort", ["", "&sortAsc=lastUpdate"])
@pytest.mark.parametrize("way", ["page=1", "offset=0"])
def test_pages_by_cursor_neither_skip_nor_repeat_while_others_write(api, seven, sort, way):
    before = seven.ids(f"concepts/?limit=0{sort}")
    fresh = iter(range(100))

    def write():
        good(api.put(f"{seven.url}concepts/D/", {"extras": {"n": next(fresh)}}))
        seven.concept(f"N{next(fresh)}")
        if seven.ids("concepts/?limit=0").count("A"):
            good(api.delete(f"{seven.url}concepts/A/"))

    pages = walk(api, f"{seven.url}concepts/?limit=2&{way}{sort}", write)

    assert [concept for page in pages for concept in ids_of(page)] == before
    assert {page.headers["num_found"] for page in pages} == {"7"}
    assert len({page.headers["lastUpdated"] for page in pages}) == 1


def test_a_cursor_with_another_page_jumps_at_its_revision(api, seven):
    first = good(api.get(f"{seven.url}concepts/?limit=2"))
    seven.concept("Z")
    next_url = rest_of(first.headers["next"])

    assert ids_of(api.get(next_url.replace("page=2", "page=3"))) == ["C", "B"]
    assert ids_of(api.get(next_url.replace("page=2", "page=1"))) == ["G", "F"]
    assert ids_of(api.get(next_url.replace("limit=2", "limit=3"))) == ["D", "C", "B"]
    assert ids_of(api.get(next_url + "&sortAsc=lastUpdate")) == ["C", "D"]


def test_a_cursor_of_unreleased_entries_keeps_to_them_when_the_sort_changes(api, source):
    source.concepts(*"ABC")
    source.release("v1", released=True)
    source.concepts(*"DEF")
    next_url = good(api.get(f"{source.url}concepts/?released=false&limit=1")).headers["next"]
    for more in ("&sortAsc=id", "&includeRetired=true"):
        response = good(
            api.get(next_url.replace("limit=1", "limit=9").replace("page=2", "page=1") + more)
        )
        assert sorted(ids_of(response)) == ["D", "E", "F"]


def test_a_cursor_is_refused_by_other_lists(api, seven):
    cursor = good(api.get(f"{seven.url}concepts/?limit=2")).headers["next"].split("cursor=")[1]
    seven.release("v1")
    other = new_source(api)
    urls = (
        "mappings/?",
        "v1/concepts/?",
        "?includeConcepts=true&",
        "concepts/?released=true&",
        "concepts/?released=false&",
    )
    for url in (*(f"{seven.url}{url}" for url in urls), f"{other.url}concepts/?"):
        response = api.get(f"{url}cursor={cursor}")
        assert response.status_code == 400
        assert "cursor" in response.get_json()["errors"]
    assert api.get(f"/orgs/?cursor={cursor}").status_code == 200
    assert api.get(f"{seven.url}versions/?cursor=nonsense").status_code == 200


@pytest.mark.parametrize(("seconds", "status"), [(86_300, 200), (86_500, 400)])
def test_a_cursor_is_valid_for_a_day(api, seven, monkeypatch, seconds, status):
    following = good(api.get(f"{seven.url}concepts/?limit=2")).headers["next"]
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda signer: int(time.time()) + seconds)

    response = api.get(following)

    assert response.status_code == status
    assert status == 200 or list(response.get_json()["errors"]) == ["cursor"]


# Which entries


def test_updated_since_selects_what_changed_since_a_time(api, seven):
    since = good(api.get(f"{seven.url}concepts/D/")).get_json()["updated_on"]
    good(api.put(f"{seven.url}concepts/B/", {"datatype": "Text"}))
    good(api.delete(f"{seven.url}concepts/C/"))

    assert seven.ids(f"concepts/?sortAsc=lastUpdate&updatedSince={since}") == list("DEFGB")
    assert seven.ids(
        f"concepts/?sortAsc=lastUpdate&updatedSince={since}&includeRetired=true"
    ) == list("DEFGBC")
    response = good(api.get(f"{seven.url}concepts/?updatedSince={since}&limit=2"))
    assert response.headers["num_found"] == "5"
    pages = walk(api, f"{seven.url}concepts/?updatedSince={since}&limit=2")
    assert [concept for page in pages for concept in ids_of(page)] == list("BGFED")
    assert seven.ids("concepts/?updatedSince=2999-01-01T00:00:00.000Z") == []
    assert len(seven.ids("concepts/?limit=0&updatedSince=0001-01-01")) == 6


def test_a_time_in_whole_seconds_includes_the_commit_before_it(api, seven):
    time_of_commit = datetime.fromisoformat(
        good(api.get(f"{seven.url}concepts/G/")).get_json()["updated_on"]
    )
    later = time_of_commit + timedelta(seconds=50)

    assert seven.ids(f"concepts/?updatedSince={later:%Y-%m-%dT%H:%M:%SZ}") == ["G"]
    assert seven.ids(f"concepts/?updatedSince={later:%Y-%m-%dT%H:%M:%S}.001Z") == []


def test_released_selects_the_latest_release_or_what_changed_since_then(api, seven):
    assert seven.ids("concepts/?released=true") == []
    assert len(seven.ids("concepts/?released=false")) == 7
    released = seven.release("v1")
    good(api.put(f"{seven.url}concepts/B/", {"datatype": "Text"}))
    seven.concept("H")

    listed = good(api.get(f"{seven.url}concepts/?released=true&verbose=true"))
    assert [concept["id"] for concept in listed.get_json()] == list("GFEDCBA")
    assert {concept["datatype"] for concept in listed.get_json()} == {"None"}
    assert released.status_code == 201
    assert seven.ids("concepts/?released=false") == ["H", "B"]


def test_last_updated_is_the_newest_content_commit_shown(api, source):
    created = good(api.get(source.url)).get_json()["created_on"]
    assert good(api.get(source.url)).headers["lastUpdated"] == created
    updated = source.concept("A").get_json()["updated_on"]
    source.release("v1")
    good(api.put(source.url, {"description": "not content"}))
    newer = source.concept("B").get_json()["updated_on"]

    for rest in (
        "v1/",
        "v1/concepts/",
        "v1/mappings/",
        "v1/?includeConcepts=true",
        "latest/concepts/?limit=0",
    ):
        assert good(api.get(source.url + rest)).headers["lastUpdated"] == updated
    for rest in ("", "HEAD/", "concepts/", "mappings/", "?includeConcepts=true&limit=0"):
        assert good(api.get(source.url + rest)).headers["lastUpdated"] == newer


# Content inside a detail


@pytest.fixture
def filled(source):
    source.concepts("A", "B", "C", "D")
    source.mapping("m1", "A", "B")
    source.mapping("m2", "B", "C")
    return source


CONTENT = "?includeConcepts=true&includeMappings=true"


def test_a_detail_includes_its_content_in_commit_order_as_its_last_keys(api, filled):
    plain = good(api.get(filled.url)).get_json()

    shown = good(api.get(f"{filled.url}{CONTENT}&limit=0"))

    body = shown.get_json()
    assert list(body)[-2:] == ["concepts", "mappings"]
    assert [concept["id"] for concept in body["concepts"]] == list("ABCD")
    assert [mapping["id"] for mapping in body["mappings"]] == ["m1", "m2"]
    assert body["concepts"][0] == good(api.get(f"{filled.url}concepts/A/")).get_json()
    assert {
        name: value for name, value in body.items() if name not in ("concepts", "mappings")
    } == plain
    assert (
        shown.headers["num_found"],
        shown.headers["num_found_concepts"],
        shown.headers["num_found_mappings"],
    ) == ("6", "4", "2")
    assert "mappings" not in good(api.get(f"{filled.url}?includeConcepts=true")).get_json()


def test_paging_applies_to_both_included_lists_until_both_end(api, filled):
    fresh = iter(range(100))
    pages = walk(
        api,
        f"{filled.url}{CONTENT}&limit=1",
        lambda: good(api.put(f"{filled.url}concepts/A/", {"extras": {"n": next(fresh)}})),
    )

    assert [[concept["id"] for concept in page.get_json()["concepts"]] for page in pages] == [
        ["A"],
        ["B"],
        ["C"],
        ["D"],
    ]
    assert [[mapping["id"] for mapping in page.get_json()["mappings"]] for page in pages] == [
        ["m1"],
        ["m2"],
        [],
        [],
    ]
    assert [page.headers["num_returned"] for page in pages] == ["2", "2", "1", "1"]
    assert {page.headers["num_found"] for page in pages} == {"6"}
    assert {page.headers["pages"] for page in pages} == {"4"}


def test_a_version_shows_the_difference_to_an_older_one(api, filled):
    filled.release("v1")
    old = good(api.get(f"{filled.url}v1/")).headers["lastUpdated"]
    good(api.put(f"{filled.url}concepts/B/", {"datatype": "Text"}))
    good(api.delete(f"{filled.url}concepts/C/"))
    filled.release("v2")
    filled.concept("E")

    difference = good(
        api.get(f"{filled.url}v2/{CONTENT}&includeRetired=true&limit=0&updatedSince={old}")
    )

    assert [concept["id"] for concept in difference.get_json()["concepts"]] == ["B", "C"]
    # Its commit has the time `old` itself.
    assert [mapping["id"] for mapping in difference.get_json()["mappings"]] == ["m2"]
    assert difference.get_json()["type"] == "Source Version"


def test_removed_entries_are_only_listed_with_updated_since(api, filled):
    updated = good(api.get(filled.url)).headers["lastUpdated"]
    url = f"{filled.url}{CONTENT}&includeRemoved=true&limit=1"

    assert "removed_concepts" not in good(api.get(url)).get_json()
    for since in ("2015-01-01", updated, "2999-01-01T00:00:00.000Z"):
        first = good(api.get(f"{url}&updatedSince={since}")).get_json()
        assert (first["removed_concepts"], first["removed_mappings"]) == ([], [])
    assert (
        "removed_concepts" not in good(api.get(f"{url}&updatedSince=2015-01-01&page=2")).get_json()
    )


def test_the_content_of_a_release_never_changes(api, filled):
    filled.release("v1")
    url = f"{filled.url}v1/concepts/?limit=0&verbose=true"
    before = good(api.get(url)).data

    good(api.put(f"{filled.url}concepts/A/", {"datatype": "Text"}))
    good(api.delete(f"{filled.url}concepts/B/"))

    assert good(api.get(url)).data == before


def test_the_counts_of_a_source_are_exact(api, filled):
    good(api.delete(f"{filled.url}concepts/A/"))

    source = good(api.get(filled.url)).get_json()

    assert (source["active_concepts"], source["active_mappings"], source["versions"]) == (3, 2, 1)
    for query, found in [
        ("", "3"),
        ("includeRetired=true", "4"),
        ("retired=true", "1"),
        ("retired=false", "3"),
    ]:
        assert good(api.get(f"{filled.url}concepts/?{query}")).headers["num_found"] == found


def test_mappings_included_from_the_second_page_on_keep_to_the_same_updated_since(api, source):
    source.concepts("A", "B")
    source.mapping("old", "A", "B")
    source.concepts("C", "D")
    since = good(api.get(f"{source.url}concepts/C/")).get_json()["updated_on"]
    first = good(api.get(f"{source.url}?includeConcepts=true&limit=1&updatedSince={since}"))

    second = good(api.get(rest_of(first.headers["next"]) + "&includeMappings=true"))

    assert [concept["id"] for concept in second.get_json()["concepts"]] == ["D"]
    assert second.get_json()["mappings"] == []
    assert (second.headers["num_found_concepts"], second.headers["num_found_mappings"]) == (
        "2",
        "0",
    )
