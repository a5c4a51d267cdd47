"""Edits of mappings: the rules of contract 12.3, targets, and displayed names."""

import uuid
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest

from oclapi import jsonio
from oclapi.editing import concepts, mappings, renames, repositories, values
from oclapi.errors import NotFound
from tests.editing.conftest import (
    AMINA,
    Source,
    change_concept,
    change_mapping,
    named,
    new_concept,
    new_mapping,
    parsed,
    refused,
)


@pytest.fixture
def filled(source, other):
    """The source, with the concepts A, B and C; the other source has X and Y."""
    source.edit(*(new_concept(concept) for concept in "ABC"))
    other.edit(*(new_concept(concept) for concept in "XY"))
    return source


@pytest.fixture
def private(store):
    private = Source(store, "SECRET", public_access="None")
    private.concept("P")
    return private


def target(mapping):
    return {
        key: mapping[key]
        for key in ("to_concept_url", "to_source_url", "to_concept_code", "to_concept_name")
    }


def read_back(mapping):
    """Return the body of a client that sends back a mapping it has read."""
    return {**mapping, "update_comment": "sent back"}


# Creating


def test_an_internal_mapping_displays_its_concepts(filled, other):
    mapping = filled.mapping("m", "A", other.concept_url("X"), sort_weight=1.5, extras={"k": 1})

    assert mapping == filled.now(filled.mapping_url("m"))
    assert mapping["from_concept_code"] == "A"
    assert mapping["from_concept_name"] == "Name of A"
    assert mapping["from_source_name"] == "LAB"
    assert target(mapping) == {
        "to_concept_url": other.concept_url("X"),
        "to_source_url": other.url,
        "to_concept_code": "X",
        "to_concept_name": "Name of X",
    }
    assert mapping["version"] == "1"
    assert mapping["version_url"] == f"{filled.mapping_url('m')}1/"
    assert mapping["sort_weight"] == 1.5


def test_the_target_source_of_an_external_mapping_must_exist_but_not_the_concept(filled, other):
    mapping = filled.mapping("m", "A", to_source_url=other.url, to_concept_code="Z 9/%")
    assert target(mapping) == {
        "to_concept_url": None,
        "to_source_url": other.url,
        "to_concept_code": "Z 9/%",
        "to_concept_name": None,
    }


def test_a_mapping_may_start_from_another_source(filled, other):
    mapping = filled.mapping("m", other.concept_url("X"), "A")
    assert mapping["source"] == "LAB"
    assert mapping["from_source_name"] == "REF"
    assert mapping["to_source_name"] == "LAB"


def test_a_mapping_without_an_id_gets_one(filled):
    [(item, _)] = filled.edit(new_mapping(None, "A", "B"))
    made = uuid.UUID(item.value["id"])
    assert (str(made), made.version) == (item.value["id"], 7)
    assert (made.hex, filled.now(item.url)["id"]) == (item.value["uuid"], item.value["id"])


def test_ids_of_the_server_sort_by_arrival(filled):
    pairs = [(start, end) for start in "CBA" for end in "ACB"]
    for part in (pairs[:5], pairs[5:]):
        filled.edit(*(new_mapping(None, *pair) for pair in part))
    found = filled.store.database.rows.find({"kind": "mapping"}).sort("id", 1)
    bodies = [parsed(row["body"]) for row in found]
    assert [(body["from_concept_code"], body["to_concept_code"]) for body in bodies] == pairs


def test_the_place_of_an_id_in_its_commit_sorts_like_a_number():
    at = datetime(2026, 1, 1, tzinfo=UTC)
    places = [1, 2, 4095, 4096, 2**24 - 1]
    made = [values.arrival_uuid(at, place) for place in places]
    assert made == sorted(made)
    assert made[-1] < values.arrival_uuid(at + timedelta(milliseconds=1), 1)
    assert {(len(one), uuid.UUID(one).version, uuid.UUID(one).variant) for one in made} == {
        (32, 7, uuid.RFC_4122)
    }


