"""Metrics for Prometheus: requests, exports and the search index. They contain no ids."""

from collections.abc import Iterator
from datetime import UTC, datetime

from flask import Response

from oclapi import metrics
from oclapi.errors import StoreUnavailable
from oclapi.resources import described
from oclapi.resources.endpoint import Endpoint
from oclapi.store.store import Store

FORMAT = "text/plain; version=0.0.4; charset=utf-8"
READ_PATIENCE = 0.5
"""Seconds for reading the store: Prometheus gets its response in time even when MongoDB hangs."""


class Metrics(Endpoint):
    """Requests, lists by engine, exports by state, and the lag of the index, for Prometheus.

    Without the database, the response contains only what the web processes counted themselves.
    """

    about = described.EndpointDoc(tag="Server", responses={"get": {200: {"text/plain": {}}}})

    def get(self) -> Response:
        return Response(
            metrics.text(gauges(self.store, datetime.now(UTC))), 200, content_type=FORMAT
        )


def gauges(store: Store, now: datetime) -> list[metrics.Gauge]:
    """The gauges that come from the store, and whether it could be read."""
    stored: list[metrics.Gauge] = []
    try:
        with store.database.within(READ_PATIENCE):
            stored = list(stored_gauges(store, now))
    except StoreUnavailable:
        up = 0.0
    else:
        up = 1.0
    meaning = "1 when the database responded in time, else 0; its gauges are then missing."
    return [("oclapi_store_up", meaning, {(): up}), *stored]


def stored_gauges(store: Store, now: datetime) -> Iterator[metrics.Gauge]:
    """Yield the metrics that are read from the store.

    Those of the search index are as the worker last saw them, and missing before its first check.
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
        "1 if the search engine responded to the last check, else 0.",
        {(): float(not lag["away"])},
    )
    yield (
        "oclapi_index_check_age_seconds",
        "Time since the last check of the whole index.",
        {(): (now - lag["at"]).total_seconds()},
    )
    yield (
        "oclapi_index_refused_rows",
        "Rows that the search engine rejected.",
        {(): float(store.index_notes.refusals())},
    )
    if not lag["away"]:
        yield (
            "oclapi_index_behind_repositories",
            "Repositories with revisions that are not indexed yet.",
            {(): float(lag["repositories"])},
        )
        yield (
            "oclapi_index_behind_revisions",
            "Revisions that are not indexed yet.",
            {(): float(lag["revisions"])},
        )
        yield (
            "oclapi_index_behind_seconds",
            "Age of the oldest revision that is not indexed yet.",
            {(): lag["seconds"]},
        )
