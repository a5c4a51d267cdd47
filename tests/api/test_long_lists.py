"""Lists of one item's mappings or versions: a page reads one page, everything is streamed."""

import pytest

from oclapi.resources import concepts
from oclapi.store import rows
from tests.builders import good

MAPPINGS = [f"m{number}" for number in range(6)]


@pytest.fixture
def hub(source):
    """A source with a concept A that has six mappings from it, one to it, and five versions."""
    source.concepts("A", "B", "C", "D", "E", "F", "G")
    for mapping, end in zip(MAPPINGS, "BCDEFG", strict=True):
        source.mapping(mapping, "A", end)
    source.mapping("back", "B", "A")
    for text in ("v2", "v3", "v4", "v5"):
        good(source.api.put(f"{source.url}concepts/A/", {"external_id": text}))
    return source


@pytest.fixture
def read(monkeypatch):
    """The ids of the rows that were read from the store, in order."""
    found = []
    real = rows.row_of
    monkeypatch.setattr(
        rows, "row_of", lambda document: (found.append(document["id"]), real(document))[1]
    )
    return found


def test_a_page_of_a_concepts_mappings_reads_no_other_mappings(hub, read):
    response = good(
        hub.api.get(f"{hub.url}concepts/A/mappings/?includeInverseMappings=true&limit=2&page=2")
    )

    assert [mapping["id"] for mapping in response.get_json()] == ["m2", "m3"]
    assert (
        response.headers["num_found"],
        response.headers["num_returned"],
        response.headers["pages"],
    ) == ("7", "2", "4")
    assert read == ["A", "m2", "m3"]


def test_all_mappings_of_a_concept_are_those_of_its_pages(hub):
    pages = [
        f"concepts/A/mappings/?includeInverseMappings=true&limit=3&page={page}"
        for page in (1, 2, 3, 4)
    ]
    assert [hub.ids(page) for page in pages] == [MAPPINGS[:3], MAPPINGS[3:], ["back"], []]

    response = good(
        hub.api.get(f"{hub.url}concepts/A/mappings/?includeInverseMappings=true&limit=0")
    )
    assert [mapping["id"] for mapping in response.get_json()] == [*MAPPINGS, "back"]
    assert response.headers["num_found"] == "7"


@pytest.mark.parametrize(
    "query", ["includeMappings=true", "includeInverseMappings=true&verbose=true"]
)
def test_a_detail_with_many_mappings_is_streamed_with_the_same_content(hub, query, monkeypatch):
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
def test_a_version_that_the_item_never_had_is_not_found(hub, version):
    assert hub.api.get(f"{hub.url}mappings/m0/{version}/").status_code == 404
    assert hub.api.get(f"{hub.url}concepts/A/{version}/").status_code == 404


def test_a_page_of_an_items_versions_reads_that_page(hub, read):
    whole = good(hub.api.get(f"{hub.url}concepts/A/versions/?limit=0")).get_json()
    read.clear()

    response = good(hub.api.get(f"{hub.url}concepts/A/versions/?limit=2&page=2"))

    assert response.get_json() == whole[2:4]
    assert len(whole) == 5
    assert (response.headers["num_found"], response.headers["num_returned"]) == ("5", "2")
    # The latest version, the page, and the version before it, which the last entry names.
    assert len(read) == 1 + 2 + 1
    assert [entry["is_root_concept_version"] for entry in whole] == [False] * 4 + [True]
    assert [entry["is_latest_concept_version"] for entry in whole] == [True] + [False] * 4


def test_verbose_versions_are_the_same_in_pages_and_in_one_response(hub):
    whole = good(hub.api.get(f"{hub.url}concepts/A/versions/?limit=0&verbose=true")).get_json()
    pages = [
        good(
            hub.api.get(f"{hub.url}concepts/A/versions/?limit=3&verbose=true&page={page}")
        ).get_json()
        for page in (1, 2)
    ]

    assert pages == [whole[:3], whole[3:]]
    assert [entry["external_id"] for entry in whole] == ["v5", "v4", "v3", "v2", None]