@pytest.mark.parametrize(
    "form",
    [
        "{url}",
        "{bare}",
        "{repo}HEAD/concepts/X/",
        "{repo}v1/concepts/X",
        "{repo}versions/v1/concepts/X/",
        "{url}7/",
        "{repo}v1/concepts/X/7/",
    ],
)
def test_every_spelling_of_a_concepts_url_names_the_concept(filled, other, form):
    spelled = form.format(
        url=other.concept_url("X"), bare=other.concept_url("X")[:-1], repo=other.url
    )

    mapping = filled.mapping("m", "A", spelled)
    assert mapping["to_concept_url"] == other.concept_url("X")
    assert mapping["to_concept_code"] == "X"

    assert filled.mapping("n", spelled, "A")["from_concept_url"] == other.concept_url("X")


@pytest.mark.parametrize(
    "form",
    [
        "{url}",
        "{bare}",
        "{url}HEAD/",
        "{url}v1",
        "{url}versions/v1/",
    ],
)
def test_every_spelling_of_a_sources_url_names_the_source(filled, other, form):
    spelled = form.format(url=other.url, bare=other.url[:-1])
    assert (
        filled.mapping("m", "A", to_source_url=spelled, to_concept_code="X")["to_source_url"]
        == other.url
    )


@pytest.mark.parametrize("field", ["from_concept_url", "to_concept_url"])
@pytest.mark.parametrize(
    "url",
    [
        "/orgs/NorthLab/sources/REF/concepts/nope/",
        "/orgs/NorthLab/sources/NOPE/concepts/X/",
        "/orgs/Nobody/sources/REF/concepts/X/",
        "/users/NorthLab/sources/REF/concepts/X/",
        "/orgs/NorthLab/collections/REF/concepts/X/",
        "/orgs/NorthLab/sources/ref/concepts/X/",
        "/orgs/NorthLab/sources/REF/mappings/X/",
        "/orgs/NorthLab/sources/REF/",
        "/orgs/NorthLab/sources/REF/concepts/",
        "/orgs/NorthLab/sources/REF/concepts/X/1/2/3/",
        "//orgs/NorthLab/sources/REF/concepts/X/",
        "//other.example.org/orgs/NorthLab/sources/REF/concepts/X/",
        "https://other.example.org/orgs/NorthLab/sources/REF/concepts/X/",
        "orgs/NorthLab/sources/REF/concepts/X/",
        "X",
        "http://[bad/orgs/NorthLab/sources/REF/concepts/X/",
        "/" * 5000,
        "/orgs/NorthLab/sources/REF/concepts/" + "X" * 5000,
    ],
    ids=lambda value: value[:40],
)
def test_a_url_that_names_no_concept_is_refused_on_its_field(filled, field, url):
    given = {
        "from_concept_url": filled.concept_url("A"),
        "to_concept_url": filled.concept_url("B"),
        field: url,
    }
    with refused(field):
        filled.edit(
            lambda unit, repo: mappings.create(unit, repo, {"map_type": "SAME-AS", **given})
        )
    filled.mapping("m", "A", "B")
    with refused(field):
        filled.remap("m", **{field: url})


@pytest.mark.parametrize("field", ["from_concept_url", "to_concept_url", "to_source_url"])
def test_a_private_target_gets_the_same_error_as_an_unknown_one(filled, private, field):
    filled.caller = AMINA

    def message(source_id):
        code = {"to_concept_code": "P"} if field == "to_source_url" else {}
        end = {"to_concept_url": filled.concept_url("B")} if field == "from_concept_url" else {}
        url = f"/orgs/NorthLab/sources/{source_id}/" + ("" if code else "concepts/P/")
        body = {
            "map_type": "SAME-AS",
            "from_concept_url": filled.concept_url("A"),
            **end,
            field: url,
            **code,
        }
        with refused(field) as errors:
            filled.edit(lambda unit, repo: mappings.create(unit, repo, body))
        return errors[field][0]

    assert message("SECRET").replace("SECRET", "ABSENT") == message("ABSENT")


