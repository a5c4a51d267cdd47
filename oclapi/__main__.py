"""The command line: `python -m oclapi`, or `oclapi` where the package is installed."""

import hashlib
import os
import re
import secrets
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO

import click

from config.logging import configure
from config.settings import BadSetting, Settings
from oclapi import __version__, index_commands, jsonio, urls, user_commands
from oclapi.access import Caller
from oclapi.errors import OclError, WrongFormat
from oclapi.imports import lookup_lists
from oclapi.imports.line_types import Options
from oclapi.imports.lines import lines_of
from oclapi.imports.outcomes import REFUSALS, Report
from oclapi.imports.run import Lines, run, task_key
from oclapi.local.progress import progress
from oclapi.migration import migrate, prepare
from oclapi.model import Json
from oclapi.store.formats import FORMAT
from oclapi.store.store import Store, open_store

MAX_SHOWN = 20
"""Most reasons of refusals that are shown."""
ITEM = re.compile(r"/(?:orgs|users)/\S+")
"""The URL of an item in an error message."""
COMMIT_PATIENCE = 120
"""Seconds that one commit of an import waits for other writers or for a restarting database."""
CHUNK_BYTES = 2**20
RETRY_HINT = "run the same command again to continue from there"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="oclapi", message="%(prog)s %(version)s")
def cli() -> None:
    """A terminology server with the API of Open Concept Lab (OCL)."""


def main() -> None:
    """Run the command line. The console script `oclapi` calls this function."""
    os.umask(0o077)  # reports and mail are for their owner only
    cli(prog_name="oclapi")


@cli.command("import")
@click.argument("file")
@click.option(
    "--type", "kind", metavar="TYPE", help="type of lines without a type, for example Concept"
)
@click.option(
    "--source",
    metavar="URL",
    help="source of lines without a source, for example /orgs/CIEL/sources/CIEL/",
)
@click.option("--no-update", is_flag=True, help="do not change items that exist already")
@click.option(
    "--report",
    "report_file",
    metavar="FILE",
    help="write the outcome of each line to FILE, as JSON lines",
)
def import_(
    file: str, kind: str | None, source: str | None, no_update: bool, report_file: str | None
) -> None:
    """Import FILE (JSON lines; - for standard input) into the database at MONGO_URL.

    The import runs as the first superuser. Each line has exactly one outcome. To continue an import
    that was stopped, run the same command again. Exit code: 0 when no line was refused, else 1, as
    when the import could not continue.
    """
    configure("WARNING")
    try:
        settings = Settings.load()
        options = Options(
            not no_update,
            kind,
            _source_url(source and urls.without_address(source, settings.base_url)),
            settings.password_length,
            settings.base_url,
        )
        with _input(file) as (path, digest, total):
            report = _import(settings, lambda: lines_of(path), digest, total, options, report_file)
    except (BadSetting, WrongFormat, OSError) as error:
        raise click.ClickException(str(error)) from error
    except OclError as error:
        raise click.ClickException(f"{error.detail}; {RETRY_HINT}") from error
    except KeyboardInterrupt:
        click.echo(f"stopped; {RETRY_HINT}", err=True)
        sys.exit(130)
    if report.refused:
        sys.exit(1)


@cli.command()
def lists() -> None:
    """Load the lookup lists of the schema OpenMRS into the database at MONGO_URL.

    They become sources of the organisation OCL: Classes, Datatypes, NameTypes, DescriptionTypes,
    MapTypes and Locales. What is there already stays as it is, so that the command can be run
    again, and local entries and changes are kept.
    """
    configure("WARNING")
    lines = list(lookup_lists.lines())
    try:
        settings = Settings.load()
        options = Options(update_if_exists=False, address=settings.base_url)
        # Each run is an import of its own: an entry may have been deleted since the last one.
        report = _import(settings, lambda: lines, secrets.token_hex(), len(lines), options, None)
    except BadSetting as error:
        raise click.ClickException(str(error)) from error
    except OclError as error:
        raise click.ClickException(error.detail) from error
    if report.refused:
        sys.exit(1)


@cli.command("migrate")
def migrate_() -> None:
    """Bring the database at MONGO_URL to the format of this program.

    Stop all web servers and workers first, and make a backup. The content stays as it is. To
    continue a migration that was stopped, run the same command again.
    """
    configure("WARNING")
    try:
        store = open_store(Settings.load())
        number = store.formats.number()
        if number < FORMAT:
            with progress("migrate", store.formats.rows(), store.formats.migrated()) as advance:
                migrate(store, advance)
            text = f"migrated the database from the format {number} to {FORMAT}"
        else:
            prepare(store, 0)
            text = f"nothing to migrate: the database has the format {FORMAT}"
    except BadSetting as error:
        raise click.ClickException(str(error)) from error
    except OclError as error:
        raise click.ClickException(error.detail) from error
    except KeyboardInterrupt:
        click.echo(f"stopped; {RETRY_HINT}", err=True)
        sys.exit(130)
    click.echo(text)


