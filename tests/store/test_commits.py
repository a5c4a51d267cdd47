"""What `commit` promises: one revision, all or nothing, in order, with concurrent writers."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import AutoReconnect

from oclapi.errors import Invalid, NotFound, OutcomeUnknown, RepositoryBusy
from oclapi.model import LIVE, Counts, Removal, Revision, Selection
from oclapi.store.commits import BATCH
from oclapi.store.database import Database
from oclapi.store.store import Store
from tests.store.conftest import KEY, Repo, concept_change

CONCEPTS = Selection("concept", retired=None)


def ids(store, revision, wanted=CONCEPTS):
    with store.snapshot() as session:
        return [row.id for row in store.rows.page(session, revision, wanted, limit=1000)]


def test_each_commit_is_the_next_revision_and_earlier_ones_stay_as_they_were(store, repo):
    first = repo.commit("A00", "A01")
    second = repo.commit("A01", "A02")

    assert (first.number, second.number) == (1, 2)
    assert ids(store, Revision(repo.number, 0)) == []
    assert ids(store, first) == ["A00", "A01"]
    assert ids(store, second) == ["A00", "A01", "A02"]


def test_an_edit_ends_the_old_row_and_moves_the_item_to_the_end_of_the_commit_order(store, repo):
    repo.commit("A00", "A01")
    revision = repo.commit("A00")

    assert ids(store, revision) == ["A01", "A00"]
    with store.snapshot() as session:
        history = store.rows.history(session, revision, repo.concept_url("A00"))
    assert [(row.from_rev, row.to_rev) for row in history] == [(2, LIVE), (1, 2)]


def test_a_commit_without_changes_leaves_the_revision_and_the_clock_alone(store, repo):
    repo.commit("A00")
    before = store.repos.by_number(repo.number)

    revisions = store.commits.commit([repo.number], lambda session, heads: [], "amina")

    assert revisions == {}
    after = store.repos.by_number(repo.number)
    assert (after.rev, after.at, after.updated_on) == (
        before.rev,
        before.at,
        before.updated_on,
    )


def test_a_commit_whose_only_trace_is_what_is_beside_it_leaves_the_repository_as_it_was(
    store, repo
):
    repo.commit("A00")
    before = store.repos.by_number(repo.number)

    def note(session):
        store.database.tasks.insert_one({"_id": "t"}, session=session)

    revisions = store.commits.commit(
        [repo.number], lambda session, heads: [], "bela", also_write=note
    )

    assert revisions == {}
    assert store.database.tasks.find_one({"_id": "t"})
    assert store.repos.by_number(repo.number) == before


def test_a_commit_that_leaves_all_counts_as_they_are_is_dated_and_signed_all_the_same(store, repo):
    repo.commit("A00")
    before = store.repos.by_number(repo.number)

    revision = repo.commit("A00", by="bela")

    after = store.repos.by_number(repo.number)
    assert after.counts == before.counts
    assert after.content_at == after.updated_on == after.at > before.at
    assert (after.rev, after.updated_by) == (revision.number, "bela")


def test_in_a_commit_over_two_repositories_only_the_one_that_changed_gets_a_revision(store, repo):
    other = Repo(store, "OTHER")

    def build(session, heads):
        assert set(heads) == {repo.number, other.number}
        return [concept_change(other.number, other.concept_url("X"))]

    revisions = store.commits.commit([other.number, repo.number], build, "amina")

    assert revisions == {other.number: Revision(other.number, 1)}
    assert repo.head().number == 0


def test_what_the_work_raises_leaves_no_trace(store, repo):
    def build(session, heads):
        raise Invalid.field("names", "at least one name is needed")

    with pytest.raises(Invalid):
        store.commits.commit([repo.number], build, "amina")

    assert repo.head().number == 0
    assert store.database.revisions.count_documents({}) == 0


def test_changes_of_several_parts_are_one_commit(store, repo):
    names = [f"A{number}" for number in range(2 * BATCH + 1)]
    repo.commit(*names)

    revision = repo.commit(*names, body=b'{"new": true}')

    assert sorted(ids(store, revision)) == sorted(names)
    assert ids(store, Revision(repo.number, 1)) == sorted(names)
    assert store.database.rows.count_documents({"to_rev": LIVE}) == len(names)


def test_what_making_a_change_raises_leaves_no_trace_of_those_written_before(store, repo):
    def build(session, heads):
        yield from (
            concept_change(repo.number, repo.concept_url(f"A{number}"))
            for number in range(2 * BATCH)
        )
        raise Invalid.field("names", "at least one name is needed")

    with pytest.raises(Invalid):
        store.commits.commit([repo.number], build, "amina")

    assert repo.head().number == 0
    assert store.database.rows.count_documents({}) == 0


def test_a_row_that_was_ended_meanwhile_is_never_replaced(store, repo):
    repo.commit("A00")
    with store.snapshot() as session:
        stale = store.rows.one(session, repo.head(), repo.concept_url("A00"))
    repo.commit("A00")
    runs = []

    def build(session, heads):
        runs.append(1)
        [living] = store.rows.living(session, repo.number, "concept", [repo.concept_url("A00")])
        return [concept_change(repo.number, living.url, stale if len(runs) == 1 else living)]

    revision = store.commits.commit([repo.number], build, "amina")[repo.number]

    assert (len(runs), revision.number) == (2, 3)


def test_counts_are_kept_with_each_revision(store, repo):
    first = repo.commit("A00", "A01")
    second = repo.commit("A00", retired=True)

    with store.snapshot() as session:
        assert store.rows.counts(session, first) == Counts(concepts=2, active_concepts=2)
        assert store.rows.counts(session, second) == Counts(concepts=2, active_concepts=1)
        assert store.rows.count(session, second, Selection("concept")) == 1


def test_times_grow_with_every_commit_even_within_one_millisecond(store, repo):
    for number in range(20):
        repo.commit(f"A{number}")

    times = [entry["at"] for entry in store.database.revisions.find(sort=[("rev", 1)])]
    assert times == sorted(set(times))


def test_a_commit_to_a_deleted_repository_is_refused(store, repo):
    store.repos.delete(repo.number, lambda session, head: None)

    with pytest.raises(NotFound):
        repo.commit("A00")


def test_many_writers_at_once_make_one_revision_each_and_lose_nothing(store, repo):
    with ThreadPoolExecutor(8) as pool:
        revisions = list(
            pool.map(lambda number: repo.commit(f"C{number}", "shared").number, range(60))
        )

    assert sorted(revisions) == list(range(1, 61))
    assert sorted(ids(store, repo.head())) == sorted(
        [f"C{number}" for number in range(60)] + ["shared"]
    )
    with store.snapshot() as session:
        assert len(store.rows.history(session, repo.head(), repo.concept_url("shared"))) == 60


def test_a_source_made_again_under_an_old_name_shares_nothing_with_the_old_one(store, repo):
    repo.commit("A00")
    store.repos.delete(repo.number, lambda session, head: None)

    again = Repo(store)

    assert again.number != repo.number
    assert ids(store, again.head()) == []
    removed = sum(store.repos.purge())
    assert removed == 2  # one row, one revision
    assert store.database.trash.count_documents({}) == 0


def test_threads_of_one_process_wait_for_each_other_and_run_no_transaction_twice(store, repo):
    other = Repo(store, "OTHER")
    runs = []

    def commit(number):
        def build(session, heads):
            runs.append(number)
            return [
                concept_change(one.number, one.concept_url(f"C{number}")) for one in (repo, other)
            ]

        order = [repo.number, other.number] if number % 2 else [other.number, repo.number]
        store.commits.commit(order, build, "amina")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(commit, range(24)))

    assert sorted(runs) == list(range(24))
    assert repo.head().number == other.head().number == 24


def test_a_writer_that_never_gets_the_lock_reports_that_the_repository_is_busy(
    store, repo, prepared_mongo_url
):
    hasty = Store(Database(prepared_mongo_url, patience=0.05, client=store.database.client), KEY)
    inside, done = Event(), Event()

    def slow(session, heads):
        inside.set()
        assert done.wait(30)
        return []

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(hasty.commits.commit, [repo.number], slow, "amina")
        assert inside.wait(30)
        with pytest.raises(RepositoryBusy):
            hasty.commits.commit([repo.number], lambda session, heads: [], "ben")
        assert hasty.commits.waited([repo.number]) == 1
        done.set()
        first.result()
    assert hasty.commits.commit([repo.number], lambda session, heads: [], "ben") == {}


def test_waiting_for_threads_and_for_other_processes_shares_one_patience(
    store, repo, prepared_mongo_url
):
    patience = 2.0
    hasty = Store(
        Database(prepared_mongo_url, patience=patience, client=store.database.client), KEY
    )

    def refused(number):
        begun = time.monotonic()
        with pytest.raises(RepositoryBusy):
            hasty.commits.commit([repo.number], lambda session, heads: [], "amina")
        return time.monotonic() - begun

    with store.database.client.start_session() as other, other.start_transaction():
        store.database.repos.update_one({"_id": repo.number}, {"$inc": {"rev": 1}}, session=other)
        with ThreadPoolExecutor(3) as pool:
            assert max(pool.map(refused, range(3))) < 1.75 * patience
        other.abort_transaction()


# When the response to a commit is lost


class Line:
    """The connection for commits. Loses the next responses, before or after the commit is done."""

    def __init__(self, monkeypatch):
        self._real = ClientSession.commit_transaction
        self.lost, self.does, self.commits = 0, True, 0
        monkeypatch.setattr(
            ClientSession, "commit_transaction", lambda session: self._commit(session)
        )

    def _commit(self, session):
        self.commits += 1
        if self.does:
            self._real(session)
        if self.commits <= self.lost:
            error = AutoReconnect("connection closed")
            error._add_error_label("UnknownTransactionCommitResult")
            raise error


@pytest.fixture
def hasty(prepared_mongo_url, repo):
    """The source through a store that soon gives up."""
    database = Database(prepared_mongo_url, patience=0.1)
    repo.store = Store(database, KEY)
    yield repo
    database.client.close()


@pytest.fixture
def line(monkeypatch, hasty):
    return Line(monkeypatch)


def test_a_commit_whose_response_was_lost_is_retried(hasty, line):
    hasty.store.database.patience = 60
    line.lost = 2

    assert hasty.commit("A").number == 1

    assert line.commits == 3
    assert (hasty.head().number, ids(hasty.store, hasty.head())) == (1, ["A"])


def test_a_commit_that_was_never_confirmed_is_looked_up(hasty, line):
    line.lost = 10**6

    assert hasty.commit("A").number == 1

    assert line.commits > 1
    assert (hasty.head().number, ids(hasty.store, hasty.head())) == (1, ["A"])
    line.lost = 0
    assert hasty.commit("B").number == 2


def test_a_commit_that_is_not_found_afterwards_is_of_unknown_outcome_and_not_called_done(
    hasty, line
):
    line.lost, line.does = 10**6, False

    with pytest.raises(OutcomeUnknown):
        hasty.commit("A")

    line.lost, line.does = 0, True
    assert (hasty.head().number, ids(hasty.store, hasty.head())) == (0, [])
    assert hasty.commit("B").number == 1


def test_a_commit_that_can_not_even_be_looked_up_is_of_unknown_outcome(hasty, line, monkeypatch):
    line.lost = 10**6

    def unreachable(collection, *args, **kwargs):
        raise AutoReconnect("connection closed")

    monkeypatch.setattr(Collection, "find_one", unreachable)
    with pytest.raises(OutcomeUnknown):
        hasty.commit("A")


def test_a_removed_entry_ends_without_a_successor(store, repo):
    repo.commit("A00", "A01")
    repo.commit("A02", retired=True)
    before = repo.head()

    def build(session, heads):
        urls = [repo.concept_url(concept) for concept in ("A00", "A02")]
        return map(Removal, store.rows.living(session, repo.number, "concept", urls))

    revision = store.commits.commit([repo.number], build, "bela")[repo.number]

    assert ids(store, revision) == ["A01"]
    assert ids(store, before) == ["A00", "A01", "A02"]
    found = store.repos.by_number(repo.number)
    assert found.counts == Counts(concepts=1, active_concepts=1)
    assert (found.rev, found.updated_by) == (3, "bela")
    with store.snapshot() as session:
        assert store.rows.removed(session, revision, "concept", 3) == [
            repo.concept_url(concept) for concept in ("A00", "A02")
        ]
        assert store.rows.counts(session, revision) == found.counts
    changes = list(store.change_log.changes(repo.number, 2, 3))
    assert [(change.row.id, change.row.to_rev) for change in changes] == [("A00", 3), ("A02", 3)]