def test_a_caller_who_may_read_a_private_source_may_map_to_it(filled, private):
    assert filled.mapping("m", "A", private.concept_url("P"))["to_source_name"] == "SECRET"


def test_a_collection_can_not_be_the_source_of_an_external_target(filled, store):
    collection = repositories.create(
        store, "collection", "/orgs/NorthLab/", {"id": "CORE", "name": "Core"}, filled.caller
    )
    with refused("to_source_url"):
        filled.mapping("m", "A", to_source_url=collection.url, to_concept_code="X")


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"to_source_url": "/orgs/NorthLab/sources/REF/"},
        {"to_concept_code": "X"},
        {"to_source_url": "/orgs/NorthLab/sources/REF/", "to_concept_code": ""},
        {"to_source_url": None, "to_concept_code": "X", "to_concept_url": ""},
    ],
)
def test_a_mapping_needs_a_complete_target(filled, given):
    with refused("__all__"):
        filled.mapping("m", "A", **given)


@pytest.mark.parametrize(
    ("source_id", "code", "fits"),
    [
        ("REF", "X", True),
        ("REF", "Y", False),
        ("LAB", "X", False),
        (None, "Y", False),
        ("LAB", None, False),
    ],
)
def test_an_external_target_given_with_an_internal_one_must_be_the_same_concept(
    filled, other, source_id, code, fits
):
    external = {
        "to_source_url": source_id and f"/orgs/NorthLab/sources/{source_id}/",
        "to_concept_code": code,
    }
    if fits:
        mapping = filled.mapping("m", "A", other.concept_url("X"), **external)
        assert mapping["to_concept_url"] == other.concept_url("X")
    else:
        with refused("__all__"):
            filled.mapping("m", "A", other.concept_url("X"), **external)


def absent(other, code="Z", **fields):
    """Return a whole target of the other source, as an export has it."""
    return {
        "to_concept_url": other.concept_url(code),
        "to_source_url": other.url,
        "to_concept_code": code,
        **fields,
    }


def test_an_internal_target_that_is_absent_is_external_when_source_and_code_are_given(
    filled, other
):
    external = {**absent(other), "to_concept_url": None, "to_concept_name": "Zed"}
    assert target(filled.mapping("m", "A", **absent(other, to_concept_name="Zed"))) == external
    assert target(filled.remap("m", sort_weight=1, **absent(other))) == external
    [(_, changed)] = filled.edit(change_mapping("m", **absent(other)))
    assert not changed

    filled.mapping("n", "A", "B")
    nameless = {**external, "to_concept_name": None, "to_concept_code": "Q"}
    assert target(filled.remap("n", **absent(other, "Q"))) == nameless

    other.concept("Z", "Zulu")
    internal = {**absent(other), "to_concept_name": "Zulu"}
    assert target(filled.remap("m", **absent(other, to_concept_name=None))) == internal


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"to_source_url": None}, "to_concept_url"),
        ({"to_concept_code": None}, "to_concept_url"),
        ({"to_concept_code": "Y"}, "__all__"),
        ({"to_source_url": "/orgs/NorthLab/sources/LAB/"}, "__all__"),
        ({"to_concept_url": "/orgs/NorthLab/sources/REF/mappings/Z/"}, "to_concept_url"),
        ({"to_concept_url": "//other/orgs/NorthLab/sources/REF/concepts/Z/"}, "to_concept_url"),
        ({"to_source_url": "//other/orgs/NorthLab/sources/REF/"}, "to_source_url"),
        (
            {
                "to_concept_url": "/orgs/NorthLab/sources/NOPE/concepts/Z/",
                "to_source_url": "/orgs/NorthLab/sources/NOPE/",
            },
            "to_source_url",
        ),
    ],
    ids=[
        "no source",
        "no code",
        "another code",
        "another source",
        "no concept",
        "another host",
        "a source of another host",
        "unknown source",
    ],
)
def test_an_absent_target_needs_the_source_and_code_of_its_url(filled, other, wrong, field):
    with refused(field):
        filled.mapping("m", "A", **absent(other, **wrong))
    filled.mapping("m", "A", "B")
    given = {name: value for name, value in absent(other, **wrong).items() if value}
    with refused(field):
        filled.remap("m", **given)