def _import(
    settings: Settings,
    lines: Lines,
    digest: str,
    total: int,
    options: Options,
    report_file: str | None,
) -> Report:
    store = open_store(settings, COMMIT_PATIENCE)
    prepare(store, settings.migrate_at_start)
    store.owners.ensure_first(settings.root_user)
    caller = Caller(settings.root_user, is_staff=True, is_superuser=True)
    task = task_key(digest, options, caller)
    # Open the report first: a finished import can't be run again to report its outcomes.
    with open(report_file, "wb") if report_file else nullcontext() as out:
        with progress("import", total) as advance:
            report = run(
                store,
                caller,
                lines,
                options,
                task,
                lambda so_far, results: advance(so_far.lines),
            )
        _print_report(store, report, out)
    return report


def _print_report(store: Store, report: Report, out: IO[bytes] | None) -> None:
    if report.continued:
        click.echo(f"continued after line {report.continued}, where an earlier run stopped")
    if report.refused:
        reasons = refusals(store.tasks.results(report.task))
        for reason, number, line in reasons[:MAX_SHOWN]:
            where = f"line {line}" if number == 1 else f"{number} lines, first line {line}"
            click.echo(f"{where}: {reason}")
        if len(reasons) > MAX_SHOWN:
            more = sum(number for _, number, _ in reasons[MAX_SHOWN:])
            click.echo(f"... and {more} more lines were refused; --report FILE writes them all")
    for kind, keys in report.ignored.items():
        click.echo(f"{kind}: nothing reads the keys {', '.join(keys)}")
    if out:
        for result in store.tasks.results(report.task):
            out.write(jsonio.dumps(result) + b"\n")
    click.echo(f"{report.message} ({report.seconds:.1f} s)")


def refusals(results: Iterable[Json]) -> list[tuple[str, int, int]]:
    """Return the reasons of refusals with their number and the first line, the commonest first.

    The URLs of items are left out of reasons that several lines have.
    """
    lines: dict[str, list[int]] = {}
    texts: dict[str, str] = {}
    for result in results:
        if result["outcome"] in REFUSALS:
            text = f"{result['outcome']}: {_reasons(result)}"
            kind = ITEM.sub("...", text)
            lines.setdefault(kind, []).append(result["line"])
            texts.setdefault(kind, text)
    common = sorted(lines, key=lambda kind: (-len(lines[kind]), lines[kind][0]))
    return [
        (kind if len(lines[kind]) > 1 else texts[kind], len(lines[kind]), lines[kind][0])
        for kind in common
    ]


def _reasons(result: Json) -> str:
    errors = [(field, text) for field, texts in (result["errors"] or {}).items() for text in texts]
    return "; ".join(
        text if field == "__all__" or text.startswith(field) else f"{field}: {text}"
        for field, text in errors
    )


def _source_url(given: str | None) -> str | None:
    """Return the source's URL in the form that the store uses."""
    if given is None:
        return None
    found = urls.repo(given)
    if found is None or "/sources/" not in found:
        raise click.ClickException(
            f"--source: {given} is not the URL of a source, such as /orgs/CIEL/sources/CIEL/"
        )
    return found


@contextmanager
def _input(file: str) -> Iterator[tuple[Path, str, int]]:
    """Return the file of the input with its SHA-256 and its number of lines.

    Standard input is copied to a temporary file. Its digest, which identifies an import that is
    continued, is needed before the first line is read, and lines that wait are read again.
    """
    if file != "-":
        with open(file, "rb") as stream:
            digest, lines = _measure(stream, None)
        yield Path(file), digest, lines
        return
    with tempfile.NamedTemporaryFile() as spool:
        digest, lines = _measure(sys.stdin.buffer, spool)
        spool.flush()
        yield Path(spool.name), digest, lines


def _measure(stream: IO[bytes], copy: IO[bytes] | None) -> tuple[str, int]:
    digest, lines, last = hashlib.sha256(), 0, b"\n"
    while chunk := stream.read(CHUNK_BYTES):
        digest.update(chunk)
        lines += chunk.count(b"\n")
        last = chunk[-1:]
        if copy is not None:
            copy.write(chunk)
    return digest.hexdigest(), lines + (last != b"\n")


for command in (
    index_commands.reindex,
    index_commands.index_status,
    index_commands.index_check,
    user_commands.user,
):
    cli.add_command(command)

if __name__ == "__main__":
    main()
