"""The commands for the search index: `oclapi reindex`, `index-status` and `index-check`."""

import itertools
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType

import click

from config.logging import configure
from config.settings import BadSetting, Settings
from oclapi import urls
from oclapi.errors import OclError
from oclapi.local.progress import progress
from oclapi.migration import prepare
from oclapi.store.change_log import RepoHead
from oclapi.store.store import Store, open_store
from search.check import Difference, State, compare, forget_unknown, repair, states
from search.rebuild import rebuild_all, rebuild_one
from search.solr import SolrIndex

MAX_SHOWN = 20
"""Most differences that are printed for one repository."""
MAX_DELAY = 60.0
"""Seconds that the index may be behind before `index-status` fails."""
HEADINGS = ("rows", "indexed", "revision", "behind", "drift", "refused")


@click.command("reindex")
@click.argument("source_url", required=False)
def reindex(source_url: str | None) -> None:
    """Rebuild the search index from the database: all of it, or the part of one source.

    SOURCE_URL is the URL of a source, such as /orgs/CIEL/sources/CIEL/. Searches continue and miss
    nothing while the index is rebuilt. If the command is interrupted, the old index stays in use
    and the next run starts from the beginning.
    """
    with _open_index() as (store, index):
        heads = store.change_log.heads() if source_url is None else [_head(store, source_url)]
        total = sum(store.change_log.count(head.repo, head.rev) for head in heads)
        with progress("reindex", total) as advance:
            if source_url is None:
                rebuild_all(store, index, advance)
            else:
                rebuild_one(store, index, heads[0].repo, advance)
        click.echo(f"reindexed {_repositories(len(heads))}, {_rows(total)}")


@click.command("index-status")
def index_status() -> None:
    """Show how far the search index has come, for each repository.

    Columns: rows in the database, including ended rows; rows in the index; the revision that the
    index has reached; how many revisions it is behind; drift, which is the number of rows that the
    index has too many (+) or too few (-) at that revision; rows that Solr refused. Exit code 1:
    there is drift, or the index lacks a revision that is older than a minute.
    """
    with _open_index() as (store, index):
        found = list(states(store, index))
        for line in _table([("repository", *HEADINGS), *(_line(state) for state in found)]):
            click.echo(line)
        now = datetime.now(UTC)
        late = [
            state
            for state in found
            if state.behind
            and state.lacks_since
            and (now - state.lacks_since).total_seconds() > MAX_DELAY
        ]
        drifted = [state for state in found if state.drift]
        total = sum(state.behind for state in found)
        behind = f"{_count(total, 'revision', 'revisions')} behind, {len(drifted)} with drift"
        click.echo(f"{_repositories(len(found))}, {behind}")
    if late or drifted:
        sys.exit(1)


@click.command("index-check")
@click.option(
    "--repair",
    "fix",
    is_flag=True,
    help="write missing and wrong rows again, and delete stray rows",
)
@click.option(
    "--sample",
    type=click.IntRange(1),
    help="compare only this many random rows of each repository; finds no stray rows",
)
def index_check(fix: bool, sample: int | None) -> None:
    """Compare every row of the database with the search index and print the differences.

    A row can be missing from the index, wrong in the index, or stray, which means that only the
    index has it. Exit code 1: there are differences that were not repaired.
    """
    with _open_index() as (store, index):
        heads = store.change_log.heads()
        sizes = [store.change_log.count(head.repo, head.rev) for head in heads]
        left = Counter[str]()
        with progress("check", sum(sizes)) as advance:
            for head, done in zip(heads, itertools.accumulate(sizes), strict=True):
                left += _check(store, index, head, fix, sample or 0)
                advance(done)
        for state in states(store, index):
            if state.url == "":
                click.echo(f"stray: {_rows(state.indexed)} of the deleted repository {state.repo}")
                if fix:
                    forget_unknown(store, index, state.repo)
                else:
                    left["stray"] += state.indexed
    counts = f"{left['missing']} missing, {left['wrong']} wrong, {left['stray']} stray"
    click.echo(f"{counts}{' after the repair' if fix else ''}")
    if left.total():
        sys.exit(1)


def _check(store: Store, index: SolrIndex, head: RepoHead, fix: bool, sample: int) -> Counter[str]:
    """Compare one repository; return the number of differences that remain, by their kind."""
    if index.marker(head.repo) is None:
        click.echo(f"{head.url}: not indexed yet")
        return Counter(missing=store.change_log.count(head.repo, head.rev))
    found = list(compare(store, index, head, sample))
    for difference in found[:MAX_SHOWN]:
        click.echo(_difference_text(difference))
    if len(found) > MAX_SHOWN:
        click.echo(f"... and {len(found) - MAX_SHOWN} more in {head.url}")
    if fix and found:
        repair(store, index, head, found)
        found = list(compare(store, index, head, sample))
    return Counter(difference.what for difference in found)


def _difference_text(difference: Difference) -> str:
    def text(state: tuple[int, bool] | None) -> str:
        if state is None:
            return "nothing"
        to_rev, retired = state
        return f"to_rev {to_rev}{', retired' if retired else ''}"

    key = difference.key
    sides = f"the database has {text(difference.stored)}, the index {text(difference.indexed)}"
    return f"{difference.what}: {key.url} of revision {key.from_rev}: {sides}"


def _line(state: State) -> tuple[str, ...]:
    rev = "none" if state.rev < 0 else f"{state.rev:,}"
    drift = f"{state.drift:+,}" if state.drift else "0"
    name = state.url or f"(repository {state.repo}, deleted)"
    return (
        name,
        f"{state.rows:,}",
        f"{state.indexed:,}",
        rev,
        f"{state.behind:,}",
        drift,
        f"{state.refused:,}",
    )


def _table(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """Align the columns: the first one to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for first, *others in lines:
        yield f"{first:{widths[0]}}  " + "  ".join(
            f"{text:>{width}}" for text, width in zip(others, widths[1:], strict=True)
        )


def _head(store: Store, source_url: str) -> RepoHead:
    url = urls.repo(source_url)
    repo = store.repos.by_url(url) if url else None
    head = store.change_log.head(repo.number) if repo else None
    if head is None:
        raise click.ClickException(f"source not found: {source_url}")
    return head


def _count(number: int, singular: str, plural: str) -> str:
    return f"{number:,} {singular if number == 1 else plural}"


def _repositories(number: int) -> str:
    return _count(number, "repository", "repositories")


def _rows(number: int) -> str:
    return _count(number, "row", "rows")


@contextmanager
def _open_index() -> Iterator[tuple[Store, SolrIndex]]:
    """Open the store and the index that the environment names.

    Failures and signals end the command with one line and release its lease.
    """
    configure("ERROR")

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        settings = Settings.load()
        if not settings.solr_url:
            raise click.ClickException(
                "SOLR_URL is not set: this server searches in the database and has no search index"
            )
        store = open_store(settings)
        prepare(store, settings.migrate_at_start)
        yield store, SolrIndex(settings.solr_url, settings.solr_core, store.index_notes.identity)
    except BadSetting as error:
        raise click.ClickException(str(error)) from error
    except OclError as error:
        raise click.ClickException(error.detail) from error
    except KeyboardInterrupt:
        click.echo("stopped; the old index stays in use", err=True)
        sys.exit(130)
    finally:
        signal.signal(signal.SIGTERM, before)
