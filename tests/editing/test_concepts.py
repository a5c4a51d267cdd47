"""Edits of concepts."""

import time
from dataclasses import asdict

import pytest

from oclapi import bodies, jsonio
from oclapi.editing import concepts, values
from oclapi.errors import Invalid, NotFound
from tests.editing.conftest import change_concept, named, new_concept, refused


def test_a_new_concept_has_every_field_of_the_contract(source):
    created = source.concept("1007", "Serum glucose")

    assert created == source.now(source.concept_url("1007"))
    [name] = created["names"]
    assert {
        key: created[key]
        for key in (
            "datatype",
            "descriptions",
            "retired",
            "retire_reason",
            "extras",
            "external_id",
            "update_comment",
            "locale",
        )
    } == {
        "datatype": "None",
        "descriptions": [],
        "retired": False,
        "retire_reason": None,
        "extras": {},
        "external_id": None,
        "update_comment": None,
        "locale": None,
    }
    assert {key: name[key] for key in name if key != "uuid"} == {
        "external_id": None,
        "name": "Serum glucose",
        "locale": "en",
        "locale_preferred": False,
        "name_type": None,
        "retired": False,
        "retire_reason": None,
        "type": "ConceptName",
    }
    authors = (created["created_by"], created["updated_by"], created["version_created_by"])
    assert authors == ("root",) * 3
    assert created["created_on"] == created["updated_on"] == created["version_created_on"]


def test_a_new_version_keeps_the_identity_of_the_concept_and_names_its_author(source):
    first = source.concept("A")
    source.caller = type(source.caller)("amina")

    second = source.change("A", concept_class="Drug", update_comment="why")

    kept = ("uuid", "id", "url", "created_on", "created_by", "names")
    assert [second[key] for key in kept] == [first[key] for key in kept]
    assert (second["updated_by"], second["update_comment"], second["concept_class"]) == (
        "amina",
        "why",
        "Drug",
    )
    assert second["updated_on"] > first["updated_on"]
    assert second["version"] != first["version"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"update_comment": "nothing else"},
        {
            "id": "A",
            "concept_class": "Test",
            "datatype": "None",
            "retired": "false",
            "external_id": None,
            "descriptions": None,
        },
        {"names": [named("Name of A", locale_preferred=False, name_type=None)]},
        {"extras": {"b": [1.0, {"d": 1, "c": True}], "a": None}},
    ],
    ids=[
        "empty",
        "a lone comment",
        "every field unchanged",
        "the same names",
        "extras in another order",
    ],
)
def test_an_update_that_changes_nothing_creates_no_version(source, body):
    source.concept("A", extras={"a": None, "b": [1.0, {"c": True, "d": 1}]})
    before = source.document

    [(item, changed)] = source.edit(change_concept("A", **body))

    assert not changed
    assert len(source.rows(source.concept_url("A"))) == 1
    assert item.body == source.rows(source.concept_url("A"))[0].body
    assert source.document == before


@pytest.mark.parametrize(
    ("before", "given"),
    [(1, 1.0), (1.0, 1), (1, True), (0, False), (0, None), ("1", 1), ([1], [1.0])],
)
def test_another_type_of_value_is_a_change(source, before, given):
    source.concept("A", extras={"value": before})

    after = source.change("A", extras={"value": given})

    assert repr(after["extras"]) == repr({"value": given})
    assert len(source.rows(source.concept_url("A"))) == 2


def test_extras_and_lists_are_replaced_as_a_whole(source):
    source.concept(
        "A", extras={"a": 1, "b": 2}, descriptions=[{"description": "x", "locale": "en"}]
    )

    after = source.change("A", extras={"b": 3}, descriptions=None, names=[named("Only this")])

    assert (after["extras"], after["descriptions"]) == ({"b": 3}, [])
    assert [name["name"] for name in after["names"]] == ["Only this"]
    assert source.change("A", extras=None)["extras"] == {}


def test_an_unchanged_entry_keeps_its_uuid_when_others_change(source):
    before = source.concept("A", names=[named("one"), named("two"), named("three", "fr")])["names"]

    after = source.change(
        "A",
        names=[named("four"), named("three", "fr"), named("two", external_id="x"), named("one")],
    )["names"]

    old = {name["name"]: name["uuid"] for name in before}
    new = {name["name"]: name["uuid"] for name in after}
    assert (new["three"], new["one"]) == (old["three"], old["one"])
    assert new["two"] not in old.values()  # changed, and sent without its uuid
    assert len({*new.values(), *old.values()}) == 5


def test_a_given_uuid_keeps_a_changed_entry_the_same(source):
    [before] = source.concept("A", names=[named("Glucos")])["names"]

    [after] = source.change("A", names=[named("Glucose", uuid=before["uuid"])])["names"]

    assert (after["name"], after["uuid"]) == ("Glucose", before["uuid"])


