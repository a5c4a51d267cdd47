"""The validation schema OpenMRS: unique names, lookup lists, and setting it on a source."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from pymongo.collection import Collection

from oclapi.editing import concepts, mappings, repositories
from oclapi.errors import Invalid
from oclapi.model import Revision, Selection
from tests.editing.conftest import (
    Source,
    change_concept,
    change_mapping,
    named,
    new_concept,
    new_mapping,
    refused,
)


def full(name, locale="en", **fields):
    return named(name, locale, name_type="FULLY_SPECIFIED", **fields)


@pytest.fixture
def strict(store):
    return Source(store, "STRICT", custom_validation_schema="OpenMRS")


def put(source, concept, *names, **fields):
    return source.concept(concept, names=list(names), **fields)


def retire(concept):
    return lambda unit, repo: concepts.retire(unit, repo, concept, None)


# Names


def test_a_concept_always_needs_a_fully_specified_name(strict):
    with refused("names"):
        put(strict, "A", named("Glucose"))
    [name] = put(strict, "A", full("Glucose"))["names"]
    with refused("names"):
        strict.change("A", names=[named("Glucose")])
    with refused("names"):
        strict.edit(
            lambda unit, repo: concepts.update_text(
                unit, repo, "A", "names", name["uuid"], {"name_type": "SHORT"}
            )
        )
    with refused("names"):
        strict.edit(lambda unit, repo: concepts.add_text(unit, repo, "A", "names", full("Second")))
    strict.edit(
        lambda unit, repo: concepts.add_text(unit, repo, "A", "names", full("Zweiter", "de"))
    )
    with refused("names"):
        strict.edit(
            change_concept("A", names=[named("x", name_type="Short"), full("y")]),
            lambda unit, repo: concepts.add_text(
                unit, repo, "A", "names", named("z", name_type="SHORT")
            ),
        )
    assert strict.rev == 2


@pytest.mark.parametrize(
    ("here", "there", "conflict"),
    [
        pytest.param(full("Glucose"), full("Glucose"), True, id="both fully specified"),
        pytest.param(
            named("Glucose", name_type="Fully Specified"),
            full("Glucose"),
            True,
            id="two spellings of the type",
        ),
        pytest.param(
            full("Glucose"),
            named("Glucose", locale_preferred=True),
            True,
            id="another's preferred name",
        ),
        pytest.param(
            full("Glucose"), named("Glucose"), False, id="a synonym of another's full name"
        ),
        pytest.param(
            named("Glucose", locale_preferred=True),
            named("Glucose"),
            False,
            id="a synonym of another's preferred name",
        ),
        pytest.param(
            full("Glucose"), named("Glucose", name_type="INDEX_TERM"), False, id="an index term"
        ),
        pytest.param(named("Glucose"), named("Glucose"), False, id="two synonyms"),
        pytest.param(
            full("Glucose"), named("Glucose", name_type="SHORT"), False, id="a short name"
        ),
        pytest.param(full("Glucose"), full("Glucose", "fr"), False, id="another locale"),
        pytest.param(full("Cerebral malaria"), full("cerebral malaria"), True, id="case"),
        pytest.param(full("Cerebral malaria"), full("Cerebral malaria\t"), True, id="a tab"),
        pytest.param(full("Fi\u00e8vre"), full("fie\u0300vre"), True, id="form NFD"),
        pytest.param(full("Glucose"), full("Glucosé"), False, id="accents"),
    ],
)
def test_a_fully_specified_or_preferred_name_is_unique(strict, here, there, conflict):
    names_of = {"A": [here], "B": [there]}
    for concept, names in names_of.items():
        if names[0].get("name_type") not in ("FULLY_SPECIFIED", "Fully Specified"):
            names.append(full(f"Full name of {concept}"))
    for first, second in (("A", "B"), ("B", "A")):
        put(strict, f"first-{first}", *names_of[first])
        if conflict:
            with refused("names") as errors:
                put(strict, f"second-{second}", *names_of[second])
            assert strict.concept_url(f"first-{first}") in errors["names"][0]
        else:
            put(strict, f"second-{second}", *names_of[second])
            strict.edit(retire(f"second-{second}"))
        strict.edit(retire(f"first-{first}"))


def test_names_of_other_sources_do_not_count(store, strict):
    put(strict, "A", full("Glucose"))
    put(Source(store, "STRICT2", custom_validation_schema="OpenMRS"), "A", full("Glucose"))


def test_a_concept_does_not_conflict_with_itself(strict):
    put(strict, "A", full("Glucose"))
    after = strict.change("A", names=[full("Glucose", locale_preferred=True), named("Sugar")])
    assert after["display_name"] == "Glucose"
    strict.edit(
        change_concept("A", names=[full("Sugar")]), change_concept("A", names=[full("Glucose")])
    )


def test_a_name_that_a_concept_no_longer_has_is_free(strict):
    put(strict, "A", full("Glucose"))
    strict.change("A", names=[full("Sugar")])
    put(strict, "B", full("Glucose"))
    with refused("names"):
        strict.change("A", names=[full("Glucose")])


def test_the_names_of_a_retired_concept_are_free_until_it_is_active_again(strict):
    put(strict, "A", full("Glucose"))
    strict.edit(retire("A"))
    put(strict, "B", full("Glucose"))
    with refused("names"):
        strict.change("A", retired=False)
    strict.change("A", names=[full("Sugar")], retired=False)
    assert strict.document.counts.active_concepts == 2


def test_names_are_unique_within_one_commit(strict):
    with refused("names"):
        strict.edit(
            new_concept("A", names=[full("Glucose")]),
            new_concept("B", names=[named("Glucose", locale_preferred=True), full("B")]),
        )
    assert strict.rev == 0


def test_concepts_can_exchange_names_within_one_commit(strict):
    put(strict, "A", full("Glucose"))
    put(strict, "B", full("Sugar"))

    strict.edit(
        change_concept("A", names=[full("Passing")]),
        change_concept("B", names=[full("Glucose")]),
        change_concept("A", names=[full("Sugar")]),
    )

    assert [strict.now(strict.concept_url(concept))["display_name"] for concept in "AB"] == [
        "Sugar",
        "Glucose",
    ]
    with refused("names"):
        strict.edit(
            change_concept("A", names=[full("Other")]), new_concept("C", names=[full("Glucose")])
        )


def test_names_of_an_edit_that_is_undone_are_free_again(strict):
    put(strict, "A", full("Glucose"))

    def edits(unit, repo):
        with pytest.raises(Invalid), unit.whole():
            change_concept("A", names=[full("Sugar")])(unit, repo)
            new_concept("B", names=[full("Glucose")])(unit, repo)
            new_concept("C", names=[full("Sugar")])(unit, repo)
        with pytest.raises(Invalid):
            new_concept("D", names=[full("Glucose")])(unit, repo)
        new_concept("E", names=[full("Sugar")])(unit, repo)

    strict.edit(edits)

    assert strict.document.counts.concepts == 2
    assert strict.now(strict.concept_url("A"))["display_name"] == "Glucose"


def test_of_many_writers_of_one_name_one_succeeds(strict):
    def write(number):
        try:
            put(strict, f"c{number}", full("Glucose"))
        except Invalid:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(write, range(16))) == 1
    assert strict.document.counts.concepts == 1


# Lookup lists


@pytest.fixture
def lists(store):
    """The lookup lists of the organisation OCL."""
    lists = {}
    for source_id, kind, entries in (
        ("Classes", "Concept Class", ["Test", "Drug"]),
        ("Datatypes", "Datatype", ["None", "Numeric"]),
        ("NameTypes", "NameType", ["None", "Index Term"]),
        ("DescriptionTypes", "DescriptionType", ["None", "Definition"]),
        ("Locales", "Locale", ["en", "fr"]),
        ("MapTypes", "MapType", ["SAME-AS", "NARROWER-THAN"]),
    ):
        lists[source_id] = Source(store, source_id, "OCL")
        lists[source_id].edit(
            *(
                new_concept(f"e{number}", entry, concept_class=kind)
                for number, entry in enumerate(entries)
            )
        )
    return lists


def test_values_in_the_lists_are_accepted(strict, lists):
    names = [
        full("Glucose"),
        named("Gluc", name_type="SHORT"),
        named("gluc", name_type="INDEX_TERM"),
        named("Sucre", "fr"),
    ]
    descriptions = [
        {"description": "x", "locale": "en"},
        {"description": "y", "locale": "fr", "description_type": "Definition"},
    ]
    put(strict, "A", *names, concept_class="Drug", datatype="Numeric", descriptions=descriptions)


def test_all_values_that_are_in_no_list_are_reported_together_by_field(strict, lists):
    descriptions = [{"description": "x", "locale": "en", "description_type": "Rumour"}]
    with refused("concept_class", "data_type", "datatype", "names", "descriptions"):
        put(
            strict,
            "A",
            full("Glucose"),
            named("x", "de", name_type="Nick"),
            concept_class="X",
            datatype="Y",
            descriptions=descriptions,
        )


def test_a_source_without_the_schema_is_not_checked_against_the_lists(source, lists):
    source.concept("A", concept_class="X", datatype="Y")
    source.edit(new_concept("B"), new_mapping("m", "A", "B", map_type="Z"))


def test_every_name_of_an_active_entry_counts_from_its_commit_on(strict, lists):
    with refused("concept_class"):
        put(strict, "A", full("A"), concept_class="Procedure")
    lists["Classes"].change("e1", names=[named("Drug"), named("Misc Order", "fr")])
    put(strict, "A", full("A"), concept_class="Misc-Order")
    lists["Classes"].edit(retire("e1"))
    with refused("concept_class"):
        put(strict, "B", full("B"), concept_class="Misc-Order")
    with refused("concept_class"):
        put(strict, "B", full("B"), concept_class="Drug")


def test_an_item_with_a_value_removed_from_its_list_can_be_retired_but_not_reactivated(
    strict, lists
):
    put(strict, "A", full("A"), concept_class="Drug")
    put(strict, "B", full("B"))
    strict.edit(new_mapping("m", "A", "B", map_type="NARROWER-THAN"))
    lists["Classes"].edit(retire("e1"))
    lists["MapTypes"].edit(retire("e1"))

    strict.edit(retire("A"), lambda unit, repo: mappings.retire(unit, repo, "m", None))

    assert strict.now(strict.concept_url("A"))["retired"]
    assert strict.now(strict.mapping_url("m"))["retired"]
    with refused("concept_class"):
        strict.change("A", retired=False)
    with refused("map_type"):
        strict.remap("m", retired=False)


def test_a_list_can_have_the_schema_and_be_checked_against_itself(store, lists):
    lists["Classes"].update(custom_validation_schema="None")
    classes = lists["Classes"]
    classes.edit(
        *(
            change_concept(f"e{number}", names=[full(name)])
            for number, name in enumerate(["Test", "Drug"])
        )
    )
    classes.update(custom_validation_schema="OpenMRS")

    put(classes, "e2", full("Procedure"), concept_class="Concept Class")

    with refused("concept_class"):
        put(classes, "e3", full("Anything"), concept_class="Anything")
    with refused("names"):
        put(classes, "e3", full("Procedure"), concept_class="Concept Class")


# Mappings


@pytest.fixture
def joined(strict):
    strict.edit(
        *(new_concept(concept, names=[full(f"Name of {concept}")]) for concept in "ABC"),
        new_mapping("m", "A", "B"),
    )
    return strict


def test_two_concepts_have_one_active_mapping(joined):
    with refused("__all__") as errors:
        joined.mapping("n", "A", "B", map_type="NARROWER-THAN")
    assert joined.mapping_url("m") in errors["__all__"][0]
    joined.mapping("back", "B", "A")
    joined.mapping("n", "A", "B", map_type="NARROWER-THAN", retired=True)
    with refused("__all__"):
        joined.remap("n", retired=False)

    joined.remap("m", retired=True)

    joined.remap("n", retired=False)
    with refused("__all__"):
        joined.remap("m", retired=False)


def test_answers_and_members_of_sets_are_counted_by_themselves(joined):
    joined.mapping("answer", "A", "B", map_type="Q-AND-A")
    joined.mapping("member", "A", "B", map_type="CONCEPT-SET")
    with refused("__all__") as errors:
        joined.mapping("second", "A", "B", map_type="q and a")
    assert joined.mapping_url("answer") in errors["__all__"][0]
    with refused("__all__"):
        joined.mapping("second", "A", "B", map_type="Concept-Set")
    with refused("__all__"):
        joined.remap("answer", map_type="NARROWER-THAN")
    joined.remap("m", retired=True)
    joined.remap("answer", map_type="NARROWER-THAN")
    joined.mapping("second", "A", "B", map_type="Q-AND-A")


def test_external_mappings_to_one_code_conflict_too(joined, other):
    code = {"to_source_url": other.url, "to_concept_code": "I10"}
    joined.mapping("e", "A", **code)
    joined.mapping("answer", "A", **code, map_type="Q-AND-A")
    joined.mapping("elsewhere", "B", **code)
    joined.mapping("code", "A", **{**code, "to_concept_code": "I11"}, map_type="NARROWER-THAN")
    with refused("__all__") as errors:
        joined.mapping("f", "A", **code, map_type="NARROWER-THAN")
    assert joined.mapping_url("e") in errors["__all__"][0]
    other.concept("I10")
    with refused("__all__"):
        joined.mapping("f", "A", other.concept_url("I10"), map_type="NARROWER-THAN")
    with refused("__all__"):
        joined.remap("code", **code)


def test_retired_entries_are_not_checked_until_they_are_active_again(strict, lists):
    strict.concept("A", retired=True, concept_class="X", external_id="x" * 37)
    strict.change("A", names=[named("no fully specified name")])
    put(strict, "B", full("B"))
    strict.edit(new_mapping("m", "A", "B", map_type="LIKE", external_id="x" * 37, retired=True))
    strict.remap("m", map_type="LOOKS-LIKE")

    with refused("concept_class", "external_id", "names"):
        strict.change("A", retired=False)
    with refused("map_type", "external_id"):
        strict.remap("m", retired=False)

    strict.change("A", retired=False, names=[full("A")], concept_class="test", external_id="x" * 36)
    strict.remap("m", retired=False, map_type="same_as", external_id="x" * 36)


def test_external_ids_have_at_most_36_characters(strict):
    long = "x" * 37
    with refused("external_id", "names", "descriptions"):
        put(
            strict,
            "A",
            full("A", external_id=long),
            external_id=long,
            descriptions=[{"description": "x", "locale": "en", "external_id": long}],
        )
    put(strict, "A", full("A", external_id=long[1:]), external_id=long[1:])
    with refused("names"):
        strict.edit(
            lambda unit, repo: concepts.add_text(
                unit, repo, "A", "names", named("x", external_id=long)
            )
        )
    with refused("external_id"):
        strict.edit(
            new_concept("B", names=[full("B")]), new_mapping("m", "A", "B", external_id=long)
        )


def test_a_mapping_does_not_conflict_with_itself(joined):
    assert joined.remap("m", map_type="NARROWER-THAN", external_id="x")["version"] == "2"


def test_a_source_without_the_schema_may_map_two_concepts_several_times(source):
    source.edit(
        new_concept("A"),
        new_concept("B"),
        new_mapping("m", "A", "B"),
        new_mapping("n", "A", "B", map_type="NARROWER-THAN"),
    )
    assert source.document.counts.active_mappings == 2


def test_active_mappings_are_unique_within_one_commit(joined):
    with refused("__all__"):
        joined.edit(
            new_mapping("n", "A", "C"), new_mapping("o", "A", "C", map_type="NARROWER-THAN")
        )
    with refused("__all__"):
        joined.edit(
            change_mapping("m", to_concept_url=joined.concept_url("C")),
            new_mapping("n", "A", "C", map_type="NARROWER-THAN"),
        )

    joined.edit(
        change_mapping("m", to_concept_url=joined.concept_url("C")),
        new_mapping("n", "A", "B", map_type="NARROWER-THAN"),
    )
    joined.edit(change_mapping("n", retired=True), new_mapping("o", "A", "B"))


def test_a_map_type_must_be_in_its_list(joined, lists):
    with refused("map_type"):
        joined.mapping("n", "A", "C", map_type="LOOKS-LIKE")
    with refused("map_type"):
        joined.remap("m", map_type="LOOKS-LIKE")
    joined.mapping("n", "A", "C", map_type="NARROWER-THAN")


# The schema set on a source with concepts


def failed(source):
    with pytest.raises(Invalid) as caught:
        source.update(custom_validation_schema="OpenMRS")
    assert list(caught.value.errors) == ["custom_validation_schema"]
    assert source.document.custom_validation_schema is None
    return {entry["mnemonic"]: entry for entry in caught.value.extra["failed_concept_validations"]}


def test_the_schema_can_be_set_when_all_active_concepts_follow_it(source):
    source.edit(
        new_concept("A", names=[full("Glucose")]),
        new_concept("B", names=[full("Sugar")]),
        retire("B"),
    )
    source.concept("C", retired=True)  # breaks the rules, but is not active

    assert source.update(custom_validation_schema="OpenMRS").custom_validation_schema == "OpenMRS"

    with refused("names"):
        put(source, "D", full("Glucose"))
    with refused("names"):
        put(source, "D", full("D"), named("glucose", locale_preferred=True))
    put(source, "D", full("Sugar"), named("Glucose"))
    with refused("names"):
        source.change("C", retired=False)


def test_a_refused_schema_lists_each_concept_that_violates_it_with_the_reason(source, lists):
    source.edit(
        new_concept("good", names=[full("Good")]),
        new_concept("bare"),
        new_concept("class", names=[full("Class")], concept_class="X", datatype="Y"),
        new_concept("one", names=[full("Twice")]),
        new_concept("two", names=[full("Two"), named("twice", locale_preferred=True)]),
        new_concept("three", names=[full("Thrice")]),
        new_concept("four", names=[full("Thrice")]),
        new_concept("retired", retired=True),
    )

    found = failed(source)

    assert set(found) == {"bare", "class", "one", "two", "three", "four"}
    assert found["bare"] == {
        "mnemonic": "bare",
        "url": source.concept_url("bare"),
        "errors": {"names": ["at least one fully specified name is needed"]},
    }
    assert set(found["class"]["errors"]) == {"concept_class", "data_type", "datatype"}
    assert all(
        set(found[concept]["errors"]) == {"names"} for concept in ("one", "two", "three", "four")
    )


def test_all_concepts_with_a_name_that_must_be_unique_are_listed(source):
    preferred = [
        new_concept(
            f"c{number}", names=[full(f"Name {number}"), named("Sugar", locale_preferred=True)]
        )
        for number in range(3)
    ]
    source.edit(
        *preferred,
        new_concept("owner", names=[full("Sugar")]),
        new_concept("synonym", names=[full("Late"), named("Sugar")]),
    )

    assert set(failed(source)) == {"c0", "c1", "c2", "owner"}


def test_a_refused_schema_lists_mappings_too(source, lists):
    source.edit(
        *(new_concept(concept, names=[full(f"Name of {concept}")]) for concept in "ABC"),
        new_concept("bare"),
        new_mapping("one", "A", "B"),
        new_mapping(
            "two",
            "A",
            None,
            to_source_url=source.url,
            to_concept_code="B",
            map_type="NARROWER-THAN",
        ),
        new_mapping("three", "B", "A"),
        new_mapping("type", "A", "C", map_type="LIKE", external_id="x" * 37),
        new_mapping("retired", "A", "C", map_type="Y", retired=True),
    )

    with pytest.raises(Invalid) as caught:
        source.update(custom_validation_schema="OpenMRS")

    assert caught.value.errors == {
        "custom_validation_schema": ["1 concepts and 3 mappings violate the schema OpenMRS"]
    }
    found = {one["mnemonic"]: one for one in caught.value.extra["failed_concept_validations"]}
    text = "there is another active mapping of this kind between these concepts"
    assert set(found) == {"bare", "one", "two", "type"}
    assert found["one"] == {
        "mnemonic": "one",
        "url": source.mapping_url("one"),
        "errors": {"__all__": [text]},
    }
    assert found["two"]["errors"] == {"__all__": [text]}
    assert found["type"]["errors"] == {
        "external_id": ["may have at most 36 characters"],
        "map_type": ["LIKE is not in the list of map types"],
    }


def test_a_refused_schema_lists_a_hundred_concepts_and_counts_all(source):
    source.edit(
        *(new_concept(f"c{number}") for number in range(130)),
        new_concept("twin", names=[full("Twin"), full("Zwilling")]),
    )

    with pytest.raises(Invalid) as caught:
        source.update(custom_validation_schema="OpenMRS")

    assert len(caught.value.extra["failed_concept_validations"]) == 100
    assert caught.value.errors["custom_validation_schema"] == [
        "131 concepts violate the schema OpenMRS, 100 of them are named"
    ]


def test_the_check_of_a_schema_blocks_no_writer_and_finds_what_is_written_meanwhile(
    source, monkeypatch
):
    check, runs = repositories.check_schema, []

    def check_and_write(*arguments):
        check(*arguments)
        if not runs:
            source.concept("late")  # has no fully specified name
        runs.append(1)

    monkeypatch.setattr(repositories, "check_schema", check_and_write)

    assert set(failed(source)) == {"late"}
    assert len(runs) == 1


def test_a_source_works_without_the_schema_after_a_refusal(source):
    source.concept("A")
    failed(source)

    source.concept("B", "Name of A")
    source.change("A", names=[full("A")])
    source.change("B", names=[full("B")])

    source.update(custom_validation_schema="OpenMRS")
    with refused("names"):
        put(source, "C", full("A"))


def test_a_schema_that_is_removed_and_set_again_checks_what_was_written_between(strict):
    put(strict, "A", full("Glucose"))
    strict.update(custom_validation_schema=None)
    put(strict, "B", full("Glucose"))
    assert set(failed(strict)) == {"A", "B"}
    strict.change("B", names=[full("Sugar")])

    strict.update(custom_validation_schema="OpenMRS")

    with refused("names"):
        put(strict, "C", full("Sugar"))


def test_a_schema_can_be_set_after_an_interrupted_attempt(source, monkeypatch):
    put(source, "A", full("Glucose"))
    with monkeypatch.context() as patch:
        patch.setattr(Collection, "bulk_write", lambda *args, **options: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            source.update(custom_validation_schema="OpenMRS")

    source.update(custom_validation_schema="OpenMRS")

    with refused("names"):
        put(source, "B", full("Glucose"))


def test_setting_the_schema_again_changes_nothing(strict):
    put(strict, "A", full("A"))
    before = strict.document.updated_on
    assert strict.update(custom_validation_schema="OpenMRS").updated_on == before


def test_a_schema_set_while_others_write_leaves_no_two_concepts_with_one_name(source):
    source.edit(
        *(new_concept(f"old{number}", names=[full(f"Old {number}")]) for number in range(50))
    )
    start = threading.Barrier(5)

    def write(writer):
        start.wait()
        outcomes = []
        for number in range(10):
            try:
                put(
                    source,
                    f"c{writer}-{number}",
                    full(f"Name {writer if number < 3 else 0}-{number}"),
                )
            except Invalid as error:
                outcomes.append(sorted(error.errors))
        return outcomes

    def set_schema():
        start.wait()
        while True:
            try:
                source.update(custom_validation_schema="OpenMRS")
            except Invalid as error:
                for entry in error.extra["failed_concept_validations"]:
                    source.change(entry["mnemonic"], retired=True)
            else:
                return

    with ThreadPoolExecutor(5) as threads:
        writers = [threads.submit(write, number) for number in range(4)]
        threads.submit(set_schema).result()
        assert all(outcome == ["names"] for writer in writers for outcome in writer.result())

    with source.store.snapshot() as session:
        rows = source.store.rows.page(
            session, Revision(source.number, source.rev), Selection("concept"), limit=1000
        )
    displayed = [row.header["display"] for row in rows]
    assert len(displayed) == len(set(displayed)) >= 50
    assert all("claims" in row.header for row in rows)