def test_a_target_that_the_caller_may_not_read_is_absent(filled, other, private):
    hidden = absent(private, "P")
    message = f"source {private.url} not found"
    filled.caller = AMINA
    with refused("to_source_url") as errors:
        filled.mapping("m", "A", **hidden)
    assert errors == {"to_source_url": [message]}
    unknown = jsonio.loads(jsonio.dumps(hidden).replace(b"SECRET", b"ABSENT"))
    with refused("to_source_url") as errors:
        filled.mapping("m", "A", **unknown)
    assert errors == {"to_source_url": [message.replace("SECRET", "ABSENT")]}


def test_an_absent_target_is_the_same_relation_as_the_concept(filled, other):
    filled.mapping("m", "A", **absent(other))
    with refused("__all__"):
        filled.mapping("n", "A", to_source_url=other.url, to_concept_code="Z")
    other.concept("Z")
    with refused("__all__"):
        filled.mapping("n", "A", other.concept_url("Z"))
    with refused("__all__"):
        filled.mapping("n", "A", **absent(other))


def test_a_concept_may_be_mapped_to_itself(filled):
    mapping = filled.mapping("m", "A", "A")
    assert mapping["from_concept_url"] == mapping["to_concept_url"] == filled.concept_url("A")
    with refused("__all__"):
        filled.mapping("n", "A", to_source_url=filled.url, to_concept_code="A")
    filled.mapping("o", "B", "A", map_type="BROADER-THAN")
    assert filled.remap("o", to_concept_url=filled.concept_url("B"))["to_concept_code"] == "B"


def test_both_names_of_a_mapping_to_itself_follow_the_concept(filled):
    filled.mapping("m", "A", "A")
    filled.change("A", names=[named("another name")])
    mapping = filled.now(filled.mapping_url("m"))
    assert mapping["from_concept_name"] == mapping["to_concept_name"] == "another name"


@pytest.mark.parametrize("retired", [False, True])
def test_two_concepts_have_one_mapping_of_a_map_type(filled, other, retired):
    filled.mapping("m", "A", other.concept_url("X"), retired=retired)

    with refused("__all__") as errors:
        filled.mapping("n", "A", other.concept_url("X"))
    assert filled.mapping_url("m") in errors["__all__"][0]
    with refused("__all__"):
        filled.mapping("n", "A", to_source_url=other.url, to_concept_code="X")

    filled.mapping("n", "A", other.concept_url("X"), map_type="NARROWER-THAN")
    filled.mapping("o", other.concept_url("X"), "A")
    other.mapping("m", filled.concept_url("A"), "X")


def test_an_external_mapping_conflicts_with_an_internal_one(filled, other):
    filled.mapping("m", "A", to_source_url=other.url, to_concept_code="X")
    with refused("__all__"):
        filled.mapping("n", "A", other.concept_url("X"))


def test_an_update_can_not_create_a_duplicate(filled):
    filled.mapping("m", "A", "B")
    filled.mapping("n", "A", "C")
    with refused("__all__"):
        filled.remap("n", to_concept_url=filled.concept_url("B"))
    filled.remap("n", to_concept_url=filled.concept_url("B"), map_type="CLOSE-TO")
    with refused("__all__"):
        filled.remap("n", map_type="SAME-AS")


def test_two_concepts_can_be_mapped_again_after_their_mapping_got_another_target(filled):
    filled.mapping("m", "A", "B")
    filled.edit(
        change_mapping("m", to_concept_url=filled.concept_url("C")), new_mapping("n", "A", "B")
    )
    with refused("__all__"):
        filled.edit(new_mapping("o", "A", "C"))


@pytest.mark.parametrize("retired", [False, True])
def test_an_id_can_not_be_used_twice(filled, retired):
    filled.mapping("m", "A", "B", retired=retired)
    with refused("__all__", "id"):
        filled.mapping("m", "A", "C")


