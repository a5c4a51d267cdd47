"""The representations of each item: all keys of the contract, with consistent values."""

import pytest

from oclapi import jsonio, representations
from oclapi.model import LIVE, Row
from tests.builders import AT, organization, repository, version

REPO = "/orgs/NorthLab/sources/LABX/"
REF = "/users/amina/sources/REFX/"
MADE = "2026-01-20T09:00:00.000Z"

NAME = {
    "uuid": "n1",
    "external_id": None,
    "name": "Serum glucose",
    "locale": "en",
    "locale_preferred": True,
    "name_type": "FULLY_SPECIFIED",
    "type": "ConceptName",
}
CONCEPT = {
    "id": "1007",
    "uuid": "65b0c1",
    "external_id": None,
    "concept_class": "Test",
    "datatype": "Numeric",
    "names": [NAME],
    "descriptions": [],
    "retired": False,
    "retire_reason": None,
    "extras": {"units": "mmol/L"},
    "update_comment": None,
    "locale": None,
    "display_name": "Serum glucose",
    "display_locale": "en",
    "created_on": MADE,
    "created_by": "amina",
}
MAPPING = {
    "id": "m-17",
    "uuid": "65b1aa",
    "external_id": None,
    "retired": False,
    "retire_reason": None,
    "map_type": "SAME-AS",
    "sort_weight": None,
    "extras": None,
    "from_concept_url": f"{REPO}concepts/1007/",
    "from_concept_name": "Serum glucose",
    "to_source_url": REF,
    "to_concept_code": "G-22",
    "to_concept_name": None,
    "to_concept_url": None,
    "to": f"{REF}concepts/G-22/",
    "own_to_name": False,
    "update_comment": None,
    "created_on": MADE,
    "created_by": "amina",
}

# The tables of the contract, 10.2 and 12.2.
CONCEPT_SUMMARY = """
    id concept_class datatype external_id display_name display_locale retired source owner
    owner_type owner_url version url version_url is_latest_version locale mappings
"""
CONCEPT_DETAIL = f"""
    type uuid names descriptions retire_reason source_url extras created_on created_by updated_on
    updated_by version_created_on version_created_by update_comment {CONCEPT_SUMMARY}
"""
MAPPING_SUMMARY = """
    id uuid map_type source owner owner_type external_id to_concept_name update_comment retired
    is_latest_version from_source_owner from_source_owner_type from_source_name
    from_concept_code from_concept_name from_source_url from_concept_url to_source_owner
    to_source_owner_type to_source_name to_concept_code to_source_url to_concept_url url
    version_url version versioned_object_id versioned_object_url
"""
MAPPING_DETAIL = f"""
    type retire_reason sort_weight extras created_on created_at updated_on updated_at created_by
    updated_by {MAPPING_SUMMARY}
"""


def concept_body(**fields):
    return representations.concept_body({**CONCEPT, **fields}, REPO, 3, AT, "root")


def mapping_body(**fields):
    return representations.mapping_body({**MAPPING, **fields}, REPO, 2, AT, "root")


@pytest.mark.parametrize(
    ("kind", "body", "summary", "detail"),
    [
        ("concept", concept_body(), CONCEPT_SUMMARY, CONCEPT_DETAIL),
        ("mapping", mapping_body(), MAPPING_SUMMARY, MAPPING_DETAIL),
    ],
    ids=["concept", "mapping"],
)
def test_details_and_summaries_have_just_the_keys_of_the_contract(kind, body, summary, detail):
    assert set(representations.detail(body)) == set(detail.split())
    assert set(representations.summary(kind, body)) == set(summary.split())
    assert representations.detail(body) == jsonio.loads_own(body)


def test_a_concepts_addresses_and_times_agree():
    shown = representations.detail(concept_body())
    assert (shown["source"], shown["source_url"]) == ("LABX", REPO)
    assert (shown["owner"], shown["owner_type"], shown["owner_url"]) == (
        "NorthLab",
        "Organization",
        "/orgs/NorthLab/",
    )
    assert shown["version_url"] == f"{shown['url']}{shown['version']}/" == f"{REPO}concepts/1007/3/"
    assert shown["updated_on"] == shown["version_created_on"] == "2026-02-01T12:00:00.250Z"
    assert (shown["created_on"], shown["created_by"]) == (MADE, "amina")
    assert shown["updated_by"] == shown["version_created_by"] == "root"
    assert (shown["mappings"], shown["is_latest_version"]) == ([], True)


