"""Pages of other sites may use the API: cross-origin requests (contract 1.4)."""

from urllib.parse import urljoin

import pytest

from oclapi.reference.openapi import HEADERS
from oclapi.resources.cors import EXPOSED

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
ORIGIN = "https://app.example"
VARY = "Authorization, Accept-Encoding"


def preflight(api, url, requested, method="PUT", **environ):
    """Send what a browser sends before a request with the headers `requested`."""
    headers = {"Origin": ORIGIN, "Access-Control-Request-Method": method}
    overrides = {"HTTP_ACCESS_CONTROL_REQUEST_HEADERS": requested, **environ}
    return api.anonymous.open("OPTIONS", url, headers=headers, environ_overrides=overrides)


def allowed(response):
    return response.headers.get("Access-Control-Allow-Headers", "").split(", ")


def test_the_web_client_of_ocl_may_send_its_own_header(api):
    response = preflight(api, "/orgs/", "authorization,content-type,x-ocl-client", "POST")

    assert (response.status_code, response.data) == (200, b"")
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert allowed(response) == ["authorization", "content-type", "x-ocl-client"]
    assert set(response.headers["Access-Control-Allow-Methods"].split(", ")) == METHODS
    assert response.headers["Access-Control-Max-Age"] == "86400"
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "POST", "OPTIONS"}
    assert response.headers["Vary"] == VARY
    assert "Access-Control-Allow-Credentials" not in response.headers


@pytest.mark.parametrize(
    "requested",
    [
        ["X-OCL-CLIENT"],
        ["X-Ocl-Client", "AUTHORIZATION", "includefacets"],
        ["compress", "If-None-Match", "range", "accept", "x-anything-else"],
        ["x_custom", "x.y", "~odd!#$%&'*+^`|"],
    ],
)
@pytest.mark.parametrize("separator", [",", ", ", " ,  "])
def test_a_preflight_allows_exactly_the_headers_that_it_asks_for(api, requested, separator):
    response = preflight(api, "/orgs/", separator.join(requested))

    assert response.status_code == 200
    assert set(allowed(response)) == set(requested)


@pytest.mark.parametrize(
    "hostile",
    [
        "x-ok\r\nX-Injected: 1",
        "x-ok\nX-Injected: 1",
        "\r\n\r\n<html>",
        "x-ok\r\n",
        "x-ok\0",
        "x ok",
        "x-ök",
        "x-ok;q=1",
        '"x-ok"',
        "x" * 101,
        "x" * 1_000_000,
        ",,,",
        "",
    ],
    ids=lambda value: repr(value[:20]),
)
def test_a_preflight_never_repeats_a_text_that_is_no_header_name(api, hostile):
    response = preflight(api, "/orgs/", f"x-first,{hostile},x-last")

    assert response.status_code == 200
    assert set(allowed(response)) - {"x-first", "x-last", "x-ok"} == set()
    assert {"x-first", "x-last"} <= set(allowed(response))
    assert "X-Injected" not in response.headers
    assert response.data == b""


@pytest.mark.parametrize("origin", ["null", "https://a.example\r\nX-Injected: 1", "*", "x" * 9000])
def test_the_origin_of_a_request_is_never_repeated(api, origin):
    response = api.open("GET", "/orgs/", environ_overrides={"HTTP_ORIGIN": origin})

    assert response.status_code == 200
    assert response.headers.getlist("Access-Control-Allow-Origin") == ["*"]
    assert response.headers["Vary"] == VARY
    assert "X-Injected" not in response.headers


@pytest.mark.parametrize("headers", [{}, {"Origin": ORIGIN}], ids=["same site", "other site"])
@pytest.mark.parametrize(
    ("method", "url", "status"),
    [
        ("GET", "/orgs/", 200),
        ("HEAD", "/orgs/", 200),
        ("GET", "/version/", 200),
        ("GET", "/metrics/", 200),
        ("GET", "/docs/", 200),
        ("GET", "/openapi.json/", 200),
        ("OPTIONS", "/orgs/", 200),
        ("POST", "/orgs/", 400),
        ("GET", "/user/", 401),
        ("GET", "/nothing/", 404),
        ("OPTIONS", "/nothing/", 404),
        ("GET", "/orgs//", 404),
        ("DELETE", "/orgs/", 405),
        pytest.param("GET", "/orgs/?q=" + "x" * 17_000, 414, id="long line"),
    ],
)
def test_every_response_can_be_read_by_pages_of_other_sites(api, headers, method, url, status):
    by = api if method == "POST" else api.anonymous
    response = by.open(
        method, "/", headers=headers, environ_overrides={"RAW_URI": url, "PATH_INFO": url}
    )

    assert response.status_code == status
    assert response.headers.getlist("Access-Control-Allow-Origin") == ["*"]
    assert set(response.headers["Access-Control-Expose-Headers"].split(", ")) == set(EXPOSED)
    assert response.headers.getlist("Vary") == [VARY]


def test_a_fault_can_be_read_by_pages_of_other_sites(api, services, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError

    monkeypatch.setattr(type(services.store.owners), "listing", fail)
    response = api.get("/orgs/", Origin=ORIGIN)

    assert response.status_code == 500
    assert response.headers.getlist("Access-Control-Allow-Origin") == ["*"]
    assert response.headers.getlist("Vary") == [VARY]


@pytest.mark.parametrize(("rest", "status"), [("v1/export/", 208), ("/exports/1/2/3/4/5", 403)])
def test_an_export_varies_with_accept_too(api, source, rest, status):
    source.release("v1")
    response = api.get(urljoin(source.url, rest), Origin=ORIGIN)

    assert response.status_code == status
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert response.headers.getlist("Vary") == [f"{VARY}, Accept"]


def test_every_header_that_the_api_describes_is_exposed():
    always_readable = {"Cache-Control"}

    assert HEADERS.keys() - set(EXPOSED) <= always_readable
