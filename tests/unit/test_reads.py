"""Reads at a revision on mongomock, which is fast but knows no snapshots.

Query plans and reads with concurrent writers are tested on the real server.
"""

from datetime import UTC, datetime, timedelta

import pytest
from mongomock.collection import Collection

from oclapi.model import LIVE, Change, Counts, Head, Revision, Selection
from oclapi.reading.changes import first_revision_since
from oclapi.store import ranges
from oclapi.store.commits import row_document
from oclapi.store.database import INDEXES
from oclapi.store.versions import VersionFilter
from oclapi.times import Moment
from tests.builders import mocked_store, repository, version_document

REPO = "/orgs/NorthLab/sources/LAB/"
START = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC)
NUMBER = 7


@pytest.fixture
def store(monkeypatch):
    """mongomock refuses `hint`: it is checked to name an index and left out."""
    find = Collection.find

    def hinted(self, *args, hint=None, **how):
        assert hint is None or hint in INDEXES[self.name]
        return find(self, *args, **how)

    monkeypatch.setattr(Collection, "find", hinted)
    return mocked_store()


class Log:
    """The rows and revisions that a series of commits leaves behind, a second apart."""

    def __init__(self, store, repo=NUMBER):
        self.store, self.repo, self.rev = store, repo, 0

    def commit(self, *changed, shown=None, **counts):
        """Each change: an id, or (id, fields of the row)."""
        self.rev += 1
        at = START + timedelta(seconds=self.rev)
        head = Head(Revision(self.repo, self.rev), at, repository())
        for one in changed:
            item, fields = one if isinstance(one, tuple) else (one, {})
            kind = "mapping" if "from" in fields else "concept"
            url = f"{REPO}{kind}s/{item}/"
            database = self.store.database
            database.rows.update_one(
                {"repo": self.repo, "url": url, "to_rev": LIVE}, {"$set": {"to_rev": self.rev}}
            )
            header = {name: value for name, value in fields.items() if name != "retired"}
            change = Change(
                self.repo,
                kind,
                url,
                item,
                fields.get("retired", False),
                f"{item}@{self.rev}".encode(),
                header,
            )
            database.rows.insert_one(row_document(change, head))
        totals = {**self.counted(), **counts}
        self.store.database.revisions.insert_one(
            {"repo": self.repo, "rev": self.rev, "at": at, "shown": shown or at, "counts": totals}
        )
        return Revision(self.repo, self.rev)

    def counted(self):
        living = {"repo": self.repo, "to_rev": LIVE}
        count = self.store.database.rows.count_documents
        return {
            f"{state}{kind}s": count({**living, "kind": kind, **only})
            for kind in ("concept", "mapping")
            for state, only in (("", {}), ("active_", {"retired": False}))
        }


@pytest.fixture
def log(store):
    return Log(store)


def mapped(item, start, end, **fields):
    return item, {
        "from": f"{REPO}concepts/{start}/",
        "to": f"{REPO}concepts/{end}/",
        "map_type": "SAME-AS",
        **fields,
    }


def ids(rows):
    return [row.id for row in rows]


def url_of(concept):
    return f"{REPO}concepts/{concept}/"


def test_an_item_is_read_as_it_stood(store, log):
    revisions = [Revision(NUMBER, 0), log.commit("A"), log.commit("B"), log.commit("A")]
    found = [store.rows.one(None, revision, url_of("A")) for revision in revisions]
    assert [row and row.body for row in found] == [None, b"A@1", b"A@1", b"A@3"]
    assert store.rows.one(None, revisions[1], url_of("B")) is None
    assert (found[3].kind, found[3].from_rev, found[3].to_rev, found[3].at) == (
        "concept",
        3,
        LIVE,
        START + timedelta(seconds=3),
    )


def test_a_history_is_newest_first_and_ends_at_the_revision(store, log):
    for _ in range(4):
        log.commit("A")
    assert [row.body for row in store.rows.history(None, Revision(NUMBER, 3), url_of("A"))] == [
        b"A@3",
        b"A@2",
        b"A@1",
    ]
    assert store.rows.history(None, Revision(NUMBER, 4), url_of("B")) == []


PAGED = [("D", "A"), ("C",), ("B", "D"), (("C", {"retired": True}), "E")]
"""In commit order at the end: A, then B and D, then C (retired) and E."""


@pytest.fixture
def paged(log):
    return [log.commit(*changed) for changed in PAGED][-1]


