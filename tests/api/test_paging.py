"""Pages, cursors, differences and content inside details over HTTP (contract 5)."""

import time
from datetime import datetime, timedelta

import pytest
from itsdangerous import TimestampSigner

from oclapi.store import rows
from tests.builders import good, new_source


def ids_of(answer):
    return [item["id"] for item in good(answer).get_json()]


def rest_of(url):
    """A link without the server's address."""
    return url.removeprefix("http://localhost")


def walk(api, url, between=lambda: None):
    """All pages from `url` on, by their `next` links; `between` happens after each page."""
    pages = []
    while url:
        answer = good(api.get(rest_of(url)))
        pages.append(answer)
        between()
        url = answer.headers.get("next")
    return pages


@pytest.fixture
def seven(source):
    source.concepts(*"ABCDEFG")
    return source


def test_a_list_is_newest_first_in_pages_of_ten(api, source):
    source.concepts(*"ABCDEFGHIJKL")

    answer = api.get(f"{source.url}concepts/")

    assert ids_of(answer) == list("LKJIHGFEDC")
    headers = answer.headers
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


def test_an_offset_wins_over_a_page_and_is_kept_in_the_links(api, seven):
    answer = good(api.get(f"{seven.url}concepts/?limit=3&offset=2&page=3"))

    assert ids_of(answer) == list("EDC")
    assert "offset=5" in answer.headers["next"]
    assert "page=" not in answer.headers["next"]
    assert ids_of(api.get(rest_of(answer.headers["next"]))) == list("BA")
    assert ids_of(api.get(rest_of(answer.headers["previous"]))) == list("GFE")


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
    answer = good(api.get(f"{url}?{far}"))

    assert answer.get_json() == []
    assert "next" not in answer.headers
    assert answer.headers["num_returned"] == "0"
    assert good(api.get(rest_of(answer.headers["previous"]))).get_json() != []


@pytest.mark.parametrize("verbose", ["true", "false"])
@pytest.mark.parametrize(
    ("sort", "expected"),
    [("", "GFEDCBA"), ("&sortAsc=lastUpdate", "ABCDEFG"), ("&sortDesc=last_update", "GFEDCBA")],
)
def test_everything_comes_in_one_stream_in_the_same_order(
    api, seven, monkeypatch, verbose, sort, expected
):
    # several snapshots within seven rows
    monkeypatch.setattr(rows.Rows.body_batches, "__defaults__", (2,))
    answer = good(api.get(f"{seven.url}concepts/?limit=0&verbose={verbose}{sort}"))

    assert ids_of(answer) == list(expected)
    assert (
        answer.get_json()
        == good(api.get(f"{seven.url}concepts/?limit=100&verbose={verbose}{sort}")).get_json()
    )
    assert (
        answer.headers["num_found"],
        answer.headers["num_returned"],
        answer.headers["pages"],
        answer.headers["page_number"],
    ) == (
        "7",
        "7",
        "1",
        "1",
    )
    assert "next" not in answer.headers
    assert "Content-Length" not in answer.headers


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


def test_a_cursor_of_what_is_not_released_stays_there_when_it_is_sorted_anew(api, source):
    source.concepts(*"ABC")
    source.release("v1", released=True)
    source.concepts(*"DEF")
    next_url = good(api.get(f"{source.url}concepts/?released=false&limit=1")).headers["next"]
    for more in ("&sortAsc=id", "&includeRetired=true"):
        answer = good(
            api.get(next_url.replace("limit=1", "limit=9").replace("page=2", "page=1") + more)
        )
        assert sorted(ids_of(answer)) == ["D", "E", "F"]


def test_a_cursor_fits_no_other_list(api, seven):
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
        answer = api.get(f"{url}cursor={cursor}")
        assert answer.status_code == 400
        assert "cursor" in answer.get_json()["errors"]
    assert api.get(f"/orgs/?cursor={cursor}").status_code == 200
    assert api.get(f"{seven.url}versions/?cursor=nonsense").status_code == 200


@pytest.mark.parametrize(("seconds", "status"), [(86_300, 200), (86_500, 400)])
def test_a_cursor_is_good_for_a_day(api, seven, monkeypatch, seconds, status):
    following = good(api.get(f"{seven.url}concepts/?limit=2")).headers["next"]
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda signer: int(time.time()) + seconds)

    answer = api.get(following)

    assert answer.status_code == status
    assert status == 200 or list(answer.get_json()["errors"]) == ["cursor"]


# Which entries


def test_a_difference_holds_what_changed_since_a_moment(api, seven):
    moment = good(api.get(f"{seven.url}concepts/D/")).get_json()["updated_on"]
    good(api.put(f"{seven.url}concepts/B/", {"datatype": "Text"}))
    good(api.delete(f"{seven.url}concepts/C/"))

    assert seven.ids(f"concepts/?sortAsc=lastUpdate&updatedSince={moment}") == list("DEFGB")
    assert seven.ids(
        f"concepts/?sortAsc=lastUpdate&updatedSince={moment}&includeRetired=true"
    ) == list("DEFGBC")
    answer = good(api.get(f"{seven.url}concepts/?updatedSince={moment}&limit=2"))
    assert answer.headers["num_found"] == "5"
    pages = walk(api, f"{seven.url}concepts/?updatedSince={moment}&limit=2")
    assert [concept for page in pages for concept in ids_of(page)] == list("BGFED")
    assert seven.ids("concepts/?updatedSince=2999-01-01T00:00:00.000Z") == []
    assert len(seven.ids("concepts/?limit=0&updatedSince=0001-01-01")) == 6


def test_a_moment_in_whole_seconds_is_read_so_that_nothing_is_missed(api, seven):
    moment = datetime.fromisoformat(
        good(api.get(f"{seven.url}concepts/G/")).get_json()["updated_on"]
    )
    later = moment + timedelta(seconds=50)

    assert seven.ids(f"concepts/?updatedSince={later:%Y-%m-%dT%H:%M:%SZ}") == ["G"]
    assert seven.ids(f"concepts/?updatedSince={later:%Y-%m-%dT%H:%M:%S}.001Z") == []


def test_released_shows_the_newest_release_and_its_opposite_what_came_after(api, seven):
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
    moment = source.concept("A").get_json()["updated_on"]
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
        assert good(api.get(source.url + rest)).headers["lastUpdated"] == moment
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


def test_a_detail_holds_its_content_in_commit_order_as_its_last_keys(api, filled):
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


def test_a_slice_cuts_both_lists_and_leads_on_while_either_has_more(api, filled):
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
    # its commit is `old` itself
    assert [mapping["id"] for mapping in difference.get_json()["mappings"]] == ["m2"]
    assert difference.get_json()["type"] == "Source Version"


def test_removed_entries_are_told_with_a_difference_only(api, filled):
    moment = good(api.get(filled.url)).headers["lastUpdated"]
    asked = f"{filled.url}{CONTENT}&includeRemoved=true&limit=1"

    assert "removed_concepts" not in good(api.get(asked)).get_json()
    for since in ("2015-01-01", moment, "2999-01-01T00:00:00.000Z"):
        first = good(api.get(f"{asked}&updatedSince={since}")).get_json()
        assert (first["removed_concepts"], first["removed_mappings"]) == ([], [])
    assert (
        "removed_concepts"
        not in good(api.get(f"{asked}&updatedSince=2015-01-01&page=2")).get_json()
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


def test_mappings_that_are_wanted_from_the_second_page_on_keep_to_the_same_difference(api, source):
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
