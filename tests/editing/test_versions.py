"""Releases: what they keep, how they follow each other, and when their export has to be made anew."""

import pytest

from oclapi import bodies, jsonio
from oclapi.editing import repositories
from oclapi.errors import NotFound, RepositoryBusy, VersionExists
from oclapi.store.database import Database
from oclapi.store.store import Store
from oclapi.store.users import extras_of
from tests.editing.conftest import KEY, ROOT, Source, refused


def stored(source, version):
    return source.store.versions.by_id(source.number, version)


def edit(source, version, **fields):
    return repositories.update_version(
        source.store, source.document, version, bodies.version_update(fields), ROOT
    )


def links(source, *versions):
    return {version: stored(source, version)["previous_version"] for version in versions}


def test_a_version_is_the_state_of_head_at_its_creation(store):
    source = Source(store, external_id="e", extras={"k": 1})
    source.concept("A")

    made = source.release("v1", description="First", released=True)

    assert made == stored(source, "v1")
    assert (made["rev"], made["released"], made["retired"], made["description"]) == (
        1,
        True,
        False,
        "First",
    )
    assert (extras_of(made), made["version_external_id"], made["edition"]) == ({"k": 1}, None, 1)
    assert made["counts"]["active_concepts"] == 1
    assert made["content_at"] == source.document["content_at"] < made["created_on"]
    assert source.document["versions"] == 2


def test_versions_in_the_same_state_have_growing_times(source):
    source.concept("A")
    moments = [source.release(f"v{number}")["created_on"] for number in range(5)]
    assert sorted(set(moments)) == moments
    source.concept("B")
    assert source.document["content_at"] > moments[-1]


def test_a_version_follows_the_newest_one_unless_told_otherwise(source):
    source.release("v1")
    source.release("v2", released=True)
    source.release("v3")
    source.release("v4", previous_version="v1")
    source.release("v5", previous_version=None)
    source.release("v6", previous_version="", parent_version="")
    assert links(source, "v1", "v2", "v3", "v4", "v5", "v6") == {
        "v1": None,
        "v2": "v1",
        "v3": "v2",
        "v4": "v1",
        "v5": None,
        "v6": None,
    }
    assert stored(source, "v6")["parent_version"] is None


@pytest.mark.parametrize(
    ("field", "spoken"),
    [("previous_version", "previousVersion"), ("parent_version", "parentVersion")],
)
@pytest.mark.parametrize("other", ["nope", "v2", "HEAD", "v1 "])
def test_a_link_leads_to_another_version_that_is_there(store, source, field, spoken, other):
    source.release("v1")
    Source(store, "ELSE").release("nope")
    with refused(field, spoken):
        source.release("v2", **{field: other})
    assert stored(source, "v2") is None
    source.release("v2")
    with refused(field, spoken):
        edit(source, "v2", **{field: other})
    assert edit(source, "v2", **{field: "v1"})[0][field] == "v1"


def test_an_id_is_taken_by_one_version_of_the_repository(store, source):
    source.release("v1")
    with pytest.raises(VersionExists):
        source.release("v1")
    Source(store, "ELSE").release("v1")
    assert source.document["versions"] == 2


def test_deleting_a_version_moves_its_followers_and_their_exports(source):
    for version in ("v1", "v2", "v3"):
        source.release(version, **({"parent_version": "v1"} if version == "v3" else {}))
    source.release("v4", previous_version="v2", parent_version="v2")

    source.store.versions.delete(source.number, "v2")

    assert links(source, "v1", "v3", "v4") == {"v1": None, "v3": "v1", "v4": "v1"}
    assert stored(source, "v4")["parent_version"] is None
    assert [stored(source, version)["edition"] for version in ("v1", "v3")] == [1, 2]
    assert stored(source, "v4")["edition"] > 1
    assert stored(source, "v2") is None
    assert source.document["versions"] == 4
    source.store.versions.delete(source.number, "v1")
    assert links(source, "v3", "v4") == {"v3": None, "v4": None}
    with pytest.raises(NotFound):
        source.store.versions.delete(source.number, "v1")


def test_deleting_a_version_out_of_a_circle_leaves_nobody_following_itself(source):
    source.release("v1")
    source.release("v2")
    source.release("v3", previous_version="v2")
    edit(source, "v1", previous_version="v2")

    source.store.versions.delete(source.number, "v2")

    assert links(source, "v1", "v3") == {"v1": None, "v3": "v1"}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, None),
        ({"external_id": "repo's"}, None),
        ({"external_id": "other"}, "other"),
        ({"version_external_id": None, "external_id": "other"}, None),
        ({"version_external_id": "mine", "external_id": "other"}, "mine"),
        ({"version_external_id": "repo's", "external_id": "repo's"}, "repo's"),
    ],
)
def test_the_alias_of_the_external_id_counts_where_it_is_alone_and_not_the_repositorys(
    store, given, kept
):
    source = Source(store, external_id="repo's")
    assert source.release("v1", **given)["version_external_id"] == kept
    source.release("v2")
    assert edit(source, "v2", **given)[0]["version_external_id"] == kept


