"""Conventions that hold for all requests and responses (contract 1, 2 and 3)."""

import gzip
import io
import json
import zipfile

import pytest
from pymongo.client_session import ClientSession
from pymongo.errors import AutoReconnect

import oclapi
from oclapi.app import create_app
from tests.builders import TOKEN, Api, concept_body, good, new_org, new_source


def test_a_slash_at_the_end_may_be_left_out_and_there_is_no_redirect(api, source):
    source.concept("A")
    for url in (f"{source.url}concepts/A/", f"{source.url}concepts/", source.url, "/orgs/"):
        with_slash, without = api.get(url), api.get(url[:-1])
        assert (with_slash.status_code, without.status_code) == (200, 200)
        assert with_slash.get_json() == without.get_json()


def test_writes_need_no_slash_either(api, source):
    assert api.post(f"{source.url}concepts", concept_body("A")).status_code == 201
    assert api.put(f"{source.url}concepts/A", {"datatype": "Text"}).status_code == 200


@pytest.mark.parametrize("url", ["/orgs/", "/sources/", "/orgs/OCL/sources/"])
def test_the_methods_of_an_address_do_not_depend_on_its_slash(api, url):
    for method in ("OPTIONS", "DELETE"):
        with_slash, without = api.open(method, url), api.open(method, url[:-1])
        assert without.status_code == with_slash.status_code
        assert set(without.headers["Allow"].split(", ")) == set(
            with_slash.headers["Allow"].split(", ")
        )


def test_a_link_to_the_next_page_ends_with_a_slash_before_its_parameters(api, source):
    source.concepts("A", "B")
    assert "/concepts/?limit=1" in api.get(f"{source.url}concepts?limit=1").headers["next"]


@pytest.mark.parametrize(
    "url", ["/orgs//", "//orgs/", "/orgs/OCL//sources/", "/orgs/OCL/sources//"]
)
def test_a_path_with_repeated_slashes_is_not_found(api, url):
    assert (
        api.open("GET", "/", environ_overrides={"RAW_URI": url, "REQUEST_URI": url}).status_code
        == 404
    )


@pytest.mark.parametrize(
    "url",
    [
        "/nothing/",
        "/orgs/Nobody/",
        "/orgs/Nobody/sources/",
        "/orgs/OCL/sources/none/concepts/x/",
        "/orgs/a%20b/",
    ],
)
def test_an_unknown_path_is_404_with_a_reason(api, url):
    response = api.get(url)

    assert response.status_code == 404
    assert response.get_json()["detail"]


@pytest.mark.parametrize("rest", ["", "concepts/", "concepts/A/", "versions/", "HEAD/", "nothing/"])
def test_head_gives_the_headers_of_get_and_no_body(api, source, rest):
    source.concept("A")
    get, head = api.get(source.url + rest), api.head(source.url + rest)

    assert head.status_code == get.status_code
    assert head.data == b""
    assert dict(head.headers).keys() == dict(get.headers).keys()
    assert head.headers["Content-Length"] == get.headers["Content-Length"]


