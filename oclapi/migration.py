"""Check the format of the database when a program starts, and migrate an older one.

docs/upgrading.md describes this for operators. A migration computes everything again that the
store keeps beside the bodies: the headers of rows with the code that renders new rows, the hashes
of rows and the digests of revisions. So a change of what is computed needs no code here: increase
FORMAT in oclapi/store/formats.py.
"""

import logging
import time
from collections.abc import Callable
from datetime import timedelta

from oclapi.editing.rendering import header_of_row
from oclapi.errors import WrongFormat
from oclapi.store.formats import FORMAT
from oclapi.store.repos import RepositoryFilter
from oclapi.store.store import Store

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=30)
PAUSE = 0.2  # seconds between looks at a migration that another process runs

Progress = Callable[[int], None]
"""Called with the number of rows that are done."""


def prepare(store: Store, at_start: int) -> None:
    """Check the format of the database, and create missing collections and indexes.

    Each process calls this once, before it reads or writes anything else; several may do so at the
    same time. An older format is migrated if the database has at most `at_start` rows. Raises
    WrongFormat when it has more, or when the format is newer than this program.
    """
    number = _known(store)
    if number < FORMAT and store.formats.rows() > at_start:
        raise WrongFormat(
            f"the database has the older format {number}: stop all servers and workers, make a "
            "backup and run python -m oclapi migrate"
        )
    migrate(store)


def migrate(store: Store, progress: Progress = lambda rows: None) -> None:
    """Give the database the format of this program. Creates missing collections and indexes too.

    Nothing may write content meanwhile. The migration may be killed at any time: the next call
    continues after the last batch of rows. Of several processes one migrates, and the others wait
    for it. Raises WrongFormat when the format is newer than this program.
    """
    while _known(store) < FORMAT:
        with store.leases.hold("migration", LEASE) as acquired:
            # Another process may just have finished.
            if acquired and _known(store) < FORMAT:
                _compute(store, progress)
        if not acquired:
            time.sleep(PAUSE)
    store.database.prepare()


def _known(store: Store) -> int:
    """Return the format of the database. Raises WrongFormat when it is newer than this program."""
    number = store.formats.number()
    if number > FORMAT:
        raise WrongFormat(
            f"the database has the format {number} of a newer version of this program, which can't "
            f"be read by this one (format {FORMAT})"
        )
    return number


def _compute(store: Store, progress: Progress) -> None:
    """Compute everything again that is kept beside the bodies.

    Each step may run twice, also at the same time in two processes: the results are the same.
    """
    log.info("migration started", extra={"to": FORMAT})
    store.database.drop_outdated_indexes()
    store.formats.begin()
    repos = {repo.number: repo for repo in store.repos.listing(RepositoryFilter(), full=False)}
    done = store.formats.migrated()
    # The rows of deleted repositories are left to their purge.
    for rows in store.formats.row_batches(repos):
        store.formats.update([(row, header_of_row(row, repos[row.repo])) for row in rows])
        done += len(rows)
        progress(done)
    for number in sorted(repos):
        store.formats.sum_up(number)
    store.index_notes.renew_identity()
    store.formats.finish()
    progress(store.formats.rows())
    log.info("migration finished", extra={"to": FORMAT, "rows": done})
