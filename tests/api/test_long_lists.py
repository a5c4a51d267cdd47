"""Lists that belong to one item: however long they are, a page reads a page, and the whole is a
stream.
"""

import pytest

from oclapi.resources import concepts
from oclapi.store import rows
from tests.builders import good

MAPPINGS = [f"m{number}" for number in range(6)]


@pytest.fixture
def hub(source):
    """The concept A with six mappings from it and one to it, and with five versions."""
    source.concepts("A", "B", "C", "D", "E", "F", "G")
    for mapping, end in zip(MAPPINGS, "BCDEFG", strict=True):
        source.mapping(mapping, "A", end)
    source.mapping("back", "B", "A")
    for text in ("v2", "v3", "v4", "v5"):
        good(source.api.put(f"{source.url}concepts/A/", {"external_id": text}))
    return source


@pytest.fixture
def read(monkeypatch):
    """What was read of the store: a list that grows by each row."""
    found = []
    real = rows.row_of
    monkeypatch.setattr(
        rows, "row_of", lambda document: (found.append(document["id"]), real(document))[1]
    )
    return found


def test_a_page_of_a_concepts_mappings_reads_no_other_mappings(hub, read):
    answer = good(
        hub.api.get(f"{hub.url}concepts/A/mappings/?includeInverseMappings=true&limit=2&page=2")
    )

    assert [mapping["id"] for mapping in answer.get_json()] == ["m2", "m3"]
    assert (
        answer.headers["num_found"],
        answer.headers["num_returned"],
        answer.headers["pages"],
    ) == ("7", "2", "4")
    assert read == ["A", "m2", "m3"]


def test_all_mappings_of_a_concept_are_those_of_its_pages(hub):
    pages = [
        f"concepts/A/mappings/?includeInverseMappings=true&limit=3&page={page}"
        for page in (1, 2, 3, 4)
    ]
    assert [hub.ids(page) for page in pages] == [MAPPINGS[:3], MAPPINGS[3:], ["back"], []]

    answer = good(hub.api.get(f"{hub.url}concepts/A/mappings/?includeInverseMappings=true&limit=0"))
    assert [mapping["id"] for mapping in answer.get_json()] == [*MAPPINGS, "back"]
    assert answer.headers["num_found"] == "7"


@pytest.mark.parametrize(
    "query", ["includeMappings=true", "includeInverseMappings=true&verbose=true"]
)
def test_a_detail_with_more_mappings_than_are_put_in_at_once_is_streamed_and_the_same(
    hub, query, monkeypatch
):
    url = f"{hub.url}concepts/A/?{query}"
    at_once = good(hub.api.get(url))

    monkeypatch.setattr(concepts, "MOST_AT_ONCE", 2)
    streamed = good(hub.api.get(url))

    assert streamed.get_data() == at_once.get_data()
    assert (at_once.is_streamed, len(at_once.get_json()["mappings"])) == (
        False,
        7 if "Inverse" in query else 6,
    )


def test_one_version_of_an_item_is_read_without_the_others(hub, read):
    versions = [
        entry["version"] for entry in good(hub.api.get(f"{hub.url}concepts/A/versions/")).get_json()
    ]
    good(hub.api.put(f"{hub.url}mappings/m0/", {"external_id": "x"}))
    read.clear()

    second = good(hub.api.get(f"{hub.url}concepts/A/{versions[3]}/")).get_json()
    assert (second["external_id"], second["is_latest_version"]) == ("v2", False)
    assert good(hub.api.get(f"{hub.url}mappings/m0/1/")).get_json()["external_id"] is None

    assert read == ["A", "A", "m0", "m0"]


@pytest.mark.parametrize("version", ["0", "6", "01", "x", "99999999999", "2147483648"])
def test_a_version_that_the_item_never_had_is_not_there(hub, version):
    assert hub.api.get(f"{hub.url}mappings/m0/{version}/").status_code == 404
    assert hub.api.get(f"{hub.url}concepts/A/{version}/").status_code == 404


def test_a_page_of_an_items_versions_reads_that_page(hub, read):
    whole = good(hub.api.get(f"{hub.url}concepts/A/versions/?limit=0")).get_json()
    read.clear()

    answer = good(hub.api.get(f"{hub.url}concepts/A/versions/?limit=2&page=2"))

    assert answer.get_json() == whole[2:4]
    assert len(whole) == 5
    assert (answer.headers["num_found"], answer.headers["num_returned"]) == ("5", "2")
    # the newest, the page, and the one before, which the last entry tells of
    assert len(read) == 1 + 2 + 1
    assert [entry["is_root_concept_version"] for entry in whole] == [False] * 4 + [True]
    assert [entry["is_latest_concept_version"] for entry in whole] == [True] + [False] * 4


def test_the_versions_in_full_are_the_same_on_pages_and_in_one(hub):
    whole = good(hub.api.get(f"{hub.url}concepts/A/versions/?limit=0&verbose=true")).get_json()
    pages = [
        good(
            hub.api.get(f"{hub.url}concepts/A/versions/?limit=3&verbose=true&page={page}")
        ).get_json()
        for page in (1, 2)
    ]

    assert pages == [whole[:3], whole[3:]]
    assert [entry["external_id"] for entry in whole] == ["v5", "v4", "v3", "v2", None]
