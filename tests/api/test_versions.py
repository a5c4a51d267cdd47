"""Versions of a source over HTTP (contract 9)."""

import pytest

from tests.builders import good


def shown(source, rest):
    return good(source.api.get(f"{source.url}{rest}")).get_json()


def ids(source, query=""):
    return [version["id"] for version in shown(source, f"versions/?{query}")]


def test_a_created_version_is_returned_as_it_is_read(api, source, queue):
    source.concepts("A", "B")

    created = source.release("v1", description="First", version_external_id="ext")

    assert created.status_code == 201
    assert created.headers["Location"] == f"http://localhost{source.url}v1/"
    version = created.get_json()
    assert shown(source, "v1/") == shown(source, "versions/v1/") == version
    assert (version["type"], version["released"], version["description"]) == (
        "Source Version",
        True,
        "First",
    )
    assert (
        version["active_concepts"],
        version["is_processing"],
        version["previousVersionUrl"],
    ) == (2, True, None)
    assert version["sourceUrl"] == version["source_url"] == version["url"] == source.url
    assert version["source"]["id"] == version["short_code"]


def test_head_is_a_version_with_live_values(api, source):
    source.concept("A")
    source.release("v1")
    source.concept("B")

    head = shown(source, "HEAD/")

    assert head.keys() == shown(source, "v1/").keys()
    assert (head["id"], head["active_concepts"], head["is_processing"], head["released"]) == (
        "HEAD",
        2,
        False,
        False,
    )
    for method in ("PUT", "POST", "PATCH", "DELETE"):
        assert api.open(method, f"{source.url}HEAD/", json={}).status_code == 405


def test_versions_are_listed_newest_first_after_head(source):
    source.release("v1")
    source.release("v2", released=False)
    source.release("v3")

    assert ids(source) == ["HEAD", "v3", "v2", "v1"]
    assert ids(source, "limit=1") == ["HEAD"]
    assert ids(source, "limit=2&page=2") == ["v2", "v1"]
    assert ids(source, "limit=2&offset=1") == ["v3", "v2"]
    assert ids(source, "limit=0") == ["HEAD", "v3", "v2", "v1"]
    assert ids(source, "page=9") == []
    assert good(source.api.get(f"{source.url}versions/?limit=1")).headers["num_found"] == "4"


def test_latest_is_the_newest_released_version_that_is_not_retired(api, source):
    assert api.get(f"{source.url}latest/").status_code == 404
    source.release("v1")
    source.release("v2")
    source.release("v3")
    source.release("v4", released=False)
    good(api.put(f"{source.url}v3/", {"retired": True}))

    assert ids(source, "released=true&limit=1") == ["v2"]
    assert ids(source, "released=true") == ["v2", "v1"]
    assert ids(source, "released=true&retired=true") == ["v3"]
    assert ids(source, "released=false") == ["HEAD", "v4"]
    assert ids(source, "retired=true") == ["v3"]
    assert shown(source, "latest/")["id"] == shown(source, "versions/latest/")["id"] == "v2"


def test_versions_are_filtered_by_their_exports(source, queue):
    source.release("v1")

    assert ids(source, "processing=true") == ["v1"]
    assert ids(source, "processing=false") == ["HEAD"]
    assert (
        good(source.api.get(f"{source.url}versions/?processing=false")).headers["num_found"] == "1"
    )


def test_a_version_is_processing_while_its_export_is_built(api, source, queue):
    source.release("v1")

    assert shown(source, "v1/processing/") is True
    assert shown(source, "HEAD/processing/") is False
    # The job is alive, so the flag is not stuck.
    assert good(api.post(f"{source.url}v1/processing/")).get_json() is True
    assert api.anonymous.post(f"{source.url}v1/processing/").status_code == 401


def test_a_version_is_created_while_the_queue_is_down(source, queue):
    queue.down = True

    created = source.release("v1")

    assert (created.status_code, created.get_json()["is_processing"]) == (201, False)


def test_the_previous_version_is_set_and_replaced_when_it_is_deleted(api, source):
    source.release("v1")
    source.release("v2")
    source.release("v3", parent_version="v2")

    assert (
        shown(source, "v3/")["previous_version_url"]
        == shown(source, "v3/")["previousVersionUrl"]
        == f"{source.url}v2/"
    )
    assert [version["id"] for version in shown(source, "v2/children/")] == ["v3"]
    assert api.delete(f"{source.url}v2/").status_code == 204
    assert shown(source, "v3/")["previous_version_url"] == f"{source.url}v1/"
    assert shown(source, "v3/")["parent_version_url"] is None
    assert ids(source) == ["HEAD", "v3", "v1"]
    assert api.get(f"{source.url}v2/").status_code == 404
    assert api.delete(f"{source.url}v2/").status_code == 404


def test_a_version_keeps_the_metadata_of_its_creation(api, source):
    name = shown(source, "")["name"]
    source.release("v1")
    good(api.put(source.url, {"name": "Other", "extras": {"a": 1}}))

    assert (
        shown(source, "v1/")["name"],
        shown(source, "v1/")["source"]["name"],
        shown(source, "v1/")["extras"],
    ) == (name, name, None)
    assert (shown(source, "HEAD/")["name"], shown(source, "HEAD/")["extras"]) == ("Other", {"a": 1})


def test_an_update_of_a_version_changes_its_metadata_and_not_its_content(api, source):
    source.concept("A")
    source.release("v1", released=False)

    edited = good(
        api.put(f"{source.url}v1/", {"released": True, "description": "now", "extras": {"x": 1}})
    ).get_json()

    assert (edited["released"], edited["description"], edited["extras"]) == (True, "now", {"x": 1})
    assert shown(source, "v1/") == edited
    assert shown(source, "latest/")["id"] == "v1"
    good(api.put(f"{source.url}v1/extras/y/", {"y": 2}))
    assert shown(source, "v1/extras/") == {"x": 1, "y": 2}
    assert shown(source, "extras/") == {}


def test_a_version_that_was_read_can_be_sent_back(api, source):
    good(api.put(source.url, {"external_id": "E"}))
    version = source.release("v1", version_external_id="ext").get_json()

    assert (
        good(api.put(f"{source.url}v1/", {**version, "previous_version": None})).get_json()
        == version
    )


@pytest.mark.parametrize(
    ("body", "status", "fields"),
    [
        ({"id": "v1"}, 409, ["id"]),
        ({}, 400, ["id"]),
        ({"id": "latest"}, 400, ["id"]),
        ({"id": "HEAD"}, 400, ["id"]),
        ({"id": "a/b "}, 400, ["id"]),
        ({"id": "v2", "previous_version": "none"}, 400, ["previous_version", "previousVersion"]),
        ({"id": "v2", "previous_version": "v2"}, 400, ["previous_version", "previousVersion"]),
        ({"id": "v2", "parent_version": "none"}, 400, ["parent_version", "parentVersion"]),
        ({"id": "v2", "released": "maybe"}, 400, ["released"]),
    ],
)
def test_a_version_that_breaks_a_rule_is_refused(api, source, body, status, fields):
    source.release("v1")

    response = api.post(f"{source.url}versions/", body)

    assert response.status_code == status
    for field in fields:
        assert response.get_json()["errors"][field] == response.get_json()[field]
    assert ids(source) == ["HEAD", "v1"]
