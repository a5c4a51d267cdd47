"""Measurements, comparisons of two of them, and a description of the machine."""

import math
import multiprocessing
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Sample:
    """The median and the range of several runs."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, runs: Sequence[float]) -> "Sample":
        return cls(statistics.median(runs), min(runs), max(runs))


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `ours` and `limit` have the same unit."""

    name: str
    unit: str
    ours: Sample
    limit: Sample | None = None
    goal: str = ""  # reported, never asserted
    holds: bool | None = None  # None: no goal
    limit_name: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours divided by the limit, or None without a limit."""
        return self.ours.median / self.limit.median if self.limit and self.limit.median else None


@dataclass(frozen=True, slots=True)
class Effort:
    """How much to measure. The default takes minutes. Tests use less."""

    runs: int = 3
    requests: int = 300  # per connection
    releases: int = 20
    seconds: float = 5.0  # per measurement of editors
    writes: int = 20  # until `q` finds them


def seconds(work: Callable[[], object]) -> float:
    """Return the duration of a call."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def percentile(values: Sequence[float], part: float) -> float:
    """Return the smallest value that at least `part` (0 to 1) of the values do not exceed."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]


def side_by_side(runs: int, *works: Callable[[], Result]) -> list[list[Result]]:
    """Run the functions alternately and return the results of each.

    Other load of the machine then affects all of them.
    """
    taken: list[list[Result]] = [[] for _ in works]
    for _ in range(runs):
        for results, work in zip(taken, works, strict=True):
            results.append(work())
    return taken


def in_child(work: Callable[..., Result], *arguments: Any) -> Result:
    """Run a call in a new process, with its own interpreter lock and memory."""
    with children(1) as start:
        result: Result = start(work, *arguments).result()
    return result


@contextmanager
def children(count: int) -> Iterator[Callable[..., Future[Any]]]:
    """Yield a function that starts a call in one of `count` new processes.

    All calls are finished at the end.
    """
    with ProcessPoolExecutor(count, multiprocessing.get_context("spawn")) as pool:
        yield pool.submit


def peak_memory() -> int:
    """Return the peak memory of this process in bytes.

    VmHWM of Linux starts at zero for a new program, unlike getrusage.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("this system does not report the peak memory of a process")


def machine(folder: Path) -> str:
    """Describe this machine. `folder` is the folder of the databases."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in _lines("/proc/cpuinfo")
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = round(psutil.virtual_memory().total / 2**30)
    return (
        f"{psutil.cpu_count()} cores ({model}), {memory} GB of memory, {_disk(folder)}, "
        f"Python {platform.python_version()}"
    )


def code() -> str:
    """Return the measured commit, with `-dirty` when files differ from it.

    Returns `unknown` outside of a git checkout.
    """
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        return "unknown"
    return described.stdout.strip() or "unknown"


def _disk(folder: Path) -> str:
    """Describe the file system, and whether its device rotates."""
    inside = [
        part
        for part in psutil.disk_partitions(all=True)
        if folder.resolve().is_relative_to(part.mountpoint)
    ]
    if not inside:
        return "unknown disk"
    found = max(inside, key=lambda part: len(part.mountpoint))
    device = Path(found.device).name
    rotational = [
        text
        for block in Path("/sys/block").glob("*")
        if device.startswith(block.name)
        for text in _lines(block / "queue/rotational")
    ]
    kind = {"1": "a rotating or virtual disk", "0": "a solid-state disk"}.get(
        rotational[0] if rotational else "", "a disk"
    )
    return f"{found.fstype} on {kind}"


def _lines(file: Path | str) -> list[str]:
    return Path(file).read_text().splitlines() if Path(file).exists() else []
