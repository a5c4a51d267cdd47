"""What the server counts, and how far its jobs are, for an operator's Prometheus. Tells no ids and
no names.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

from flask import Response

from oclapi import metrics
from oclapi.resources.endpoint import Endpoint
from oclapi.store.store import Store

FORMAT = "text/plain; version=0.0.4; charset=utf-8"


class Metrics(Endpoint):
    """Requests, listings by engine, how far the search index is behind, and exports by state, as
    Prometheus reads them.
    """

    def get(self) -> Response:
        return Response(
            metrics.text(gauges(self.store, datetime.now(UTC))), 200, content_type=FORMAT
        )


def gauges(store: Store, now: datetime) -> Iterator[metrics.Gauge]:
    """What is read from the store when it is asked for. The index's are those of the tick's last
    look, and missing before the first.
    """
    yield (
        "oclapi_exports",
        "Exports of versions by state.",
        {(("state", name),): n for name, n in store.exports.states().items()},
    )
    lag = store.index_notes.lag()
    if lag is None:
        return
    yield (
        "oclapi_index_reachable",
        "1 when the search engine answered the last look, else 0.",
        {(): float(not lag["away"])},
    )
    yield (
        "oclapi_index_look_age_seconds",
        "Time since the last look at the whole index.",
        {(): (now - lag["at"]).total_seconds()},
    )
    yield (
        "oclapi_index_refused_rows",
        "Rows that the search engine did not take.",
        {(): float(store.index_notes.refusals())},
    )
    if not lag["away"]:
        yield (
            "oclapi_index_behind_repositories",
            "Repositories that the index is behind with.",
            {(): float(lag["repositories"])},
        )
        yield (
            "oclapi_index_behind_revisions",
            "Revisions that the index lacks.",
            {(): float(lag["revisions"])},
        )
        yield (
            "oclapi_index_behind_seconds",
            "Age of the oldest revision that the index lacks.",
            {(): lag["seconds"]},
        )
