"""What changed in a repository since a time (contract 5.2)."""

from collections.abc import Mapping
from datetime import timedelta

from oclapi.model import LIVE, Kind
from oclapi.reading.views import View
from oclapi.representations import SUMMARY
from oclapi.store.database import Session
from oclapi.store.store import Store
from oclapi.times import Moment


def first_revision_since(
    store: Store, session: Session, repo: int, since: Moment | None, *, margin: int, reach: int
) -> int:
    """Return the first revision that a client must get for changes since a time; None: 0.

    For an exact time, it is the first commit at or after it. A time in whole seconds may be
    truncated or come from a `Date` header: then `margin` seconds are subtracted, and the last
    commit before is included too if it became visible less than `reach` seconds before the time.
    Returns LIVE when there is no such commit. Cost: one or two index seeks.
    """
    if since is None:
        return 0
    if not since.whole_seconds:
        return store.rows.first_written(session, repo, since.at)
    early = since.at - timedelta(seconds=margin)
    before = store.rows.last_shown(session, repo, since.at - timedelta(seconds=reach), early)
    return store.rows.first_shown(session, repo, early) if before is None else before


def removed(store: Store, session: Session, view: View, since: int) -> Mapping[Kind, list[str]]:
    """Return the URLs of the entries that existed before commit `since` and not in the view.

    They are sorted. Cost: one index range for each kind.
    """
    return {
        kind: store.rows.removed(session, view.revision, kind, since) if since < LIVE else []
        for kind in SUMMARY
    }
