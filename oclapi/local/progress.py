"""Progress of long work: a bar on a terminal, else a plain line every few seconds."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

Update = Callable[[int], None]
"""Called with the number of steps that are done."""

PAUSE = 5.0  # seconds between plain lines


@contextmanager
def progress(title: str, total: int, start: int = 0) -> Iterator[Update]:
    """Show the progress of work with `total` steps, of which `start` were done before."""
    if sys.stdout.isatty():
        with _bar(title, total, start) as update:
            yield update
    else:
        yield _lines(title, total, start)


@contextmanager
def _bar(title: str, total: int, start: int) -> Iterator[Update]:
    begun = time.monotonic()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console()) as bars:
        task = bars.add_task(title, total=total, completed=start, pace="")
        yield lambda done: bars.update(task, completed=done, pace=_pace(done - start, begun))


def _lines(title: str, total: int, start: int) -> Update:
    begun = last = time.monotonic()

    def update(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= PAUSE or done >= total:
            last = now
            print(f"{title}: {done:,} of {total:,}, {_pace(done - start, begun)}", flush=True)

    return update


def _pace(done: int, begun: float) -> str:
    return f"{done / max(time.monotonic() - begun, 0.001):,.0f}/s"
