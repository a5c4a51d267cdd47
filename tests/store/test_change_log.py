"""A copy that follows the revision log of a repository."""

import random
from datetime import timedelta

import pytest

from oclapi.errors import NotFound
from oclapi.model import LIVE, Revision, Selection
from oclapi.store import ranges
from oclapi.store.change_log import KINDS
from tests.store.conftest import Repo, mapping_change

pytestmark = pytest.mark.servers


class Copy:
    """A copy of a repository that was built from its change log."""

    def __init__(self, store, number):
        self.store, self.number = store, number
        self.reached = 0
        self.rows = {}
        self.applied = 0

    def follow(self, upto=None):
        upto = upto if upto is not None else self.store.change_log.head(self.number).rev
        changes = list(self.store.change_log.changes(self.number, self.reached, upto))
        assert [one.rev for one in changes] == sorted(one.rev for one in changes)
        for one in changes:
            self.rows[(one.row.url, one.row.from_rev)] = one.row.to_rev
        self.reached, self.applied = upto, len(changes)

    def at(self, number):
        return sorted(
            url for (url, from_rev), to_rev in self.rows.items() if from_rev <= number < to_rev
        )


def truth(store, number, at):
    """The URLs of the rows visible at a revision."""
    with store.snapshot() as session:
        pages = [
            store.rows.page(
                session, Revision(number, at), Selection(kind, retired=None), limit=10_000
            )
            for kind in KINDS
        ]
    return sorted(row.url for rows in pages for row in rows)


def add_mapping(repo, name):
    change = mapping_change(
        repo.number, repo.url, name, repo.concept_url("A"), repo.concept_url(name)
    )
    repo.store.commits.commit([repo.number], lambda session, heads: [change], "amina")


def test_a_copy_that_follows_in_any_steps_is_right_at_every_revision(store, repo):
    chance = random.Random(7)
    copies = [Copy(store, repo.number) for _ in range(3)]
    for step in range(40):
        repo.commit(*chance.sample("ABCDEFGH", chance.randint(1, 4)), retired=chance.random() < 0.2)
        if step % 5 == 0:
            add_mapping(repo, f"m{step}")
        for copy in copies:
            if chance.random() < 0.3:
                copy.follow(chance.randint(copy.reached, repo.head().number))
    for copy in copies:
        copy.follow()
        for number in range(copy.reached + 1):
            assert copy.at(number) == truth(store, repo.number, number)


def test_news_tell_only_what_changed(store, repo):
    repo.commit("A", "B", "C")
    copy = Copy(store, repo.number)
    copy.follow()
    repo.commit("B")
    copy.follow()
    assert copy.applied == 2  # the old row's end, the new row
    copy.follow()
    assert copy.applied == 0


def test_a_long_read_goes_on_with_new_snapshots_and_misses_nothing(store, repo, monkeypatch):
    repo.commit("A", "B", "C", "D")
    repo.commit("A", "B")
    repo.commit("C", "D")
    monkeypatch.setattr(ranges, "SNAPSHOT_AGE", -1)
    monkeypatch.setattr(ranges, "LIST", 1)
    copy = Copy(store, repo.number)
    copy.follow()
    assert copy.applied == 8
    copy.reached = 1
    copy.follow()
    assert copy.applied == 8  # four begun, four ended
    assert copy.at(3) == truth(store, repo.number, 3)


def test_an_end_beyond_the_head_is_not_told(store, repo):
    repo.commit("A")
    # as an import does that shows all it wrote at its end
    store.database.rows.update_one({"repo": repo.number}, {"$set": {"to_rev": 2}})
    assert [one.row.to_rev for one in store.change_log.changes(repo.number, 0, 1)] == [LIVE]
    assert [row.to_rev for row in store.change_log.headers(repo.number, 1)] == [LIVE]
    assert store.change_log.row(repo.number, repo.concept_url("A"), 1).row.to_rev == LIVE


def test_headers_are_every_row_up_to_a_revision_as_of_then(store, repo):
    repo.commit("A", "B")
    repo.commit("A")
    repo.commit("B")
    add_mapping(repo, "m")
    lives = [(row.id, row.from_rev, row.to_rev) for row in store.change_log.headers(repo.number, 2)]
    assert lives == [("A", 1, 2), ("B", 1, LIVE), ("A", 2, LIVE)]
    assert store.change_log.count(repo.number, 2) == 3
    assert store.change_log.count(repo.number, 4) == 5


def test_following_a_deleted_repository_raises_not_found(store, repo):
    repo.commit("A")
    store.repos.delete(repo.number, lambda session, head: None)
    assert store.change_log.head(repo.number) is None
    with pytest.raises(NotFound):
        list(store.change_log.changes(repo.number, 0, 1))


def test_repositories_changed_since_a_moment_are_found(store, repo):
    other = Repo(store, "REF")
    repo.commit("A")
    changed_on = store.change_log.head(repo.number).updated_on
    assert [head.repo for head in store.change_log.changed_since(changed_on)] == [repo.number]
    assert store.change_log.changed_since(changed_on + timedelta(milliseconds=1)) == []
    assert [(head.repo, head.rev) for head in store.change_log.heads()] == [
        (repo.number, 1),
        (other.number, 0),
    ]


def test_a_revision_is_known_by_its_commit(store, repo):
    repo.commit("A")
    repo.commit("B")
    first, second = store.change_log.commit(repo.number, 1), store.change_log.commit(repo.number, 2)
    assert first and second and first != second
    assert (store.change_log.commit(repo.number, 0), store.change_log.commit(repo.number, 3)) == (
        "",
        None,
    )
    assert store.change_log.revisions([(repo.number, 2), (99, 1)])[repo.number]["commit"] == second


def test_a_store_has_one_name_for_ever(store):
    assert len(store.index_notes.identity()) == 32
    assert store.index_notes.identity() == store.index_notes.identity()
