"""Exports over HTTP: states, headers, formats, conditional requests, links (contract 14, 15)."""

import gzip
import hashlib
import hmac
import io
import json
import tarfile
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from jobs import tick
from jobs.export import build_export
from oclapi.model import ExportKey
from oclapi.resources import exports
from oclapi.store.rows import Rows
from tests.builders import KEY, good

pytestmark = pytest.mark.servers

READER = "89abcdef" * 5
NAMES = ("ready", "processing", "missing", "failed")


class Export:
    """The export of version v1 of a source with two concepts and a mapping.

    Its methods bring the export into each state.
    """

    def __init__(self, api, app, services, source):
        self.api, self.app, self.services, self.source = api, app, services, source
        source.concepts("A", "B")
        source.mapping("m1", "A", "B")
        self.version = source.release("v1").get_json()
        self.url = f"{source.url}v1/export/"

    @property
    def stored(self):
        return self.services.store.exports.read(ExportKey(self.key))

    @property
    def key(self):
        repo = self.services.store.repos.by_url(self.source.url)
        return self.services.store.versions.by_id(repo.number, "v1").key

    def run(self):
        """Run the queued job."""
        token = self.stored.job.token
        with self.app.app_context():
            build_export(self.key, token)

    def fail(self, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr(Rows, "body_batches", lambda *rest: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                self.run()

    def bring(self, status, monkeypatch):
        if status == "ready":
            self.run()
        elif status == "missing":
            good(self.api.delete(self.url))
        elif status == "failed":
            self.fail(monkeypatch)
        assert self.status == status
        return self

    @property
    def status(self):
        return self.api.head(self.url).headers["exportStatus"]

    def age(self, seconds):
        """Move a failure into the past."""
        exports = self.services.store.database.exports
        (found,) = exports.find({"error": {"$exists": True}})
        exports.update_one(
            {"_id": found["_id"]},
            {"$set": {"error.at": found["error"]["at"] - timedelta(seconds=seconds)}},
        )

    @property
    def jobs(self):
        """The number of queued jobs."""
        return self.services.store.exports.queued()[0]


@pytest.fixture
def export(api, app, services, source, queue):
    services.store.database.exports.delete_many({})
    queue.wakes.clear()
    return Export(api, app, services, source)


@pytest.fixture
def ready(export, monkeypatch):
    return export.bring("ready", monkeypatch)


@pytest.fixture
def reader(api, services):
    """A user without any permissions."""
    services.store.database.users.update_one(
        {"_id": "reader"},
        {
            "$set": {
                "active": True,
                "is_staff": False,
                "is_superuser": False,
                "tokens": [
                    {"hash": hmac.new(KEY.encode(), READER.encode(), hashlib.sha256).hexdigest()}
                ],
            }
        },
        upsert=True,
    )
    return api.by(READER)


# The table of the contract: status, exportStatus and the number of queued jobs afterwards


@pytest.mark.parametrize(
    ("method", "before", "status", "after", "waiting"),
    [
        ("GET", "ready", 200, "ready", 0),
        ("GET", "processing", 208, "processing", 1),
        ("GET", "missing", 208, "processing", 1),
        ("GET", "failed", 500, "failed", 0),
        ("HEAD", "ready", 200, "ready", 0),
        ("HEAD", "processing", 208, "processing", 1),
        ("HEAD", "missing", 204, "missing", 0),
        ("HEAD", "failed", 204, "failed", 0),
        ("POST", "ready", 202, "processing", 1),
        ("POST", "processing", 208, "processing", 1),
        ("POST", "missing", 202, "processing", 1),
        ("POST", "failed", 202, "processing", 1),
        ("DELETE", "ready", 204, "missing", 0),
        ("DELETE", "processing", 204, "missing", 0),
        ("DELETE", "missing", 404, "missing", 0),
        ("DELETE", "failed", 404, "failed", 0),
    ],
)
def test_each_method_in_each_state_of_the_export(
    export, monkeypatch, method, before, status, after, waiting
):
    export.bring(before, monkeypatch)
    response = export.api.open(method, export.url)
    assert (response.status_code, response.headers["exportStatus"], export.jobs) == (
        status,
        after,
        waiting,
    )
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert response.headers["Vary"] == "Authorization, Accept-Encoding, Accept"
    assert ("exportError" in response.headers) == (after == "failed")
    assert ("Retry-After" in response.headers) == (status in (202, 208) or status == 500)
    if status in (202, 208) and method != "HEAD":
        assert response.get_json() == {
            "detail": "The export is being prepared.",
            "exportStatus": "processing",
            "processed": 0,
            "total": 3,
        }
        assert 1 <= int(response.headers["Retry-After"]) <= 60
    elif status >= 400:
        assert response.get_json()["exportStatus"] == after
    elif method == "HEAD" or status == 204:
        assert response.data == b""
        assert status == 200 or "Content-Type" not in response.headers or status == 208


def test_get_retries_a_failure_that_is_long_ago(export, monkeypatch):
    export.bring("failed", monkeypatch)
    export.age(export.services.settings.export_failure_pause + 1)
    response = export.api.get(export.url)
    assert (response.status_code, response.headers["exportStatus"], export.jobs) == (
        208,
        "processing",
        1,
    )
    assert "exportError" not in response.headers


def test_a_failure_reports_its_reason(export, monkeypatch):
    export.bring("failed", monkeypatch)
    response = export.api.get(export.url)
    assert response.headers["exportError"] == "internal server error (ZeroDivisionError)"
    assert response.get_json()["detail"].endswith("(ZeroDivisionError)")


@pytest.mark.parametrize("state", NAMES)
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_anonymous_callers_start_and_delete_nothing(export, monkeypatch, state, method):
    export.bring(state, monkeypatch)
    response = export.api.anonymous.open(method, export.url)
    assert (response.status_code, export.status) == (401, state)
    assert response.headers["exportStatus"] == state


@pytest.mark.parametrize(
    ("method", "state", "status", "after"),
    [
        ("POST", "ready", 403, "ready"),
        ("POST", "processing", 208, "processing"),
        ("POST", "missing", 202, "processing"),
        ("POST", "failed", 202, "processing"),
        ("DELETE", "ready", 403, "ready"),
        ("DELETE", "processing", 403, "processing"),
        ("DELETE", "missing", 403, "missing"),
        ("DELETE", "failed", 403, "failed"),
        ("GET", "ready", 200, "ready"),
        ("GET", "missing", 208, "processing"),
    ],
)
def test_what_a_caller_without_permissions_may_do(
    export, reader, monkeypatch, method, state, status, after
):
    export.bring(state, monkeypatch)
    response = reader.open(method, export.url)
    assert (response.status_code, response.headers["exportStatus"]) == (status, after)
    assert export.status == after


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_anonymous_callers_may_read_a_public_export(ready, method):
    assert ready.api.anonymous.open(method, ready.url).status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
def test_the_export_of_a_missing_version_is_not_found(export, method):
    for url in (f"{export.source.url}v9/export/", "/orgs/Nobody/sources/None/v1/export/"):
        response = export.api.open(method, url)
        assert (response.status_code, "exportStatus" in response.headers) == (404, False)
        assert response.headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
def test_head_has_no_export(export, method):
    response = export.api.open(method, f"{export.source.url}HEAD/export/")
    assert (response.status_code, "exportStatus" in response.headers) == (405, False)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_other_methods_are_not_allowed(export, method):
    response = export.api.open(method, export.url, json={})
    assert response.status_code == 405
    assert {"GET", "HEAD", "POST", "DELETE"} <= set(response.headers["Allow"].split(", "))


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
def test_a_private_export_is_for_those_who_may_read(ready, reader, method):
    good(ready.api.put(ready.source.url, {"public_access": "None"}))
    for caller, status in ((ready.api.anonymous, 401), (reader, 403)):
        response = caller.open(method, ready.url)
        assert (response.status_code, "exportStatus" in response.headers) == (status, False)
    assert ready.status == "ready"


@pytest.mark.parametrize(
    ("method", "state", "status"),
    [
        ("GET", "ready", 200),
        ("HEAD", "ready", 200),
        ("POST", "ready", 503),
        ("DELETE", "ready", 204),
        ("GET", "missing", 503),
        ("HEAD", "missing", 204),
        ("POST", "missing", 503),
        ("POST", "failed", 503),
        ("GET", "failed", 500),
        ("HEAD", "failed", 204),
    ],
)
def test_with_the_queue_down_only_what_needs_it_fails(
    export, queue, monkeypatch, method, state, status
):
    export.bring(state, monkeypatch)
    queue.down = True
    response = export.api.open(method, export.url)
    assert response.status_code == status
    if status == 503:
        assert int(response.headers["Retry-After"]) > 0
        assert response.headers["exportStatus"] == state
        assert export.status == state


def test_a_version_created_while_the_queue_is_down_is_exported_later(export, queue):
    queue.down = True
    good(export.source.release("v2"))
    url = f"{export.source.url}v2/export/"
    assert export.api.head(url).headers["exportStatus"] == "missing"
    queue.down = False
    tick.heal_exports(export.services, datetime.now(UTC))
    assert export.api.head(url).headers["exportStatus"] == "processing"


# What is sent


def unzipped(response):
    with zipfile.ZipFile(io.BytesIO(response.data)) as archive:
        assert archive.namelist() == ["export.json"]
        return archive.read("export.json")


def untarred(response):
    with tarfile.open(fileobj=io.BytesIO(response.data), mode="r:gz") as archive:
        (entry,) = archive.getmembers()
        file = archive.extractfile(entry)
        assert (entry.name, file is None) == ("export.json", False)
        return file.read()


def test_a_new_version_is_processing_and_then_ready(export):
    assert export.api.head(export.url).status_code == 208
    export.run()
    assert export.api.head(export.url).status_code == 200


def test_both_formats_contain_the_same_document(ready):
    zipped, tarball = ready.api.get(ready.url), ready.api.get(f"{ready.url}?format=tgz")
    document = json.loads(unzipped(zipped))
    assert unzipped(zipped) == untarred(tarball)
    assert list(document)[-2:] == ["concepts", "mappings"]
    assert (
        [one["id"] for one in document["concepts"]],
        [one["id"] for one in document["mappings"]],
    ) == (["A", "B"], ["m1"])


def test_the_document_is_that_of_the_version_with_all_its_content(ready):
    query = "includeConcepts=true&includeMappings=true&includeRetired=true&limit=0"
    shown = good(ready.api.get(f"{ready.source.url}v1/?{query}")).get_json()
    del shown["is_processing"]
    assert list(json.loads(unzipped(ready.api.get(ready.url))).items()) == list(shown.items())


def test_the_headers_of_an_archive(ready):
    response = ready.api.get(ready.url)
    source = ready.source.url.split("/")[-2]
    updated = ready.api.get(f"{ready.source.url}v1/").headers["lastUpdated"]
    stamp = updated[:19].translate(str.maketrans("", "", "-:T"))
    headers = response.headers
    assert headers["Content-Type"] == "application/zip"
    assert headers["Content-Disposition"] == f'attachment; filename="{source}_v1.{stamp}.zip"'
    assert int(headers["Content-Length"]) == len(response.data)
    assert headers["Accept-Ranges"] == "bytes"
    assert (headers["lastUpdated"], headers["Last-Updated"]) == (updated, updated)
    assert headers["Last-Modified"].endswith(" GMT")
    assert headers["exportURL"].startswith("http://localhost/exports/")
    assert headers["exportURL"].endswith(f"/{source}_v1.{stamp}.tgz")
    assert "?" not in headers["exportURL"]
    assert "Content-Encoding" not in headers


def test_head_has_the_headers_of_get(ready):
    both = [dict(ready.api.open(method, ready.url).headers) for method in ("GET", "HEAD")]
    for headers in both:
        headers.pop("Date", None)
        # The link may have been signed a second later.
        headers["exportURL"] = headers["exportURL"].split("/")[-1]
    assert both[0] == both[1]


def test_the_newest_release_is_named_by_its_own_id(ready):
    response = ready.api.get(f"{ready.source.url}latest/export/")
    assert "_v1." in response.headers["Content-Disposition"]
    assert response.data == ready.api.get(ready.url).data


@pytest.mark.parametrize(
    "form", ["{source}versions/v1/export/", "{source}v1/export", "{source}versions/latest/export"]
)
def test_every_spelling_of_the_path_works_without_a_redirect(ready, form):
    assert ready.api.get(form.format(source=ready.source.url)).status_code == 200


@pytest.mark.parametrize(
    ("query", "accept", "expected"),
    [
        ("", None, "zip"),
        ("?format=zip", "application/gzip", "zip"),
        ("?format=tgz", "application/zip", "gzip"),
        ("?format=", "application/gzip", "gzip"),
        ("", "application/gzip", "gzip"),
        ("", "application/x-gzip", "gzip"),
        ("", "Application/GZIP", "gzip"),
        ("", "application/json, application/gzip;q=0.1", "gzip"),
        ("", "application/gzip, */*", "gzip"),
        ("", "application/gzip, application/zip", "zip"),
        ("", "application/gzip;q=0.9, application/zip;q=0.8", "gzip"),
        ("", "application/gzip;q=0.8, application/zip;q=0.9", "zip"),
        ("", "application/gzip;q=0", "zip"),
        ("", "application/json", "zip"),
        ("", "*/*", "zip"),
        ("", "text/html", "zip"),
        ("", "nonsense", "zip"),
    ],
)
def test_the_format_is_chosen_by_parameter_then_by_accept(ready, query, accept, expected):
    response = ready.api.get(ready.url + query, **({"Accept": accept} if accept else {}))
    assert (response.status_code, response.headers["Content-Type"]) == (
        200,
        f"application/{expected}",
    )
    assert response.headers["Content-Disposition"].endswith(
        '.tgz"' if expected == "gzip" else '.zip"'
    )


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("state", ["ready", "missing"])
def test_an_unknown_format_is_refused_and_starts_nothing(export, monkeypatch, method, state):
    export.bring(state, monkeypatch)
    response = export.api.open(method, f"{export.url}?format=rar")
    assert (response.status_code, response.headers["exportStatus"], export.jobs) == (400, state, 0)
    assert method == "HEAD" or "format" in response.get_json()["errors"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_unchanged_archive_is_not_sent_again(ready, method):
    first = ready.api.get(ready.url)
    for condition in (
        {"If-None-Match": first.headers["ETag"]},
        {"If-Modified-Since": first.headers["Last-Modified"]},
    ):
        response = ready.api.open(method, ready.url, headers=condition)
        assert (response.status_code, response.data) == (304, b"")
        for name in ("ETag", "Last-Modified", "lastUpdated", "Last-Updated"):
            assert response.headers[name] == first.headers[name]
        assert response.headers["exportStatus"] == "ready"
        assert "exportURL" in response.headers
        assert "Content-Type" not in response.headers


def test_the_two_formats_have_different_etags(ready):
    tags = [ready.api.head(f"{ready.url}?format={form}").headers["ETag"] for form in ("zip", "tgz")]
    assert tags[0] != tags[1]
    assert not any(tag.startswith("W/") for tag in tags)
    assert ready.api.get(f"{ready.url}?format=tgz", **{"If-None-Match": tags[0]}).status_code == 200


@pytest.mark.parametrize("form", ["zip", "tgz"])
def test_a_download_is_resumed(ready, form):
    url = f"{ready.url}?format={form}"
    whole = ready.api.get(url)
    half = len(whole.data) // 2
    rest = ready.api.get(url, Range=f"bytes={half}-", **{"If-Range": whole.headers["ETag"]})
    assert rest.status_code == 206
    assert whole.data[:half] + rest.data == whole.data
    assert rest.headers["Content-Range"] == f"bytes {half}-{len(whole.data) - 1}/{len(whole.data)}"
    for name in (
        "ETag",
        "Last-Modified",
        "lastUpdated",
        "Content-Type",
        "Content-Disposition",
        "exportStatus",
    ):
        assert rest.headers[name] == whole.headers[name]


def test_a_range_outside_is_refused(ready):
    size = len(ready.api.get(ready.url).data)
    response = ready.api.get(ready.url, Range=f"bytes={size}-")
    assert (
        response.status_code,
        response.headers["Content-Range"],
        response.headers["exportStatus"],
    ) == (416, f"bytes */{size}", "ready")
    assert response.get_json()["exportStatus"] == "ready"


def test_a_recreated_archive_has_the_same_bytes(ready):
    first = ready.api.get(ready.url)
    good(ready.api.post(ready.url))
    ready.run()
    again = ready.api.get(ready.url)
    assert (again.data, again.headers["ETag"]) == (first.data, first.headers["ETag"])


def test_writes_to_head_change_no_export(ready):
    before = ready.api.get(ready.url)
    ready.source.concepts("C")
    after = ready.api.get(ready.url)
    assert (after.data, after.headers["lastUpdated"]) == (
        before.data,
        before.headers["lastUpdated"],
    )


def test_an_edited_version_serves_the_old_archive_until_the_new_one_is_built(ready):
    url = f"{ready.source.url}v1/"
    edited = good(ready.api.put(url, {"description": "second thoughts"})).get_json()
    assert edited["is_processing"] is True
    assert json.loads(unzipped(ready.api.get(ready.url)))["description"] is None
    assert ready.status == "ready"
    ready.run()
    assert json.loads(unzipped(ready.api.get(ready.url)))["description"] == "second thoughts"
    assert ready.api.get(url).get_json()["is_processing"] is False


def test_a_failed_rebuild_keeps_the_old_archive_and_reports_the_reason(ready, monkeypatch):
    before = ready.api.get(ready.url).data
    good(ready.api.put(f"{ready.source.url}v1/", {"description": "second thoughts"}))
    ready.fail(monkeypatch)
    response = ready.api.get(ready.url)
    assert (response.status_code, response.data, response.headers["exportStatus"]) == (
        200,
        before,
        "ready",
    )
    assert "ZeroDivisionError" in response.headers["exportError"]


def test_an_archive_that_is_missing_from_the_cache_is_built_again(ready):
    for name in list(ready.services.store.exports.names_in_use()[0]):
        ready.services.cache.delete(name)
    response = ready.api.get(ready.url)
    assert (response.status_code, response.headers["exportStatus"], ready.jobs) == (
        208,
        "processing",
        1,
    )


def test_head_of_an_archive_that_is_missing_from_the_cache_starts_nothing(ready):
    for name in list(ready.services.store.exports.names_in_use()[0]):
        ready.services.cache.delete(name)
    response = ready.api.head(ready.url)
    assert (response.status_code, response.headers["exportStatus"], ready.jobs) == (
        204,
        "missing",
        0,
    )


@pytest.mark.parametrize("method", ["get", "head"])
def test_while_the_cache_can_not_be_read_archives_are_503_and_not_built_again(ready, method):
    folder = Path(ready.services.cache._root)
    aside = folder.rename(folder.with_name("aside"))
    folder.touch()
    response = getattr(ready.api, method)(ready.url)
    assert (response.status_code, response.headers["Retry-After"], ready.jobs) == (503, "5", 0)
    folder.unlink()
    aside.rename(folder)
    assert getattr(ready.api, method)(ready.url).status_code == 200


# Signed links


def link(export):
    return urlsplit(export.api.get(export.url).headers["exportURL"]).path


def test_a_link_with_a_trailing_slash_reports_the_link_without_it(ready):
    path = link(ready)
    assert ready.api.anonymous.get(path + "/").headers["exportURL"] == f"http://localhost{path}"


@pytest.mark.parametrize("header", ["Token", "Token x", f"Token {'f' * 40}", "Bearer x"])
def test_a_link_serves_whatever_the_authorization_header_says(ready, header):
    response = ready.api.anonymous.get(link(ready), Authorization=header)
    assert (response.status_code, response.data[:2]) == (200, b"\x1f\x8b")


def test_a_link_needs_no_token(ready):
    path = link(ready)
    response = ready.api.anonymous.get(path)
    direct = ready.api.get(f"{ready.url}?format=tgz")
    assert (response.status_code, response.data) == (200, direct.data)
    names = (
        "ETag",
        "Last-Modified",
        "lastUpdated",
        "Last-Updated",
        "Content-Type",
        "Content-Disposition",
        "Content-Length",
        "exportStatus",
    )
    assert [response.headers[name] for name in names] == [direct.headers[name] for name in names]
    assert response.headers["exportURL"] == f"http://localhost{path}"
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert gzip.decompress(response.data)[:11] == b"export.json"


def test_a_link_of_a_public_repository_ends_when_it_becomes_private(ready):
    public = link(ready)
    good(ready.api.put(ready.source.url, {"public_access": "None"}))
    private = link(ready)
    assert [ready.api.anonymous.get(path).status_code for path in (public, private)] == [403, 200]

    good(ready.api.put(ready.source.url, {"public_access": "View"}))
    assert [ready.api.anonymous.get(path).status_code for path in (public, private)] == [200, 200]


def test_a_link_answers_head_conditions_and_ranges(ready):
    path = link(ready)
    whole = ready.api.anonymous.get(path)
    head = ready.api.anonymous.head(path)
    assert (head.status_code, head.data, head.headers["Content-Length"]) == (
        200,
        b"",
        str(len(whole.data)),
    )
    assert (
        ready.api.anonymous.get(path, **{"If-None-Match": whole.headers["ETag"]}).status_code == 304
    )
    part = ready.api.anonymous.get(path, Range="bytes=-10")
    assert (part.status_code, part.data) == (206, whole.data[-10:])
    assert ready.api.anonymous.get(path, Range="bytes=999999-").status_code == 416


def test_a_link_is_always_the_tarball(ready):
    assert (
        ready.api.anonymous.get(link(ready), Accept="application/zip").headers["Content-Type"]
        == "application/gzip"
    )


@pytest.mark.parametrize("index", range(2, 7))
def test_a_changed_link_is_refused(ready, index):
    parts = link(ready).split("/")
    parts[index] = ("1" if parts[index][0] == "0" else "0") + parts[index][1:]
    response = ready.api.anonymous.get("/".join(parts))
    assert response.status_code == 403
    assert "signature" in response.get_json()["detail"]


def test_an_expired_link_is_refused(ready, monkeypatch):
    path = link(ready)

    class Later(exports.datetime):
        @classmethod
        def now(cls, zone=None):
            return super().now(zone) + timedelta(
                seconds=ready.services.settings.export_link_life + 1
            )

    monkeypatch.setattr(exports, "datetime", Later)
    response = ready.api.anonymous.get(path)
    assert response.status_code == 403
    assert "expired" in response.get_json()["detail"]


def test_a_link_to_a_deleted_archive_is_not_found(ready):
    path = link(ready)
    good(ready.api.delete(ready.url))
    assert ready.api.anonymous.get(path).status_code == 404


def test_a_link_is_not_found_after_its_source_is_deleted(ready):
    path = link(ready)
    good(ready.api.delete(ready.source.url))
    assert ready.api.anonymous.get(path).status_code == 404


def test_a_link_to_a_file_missing_from_the_cache_is_not_found(ready):
    path = link(ready)
    for name in list(ready.services.store.exports.names_in_use()[0]):
        ready.services.cache.delete(name)
    assert ready.api.anonymous.get(path).status_code == 404


def test_a_link_signed_before_a_rebuild_serves_the_old_file(ready):
    path = link(ready)
    before = ready.api.anonymous.get(path).data
    good(ready.api.put(f"{ready.source.url}v1/", {"description": "second thoughts"}))
    ready.run()
    assert ready.api.get(f"{ready.url}?format=tgz").data != before
    assert ready.api.anonymous.get(path).data == before


def test_a_deleted_version_has_no_export(ready):
    good(ready.api.delete(f"{ready.source.url}v1/"))
    assert ready.api.get(ready.url).status_code == 404
    tick.heal_exports(ready.services, datetime.now(UTC))
    assert ready.jobs == 0
