"""Periodic work: restart dead jobs, queue index jobs, send mail, delete orphaned data."""

import logging
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from jobs.index import Watch
from jobs.mail import send_mails
from jobs.queue import EDITS, INDEX, RQIndexQueue
from oclapi.errors import NotFound, QueueUnavailable
from oclapi.exports.cache import token_of
from oclapi.exports.state import ExportStates
from oclapi.services import Services
from oclapi.store.abandoned import Abandoned

log = logging.getLogger(__name__)

PACE = 1.0  # seconds between ticks
CHECKS = 8  # checks of the search index between ticks
CLEANING_PACE = 60.0  # seconds; walking over the cache is slower than a tick
LEASE = timedelta(seconds=10)
PURGE_TIME = 0.5  # seconds per tick
# Seconds without a command after which a transaction counts as abandoned. A live one sends its next
# command within a second.
IDLE = 5.0


def tick(s: Services, now: datetime) -> None:
    """Run one round. It may run twice at the same time, or pause for a while."""
    _try("exports are not healed", heal_exports, s, now)
    _try("deleted repositories are not purged", purge_trash, s)


def heal_exports(s: Services, now: datetime) -> None:
    """Start wanted exports without a job and exports whose job died, and wake workers for all.

    A wake is lost when Redis loses its data, or when the process that stored a job or the worker
    that took the wake is killed. It ends early while the queue is down. The next tick continues.
    """
    states = ExportStates(s.store.exports, s.queue, s.settings.export_silence)
    try:
        for key in s.store.exports.to_check():
            version = s.store.versions.by_key(key.version)
            try:
                if version:
                    states.heal(version, now)
            except NotFound:
                log.info(
                    "version deleted while its export was checked",
                    extra={"version_id": key.version},
                )
        s.queue.refill(*s.store.exports.queued())
    except QueueUnavailable as error:
        log.warning("exports wait for the queue", extra={"reason": error.detail})


def purge_trash(s: Services) -> None:
    """Purge the rows of deleted repositories for PURGE_TIME. The next tick continues."""
    end = time.monotonic() + PURGE_TIME
    for removed in s.store.repos.purge():
        log.info("purged", extra={"documents": removed})
        if time.monotonic() > end:
            return


def clean_cache(s: Services, now: datetime) -> None:
    """Delete files that no export names once all signed links to them have expired."""
    before = now - timedelta(seconds=s.settings.export_link_life)
    s.store.exports.forget_earlier(before)
    old = list(s.cache.older_than(before))  # listed first: files that are named later are newer
    names, tokens = s.store.exports.names_in_use()
    for name in old:
        if name not in names and token_of(name) not in tokens:
            s.cache.delete(name)
            log.info("deleted an orphaned archive", extra={"file": name})


def run(
    s: Services, ended: Callable[[], bool], pause: Callable[[float], None] = time.sleep
) -> None:
    """Tick about once a second until `ended`. Only one of several workers runs the tick.

    An error is logged, and the next round tries again.
    """
    holder = uuid.uuid4().hex
    abandoned = Abandoned(s.store.database)
    queues = [RQIndexQueue(s.settings.redis_url, name) for name in (INDEX, EDITS)]
    watch = Watch(s, s.solr, *queues) if s.solr else None
    cleaned = -CLEANING_PACE
    mailing, sending = ThreadPoolExecutor(1, thread_name_prefix="mail"), Future[None]()
    sending.set_result(None)
    while not ended():
        appointed = False
        try:
            now = datetime.now(UTC)
            appointed = s.store.leases.take("tick", holder, LEASE, now)
            if appointed:
                if left := abandoned.end(IDLE):
                    log.warning(
                        "ended transactions of killed processes", extra={"transactions": left}
                    )
                tick(s, now)
                if sending.done():  # a mail server that hangs blocks nothing else
                    sending = mailing.submit(_try, "mails are not sent", send_mails, s, now)
                if time.monotonic() - cleaned >= CLEANING_PACE:
                    clean_cache(s, now)
                    cleaned = time.monotonic()
        except Exception:  # see `_try`
            log.exception("tick failed")
        for _ in range(CHECKS):
            if appointed and watch:
                check_index(watch)
            if not ended():
                pause(PACE / CHECKS)
    mailing.shutdown()
    s.store.leases.release("tick", holder)


def _try(otherwise: str, duty: Callable[..., None], *given: Any) -> None:
    """Run one duty. Its errors are logged and do not stop the others."""
    try:
        duty(*given)
    # The tick must survive every error: a store that restarts, a cache that is not reachable.
    except Exception:
        log.exception(otherwise)


def check_index(watch: Watch) -> None:
    """Check whether the index is behind."""
    _try("check of the index failed", watch.check, datetime.now(UTC))
