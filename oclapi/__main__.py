"""The command line: `python -m oclapi import FILE` and others."""

import hashlib
import itertools
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO

import click

from config.logging import configure
from config.settings import BadSetting, Settings
from oclapi import index_commands, jsonio, urls, user_commands
from oclapi.access import Caller
from oclapi.errors import OclError
from oclapi.imports.lines import Options, split
from oclapi.imports.outcomes import REFUSALS, Report
from oclapi.imports.run import run, task_key
from oclapi.local.progress import progress
from oclapi.model import Json
from oclapi.store.database import Database
from oclapi.store.store import Store

SHOWN = 20
"""Refused lines that are printed."""
PATIENCE = 120
"""Seconds that one commit of an import waits for other writers, or for a database that is starting
again.
"""
CHUNK = 2**20


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """A terminology server in the dialect of Open Concept Lab."""


@cli.command("import")
@click.argument("file")
@click.option(
    "--type", "kind", metavar="TYPE", help="type of the lines that have none, e.g. Concept"
)
@click.option(
    "--source",
    metavar="URL",
    help="source of the lines that name none, e.g. /orgs/CIEL/sources/CIEL/",
)
@click.option("--no-update", is_flag=True, help="leave items that are there already as they are")
@click.option(
    "--report",
    "report_file",
    metavar="FILE",
    help="write what became of each line to FILE, as JSON lines",
)
def import_(
    file: str, kind: str | None, source: str | None, no_update: bool, report_file: str | None
) -> None:
    """Load FILE (JSON lines, - for standard input) into the database that MONGO_URL names, as its
    first superuser.

    Each line has exactly one outcome. An import that was stopped goes on where it was when the same
    command is given again. Exit code: 0 when every line was handled, refused ones too; 1 when the
    import could not go on.
    """
    configure("WARNING")
    try:
        settings = Settings.from_environ(os.environ)
        options = Options(not no_update, kind, _source_url(source), settings.password_length)
        with _opened(file) as (stream, digest, total):
            _import(settings, stream, digest, total, options, report_file)
    except (BadSetting, OSError) as error:
        raise click.ClickException(str(error)) from error
    except OclError as error:
        raise click.ClickException(
            f"{error.detail}; give the same command again to go on from there"
        ) from error
    except KeyboardInterrupt:
        click.echo("stopped; give the same command again to go on from there", err=True)
        sys.exit(130)


def _import(
    settings: Settings,
    stream: IO[bytes],
    digest: str,
    total: int,
    options: Options,
    report_file: str | None,
) -> None:
    store = Store(
        Database(settings.mongo_url, patience=PATIENCE), settings.secret_key, settings.max_shown
    )
    store.database.prepare()
    store.owners.ensure_first(settings.root_user)
    caller = Caller(settings.root_user, is_staff=True, is_superuser=True)
    task = task_key(digest, options, caller)
    # first: an import that is done can't be told of again
    with open(report_file, "wb") if report_file else nullcontext() as out:
        with progress("import", total) as told:
            report = run(
                store,
                caller,
                split(stream),
                options,
                task,
                lambda so_far, results: told(results[-1].line),
            )
        _tell(store, report, out)


def _tell(store: Store, report: Report, out: IO[bytes] | None) -> None:
    if report.continued:
        click.echo(f"went on after line {report.continued}, which an earlier run had reached")
    if report.refused:
        refused = (
            result for result in store.tasks.results(report.task) if result["outcome"] in REFUSALS
        )
        for result in itertools.islice(refused, SHOWN):
            click.echo(f"line {result['line']}: {result['outcome']}: {_reasons(result)}")
        if report.refused > SHOWN:
            click.echo(
                f"... and {report.refused - SHOWN} more lines were refused; --report FILE writes them all"
            )
    if out:
        for result in store.tasks.results(report.task):
            out.write(jsonio.dumps(result) + b"\n")
    click.echo(f"{report.message} ({report.seconds:.1f} s)")


def _reasons(result: Json) -> str:
    told = [(field, text) for field, texts in (result["errors"] or {}).items() for text in texts]
    return "; ".join(
        text if field == "__all__" or text.startswith(field) else f"{field}: {text}"
        for field, text in told
    )


def _source_url(given: str | None) -> str | None:
    """The source's URL as the store keeps it."""
    if given is None:
        return None
    found = urls.repo(given)
    if found is None or "/sources/" not in found:
        raise click.ClickException(
            f"--source: {given} is not the URL of a source, such as /orgs/CIEL/sources/CIEL/"
        )
    return found


@contextmanager
def _opened(file: str) -> Iterator[tuple[IO[bytes], str, int]]:
    """The input from its start, its SHA-256, and how many lines it has. Standard input is spooled
    to a temporary file first:

    the same content must be known again when it comes a second time.
    """
    if file != "-":
        with open(Path(file), "rb") as stream:
            digest, lines = _measure(stream, None)
            stream.seek(0)
            yield stream, digest, lines
        return
    with tempfile.TemporaryFile() as spool:
        digest, lines = _measure(sys.stdin.buffer, spool)
        spool.seek(0)
        yield spool, digest, lines


def _measure(stream: IO[bytes], copy: IO[bytes] | None) -> tuple[str, int]:
    digest, lines, last = hashlib.sha256(), 0, b"\n"
    while chunk := stream.read(CHUNK):
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
    cli(prog_name="oclapi")