def test_an_unknown_or_repeated_uuid_is_ignored(source):
    [before] = source.concept("A", names=[named("a", uuid="mine")])["names"]
    assert before["uuid"] != "mine"

    first, second = source.change(
        "A", names=[named("b", uuid=before["uuid"]), named("c", uuid=before["uuid"])]
    )["names"]

    assert first["uuid"] == before["uuid"]
    assert second["uuid"] not in ("", None, before["uuid"])


def test_the_cost_of_replacing_names_is_linear():
    def once(before):
        begun = time.process_time()
        concepts.texts(
            "names", [named(f"new {number}") for number in range(bodies.ENTRIES)], before
        )
        return time.process_time() - begun

    def cost(before):
        return min(once(before) for _ in range(3))

    before = concepts.texts(
        "names", [named(f"old {number}") for number in range(bodies.ENTRIES)], ()
    )
    assert cost(before) < 40 * cost(before[:1])  # comparing all pairs costs 200 times as much


def test_equal_entries_have_different_uuids_and_keep_them(source):
    twins = [named("a"), named("a")]
    before = [name["uuid"] for name in source.concept("A", names=twins)["names"]]
    assert len(set(before)) == 2

    [(_, changed)] = source.edit(change_concept("A", names=twins))

    assert not changed


def test_the_display_name_follows_names_and_locales_at_the_time_of_writing(source):
    names = [
        named("Glukose", "de"),
        named("Glucose", "fr", locale_preferred=True),
        named("Sukari", "sw"),
    ]
    assert source.concept("A", names=names)["display_name"] == "Glucose"
    source.update(default_locale="sw")
    assert source.now(source.concept_url("A"))["display_name"] == "Glucose"

    after = source.change("A", datatype="Numeric")

    assert (after["display_name"], after["display_locale"]) == ("Sukari", "sw")


def test_new_locales_of_the_source_do_not_change_a_concept(source):
    source.concept("A", names=[named("Glukose", "de"), named("Sukari", "sw")])
    source.update(default_locale="sw")

    [(_, changed)] = source.edit(change_concept("A", datatype="None"))

    assert not changed


def test_a_retired_concept_can_be_edited_and_made_active_again(source):
    source.concept("A")
    source.edit(lambda unit, repo: concepts.retire(unit, repo, "A", "obsolete"))
    retired = source.now(source.concept_url("A"))
    assert (retired["retired"], retired["update_comment"]) == (True, "obsolete")
    assert (
        source.document.counts.concepts,
        source.document.counts.active_concepts,
    ) == (1, 0)

    assert source.change("A", datatype="Text")["retired"] is True
    assert source.change("A", retired=False)["retired"] is False

    assert source.document.counts.active_concepts == 1


def test_the_reason_of_a_retirement_is_kept_until_the_concept_is_active_again(source):
    assert source.concept("A", retired=True, retire_reason="twice")["retire_reason"] == "twice"
    assert source.change("A", retire_reason="thrice")["retire_reason"] == "thrice"
    after = source.change("A", retired=False, retire_reason="thrice")
    assert (after["retired"], after["retire_reason"]) == (False, None)


def test_a_name_that_is_sent_back_without_being_retired_loses_its_reason(source):
    names = [named("a"), named("b", retired=True, retire_reason="old")]
    first, second = source.concept("A", names=names)["names"]

    after = source.change("A", names=[first, {**second, "retired": False}])["names"]

    assert after == [first, {**second, "retired": False, "retire_reason": None}]


def test_a_concept_stored_before_names_could_be_retired_is_read_with_the_defaults(source):
    """Sending it back creates no version, and the next version has the new fields."""
    whole = source.concept("A", descriptions=[{"description": "x", "locale": "en"}])
    old = {
        **{name: value for name, value in whole.items() if name != "retire_reason"},
        **{
            part: [
                {name: value for name, value in text.items() if not name.startswith("retire")}
                for text in whole[part]
            ]
            for part in ("names", "descriptions")
        },
    }
    source.store.database.rows.update_one(
        {"url": source.concept_url("A")}, {"$set": {"body": jsonio.dumps(old)}}
    )
    sent = {name: old[name] for name in ("names", "descriptions", "retired")}

    [(entry, changed)] = source.edit(change_concept("A", **sent, retire_reason=None))
    assert (changed, entry.body) == (False, jsonio.dumps(old))

    after = source.change("A", datatype="Text")
    assert (after["names"], after["descriptions"]) == (whole["names"], whole["descriptions"])
    assert list(after["names"][0]) == list(whole["names"][0])
    assert after["retire_reason"] is None