@pytest.mark.parametrize(
    ("how", "found"),
    [
        ({}, "ABDE"),
        ({"retired": None}, "ABDCE"),
        ({"retired": True}, "C"),
        ({"since": 3}, "BDE"),
        ({"since": 4, "retired": None}, "CE"),
        ({"since": 5}, ""),
    ],
)
def test_a_page_is_in_commit_order_of_what_was_asked_for(store, paged, how, found):
    wanted = Selection("concept", **{"retired": False, **how})
    assert ids(store.rows.page(None, paged, wanted, limit=10)) == list(found)
    assert (
        ids(store.rows.page(None, paged, wanted, limit=10, newest_first=True)) == list(found)[::-1]
    )
    assert store.rows.count(None, paged, wanted) == len(found)


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 3, 5])
def test_pages_that_follow_each_other_hold_each_row_once(store, log, paged, newest_first, limit):
    wanted = Selection("concept", retired=None)
    whole = ids(store.rows.page(None, paged, wanted, limit=10, newest_first=newest_first))
    seen, after = [], None
    while rows := store.rows.page(
        None, paged, wanted, limit=limit, after=after, newest_first=newest_first
    ):
        assert len(rows) <= limit
        seen += ids(rows)
        after = rows[-1].key
        log.commit("A", "B", f"new{len(seen)}")  # a concurrent write
    assert seen == whole
    skipped = [
        store.rows.page(None, paged, wanted, limit=limit, skip=skip, newest_first=newest_first)
        for skip in range(0, 5, limit)
    ]
    assert [row.id for rows in skipped for row in rows] == whole


def test_repositories_and_kinds_are_apart(store, log, paged):
    Log(store, NUMBER + 1).commit("A", "Z")
    log.commit(mapped("m", "A", "B"))
    at = Revision(NUMBER, log.rev)
    assert ids(store.rows.page(None, at, Selection("mapping"), limit=10)) == ["m"]
    assert ids(store.rows.page(None, Revision(NUMBER + 1, 1), Selection("concept"), limit=10)) == [
        "A",
        "Z",
    ]


def test_what_left_since_a_commit_is_named(store, log):
    log.commit("A", "B", "C")
    # as a reference that was removed
    store.database.rows.update_one({"url": url_of("B")}, {"$set": {"to_rev": 2}})
    revision = log.commit("C")
    assert store.rows.removed(None, revision, "concept", 2) == [url_of("B")]
    assert store.rows.removed(None, revision, "concept", 3) == []
    assert store.rows.removed(None, Revision(NUMBER, 1), "concept", 1) == []


def test_what_left_is_asked_for_in_parts_that_a_command_can_hold(store, log, monkeypatch):
    log.commit(*"ABCDE")
    for ended in "BD":
        store.database.rows.update_one({"url": url_of(ended)}, {"$set": {"to_rev": 2}})
    revision = log.commit("A", "C", "E")
    filters, find = [], Collection.find
    monkeypatch.setattr(ranges, "LIST", 2)
    monkeypatch.setattr(
        Collection,
        "find",
        lambda self, where, *how, **named: (
            filters.append(where),
            find(self, where, *how, **named),
        )[1],
    )

    assert store.rows.removed(None, revision, "concept", 2) == [url_of("B"), url_of("D")]
    assert [len(where["url"]["$in"]) for where in filters if "url" in where] == [2, 2, 1]


def test_counts_and_times_are_those_of_the_revision(store, log):
    log.commit("A", concepts=1, active_concepts=1)
    second = log.commit(("A", {"retired": True}), concepts=1)
    assert store.rows.counts(None, Revision(NUMBER, 1)) == Counts(concepts=1, active_concepts=1)
    assert store.rows.counts(None, second) == Counts(concepts=1)
    assert store.rows.counts(None, Revision(NUMBER, 0)) == Counts()
    assert store.rows.content_at(None, second) == START + timedelta(seconds=2)
    assert store.rows.content_at(None, Revision(NUMBER, 0)) is None


def first_since(store, at, *, whole_seconds):
    since = Moment(at, whole_seconds)
    return first_revision_since(store, None, NUMBER, since, margin=2, reach=100)


@pytest.mark.parametrize(
    ("moment", "first"),
    [(-1, 1), (1, 1), (1.001, 2), (2, 2), (3, 3), (3.001, LIVE)],
)
def test_an_exact_moment_is_followed_by_the_first_commit_at_or_after_it(store, log, moment, first):
    for _ in range(3):
        log.commit("A")
    assert first_since(store, START + timedelta(seconds=moment), whole_seconds=False) == first


