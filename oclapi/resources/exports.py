"""Exports of versions, and the signed links to them (contract section 14)."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from flask import Response, after_this_request, request

from oclapi import access, jsonio, times
from oclapi.errors import (
    ExportFailed,
    Invalid,
    MethodNotOffered,
    NotFound,
    OclError,
    StoreUnavailable,
)
from oclapi.exports.archive import LAYOUT, Format, layout
from oclapi.exports.links import ExportLinks
from oclapi.exports.state import ExportState, File
from oclapi.model import Json
from oclapi.resources import params, resolve
from oclapi.resources.download import respond, select
from oclapi.resources.endpoint import Endpoint
from oclapi.resources.responses import absolute, nothing

log = logging.getLogger(__name__)

FORMATS: dict[str, Format] = {"zip": "zip", "tgz": "tgz"}
MEDIA_TYPES: dict[Format, str] = {"zip": "application/zip", "tgz": "application/gzip"}
GZIP_NAMES = ("application/gzip", "application/x-gzip")
ENTRIES_PER_SECOND = 20_000  # a modest guess, for Retry-After only


class ArchiveEndpoint(Endpoint):
    """What serves archives."""

    @property
    def links(self) -> ExportLinks:
        return ExportLinks(self.settings.secret_key, self.settings.export_link_life)

    def serve(self, file: File, form: Format, name: str, url: str) -> Response | None:
        """The archive, or the part of it that the request asks for; None when the cache lost it.
        `name`: without its ending.

        Raises StoreUnavailable where the cache can't tell.
        """
        content = layout(file.archive, form)
        etag = f'"{file.archive.sha256[:32]}-{form}{LAYOUT}"'
        selected = select(request.method, dict(request.headers), content.size, etag, file.made_at)
        try:
            there = (
                self.services.cache.holds(file.name)
                if request.method == "HEAD" or selected.status == 304
                else None
            )
            stream = self.services.cache.open(file.name) if there is None else None
        except OSError as error:  # it may well be there: nothing is made again for that
            log.error(
                "the export cache can't be read", extra={"archive": file.name, "reason": str(error)}
            )
            raise StoreUnavailable("the archives can't be read at the moment") from error
        if not (there or stream):
            return None
        answer = respond(
            request.method,
            selected,
            content,
            stream,
            etag,
            file.made_at,
            MEDIA_TYPES[form],
            f"{name}.{form}",
        )
        updated = times.show(file.content_at)
        answer.headers.update({"exportURL": url, "lastUpdated": updated, "Last-Updated": updated})
        return answer


class VersionExport(ArchiveEndpoint):
    """The export of one version. GET has it made where it is missing, HEAD only looks."""

    def get(self, **path: str) -> Response:
        with telling() as told:
            now = datetime.now(UTC)
            place, version, state = self._place(path, told, now)
            form = wanted_format()
            if state.file and (answer := self._archive(place.repo, version, state.file, form, now)):
                return answer
            pause = timedelta(seconds=self.settings.export_failure_pause)
            if state.status == "failed" and state.failed_at and now - state.failed_at < pause:
                raise _failed(state)
            return _on_its_way(208, told(self.exports.ask(version, now)[1]))

    def head(self, **path: str) -> Response:
        with telling() as told:
            now = datetime.now(UTC)
            place, version, state = self._place(path, told, now)
            form = wanted_format()
            if state.file:
                if answer := self._archive(place.repo, version, state.file, form, now):
                    return answer
                state = told(self.exports.of(version, now))
            return _on_its_way(208, state) if state.status == "processing" else nothing()

    def post(self, **path: str) -> Response:
        with telling() as told:
            now = datetime.now(UTC)
            place, version, before = self._place(path, told, now, "start export")
            if before.status == "ready":
                access.need(self.caller, "own", place.repo)
                started, state = self.exports.recreate(version, now)
            else:
                started, state = self.exports.ask(version, now)
            return _on_its_way(202 if started else 208, told(state))

    def delete(self, **path: str) -> Response:
        with telling() as told:
            now = datetime.now(UTC)
            _, version, _ = self._place(path, told, now, "own")
            deleted = self.exports.delete(version, now)
            told(self.exports.of(version, now))
            if not deleted:
                raise NotFound("this version has no export")
            return nothing()

    def _place(
        self, path: resolve.Path, told: "Telling", now: datetime, action: access.Action = "read"
    ) -> tuple[resolve.Place, Json, ExportState]:
        """The version that the path names, its document, and how its export stands, which `told`
        puts on the answer.

        Who may read the version is told that also where they lack the right to act.
        Raises as resolve.place, access.need; MethodNotOffered for HEAD.
        """
        place, document = resolve.exported(self.store, path, self.caller)
        if place.version is None:
            access.need(self.caller, action, place.repo)
            raise MethodNotOffered(
                "HEAD has no export, since it changes with every commit: export a version",
                ["OPTIONS"],
            )
        state = told(self.exports.of(place.version, now, document))
        access.need(self.caller, action, place.repo)
        return place, place.version, state

    def _archive(
        self, repo: Json, version: Json, file: File, form: Format, now: datetime
    ) -> Response | None:
        name = f"{repo['id']}_{version['id']}.{file.content_at:%Y%m%d%H%M%S}"
        link = self.links.sign(str(version["_id"]), file.token, f"{name}.tgz", now)
        answer = self.serve(file, form, name, absolute(f"/exports/{link}", self.settings))
        if answer is None:
            self.exports.lost(version, file)
        return answer


class ExportFile(ArchiveEndpoint):
    """The cached tarball behind a signed link; the signature is the credential."""

    def get(self, version_id: str, token: str, expires: str, signature: str, key: str) -> Response:
        with telling() as told:
            now = datetime.now(UTC)
            self.links.check(version_id, token, expires, signature, key, now)
            version = self.store.versions.by_key(version_id)
            repo = self.store.repos.by_number(version["repo"]) if version else None
            if version is None or repo is None or repo.get("hidden"):
                raise NotFound("this archive is gone with its version")
            told(self.exports.of(version, now))
            file = self.exports.file(version, token)
            answer = self.serve(
                file, "tgz", key.removesuffix(".tgz"), absolute(request.path, self.settings)
            )
            if answer is None:
                self.exports.lost(version, file)
                raise NotFound("this archive is gone; ask for the export again")
            return answer


def wanted_format() -> Format:
    """What the request asks for by `format`, else by Accept: the tarball only where it is named and
    the ZIP is not liked as much.

    Raises Invalid.
    """
    given = params.text("format")
    if given is not None:
        if given not in FORMATS:
            raise Invalid.field("format", "must be zip or tgz")
        return FORMATS[given]
    liked = {"zip": 0.0, "tgz": 0.0}
    for value, quality in request.accept_mimetypes:
        media_type = value.partition(";")[0].strip().lower()
        form = (
            "tgz"
            if media_type in GZIP_NAMES
            else "zip"
            if media_type == "application/zip"
            else None
        )
        if form:
            liked[form] = max(liked[form], float(quality))
    return "tgz" if liked["tgz"] > liked["zip"] else "zip"


class Telling:
    """Puts the state last told on the answer, whatever it will be."""

    def __init__(self) -> None:
        self.state: ExportState | None = None

    def __call__(self, state: ExportState) -> ExportState:
        self.state = state
        return state

    def show(self, response: Response) -> Response:
        response.headers["Cache-Control"] = "private, no-cache"
        response.vary.add("Accept")
        if self.state:
            response.headers["exportStatus"] = self.state.status
            if self.state.error and self.state.status in ("failed", "ready"):
                response.headers["exportError"] = _one_line(self.state.error)
        return response


@contextmanager
def telling() -> Iterator[Telling]:
    """Have this request's answer tell the export's state, a refusal too."""
    told = Telling()
    after_this_request(told.show)
    try:
        yield told
    except OclError as error:
        if told.state:
            error.extra.setdefault("exportStatus", told.state.status)
        raise


def _on_its_way(status: int, state: ExportState) -> Response:
    """The answer while there is no archive. Raises ExportFailed when there will be none."""
    if state.status == "failed":
        raise _failed(state)
    detail = "The export is ready." if state.status == "ready" else "The export is being prepared."
    body = {
        "detail": detail,
        "exportStatus": state.status,
        "processed": state.processed,
        "total": state.total,
    }
    left = (state.total or 0) - (state.processed or 0)
    wait = max(1, min(60, left // ENTRIES_PER_SECOND))
    return Response(
        jsonio.dumps(body), status, {"Retry-After": str(wait)}, mimetype="application/json"
    )


def _failed(state: ExportState) -> ExportFailed:
    return ExportFailed(f"The export failed: {state.error}")


def _one_line(text: str) -> str:
    """As a header may hold it."""
    return " ".join(text.split()).encode("latin-1", "replace").decode("latin-1")