def test_an_id_or_a_pair_of_concepts_can_not_be_used_twice_in_one_commit(filled):
    with refused("__all__", "id"):
        filled.edit(new_mapping("m", "A", "B"), new_mapping("m", "A", "C"))
    with refused("__all__"):
        filled.edit(new_mapping("m", "A", "B"), new_mapping("n", "A", "B"))


def test_a_mapping_may_join_concepts_created_in_the_same_commit(source):
    source.edit(new_concept("A", "Alpha"), new_concept("B", "Beta"), new_mapping("m", "A", "B"))
    mapping = source.now(source.mapping_url("m"))
    assert (mapping["from_concept_name"], mapping["to_concept_name"]) == ("Alpha", "Beta")


# Updating


@pytest.mark.parametrize(
    "fields",
    [
        {"end": "B"},
        {"end": "B", "to_concept_name": "A name of its own"},
        {
            "end": "/orgs/NorthLab/sources/REF/concepts/X/",
            "sort_weight": 2,
            "extras": {"a": 1.0},
            "retired": True,
        },
        {
            "to_source_url": "/orgs/NorthLab/sources/REF/",
            "to_concept_code": "Z",
            "to_concept_name": "Zed",
        },
        {"to_source_url": "/orgs/NorthLab/sources/REF/", "to_concept_code": "X"},
    ],
    ids=[
        "internal",
        "with a name of its own",
        "to another source",
        "external",
        "external to an existing concept",
    ],
)
def test_sending_back_a_mapping_creates_no_version(filled, fields):
    mapping = filled.mapping("m", "A", fields.pop("end", None), **fields)

    [(item, changed)] = filled.edit(change_mapping("m", **read_back(mapping)))

    assert not changed
    assert len(filled.rows(filled.mapping_url("m"))) == 1
    assert item.body == filled.rows(filled.mapping_url("m"))[0].body


@pytest.mark.parametrize("renamed", ["X", "A"])
def test_sending_back_a_mapping_after_a_concept_elsewhere_was_renamed_creates_no_version(
    filled, other, renamed
):
    source, far = (filled, other) if renamed == "X" else (other, filled)
    mapping = source.mapping("m", filled.concept_url("A"), other.concept_url("X"))
    far.change(renamed, names=[named("Renamed")])

    [(_, changed)] = source.edit(change_mapping("m", **read_back(mapping)))

    assert not changed
    assert source.rows(source.mapping_url("m"))[-1].header["own_to_name"] is False


def test_sending_back_a_mapping_after_its_target_was_hidden_creates_no_version(filled, other):
    internal = filled.mapping("m", "A", other.concept_url("X"))
    external = filled.mapping("n", "A", to_source_url=other.url, to_concept_code="Z")
    other.update(public_access="None")
    filled.caller = AMINA

    outcomes = filled.edit(
        change_mapping("m", **read_back(internal)), change_mapping("n", **read_back(external))
    )
    assert [changed for _, changed in outcomes] == [False, False]

    after = filled.remap("m", external_id="x", **target(internal))
    assert (after["external_id"], target(after)) == ("x", target(internal))


def test_an_update_changes_only_what_it_names(filled):
    before = filled.mapping("m", "A", "B", external_id="e", sort_weight=1)

    after = filled.remap("m", sort_weight=1.0, update_comment="why")

    changed = {key for key in before if repr(before[key]) != repr(after[key])}
    assert changed == {
        "sort_weight",
        "version",
        "version_url",
        "updated_on",
        "updated_at",
        "update_comment",
    }
    assert after["version"] == "2"


def test_an_id_can_not_be_changed(filled):
    filled.mapping("m", "A", "B")
    with refused("id"):
        filled.remap("m", id="n")


def test_an_unknown_mapping_can_not_be_edited(filled):
    with pytest.raises(NotFound):
        filled.remap("m", external_id="x")
    with pytest.raises(NotFound):
        filled.edit(lambda unit, repo: mappings.retire(unit, repo, "m", None))