@pytest.mark.parametrize(
    ("moment", "first"),
    [
        pytest.param(50, 1, id="before everything"),
        pytest.param(100, 1, id="at the first"),
        pytest.param(102, 1, id="the first is two seconds old"),
        pytest.param(150, 1, id="the last one before, less than 100 s ago"),
        pytest.param(199, 1, id="the last one before, 99 s ago"),
        pytest.param(200, 2, id="100 s ago is too long"),
        pytest.param(203, 2, id="the second"),
        pytest.param(299, 2, id="the second, 99 s ago"),
        pytest.param(301, LIVE, id="all too long ago"),
    ],
)
def test_a_moment_in_whole_seconds_takes_the_last_commit_before_it_too(store, log, moment, first):
    log.commit("A", shown=START + timedelta(seconds=100))
    log.commit("A", shown=START + timedelta(seconds=201))
    assert first_since(store, START + timedelta(seconds=moment), whole_seconds=True) == first


def test_a_moment_in_whole_seconds_goes_by_when_commits_were_shown(store, log):
    log.commit("A", shown=START + timedelta(seconds=500))
    assert first_since(store, START + timedelta(seconds=300), whole_seconds=True) == 1
    assert first_since(store, START + timedelta(seconds=300), whole_seconds=False) == LIVE


def test_the_mappings_of_a_concept_are_those_from_it_and_then_those_to_it(store, log):
    log.commit(
        mapped("b", "A", "C"),
        mapped("a", "A", "B"),
        mapped("back", "B", "A"),
        mapped("gone", "A", "D", retired=True),
    )
    first = log.commit(mapped("other", "B", "C"))
    log.commit(mapped("a", "A", "Z"))

    def found(revision, **how):
        total, rows = store.rows.of_concept(None, revision, url_of("A"), limit=10, **how)
        assert total == len(rows)
        return ids(rows)

    assert found(first) == ["a", "b"]
    assert found(first, inverse=True) == ["a", "b", "back"]
    assert found(first, retired=None) == ["a", "b", "gone"]
    assert found(first, retired=True) == ["gone"]
    assert found(Revision(NUMBER, 3)) == ["b", "a"]
    assert found(Revision(NUMBER, 0)) == []
    pages = [
        store.rows.of_concept(None, first, url_of("A"), limit=2, skip=skip, inverse=True)
        for skip in (0, 1, 2, 3)
    ]
    assert [(total, ids(rows)) for total, rows in pages] == [
        (3, ["a", "b"]),
        (3, ["b", "back"]),
        (3, ["back"]),
        (3, []),
    ]
    both = store.rows.of_concepts(None, first, [url_of("A"), url_of("Q")], inverse=True)
    assert {url: ids(rows) for url, rows in both.items()} == {
        url_of("A"): ["a", "b", "back"],
        url_of("Q"): [],
    }


def test_the_mappings_of_a_concept_are_by_map_type_weight_creation_and_url(store, log):
    log.commit(
        mapped("c", "A", "B"),
        mapped("b", "A", "C"),
        mapped("heavy", "A", "D", weight=2),
        mapped("light", "A", "E", weight=-1.5),
        mapped("set", "A", "F", map_type="CONCEPT-SET"),
    )
    log.commit(mapped("a", "A", "G"))
    at = log.commit(mapped("c", "A", "B", created=START + timedelta(seconds=1)))

    expected = ["set", "light", "heavy", "b", "c", "a"]
    assert ids(store.rows.of_concept(None, at, url_of("A"), limit=10)[1]) == expected
    assert ids(store.rows.of_concepts(None, at, [url_of("A")])[url_of("A")]) == expected


def test_versions_are_found_by_their_order_and_state(store):
    for position, (version, released, retired) in enumerate(
        [("v1", True, False), ("v2", True, True), ("v3", False, False)]
    ):
        store.database.versions.insert_one(
            version_document(
                repo=NUMBER,
                id=version,
                released=released,
                retired=retired,
                at=START + timedelta(seconds=position),
            )
        )
    store.database.versions.insert_one(
        version_document(repo=1, id="x", at=START + timedelta(days=1))
    )
    assert store.versions.latest(NUMBER).id == "v1"
    assert store.versions.newest(NUMBER).id == "v3"
    assert store.versions.by_id(NUMBER, "x") is None
    assert store.versions.latest(2) is None
    total, page = store.versions.listing(NUMBER, VersionFilter(retired=False), limit=1, skip=1)
    assert (total, [version.id for version in page]) == (2, ["v1"])
