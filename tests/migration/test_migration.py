"""Databases of older and newer formats, and what a migration makes of them."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from oclapi import migration
from oclapi.errors import Invalid, WrongFormat
from oclapi.migration import migrate, prepare
from oclapi.model import LIVE, Revision
from oclapi.store import ranges
from oclapi.store.database import INDEXES
from oclapi.store.digests import EMPTY
from oclapi.store.formats import FORMAT
from tests.acceptance.invariants import check_repository
from tests.editing.conftest import (
    ROOT,
    Source,
    change_concept,
    change_mapping,
    named,
    new_concept,
    new_mapping,
)

pytestmark = pytest.mark.servers

LAB, REF, GONE = 1, 2, 3
ROWS = 21
MANY = 1000


def stored(store, collection="rows"):
    found = store.database.rows.database[collection].find()
    return {document["_id"]: document for document in found}


# Checking the format


def test_an_empty_database_gets_the_current_format_at_once(empty):
    prepare(empty, at_start=0)
    assert stored(empty, "meta") == {"format": {"_id": "format", "number": FORMAT}}


def test_a_database_without_a_number_has_the_format_0(old):
    assert old.formats.number() == 0
    assert old.formats.rows() == ROWS


def test_a_large_database_of_an_older_format_is_refused_and_stays_as_it_is(old):
    before = stored(old)
    with pytest.raises(WrongFormat) as caught:
        prepare(old, at_start=ROWS - 1)
    assert caught.value.detail == (
        "the database has the older format 0: stop all servers and workers, make a backup and run "
        "python -m oclapi migrate"
    )
    assert (old.formats.number(), stored(old)) == (0, before)


def test_a_small_database_of_an_older_format_is_migrated_at_start(old):
    prepare(old, at_start=ROWS)
    assert old.formats.number() == FORMAT
    check_repository(old, LAB)


@pytest.mark.parametrize("way", [lambda store: prepare(store, MANY), migrate])
def test_a_database_of_a_newer_format_is_refused(old, way):
    old.database.meta.insert_one({"_id": "format", "number": FORMAT + 1})
    with pytest.raises(WrongFormat) as caught:
        way(old)
    assert caught.value.detail == (
        f"the database has the format {FORMAT + 1} of a newer version of this program, which can't "
        f"be read by this one (format {FORMAT})"
    )


def test_many_processes_prepare_a_database_of_an_older_format_at_once(old):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: prepare(old, at_start=MANY), range(8)))
    assert stored(old, "meta") == {"format": {"_id": "format", "number": FORMAT}}
    check_repository(old, LAB)
    check_repository(old, REF)


# What a migration computes


def test_a_migration_adds_hashes_and_digests_and_leaves_bodies_as_they_are(old):
    before = stored(old)
    assert all("hash" not in row for row in before.values())

    migrate(old)

    after = stored(old)
    for key, row in before.items():
        assert after[key]["body"] == row["body"]
        assert after[key]["to_rev"] == row["to_rev"]
    check_repository(old, LAB)
    check_repository(old, REF)
    digests = [
        revision["digest"]
        for revision in stored(old, "revisions").values()
        if revision["repo"] == LAB
    ]
    assert len(set(digests)) == len(digests) == 6


def test_the_rows_of_a_deleted_repository_wait_for_their_purge(old):
    before = {key: row for key, row in stored(old).items() if row["repo"] == GONE}
    assert before
    migrate(old)
    assert {key: row for key, row in stored(old).items() if row["repo"] == GONE} == before
    assert list(old.repos.purge())
    assert not any(row["repo"] == GONE for row in stored(old).values())


def test_a_migration_computes_headers_again_from_the_bodies(old):
    """Whatever an older program kept beside the bodies is as this program would write it."""
    migrate(old)
    current = stored(old)
    junk = {"claims": [1], "extras": [7], "forgotten": "x", "by": "y", "map_type": "z"}
    lost = ("display", "name", "locales", "from_is", "type", "uses", "from")
    change = {"$set": junk, "$unset": dict.fromkeys(lost, "")}
    old.database.rows.update_many({"repo": {"$ne": GONE}}, change)
    as_old(old)

    migrate(old)

    mine = {key: row for key, row in stored(old).items() if row["repo"] != GONE}
    assert mine == {key: row for key, row in current.items() if row["repo"] != GONE}
    claims = {row["id"] for row in mine.values() if "claims" in row}
    assert claims == {"G-22", "R1"}  # those of the source with the schema


def existing(store, number):
    """Return a source that is there already, for edits."""
    source = object.__new__(Source)
    source.store, source.caller, source.number = store, ROOT, number
    source.url = store.repos.by_number(number).url
    return source


def as_old(store):
    """Remove what format 0 did not have."""
    store.database.rows.update_many({}, {"$unset": {"hash": ""}})
    store.database.revisions.update_many({}, {"$unset": {"digest": ""}})
    store.database.repos.update_many({}, {"$unset": {"digest": ""}})
    store.database.meta.delete_many({})


def test_a_source_is_edited_after_the_migration_as_before(old):
    migrate(old)
    lab = existing(old, LAB)

    lab.edit(change_concept("A1", names=[named("Renamed")]), change_mapping("m3", retired=True))
    lab.edit(change_concept("I1", retired=True), new_concept("N1"))

    assert lab.now(lab.mapping_url("m1"))["from_concept_name"] == "Renamed"
    assert lab.rev == 8
    check_repository(old, LAB)


def test_a_target_that_an_older_program_spelled_in_another_way_is_found_again(old):
    """Format 0 did not encode the code of an external target in its URL."""
    migrate(old)
    lab = existing(old, LAB)
    target = {"to_source_url": lab.url, "to_concept_code": "mg/dL"}
    lab.edit(new_mapping("unit", "A1", **target))
    canonical = lab.concept_url("mg%2FdL")
    rows = old.database.rows
    moved = rows.update_one({"to": canonical}, {"$set": {"to": lab.concept_url("mg/dL")}})
    assert moved.modified_count == 1
    as_old(old)

    migrate(old)

    assert rows.count_documents({"to": canonical}) == 1
    with pytest.raises(Invalid, match="mapped by that map type already"):
        lab.edit(new_mapping("again", "A1", **target))


def test_a_repository_without_content_has_the_digest_of_nothing(empty):
    empty.owners.ensure_first("root", "")
    empty.owners.create_org("NorthLab", {"name": "N", "public_access": "View"}, "root")
    source = Source(empty)
    as_old(empty)
    migrate(empty)
    assert source.document.digest == EMPTY
    source.concept("A1")
    check_repository(empty, source.number)


def test_indexes_that_were_defined_in_another_way_are_made_again(old):
    rows = old.database.rows
    rows.drop_index("feed")
    rows.create_index([("kind", 1), ("at", 1)], name="feed")
    rows.drop_index("claims")
    rows.create_index([("repo", 1), ("claims", 1)], name="claims")
    rows.create_index([("datatype", 1)], name="forgotten")
    kept = rows.index_information()["order"]

    prepare(old, at_start=MANY)

    found = rows.index_information()
    assert set(found) == {"_id_", *INDEXES["rows"]}
    assert found["feed"]["key"] == INDEXES["rows"]["feed"][0]
    assert found["claims"]["partialFilterExpression"] == {"claims": {"$exists": True}}
    assert found["order"] == kept


def test_a_migration_keeps_every_index_that_is_as_it_should_be(old):
    names = [name for name in INDEXES if INDEXES[name]]
    before = {name: old.database.rows.database[name].index_information() for name in names}

    old.database.drop_outdated_indexes()

    assert before == {name: old.database.rows.database[name].index_information() for name in names}
    assert all(set(INDEXES[name]) < set(before[name]) for name in names)


# Stopping and continuing


class Killed(BaseException):
    """Ends a migration as a kill does: nothing is cleaned up but the lease."""


def killed_after(batches):
    """A progress function that ends the migration after so many batches."""
    calls = []

    def progress(done):
        calls.append(done)
        if len(calls) == batches:
            raise Killed

    return progress


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(ranges, "LIST", 5)


@pytest.mark.parametrize("batches", [1, 2, 3, 4])
def test_a_killed_migration_continues_where_it_was(old, small_batches, batches):
    with pytest.raises(Killed):
        migrate(old, killed_after(batches))
    assert old.formats.number() == 0
    assert old.formats.migrated() == 5 * batches + 1  # the first row is of the deleted source
    with pytest.raises(WrongFormat):
        prepare(old, at_start=0)

    done = []
    migrate(old, done.append)

    assert done == [*range(5 * batches + 6, ROWS + 1, 5), ROWS]
    assert old.formats.number() == FORMAT
    check_repository(old, LAB)
    check_repository(old, REF)


def test_a_migration_that_is_killed_before_its_end_is_completed(old, monkeypatch):
    def killed():
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(old.index_notes, "renew_identity", killed)
        with pytest.raises(Killed):
            migrate(old)
    assert old.formats.number() == 0
    migrate(old)
    assert stored(old, "meta") == {"format": {"_id": "format", "number": FORMAT}}
    check_repository(old, LAB)


def test_what_an_older_program_wrote_after_a_killed_migration_is_migrated_too(old, small_batches):
    with pytest.raises(Killed):
        migrate(old, killed_after(4))
    first = old.database.rows.find_one({"repo": LAB}, sort=[("_id", 1)])
    old.database.rows.update_one({"_id": first["_id"]}, {"$unset": {"hash": "", "display": ""}})
    migrate(old)
    check_repository(old, LAB)


def test_a_migration_continues_when_the_process_that_ran_it_is_gone(old, monkeypatch):
    monkeypatch.setattr(migration, "PAUSE", 0.01)
    soon = datetime.now(UTC)
    old.leases.take("migration", "a killed process", timedelta(seconds=1), soon)
    migrate(old)
    assert datetime.now(UTC) - soon > timedelta(seconds=1)
    check_repository(old, LAB)


def test_a_second_migration_waits_for_the_first_and_has_nothing_to_do(old, monkeypatch):
    monkeypatch.setattr(migration, "PAUSE", 0.01)
    running, go = threading.Event(), threading.Event()

    def slow(done):
        running.set()
        assert go.wait(30)

    calls = []
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(migrate, old, slow)
        assert running.wait(30)
        second = pool.submit(migrate, old, calls.append)
        go.set()
        first.result(30)
        second.result(30)
    assert calls == []
    check_repository(old, LAB)


def test_a_migration_that_lost_its_lease_does_no_harm(old, small_batches):
    """Two processes compute the same: one that was paused writes what is there already."""

    def overtaken(done):
        if done == 10:
            old.database.leases.delete_many({})
            migrate(old)

    migrate(old, overtaken)
    check_repository(old, LAB)
    check_repository(old, REF)


# Digests in commits


@pytest.mark.parametrize("seed", range(3))
def test_each_revision_has_the_digest_of_its_rows_after_random_edits(empty, seed):
    random = Random(seed)
    empty.owners.ensure_first("root", "")
    empty.owners.create_org("NorthLab", {"name": "N", "public_access": "View"}, "root")
    source = Source(empty)
    source.edit(*(new_concept(f"C{number}") for number in range(8)))
    source.edit(*(new_mapping(f"m{number}", f"C{number}", f"C{number + 1}") for number in range(7)))
    for step in range(15):
        concept, mapping = f"C{random.randrange(8)}", f"m{random.randrange(7)}"
        edit = random.choice(
            [
                change_concept(concept, names=[named(f"Name {step}")]),
                change_concept(concept, retired=random.random() < 0.5, extras={"step": step}),
                change_mapping(mapping, retired=random.random() < 0.5, extras={"step": step}),
                new_concept(f"D{step}"),
            ]
        )
        source.edit(edit)
    check_repository(empty, source.number)
    digests = [found["digest"] for found in stored(empty, "revisions").values()]
    assert len(digests) == len(set(digests)) == source.rev


def test_a_removed_entry_leaves_the_digest_as_it_was_before_it_came(empty):
    empty.owners.ensure_first("root", "")
    empty.owners.create_org("NorthLab", {"name": "N", "public_access": "View"}, "root")
    source = Source(empty)
    source.concept("A")
    before = source.document.digest
    source.concept("B")
    assert source.document.digest != before

    source.edit(
        lambda unit, repo: unit.remove(unit.current(repo, "concept", source.concept_url("B")))
    )

    assert source.document.digest == before
    with empty.snapshot() as session:
        rows = empty.rows.living(session, source.number, "concept", [source.concept_url("A")])
    assert [row.to_rev for row in rows] == [LIVE]
    assert source.document.revision == Revision(source.number, 3)