@pytest.mark.parametrize(
    ("rest", "methods"),
    [
        ("", {"GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"}),
        ("concepts/", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("concepts/A/versions/", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_options_lists_the_methods(api, source, rest, methods):
    response = api.anonymous.open("OPTIONS", source.url + rest)

    assert response.status_code == 200
    assert set(response.headers["Allow"].split(", ")) == methods
    assert (response.data, "Content-Type" in response.headers) == (b"", False)


def test_a_refused_options_request_gives_the_reason_as_json(api):
    response = api.open("OPTIONS", "/nothing/")

    assert (response.status_code, response.mimetype) == (404, "application/json")
    assert response.get_json()["detail"]


def test_an_unsupported_method_is_405_before_any_other_check(api):
    response = api.anonymous.open("POST", "/sources/")

    assert response.status_code == 405
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
    assert api.anonymous.open("DELETE", "/orgs/Nobody/sources/none/concepts/").status_code == 405


def test_every_response_can_be_read_by_pages_of_other_sites(api):
    for response in (api.get("/orgs/"), api.get("/nothing/"), api.open("OPTIONS", "/orgs/")):
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        exposed = response.headers["Access-Control-Expose-Headers"].split(", ")
        assert {
            "num_found",
            "num_returned",
            "next",
            "previous",
            "offset",
            "pages",
            "page_number",
            "Link",
        } <= set(exposed)
        assert {
            "lastUpdated",
            "Last-Updated",
            "exportStatus",
            "exportError",
            "exportURL",
            "Location",
            "Retry-After",
        } <= set(exposed)
        assert response.headers["Vary"] == "Authorization, Accept-Encoding"


def test_the_server_names_its_version(api):
    response = good(api.anonymous.get("/version/"))

    assert response.get_json() == {"version": oclapi.__version__}
    assert api.anonymous.get("/openapi.json").get_json()["info"]["version"] == oclapi.__version__


# Bodies


@pytest.mark.parametrize("limit", ["limit=100", "limit=0"])
def test_json_is_compressed_on_request(api, source, limit):
    source.concepts(*"ABCDEF")
    plain = api.get(f"{source.url}concepts/?{limit}")
    compressed = api.get(f"{source.url}concepts/?{limit}", **{"Accept-Encoding": "gzip"})

    assert compressed.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(compressed.data)) == plain.get_json()


@pytest.mark.parametrize("accepted", ["identity", "gzip;q=0", "br"])
def test_json_is_not_compressed_otherwise(api, source, accepted):
    source.concepts(*"ABCDEF")

    assert (
        "Content-Encoding"
        not in api.get(f"{source.url}concepts/", **{"Accept-Encoding": accepted}).headers
    )


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data"],
)
def test_a_body_that_is_not_json_is_refused(api, source, content_type):
    response = api.open(
        "POST",
        f"{source.url}concepts/",
        data=json.dumps(concept_body("A")),
        content_type=content_type,
    )

    assert response.status_code == 415
    assert source.ids() == []


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", None]
)
def test_json_is_accepted_with_parameters_or_without_a_type(api, source, content_type):
    response = api.open(
        "POST",
        f"{source.url}concepts/",
        data=json.dumps(concept_body("A")),
        content_type=content_type,
    )

    assert response.status_code == 201


def test_a_body_over_the_limit_is_refused_by_its_length_alone(api, source):
    body = json.dumps(concept_body("A", extras={"x": "y" * (17 * 2**20)}))
    response = api.open(
        "POST", f"{source.url}concepts/", data=body, content_type="application/json"
    )

    assert response.status_code == 413
    assert response.get_json()["detail"]


def test_a_chunked_body_over_the_limit_is_refused(api, source):
    body = json.dumps(concept_body("A", extras={"x": "y" * (17 * 2**20)})).encode()
    response = api.open(
        "POST",
        f"{source.url}concepts/",
        input_stream=io.BytesIO(body),
        content_type="application/json",
        environ_overrides={"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"},
    )

    assert response.status_code == 413


def test_a_request_line_that_is_too_long_is_414(api):
    response = api.get(f"/orgs/?q={'x' * 16400}")

    assert response.status_code == 414
    assert "16384" in response.get_json()["detail"]


def test_a_second_question_mark_before_limit_is_repaired(api, source):
    source.concepts("A", "B")

    response = good(api.get(f"{source.url}concepts/?verbose=true?limit=1"))

    assert response.headers["num_returned"] == "1"
    assert "names" in response.get_json()[0]


@pytest.mark.parametrize("given", ["true", "TRUE", "1"])
def test_a_true_parameter_has_several_spellings(api, source, given):
    source.concept("A")

    assert "names" in good(api.get(f"{source.url}concepts/?verbose={given}")).get_json()[0]


def test_an_empty_parameter_is_an_absent_one(api, source):
    source.concept("A")
    empty = "verbose=&limit=&page=&offset=&cursor=&updatedSince=&sortAsc=&includeRetired=&released="

    assert len(good(api.get(f"{source.url}concepts/?{empty}")).get_json()) == 1


# Compress


@pytest.mark.parametrize(
    "rest", ["concepts/", "", "?includeConcepts=true", "concepts/A00/", "versions/"]
)
def test_compress_zips_the_whole_response(api, source, rest):
    source.concepts(*(f"A{number:02}" for number in range(12)))
    zipped = api.get(source.url + rest, Compress="true")

    assert zipped.headers["Content-Type"] == "application/zip"
    assert zipped.headers["Content-Disposition"] == 'attachment; filename="export.zip"'
    with zipfile.ZipFile(io.BytesIO(zipped.data)) as archive:
        assert archive.namelist() == ["export.json"]
        assert archive.testzip() is None
        # Stream readers need the sizes before the content.
        assert not archive.infolist()[0].flag_bits & 8
        everything = f"{rest}{'&' if '?' in rest else '?'}limit=0"
        assert (
            json.loads(archive.read("export.json")) == api.get(source.url + everything).get_json()
        )


def test_compress_ignores_paging_parameters_even_bad_ones(api, source):
    source.concepts("A", "B", "C")
    zipped = good(
        api.get(f"{source.url}concepts/?limit=100000&page=abc&offset=-1&cursor=none", Compress="1")
    )

    with zipfile.ZipFile(io.BytesIO(zipped.data)) as archive:
        assert len(json.loads(archive.read("export.json"))) == 3


@pytest.mark.parametrize("value", ["false", "0", "maybe", ""])
def test_other_values_of_compress_are_ignored(api, source, value):
    assert good(api.get(source.url, Compress=value)).headers["Content-Type"] == "application/json"


def test_errors_are_never_zipped(api):
    response = api.get("/orgs/Nobody/", Compress="true")

    assert (response.status_code, response.headers["Content-Type"]) == (404, "application/json")


# Credentials


@pytest.mark.parametrize(
    "header",
    [
        "Token",
        "Token xyz",
        "token " + "0" * 40,
        f"Token {TOKEN}x",
        f"Token {TOKEN} {TOKEN}",
        "TOKEN  ",
    ],
)
def test_a_bad_token_is_refused_even_on_public_resources(api, header):
    response = api.anonymous.get("/orgs/", Authorization=header)

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Token"


@pytest.mark.parametrize("url", ["/nothing/", "/sources/"])
def test_a_bad_token_is_reported_before_any_other_error(api, url):
    assert (
        api.anonymous.open("POST", url, headers={"Authorization": "Token none"}).status_code == 401
    )


@pytest.mark.parametrize("header", ["Basic dXNlcjpwYXNz", "Bearer abc", "Tokens abc", ""])
def test_other_schemes_are_anonymous(api, header):
    """The text of a 401 says which scheme is needed, and nothing of what was sent."""
    assert api.anonymous.get("/orgs/", Authorization=header).status_code == 200
    response = api.anonymous.open(
        "POST", "/orgs/", headers={"Authorization": header}, json={"id": "x", "name": "x"}
    )
    told = "; the Authorization header must begin with Token, other schemes are ignored"
    assert (response.status_code, response.json) == (
        401,
        {"detail": "authentication is required" + (told if header else "")},
    )


@pytest.mark.parametrize("scheme", ["token", "TOKEN", "Token"])
def test_the_scheme_has_any_case(api, scheme):
    response = api.anonymous.get("/user/sources/", Authorization=f"{scheme} {TOKEN.upper()}")

    assert response.status_code == 200


def test_an_anonymous_client_reads_public_resources_and_writes_nothing(api, source):
    source.concept("A")
    anonymous = api.anonymous

    for rest in ("", "concepts/", "concepts/A/", "versions/"):
        assert anonymous.get(source.url + rest).status_code == 200
    for method, rest in [
        ("POST", "concepts/"),
        ("PUT", "concepts/A/"),
        ("DELETE", "concepts/A/"),
        ("DELETE", ""),
        ("PUT", ""),
        ("POST", "versions/"),
        ("PUT", "extras/x/"),
        ("POST", "concepts/A/names/"),
        ("POST", "mappings/"),
    ]:
        response = anonymous.open(method, source.url + rest, json={})
        assert response.status_code == 401, (method, rest)
        assert response.headers["WWW-Authenticate"] == "Token"


def test_private_resources_are_not_listed_for_anonymous_clients_and_refused_by_url(api):
    owner = new_org(api, public_access="None")
    private = new_source(api, owner)
    private.concept("A")

    assert good(api.get(private.url)).get_json()["public_access"] == "None"
    assert api.anonymous.get(owner).status_code == 401
    for rest in ("", "concepts/", "concepts/A/", "versions/", "HEAD/", "extras/"):
        assert api.anonymous.get(private.url + rest).status_code == 401
    assert api.anonymous.get(f"{owner}sources/").get_json() == []
    assert private.url not in [
        found["url"] for found in good(api.anonymous.get("/sources/?limit=0")).get_json()
    ]
    assert owner not in [
        found["url"] for found in good(api.anonymous.get("/orgs/?limit=0")).get_json()
    ]


def test_existence_is_checked_before_permissions_and_permissions_before_the_body(api, source):
    assert api.anonymous.post(f"{source.url}v9/concepts/", {}).status_code == 404
    assert api.anonymous.open("PUT", f"{source.url}concepts/none/", data="{").status_code == 404
    assert api.anonymous.open("POST", f"{source.url}concepts/", data="{").status_code == 401


def test_an_internal_error_is_reported_without_details(services, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("secret internals")

    monkeypatch.setattr(type(services.store.owners), "listing", fail)
    response = Api(create_app(services).test_client()).get("/orgs/")

    assert response.status_code == 500
    assert response.get_json() == {"detail": "internal server error"}


def test_a_write_that_the_database_never_confirmed_is_503_and_of_unknown_outcome(
    api, source, services, monkeypatch
):
    def lost(session):
        error = AutoReconnect("connection closed")
        error._add_error_label("UnknownTransactionCommitResult")
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(services.store.database, "patience", 0.1)
        broken.setattr(ClientSession, "commit_transaction", lost)
        response = api.post(f"{source.url}concepts/", concept_body("A"))

    assert response.status_code == 503
    assert "unknown" in response.get_json()["detail"]
    assert source.ids() == []


def test_head_of_a_zip_has_no_wrong_length(api, source):
    head = good(api.open("HEAD", source.url, headers={"Compress": "true"}))
    assert head.headers["Content-Type"] == "application/zip"
    assert "Content-Length" not in head.headers


class BrokenBody(io.BytesIO):
    """A body whose framing is broken, as a WSGI server reports it."""

    def read(self, size=-1):
        raise ArithmeticError("bad chunk")


def test_a_body_that_breaks_off_is_400(api):
    overrides = {
        "wsgi.input": BrokenBody(),
        "wsgi.input_terminated": True,
        "HTTP_TRANSFER_ENCODING": "chunked",
    }
    response = api.open(
        "POST", "/orgs/", content_type="application/json", environ_overrides=overrides
    )
    assert response.status_code == 400
    assert "__all__" in response.get_json()["errors"]