def test_the_alias_is_compared_with_the_external_id_that_the_version_shows(store):
    source = Source(store, external_id="old")
    source.release("v1", version_external_id="mine")
    source.update(external_id="new")
    assert edit(source, "v1", external_id="old")[0]["version_external_id"] == "mine"
    assert edit(source, "v1", external_id="new")[0]["version_external_id"] == "new"


@pytest.mark.parametrize(
    "same",
    [
        {},
        {"id": "v1"},
        {
            "description": "d",
            "released": "false",
            "retired": "0",
            "extras": {"b": 1, "a": 2},
            "previous_version": "v0",
        },
        {"external_id": None, "version_external_id": None, "parent_version": None},
        {"parent_version": ""},
    ],
)
def test_an_edit_that_changes_nothing_keeps_the_export(source, same):
    source.release("v0")
    source.release("v1", description="d", extras={"a": 2, "b": 1})
    before = stored(source, "v1")

    after, anew = edit(source, "v1", **same)

    assert not anew
    assert (after["edition"], after["updated_on"]) == (before["edition"], before["updated_on"])
    assert stored(source, "v1") == before


@pytest.mark.parametrize(
    "change",
    [
        {"description": None},
        {"released": True},
        {"retired": True},
        {"extras": {"a": 2.0}},
        {"extras": None},
        {"version_external_id": "x"},
        {"external_id": "x"},
        {"previous_version": None},
        {"parent_version": "v0"},
    ],
)
def test_an_edit_that_changes_something_makes_the_export_anew(source, change):
    source.release("v0")
    before = source.release("v1", description="d", extras={"a": 2})

    after, anew = edit(source, "v1", **change)

    assert anew
    assert (after["edition"], after["updated_by"]) == (2, "root")
    found = stored(source, "v1")
    assert {key: found[key] for key in after} == {**after, "touched": found["touched"]}
    assert {key: found[key] for key in ("rev", "frozen", "counts", "content_at", "created_on")} == {
        key: before[key] for key in ("rev", "frozen", "counts", "content_at", "created_on")
    }


def test_an_id_never_changes(source):
    source.release("v1")
    with refused("id"):
        edit(source, "v1", id="v2", released=True)
    assert stored(source, "v1")["released"] is False
    with pytest.raises(NotFound):
        edit(source, "v2", released=True)


def test_extras_of_a_version_are_its_own(store):
    source = Source(store, extras={"k": 1})
    source.release("v1")
    source.release("v2", extras=None)
    _, anew = repositories.set_version_extra(store, source.document, "v1", "a.b", [0], ROOT)
    _, again = repositories.set_version_extra(store, source.document, "v1", "a.b", [0], ROOT)
    assert (anew, again) == (True, False)
    repositories.delete_version_extra(store, source.document, "v1", "k", ROOT)

    assert extras_of(stored(source, "v1")) == {"a.b": [0]}
    assert (extras_of(stored(source, "v2")), extras_of(source.document)) == (None, {"k": 1})
    assert stored(source, "v1")["edition"] == 3
    with pytest.raises(NotFound):
        repositories.delete_version_extra(store, source.document, "v1", "k", ROOT)
    with refused("extras"):
        repositories.set_version_extra(store, source.document, "v1", "big", "x" * 2**20, ROOT)


def test_a_frozen_detail_is_what_the_source_showed(store):
    source = Source(
        store, supported_locales="en,fr", website="https://terms.example.org/", extras={"$k": 1}
    )
    source.concept("A")
    frozen = jsonio.loads_own(source.release("v1")["frozen"])
    assert {
        key: frozen[key]
        for key in ("id", "supported_locales", "website", "extras", "active_concepts", "versions")
    } == {
        "id": "LAB",
        "supported_locales": ["en", "fr"],
        "website": "https://terms.example.org/",
        "extras": {"$k": 1},
        "active_concepts": 1,
        "versions": 2,
    }


@pytest.mark.parametrize("field", ["previous_version", "parent_version"])
def test_a_version_that_another_is_being_linked_to_is_not_deleted_meanwhile(
    source, prepared_mongo_url, monkeypatch, field
):
    for version in ("v1", "v2", "v3"):
        source.release(version)
    hasty = Store(
        Database(prepared_mongo_url, patience=0.05, client=source.store.database.client), KEY
    )
    real, refusals = repositories.check_links, []

    def check_and_delete(*how):
        real(*how)
        if not refusals:
            with pytest.raises(RepositoryBusy) as refused:
                hasty.versions.delete(source.number, "v1")
            refusals.append(refused.value)

    monkeypatch.setattr(repositories, "check_links", check_and_delete)
    edit(source, "v3", **{field: "v1"})

    assert stored(source, "v3")[field] == "v1"
    hasty.versions.delete(source.number, "v1")
    assert stored(source, "v3")[field] is None