def test_a_mappings_addresses_and_times_agree():
    shown = representations.detail(mapping_body())
    assert (
        shown["from_source_owner"],
        shown["from_source_owner_type"],
        shown["from_source_name"],
    ) == ("NorthLab", "Organization", "LABX")
    assert (shown["to_source_owner"], shown["to_source_owner_type"], shown["to_source_name"]) == (
        "amina",
        "User",
        "REFX",
    )
    assert (shown["from_concept_code"], shown["from_source_url"], shown["to_source_url"]) == (
        "1007",
        REPO,
        REF,
    )
    assert shown["versioned_object_url"] == shown["url"] == f"{REPO}mappings/m-17/"
    assert (shown["version"], shown["version_url"], shown["versioned_object_id"]) == (
        "2",
        f"{shown['url']}2/",
        shown["uuid"],
    )
    assert shown["created_on"] == shown["created_at"] == MADE
    assert shown["updated_on"] == shown["updated_at"] == "2026-02-01T12:00:00.250Z"


@pytest.mark.parametrize("body", [concept_body, mapping_body])
def test_what_is_new_was_made_by_its_first_writer_now(body):
    shown = representations.detail(body(created_on=None, created_by=None))
    assert (
        (shown["created_on"], shown["created_by"])
        == (shown["updated_on"], shown["updated_by"])
        == ("2026-02-01T12:00:00.250Z", "root")
    )


def test_only_what_depends_on_the_place_is_replaced_in_a_body():
    body, mapping = concept_body(), {"id": "m-17"}
    assert representations.detail(body, latest=False, mappings=[mapping]) == {
        **jsonio.loads_own(body),
        "is_latest_version": False,
        "mappings": [mapping],
    }
    assert representations.summary("concept", body, mappings=[mapping])["mappings"] == [mapping]


def test_a_detail_is_the_same_in_pieces_around_its_mappings():
    whole = representations.detail(concept_body(), latest=False, mappings=[{"id": "m-17"}])
    before, after = representations.detail_around(concept_body(), latest=False)
    assert before + b'[{"id":"m-17"}]' + after == jsonio.dumps(whole)


def test_the_versions_of_a_concept_are_linked_to_the_one_before():
    def row(number):
        body = representations.concept_body(
            {**CONCEPT, "update_comment": f"c{number}"}, REPO, number, AT, "root"
        )
        return Row(7, "concept", f"{REPO}concepts/1007/", "1007", number, LIVE, AT, False, body)

    newest = representations.concept_version(row(5), row(3), latest=True)
    middle = representations.concept_version(row(3), row(1), latest=False)
    root = representations.concept_version(row(1), None, latest=False)

    url = f"{REPO}concepts/1007/"
    assert newest == {
        "version": "5",
        "previous_version": "3",
        "url": f"{url}5/",
        "previous_version_url": f"{url}3/",
        "version_created_on": "2026-02-01T12:00:00.250Z",
        "version_created_by": "root",
        "is_latest_concept_version": True,
        "is_root_concept_version": False,
        "update_comment": "c5",
    }
    assert (
        middle["is_latest_concept_version"],
        middle["is_root_concept_version"],
        middle["previous_version"],
    ) == (False, False, "1")
    assert (
        root["is_root_concept_version"],
        root["previous_version"],
        root["previous_version_url"],
    ) == (True, None, None)


ORG_DETAIL = """
    type uuid id name company website location description public_access extras members
    public_collections public_sources url members_url sources_url collections_url created_on
    updated_on created_by updated_by
"""
SOURCE_SUMMARY = "id short_code name url owner owner_type owner_url"
SOURCE_DETAIL = """
    type uuid id short_code name full_name description website external_id source_type
    public_access default_locale supported_locales custom_validation_schema extras url
    versions_url concepts_url mappings_url active_concepts active_mappings owner owner_type
    owner_url versions created_on updated_on created_by updated_by
"""
VERSION_SUMMARY = """
    id released retired description url version_url previous_version_url owner owner_type
    owner_url created_on updated_on created_by
"""
VERSION_DETAIL = f"""
    {VERSION_SUMMARY} type version_external_id external_id extras active_concepts
    active_mappings is_processing sourceUrl source_url previousVersionUrl parentVersionUrl
    parent_version_url updated_by source uuid short_code name full_name source_type
    public_access default_locale supported_locales website custom_validation_schema versions_url
    concepts_url mappings_url versions
"""


