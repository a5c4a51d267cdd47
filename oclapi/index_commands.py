"""The commands that look after the search index: `python -m oclapi reindex`, `index-status`,
`index-check`.
"""

import itertools
import os
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
from oclapi.store.change_log import RepoHead
from oclapi.store.database import Database
from oclapi.store.store import Store
from search.check import Difference, State, compare, forget_unknown, repair, states
from search.rebuild import rebuild_all, rebuild_one
from search.solr import SolrIndex

SHOWN = 20
"""Differences that are printed for one repository."""
LATE = 60.0
"""Seconds that the index may be behind before `index-status` calls it wrong."""
HEADINGS = ("rows", "indexed", "revision", "behind", "drift", "set aside")


@click.command("reindex")
@click.argument("source_url", required=False)
def reindex(source_url: str | None) -> None:
    """Make the search index again from the database: all of it, or that of SOURCE_URL
    (/orgs/CIEL/sources/CIEL/).

    Searches go on and never see a gap. Interrupted, the old index goes on serving, and the next run
    begins anew.
    """
    with _opened() as (store, index):
        heads = store.change_log.heads() if source_url is None else [_head(store, source_url)]
        total = sum(store.change_log.count(head.repo, head.rev) for head in heads)
        with progress("reindex", total) as told:
            if source_url is None:
                rebuild_all(store, index, told)
            else:
                rebuild_one(store, index, heads[0].repo, told)
        click.echo(
            f"reindexed {_many(len(heads), 'repository', 'repositories')}, {_many(total, 'row', 'rows')}"
        )


@click.command("index-status")
def index_status() -> None:
    """Tell for each repository how far the search index is.

    Columns: rows of the database, ended ones too; rows of the index; the revision that the index
    has reached; how many revisions it is behind; drift, which is rows of the index too many (or too
    few) for that revision; rows that the engine refused. Exit code 1: there is drift, or the index
    lacks a revision that is older than a minute.
    """
    with _opened() as (store, index):
        found = list(states(store, index))
        for line in _table([("repository", *HEADINGS), *(_line(state) for state in found)]):
            click.echo(line)
        now = datetime.now(UTC)
        late = [
            state
            for state in found
            if state.behind
            and state.lacks_since
            and (now - state.lacks_since).total_seconds() > LATE
        ]
        drifted = [state for state in found if state.drift]
        total = sum(state.behind for state in found)
        behind = f"{_many(total, 'revision', 'revisions')} behind, {len(drifted)} with drift"
        click.echo(f"{_many(len(found), 'repository', 'repositories')}, {behind}")
    if late or drifted:
        sys.exit(1)


@click.command("index-check")
@click.option(
    "--repair",
    "mend",
    is_flag=True,
    help="write what is missing or wrong again, delete what should not be there",
)
@click.option(
    "--sample",
    type=click.IntRange(1),
    help="compare that many rows of each repository, chosen at random; finds no strays",
)
def index_check(mend: bool, sample: int | None) -> None:
    """Compare every row of the database with the search index, both ways, and say what differs.

    Exit code 1: something differs and was not mended.
    """
    with _opened() as (store, index):
        heads = store.change_log.heads()
        sizes = [store.change_log.count(head.repo, head.rev) for head in heads]
        left = Counter[str]()
        with progress("check", sum(sizes)) as told:
            for head, done in zip(heads, itertools.accumulate(sizes), strict=True):
                left += _check(store, index, head, mend, sample or 0)
                told(done)
        for state in states(store, index):
            if state.url == "":
                click.echo(
                    f"stray: {_many(state.indexed, 'row', 'rows')} of repository {state.repo}, which is gone"
                )
                if mend:
                    forget_unknown(store, index, state.repo)
                else:
                    left["stray"] += state.indexed
    click.echo(
        f"{left['missing']} missing, {left['wrong']} wrong, {left['stray']} stray{' are left' if mend else ''}"
    )
    if left.total():
        sys.exit(1)


def _check(store: Store, index: SolrIndex, head: RepoHead, mend: bool, sample: int) -> Counter[str]:
    """Compare one repository; how many differences are left, by what they are."""
    if index.marker(head.repo) is None:
        click.echo(f"{head.url}: not indexed yet")
        return Counter(missing=store.change_log.count(head.repo, head.rev))
    found = list(compare(store, index, head, sample))
    for difference in found[:SHOWN]:
        click.echo(_told(difference))
    if len(found) > SHOWN:
        click.echo(f"... and {len(found) - SHOWN} more in {head.url}")
    if mend and found:
        repair(store, index, head, found)
        found = list(compare(store, index, head, sample))
    return Counter(difference.what for difference in found)


def _told(difference: Difference) -> str:
    def state(of: tuple[int, bool] | None) -> str:
        return "nothing" if of is None else f"to_rev {of[0]}{', retired' if of[1] else ''}"

    key = difference.key
    sides = f"the database has {state(difference.stored)}, the index {state(difference.indexed)}"
    return f"{difference.what}: {key.url} of revision {key.from_rev}: {sides}"


def _line(state: State) -> tuple[str, ...]:
    rev = "none" if state.rev < 0 else f"{state.rev:,}"
    drift = f"{state.drift:+,}" if state.drift else "0"
    name = state.url or f"(repository {state.repo}, gone)"
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
    """Columns as wide as needed, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for first, *others in lines:
        yield f"{first:{widths[0]}}  " + "  ".join(
            f"{text:>{width}}" for text, width in zip(others, widths[1:], strict=True)
        )


def _head(store: Store, given: str) -> RepoHead:
    found = urls.repo(given)
    repo = store.repos.by_url(found) if found else None
    head = store.change_log.head(repo["_id"]) if repo else None
    if head is None:
        raise click.ClickException(f"there is no source {given}")
    return head


def _many(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


@contextmanager
def _opened() -> Iterator[tuple[Store, SolrIndex]]:
    """The store and the index that the environment names. Failures and signals end the command with
    one line, and give its lease back.
    """
    configure("ERROR")

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        settings = Settings.from_environ(os.environ)
        if not settings.solr_url:
            raise click.ClickException(
                "SOLR_URL is not set: listings are answered from the database, there is no index to look after"
            )
        store = Store(Database(settings.mongo_url), settings.secret_key)
        yield store, SolrIndex(settings.solr_url, settings.solr_core, store.index_notes.identity)
    except BadSetting as error:
        raise click.ClickException(str(error)) from error
    except OclError as error:
        raise click.ClickException(error.detail) from error
    except KeyboardInterrupt:
        click.echo("stopped; the index in use goes on serving", err=True)
        sys.exit(130)
    finally:
        signal.signal(signal.SIGTERM, before)
