"""Versions: their content, their links, and when their export must be built again."""

import pytest

from oclapi import bodies
from oclapi.editing import repositories
from oclapi.errors import NotFound, RepositoryBusy, VersionExists
from oclapi.store.database import Database
from oclapi.store.store import Store
from tests.editing.conftest import KEY, ROOT, Source, refused


def stored(source, version):
    return source.store.versions.by_id(source.number, version)


def edit(source, version, **fields):
    return repositories.update_version(
        source.store, source.document, version, bodies.version_update(fields), ROOT
    )


def links(source, *versions):
    return {version: stored(source, version).previous_version for version in versions}


def test_a_version_has_the_state_of_head_at_its_creation(store):
    source = Source(store, external_id="e", extras={"k": 1})
    source.concept("A")

    version = source.release("v1", description="First", released=True)

    assert version == stored(source, "v1")
    assert (version.rev, version.description) == (1, "First")
    assert (version.released, version.retired) == (True, False)
    assert version.extras == {"k": 1}
    assert (version.version_external_id, version.edition) == (None, 1)
    assert version.counts.active_concepts == 1
    assert version.content_at == source.document.content_at < version.created_on
    assert source.document.versions == 2


def test_versions_of_the_same_revision_have_increasing_times(source):
    source.concept("A")
    times = [source.release(f"v{number}").created_on for number in range(5)]
    assert sorted(set(times)) == times
    source.concept("B")
    assert source.document.content_at > times[-1]


def test_a_version_follows_the_newest_one_by_default(source):
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
    assert stored(source, "v6").parent_version is None


@pytest.mark.parametrize(
    ("field", "label"),
    [("previous_version", "previousVersion"), ("parent_version", "parentVersion")],
)
@pytest.mark.parametrize("other", ["nope", "v2", "HEAD", "v1 "])
def test_a_linked_version_must_exist_and_differ_from_the_version(
    store, source, field, label, other
):
    source.release("v1")
    Source(store, "ELSE").release("nope")
    with refused(field, label):
        source.release("v2", **{field: other})
    assert stored(source, "v2") is None
    source.release("v2")
    with refused(field, label):
        edit(source, "v2", **{field: other})
    assert getattr(edit(source, "v2", **{field: "v1"})[0], field) == "v1"


def test_a_version_id_is_unique_within_its_repository(store, source):
    source.release("v1")
    with pytest.raises(VersionExists):
        source.release("v1")
    Source(store, "ELSE").release("v1")
    assert source.document.versions == 2


def test_deleting_a_version_relinks_its_followers_and_outdates_their_exports(source):
    for version in ("v1", "v2", "v3"):
        source.release(version, **({"parent_version": "v1"} if version == "v3" else {}))
    source.release("v4", previous_version="v2", parent_version="v2")

    source.store.versions.delete(source.number, "v2")

    assert links(source, "v1", "v3", "v4") == {"v1": None, "v3": "v1", "v4": "v1"}
    assert stored(source, "v4").parent_version is None
    assert [stored(source, version).edition for version in ("v1", "v3")] == [1, 2]
    assert stored(source, "v4").edition > 1
    assert stored(source, "v2") is None
    assert source.document.versions == 4
    source.store.versions.delete(source.number, "v1")
    assert links(source, "v3", "v4") == {"v3": None, "v4": None}
    with pytest.raises(NotFound):
        source.store.versions.delete(source.number, "v1")


