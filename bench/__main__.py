"""`make bench`: measure on generated data, print a table, and write bench/results/SIZE.json."""

import argparse
import json
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import editing, exporting, loading, reading, releasing, searching
from bench.measure import Effort, Figure, Sample, code, machine
from bench.stage import Say, Stage, say, stage
from oclapi.local.servers import LocalError

SIZE = 50_000
WIDTH = 160  # columns, where there is no terminal
RESULTS = Path(__file__).parent / "results"
COLUMNS = ("figure", "ours ÷ limit", "ours", "limit", "goal", "holds")


def main(arguments: Sequence[str]) -> int:
    """Return the exit code: 0 when everything was measured, 1 when something failed.

    A missed goal does not change the exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--size", type=_size, default=SIZE, help=f"concepts, each with 2.5 mappings ({SIZE})"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON file")
    parser.add_argument("--markdown", action="store_true", help="print the table in Markdown")
    given = parser.parse_args(arguments)
    try:
        result = measure(given.size, Effort(), say)
    except LocalError as error:
        print(f"make bench: {error}", file=sys.stderr)
        return 1
    file = write(result, given.results)
    if given.markdown:
        print(markdown(result))
    else:
        Console(width=None if sys.stdout.isatty() else WIDTH).print(table(result))
    say(f"written to {file}")
    if result["died"]:
        print(f"make bench: not everything was measured: {result['died']}", file=sys.stderr)
    return 1 if result["died"] else 0


def measure(
    size: int, effort: Effort, say: Say, take: Callable[[Stage], Iterator[Figure]] | None = None
) -> dict[str, Any]:
    """Measure all figures and return the result that is written as JSON.

    `died` in the result is the error of the part that failed, or None. The figures that were
    measured before it are kept. Raises LocalError when the servers don't start.
    """
    begun, died = datetime.now(UTC), None
    figures: list[Figure] = []
    with stage(size, effort, say) as on:
        hardware, commit = machine(on.folder), code()
        try:
            for figure in (take or everything)(on):
                figures.append(figure)
        except Exception as error:  # noqa: BLE001 - keep the figures so far
            traceback.print_exc()
            died = f"{type(error).__name__}: {error}"
    return {
        "size": size,
        "rows": round(size * 3.5),
        "begun": begun.isoformat(timespec="seconds"),
        "minutes": round((datetime.now(UTC) - begun).total_seconds() / 60, 1),
        "machine": hardware,
        "code": commit,
        "runs": effort.runs,
        "died": died,
        "figures": [{**asdict(figure), "ratio": figure.ratio} for figure in figures],
    }


def everything(on: Stage) -> Iterator[Figure]:
    """Yield all figures, in an order in which each finds the data that it needs."""
    yield loading.bulk_load(on)
    loading.other_sources(on)
    on.say("creating versions")
    yield from releasing.releases(on)
    on.say("exporting")
    yield from exporting.exports(on)
    on.say("reading")
    yield from reading.reads(on)
    yield reading.difference(on)
    yield reading.whole_source(on)
    yield from searching.searches(on)
    on.say("editing")
    yield from editing.edits(on)


def write(result: dict[str, Any], folder: Path) -> Path:
    """Write the result. An incomplete one never replaces a complete one."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{result['size']}{'-part' if result['died'] else ''}.json"
    file.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return file


def table(result: dict[str, Any]) -> Table:
    shown = Table(
        *COLUMNS,
        title=_title(result),
        caption=f"median (lowest to highest) of {result['runs']} runs",
    )
    for cells in _cells(result):
        shown.add_row(*cells)
    return shown


def markdown(result: dict[str, Any]) -> str:
    """Return the table as Markdown. docs/benchmarks.md leaves out the last two columns."""
    rows = [COLUMNS, ["---"] * len(COLUMNS), *_cells(result)]
    return "\n".join([_title(result) + ":", "", *(f"| {' | '.join(cells)} |" for cells in rows)])


def _title(result: dict[str, Any]) -> str:
    what = f"{result['size']:,} concepts, {result['rows']:,} rows, code {result['code']}"
    return f"{what}, on {result['machine']}, in {result['minutes']} minutes"


def _cells(result: dict[str, Any]) -> list[list[str]]:
    return [
        [
            f"{figure['name']} ({figure['unit']})",
            f"{figure['ratio']:.2f}" if figure["ratio"] else "",
            _sample(figure["ours"]),
            f"{_sample(figure['limit'])} {figure['limit_name']}" if figure["limit"] else "",
            figure["goal"],
            {True: "yes", False: "no", None: ""}[figure["holds"]],
        ]
        for figure in result["figures"]
    ]


def _sample(values: dict[str, float]) -> str:
    sample = Sample(**values)
    return f"{_number(sample.median)} ({_number(sample.low)} to {_number(sample.high)})"


def _number(value: float) -> str:
    """Format a number with three significant digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _size(text: str) -> int:
    size = int(text)
    if size < 100:
        raise argparse.ArgumentTypeError("at least 100 concepts")
    return size


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
