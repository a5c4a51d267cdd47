"""What an edit makes of a concept, and when it makes nothing."""

import time

import pytest

from oclapi import bodies
from oclapi.editing import concepts, values
from oclapi.errors import Invalid, NotFound
from tests.editing.conftest import change_concept, named, new_concept, refused


def test_a_new_concept_has_every_field_of_the_contract(source):
    made = source.concept("1007", "Serum glucose")

    assert made == source.now(source.concept_url("1007"))
    [name] = made["names"]
    assert {
        key: made[key]
        for key in (
            "datatype",
            "descriptions",
            "retired",
            "extras",
            "external_id",
            "update_comment",
            "locale",
        )
    } == {
        "datatype": "None",
        "descriptions": [],
        "retired": False,
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
        "type": "ConceptName",
    }
    assert (made["created_by"], made["updated_by"], made["version_created_by"]) == ("root",) * 3
    assert made["created_on"] == made["updated_on"] == made["version_created_on"]


def test_a_new_version_keeps_who_the_concept_is_and_tells_who_changed_it(source):
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
        "every field as it is",
        "the same names",
        "extras in another order",
    ],
)
def test_an_update_that_changes_nothing_makes_no_version(source, body):
    source.concept("A", extras={"a": None, "b": [1.0, {"c": True, "d": 1}]})
    before = source.document

    [(item, changed)] = source.edit(change_concept("A", **body))

    assert not changed
    assert len(source.rows(source.concept_url("A"))) == 1
    assert item.body == source.rows(source.concept_url("A"))[0].body
    assert {key: source.document[key] for key in ("rev", "at", "updated_on")} == {
        key: before[key] for key in ("rev", "at", "updated_on")
    }


@pytest.mark.parametrize(
    ("kept", "given"),
    [(1, 1.0), (1.0, 1), (1, True), (0, False), (0, None), ("1", 1), ([1], [1.0])],
)
def test_another_type_of_value_is_a_change(source, kept, given):
    source.concept("A", extras={"value": kept})

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


def test_an_entry_that_stays_keeps_its_uuid_whatever_happens_around_it(source):
    before = source.concept("A", names=[named("one"), named("two"), named("three", "fr")])["names"]

    after = source.change(
        "A",
        names=[named("four"), named("three", "fr"), named("two", external_id="x"), named("one")],
    )["names"]

    old = {name["name"]: name["uuid"] for name in before}
    new = {name["name"]: name["uuid"] for name in after}
    assert (new["three"], new["one"]) == (old["three"], old["one"])
    assert new["two"] not in old.values()  # changed and not told to be the same
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


def test_the_cost_of_another_list_of_names_grows_with_its_length_only():
    def once(kept):
        begun = time.process_time()
        concepts.entries(
            "names", [named(f"new {number}") for number in range(bodies.ENTRIES)], kept
        )
        return time.process_time() - begun

    def cost(kept):
        return min(once(kept) for _ in range(3))

    kept = concepts.entries(
        "names", [named(f"old {number}") for number in range(bodies.ENTRIES)], ()
    )
    assert cost(kept) < 40 * cost(kept[:1])  # comparing each with each costs 200 times as much


def test_equal_entries_have_uuids_of_their_own_and_keep_them(source):
    twins = [named("a"), named("a")]
    before = [name["uuid"] for name in source.concept("A", names=twins)["names"]]
    assert len(set(before)) == 2

    [(_, changed)] = source.edit(change_concept("A", names=twins))

    assert not changed


def test_the_name_shown_follows_names_and_locales_at_the_time_of_writing(source):
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


def test_changed_locales_of_the_source_alone_are_no_change_of_a_concept(source):
    source.concept("A", names=[named("Glukose", "de"), named("Sukari", "sw")])
    source.update(default_locale="sw")

    [(_, changed)] = source.edit(change_concept("A", datatype="None"))

    assert not changed


def test_a_retired_concept_is_edited_and_brought_back(source):
    source.concept("A")
    source.edit(lambda draft, repo: concepts.retire(draft, repo, "A", "obsolete"))
    retired = source.now(source.concept_url("A"))
    assert (retired["retired"], retired["update_comment"]) == (True, "obsolete")
    assert (
        source.document["counts"]["concepts"],
        source.document["counts"]["active_concepts"],
    ) == (1, 0)

    assert source.change("A", datatype="Text")["retired"] is True
    assert source.change("A", retired=False)["retired"] is False

    assert source.document["counts"]["active_concepts"] == 1


def test_a_concept_is_retired_once(source):
    source.concept("A", retired=True)
    with refused("__all__"):
        source.edit(lambda draft, repo: concepts.retire(draft, repo, "A", None))


