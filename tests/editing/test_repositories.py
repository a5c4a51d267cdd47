"""Edits of repositories: metadata, rights within the transaction, deletion."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields

import pytest

from oclapi import bodies
from oclapi.access import Caller
from oclapi.editing import owners, repositories, users
from oclapi.errors import Forbidden, Invalid, NotFound
from oclapi.model import Repository
from oclapi.store.versions import VersionFilter
from tests.editing.conftest import (
    ROOT,
    Source,
    change_mapping,
    named,
    new_concept,
    new_mapping,
    refused,
)

STRANGER = Caller("stranger")
MEMBER = Caller("amina", orgs=frozenset({"NorthLab"}))


def make(store, **fields):
    return Source(store, "NEW", **fields).document


# Metadata


def test_a_new_source_has_its_defaults(store):
    repo = make(store)
    assert repo.full_name == "NEW"
    assert repo.public_access == "View"
    assert repo.custom_validation_schema is None
    assert (repo.default_locale, repo.supported_locales) == ("en", ["en"])
    assert (repo.rev, repo.versions, repo.created_by) == (0, 1, "root")
    assert repo.extras is None


@pytest.mark.parametrize(
    ("given", "locales"),
    [
        ({"default_locale": "sw"}, ["sw"]),
        ({"supported_locales": "fr, de"}, ["fr", "de"]),
        ({"supported_locales": []}, ["en"]),
    ],
)
def test_supported_locales_default_to_the_default_locale(store, given, locales):
    assert make(store, **given).supported_locales == locales


@pytest.mark.parametrize(
    ("owner", "given", "access"),
    [("None", {}, "None"), ("None", {"public_access": "View"}, "View"), ("Edit", {}, "View")],
)
def test_a_source_of_a_private_organisation_is_private_by_default(store, owner, given, access):
    owners.create_org(
        store, bodies.org_create({"id": "Org", "name": "Org", "public_access": owner}), ROOT
    )
    assert Source(store, "NEW", "Org", **given).document.public_access == access


def test_an_id_is_unique_within_an_owner_and_kind(store, source):
    with refused("__all__", "id"):
        Source(store, "LAB")
    Source(store, "lab")
    Source(store, "LAB", "OCL")
    assert (
        repositories.create(
            store, "collection", "/orgs/NorthLab/", {"id": "LAB", "name": "x"}, ROOT
        ).kind
        == "collection"
    )


def test_an_unknown_owner_is_not_found(store):
    with pytest.raises(NotFound):
        repositories.create(store, "source", "/orgs/Gone/", {"id": "A", "name": "A"}, ROOT)


def test_an_update_changes_only_the_given_fields_and_creates_no_revision(source):
    source.concept("A")
    before = source.document

    after = source.update(
        name="Other", description="d", extras={"a.b": {"$ref": 1}}, supported_locales="en,fr"
    )

    assert after == source.document
    changed = {
        field.name
        for field in fields(Repository)
        if getattr(after, field.name) != getattr(before, field.name)
    }
    assert changed == {
        "name",
        "description",
        "extras_json",
        "supported_locales",
        "at",
        "updated_on",
    }
    assert after.extras == {"a.b": {"$ref": 1}}
    assert after.updated_on > before.updated_on
    assert after.content_at == before.content_at


@pytest.mark.parametrize(
    "same",
    [
        {},
        {"id": "LAB"},
        {"short_code": "LAB", "name": "LAB"},
        {"full_name": ""},
        {"full_name": None},
        {"supported_locales": []},
        {
            "extras": {"b": 1.0, "a": True},
            "custom_validation_schema": "None",
            "public_access": "View",
        },
    ],
)
def test_an_update_that_changes_nothing_keeps_the_time(store, same):
    source = Source(store, extras={"a": True, "b": 1.0})
    before = source.document

    after = source.update(**same)

    assert after.updated_on == before.updated_on
    assert source.document.at == before.at


@pytest.mark.parametrize("value", [1.0, True, "1"])
def test_another_type_of_value_in_the_extras_is_a_change(store, value):
    source = Source(store, extras={"a": 1})
    assert repr(source.update(extras={"a": value}).extras) == repr({"a": value})

    owners.create_org(
        store, bodies.org_create({"id": "Org", "name": "Org", "extras": {"a": 1}}), ROOT
    )
    edited, _ = owners.update_org(store, "Org", {"extras": {"a": value}}, ROOT)
    assert repr(edited.extras) == repr({"a": value})


def test_the_full_name_defaults_to_the_name(source):
    assert source.update(full_name="Long").full_name == "Long"
    assert source.update(full_name=None).full_name == "LAB"
    assert source.update(name="N", full_name="").full_name == "N"


def test_an_id_can_not_be_changed(source):
    with refused("id"):
        source.update(id="OTHER", name="x")
    assert source.document.name == "LAB"


def test_one_extra_is_set_replaced_and_removed(store, source):
    repositories.set_extra(store, source.document, "a.b$", {"$": [None]}, ROOT)
    repositories.set_extra(store, source.document, "b", 1, ROOT)
    time = source.document.updated_on
    repositories.set_extra(store, source.document, "b", 1, ROOT)
    assert source.document.updated_on == time
    repositories.set_extra(store, source.document, "b", 1.0, ROOT)
    assert repr(source.document.extras) == repr({"a.b$": {"$": [None]}, "b": 1.0})

    repositories.delete_extra(store, source.document, "a.b$", ROOT)

    assert source.document.extras == {"b": 1.0}
    with pytest.raises(NotFound):
        repositories.delete_extra(store, source.document, "a.b$", ROOT)
    with refused("extras"):
        repositories.set_extra(store, source.document, "big", "x" * 2**20, ROOT)


def test_concurrent_writes_of_different_extras_are_all_stored(store, source):
    document = source.document
    with ThreadPoolExecutor(8) as threads:
        list(
            threads.map(
                lambda number: repositories.set_extra(store, document, f"k{number}", number, ROOT),
                range(24),
            )
        )
    assert source.document.extras == {f"k{number}": number for number in range(24)}


def test_an_update_of_an_organisation_changes_only_the_given_fields(store):
    owners.create_org(store, bodies.org_create({"id": "Org", "name": "Org", "company": "c"}), ROOT)
    before = store.owners.org("Org")
    same = {"id": "Org", "company": "c"}
    assert owners.update_org(store, "Org", same, ROOT) == (before, False)

    after, _ = owners.update_org(store, "Org", {"company": None, "website": "w"}, ROOT)

    assert after == store.owners.org("Org")
    assert after.updated_on > before.updated_on
    assert (after.name, after.company, after.website) == ("Org", None, "w")
    with refused("id"):
        owners.update_org(store, "Org", {"id": "Other"}, ROOT)
    with pytest.raises(NotFound):
        owners.update_org(store, "Nobody", {"name": "x"}, ROOT)


# Rights that have changed since the request was checked


WRITES = {
    "create a version": lambda store, repo, by: repositories.create_version(
        store, repo, bodies.version_create({"id": "v2"}), by
    ),
    "edit a version": lambda store, repo, by: repositories.update_version(
        store, repo, "v1", {"description": "taken"}, by
    ),
    "set an extra": lambda store, repo, by: repositories.set_extra(store, repo, "a", 2, by),
    "delete an extra": lambda store, repo, by: repositories.delete_extra(store, repo, "a", by),
    "set an extra of a version": lambda store, repo, by: repositories.set_version_extra(
        store, repo, "v1", "a", 2, by
    ),
    "delete an extra of a version": lambda store, repo, by: repositories.delete_version_extra(
        store, repo, "v1", "a", by
    ),
}
DELETIONS = {
    "delete a version": lambda store, repo, by: repositories.delete_version(store, repo, "v1", by),
    "delete": lambda store, repo, by: repositories.delete(store, repo, by),
}


def stored(store, number):
    """Return the repository and its versions as stored."""
    return store.repos.by_number(number), store.versions.listing(
        number, VersionFilter(), limit=0, skip=0
    )


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_source_that_became_private_meanwhile_is_not_changed(store, write):
    source = Source(store, "NEW", public_access="Edit", extras={"a": 1})
    source.release("v1")
    as_checked = source.document
    source.update(public_access="None")
    before = stored(store, source.number)

    with pytest.raises(Forbidden):
        write(store, as_checked, STRANGER)
    assert stored(store, source.number) == before


@pytest.mark.parametrize(
    "write", [*WRITES.values(), *DELETIONS.values()], ids=[*WRITES, *DELETIONS]
)
def test_a_source_that_was_hidden_with_its_owner_meanwhile_is_not_changed(store, write):
    source = Source(store, "NEW", extras={"a": 1})
    source.release("v1")
    as_checked = source.document
    store.repos.edit(source.number, lambda session, head: {"hidden": True}, "root")
    before = stored(store, source.number)

    with pytest.raises(NotFound):
        write(store, as_checked, MEMBER)
    assert stored(store, source.number) == before


@pytest.mark.parametrize("write", DELETIONS.values(), ids=DELETIONS)
def test_a_deletion_checks_the_right_of_the_caller(store, write):
    source = Source(store, "NEW", public_access="Edit")
    source.release("v1")

    with pytest.raises(Forbidden):
        write(store, source.document, STRANGER)
    assert store.versions.by_id(source.number, "v1")


def test_a_former_member_creates_no_source(store):
    body = bodies.source_create({"id": "NEW", "name": "x"})

    with pytest.raises(Forbidden):
        repositories.create(store, "source", "/orgs/NorthLab/", body, MEMBER)
    assert store.repos.by_url("/orgs/NorthLab/sources/NEW/") is None
    users.create(store, {"username": "amina", "name": "x", "email": "amina@example.org"}, ROOT)
    store.owners.add_member("NorthLab", "amina", lambda session, org: None)
    assert (
        repositories.create(store, "source", "/orgs/NorthLab/", body, MEMBER).created_by == "amina"
    )


def test_an_organisation_that_became_read_only_meanwhile_is_not_changed(store):
    owners.create_org(
        store, bodies.org_create({"id": "Org", "name": "Org", "public_access": "View"}), ROOT
    )

    with pytest.raises(Forbidden):
        owners.update_org(store, "Org", {"company": "taken"}, STRANGER)
    assert store.owners.org("Org").company is None


@pytest.mark.parametrize(
    "write", [*WRITES.values(), *DELETIONS.values()], ids=[*WRITES, *DELETIONS]
)
def test_a_former_member_changes_no_source(store, write):
    source = Source(store, "NEW", public_access="View", extras={"a": 1})
    source.release("v1")
    before = stored(store, source.number)

    with pytest.raises(Forbidden):
        write(store, source.document, MEMBER)
    assert stored(store, source.number) == before


MEMBERS_WRITES = {
    "edit": lambda store, by: owners.update_org(store, "NorthLab", {"company": "taken"}, by),
    "close": lambda store, by: owners.update_org(store, "NorthLab", {"public_access": "None"}, by),
    "add a member": lambda store, by: owners.add_member(store, "NorthLab", "amina", by),
    "remove a member": lambda store, by: owners.remove_member(store, "NorthLab", "root", by),
    "delete": lambda store, by: owners.delete_org(store, "NorthLab", by),
}


@pytest.mark.parametrize("write", MEMBERS_WRITES.values(), ids=MEMBERS_WRITES)
def test_a_former_member_changes_no_organisation(store, write):
    users.create(store, {"username": "amina", "name": "x", "email": "amina@example.org"}, ROOT)
    before = store.owners.org("NorthLab")

    with pytest.raises(Forbidden):
        write(store, MEMBER)
    assert store.owners.org("NorthLab") == before


def test_a_user_who_became_a_member_meanwhile_may_write(store):
    users.create(store, {"username": "amina", "name": "x", "email": "amina@example.org"}, ROOT)
    as_checked = Caller("amina")
    owners.add_member(store, "NorthLab", "amina", ROOT)

    owners.remove_member(store, "NorthLab", "root", as_checked)
    assert store.owners.org("NorthLab").members == ("amina",)
    with refused("__all__"):
        owners.remove_member(store, "NorthLab", "amina", as_checked)
    owners.remove_member(store, "NorthLab", "amina", ROOT)


# Deleting


def is_deleted(store, source):
    return store.repos.by_url(source.url) is None


def usage_of(store, source):
    with pytest.raises(Invalid) as caught:
        repositories.delete(store, source.document, ROOT)
    assert list(caught.value.errors) == ["__all__"]
    return caught.value.extra["usage"]


@pytest.mark.parametrize("retired", [False, True])
def test_a_source_with_mappings_to_it_in_other_sources_is_not_deleted(
    store, source, other, retired
):
    other.concept("X")
    source.concept("A")
    source.mapping("m", "A", other.concept_url("X"), retired=retired)
    assert usage_of(store, other) == {"collections": [], "mappings": [source.mapping_url("m")]}

    source.remap("m", to_concept_url=source.concept("B")["url"])

    repositories.delete(store, other.document, ROOT)
    assert is_deleted(store, other)


def test_a_source_with_mappings_from_it_in_other_sources_is_not_deleted(store, source, other):
    other.edit(new_concept("X"), new_concept("Y"))
    source.mapping("m", other.concept_url("X"), other.concept_url("Y"))
    assert usage_of(store, other) == {"collections": [], "mappings": [source.mapping_url("m")]}


def test_external_mappings_and_its_own_do_not_prevent_the_deletion_of_a_source(
    store, source, other
):
    other.edit(new_concept("X"), new_concept("Y"), new_mapping("own", "X", "Y"))
    source.concept("A")
    source.mapping("m", "A", to_source_url=other.url, to_concept_code="X")

    repositories.delete(store, other.document, ROOT)

    assert is_deleted(store, other)
    assert source.now(source.mapping_url("m"))["to_source_url"] == other.url


def test_uses_of_a_source_whose_url_starts_alike_do_not_count(store, source, other):
    longer = Source(store, "REF0")
    longer.concept("X")
    source.concept("A")
    source.mapping("m", "A", longer.concept_url("X"))

    repositories.delete(store, other.document, ROOT)

    assert is_deleted(store, other)


def test_uses_by_a_deleted_source_do_not_count(store, source, other):
    other.concept("X")
    source.concept("A")
    source.mapping("m", "A", other.concept_url("X"))
    repositories.delete(store, source.document, ROOT)

    repositories.delete(store, other.document, ROOT)

    assert is_deleted(store, other)


def test_a_refused_deletion_lists_the_first_twenty_uses(store, source, other):
    other.concept("X")
    source.edit(*(new_concept(f"c{number}") for number in range(25)))
    source.edit(
        *(
            new_mapping(f"m{number:02}", f"c{number}", other.concept_url("X"))
            for number in range(25)
        )
    )
    assert usage_of(store, other)["mappings"] == [
        source.mapping_url(f"m{number:02}") for number in range(20)
    ]


def test_a_new_source_with_a_deleted_ones_id_is_empty(store, source):
    source.concept("A")
    source.release("v1")
    deleted = source.document
    repositories.delete(store, deleted, ROOT)

    again = Source(store, "LAB")

    assert again.number != source.number
    assert (again.rev, again.rows(again.concept_url("A"))) == (0, [])
    assert store.versions.by_id(again.number, "v1") is None
    with pytest.raises(NotFound):
        repositories.delete(store, deleted, ROOT)


@pytest.mark.parametrize("concept", ["X", "my-concepts"])
@pytest.mark.parametrize("change", ["created", "moved"])
def test_of_a_mapping_and_the_concurrent_deletion_of_its_target_only_one_succeeds(
    store, source, concept, change
):
    source.edit(new_concept("A"), new_concept("B"))
    outcomes = []
    for number in range(12):
        target = Source(store, f"T{number}")
        target.concept(concept)
        document, start = target.document, threading.Barrier(2)
        mapping, url = f"m{number}", target.concept_url(concept)
        if change == "moved":
            source.edit(new_mapping(mapping, "A", "B", map_type=mapping))

        def map_it(start=start, mapping=mapping, url=url):
            start.wait()
            edit = (
                change_mapping(mapping, to_concept_url=url)
                if change == "moved"
                else new_mapping(mapping, "A", url, map_type=mapping)
            )
            try:
                source.edit(edit)
            except Invalid as error:
                return sorted(error.errors)
            return "mapped"

        def delete_it(start=start, document=document):
            start.wait()
            try:
                repositories.delete(store, document, ROOT)
            except Invalid as error:
                return sorted(error.errors)
            return "deleted"

        with ThreadPoolExecutor(2) as threads:
            outcome = {threads.submit(map_it), threads.submit(delete_it)}
            outcomes.append(sorted(str(done.result()) for done in outcome))
    assert all(
        outcome in (["['__all__']", "mapped"], ["['to_concept_url']", "deleted"])
        for outcome in outcomes
    ), outcomes


# The frozen detail of a version


def test_later_edits_do_not_change_a_version(source):
    source.concept("A")
    released = source.release("v1")
    source.update(name="Later", extras={"a": 1}, default_locale="fr")
    source.change("A", names=[named("Later")])
    source.concept("B")

    version = source.store.versions.by_id(source.number, "v1")

    assert version == released
    frozen = version.frozen
    assert (frozen["name"], frozen["default_locale"]) == ("LAB", "en")
    assert (frozen["active_concepts"], frozen["versions"]) == (1, 2)
    assert version.counts.concepts == 1
