"""Exports of versions, and the signed links to them (contract section 14)."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from flask import Response, after_this_request, request

from oclapi import access, jsonio, model, times
from oclapi.errors import (
    ExportFailed,
    Invalid,
    LinkRefused,
    MethodNotAllowed,
    NotFound,
    OclError,
    StoreUnavailable,
)
from oclapi.exports.archive import LAYOUT, Format, layout
from oclapi.exports.links import ExportLinks
from oclapi.exports.state import ExportState
from oclapi.model import Repository, Version
from oclapi.reading.views import View
from oclapi.resources import described, params, resolve, shapes
from oclapi.resources.download import respond, select
from oclapi.resources.endpoint import Endpoint
from oclapi.resources.responses import absolute, nothing

log = logging.getLogger(__name__)

FORMATS: dict[str, Format] = {"zip": "zip", "tgz": "tgz"}
MEDIA_TYPES: dict[Format, str] = {"zip": "application/zip", "tgz": "application/gzip"}
GZIP_NAMES = ("application/gzip", "application/x-gzip")
ENTRIES_PER_SECOND = 20_000
"""A low estimate of the speed of an export, for Retry-After."""


UNSAFE = re.compile(r"[^A-Za-z0-9._@-]")
"""Characters of ids that file systems or headers dislike."""
LONGEST_PART = 80
"""Characters of an id in a file name. File systems have names of at most 255 bytes."""


@dataclass(frozen=True, slots=True)
class FileName:
    """The name of an archive, without its extension."""

    safe: str
    true: str

    @classmethod
    def of(cls, repo: Repository, version: Version, file: model.ExportFile) -> "FileName":
        ids, time = (repo.id, version.id), f"{file.content_at:%Y%m%d%H%M%S}"
        safe = (UNSAFE.sub("_", part)[:LONGEST_PART] for part in ids)
        return cls(f"{'_'.join(safe)}.{time}", f"{'_'.join(ids)}.{time}")

    def disposition(self, form: Format) -> str:
        """Return the header Content-Disposition. It has the true name too if that differs."""
        header = f'attachment; filename="{self.safe}.{form}"'
        if self.safe == self.true:
            return header
        return f"{header}; filename*=UTF-8''{quote(f'{self.true}.{form}', safe='')}"


class ArchiveEndpoint(Endpoint):
    """A resource that sends archives."""

    @property
    def links(self) -> ExportLinks:
        return ExportLinks(self.settings.secret_key, self.settings.export_link_life)

    def serve(
        self, file: model.ExportFile, form: Format, name: "FileName", url: str
    ) -> Response | None:
        """Return the archive or the requested range of it, or None if it is not in the cache.

        Raises StoreUnavailable if the cache can't be read.
        """
        content = layout(file.archive, form)
        etag = f'"{file.archive.sha256[:32]}-{form}{LAYOUT}"'
        selected = select(request.method, dict(request.headers), content.size, etag, file.made_at)
        try:
            without_body = request.method == "HEAD" or selected.status == 304
            stream = None if without_body else self.services.cache.open(file.name)
            found = self.services.cache.holds(file.name) if without_body else stream is not None
        except OSError as error:
            # The archive may still exist, so it is not built again.
            log.error(
                "the export cache can't be read", extra={"archive": file.name, "reason": str(error)}
            )
            raise StoreUnavailable("the archives can't be read at the moment") from error
        if not found:
            return None
        response = respond(
            request.method,
            selected,
            content,
            stream,
            etag,
            file.made_at,
            MEDIA_TYPES[form],
            name.disposition(form),
        )
        updated = times.format(file.content_at)
        response.headers.update({"exportURL": url, "lastUpdated": updated, "Last-Updated": updated})
        return response


class VersionExport(ArchiveEndpoint):
    """The export of a version. GET starts the export if it is missing, HEAD does not."""

    about = described.EndpointDoc(
        tag="Exports",
        noun="export",
        query=("format",),
        headers=described.EXPORT_HEADERS,
        responses={
            "get": {**described.ARCHIVE_RESPONSES, 208: shapes.ExportState},
            "head": {200: None, 304: None, 208: None, 204: None},
            "post": described.EXPORT_STARTED,
            "delete": {204: None},
        },
        errors={"get": (405, 416), "head": (405,), "post": (405,), "delete": (405,)},
        summaries={
            "head": "Check whether there is an export, without starting one",
            "post": "Build the export, again if there is one",
        },
    )

    def get(self, **path: str) -> Response:
        with reported_state() as report:
            now = datetime.now(UTC)
            view, version, state = self._resolve(path, report, now)
            form = requested_format()
            if state.file:
                response = self._archive(view.repo, version, state.file, form, now)
                if response:
                    return response
            pause = timedelta(seconds=self.settings.export_failure_pause)
            if state.status == "failed" and state.failed_at and now - state.failed_at < pause:
                raise _failed(state)
            return _pending(208, report(self.exports.request(version, now)[1]))

    def head(self, **path: str) -> Response:
        with reported_state() as report:
            now = datetime.now(UTC)
            view, version, state = self._resolve(path, report, now)
            form = requested_format()
            if state.file:
                response = self._archive(view.repo, version, state.file, form, now)
                if response:
                    return response
                state = report(self.exports.of(version, now))
            return _pending(208, state) if state.status == "processing" else nothing()

    def post(self, **path: str) -> Response:
        with reported_state() as report:
            now = datetime.now(UTC)
            view, version, before = self._resolve(path, report, now, "start export")
            if before.status == "ready":
                access.need(self.caller, "own", view.repo)
                started, state = self.exports.recreate(version, now)
            else:
                started, state = self.exports.request(version, now)
            return _pending(202 if started else 208, report(state))

    def delete(self, **path: str) -> Response:
        with reported_state() as report:
            now = datetime.now(UTC)
            _, version, _ = self._resolve(path, report, now, "own")
            deleted = self.exports.delete(version, now)
            report(self.exports.of(version, now))
            if not deleted:
                raise NotFound("this version has no export")
            return nothing()

    def _resolve(
        self,
        path: resolve.Path,
        report: "StateReport",
        now: datetime,
        action: access.Action = "read",
    ) -> tuple[View, Version, ExportState]:
        """Return the version that the path names, and the state of its export.

        The state is reported in the response, even if the caller may read the version but may not
        perform the action. Raises what resolve.view and access.need raise, and MethodNotAllowed
        for HEAD.
        """
        view, export = resolve.exported(self.store, path, self.caller)
        if view.version is None:
            access.need(self.caller, action, view.repo)
            raise MethodNotAllowed(
                "HEAD has no export because it changes with every commit; export a version instead",
                ["OPTIONS"],
            )
        state = report(self.exports.of(view.version, now, export))
        access.need(self.caller, action, view.repo)
        return view, view.version, state

    def _archive(
        self,
        repo: Repository,
        version: Version,
        file: model.ExportFile,
        form: Format,
        now: datetime,
    ) -> Response | None:
        name = FileName.of(repo, version, file)
        private = repo.public_access == "None"
        link = self.links.sign(version.key, file.token, f"{name.safe}.tgz", now, private=private)
        response = self.serve(file, form, name, absolute(f"/exports/{link}", self.settings))
        if response is None:
            self.exports.lost(version, file)
        return response


class ExportFile(ArchiveEndpoint):
    """The tarball of an export, at its signed link. The signature replaces the token."""

    about = described.EndpointDoc(
        tag="Exports",
        headers=described.EXPORT_HEADERS,
        responses={"get": described.ARCHIVE_RESPONSES},
        errors={"get": (416,)},
    )

    def get(self, version_id: str, token: str, expires: str, signature: str, key: str) -> Response:
        with reported_state() as report:
            now = datetime.now(UTC)
            private = self.links.check(version_id, token, expires, signature, key, now)
            version = self.store.versions.by_key(version_id)
            repo = self.store.repos.by_number(version.repo) if version else None
            if version is None or repo is None or repo.hidden:
                raise NotFound("the archive was deleted with its version")
            if repo.public_access == "None" and not private:
                raise LinkRefused("the repository is private; request the export again")
            report(self.exports.of(version, now))
            file = self.exports.file(version, token)
            name = FileName.of(repo, version, file)
            response = self.serve(file, "tgz", name, absolute(request.path, self.settings))
            if response is None:
                self.exports.lost(version, file)
                raise NotFound("the archive no longer exists; request the export again")
            return response


def requested_format() -> Format:
    """Return the archive format that the request selects by `format` or else by Accept.

    Accept selects the tarball only if it names it and prefers it to the ZIP. Raises Invalid.
    """
    given = params.text("format")
    if given is not None:
        if given not in FORMATS:
            raise Invalid.field("format", "must be zip or tgz")
        return FORMATS[given]
    qualities = {"zip": 0.0, "tgz": 0.0}
    for value, quality in request.accept_mimetypes:
        media_type = value.partition(";")[0].strip().lower()
        if media_type in GZIP_NAMES:
            qualities["tgz"] = max(qualities["tgz"], float(quality))
        elif media_type == "application/zip":
            qualities["zip"] = max(qualities["zip"], float(quality))
    return "tgz" if qualities["tgz"] > qualities["zip"] else "zip"


class StateReport:
    """Adds the state of the export that was reported last to the headers of the response."""

    def __init__(self) -> None:
        self.state: ExportState | None = None

    def __call__(self, state: ExportState) -> ExportState:
        self.state = state
        return state

    def add_headers(self, response: Response) -> Response:
        response.headers["Cache-Control"] = "private, no-cache"
        response.vary.add("Accept")
        if self.state:
            response.headers["exportStatus"] = self.state.status
            if self.state.error and self.state.status in ("failed", "ready"):
                response.headers["exportError"] = _one_line(self.state.error)
        return response


@contextmanager
def reported_state() -> Iterator[StateReport]:
    """Report the state of the export in the response to this request, even if it is an error."""
    report = StateReport()
    after_this_request(report.add_headers)
    try:
        yield report
    except OclError as error:
        if report.state:
            error.extra.setdefault("exportStatus", report.state.status)
        raise


def _pending(status: int, state: ExportState) -> Response:
    """Return the response while there is no archive. Raises ExportFailed if the job failed."""
    if state.status == "failed":
        raise _failed(state)
    detail = "The export is ready." if state.status == "ready" else "The export is being prepared."
    body = {
        "detail": detail,
        "exportStatus": state.status,
        "processed": state.processed,
        "total": state.total,
    }
    remaining = (state.total or 0) - (state.processed or 0)
    wait = max(1, min(60, remaining // ENTRIES_PER_SECOND))
    return Response(
        jsonio.dumps(body), status, {"Retry-After": str(wait)}, mimetype="application/json"
    )


def _failed(state: ExportState) -> ExportFailed:
    return ExportFailed(f"The export failed: {state.error}")


def _one_line(text: str) -> str:
    """Return the text as one line of Latin-1, as headers require."""
    return " ".join(text.split()).encode("latin-1", "replace").decode("latin-1")
