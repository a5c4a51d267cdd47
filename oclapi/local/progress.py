"""How far a long work is, told on the terminal: a bar where there is one, a plain line now and then
where there is none.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

EndpointDoc = Callable[[int], None]
"""Called with how much is done in all."""

PAUSE = 5.0  # seconds between two plain lines


@contextmanager
def progress(title: str, total: int, start: int = 0) -> Iterator[EndpointDoc]:
    """Show how far a work of `total` steps is, `start` of which were done before."""
    if sys.stdout.isatty():
        with _bar(title, total, start) as told:
            yield told
    else:
        yield _lines(title, total, start)


@contextmanager
def _bar(title: str, total: int, start: int) -> Iterator[EndpointDoc]:
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


def _lines(title: str, total: int, start: int) -> EndpointDoc:
    begun = last = time.monotonic()

    def told(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= PAUSE or done >= total:
            last = now
            print(f"{title}: {done:,} of {total:,}, {_pace(done - start, begun)}", flush=True)

    return told


def _pace(done: int, begun: float) -> str:
    return f"{done / max(time.monotonic() - begun, 0.001):,.0f}/s"
