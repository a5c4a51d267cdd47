"""What a process counts for its operators.

`/metrics` (oclapi/resources/metrics.py) returns the sum of all web processes. Labels take few
values: patterns, statuses, engines. They contain no ids and no names of people.
"""

import os
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    Metric,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

requests = Histogram(
    "oclapi_request_seconds",
    "Time from a request to the first byte of its response, by route pattern.",
    ("method", "route", "status"),
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

listings = Counter(
    "oclapi_listings", "Listings by the engine that found their rows (solr, mongodb).", ("engine",)
)


Gauge = tuple[str, str, Mapping[tuple[tuple[str, str], ...], float]]
"""Name, meaning, and a value for each set of labels."""

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""The library's variable for the folder in which several processes keep their counts.

config/gunicorn.py sets it.
"""


def count_request(method: str, route: str | None, status: int, seconds: float) -> None:
    """Count a request. `route` is the pattern, not the path; None where no pattern matches."""
    requests.labels(method if method in METHODS else "other", route or "none", str(status)).observe(
        seconds
    )


def text(gauges: Iterable[Gauge]) -> bytes:
    """Return these gauges and everything that was counted, as the text that Prometheus reads.

    The counts are those of all web processes when they share a folder.
    """
    counted = REGISTRY
    if SHARED in os.environ:
        counted = CollectorRegistry()
        MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
    current = CollectorRegistry()
    current.register(_Gauges(gauges))
    return generate_latest(counted) + generate_latest(current)


class _Gauges(Collector):
    def __init__(self, gauges: Iterable[Gauge]) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        for name, meaning, values in self._gauges:
            family = GaugeMetricFamily(
                name, meaning, labels=[label for label, _ in next(iter(values), ())]
            )
            for labels, value in values.items():
                family.add_metric([label for _, label in labels], value)
            yield family
