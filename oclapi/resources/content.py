"""Concepts and mappings inside the detail of their repository (contract 5.1, 5.2)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from flask import Response

from oclapi import jsonio, representations
from oclapi.model import LIVE, Counts, Json, Kind, Revision, Row
from oclapi.resources import paging, params, resolve
from oclapi.resources.endpoint import Endpoint
from oclapi.resources.listings import FAR
from oclapi.resources.paging import Cursor, Cursors
from oclapi.resources.resolve import Place
from oclapi.resources.responses import last_updated, ok_bytes
from oclapi.store.commits import counts_of
from oclapi.store.database import Session
from oclapi.store.rows import Rows, Slice
from oclapi.store.store import Store
from search.base import Position


@dataclass(frozen=True, slots=True)
class View:
    """The content of a repository that a request selects. It is the same on each page."""

    revision: Revision
    slices: Mapping[Kind, Slice]
    filters: str  # the query parameters that selected the slices


@dataclass(frozen=True, slots=True)
class Part:
    """One page of a view."""

    rows: Mapping[Kind, Sequence[Row]]
    totals: Mapping[Kind, int]
    cursor: Cursor | None


def respond(endpoint: Endpoint, path: resolve.Path, detail: Callable[[Place], Json]) -> Response:
    """Return the detail of a repository or version, with the content that the request includes."""
    kinds = included()
    with endpoint.store.snapshot() as session:
        place = resolve.place(endpoint.store, path, endpoint.caller, session)
        shown = detail(place)
        if not kinds:
            return ok_bytes(jsonio.dumps(shown), last_updated(place.record["content_at"]))
        listing = f"content:{path.get('version', 'HEAD')}"
        return _with_content(endpoint, session, place, kinds, listing, shown)


def included() -> list[Kind]:
    """Return the kinds of entries that the request includes in the detail of a repository."""
    kinds: list[Kind] = []
    if params.flag("includeConcepts"):
        kinds.append("concept")
    if params.flag("includeMappings"):
        kinds.append("mapping")
    return kinds


def _with_content(
    endpoint: Endpoint,
    session: Session,
    place: Place,
    kinds: Sequence[Kind],
    listing: str,
    shown: Json,
) -> Response:
    store, settings = endpoint.store, endpoint.settings
    pages = paging.paging(settings)
    given = Cursors(settings).given(listing, place.repo["_id"])
    view = content_view(endpoint, session, place, kinds, given)
    removed = (
        removals(store, session, view)
        if params.flag("includeRemoved") and pages.offset == 0
        else {}
    )
    head = {**_head(shown), **removed}
    updated = last_updated(content_at(store, session, view.revision, place))
    if pages.everything:
        totals = count(store, session, view, place)
        headers = paging.headers(settings, pages, sum(totals.values()), sum(totals.values()))
        return ok_bytes(
            _stream(store.rows, view, head), {**headers, **_count_headers(totals, kinds), **updated}
        )
    part = page(store, session, place, view, pages, given, listing)
    document = _document(
        head, {kind: iter([[row.body for row in rows]]) for kind, rows in part.rows.items()}
    )
    returned = sum(len(rows) for rows in part.rows.values())
    headers = paging.headers(
        settings,
        pages,
        total=sum(part.totals.values()),
        returned=returned,
        cursor=part.cursor,
        longest=max(part.totals.values()),
    )
    return ok_bytes(
        b"".join(document), {**headers, **_count_headers(part.totals, kinds), **updated}
    )


def content_view(
    endpoint: Endpoint, session: Session, place: Place, kinds: Sequence[Kind], given: Cursor | None
) -> View:
    """Return the view that `updatedSince` and `includeRetired` select, in commit order."""
    retired = None if params.flag("includeRetired") else False
    filters = f"{params.text('updatedSince')} {retired} {' '.join(kinds)}"
    revision = Revision(place.revision.repo, given.rev) if given else place.revision
    if given and given.filters == filters:
        since = given.since
    else:
        since = dict.fromkeys(kinds, first_since(endpoint, session, revision.repo))
    return View(revision, {kind: Slice(kind, since[kind], retired) for kind in kinds}, filters)


def first_since(endpoint: Endpoint, session: Session, repo: int) -> int:
    """Return the first revision that `updatedSince` includes, 0 without that parameter."""
    since = params.moment("updatedSince")
    if since is None:
        return 0
    settings = endpoint.settings
    return endpoint.store.rows.first_since(
        session,
        repo,
        since.at,
        whole_seconds=since.whole_seconds,
        margin=settings.whole_second_margin,
        reach=settings.whole_second_reach,
    )


def page(
    store: Store,
    session: Session,
    place: Place,
    view: View,
    pages: paging.Paging,
    given: Cursor | None,
    listing: str,
) -> Part:
    """Return one page of each list of the view.

    The page starts where the cursor points if the request continues from there. Otherwise the
    entries before it are skipped, which costs a walk over their index keys.
    """
    seek = None
    if given and given.filters == view.filters and given.offset == pages.offset:
        seek = given.after
    totals = count(store, session, view, place)
    rows: dict[Kind, Sequence[Row]] = {}
    after: dict[str, Position] = {}
    for kind, wanted in view.slices.items():
        last = seek.get(kind) if seek else None
        found: list[Row] = []
        if pages.offset < totals[kind]:
            found = store.rows.page(
                session,
                view.revision,
                wanted,
                limit=pages.limit,
                skip=min(pages.offset, FAR),
                after=last and (int(last[0]), last[1]),
            )
        rows[kind] = found
        if found:
            after[kind] = found[-1].key
    since: dict[str, int] = {kind: wanted.since for kind, wanted in view.slices.items()}
    following = pages.offset + pages.limit
    cursor = Cursor(
        listing, view.revision.repo, view.revision.number, since, view.filters, following, after
    )
    return Part(rows, totals, cursor)


def count(store: Store, session: Session, view: View, place: Place) -> dict[Kind, int]:
    """Return the number of entries in each list of the view.

    The counts of whole revisions are stored. Counting a slice costs a walk over its index keys.
    """
    if view.revision == place.revision:
        counts = counts_of(place.record)
    else:
        counts = store.rows.counts(session, view.revision)
    totals: dict[Kind, int] = {}
    for kind, wanted in view.slices.items():
        if wanted.since == LIVE:
            totals[kind] = 0
        elif wanted.since:
            totals[kind] = store.rows.count(session, view.revision, wanted)
        else:
            totals[kind] = _stored_count(counts, wanted)
    return totals


def _stored_count(counts: Counts, wanted: Slice) -> int:
    everything, active = counts.of(wanted.kind), counts.of(wanted.kind, active=True)
    if wanted.retired is None:
        return everything
    return everything - active if wanted.retired else active


def removals(store: Store, session: Session, view: View) -> Json:
    """Return the URLs of the entries of both kinds that were removed since `updatedSince`.

    The result is empty without `updatedSince`.
    """
    since = max(wanted.since for wanted in view.slices.values())
    if since == 0:
        return {}
    return {
        f"removed_{kind}s": store.rows.removed(session, view.revision, kind, since)
        if since < LIVE
        else []
        for kind in representations.SUMMARY
    }


def content_at(store: Store, session: Session, revision: Revision, place: Place) -> datetime:
    """Return the time of the newest commit up to the revision, or of the repository's creation."""
    if revision == place.revision:
        stored: datetime = place.record["content_at"]
        return stored
    return store.rows.content_at(session, revision) or place.repo["created_on"]


def _stream(rows: Rows, view: View, head: Json) -> Iterator[bytes]:
    lists = {kind: rows.body_batches(view.revision, wanted) for kind, wanted in view.slices.items()}
    return _document(head, lists)


def _document(head: Json, lists: Mapping[Kind, Iterator[Sequence[bytes]]]) -> Iterator[bytes]:
    """Yield the JSON object of `head` with the lists as its last keys."""
    yield jsonio.dumps(head)[:-1]
    for kind, batches in lists.items():
        yield b',"%ss":' % kind.encode()
        yield from array(batches)
    yield b"}"


def array(batches: Iterator[Sequence[bytes]]) -> Iterator[bytes]:
    """Yield a JSON array of entries that are already encoded."""
    separator = b"["
    for batch in batches:
        if batch:
            yield separator + b",".join(batch)
            separator = b","
    yield b"]" if separator == b"," else b"[]"


def _head(shown: Json) -> Json:
    return {name: value for name, value in shown.items() if name not in ("concepts", "mappings")}


def _count_headers(totals: Mapping[Kind, int], kinds: Sequence[Kind]) -> dict[str, str]:
    return {f"num_found_{kind}s": str(totals[kind]) for kind in kinds}
