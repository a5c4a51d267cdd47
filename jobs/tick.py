"""Healing: what was begun comes to an end without a human, and what nobody names any more goes."""

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

PACE = 1.0  # seconds from one tick to the next
LOOKS = 8  # at the search index from one tick to the next
CLEANING_PACE = 60.0  # seconds; a walk over the cache is dearer than a tick
LEASE = timedelta(seconds=10)
PURGE_TIME = 0.5  # seconds of one tick
# seconds without a step after which a transaction counts as abandoned; a live one takes its next
# within a second
IDLE = 5.0


def tick(s: Services, now: datetime) -> None:
    """One round. Running it twice at once, or not for a while, does no harm."""
    _try("exports are not healed", heal_exports, s, now)
    _try("what was deleted is not purged", purge_trash, s)


def heal_exports(s: Services, now: datetime) -> None:
    """Start exports that are wanted or whose job died. Ends early while the queue is down: what is
    wanted stays so.
    """
    states = ExportStates(s.store.exports, s.queue, s.settings.export_silence)
    for version_id, _ in s.store.exports.unsettled():
        version = s.store.versions.by_key(version_id)
        try:
            if version:
                states.heal(version, now)
        except NotFound:
            log.info(
                "version deleted while its export was looked at", extra={"version_id": version_id}
            )
        except QueueUnavailable as error:
            log.warning("exports wait for the queue", extra={"reason": error.detail})
            return


def purge_trash(s: Services) -> None:
    """Remove for a moment what deleted repositories left behind; the next tick goes on."""
    end = time.monotonic() + PURGE_TIME
    for removed in s.store.repos.purge():
        log.info("purged", extra={"documents": removed})
        if time.monotonic() > end:
            return


def clean_cache(s: Services, now: datetime) -> None:
    """Delete files that no export names, finished or not, once they are older than a link can be."""
    before = now - timedelta(seconds=s.settings.export_link_life)
    s.store.exports.forget_earlier(before)
    old = list(s.cache.older_than(before))  # listed first: what is named after that is young
    names, tokens = s.store.exports.names_in_use()
    for name in old:
        if name not in names and token_of(name) not in tokens:
            s.cache.delete(name)
            log.info("deleted a stray archive", extra={"file": name})


def run(
    s: Services, ended: Callable[[], bool], pause: Callable[[float], None] = time.sleep
) -> None:
    """Tick about once a second until `ended`, while no other worker does. A fault is logged, and
    the next round tries again.
    """
    holder = uuid.uuid4().hex
    abandoned = Abandoned(s.store.database)
    queues = [RQIndexQueue(s.settings.redis_url, name) for name in (INDEX, EDITS)]
    watch = Watch(s, s.solr, *queues) if s.solr else None
    cleaned, prepared = -CLEANING_PACE, False
    mailing, sending = ThreadPoolExecutor(1, thread_name_prefix="mail"), Future[None]()
    sending.set_result(None)
    while not ended():
        appointed = False
        try:
            if not prepared:  # the web server may still be on its way
                s.store.database.prepare()
                prepared = True
            now = datetime.now(UTC)
            appointed = s.store.leases.take("tick", holder, LEASE, now)
            if appointed:
                if left := abandoned.end(IDLE):
                    log.warning(
                        "ended transactions of killed processes", extra={"transactions": left}
                    )
                tick(s, now)
                if sending.done():  # a mail server that hangs holds up nothing else
                    sending = mailing.submit(_try, "mails are not sent", send_mails, s, now)
                if time.monotonic() - cleaned >= CLEANING_PACE:
                    clean_cache(s, now)
                    cleaned = time.monotonic()
        except Exception:  # as in `_try`
            log.exception("tick failed")
        for _ in range(LOOKS):
            if appointed and watch:
                look(watch)
            if not ended():
                pause(PACE / LOOKS)
    mailing.shutdown()
    s.store.leases.give_back("tick", holder)


def _try(otherwise: str, duty: Callable[..., None], *given: Any) -> None:
    """One duty, whose fault keeps no other from being done."""
    try:
        duty(*given)
    # healing must outlive every fault: a store that restarts, a cache that is away
    except Exception:
        log.exception(otherwise)


def look(watch: Watch) -> None:
    """See whether the index is behind."""
    _try("look at the index failed", watch.look, datetime.now(UTC))