@pytest.mark.parametrize("retired", [False, True])
def test_an_id_is_taken_for_good(source, retired):
    source.concept("A", retired=retired)
    with refused("__all__", "id") as errors:
        source.concept("A")
    assert errors["id"] == ["a concept with the id A exists already"]


def test_ids_are_case_sensitive_and_a_mapping_may_share_one(source):
    source.concept("a")
    source.concept("A")
    source.mapping("A", "a", "A")
    assert source.document["counts"] == {
        "concepts": 2,
        "mappings": 1,
        "active_concepts": 2,
        "active_mappings": 1,
    }


def test_an_id_never_changes(source):
    source.concept("A")
    with refused("id"):
        source.change("A", id="B", datatype="Text")
    assert len(source.rows(source.concept_url("A"))) == 1


def test_what_is_not_there_is_not_edited(source):
    for edit in (
        change_concept("A", datatype="Text"),
        lambda draft, repo: concepts.retire(draft, repo, "A", None),
        lambda draft, repo: concepts.add_entry(draft, repo, "A", "names", named("x")),
        lambda draft, repo: concepts.set_extra(draft, repo, "A", "k", 1),
    ):
        with pytest.raises(NotFound):
            source.edit(edit)
    assert source.rev == 0


# Entries and extras one by one


def test_an_entry_is_added_changed_and_removed(source):
    [kept] = source.concept("A")["names"]
    body = bodies.name_create(named("Second", "fr", name_type="SHORT", uuid=kept["uuid"]))

    [(_, added)] = source.edit(
        lambda draft, repo: concepts.add_entry(draft, repo, "A", "names", body)
    )
    assert added["uuid"] != kept["uuid"]
    assert source.now(source.concept_url("A"))["names"] == [kept, added]

    change = bodies.name_update({"name": "Deuxième", "uuid": "other", "name_type": None})
    [(_, changed)] = source.edit(
        lambda draft, repo: concepts.update_entry(draft, repo, "A", "names", added["uuid"], change)
    )
    assert changed == {**added, "name": "Deuxième", "name_type": None}
    assert source.now(source.concept_url("A"))["names"] == [kept, changed]

    source.edit(lambda draft, repo: concepts.delete_entry(draft, repo, "A", "names", kept["uuid"]))
    assert source.now(source.concept_url("A"))["names"] == [changed]
    assert source.now(source.concept_url("A"))["display_name"] == "Deuxième"
    assert len(source.rows(source.concept_url("A"))) == 4


def test_an_entry_changed_to_what_it_is_makes_no_version(source):
    [name] = source.concept("A")["names"]
    [((_, changed), entry)] = source.edit(
        lambda draft, repo: concepts.update_entry(
            draft, repo, "A", "names", name["uuid"], bodies.name_update({"locale": "en"})
        )
    )
    assert (changed, entry) == (False, name)
    assert source.rev == 1


def test_the_last_name_stays_and_the_last_description_need_not(source):
    made = source.concept("A", descriptions=[{"description": "x", "locale": "en"}])
    with refused("names"):
        source.edit(
            lambda draft, repo: concepts.delete_entry(
                draft, repo, "A", "names", made["names"][0]["uuid"]
            )
        )

    source.edit(
        lambda draft, repo: concepts.delete_entry(
            draft, repo, "A", "descriptions", made["descriptions"][0]["uuid"]
        )
    )

    assert source.now(source.concept_url("A"))["descriptions"] == []


@pytest.mark.parametrize("part", ["names", "descriptions"])
def test_an_unknown_entry_is_not_found(source, part):
    source.concept("A")
    for edit in (
        lambda draft, repo: concepts.update_entry(draft, repo, "A", part, "nope", {"locale": "fr"}),
        lambda draft, repo: concepts.delete_entry(draft, repo, "A", part, "nope"),
    ):
        with pytest.raises(NotFound):
            source.edit(edit)


def test_a_full_list_takes_no_more(source):
    source.concept("A", names=[named(f"n{number}") for number in range(1000)])
    with refused("names"):
        source.edit(lambda draft, repo: concepts.add_entry(draft, repo, "A", "names", named("x")))


def test_one_extra_is_set_replaced_and_removed(source):
    source.concept("A", extras={"kept": {"deep": 1}})
    for value in ("text", 0, False, None, "", {"a.b": [1]}):
        source.edit(
            lambda draft, repo, value=value: concepts.set_extra(draft, repo, "A", "a.b/%", value)
        )
        assert repr(source.now(source.concept_url("A"))["extras"]) == repr(
            {"kept": {"deep": 1}, "a.b/%": value}
        )

    source.edit(lambda draft, repo: concepts.delete_extra(draft, repo, "A", "kept"))

    assert list(source.now(source.concept_url("A"))["extras"]) == ["a.b/%"]
    assert len(source.rows(source.concept_url("A"))) == 8