def test_retiring_twice_creates_one_version_and_can_be_undone(filled):
    filled.mapping("m", "A", "B")
    for _ in range(2):
        filled.edit(lambda unit, repo: mappings.retire(unit, repo, "m", "gone"))
    assert [state["retired"] for state in filled.states(filled.mapping_url("m"))] == [False, True]

    assert filled.remap("m", retired=False)["version"] == "3"
    assert filled.document.counts.active_mappings == 1


def test_the_reason_of_a_retirement_is_kept_until_the_mapping_is_active_again(filled):
    created = filled.mapping("m", "A", "B", retired=True, retire_reason="twice")
    assert created["retire_reason"] == "twice"
    assert filled.remap("m", id=None, retire_reason="thrice")["retire_reason"] == "thrice"
    after = filled.remap("m", retired=False)
    assert (after["retired"], after["retire_reason"]) == (False, None)


def test_giving_an_internal_target_clears_the_external_one(filled, other):
    filled.mapping("m", "A", to_source_url=other.url, to_concept_code="Z", to_concept_name="Zed")

    after = filled.remap("m", to_concept_url=other.concept_url("X"))

    assert target(after) == {
        "to_concept_url": other.concept_url("X"),
        "to_source_url": other.url,
        "to_concept_code": "X",
        "to_concept_name": "Name of X",
    }


def test_giving_an_external_target_clears_the_internal_one(filled, other):
    filled.mapping("m", "A", "B", to_concept_name="Own")

    after = filled.remap("m", to_source_url=other.url, to_concept_code="Z")

    assert target(after) == {
        "to_concept_url": None,
        "to_source_url": other.url,
        "to_concept_code": "Z",
        "to_concept_name": None,
    }


@pytest.mark.parametrize("concept", ["B", "/orgs/NorthLab/sources/REF/concepts/X/"])
def test_an_internal_target_can_become_external_and_internal_again(filled, concept):
    internal = filled.mapping("m", "A", concept)
    halves = {key: internal[key] for key in ("to_source_url", "to_concept_code")}

    external = filled.remap("m", to_concept_url=None, **halves)
    assert target(external) == {"to_concept_url": None, **halves, "to_concept_name": None}

    again = filled.remap("m", to_concept_url=internal["to_concept_url"])
    assert target(again) == target(internal)


def test_one_field_of_an_external_target_can_be_changed_alone(filled, other):
    filled.mapping("m", "A", to_source_url=other.url, to_concept_code="Z")
    assert filled.remap("m", to_concept_code="Q")["to_concept_code"] == "Q"
    after = filled.remap("m", to_source_url=filled.url)
    assert (after["to_source_url"], after["to_concept_code"]) == (filled.url, "Q")


def test_an_internal_target_can_not_be_removed_without_another(filled):
    filled.mapping("m", "A", "B")
    with refused("__all__"):
        filled.remap("m", to_concept_url=None)


@pytest.mark.parametrize(
    "emptied",
    [
        {"to_concept_code": ""},
        {"to_concept_code": None},
        {"to_source_url": None},
        {"to_source_url": "", "to_concept_code": None},
        {"to_source_url": None, "to_concept_code": "Q"},
    ],
)
def test_an_external_target_can_not_be_removed_without_another(filled, other, emptied):
    filled.mapping("m", "A", to_source_url=other.url, to_concept_code="Z")
    with refused("__all__"):
        filled.remap("m", **emptied)

    nulls = {"to_source_url": None, "to_concept_code": None}
    internal = filled.remap("m", to_concept_url=filled.concept_url("B"), **nulls)
    assert internal["to_concept_url"] == filled.concept_url("B")
    # An internal mapping displays these fields, but they do not define its target.
    assert filled.remap("m", **nulls)["to_concept_url"] == filled.concept_url("B")


def test_an_incomplete_external_target_does_not_replace_an_internal_one(filled, other):
    filled.mapping("m", "A", "B")
    for half in ({"to_concept_code": "Q"}, {"to_source_url": other.url}):
        with refused("__all__"):
            filled.remap("m", **half)