def test_a_retired_concept_can_not_be_retired_again(source):
    source.concept("A", retired=True)
    with refused("__all__"):
        source.edit(lambda unit, repo: concepts.retire(unit, repo, "A", None))


@pytest.mark.parametrize("retired", [False, True])
def test_an_id_can_not_be_used_twice(source, retired):
    source.concept("A", retired=retired)
    with refused("__all__", "id") as errors:
        source.concept("A")
    assert errors["id"] == ["a concept with the id A exists already"]


def test_ids_are_case_sensitive_and_a_mapping_may_share_one(source):
    source.concept("a")
    source.concept("A")
    source.mapping("A", "a", "A")
    assert asdict(source.document.counts) == {
        "concepts": 2,
        "mappings": 1,
        "active_concepts": 2,
        "active_mappings": 1,
    }


def test_an_id_can_not_be_changed(source):
    source.concept("A")
    with refused("id"):
        source.change("A", id="B", datatype="Text")
    assert len(source.rows(source.concept_url("A"))) == 1


def test_an_unknown_concept_can_not_be_edited(source):
    for edit in (
        change_concept("A", datatype="Text"),
        lambda unit, repo: concepts.retire(unit, repo, "A", None),
        lambda unit, repo: concepts.add_text(unit, repo, "A", "names", named("x")),
        lambda unit, repo: concepts.set_extra(unit, repo, "A", "k", 1),
    ):
        with pytest.raises(NotFound):
            source.edit(edit)
    assert source.rev == 0


# Single entries and extras


def test_an_entry_is_added_changed_and_removed(source):
    [first] = source.concept("A")["names"]
    body = bodies.name_create(named("Second", "fr", name_type="SHORT", uuid=first["uuid"]))

    [(_, added)] = source.edit(lambda unit, repo: concepts.add_text(unit, repo, "A", "names", body))
    assert added["uuid"] != first["uuid"]
    assert source.now(source.concept_url("A"))["names"] == [first, added]

    change = bodies.name_update({"name": "Deuxième", "uuid": "other", "name_type": None})
    [(_, changed)] = source.edit(
        lambda unit, repo: concepts.update_text(unit, repo, "A", "names", added["uuid"], change)
    )
    assert changed == {**added, "name": "Deuxième", "name_type": None}
    assert source.now(source.concept_url("A"))["names"] == [first, changed]

    source.edit(lambda unit, repo: concepts.delete_text(unit, repo, "A", "names", first["uuid"]))
    assert source.now(source.concept_url("A"))["names"] == [changed]
    assert source.now(source.concept_url("A"))["display_name"] == "Deuxième"
    assert len(source.rows(source.concept_url("A"))) == 4


def test_an_entry_updated_with_its_own_value_creates_no_version(source):
    [name] = source.concept("A")["names"]
    [((_, changed), entry)] = source.edit(
        lambda unit, repo: concepts.update_text(
            unit, repo, "A", "names", name["uuid"], bodies.name_update({"locale": "en"})
        )
    )
    assert (changed, entry) == (False, name)
    assert source.rev == 1


def test_the_last_name_can_not_be_deleted_but_the_last_description_can(source):
    created = source.concept("A", descriptions=[{"description": "x", "locale": "en"}])
    with refused("names"):
        source.edit(
            lambda unit, repo: concepts.delete_text(
                unit, repo, "A", "names", created["names"][0]["uuid"]
            )
        )

    source.edit(
        lambda unit, repo: concepts.delete_text(
            unit, repo, "A", "descriptions", created["descriptions"][0]["uuid"]
        )
    )

    assert source.now(source.concept_url("A"))["descriptions"] == []


@pytest.mark.parametrize("part", ["names", "descriptions"])
def test_an_unknown_entry_is_not_found(source, part):
    source.concept("A")
    for edit in (
        lambda unit, repo: concepts.update_text(unit, repo, "A", part, "nope", {"locale": "fr"}),
        lambda unit, repo: concepts.delete_text(unit, repo, "A", part, "nope"),
    ):
        with pytest.raises(NotFound):
            source.edit(edit)


def test_a_full_list_accepts_no_more_entries(source):
    source.concept("A", names=[named(f"n{number}") for number in range(1000)])
    with refused("names"):
        source.edit(lambda unit, repo: concepts.add_text(unit, repo, "A", "names", named("x")))


def test_one_extra_is_set_replaced_and_removed(source):
    source.concept("A", extras={"kept": {"deep": 1}})
    for value in ("text", 0, False, None, "", {"a.b": [1]}):
        source.edit(
            lambda unit, repo, value=value: concepts.set_extra(unit, repo, "A", "a.b/%", value)
        )
        assert repr(source.now(source.concept_url("A"))["extras"]) == repr(
            {"kept": {"deep": 1}, "a.b/%": value}
        )

    source.edit(lambda unit, repo: concepts.delete_extra(unit, repo, "A", "kept"))

    assert list(source.now(source.concept_url("A"))["extras"]) == ["a.b/%"]
    assert len(source.rows(source.concept_url("A"))) == 8


