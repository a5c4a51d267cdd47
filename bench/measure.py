"""What a measurement is, how two are taken side by side, and the machine that they were taken on."""

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
    """The median of several runs, and how far they lie apart."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, runs: Sequence[float]) -> "Sample":
        return cls(statistics.median(runs), min(runs), max(runs))


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `ours` and `limit` have the same unit; `goal` is told, never asserted."""

    name: str
    unit: str
    ours: Sample
    limit: Sample | None = None
    goal: str = ""
    holds: bool | None = None  # None: no goal
    limit_name: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours as a multiple of the limit; None without one."""
        return self.ours.median / self.limit.median if self.limit and self.limit.median else None


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured. The default takes minutes; tests take less."""

    runs: int = 3
    requests: int = 300  # of each connection
    releases: int = 20
    seconds: float = 5.0  # of each measurement of editors
    writes: int = 20  # that are waited for until words find them


def seconds(work: Callable[[], object]) -> float:
    """How long a call took."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def percentile(values: Sequence[float], part: float) -> float:
    """The smallest value that at least `part` (0 to 1) of them do not exceed."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]


def side_by_side(runs: int, *works: Callable[[], Result]) -> list[list[Result]]:
    """The results of each work, taken in turns, so that what else the machine does falls on all of
    them.
    """
    taken: list[list[Result]] = [[] for _ in works]
    for _ in range(runs):
        for results, work in zip(taken, works, strict=True):
            results.append(work())
    return taken


def in_child(work: Callable[..., Result], *arguments: Any) -> Result:
    """The result of a call in a new process, which shares neither the interpreter's lock nor its
    memory with us.
    """
    with children(1) as start:
        result: Result = start(work, *arguments).result()
    return result


@contextmanager
def children(count: int) -> Iterator[Callable[..., Future[Any]]]:
    """Gives what starts a call in one of `count` new processes. At the end it waits for all."""
    with ProcessPoolExecutor(count, multiprocessing.get_context("spawn")) as pool:
        yield pool.submit


def peak_memory() -> int:
    """The most memory that this process has held, in bytes (Linux: VmHWM, which a new program
    begins anew, unlike getrusage).
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("this system does not tell a process its peak memory")


def machine(folder: Path) -> str:
    """This machine in words; `folder`: where the databases lie."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in _lines("/proc/cpuinfo")
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = round(psutil.virtual_memory().total / 2**30)
    return f"{psutil.cpu_count()} cores ({model}), {memory} GB of memory, {_disk(folder)}, Python {platform.python_version()}"


def code() -> str:
    """The commit that is measured, with `-dirty` where files differ from it; `unknown` outside of a
    git checkout.
    """
    try:
        told = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        return "unknown"
    return told.stdout.strip() or "unknown"


def _disk(folder: Path) -> str:
    """Kind of file system, and whether its device turns."""
    inside = [
        part
        for part in psutil.disk_partitions(all=True)
        if folder.resolve().is_relative_to(part.mountpoint)
    ]
    if not inside:
        return "unknown disk"
    found = max(inside, key=lambda part: len(part.mountpoint))
    device = Path(found.device).name
    turns = [
        text
        for place in Path("/sys/block").glob("*")
        if device.startswith(place.name)
        for text in _lines(place / "queue/rotational")
    ]
    kind = {"1": "a rotating or virtual disk", "0": "a solid-state disk"}.get(
        turns[0] if turns else "", "a disk"
    )
    return f"{found.fstype} on {kind}"


def _lines(file: Path | str) -> list[str]:
    return Path(file).read_text().splitlines() if Path(file).exists() else []
