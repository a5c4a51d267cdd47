"""The outcomes of lines, and what each of them stores."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from oclapi.access import Caller
from oclapi.imports import content, run
from tests.imports.conftest import LAB, REF, START, concept, counted, mapping

pytestmark = pytest.mark.servers

OTHER = Caller("amina")
"""A user without rights on the sources of these tests."""


def test_a_second_import_of_the_same_lines_changes_nothing(lab):
    given = [
        concept(1),
        concept(2),
        mapping(1, 2),
        {"type": "Source Version", "source_url": LAB, "id": "v1", "released": True},
    ]
    assert lab.outcomes(*START, *given) == ["unchanged"] * 3 + ["created"] * 4
    assert lab.outcomes(*START, *given) == ["unchanged"] * 7
    assert lab.revisions() == 1


def test_a_changed_line_updates_its_item(lab):
    lab.run(concept(1), concept(2), mapping(1, 2))
    assert lab.outcomes(
        concept(1, datatype="Numeric"), concept(2), mapping(1, 2, external_id="x")
    ) == ["updated", "unchanged", "updated"]
    source = {"type": "source", "owner": "NorthLab", "id": "LAB", "description": "Laboratory"}
    org = {"type": "organization", "id": "NorthLab", "company": "North"}
    assert lab.outcomes(source, source, org, org) == [
        "updated",
        "unchanged",
        "updated",
        "unchanged",
    ]
    assert lab.store.repos.by_url(LAB).description == "Laboratory"


def test_existing_items_are_not_changed_without_update_if_exists(lab):
    version = {"type": "Source Version", "source_url": LAB, "id": "v1"}
    lab.run(concept(1), concept(2), mapping(1, 2), version)
    changed = [
        concept(1, datatype="Numeric"),
        mapping(1, 2, external_id="x"),
        version,
        START[1],
        concept(3),
    ]
    assert lab.outcomes(*changed, update_if_exists=False) == ["exists"] * 4 + ["created"]
    assert [result["status"] for result in lab.results] == [400, 400, 409, 400, 201]
    assert {row["id"]: row.get("datatype") for row in lab.rows() if row["type"] == "Concept"} == {
        "1": "None",
        "2": "None",
        "3": "None",
    }


def test_each_action_does_what_it_says(lab):
    def act(action, number=1, **more):
        return lab.outcomes({**concept(number, **more), "__action": action})[0]

    assert act("UPDATE") == "not_found"
    assert act("DELETE") == "not_found"
    assert act("DELETE_IF_EXISTS") == "unchanged"
    assert act("SKIP") == "others"
    assert act("CREATE") == "created"
    assert act("CREATE", datatype="Text") == "exists"
    assert act("update", datatype="Text") == "updated"
    assert act("DELETE") == "deleted"
    assert act("DELETE") == "failed"
    assert act("DELETE_IF_EXISTS") == "unchanged"
    assert lab.rows()[0]["retired"] is True
    assert act("CREATE_OR_UPDATE", retired=False) == "updated"


def test_deleting_a_mapping_retires_it_and_deleting_a_version_or_source_removes_it(lab):
    version = {"type": "Source Version", "source_url": LAB, "id": "v1"}
    lab.run(concept(1), concept(2), mapping(1, 2), version)
    deletions = [
        {**line, "__action": "DELETE"}
        for line in (mapping(1, 2), version, START[1])
        for _ in range(2)
    ]
    assert lab.outcomes(*deletions) == [
        "deleted",
        "unchanged",
        "deleted",
        "not_found",
        "deleted",
        "not_found",
    ]
    assert lab.store.repos.by_url(LAB) is None
    assert lab.outcomes({**START[0], "__action": "DELETE"}) == ["deleted"]
    assert lab.store.repos.by_url(REF) is None


def test_lines_after_the_deletion_of_their_source_are_for_the_new_source_of_that_id(lab):
    """The first of them waits until that source is there."""
    deleted = {**START[1], "__action": "DELETE"}
    given = [concept(1), deleted, concept(2), START[1], concept(3), concept(3)]
    assert lab.outcomes(*given) == [
        "created",
        "deleted",
        "created",
        "created",
        "created",
        "unchanged",
    ]
    assert [row["id"] for row in lab.rows()] == ["3", "2"]


def test_a_line_without_a_required_field_is_invalid_and_one_with_a_wrong_value_failed(lab):
    given = [
        {"type": "Concept", "source_url": LAB, "id": "1"},
        {"type": "Concept", "source_url": LAB, "id": "1", "concept_class": "Test", "names": []},
        {"type": "Mapping", "source_url": LAB, "map_type": "SAME-AS"},
        {"type": "Source", "owner": "NorthLab", "id": "NEW"},
        {
            "type": "Source",
            "owner": "NorthLab",
            "id": "NEW",
            "name": "New",
            "public_access": "maybe",
        },
    ]
    assert lab.outcomes(*given) == ["invalid", "failed", "invalid", "invalid", "failed"]
    assert [set(result["errors"]) for result in lab.results] == [
        {"concept_class", "names"},
        {"names"},
        {"from_concept_url"},
        {"name"},
        {"public_access"},
    ]
    assert lab.rows() == []


def test_a_partial_line_updates_an_existing_item(lab):
    lab.run(concept(1), concept(2), mapping(1, 2, id="m1"))
    assert lab.outcomes({"type": "Concept", "source_url": LAB, "id": 1, "datatype": "Text"}) == [
        "updated"
    ]
    assert lab.outcomes({"type": "Mapping", "source_url": LAB, "id": "m1", "external_id": "x"}) == [
        "updated"
    ]


def test_an_unknown_source_or_owner_is_not_found(lab):
    unknown = "/orgs/NorthLab/sources/NONE/"
    given = [
        concept(1, source=unknown),
        mapping(1, 2, source=unknown),
        {"type": "Source Version", "source_url": unknown, "id": "v1"},
        {"type": "Source", "owner": "Nobody", "id": "X", "name": "X"},
    ]
    assert lab.outcomes(*given) == ["not_found"] * 4


def test_lines_without_the_right_are_refused_and_private_sources_are_not_found(lab):
    lab.run({**START[2], "public_access": "None"})
    given = [
        concept(1),
        concept(1, source=REF),
        {**START[1], "name": "Mine"},
        {"type": "Organization", "id": "NorthLab", "name": "Mine"},
    ]
    assert lab.outcomes(*given, caller=OTHER) == [
        "permission_denied",
        "not_found",
        "permission_denied",
        "permission_denied",
    ]
    assert [result["status"] for result in lab.results] == [403, 404, 403, 403]
    assert lab.rows() == []


def test_a_mapping_of_an_unknown_concept_fails_on_its_field(lab):
    lab.run(concept(1), mapping(1, 9), mapping(9, 1))
    assert [set(result["errors"]) for result in lab.results[1:]] == [
        {"to_concept_url"},
        {"from_concept_url"},
    ]


def test_a_concept_and_its_own_mappings_are_all_or_nothing(lab):
    good = {"map_type": "SAME-AS", "to_concept_url": f"{LAB}concepts/1/"}
    bad = {"map_type": "SAME-AS", "to_concept_url": f"{LAB}concepts/99/"}
    lab.run(
        concept(1), concept(2, mappings=[good, bad]), concept(3, mappings=[good]), mapping(2, 1)
    )
    assert [result["outcome"] for result in lab.results] == [
        "created",
        "failed",
        "created",
        "failed",
    ]
    assert lab.results[1]["errors"]["mappings"][0].startswith("mappings[1].to_concept_url")
    assert [row["url"] for row in lab.rows() if row["type"] == "Concept"] == [
        f"{LAB}concepts/1/",
        f"{LAB}concepts/3/",
    ]
    assert [row["from_concept_code"] for row in lab.rows() if row["type"] == "Mapping"] == ["3"]


def test_the_edits_of_a_refused_line_are_undone_before_the_next_line(lab):
    lab.run(concept(1), concept(2), mapping(1, 2, id="m1"))
    moved = {"id": "m1", "map_type": "BROADER-THAN", "to_concept_url": f"{LAB}concepts/2/"}
    bad = {"map_type": "SAME-AS", "to_concept_url": f"{LAB}concepts/99/"}
    taken = {"id": "m2", "map_type": "SAME-AS", "to_concept_url": f"{LAB}concepts/2/"}
    assert lab.outcomes(concept(1, mappings=[moved, taken, bad]), concept(3)) == [
        "failed",
        "created",
    ]
    assert lab.outcomes({**mapping(1, 2), "__action": "CREATE"}) == ["exists"]


def test_a_mapping_is_found_by_its_id_or_by_its_concepts_and_map_type(lab):
    lab.run(concept(1), concept(2), concept(3), mapping(1, 2, id="m1"), mapping(1, 3))
    external = {
        **mapping(1, 2),
        "to_concept_url": None,
        "to_source_url": REF,
        "to_concept_code": "X",
    }
    assert lab.outcomes(
        mapping(1, 2), mapping(1, 3, external_id="x"), mapping(2, 3, id="m1"), external, external
    ) == [
        "unchanged",
        "updated",
        "updated",
        "created",
        "unchanged",
    ]
    assert len([row for row in lab.rows() if row["type"] == "Mapping"]) == 3


def test_two_lines_for_one_mapping_that_is_found_in_both_ways_create_two_versions(lab):
    lab.run(concept(1), concept(2), mapping(1, 2, id="m1"))
    by_id = {"type": "Mapping", "source_url": LAB, "id": "m1", "external_id": "a"}
    assert lab.outcomes(by_id, mapping(1, 2, external_id="b")) == ["updated", "updated"]
    assert [row["external_id"] for row in lab.rows(living=False) if row["type"] == "Mapping"] == [
        None,
        "a",
        "b",
    ]


def test_a_second_line_for_the_same_item_creates_a_second_version(lab):
    assert lab.outcomes(concept(1), concept(1, datatype="Text"), concept(1, datatype="Date")) == [
        "created",
        "updated",
        "updated",
    ]
    assert [row["datatype"] for row in lab.rows(living=False)] == ["None", "Text", "Date"]


def test_alternating_lines_of_two_sources_share_a_commit(lab):
    given = [concept(number, source) for number in range(1, 30) for source in (LAB, REF)]
    given += [mapping(1, 2, LAB, REF), mapping(2, 3, REF, LAB)]
    lab.run(*given)
    assert counted(lab.results) == {"created": len(given)}
    assert (len(lab.rows(LAB)), len(lab.rows(REF))) == (30, 30)
    assert (lab.revisions(LAB), lab.revisions(REF)) == (1, 1)


def test_lines_of_all_types_can_be_mixed(imports):
    given = [
        START[0],
        START[1],
        concept(1),
        START[2],
        concept("A", REF),
        mapping(1, "A", LAB, REF),
        {"type": "source version", "owner": "NorthLab", "source": "LAB", "id": "v1"},
        concept(2),
        mapping(2, 1),
        {"type": "Source Version", "source_url": LAB, "id": "v2", "released": True},
    ]
    assert imports.outcomes(*given) == ["created"] * len(given)
    first = imports.store.versions.by_id(imports.store.repos.by_url(LAB).number, "v1")
    assert first.counts.concepts == 1


def test_an_unexpected_error_is_the_outcome_of_its_line_alone(lab, monkeypatch, caplog):
    usual = content._concept

    def breaks(unit, repo, line, *options):
        if line.url == f"{LAB}concepts/13/":
            raise ZeroDivisionError("an unexpected error")
        return usual(unit, repo, line, *options)

    monkeypatch.setattr(content, "_concept", breaks)
    lab.run(*(concept(number) for number in range(1, 21)))
    assert counted(lab.results) == {"created": 19, "exception": 1}
    assert lab.results[12]["status"] == 500
    assert [result["line"] for result in lab.results] == list(range(1, 21))
    assert "an unexpected error" in caplog.text
    assert len(lab.rows()) == 19


def test_names_must_be_unique_within_a_batch_and_in_the_store_with_the_schema_openmrs(lab):
    lab.run({**START[1], "custom_validation_schema": "OpenMRS"}, concept(1))
    twin = concept(3)["names"]
    assert lab.outcomes(
        concept(2, names=concept(1)["names"]), concept(3), concept(4, names=twin), concept(5)
    ) == [
        "failed",
        "created",
        "failed",
        "created",
    ]
    assert lab.outcomes(mapping(1, 3), mapping(1, 3, map_type="BROADER-THAN"), mapping(3, 1)) == [
        "created",
        "failed",
        "created",
    ]
    narrower = mapping(1, 3, map_type="NARROWER-THAN")
    assert lab.outcomes(narrower) == ["failed"]
    assert lab.outcomes(narrower, mapping(1, 3, retired=True)) == ["created", "updated"]


def test_a_concept_is_checked_against_a_lookup_list_of_the_same_file(imports):
    given = [
        START[0],
        {**START[1], "custom_validation_schema": "OpenMRS"},
        {"type": "Source", "owner": "OCL", "id": "Classes", "name": "Classes"},
        concept("x", "/orgs/OCL/sources/Classes/", concept_class="Concept Class"),
        concept(1),
        concept(
            "y",
            "/orgs/OCL/sources/Classes/",
            concept_class="Concept Class",
            names=[{"name": "Test", "locale": "en"}],
        ),
        concept(2),
    ]
    assert imports.outcomes(*given) == ["created"] * 4 + ["failed", "created", "created"]


def test_renaming_a_concept_updates_its_mappings(lab):
    lab.run(concept(1), concept(2), mapping(1, 2, id="m1"))
    assert lab.outcomes(
        concept(2, names=[{"name": "Renamed", "locale": "en"}]), mapping(2, 1, id="m2")
    ) == ["updated", "created"]
    names = {
        row["id"]: (row["from_concept_name"], row["to_concept_name"])
        for row in lab.rows()
        if row["type"] == "Mapping"
    }
    assert names == {"m1": ("Concept 1", "Renamed"), "m2": ("Renamed", "Concept 1")}


def test_the_report_counts_all_outcomes_and_each_result_has_the_keys_of_the_contract(lab):
    report = lab.run(b"{", b"", concept(1), {"type": "Fruit"}, mapping(1, 9), task="counted")
    assert report.as_json() | {"start_time": "", "elapsed_seconds": 0} == {
        "total": 4,
        "processed": 4,
        "invalid": 1,
        "created": 1,
        "unknown": 1,
        "failed": 1,
        "start_time": "",
        "elapsed_seconds": 0,
    }
    assert [result["line"] for result in lab.results] == [1, 3, 4, 5]
    assert set(lab.results[0]) == {"line", "type", "url", "action", "outcome", "status", "errors"}


def test_lines_that_rename_concepts_with_many_mappings_are_stored_in_small_commits(
    lab, monkeypatch
):
    monkeypatch.setattr(run, "BATCH_ROWS", 10)
    monkeypatch.setattr(run, "MOST_ROWS", 20)
    hubs, leaves = range(10), range(10, 15)
    lab.run(*(concept(number) for number in (*hubs, *leaves)))
    lab.run(*(mapping(hub, leaf) for hub in hubs for leaf in leaves))
    before = lab.revisions()

    renamed = [concept(hub, names=[{"name": f"Hub {hub}", "locale": "en"}]) for hub in hubs]
    assert lab.outcomes(*renamed) == ["updated"] * 10

    assert {row["from_concept_name"] for row in lab.rows() if row["type"] == "Mapping"} == {
        f"Hub {hub}" for hub in hubs
    }
    assert lab.revisions() - before >= 4


def test_a_line_that_renames_a_concept_with_many_mappings_is_one_commit(lab, monkeypatch):
    monkeypatch.setattr(run, "BATCH_ROWS", 4)
    monkeypatch.setattr(run, "MOST_ROWS", 4)
    lab.run(*(concept(number) for number in range(9)))
    lab.run(*(mapping(number, 0) for number in range(1, 9)))

    assert lab.outcomes(concept(0, names=[{"name": "Hub", "locale": "en"}])) == ["updated"]

    assert [row["to_concept_name"] for row in lab.rows() if row["type"] == "Mapping"] == ["Hub"] * 8


def test_only_the_line_that_renames_a_concept_with_too_many_mappings_fails(lab):
    lab.run(*(concept(number) for number in range(6)))
    lab.run(*(mapping(number, 0) for number in range(1, 5)))
    lab.store.most_shown = 3

    renamed = [
        concept(number, names=[{"name": f"New {number}", "locale": "en"}]) for number in (5, 0, 1)
    ]
    assert lab.outcomes(*renamed) == ["updated", "failed", "updated"]

    assert list(lab.results[1]["errors"]) == ["names"]
    assert "4 mappings" in lab.results[1]["errors"]["names"][0]
    assert [
        row["from_concept_name"] for row in lab.rows() if "/1/" in row.get("from_concept_url", "")
    ] == ["New 1"]


@pytest.mark.parametrize("action", ["DELETE", "DELETE_IF_EXISTS"])
def test_deleting_a_retired_mapping_has_the_status_of_a_direct_request(lab, action):
    lab.run(concept(1), concept(2), mapping(1, 2, id="m"), mapping(1, 2, id="m", __action="DELETE"))
    assert lab.outcomes(mapping(1, 2, id="m", __action=action)) == ["unchanged"]
    assert lab.results[0]["status"] == 204


def test_a_line_of_an_unknown_mapping_has_a_readable_message(lab):
    lab.run(concept(1), concept(2))
    assert (
        lab.outcomes(mapping(1, 2, __action="UPDATE"), mapping(1, 2, id="m", __action="DELETE"))
        == ["not_found"] * 2
    )
    assert [result["errors"]["__all__"] for result in lab.results] == [
        ["mapping not found"],
        [f"mapping {LAB}mappings/m/ not found"],
    ]
    assert lab.outcomes(mapping(1, 2, id="m", __action="DELETE_IF_EXISTS")) == ["unchanged"]
    assert lab.results[0]["status"] == 200


def test_content_is_written_in_commits_of_a_thousand_rows(lab):
    lab.run(*(concept(number) for number in range(2500)))
    number = lab.store.repos.by_url(LAB).number
    commits = lab.store.database.revisions.find({"repo": number}).sort("rev", 1)
    assert [commit["changes"] for commit in commits] == [1000, 1000, 500]


OTHERS = (
    {"type": "Organization", "id": "Later", "name": "Later"},
    {"type": "Source", "owner": "NorthLab", "id": "LATER", "name": "Later"},
    {"type": "Source Version", "source_url": LAB, "id": "v1"},
    {"type": "User", "username": "asha", "name": "Asha", "email": "asha@example.org"},
)


@pytest.mark.parametrize("line", OTHERS, ids=lambda line: line["type"])
def test_a_line_written_before_the_import_was_killed_is_unchanged_when_it_continues(
    lab, line, monkeypatch
):
    def killed(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run._Run, "_store_results", killed)
        with pytest.raises(KeyboardInterrupt):
            lab.run(line, task="cut")

    assert lab.outcomes(line, task="cut") == ["unchanged"]


def test_finished_tasks_are_kept_for_days_and_interrupted_ones_for_weeks(lab):
    tasks, results = lab.store.database.tasks, lab.store.database.task_results
    ages = (
        ("old", "finished_at", 4),
        ("young", "finished_at", 2),
        ("cut", "touched_at", 31),
        ("waits", "touched_at", 29),
    )
    for name, field, days in ages:
        lab.run(concept(1), task=name)
        moved = {field: datetime.now(UTC) - timedelta(days=days)}
        cut = {"$set": {**moved, "state": "STARTED"}, "$unset": {"finished_at": ""}}
        tasks.update_one({"_id": name}, {"$set": moved} if field == "finished_at" else cut)

    lab.run(concept(2), task="next")

    assert {
        task["_id"]: task["state"]
        for task in tasks.find({"_id": {"$in": ["old", "young", "cut", "waits"]}})
    } == {
        "young": "SUCCESS",
        "cut": "FAILURE",
        "waits": "STARTED",
    }
    assert results.count_documents({"task": "old"}) == 0
    assert all(results.count_documents({"task": name}) for name in ("young", "cut", "waits"))


def test_lines_with_any_ids_are_created_updated_and_found_again(lab):
    ids = ["HEM/BC", "%", "%2F", "A+", "FY21 Q1", "Ébola", "HEM/names"]
    spelled = [quote(short, safe="") for short in ids]
    lines = [
        *(concept(short) for short in ids),
        *(
            {
                "type": "Mapping",
                "source_url": LAB,
                "id": short,
                "map_type": "SAME-AS",
                "from_concept_url": f"{LAB}concepts/{code}/",
                "to_concept_url": f"{LAB}concepts/HEM%2fBC",
            }
            for short, code in zip(ids, spelled, strict=True)
        ),
        {"type": "Source Version", "source_url": LAB, "id": "1.0+b 2/é"},
    ]
    assert lab.outcomes(*lines) == ["created"] * len(lines)
    assert [result["url"] for result in lab.results] == [
        *(f"{LAB}concepts/{code}/" for code in spelled),
        *(f"{LAB}mappings/{code}/" for code in spelled),
        f"{LAB}1.0%2Bb%202%2F%C3%A9/",
    ]
    assert lab.outcomes(*lines) == ["unchanged"] * len(lines)
    by_key = {**lines[len(ids)], "external_id": "x"}
    del by_key["id"]
    assert lab.outcomes(by_key) == ["updated"]
    assert lab.results[0]["url"] == f"{LAB}mappings/HEM%2FBC/"
    assert lab.outcomes({**by_key, "__action": "DELETE"}) == ["deleted"]
