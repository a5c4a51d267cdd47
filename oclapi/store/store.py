"""The store as one value, for resources, imports and jobs."""

from collections.abc import Iterator
from contextlib import contextmanager

from pymongo.client_session import ClientSession

from config.settings import Settings
from oclapi.store.attempts import Attempts
from oclapi.store.change_log import ChangeLog
from oclapi.store.commits import Commits
from oclapi.store.database import Database
from oclapi.store.exports import Exports
from oclapi.store.formats import Formats
from oclapi.store.index_notes import IndexNotes
from oclapi.store.leases import Leases
from oclapi.store.mails import Mails
from oclapi.store.owners import Owners
from oclapi.store.repos import Repos
from oclapi.store.rows import Rows
from oclapi.store.tasks import Tasks
from oclapi.store.users import Users
from oclapi.store.versions import Versions


class Store:
    """MongoDB, by subject.

    Content is written through `commits.commit`, and read through a session from `snapshot`.
    """

    def __init__(self, database: Database, secret_key: str, most_shown: int = 10_000) -> None:
        """`most_shown` is how many mappings one commit may rewrite when a concept is renamed."""
        self.database = database
        self.most_shown = most_shown
        self.commits = Commits(database)
        self.rows = Rows(database)
        self.repos = Repos(database, self.commits)
        self.versions = Versions(database, self.commits)
        self.exports = Exports(database)
        self.leases = Leases(database)
        self.change_log = ChangeLog(database)
        self.index_notes = IndexNotes(database)
        self.users = Users(database, secret_key)
        self.owners = Owners(database, self.users, self.repos)
        self.attempts = Attempts(database, secret_key)
        self.mails = Mails(database)
        self.tasks = Tasks(database)
        self.formats = Formats(database)

    @contextmanager
    def snapshot(self) -> Iterator[ClientSession]:
        """Yield a session whose reads all see the same state of the store."""
        with self.database.snapshot() as session:
            yield session


def open_store(settings: Settings, patience: float | None = None) -> Store:
    """Return the store that the settings name. Opens no connection.

    `patience` is the number of seconds that a write waits for other writers. By default it is
    `OCL_COMMIT_PATIENCE`.
    """
    seconds = settings.commit_patience if patience is None else patience
    database = Database(settings.mongo_url, patience=seconds)
    return Store(database, settings.secret_key, settings.max_shown)
