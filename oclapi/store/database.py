"""The MongoDB client, the collections with their indexes, snapshot reads and transactions."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import pymongo
from pymongo import ASCENDING, MongoClient
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import (
    ConnectionFailure,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WTimeoutError,
)
from pymongo.read_concern import ReadConcern
from pymongo.uri_parser import parse_uri
from pymongo.write_concern import WriteConcern

from oclapi.errors import OutcomeUnknown, RepositoryBusy, StoreUnavailable
from oclapi.model import Json
from oclapi.store.driver_errors import Translating, translate_errors

APP = "oclapi"
"""The name of this application's connections at the server."""

Session = ClientSession | None
"""The session of a read: of a snapshot or a transaction, or None (unit tests on mongomock)."""

Transaction = ClientSession
"""The session of a transaction."""

Result = TypeVar("Result")


def index(*keys: str, **options: Any) -> tuple[list[tuple[str, int]], dict[str, Any]]:
    return [(key, ASCENDING) for key in keys], options


def present(field: str) -> dict[str, Any]:
    """Return the options of an index on only those documents that have this field."""
    return {"partialFilterExpression": {field: {"$exists": True}}}


# docs/store.md describes what each index on `rows` is for; tests/store/test_plans.py checks it.
INDEXES: dict[str, dict[str, tuple[list[tuple[str, int]], dict[str, Any]]]] = {
    "rows": {
        "order": index("repo", "kind", "from_rev", "url", "to_rev", "retired"),
        "item": index("repo", "url", "from_rev", unique=True),
        "ends": index("repo", "kind", "to_rev", "url", unique=True),
        "uses": index("uses", "to_rev", **present("uses")),
        "feed": index("kind", "to_rev", "at", "url", "repo", "retired", "from_rev"),
        "from": index("repo", "from", "map_type", "to", "from_rev", **present("from")),
        "to": index("repo", "to", "from_rev", **present("to")),
        "claims": index("repo", "claims", **present("claims")),
        "code": index("repo", "id", **present("expression")),
    },
    "repos": {
        "url": index("url", unique=True),
        "owner": index("owner_url", "kind", "updated_on", "url"),
        "kind": index("kind", "updated_on", "url"),
        "changed": index("updated_on"),
    },
    "orgs": {
        "newest": index("updated_on", "_id"),
        "memberships": index("members", "updated_on", "_id"),
        "away": index("away", **present("away")),
    },
    "versions": {"id": index("repo", "id", unique=True), "newest": index("repo", "at")},
    "revisions": {
        "rev": index("repo", "rev", unique=True),
        "at": index("repo", "at"),
        "shown": index("repo", "shown"),
        "commit": index("commit"),
    },
    "exports": {
        "wanted": index("wanted", **present("wanted")),
        "job": index("job.token", **present("job.token")),
        "turn": index(
            "job.state",
            "job.rank",
            "job.round",
            "job.total",
            "job.heartbeat",
            **present("job.token"),
        ),
        "owner": index("job.owner", "job.rank", "job.round", **present("job.token")),
    },
    "users": {"tokens": index("tokens.hash"), "active": index("active", "created_on", "_id")},
    "attempts": {"over": index("expires_at", expireAfterSeconds=0)},
    "mails": {"due": index("due")},
    "tasks": {"finished": index("finished_at"), "touched": index("touched_at")},
    "task_results": {"task": index("task", "line")},
    "index_refusals": {"repo": index("repo")},
}


COLLECTIONS = (
    "users",
    "orgs",
    "repos",
    "versions",
    "rows",
    "revisions",
    "exports",
    "tasks",
    "task_results",
    "trash",
    "counters",
    "leans",
    "leases",
    "waits",
    "attempts",
    "mails",
    "index_notes",
    "index_refusals",
    "meta",
)


DETECTION: dict[str, Any] = {
    "heartbeatFrequencyMS": 500,
    "connectTimeoutMS": 1500,
    "serverSelectionTimeoutMS": 2500,
    "waitQueueTimeoutMS": 2500,
    "retryReads": False,
}
"""How a server that hangs is detected, so that a read fails within 3 seconds.

The driver's monitor sends a heartbeat every 0.5 s. When the server does not respond to one within
1.5 s, the driver interrupts the reads that wait for it, at most 0.5 s later. Slow reads go on as
long as heartbeats are answered. A retry would wait for the server a second time.
"""