def test_a_source_has_just_the_keys_of_the_contract():
    shown = representations.repo_detail(repository(extras=b'{"a.b":{"$ref":1.0}}'))
    assert set(shown) == set(SOURCE_DETAIL.split())
    assert (shown["type"], shown["short_code"], shown["versions_url"]) == (
        "Source",
        "LABX",
        f"{REPO}versions/",
    )
    assert (shown["active_concepts"], shown["active_mappings"], shown["versions"]) == (2, 1, 2)
    assert shown["extras"] == {"a.b": {"$ref": 1.0}}
    assert set(representations.repo_summary(repository())) == set(SOURCE_SUMMARY.split())


def test_a_version_has_just_the_keys_of_the_contract():
    shown = representations.version_detail(version(), repository(), is_processing=False)
    assert set(shown) == set(VERSION_DETAIL.split())
    assert set(representations.version_summary(version(), repository())) == set(
        VERSION_SUMMARY.split()
    )
    assert set(representations.version_detail(version(), repository())) == set(shown) - {
        "is_processing"
    }


def test_a_version_shows_the_source_of_its_day_and_counts_of_its_own():
    now = repository(name="Later", external_id="later", supported_locales=["fr"])
    shown = representations.version_detail(version(previous_version="v0", parent_version="p"), now)
    assert (shown["name"], shown["external_id"], shown["supported_locales"]) == (
        "Lab X codes",
        "ext",
        ["en", "sw"],
    )
    assert shown["source"] == representations.repo_detail(repository())
    assert (shown["active_concepts"], shown["source"]["active_concepts"]) == (1, 2)
    assert shown["previousVersionUrl"] == shown["previous_version_url"] == f"{REPO}v0/"
    assert shown["parentVersionUrl"] == shown["parent_version_url"] == f"{REPO}p/"
    assert shown["url"] == shown["sourceUrl"] == shown["source_url"] == REPO
    assert (shown["updated_by"], shown["created_by"]) == ("root", "amina")


def test_head_is_a_version_with_live_values():
    live = repository(description="Now", extras=b'{"k":1}')
    shown = representations.version_detail(
        representations.head_version(live), live, is_processing=False
    )
    assert set(shown) == set(VERSION_DETAIL.split())
    assert (shown["id"], shown["released"], shown["description"], shown["extras"]) == (
        "HEAD",
        False,
        "Now",
        {"k": 1},
    )
    assert (shown["version_url"], shown["previous_version_url"]) == (f"{REPO}HEAD/", None)
    assert shown["source"] == representations.repo_detail(live)


def test_a_collections_version_speaks_of_its_collection():
    collection = repository(kind="collection", url="/orgs/NorthLab/collections/CORE/", id="CORE")
    frozen = jsonio.dumps(representations.repo_detail(collection))
    shown = representations.version_detail(version(frozen=frozen), collection)
    assert (shown["type"], shown["collectionUrl"], shown["collection_url"]) == (
        "Collection Version",
        collection.url,
        collection.url,
    )
    assert "sourceUrl" not in shown
    assert shown["collection"]["type"] == "Collection"


def test_an_organisation_has_just_the_keys_of_the_contract():
    org = organization(members=("amina", "root"), extras_json=b'{"region":4}')
    shown = representations.org_detail(org, 2, 1)
    assert set(shown) == set(ORG_DETAIL.split())
    assert (
        shown["members"],
        shown["public_sources"],
        shown["public_collections"],
        shown["extras"],
    ) == (2, 2, 1, {"region": 4})
    assert representations.org_summary(org) == {
        "id": "NorthLab",
        "name": "North Laboratory",
        "url": "/orgs/NorthLab/",
    }