def test_deleting_a_version_from_a_circle_leaves_no_version_following_itself(source):
    source.release("v1")
    source.release("v2")
    source.release("v3", previous_version="v2")
    edit(source, "v1", previous_version="v2")

    source.store.versions.delete(source.number, "v2")

    assert links(source, "v1", "v3") == {"v1": None, "v3": "v1"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, None),
        ({"external_id": "repo's"}, None),
        ({"external_id": "other"}, "other"),
        ({"version_external_id": None, "external_id": "other"}, None),
        ({"version_external_id": "mine", "external_id": "other"}, "mine"),
        ({"version_external_id": "repo's", "external_id": "repo's"}, "repo's"),
    ],
)
def test_the_alias_of_the_external_id_counts_if_it_is_alone_and_not_the_repositorys(
    store, given, expected
):
    source = Source(store, external_id="repo's")
    assert source.release("v1", **given).version_external_id == expected
    source.release("v2")
    assert edit(source, "v2", **given)[0].version_external_id == expected


def test_the_alias_is_compared_with_the_external_id_in_the_version(store):
    source = Source(store, external_id="old")
    source.release("v1", version_external_id="mine")
    source.update(external_id="new")
    assert edit(source, "v1", external_id="old")[0].version_external_id == "mine"
    assert edit(source, "v1", external_id="new")[0].version_external_id == "new"


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

    after, outdated = edit(source, "v1", **same)

    assert not outdated
    assert (after.edition, after.updated_on) == (before.edition, before.updated_on)
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
def test_an_edit_that_changes_something_outdates_the_export(source, change):
    source.release("v0")
    before = source.release("v1", description="d", extras={"a": 2})

    after, outdated = edit(source, "v1", **change)

    assert outdated
    assert (after.edition, after.updated_by) == (2, "root")
    found = stored(source, "v1")
    assert found == after
    unchanged = ("rev", "frozen_json", "counts", "content_at", "created_on")
    assert [getattr(found, name) for name in unchanged] == [
        getattr(before, name) for name in unchanged
    ]


def test_an_id_can_not_be_changed(source):
    source.release("v1")
    with refused("id"):
        edit(source, "v1", id="v2", released=True)
    assert stored(source, "v1").released is False
    with pytest.raises(NotFound):
        edit(source, "v2", released=True)


def test_a_version_has_its_own_extras(store):
    source = Source(store, extras={"k": 1})
    source.release("v1")
    source.release("v2", extras=None)
    _, first = repositories.set_version_extra(store, source.document, "v1", "a.b", [0], ROOT)
    _, second = repositories.set_version_extra(store, source.document, "v1", "a.b", [0], ROOT)
    assert (first, second) == (True, False)
    repositories.delete_version_extra(store, source.document, "v1", "k", ROOT)

    assert stored(source, "v1").extras == {"a.b": [0]}
    assert (stored(source, "v2").extras, source.document.extras) == (None, {"k": 1})
    assert stored(source, "v1").edition == 3
    with pytest.raises(NotFound):
        repositories.delete_version_extra(store, source.document, "v1", "k", ROOT)
    with refused("extras"):
        repositories.set_version_extra(store, source.document, "v1", "big", "x" * 2**20, ROOT)


def test_the_frozen_detail_is_that_of_the_source(store):
    source = Source(
        store, supported_locales="en,fr", website="https://terms.example.org/", extras={"$k": 1}
    )
    source.concept("A")
    frozen = source.release("v1").frozen
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
def test_a_version_can_not_be_deleted_while_another_is_being_linked_to_it(
    source, prepared_mongo_url, monkeypatch, field
):
    for version in ("v1", "v2", "v3"):
        source.release(version)
    impatient = Store(
        Database(prepared_mongo_url, patience=0.05, client=source.store.database.client), KEY
    )
    real, refusals = repositories.check_links, []

    def check_and_delete(*args):
        real(*args)
        if not refusals:
            with pytest.raises(RepositoryBusy) as refused:
                impatient.versions.delete(source.number, "v1")
            refusals.append(refused.value)

    monkeypatch.setattr(repositories, "check_links", check_and_delete)
    edit(source, "v3", **{field: "v1"})

    assert getattr(stored(source, "v3"), field) == "v1"
    impatient.versions.delete(source.number, "v1")
    assert getattr(stored(source, "v3"), field) is None