def test_an_update_with_two_different_targets_is_refused(filled, other):
    filled.mapping("m", "A", "B")
    for given in (
        {"to_concept_url": filled.concept_url("B"), "to_concept_code": "C"},
        {"to_concept_url": filled.concept_url("C"), "to_source_url": other.url},
    ):
        with refused("__all__"):
            filled.remap("m", **given)


# Names


def test_the_displayed_name_of_an_internal_target_can_be_replaced_and_restored(filled):
    filled.mapping("m", "A", "B")
    assert filled.remap("m", to_concept_name="Own")["to_concept_name"] == "Own"
    after = filled.remap("m", to_concept_url=filled.concept_url("B"), external_id="x")
    assert after["to_concept_name"] == "Own"
    assert filled.remap("m", to_concept_name=None)["to_concept_name"] == "Name of B"


def test_a_given_name_equal_to_that_of_the_concept_follows_the_concept(filled):
    filled.mapping("m", "A", "B", to_concept_name="Name of B")
    filled.change("B", names=[named("Renamed")])
    assert filled.now(filled.mapping_url("m"))["to_concept_name"] == "Renamed"


def test_renaming_a_concept_updates_its_mappings_in_the_same_commit(filled):
    filled.mapping("from", "A", "B")
    filled.mapping("to", "B", "A", retired=True, update_comment="first")
    filled.mapping("unrelated", "B", "C")
    rev = filled.rev

    filled.change("A", names=[named("Renamed")])

    assert filled.rev == rev + 1
    before, after = filled.states(filled.mapping_url("from"))
    assert (before["from_concept_name"], after["from_concept_name"]) == ("Name of A", "Renamed")
    assert (after["version"], after["update_comment"]) == ("2", None)
    concept = filled.now(filled.concept_url("A"))
    assert after["updated_on"] == concept["updated_on"] > before["updated_on"]
    assert [state["to_concept_name"] for state in filled.states(filled.mapping_url("to"))] == [
        "Name of A",
        "Renamed",
    ]
    assert [row.from_rev for row in filled.rows(filled.mapping_url("to"))] == [rev - 1, rev + 1]
    assert len(filled.rows(filled.mapping_url("unrelated"))) == 1
    assert asdict(filled.document.counts) == {
        "concepts": 3,
        "mappings": 3,
        "active_concepts": 3,
        "active_mappings": 2,
    }


def test_an_edit_that_keeps_the_display_name_does_not_change_mappings(filled):
    filled.mapping("m", "A", "B")
    filled.change("A", names=[named("Name of A"), named("More")], datatype="Text")
    assert len(filled.rows(filled.mapping_url("m"))) == 1


def test_a_mappings_own_name_and_an_external_target_survive_a_renaming(filled):
    filled.mapping("own", "A", "B", to_concept_name="Own")
    filled.mapping(
        "external", "C", to_source_url=filled.url, to_concept_code="B", to_concept_name="Said so"
    )

    filled.change("B", names=[named("Renamed")])

    assert [state["to_concept_name"] for state in filled.states(filled.mapping_url("own"))] == [
        "Own"
    ]
    assert [
        state["to_concept_name"] for state in filled.states(filled.mapping_url("external"))
    ] == ["Said so"]
    filled.change("A", names=[named("Alpha")])
    after = filled.now(filled.mapping_url("own"))
    assert (after["from_concept_name"], after["to_concept_name"]) == ("Alpha", "Own")


def test_the_name_of_a_concept_elsewhere_is_that_of_the_last_write(filled, other):
    filled.mapping("m", other.concept_url("Y"), other.concept_url("X"))
    filled.mapping("own", "A", other.concept_url("X"), to_concept_name="Own")
    other.change("X", names=[named("New X")])
    other.change("Y", names=[named("New Y")])
    before = filled.now(filled.mapping_url("m"))
    assert before["version"] == "1"
    assert before["from_concept_name"] == "Name of Y"
    assert before["to_concept_name"] == "Name of X"

    after = filled.remap("m", external_id="x")

    assert (after["from_concept_name"], after["to_concept_name"]) == ("New Y", "New X")
    assert filled.remap("own", external_id="x")["to_concept_name"] == "Own"