def test_an_extra_set_to_what_it_is_makes_no_version_and_another_type_does(source):
    source.concept("A", extras={"k": 1})
    [(_, same)] = source.edit(lambda draft, repo: concepts.set_extra(draft, repo, "A", "k", 1))
    [(_, changed)] = source.edit(lambda draft, repo: concepts.set_extra(draft, repo, "A", "k", 1.0))
    assert (same, changed) == (False, True)


def test_a_missing_extra_is_not_found(source):
    source.concept("A", extras={"k": 1})
    with pytest.raises(NotFound):
        source.edit(lambda draft, repo: concepts.delete_extra(draft, repo, "A", "other"))


def test_one_more_extra_may_not_break_the_limit_of_all(source):
    source.concept("A", extras={"k": "x" * (2**20 - 100)})
    with refused("extras"):
        source.edit(lambda draft, repo: concepts.set_extra(draft, repo, "A", "more", "x" * 100))


# Limits and several edits at once


def test_an_edit_that_is_small_itself_may_not_let_a_concept_grow_over_the_limit(
    source, monkeypatch
):
    monkeypatch.setattr(values, "MAX_ITEM", 3000)
    source.concept("A", "x" * 900)
    with refused("__all__"):
        source.edit(
            lambda draft, repo: concepts.add_entry(draft, repo, "A", "names", named("y" * 900))
        )
    assert source.rev == 1


def test_a_concept_is_measured_alike_when_it_is_made_and_when_it_is_edited(source, monkeypatch):
    source.concept("A", "x" * 900)
    # two names of 500 characters, one of which is shown, do not fit
    monkeypatch.setattr(values, "MAX_ITEM", 1900)
    names = [named("x" * 500), named("y" * 500)]

    with refused("__all__"):
        source.concept("B", names=names)
    with refused("__all__"):
        source.change("A", names=names)

    monkeypatch.setattr(values, "MAX_ITEM", 2400)
    source.concept("B", names=names)
    source.change("A", names=names)


def test_one_concept_has_at_most_four_megabytes_in_all(source):
    names = [named("x" * 32_000) for _ in range(129)]
    source.concept("A", names=names)
    with refused("__all__"):
        source.concept("B", names=names[:1] + names)


def test_several_edits_of_one_concept_in_a_commit_make_one_version(source):
    source.concept("A")

    source.edit(
        change_concept("A", datatype="Numeric"),
        lambda draft, repo: concepts.add_entry(draft, repo, "A", "names", named("Zweiter", "de")),
        lambda draft, repo: concepts.set_extra(draft, repo, "A", "k", 1),
    )

    first, second = source.states(source.concept_url("A"))
    assert (second["datatype"], len(second["names"]), second["extras"]) == ("Numeric", 2, {"k": 1})
    assert second["names"][0] == first["names"][0]
    assert first["extras"] == {}


def test_a_concept_made_and_changed_in_one_commit_is_one_new_version(source):
    source.edit(
        new_concept("A"), change_concept("A", datatype="Text"), change_concept("A", extras={"k": 1})
    )

    [only] = source.states(source.concept_url("A"))
    assert (only["datatype"], only["extras"]) == ("Text", {"k": 1})
    assert source.document["counts"]["concepts"] == 1


def test_an_id_is_taken_within_a_commit_too(source):
    with refused("__all__", "id"):
        source.edit(new_concept("A"), new_concept("A"))
    assert source.rev == 0


def test_a_refused_edit_leaves_no_trace_of_those_beside_it(source):
    source.concept("A")
    with refused("id"):
        source.edit(new_concept("B"), change_concept("A", id="C"))
    assert source.rev == 1
    assert source.rows(source.concept_url("B")) == []


def test_a_whole_that_fails_is_taken_back_and_the_others_go_on(source):
    source.concept("A")
    outcomes = []

    def each(draft, repo):
        for edits in (
            [new_concept("B"), change_concept("A", datatype="Text", id="Z")],
            [new_concept("B", "Second"), new_concept("C")],
        ):
            try:
                with draft.whole():
                    for edit in edits:
                        edit(draft, repo)
                outcomes.append("done")
            except Invalid:
                outcomes.append("refused")

    source.edit(each)

    assert outcomes == ["refused", "done"]
    assert source.now(source.concept_url("B"))["display_name"] == "Second"
    assert len(source.rows(source.concept_url("A"))) == 1
    assert source.document["counts"]["concepts"] == 3
