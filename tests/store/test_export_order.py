"""The order in which workers build exports."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from oclapi.errors import Overtaken
from oclapi.model import ExportKey
from oclapi.store.exports import OLDEST_EVERY, QUEUED, SMALL
from tests.store.conftest import metadata, version_metadata

pytestmark = pytest.mark.servers

NOW = datetime(2026, 3, 4, 10, 20, 30, tzinfo=UTC)
LARGE = SMALL + 1


class Exports:
    """Exports by name, each of a version of its own. A name starts with its owner."""

    def __init__(self, store):
        self.store, self.exports = store, store.exports
        self.keys, self.repos = {}, {}

    def queue(self, name, size=1, *, asked=False):
        """Queue an export after all others."""
        owner = name.split()[0]
        if owner not in self.repos:
            self.repos[owner] = self.store.repos.create(
                "source", f"/orgs/{owner}/", "S", lambda session: metadata(), "amina"
            ).number
        version = self.store.versions.create(
            self.repos[owner], name.replace(" ", "-"), lambda session, head: version_metadata()
        )
        self.keys[name] = ExportKey(version.key)
        time = NOW + timedelta(seconds=len(self.keys))
        assert self.exports.request(self.keys[name], None, size, time, asked=asked)

    def queue_all(self, *names, **options):
        for name in names:
            self.queue(name, **options)

    def ask(self, name):
        return self.exports.ask(self.keys[name], self.exports.read(self.keys[name]).job)

    def take(self, *, urgent=False):
        """Claim the next export, as a worker does, and return its name."""
        while found := self.exports.next_queued(urgent=urgent):
            try:
                self.exports.claim(*found, NOW)
            except Overtaken:
                continue
            return next(name for name, key in self.keys.items() if key == found[0])
        return None

    def take_all(self, *, urgent=False):
        return list(iter(lambda: self.take(urgent=urgent), None))


@pytest.fixture
def exports(store):
    # Turns are counted over all tests, because they use one database.
    store.database.counters.delete_one({"_id": "exports"})
    return Exports(store)


@pytest.fixture
def without_turns_for_the_oldest(monkeypatch):
    monkeypatch.setattr("oclapi.store.exports.OLDEST_EVERY", 10**9)


@pytest.mark.usefixtures("without_turns_for_the_oldest")
class TestOrder:
    def test_exports_that_somebody_asked_for_are_built_before_those_of_releases(self, exports):
        exports.queue_all("A 1", "A 2", "B 1")
        exports.queue_all("A asked", "C asked", asked=True)
        exports.queue("C large", LARGE, asked=True)
        assert exports.take_all() == ["A asked", "C asked", "C large", "A 1", "B 1", "A 2"]

    def test_small_exports_are_built_before_large_ones(self, exports):
        exports.queue("A large", LARGE)
        exports.queue("A larger", 2 * LARGE, asked=True)
        exports.queue("B large", LARGE, asked=True)
        exports.queue("A small", SMALL)
        exports.queue("A smaller", asked=True)
        assert exports.take_all() == ["A smaller", "B large", "A larger", "A small", "A large"]

    @pytest.mark.parametrize("asked", [True, False])
    def test_owners_take_turns(self, exports, asked):
        exports.queue_all("A 1", "A 2", "A 3", "A 4", "B 1", "B 2", "C 1", asked=asked)
        assert exports.take_all() == ["A 1", "B 1", "C 1", "A 2", "B 2", "A 3", "A 4"]

    def test_an_owner_who_comes_later_waits_for_one_export_of_each_owner(self, exports):
        exports.queue_all(*(f"{owner} {number}" for number in range(5) for owner in "AB"))
        assert [exports.take() for _ in range(4)] == ["A 0", "B 0", "A 1", "B 1"]
        exports.queue("C 0")
        assert [exports.take() for _ in range(3)] == ["A 2", "B 2", "C 0"]

    def test_the_exports_of_an_owner_are_built_in_the_order_of_their_requests(self, exports):
        for number in range(5):
            exports.queue(f"A {number}", size=5 - number)
        assert exports.take_all() == [f"A {number}" for number in range(5)]

    def test_an_export_of_a_release_that_somebody_asks_for_moves_to_the_front(self, exports):
        exports.queue_all("A 1", "A 2", "A 3")
        assert exports.ask("A 3")
        assert exports.exports.read(exports.keys["A 3"]).asked
        exports.queue("B 1", asked=True)
        assert exports.take_all() == ["A 3", "B 1", "A 1", "A 2"]

    def test_a_running_export_has_no_place_to_change(self, exports):
        exports.queue("A 1")
        seen = exports.exports.read(exports.keys["A 1"]).job
        assert exports.take() == "A 1"
        assert not exports.exports.ask(exports.keys["A 1"], seen)

    def test_a_job_that_an_earlier_release_stored_is_built_first(self, exports):
        exports.queue("A 1", asked=True)
        exports.queue("B 1")
        where = {"_id": ObjectId(exports.keys["B 1"].version)}
        added = dict.fromkeys(("job.rank", "job.owner", "job.round"), "")
        exports.store.database.exports.update_one(where, {"$unset": added})
        assert exports.exports.queued() == (2, 1)
        assert exports.take_all() == ["B 1", "A 1"]


def test_a_worker_for_urgent_exports_takes_small_ones_that_somebody_asked_for(exports):
    exports.queue("A 1")
    exports.queue("A large", LARGE, asked=True)
    exports.queue_all("A asked", "B asked", asked=True)
    assert exports.exports.queued() == (4, 2)
    assert exports.take_all(urgent=True) == ["A asked", "B asked"]
    assert exports.exports.queued() == (2, 0)


def test_the_export_that_has_waited_longest_gets_every_fourth_turn(exports):
    exports.queue("A large", LARGE)
    exports.queue("B large", LARGE, asked=True)
    exports.queue_all(*(f"C {number}" for number in range(8)), asked=True)
    taken = exports.take_all()
    assert taken[:4] == ["C 0", "C 1", "C 2", "A large"]
    assert taken[4:8] == ["C 3", "C 4", "C 5", "B large"]


def test_nothing_waits_for_ever_while_others_are_asked_for_all_the_time(exports):
    exports.queue("A large", LARGE)
    taken = []
    for number in range(OLDEST_EVERY):
        exports.queue_all(f"B {number}", f"C {number}", asked=True)
        taken.append(exports.take())
    assert "A large" in taken


def test_workers_that_take_exports_at_the_same_time_take_each_one_once(exports):
    names = [f"{owner} {number}" for number in range(10) for owner in "AB"]
    exports.queue_all(*names, asked=True)
    with ThreadPoolExecutor(6) as pool:
        taken = pool.map(lambda urgent: exports.take_all(urgent=urgent), [True, False] * 3)
    assert sorted(name for some in taken for name in some) == sorted(names)


@pytest.mark.parametrize(
    ("where", "order", "index"),
    [
        (QUEUED, ("rank", "round", "total", "heartbeat"), "turn"),
        ({**QUEUED, "job.rank": 0}, ("rank", "round", "total", "heartbeat"), "turn"),
        ({**QUEUED, "job.rank": 0}, ("round",), "turn"),
        ({**QUEUED, "job.rank": 0, "job.owner": "/orgs/A/"}, ("round",), "owner"),
    ],
)
def test_a_place_in_the_order_is_found_in_an_index(exports, where, order, index):
    exports.queue_all(*(f"{owner} {number}" for number in range(10) for owner in "ABC"), asked=True)
    found = exports.store.database.exports.find(where)
    plan = str(found.sort([(f"job.{name}", 1) for name in order]).explain()["queryPlanner"])
    assert f"'indexName': '{index}'" in plan.split("'rejectedPlans'")[0]
    assert "'SORT'" not in plan.split("'rejectedPlans'")[0]