def test_a_renaming_and_an_edit_of_the_same_mapping_create_one_version(filled):
    filled.mapping("m", "A", "B")

    filled.edit(
        change_concept("A", names=[named("Renamed")]),
        change_mapping("m", external_id="x", update_comment="mine"),
    )

    _, after = filled.states(filled.mapping_url("m"))
    assert (
        after["from_concept_name"],
        after["external_id"],
        after["update_comment"],
        after["version"],
    ) == ("Renamed", "x", "mine", "2")


def test_mappings_created_before_a_renaming_in_the_same_commit_display_the_new_name(filled):
    filled.edit(
        new_mapping("m", "A", "B"),
        change_concept("A", names=[named("Once")]),
        new_mapping("n", "A", "C"),
        change_concept("A", names=[named("Twice")]),
    )
    assert [filled.now(filled.mapping_url(mapping))["from_concept_name"] for mapping in "mn"] == [
        "Twice",
        "Twice",
    ]
    assert [filled.now(filled.mapping_url(mapping))["version"] for mapping in "mn"] == ["1", "1"]


def test_a_concept_created_and_renamed_in_one_commit_is_displayed_by_its_last_name(filled):
    filled.edit(
        new_concept("D", "First"),
        new_mapping("m", "D", "B"),
        change_concept("D", names=[named("Last")]),
    )
    assert filled.now(filled.mapping_url("m"))["from_concept_name"] == "Last"


def test_a_name_changed_and_changed_back_in_one_commit_appears_nowhere(filled):
    filled.mapping("m", "A", "B")
    filled.edit(
        change_concept("A", names=[named("Passing")]),
        new_mapping("n", "A", "C"),
        change_concept("A", names=[named("Name of A")], datatype="Text"),
    )
    assert len(filled.rows(filled.mapping_url("m"))) == 1
    assert filled.now(filled.mapping_url("n"))["from_concept_name"] == "Name of A"


def test_an_edit_of_a_single_name_updates_mappings_too(filled):
    filled.mapping("m", "A", "B")
    [name] = filled.now(filled.concept_url("A"))["names"]
    for text in ("One", "Two"):
        filled.edit(
            lambda unit, repo, text=text: concepts.update_text(
                unit, repo, "A", "names", name["uuid"], {"name": text}
            )
        )
    assert [state["from_concept_name"] for state in filled.states(filled.mapping_url("m"))] == [
        "Name of A",
        "One",
        "Two",
    ]


# Names that many mappings display


def test_renaming_a_concept_that_too_many_mappings_display_is_refused(filled):
    filled.store.most_shown = 2
    for mapping, start, end in (("ab", "A", "B"), ("ca", "C", "A"), ("cb", "C", "B")):
        filled.mapping(mapping, start, end)
    filled.mapping("ba", "B", "A", to_concept_name="Its own name")
    filled.change("A", names=[named("Both can be updated")])
    before = filled.rev

    filled.mapping("ac", "A", "C")
    with refused("names") as errors:
        filled.change("A", names=[named("One too many")])

    assert errors["names"] == [
        "the display name of this concept can't change: "
        "3 mappings display it, at most 2 can be updated at once"
    ]
    assert filled.rev == before + 1
    assert filled.change("A", datatype="Text")["display_name"] == "Both can be updated"


def test_renaming_a_concept_that_too_large_mappings_display_is_refused(filled, monkeypatch):
    monkeypatch.setattr(renames, "SHOWN_BYTES", 5000)
    filled.mapping("ab", "A", "B", extras={"k": "x" * 3000})
    filled.change("A", names=[named("Fits")])

    filled.mapping("ac", "A", "C", extras={"k": "x" * 3000})
    with refused("names"):
        filled.change("A", names=[named("Too large")])

    assert filled.now(filled.mapping_url("ab"))["from_concept_name"] == "Fits"
