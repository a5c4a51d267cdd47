"""Concepts and mappings inside the detail of their repository (contract 5.1, 5.2)."""

from collections.abc import Mapping
from dataclasses import dataclass

from flask import Response

from config.settings import Settings
from oclapi import jsonio
from oclapi.model import Json, Kind, Selection
from oclapi.reading import changes, document, entries, views
from oclapi.reading.views import View
from oclapi.resources import paging, params
from oclapi.resources.paging import Cursor, Cursors, Paging
from oclapi.resources.responses import last_updated, ok_bytes
from oclapi.store.database import Session
from oclapi.store.store import Store
from oclapi.times import Moment
from search.base import Position


@dataclass(frozen=True, slots=True)
class Included:
    """The content that a request includes in the detail of a repository."""

    name: str  # by which a cursor recognizes the repository's version
    kinds: tuple[Kind, ...]
    pages: Paging
    cursor: str | None
    retired: bool | None
    updated_since: Moment | None
    removed: bool  # also the URLs of removed entries
    filters: str  # what selects the entries, by which a cursor recognizes it


def included(settings: Settings, version: str = "HEAD") -> Included | None:
    """Return what the request includes, None for nothing. Raises Invalid.

    `version` is as the path names it.
    """
    flags: dict[Kind, str] = {"concept": "includeConcepts", "mapping": "includeMappings"}
    kinds = tuple(kind for kind, name in flags.items() if params.flag(name))
    if not kinds:
        return None
    retired = None if params.flag("includeRetired") else False
    return Included(
        f"content:{version}",
        kinds,
        paging.paging(settings),
        params.cursor(),
        retired,
        params.moment("updatedSince"),
        bool(params.flag("includeRemoved")),
        f"{params.text('updatedSince')} {retired} {' '.join(kinds)}",
    )


def respond(
    store: Store,
    session: Session,
    settings: Settings,
    view: View,
    detail: Json,
    wanted: Included | None,
) -> Response:
    """Return the detail of a repository or version, with the content that the request includes."""
    if wanted is None:
        return ok_bytes(jsonio.dumps(detail), last_updated(view.named.content_at))
    pages = wanted.pages
    cursor = Cursors(settings).read(wanted.cursor, wanted.name, view.repo.number)
    view, selections = _selected(store, session, settings, view, wanted, cursor)
    if wanted.removed and pages.offset == 0:
        detail = {**detail, **_removed(store, session, view, selections)}
    totals = {
        kind: entries.count(store, session, view, selection)
        for kind, selection in selections.items()
    }
    headers = {
        **{f"num_found_{kind}s": str(total) for kind, total in totals.items()},
        **last_updated(views.content_at(store, session, view)),
    }
    if pages.everything:
        lists = document.batches(store, view, selections)
        paged = paging.all_headers(sum(totals.values()))
        return ok_bytes(document.document(detail, lists), {**paged, **headers})
    page = document.page(
        store,
        session,
        view,
        selections,
        limit=pages.limit,
        skip=pages.skip,
        after=cursor.position(wanted.filters, pages.offset) if cursor else None,
    )
    last: dict[str, Position] = {kind: rows[-1].key for kind, rows in page.items() if rows}
    paged = paging.headers(
        settings,
        pages,
        total=sum(totals.values()),
        returned=sum(map(len, page.values())),
        cursor=Cursor(
            wanted.name,
            view.repo.number,
            view.revision.number,
            {kind: selection.since for kind, selection in selections.items()},
            wanted.filters,
            pages.offset + pages.limit,
            last,
        ),
        longest=max(totals.values()),
    )
    body = document.document(
        detail, {kind: [[row.body for row in rows]] for kind, rows in page.items()}
    )
    return ok_bytes(b"".join(body), {**paged, **headers})


def _selected(
    store: Store,
    session: Session,
    settings: Settings,
    view: View,
    wanted: Included,
    cursor: Cursor | None,
) -> tuple[View, document.Selections]:
    """Return the view and its entries that the request and its cursor select."""
    if cursor:
        view = view.at(cursor.rev)
    if cursor and cursor.filters == wanted.filters:
        since: Mapping[str, int] = cursor.since
    else:
        first = changes.first_revision_since(
            store,
            session,
            view.repo.number,
            wanted.updated_since,
            margin=settings.whole_second_margin,
            reach=settings.whole_second_reach,
        )
        since = dict.fromkeys(wanted.kinds, first)
    return view, {kind: Selection(kind, since[kind], wanted.retired) for kind in wanted.kinds}


def _removed(
    store: Store, session: Session, view: View, selections: document.Selections
) -> dict[str, list[str]]:
    """Return the entries of both kinds that were removed since `updatedSince`; {} without it."""
    since = max(selection.since for selection in selections.values())
    if since == 0:
        return {}
    return {
        f"removed_{kind}s": urls
        for kind, urls in changes.removed(store, session, view, since).items()
    }