class Database:
    """The connections of one process to the store.

    Opens none before its first use, so it can be built before a fork. The collections raise
    StoreUnavailable when the server can't be reached (see `driver_errors`).
    """

    def __init__(self, url: str, *, patience: float = 20, client: Any = None) -> None:
        """Open a client of the database that `url` names.

        `patience` is how many seconds a transaction retries while others write to the same
        documents.
        """
        name = parse_uri(url)["database"]
        self.client: MongoClient[Json] = client or MongoClient(
            url, connect=False, tz_aware=True, retryWrites=True, appname=APP, **DETECTION
        )
        options: dict[str, Any] = (
            {}
            if client
            else {
                "read_concern": ReadConcern("majority"),
                "write_concern": WriteConcern("majority", wtimeout=30000),
            }
        )
        self._db = self.client.get_database(name, **options)
        self.admin: Any = Translating(self.client.admin)
        self.patience = patience
        self.users = self._collection("users")
        self.orgs = self._collection("orgs")
        self.repos = self._collection("repos")
        self.versions = self._collection("versions")
        self.rows = self._collection("rows")
        self.revisions = self._collection("revisions")
        self.exports = self._collection("exports")
        self.tasks = self._collection("tasks")
        self.task_results = self._collection("task_results")
        self.trash = self._collection("trash")
        self.counters = self._collection("counters")
        self.leans = self._collection("leans")
        self.leases = self._collection("leases")
        self.waits = self._collection("waits")
        self.attempts = self._collection("attempts")
        self.mails = self._collection("mails")
        self.index_notes = self._collection("index_notes")
        self.index_refusals = self._collection("index_refusals")
        self.meta = self._collection("meta")

    def _collection(self, name: str) -> Collection[Json]:
        return cast(Collection[Json], Translating(self._db[name]))

    @translate_errors()
    def prepare(self) -> None:
        """Create missing collections and indexes.

        Safe to run at every start and by several processes at once.
        """
        existing = set(self._db.list_collection_names())
        for name in COLLECTIONS:
            if name not in existing:
                self._create(name)
        for collection, indexes in INDEXES.items():
            for name, (keys, options) in indexes.items():
                self._db[collection].create_index(keys, name=name, **options)

    @translate_errors()
    def drop_outdated_indexes(self) -> None:
        """Drop indexes that an older program defined in another way. `prepare` creates them."""
        for collection, indexes in INDEXES.items():
            for name, found in self._db[collection].index_information().items():
                keys, options = indexes.get(name, ([], {}))
                given = {key: value for key, value in found.items() if key not in ("v", "key")}
                if name != "_id_" and (found["key"] != keys or given != options):
                    self._db[collection].drop_index(name)

    def _create(self, name: str) -> None:
        """Create a collection; transactions can't create the same one at once."""
        try:
            self._db.create_collection(name, check_exists=False)
        except OperationFailure as error:
            if error.code != 48:  # NamespaceExists: another process was faster
                raise

    @contextmanager
    def snapshot(self) -> Iterator[ClientSession]:
        """Yield a session whose reads all see the same state. It lasts five minutes at most."""
        with translate_errors(), self.client.start_session(snapshot=True) as session:
            yield session

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Raise StoreUnavailable when the reads of the block take longer, also slow ones."""
        try:
            with translate_errors(), pymongo.timeout(seconds):
                yield
        except ExecutionTimeout as error:
            raise StoreUnavailable(
                f"the database did not respond within {seconds} seconds"
            ) from error

    @translate_errors()
    def transaction(
        self,
        work: Callable[[ClientSession], Result],
        happened: Callable[[], bool] | None = None,
        waited: float = 0.0,
    ) -> Result:
        """Run `work` in one transaction and return its result; run it again after each conflict.

        `work` may run many times, so it has no effects except through the session. `happened`
        returns, outside the transaction, whether it was committed; it is called when the response
        to a commit was lost. `waited` is how many seconds of `patience` were used up before.
        Raises RepositoryBusy (nothing written) when `patience` is over, OutcomeUnknown,
        StoreUnavailable.
        """
        deadline = time.monotonic() + self.patience - waited
        while True:
            try:
                with self.client.start_session() as session:
                    session.start_transaction(
                        ReadConcern("snapshot"), WriteConcern("majority", wtimeout=30000)
                    )
                    try:
                        result = work(session)
                    except BaseException:
                        _abort(session)
                        raise
                    if session.in_transaction:  # `work` ends it when there is nothing to store
                        self._finish(session, deadline, happened)
                    return result
            except PyMongoError as error:
                if not error.has_error_label("TransientTransactionError"):
                    raise
                if time.monotonic() > deadline:
                    if isinstance(error, ConnectionFailure):
                        raise StoreUnavailable(
                            "the database can't be reached; nothing was written"
                        ) from error
                    raise RepositoryBusy(
                        "the repository is busy with other writes; nothing was written"
                    ) from error
            # With the growing back-off of the driver, an importer would starve editors. A short
            # random one does not.
            time.sleep(random.uniform(0.002, 0.010))

    def _finish(
        self, session: ClientSession, deadline: float, happened: Callable[[], bool] | None
    ) -> None:
        """Commit. When the response is lost, retry until the deadline, then look the commit up."""
        while True:
            try:
                return session.commit_transaction()
            except PyMongoError as error:
                if error.has_error_label("TransientTransactionError"):
                    raise
                if not (
                    error.has_error_label("UnknownTransactionCommitResult")
                    or isinstance(error, WTimeoutError)
                ):
                    raise
                if time.monotonic() < deadline:
                    continue
                try:
                    if happened and happened():
                        return None
                except StoreUnavailable:
                    happened = None
                raise OutcomeUnknown(
                    "the database did not confirm this write, so its outcome is unknown; "
                    "read the item before you repeat the request"
                ) from error


def _abort(session: ClientSession) -> None:
    """Abort the transaction. Errors are ignored: the server then aborts it itself."""
    try:
        if session.in_transaction:
            session.abort_transaction()
    except PyMongoError:
        return
