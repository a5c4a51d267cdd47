"""Conditional and partial requests for archives."""

import io
from datetime import UTC, datetime

import pytest
from flask import Flask

from oclapi.errors import RangeNotSatisfiable
from oclapi.exports.archive import Segments, Slice
from oclapi.resources.download import Selected, respond, select

ETAG = '"abc,def-zip1"'
MADE = datetime(2026, 3, 4, 10, 20, 30, 999000, tzinfo=UTC)
MADE_TEXT = "Wed, 04 Mar 2026 10:20:30 GMT"
EARLIER, LATER = "Wed, 04 Mar 2026 10:20:29 GMT", "Wed, 04 Mar 2026 10:20:31 GMT"
WHOLE, UNCHANGED = Selected(200, 0, 1000), Selected(304)


def selected(method="GET", **headers):
    return select(method, header_names(headers), 1000, ETAG, MADE)


def header_names(headers):
    return {name.replace("_", "-"): value for name, value in headers.items()}


def test_a_plain_request_gets_the_whole_file():
    assert selected() == WHOLE


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (ETAG, UNCHANGED),
        ("W/" + ETAG, UNCHANGED),
        (f'"x", W/"y",  {ETAG}', UNCHANGED),
        ("*", UNCHANGED),
        (" * ", UNCHANGED),
        ('"abc"', WHOLE),
        ('"abc,def-tgz1"', WHOLE),
        ("abc,def-zip1", WHOLE),
        ("", WHOLE),
    ],
)
def test_if_none_match_compares_weakly(method, header, expected):
    assert selected(method, If_None_Match=header) == expected


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        (MADE_TEXT, UNCHANGED),
        (LATER, UNCHANGED),
        (EARLIER, WHOLE),
        ("Wednesday, 04-Mar-26 10:20:30 GMT", UNCHANGED),
        ("Wed Mar  4 10:20:30 2026", UNCHANGED),
        ("yesterday", WHOLE),
        ("", WHOLE),
    ],
)
def test_if_modified_since_compares_whole_seconds(date, expected):
    assert selected(If_Modified_Since=date) == expected


def test_if_modified_since_is_ignored_with_if_none_match():
    assert selected(If_None_Match='"other"', If_Modified_Since=LATER) == WHOLE


@pytest.mark.parametrize(
    ("header", "first", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-499", 0, 500),
        ("bytes=500-", 500, 1000),
        ("bytes=999-", 999, 1000),
        ("bytes=-1", 999, 1000),
        ("bytes=-5000", 0, 1000),
        ("bytes=10-99999999999999999999999", 10, 1000),
        ("Bytes = 1-2 , ", 1, 3),
    ],
)
def test_a_single_range_gives_that_part(header, first, stop):
    assert selected(Range=header) == Selected(206, first, stop)


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=1000-2000", "bytes=-0"])
def test_a_range_after_the_end_is_refused_with_the_size(header):
    with pytest.raises(RangeNotSatisfiable) as refused:
        selected(Range=header)
    assert refused.value.size == 1000


@pytest.mark.parametrize(
    "header",
    [
        "bytes=0-1,5-6",
        "bytes=5-4",
        "bytes=-",
        "bytes=",
        "bytes",
        "items=0-1",
        "bytes=a-b",
        "bytes=1-2-3",
        "bytes=--1",
        "bytes=\u0661-\u0662",
        "",
    ],
)
def test_several_or_malformed_ranges_give_the_whole_file(header):
    assert selected(Range=header) == WHOLE


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        (ETAG, 206),
        ("W/" + ETAG, 200),
        ('"old"', 200),
        (MADE_TEXT, 206),
        (LATER, 200),
        (EARLIER, 200),
        ("nonsense", 200),
        ("", 200),
    ],
)
def test_if_range_must_match_exactly(condition, status):
    assert selected(Range="bytes=0-9", If_Range=condition).status == status


def test_a_range_after_the_end_is_ignored_if_if_range_does_not_match():
    assert selected(Range="bytes=5000-", If_Range='"old"') == WHOLE


def test_if_range_without_a_range_is_ignored():
    assert selected(If_Range=ETAG) == WHOLE


def test_if_none_match_takes_precedence_over_a_range():
    assert selected(If_None_Match=ETAG, Range="bytes=5000-") == UNCHANGED


def test_head_ignores_ranges():
    assert selected("HEAD", Range="bytes=0-9") == WHOLE


CONTENT = Segments((b"head", Slice(2, 5), b"tail"))


def download(method="GET", **headers):
    """Return the response to a request for CONTENT, and its body."""
    file = io.BytesIO(b"..01234..")
    selection = select(method, header_names(headers), CONTENT.size, ETAG, MADE)
    app = Flask("download")
    with app.test_request_context(method=method):
        response = respond(
            method,
            selection,
            CONTENT,
            file,
            ETAG,
            MADE,
            "application/zip",
            'attachment; filename="x_v1.20260304102030.zip"',
        )
    app.add_url_rule("/", "x", lambda: response)
    result = app.test_client().open("/", method=method)
    data = result.data
    result.close()
    assert file.closed
    return result, data


def headers_of(response):
    return {name: value for name, value in response.headers if name not in ("Date", "Server")}


FULL = {
    "ETag": ETAG,
    "Last-Modified": MADE_TEXT,
    "Content-Type": "application/zip",
    "Content-Disposition": 'attachment; filename="x_v1.20260304102030.zip"',
}


def test_the_whole_file_is_sent_with_its_headers():
    response, data = download()
    assert (response.status_code, data) == (200, b"head01234tail")
    assert headers_of(response) == {**FULL, "Content-Length": "13", "Accept-Ranges": "bytes"}


def test_head_has_the_headers_of_get_and_no_body():
    head, body = download("HEAD")
    assert body == b""
    assert (head.status_code, headers_of(head)) == (200, headers_of(download()[0]))


def test_a_part_is_sent_with_its_range():
    response, data = download(Range="bytes=3-9")
    assert (response.status_code, data) == (206, b"d01234t")
    assert headers_of(response) == {**FULL, "Content-Length": "7", "Content-Range": "bytes 3-9/13"}


def test_the_response_for_an_unchanged_file_has_no_content():
    response, data = download(If_None_Match=ETAG)
    assert (response.status_code, data) == (304, b"")
    assert headers_of(response) == {"ETag": ETAG, "Last-Modified": MADE_TEXT}


IMPOSSIBLE_DATES = (
    "Mon, 01 Jan 2024 00:00:00 +99999999999999999999",
    "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
    "Mon, 01 Jan 2024 99999999999:00:00 GMT",
)


@pytest.mark.parametrize("date", IMPOSSIBLE_DATES)
def test_an_impossible_date_is_ignored(date):
    assert selected(If_Modified_Since=date) == WHOLE
    assert selected(If_Range=date, Range="bytes=0-1") == WHOLE
