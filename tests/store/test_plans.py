"""Every read uses its intended index, without a collection scan and without a sort in memory."""

import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import MongoClient, monitoring

from oclapi.access import Caller
from oclapi.model import Revision, Selection
from oclapi.store.database import Database
from oclapi.store.owners import OrganizationFilter
from oclapi.store.repos import RepositoryFilter
from oclapi.store.store import Store
from oclapi.store.users import UserFilter
from oclapi.store.versions import VersionFilter
from tests.store.conftest import KEY, Repo, mapping_change, version_metadata

BOUNDS: CodecOptions[dict[str, Any]] = CodecOptions(
    datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
"""The ends of a range in a plan may be times that Python can't represent."""
READS = ("find", "count", "aggregate", "findAndModify", "update")


class Reads(monitoring.CommandListener):
    """Records the commands that a block of code sends."""

    def __init__(self) -> None:
        self.commands: list[dict[str, object]] = []

    def started(self, event):
        if event.command_name in READS:
            self.commands.append(
                {name: value for name, value in event.command.items() if not name.startswith("$")}
            )

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass


@pytest.fixture(scope="module")
def reads():
    return Reads()


@pytest.fixture(scope="module")
def store(new_mongo_url, reads):
    url = new_mongo_url()
    client = MongoClient(url, event_listeners=[reads], tz_aware=True)
    database = Database(url, client=client)
    database.prepare()
    yield Store(database, KEY)
    client.close()


@pytest.fixture(scope="module")
def source(store):
    """40 concepts over 4 commits, some of them edited, with mappings."""
    repo = Repo(store)
    for commit in range(4):
        repo.commit(*{f"C{number}" for number in range(commit * 10, commit * 10 + 10)} | {"C0"})
    changes = [
        mapping_change(
            repo.number,
            repo.url,
            f"m{number}",
            repo.concept_url("C1"),
            repo.concept_url(f"C{number}"),
        )
        for number in range(2, 30)
    ]
    changes.append(
        mapping_change(
            repo.number,
            repo.url,
            "out",
            repo.concept_url("C1"),
            "/orgs/RefOrg/sources/REFX/concepts/G/",
        )
    )
    store.commits.commit([repo.number], lambda session, heads: changes, "amina")
    return repo


def plans(store, reads, read):
    """The winning plans of the commands that `read` sends, as a set of (stage, index name)."""
    reads.commands.clear()
    read()
    sent = [command for command in reads.commands if "getMore" not in command]
    assert sent, "nothing was read"
    host, _ = store.database.client.address
    client = MongoClient(f"mongodb://{quote(host, safe='')}", directConnection=True)
    found = set()
    with contextlib.closing(client):
        for command in sent:
            explained = {
                name: value
                for name, value in command.items()
                if name
                not in (
                    "lsid",
                    "txnNumber",
                    "autocommit",
                    "readConcern",
                    "writeConcern",
                    "startTransaction",
                    "cursor" if "find" in command else "",
                )
            }
            plan = client[store.database.rows.database.name].command(
                "explain", explained, verbosity="queryPlanner", codec_options=BOUNDS
            )
            found |= set(stages(plan))
    return found


def stages(plan):
    """Every stage that an explain names in its winning plans, with the index it uses."""
    if isinstance(plan, dict):
        if "stage" in plan:
            yield plan["stage"], plan.get("indexName")
        for name, part in plan.items():
            if name != "rejectedPlans":
                yield from stages(part)
    elif isinstance(plan, list):
        for part in plan:
            yield from stages(part)


def page(**options):
    return lambda store, repo, session: store.rows.page(
        session, repo.head(), Selection("concept"), limit=10, **options
    )


def listed(store, selected):
    """Count and list the owners or repositories that match."""
    return store.count(selected), list(store.listing(selected, limit=10))


MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
CONTENT = {
    "one item": (
        "item",
        lambda store, repo, session: store.rows.one(session, repo.head(), repo.concept_url("C0")),
    ),
    "the history of an item": (
        "item",
        lambda store, repo, session: store.rows.history(
            session, repo.head(), repo.concept_url("C0")
        ),
    ),
    "a page of the history": (
        "item",
        lambda store, repo, session: store.rows.history(
            session, repo.head(), repo.concept_url("C0"), limit=2, skip=1
        ),
    ),
    "the length of a history": (
        "item",
        lambda store, repo, session: store.rows.history_count(
            session, repo.head(), repo.concept_url("C0")
        ),
    ),
    "a history as a stream": (
        "item",
        lambda store, repo, session: list(
            store.rows.history_batches(repo.head(), repo.concept_url("C0"))
        ),
    ),
    "one version of a concept": (
        "item",
        lambda store, repo, session: store.rows.state(
            session, repo.head(), "concept", repo.concept_url("C0"), 1
        ),
    ),
    "one version of a mapping": (
        "item",
        lambda store, repo, session: store.rows.state(
            session, repo.head(), "mapping", f"{repo.url}mappings/m1/", 1
        ),
    ),
    "a first page": ("order", page()),
    "a page, newest first": ("order", page(newest_first=True)),
    "a page behind a cursor": ("order", page(after=(2, "/orgs/"))),
    "a page behind a cursor, newest first": ("order", page(after=(3, "/orgs/"), newest_first=True)),
    "a page that skips": ("order", page(skip=20)),
    "a difference": (
        "order",
        lambda store, repo, session: store.rows.page(
            session, repo.head(), Selection("concept", since=3), limit=10
        ),
    ),
    "a count": (
        "order",
        lambda store, repo, session: store.rows.count(
            session, repo.head(), Selection("concept", since=2)
        ),
    ),
    "a stream": (
        "order",
        lambda store, repo, session: list(
            store.rows.bodies(repo.head(), Selection("mapping", retired=None))
        ),
    ),
    "a concept's mappings": (
        "from",
        lambda store, repo, session: store.rows.of_concept(
            session, repo.head(), repo.concept_url("C1"), limit=10
        ),
    ),
    "the mappings to a concept": (
        "to",
        lambda store, repo, session: store.rows.of_concept(
            session, repo.head(), repo.concept_url("C9"), limit=10, inverse=True
        ),
    ),
    "a concept's mappings as a stream": (
        "from",
        lambda store, repo, session: list(
            store.rows.of_concept_batches(repo.head(), repo.concept_url("C1"))
        ),
    ),
    "the mappings of several concepts": (
        "to",
        lambda store, repo, session: store.rows.of_concepts(
            session, repo.head(), [repo.concept_url("C1")], inverse=True
        ),
    ),
    "bodies by their keys": (
        "item",
        lambda store, repo, session: store.rows.bodies_of(
            session, [(repo.number, repo.concept_url("C1"), 1)]
        ),
    ),
    "the time of a revision": (
        "rev",
        lambda store, repo, session: store.rows.content_at(session, repo.head()),
    ),
    "names": (
        "ends",
        lambda store, repo, session: store.rows.living_names(
            session, repo.number, [repo.concept_url("C1")]
        ),
    ),
    "mappings between two concepts": (
        "from",
        lambda store, repo, session: store.rows.living_between(
            session, repo.number, [(repo.concept_url("C1"), repo.concept_url("C5"))]
        ),
    ),
    "living rows": (
        "ends",
        lambda store, repo, session: store.rows.living(
            session, repo.number, "concept", [repo.concept_url("C1")]
        ),
    ),
    "what is mapped already": (
        "from",
        lambda store, repo, session: store.rows.living_mappings(
            session, repo.number, [(repo.concept_url("C1"), "SAME-AS", repo.concept_url("C5"))]
        ),
    ),
    "mappings that show a name": (
        "to",
        lambda store, repo, session: list(
            store.rows.living_showing(session, repo.number, [repo.concept_url("C5")])
        ),
    ),
    "how many mappings show a name": (
        "to",
        lambda store, repo, session: store.rows.count_showing(
            session, repo.number, [repo.concept_url("C5")]
        ),
    ),
    "rows that claim a name": (
        "claims",
        lambda store, repo, session: store.rows.claimants(session, repo.number, [5]),
    ),
    "rows that refer to a source": (
        "uses",
        lambda store, repo, session: list(store.rows.using(session, "/orgs/RefOrg/sources/REFX/")),
    ),
    "what is no longer there": (
        "ends",
        lambda store, repo, session: store.rows.removed(session, repo.head(), "concept", 2),
    ),
    "the counts at a revision": (
        "rev",
        lambda store, repo, session: store.rows.counts(session, repo.head()),
    ),
    "the first revision since a time": (
        "at",
        lambda store, repo, session: store.rows.first_written(session, repo.number, MOMENT),
    ),
    "the first revision that was visible since a time": (
        "shown",
        lambda store, repo, session: store.rows.first_shown(session, repo.number, MOMENT),
    ),
    "the last revision that became visible between two times": (
        "shown",
        lambda store, repo, session: store.rows.last_shown(
            session, repo.number, MOMENT, MOMENT + timedelta(seconds=100)
        ),
    ),
    "a repository": ("url", lambda store, repo, session: store.repos.by_url(repo.url)),
    "a version": ("id", lambda store, repo, session: store.versions.by_id(repo.number, "v1")),
    "the latest release": (
        "newest",
        lambda store, repo, session: store.versions.latest(repo.number),
    ),
    "the newest version": (
        "newest",
        lambda store, repo, session: store.versions.newest(repo.number),
    ),
    "an owner's repositories": (
        "owner",
        lambda store, repo, session: listed(
            store.repos, RepositoryFilter("source", ["/orgs/NorthLab/"])
        ),
    ),
    "all repositories of a kind": (
        "kind",
        lambda store, repo, session: listed(store.repos, RepositoryFilter("source")),
    ),
    "the organisations": (
        "newest",
        lambda store, repo, session: listed(store.owners, OrganizationFilter()),
    ),
    "an owner's repositories that a caller may read": (
        "owner",
        lambda store, repo, session: listed(
            store.repos, RepositoryFilter("source", ["/orgs/NorthLab/"], Caller("ben"))
        ),
    ),
    "repositories changed since a time": (
        "kind",
        lambda store, repo, session: listed(store.repos, RepositoryFilter("source", since=MOMENT)),
    ),
    "the versions": (
        "newest",
        lambda store, repo, session: store.versions.listing(
            repo.number, VersionFilter(), limit=10, skip=0
        ),
    ),
    "the released versions": (
        "newest",
        lambda store, repo, session: store.versions.listing(
            repo.number, VersionFilter(released=True), limit=10, skip=0
        ),
    ),
    "the latest releases of several": (
        "newest",
        lambda store, repo, session: store.versions.latest_of([repo.number]),
    ),
    "the organisations of a member": (
        "memberships",
        lambda store, repo, session: listed(
            store.owners, OrganizationFilter("amina", Caller("ben"))
        ),
    ),
    "the users": (
        "active",
        lambda store, repo, session: listed(store.users, UserFilter(active=True)),
    ),
    "how many repositories owners have": (
        "owner",
        lambda store, repo, session: store.repos.counts(
            RepositoryFilter(owner_urls=["/orgs/NorthLab/"])
        ),
    ),
    "how many organisations users are in": (
        "memberships",
        lambda store, repo, session: store.owners.memberships(["amina"], Caller("ben")),
    ),
    "the outcomes of a task": ("task", lambda store, repo, session: list(store.tasks.results("t"))),
    "the organisations of a caller": (
        "memberships",
        lambda store, repo, session: store.owners.ids(OrganizationFilter("amina")),
    ),
    "a mail that is due": ("due", lambda store, repo, session: store.mails.next(datetime.now(UTC))),
    "the holder of a token": (
        "tokens",
        lambda store, repo, session: store.users.by_token("0" * 40),
    ),
}


ALONE = (
    "rev",
    "at",
    "shown",
    "url",
    "id",
    "newest",
    "owner",
    "kind",
    "tokens",
    "active",
    "memberships",
    "task",
    "due",
)
"""Indexes of reads outside of a repository's content, which need no session."""
STEADY = ("a history as a stream", "a concept's mappings as a stream")
"""Reads of content by indexes whose keys never move, which may outlive a snapshot:
test_snapshots.py shows that they lose nothing.
"""


@pytest.mark.servers
@pytest.mark.parametrize(
    "name",
    [name for name, (index, _) in CONTENT.items() if index not in ALONE and name not in STEADY],
)
def test_every_read_of_content_is_a_snapshot_read(store, reads, source, name):
    reads.commands.clear()
    with store.snapshot() as session:
        CONTENT[name][1](store, source, session)

    commands = [
        command
        for command in reads.commands
        if command.get("find", command.get("aggregate")) == "rows"
    ]
    assert commands
    assert {command["readConcern"]["level"] for command in commands} == {"snapshot"}


@pytest.mark.servers
@pytest.mark.parametrize(("index", "read"), CONTENT.values(), ids=CONTENT)
def test_a_read_uses_its_index_and_neither_scans_nor_sorts(store, reads, source, index, read):
    def run():
        if index in ALONE:
            return read(store, source, None)
        with store.snapshot() as session:
            return read(store, source, session)

    used = plans(store, reads, run)

    assert index in {name for _, name in used}
    assert not {stage for stage, _ in used} & {"COLLSCAN", "SORT"}


@pytest.fixture(scope="module")
def releases(store, source):
    fields = version_metadata()
    for name in ("v1", "v2", "v3"):
        store.versions.create(source.number, name, lambda session, head: fields)


@pytest.mark.servers
@pytest.mark.parametrize(("version", "index"), [("v2", "id"), ("latest", "newest")])
def test_a_version_with_its_export_is_read_by_indexes_alone(
    store, reads, source, releases, version, index
):
    store.versions.with_export(source.url, version)
    sent = reads.commands[-1]

    explained = {name: sent[name] for name in ("aggregate", "pipeline", "cursor")}
    plan = store.database.rows.database.command("explain", explained, verbosity="executionStats")

    [joined] = [stage for stage in plan["stages"] if "$lookup" in stage]
    assert set(joined["indexesUsed"]) == {index, "_id_"}
    # a version, its export
    assert (joined["collectionScans"], joined["totalDocsExamined"]) == (0, 2)


def test_the_next_page_starts_where_the_last_one_ended(store, source):
    with store.snapshot() as session:
        whole = store.rows.page(session, source.head(), Selection("concept"), limit=100)
        first = store.rows.page(session, source.head(), Selection("concept"), limit=7)
        rest = store.rows.page(
            session, source.head(), Selection("concept"), limit=100, after=first[-1].key
        )

    assert [row.url for row in first + rest] == [row.url for row in whole]
    assert Revision(source.number, 5) == source.head()


@pytest.mark.parametrize("kind", ["concept", "mapping"])
def test_a_difference_in_which_nothing_changed_reads_no_rows(store, reads, source, kind):
    head = source.head()
    later = Selection(kind, since=head.number + 1)
    with store.snapshot() as session:
        reads.commands.clear()
        assert store.rows.page(session, head, later, limit=10) == []
        assert store.rows.count(session, head, later) == 0
    assert reads.commands == []