def test_setting_an_extra_creates_a_version_only_if_its_value_or_type_changes(source):
    source.concept("A", extras={"k": 1})
    [(_, same)] = source.edit(lambda unit, repo: concepts.set_extra(unit, repo, "A", "k", 1))
    [(_, changed)] = source.edit(lambda unit, repo: concepts.set_extra(unit, repo, "A", "k", 1.0))
    assert (same, changed) == (False, True)


def test_a_missing_extra_is_not_found(source):
    source.concept("A", extras={"k": 1})
    with pytest.raises(NotFound):
        source.edit(lambda unit, repo: concepts.delete_extra(unit, repo, "A", "other"))


def test_a_new_extra_counts_towards_the_limit_of_all_extras(source):
    source.concept("A", extras={"k": "x" * (2**20 - 100)})
    with refused("extras"):
        source.edit(lambda unit, repo: concepts.set_extra(unit, repo, "A", "more", "x" * 100))


# Limits and several edits at once


def test_a_small_edit_can_not_exceed_the_size_limit_of_a_concept(source, monkeypatch):
    monkeypatch.setattr(values, "MAX_ITEM", 3000)
    source.concept("A", "x" * 900)
    with refused("__all__"):
        source.edit(
            lambda unit, repo: concepts.add_text(unit, repo, "A", "names", named("y" * 900))
        )
    assert source.rev == 1


def test_the_size_of_a_concept_is_computed_alike_for_creation_and_update(source, monkeypatch):
    source.concept("A", "x" * 900)
    # Two names of 500 characters, one of them the display name too, exceed this limit.
    monkeypatch.setattr(values, "MAX_ITEM", 1900)
    names = [named("x" * 500), named("y" * 500)]

    with refused("__all__"):
        source.concept("B", names=names)
    with refused("__all__"):
        source.change("A", names=names)

    monkeypatch.setattr(values, "MAX_ITEM", 2400)
    source.concept("B", names=names)
    source.change("A", names=names)


def test_a_concept_has_at_most_four_megabytes(source):
    names = [named("x" * 32_000) for _ in range(129)]
    source.concept("A", names=names)
    with refused("__all__"):
        source.concept("B", names=names[:1] + names)


def test_several_edits_of_a_concept_in_one_commit_create_one_version(source):
    source.concept("A")

    source.edit(
        change_concept("A", datatype="Numeric"),
        lambda unit, repo: concepts.add_text(unit, repo, "A", "names", named("Zweiter", "de")),
        lambda unit, repo: concepts.set_extra(unit, repo, "A", "k", 1),
    )

    first, second = source.states(source.concept_url("A"))
    assert (second["datatype"], len(second["names"]), second["extras"]) == ("Numeric", 2, {"k": 1})
    assert second["names"][0] == first["names"][0]
    assert first["extras"] == {}


def test_a_concept_created_and_changed_in_one_commit_has_one_version(source):
    source.edit(
        new_concept("A"), change_concept("A", datatype="Text"), change_concept("A", extras={"k": 1})
    )

    [only] = source.states(source.concept_url("A"))
    assert (only["datatype"], only["extras"]) == ("Text", {"k": 1})
    assert source.document.counts.concepts == 1


def test_an_id_can_not_be_used_twice_in_one_commit(source):
    with refused("__all__", "id"):
        source.edit(new_concept("A"), new_concept("A"))
    assert source.rev == 0


def test_a_refused_edit_undoes_the_other_edits_of_its_commit(source):
    source.concept("A")
    with refused("id"):
        source.edit(new_concept("B"), change_concept("A", id="C"))
    assert source.rev == 1
    assert source.rows(source.concept_url("B")) == []


def test_edits_of_a_failed_block_are_undone_and_the_commit_continues(source):
    source.concept("A")
    outcomes = []

    def edit_in_blocks(unit, repo):
        for edits in (
            [new_concept("B"), change_concept("A", datatype="Text", id="Z")],
            [new_concept("B", "Second"), new_concept("C")],
        ):
            try:
                with unit.whole():
                    for edit in edits:
                        edit(unit, repo)
                outcomes.append("done")
            except Invalid:
                outcomes.append("refused")

    source.edit(edit_in_blocks)

    assert outcomes == ["refused", "done"]
    assert source.now(source.concept_url("B"))["display_name"] == "Second"
    assert len(source.rows(source.concept_url("A"))) == 1
    assert source.document.counts.concepts == 3
