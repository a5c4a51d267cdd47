"""What a process counts for its operators.

`/metrics` (oclapi/resources/metrics.py) returns the sum of all web processes. Labels take few
values: patterns, statuses, engines. They contain no ids and no names of people.
"""

import fcntl
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    Metric,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.mmap_dict import MmapedDict
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
    current = CollectorRegistry()
    current.register(_Gauges(gauges))
    if SHARED not in os.environ:
        return generate_latest(REGISTRY) + generate_latest(current)
    counted = CollectorRegistry()
    MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
    with _locked(fcntl.LOCK_SH):
        return generate_latest(counted) + generate_latest(current)


def fold_ended() -> None:
    """Add the counts of ended processes to one file of each kind, and delete their files.

    Each process has a file, and a process that ends is replaced by another one. Only its gauges
    could be forgotten (`mark_process_dead`): the sum of a counter must not fall. When others read
    or fold the files, or the folder can't be read, nothing is done; the next process does it.
    """
    if SHARED not in os.environ:
        return
    files: Any = MmapedDict
    with suppress(OSError), _locked(fcntl.LOCK_EX | fcntl.LOCK_NB) as folder:
        for path in folder.glob("*_*.db"):
            kind, _, pid = path.stem.rpartition("_")
            if pid.isdigit() and not _is_running(int(pid)):
                try:
                    counts = list(files.read_all_values_from_file(str(path)))
                except (struct.error, ValueError, RuntimeError):
                    counts = []  # it was killed when it began the file
                total = files(str(folder / f"{kind}_ended.db"))
                for key, value, stamp, _ in counts:
                    total.write_value(key, total.read_value(key)[0] + value, stamp)
                total.close()
                path.unlink()


@contextmanager
def _locked(how: int) -> Iterator[Path]:
    """Lock the shared folder and yield it. Raises BlockingIOError if `how` says not to wait."""
    folder = Path(os.environ[SHARED])
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(file, how)
        yield folder
    finally:
        os.close(file)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


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
