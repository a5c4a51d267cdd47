"""Rate limits, security headers, and hostile URLs and bodies (contract 1.1, 1.2 and 1.4)."""

import base64
import json
import logging
import random
import re
import socket
import time
import tracemalloc
from dataclasses import replace
from urllib.parse import quote

import pytest
from redis import Redis

from oclapi.app import create_app
from oclapi.errors import BodyTooLarge, Invalid, UnsupportedMediaType
from oclapi.resources import body
from oclapi.resources.limits import SECURITY_HEADERS, RateLimiter
from oclapi.resources.paths import packed
from tests.builders import TOKEN, Api, concept_body, good, until


@pytest.fixture
def limited(services, redis_url):
    """Create the application with other settings: three requests a minute by default."""

    def create(**settings):
        changed = services.settings.model_copy(
            update={"redis_url": redis_url, "rate_limit": 3, **settings}
        )
        return Api(create_app(replace(services, settings=changed)).test_client())

    return create


def get(api, address="203.0.113.5", **headers):
    return api.open(
        "GET", "/orgs/?limit=1", headers=headers, environ_overrides={"REMOTE_ADDR": address}
    )


def statuses(api, addresses):
    return [get(api, address).status_code for address in addresses]


# Rates


def test_one_request_more_than_the_rate_is_refused_with_the_time_to_wait(limited):
    anonymous = limited().anonymous
    assert [get(anonymous).status_code for _ in range(3)] == [200, 200, 200]

    response = get(anonymous)

    assert response.status_code == 429
    assert 50 <= int(response.headers["Retry-After"]) <= 60  # the first request was just now
    assert response.headers["Retry-After"] in response.get_json()["detail"]
    assert response.headers["Access-Control-Allow-Origin"] == "*"


def test_another_address_and_a_user_have_rates_of_their_own(limited):
    api = limited()
    for _ in range(4):
        get(api.anonymous)

    assert get(api.anonymous).status_code == 429
    assert get(api.anonymous, "203.0.113.6").status_code == 200
    assert [get(api).status_code for _ in range(4)] == [200, 200, 200, 429]


def test_processes_count_together(limited):
    assert [get(limited().anonymous).status_code for _ in range(4)] == [200, 200, 200, 429]


def test_a_user_has_one_rate_from_all_addresses(limited):
    addresses = [f"203.0.113.{number}" for number in range(4)]

    assert statuses(limited(), addresses) == [200, 200, 200, 429]


def test_guessing_tokens_counts_for_the_address(limited):
    anonymous = limited().anonymous
    found = [get(anonymous, Authorization=f"Token {number:040}").status_code for number in range(4)]

    assert found == [401, 401, 401, 429]


def test_an_ipv6_network_of_64_bits_is_one_client(limited):
    anonymous = limited().anonymous
    addresses = [f"2001:db8:1:2::{number:x}" for number in range(4)]

    assert statuses(anonymous, addresses) == [200, 200, 200, 429]
    assert get(anonymous, "2001:db8:1:3::1").status_code == 200


def test_ipv4_addresses_stay_apart_on_a_socket_for_both_versions(limited):
    anonymous = limited().anonymous
    for _ in range(4):
        get(anonymous, "::ffff:203.0.113.5")

    assert get(anonymous, "203.0.113.5").status_code == 429
    assert get(anonymous, "::ffff:203.0.113.6").status_code == 200


def test_a_rate_comes_back_with_time(redis_url):
    limiter = RateLimiter(redis_url, 5, window=1)
    for _ in range(5):
        assert limiter.hit("me") == 0

    assert 0 < limiter.hit("me") <= 1
    until(lambda: limiter.hit("me") == 0, patience=5)
    with Redis.from_url(redis_url) as redis:
        [key] = redis.keys()
        assert 0 < redis.pttl(key) <= 1000


def test_a_large_rate_is_exact(redis_url):
    limiter = RateLimiter(redis_url, 600)

    assert [limiter.hit("me") for _ in range(600)] == [0] * 600
    assert 0 < limiter.hit("me") <= 60


@pytest.fixture
def clock(monkeypatch):
    """The time of the web server, set by the test in seconds."""
    seconds = [0.0]
    start = time.time()
    monkeypatch.setattr(time, "time", lambda: start + seconds[0])
    return lambda value: seconds.__setitem__(0, value)


def test_a_refused_request_waits_until_the_oldest_one_is_a_minute_old(redis_url, clock):
    limiter = RateLimiter(redis_url, 3)
    waits = {}
    for second in (0, 20, 40, 45, 59.9, 60.1, 60.2, 79.9, 80.1):
        clock(second)
        waits[second] = limiter.hit("me")

    expected = {0: 0, 20: 0, 40: 0, 45: 15, 59.9: 0.1, 60.1: 0, 60.2: 19.8, 79.9: 0.1, 80.1: 0}
    assert waits == pytest.approx(expected, abs=0.01)


def test_the_rate_holds_across_the_edge_of_a_minute(redis_url, clock):
    limiter = RateLimiter(redis_url, 3)
    clock(59)
    assert [limiter.hit("me") for _ in range(3)] == [0, 0, 0]
    clock(61)
    assert limiter.hit("me") == pytest.approx(58, abs=0.01)


def test_every_request_passes_while_redis_is_down(limited, caplog):
    api = limited(redis_url="redis://127.0.0.1:1/0")
    with caplog.at_level(logging.WARNING):
        assert [get(api).status_code for _ in range(5)] == [200] * 5
    assert [record.message for record in caplog.records].count("requests are not counted") == 1


def test_every_request_passes_quickly_while_redis_hangs(limited):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never responds
        api = limited(redis_url=f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        begun = time.monotonic()
        assert [get(api).status_code for _ in range(5)] == [200] * 5
        assert time.monotonic() - begun < 2  # one of them waits, at most twice 0.2 seconds


def test_no_rate_is_the_default(services, redis_url):
    api = Api(
        create_app(
            replace(
                services, settings=services.settings.model_copy(update={"redis_url": redis_url})
            )
        ).test_client()
    )
    assert {get(api).status_code for _ in range(20)} == {200}
    with Redis.from_url(redis_url) as redis:
        assert redis.keys() == []


@pytest.mark.parametrize(
    ("proxies", "forwarded", "same"),
    [
        pytest.param(0, "198.51.100.{}", True, id="no proxy is trusted"),
        pytest.param(1, "198.51.100.{}", False, id="the proxy is trusted"),
        pytest.param(1, "198.51.100.{}, 192.0.2.7", True, id="the client's own value is not"),
        pytest.param(2, "198.51.100.{}, 192.0.2.7", False, id="two proxies"),
        pytest.param(2, "", True, id="fewer values than proxies"),
    ],
)
def test_the_trusted_proxies_name_the_client(limited, proxies, forwarded, same):
    anonymous = limited(trusted_proxies=proxies).anonymous
    found = [
        get(anonymous, **{"X-Forwarded-For": forwarded.format(number)}).status_code
        for number in range(4)
    ]

    assert found == [200, 200, 200, 429 if same else 200]


@pytest.mark.parametrize(
    ("forwarded", "other"),
    [
        ("198.51.100.7:{}", "198.51.100.8:4000"),
        ("[2001:db8:1:2::7]:{}", "[2001:db8:1:3::7]:4000"),
        ("[::ffff:198.51.100.7]:{}", "198.51.100.8"),
    ],
)
def test_a_client_whose_port_the_proxy_adds_is_one_client_on_all_ports(limited, forwarded, other):
    anonymous = limited(trusted_proxies=1).anonymous
    found = [
        get(anonymous, **{"X-Forwarded-For": forwarded.format(4000 + number)}).status_code
        for number in range(4)
    ]

    assert found == [200, 200, 200, 429]
    assert get(anonymous, **{"X-Forwarded-For": other}).status_code == 200


def test_the_token_is_not_stored_with_the_counts(limited, redis_url):
    get(limited())
    with Redis.from_url(redis_url) as redis:
        assert len(redis.keys()) == 1
        assert TOKEN not in str(redis.keys())


def test_a_proxy_can_not_change_the_links(limited):
    response = limited(trusted_proxies=1).anonymous.get(
        "/orgs/?limit=1", **{"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
    )

    assert "evil.example" not in response.headers["Link"]


# Headers


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST"])
@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("Accept", "a/b;q=1,"),
        ("Accept-Encoding", "a;q=1,"),
        ("Access-Control-Request-Headers", "a,"),
        ("Content-Type", "a*0=b;"),
    ],
)
def test_a_header_that_takes_long_to_parse_has_few_parts(api, method, name, part):
    headers = {"Origin": "https://x.example", "Access-Control-Request-Method": "GET"}
    begun = time.process_time()
    response = api.open(method, "/orgs/", headers={**headers, name: part * (128_000 // len(part))})
    took = time.process_time() - begun

    assert response.status_code == 431
    assert response.get_json() == {"detail": f"the header {name} has more than 500 parts"}
    assert took < 0.05


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("If-None-Match", '"a",'),
        ("If-None-Match", "W/"),
        ("If-Modified-Since", "Mon, "),
        ("If-Range", 'W/"'),
        ("Range", "0-1,"),
        ("Cookie", "a=b;"),
        ("Authorization", "x "),
        ("X-Forwarded-For", "1.1.1.1,"),
        ("Forwarded", "for=1;"),
        ("Compress", " 1"),
        ("includeFacets", " 1"),
        ("Cache-Control", "a=b,"),
    ],
)
def test_other_headers_are_parsed_in_no_time(limited, name, part):
    """At their largest size, which is that of all fields of a request together."""
    api = limited(rate_limit=0, trusted_proxies=1)
    headers = {name: ("bytes=" if name == "Range" else "") + part * (128_000 // len(part))}
    for url in ("/version/", "/orgs/?limit=1"):
        begun = time.process_time()
        api.open("GET", url, headers=headers)
        assert time.process_time() - begun < 0.05


@pytest.mark.parametrize(
    ("method", "url", "status"),
    [
        ("GET", "/orgs/", 200),
        ("GET", "/nothing/", 404),
        ("POST", "/orgs/", 400),
        ("DELETE", "/orgs/", 405),
        ("OPTIONS", "/orgs/", 200),
    ],
)
def test_every_response_has_the_security_headers(api, method, url, status):
    response = api.open(method, url)

    assert response.status_code == status
    assert {name: response.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
    assert "Strict-Transport-Security" not in response.headers


def test_browsers_must_use_https_if_a_setting_says_so(limited):
    assert limited(hsts=3600).get("/orgs/").headers["Strict-Transport-Security"] == "max-age=3600"


def test_no_response_names_the_software_of_the_server(api):
    headers = " ".join(f"{name}: {value}" for name, value in api.get("/orgs/").headers)
    assert not any(
        word in headers.lower() for word in ("werkzeug", "python", "flask", "x-powered-by")
    )


def test_a_browser_may_send_a_preflight_to_any_path(app, api):
    preflight = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization",
    }
    for rule in app.url_map.iter_rules():
        response = api.anonymous.open("OPTIONS", re.sub("<.*?>", "x", rule.rule), headers=preflight)

        assert response.status_code == 200, rule.rule
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert response.headers["Access-Control-Allow-Headers"] == "authorization"
        assert "PATCH" in response.headers["Access-Control-Allow-Methods"]
        assert "OPTIONS" in response.headers["Allow"]


def test_a_header_can_not_change_the_method(api, source):
    source.concept("A")
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        assert api.post(
            f"{source.url}concepts/", concept_body("B", extras={"by": name})
        ).status_code in (201, 400)
        response = api.open(
            "POST", f"{source.url}concepts/A/?_method=DELETE", json={}, headers={name: "DELETE"}
        )
        assert response.status_code == 200
    assert api.get(f"{source.url}concepts/A/").get_json()["retired"] is False


# URLs


def raw(api, path, method="GET", query="", **options):
    """Send a request whose URL is exactly this text."""
    line = f"{path}?{query}" if query else path
    overrides = {"RAW_URI": line, "REQUEST_URI": line, "QUERY_STRING": query}
    return api.open(method, "/", environ_overrides=overrides, **options)


NOT_ITEMS = (
    "concepts/../",
    "concepts/%2e%2e/",
    "concepts/%2E%2E/A/",
    "%2e%2e/%2e%2e/%2e%2e/etc/",
    "concepts/%252e%252e/",
    "concepts/A%2Fnames/",
    "concepts%2FA/",
    "concepts/A/names/%2e%2e/",
    "concepts/A%00/",
    "concepts/A%0d%0aX-Injected:%201/",
    "concepts/%C3%A9/",
    "concepts/A%20/",
    "concepts/\\..\\A/",
    "concepts/A;x=1/",
    "concepts/a/",
    "concepts/%EF%BC%A1/",
    "concepts/A%CC%81/",
    "concepts//A/",
    "concepts/A//",
    "Concepts/A/",
    "concepts/" + "x" * 256 + "/",
    "concepts/%25/",
    "concepts/%25zz/",
    "concepts/A%2e%2e/",
    "versions/%2e%2e/",
    "v1/%2e%2e/concepts/A/",
    "concepts/A/extras/%2e%2e/",
    "concepts/A/extras/a%2Fb/",
    "concepts/A/extras/%00/",
    "concepts/A/extras/%0d%0aX:1/",
    "concepts/A/extras/%25/",
)


@pytest.mark.parametrize(
    ("method", "rest"),
    [
        (method, rest)
        for method in ("GET", "PUT", "DELETE")
        for rest in NOT_ITEMS
        if method != "PUT" or "/extras/" not in rest
    ],
)
def test_a_path_that_only_looks_like_an_item_is_not_found(api, source, method, rest):
    source.concept("A")
    before = api.get(f"{source.url}concepts/A/").get_json()
    options = {"json": {}} if method == "PUT" else {}

    response = raw(api, source.url + rest, method, **options)

    assert response.status_code == 404 or (response.status_code == 405 and method != "GET")
    assert response.get_json()["detail"]
    assert "X-Injected" not in response.headers
    assert api.get(f"{source.url}concepts/A/").get_json() == before


@pytest.mark.parametrize(
    "key",
    [
        "a/b",
        "..",
        "%",
        "%2e",
        "a.b",
        "$x",
        "é",
        "e\u0301",
        "\r\nX-Injected: 1",
        " ",
        "\\",
        '"',
        "😀",
        "<script>",
    ],
)
def test_a_key_of_extras_may_be_any_text(api, source, key):
    address = f"{source.url}extras/{quote(key, safe='').replace('.', '%2e')}/"

    assert good(raw(api, address, "PUT", json={key: 1})).get_json() == {key: 1}
    response = good(raw(api, address))
    assert response.get_json() == {key: 1}
    assert "X-Injected" not in response.headers
    assert raw(api, address, "DELETE").status_code == 204


def test_ids_that_differ_in_case_only_are_different(api, source):
    source.concepts("abc", "ABC")

    assert [
        good(api.get(f"{source.url}concepts/{name}/")).get_json()["id"] for name in ("abc", "ABC")
    ] == ["abc", "ABC"]
    assert api.get(f"{source.url}concepts/Abc/").status_code == 404


@pytest.mark.parametrize(
    "bad",
    ["%00", "%ff%fe", "%0d%0aX-Injected:%201", "%", "%zz", "%E2%82", "\\", "'\"<>", "%F0%9F%98%80"],
)
@pytest.mark.parametrize(
    "listing",
    ["concepts/", "mappings/", "versions/", "", "../", "concepts/A/names/", "concepts/A/mappings/"],
)
def test_a_strange_value_in_a_query_never_breaks_a_response(api, source, listing, bad):
    source.concepts("A", "B")
    address = (
        source.url.rpartition("sources/")[0] + "sources/"
        if listing == "../"
        else source.url + listing
    )
    for name in (
        "limit",
        "page",
        "updatedSince",
        "cursor",
        "verbose",
        "sortAsc",
        "includeConcepts",
        "includeRetired",
    ):
        response = raw(api, address, query=f"{name}={bad}")
        assert response.status_code in (200, 400), (name, response.get_data(as_text=True))
        assert response.is_json
    response = raw(api, address, query=f"{bad}={bad}&unknown={bad}&limit=1")
    assert response.status_code == 200
    for name, value in response.headers:
        assert "\r" not in value
        assert "\n" not in value
        assert name != "X-Injected"


def test_the_first_value_of_a_repeated_parameter_counts(api, source):
    source.concepts("A", "B", "C")

    assert good(api.get(f"{source.url}concepts/?limit=1&limit=2")).headers["num_returned"] == "1"


def test_a_link_to_the_next_page_escapes_the_query(api, source):
    source.concepts("A", "B")
    response = raw(
        api, f"{source.url}concepts/", query="limit=1&x=%0d%0aX-Injected:%201&y=%22%3E&z=%ff"
    )

    assert response.status_code == 200
    assert "X-Injected" not in response.headers
    following = response.headers["next"]
    assert following.isascii()
    assert good(api.get(following.removeprefix("http://localhost"))).headers["num_returned"] == "1"


@pytest.mark.parametrize(("length", "status"), [(16_000, 200), (17_000, 414), (1_000_000, 414)])
def test_a_query_longer_than_a_request_line_is_refused(api, source, length, status):
    response = raw(api, f"{source.url}concepts/", query="x=" + "y" * length)

    assert response.status_code == status
    assert response.is_json


@pytest.mark.parametrize(
    "query",
    [
        "q=" + "*" * 1001,
        "conceptClass=" + "x" * 1001,
        "extras__a=" + "x" * 1001,
        "datatype=a,%22" + "x" * 1001 + "%22",
    ],
)
def test_a_value_that_is_too_long_is_refused_by_its_parameter(api, source, query):
    response = raw(api, f"{source.url}concepts/", query=query)

    assert response.status_code == 400
    assert list(response.get_json()["errors"]) == [query.partition("=")[0]]
    assert "at most 1000 characters" in str(response.get_json())


@pytest.mark.parametrize(
    "query",
    [
        "q=" + "*" * 1000,
        "q=" + quote("中" * 1000),
        "conceptClass=" + ",".join("x" * 900 for _ in range(10)),
        "x=" + "y" * 15_000,
        "&".join(f"extras__key{number}!=value" for number in range(500)),
    ],
    ids=["stars", "non-ASCII", "alternatives", "unknown", "extras"],
)
def test_the_links_to_other_pages_are_short_whatever_the_query(api, source, query):
    source.concepts(*(f"C{number}" for number in range(6)))
    response = raw(api, f"{source.url}concepts/", query=f"{query}&limit=2&page=2")

    assert response.status_code == 200
    assert sum(len(response.headers.get(name, "")) for name in ("Link", "next", "previous")) < 4096


def test_a_packed_link_leads_to_the_next_page_of_the_same_list(api, source):
    source.concepts(*(f"C{number}" for number in range(6)))
    query = "x=" + "y" * 15_000
    seen, following = [], f"{source.url}concepts/?{query}&limit=2&sortAsc=id"
    while following:
        url, query = following.removeprefix("http://localhost").split("?")
        response = raw(api, url, query=query)
        seen += [concept["id"] for concept in good(response).get_json()]
        following = response.headers.get("next")

    assert seen == [f"C{number}" for number in range(6)]


def test_a_parameter_may_be_added_to_a_packed_link(api, source):
    source.concepts(*(f"C{number}" for number in range(6)))
    first = raw(api, f"{source.url}concepts/", query=f"x={'y' * 15_000}&limit=2&sortAsc=id")
    url, query = first.headers["next"].removeprefix("http://localhost").split("?")
    response = raw(api, url, query=f"{query}&verbose=true")

    assert [concept["id"] for concept in good(response).get_json()] == ["C2", "C3"]
    assert "extras" in response.get_json()[0]


def test_a_packed_query_is_no_longer_than_a_request_line(api, source):
    source.concepts("A", "B")
    query = packed("limit=1&" + "a&" * 65_000)
    response = raw(api, f"{source.url}concepts/", query=query)
    assert response.headers["num_returned"] == "2"  # it was ignored


def test_a_form_has_a_size_of_its_own(api):
    response = api.open("PUT", "/user/", data="a&" * 40_000, content_type=FORM)
    assert response.status_code == 413


def test_parameters_that_no_link_can_repeat_are_refused(api, source):
    value = base64.urlsafe_b64encode(random.Random(1).randbytes(9000)).decode()
    response = raw(api, f"{source.url}concepts/", query=f"x={value}")

    assert response.status_code == 400
    assert "too long for links" in str(response.get_json())


@pytest.mark.parametrize(
    "text", ["packed=", "packed=%00", "packed=AAAA", "packed=eJw", "packed=x&q=a"]
)
def test_a_packed_query_that_can_not_be_read_is_ignored(api, source, text):
    assert raw(api, f"{source.url}concepts/", query=text).status_code == 200


def test_thousands_of_parameters_are_accepted(api, source):
    assert raw(api, f"{source.url}concepts/", query="&".join(["a=1"] * 4000)).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "a b", "evil.example/path", 'x"y', "[::1", "évil.example", ""]
)
def test_a_strange_host_never_breaks_a_response(api, host):
    response = api.open("GET", "/orgs/?limit=1", environ_overrides={"HTTP_HOST": host})

    assert response.status_code in (200, 400)
    assert response.is_json


def test_links_use_the_base_url_setting_and_not_the_host_header(limited):
    api = limited(base_url="https://terms.example.org", rate_limit=0)
    response = api.open("GET", "/orgs/?limit=1", environ_overrides={"HTTP_HOST": "evil.example"})

    assert "evil.example" not in str(response.headers)
    assert response.headers["Link"].startswith("<https://terms.example.org/orgs/")


# Bodies


@pytest.mark.parametrize("url", ["/users/login/", "/users/signup/"])
def test_a_stranger_may_send_a_small_body_only(limited, url):
    api = limited(signup_hosts="example.org", base_url="https://example.org").anonymous
    body = json.dumps({"username": "x" * 64 * 2**10})

    assert api.open("POST", url, data=body, content_type="application/json").status_code == 413


UNKNOWN = {
    "lists": "[" + ",".join(["[]"] * 15_000) + "]",
    "keys": "{" + ",".join(f'"{number:05}":1' for number in range(4_000)) + "}",
    "nesting": "[" * 60 + "]" * 60,
    "a text": '"%s"' % ("\U0001f600" * 12_000),
}
"""Values for keys that no route expects."""


@pytest.mark.parametrize("value", UNKNOWN.values(), ids=UNKNOWN)
def test_what_a_body_contains_besides_is_ignored(limited, source, value):
    api = limited(rate_limit=0, signup_hosts="example.org", base_url="https://example.org")

    def post(caller, url, fields):
        body = json.dumps(fields)[:-1] + f', "unknown": {value}}}'
        assert len(body.encode()) < 64 * 2**10
        return caller.open("POST", url, data=body, content_type="application/json")

    wrong = post(api.anonymous, "/users/login/", {"username": "root", "password": "x"})
    assert (wrong.status_code, "unknown" in wrong.get_data(as_text=True)) == (401, False)
    missing = post(api.anonymous, "/users/signup/", {"name": "x"})
    assert (missing.status_code, "unknown" in missing.get_json()["errors"]) == (400, False)
    made = post(api, f"{source.url}concepts/", concept_body("A"))
    assert (made.status_code, "unknown" in made.get_json()) == (201, False)


@pytest.mark.parametrize("part", ["[],", "{},", '"a":1,', "1,"])
def test_the_values_of_a_body_are_counted_before_they_are_parsed(api, source, part):
    most = 200_000
    inner = part * (most - 10)
    body = '{"extras":' + ("{%s}" if ":" in part else "[%s]") % inner[:-1] + "}"
    response = api.open(
        "POST", f"{source.url}concepts/", data=body, content_type="application/json"
    )
    assert response.status_code == 400

    tracemalloc.start()
    try:
        body = body.replace(inner[:-1], (inner * 10)[:-1])
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        response = api.open(
            "POST", f"{source.url}concepts/", data=body, content_type="application/json"
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert response.status_code == 400
    assert "values" in str(response.get_json())
    assert peak - before < 6 * len(body)


@pytest.mark.parametrize("declared", ["-1", "abc", "9" * 40, " ", "1e3"])
def test_a_wrong_content_length_is_the_clients_error(api, source, declared):
    response = api.open(
        "POST",
        f"{source.url}concepts/",
        data=json.dumps(concept_body("A")),
        content_type="application/json",
        environ_overrides={"CONTENT_LENGTH": declared},
    )
    assert response.status_code in (400, 413)
    assert source.ids() == []


@pytest.mark.parametrize(
    "content_type",
    [
        "text/csv",
        "application/octet-stream",
        "application/jsonp",
        "json",
        "application/json-patch+json",
    ],
)
def test_other_content_types_are_refused(api, content_type):
    response = api.open(
        "POST", "/orgs/", data='{"id": "Typed", "name": "x"}', content_type=content_type
    )

    assert response.status_code == 415
    assert api.get("/orgs/Typed/").status_code == 404


FORM = "application/x-www-form-urlencoded"
PARTS = "multipart/form-data; boundary=x"
PART = '--x\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'


def flat(app, services, data, content_type):
    with app.test_request_context(
        "/users/login/", method="POST", data=data, content_type=content_type
    ):
        return body.read_flat(services.settings)


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        ("username=amina&password=a%20%26%C3%A9&password=other&company=", FORM),
        (
            PART.format("username", "amina")
            + PART.format("password", "a &é")
            + PART.format("company", "")
            + "--x--\r\n",
            PARTS,
        ),
        (json.dumps({"username": "amina", "password": "a &é", "company": ""}), "application/json"),
    ],
)
def test_a_flat_body_may_be_a_form(app, services, data, content_type):
    assert flat(app, services, data.encode(), content_type) == {
        "username": "amina",
        "password": "a &é",
        "company": "",
    }


@pytest.mark.parametrize(
    ("data", "content_type", "failure"),
    [
        (b"username=a%00b", FORM, Invalid),
        (b"\xff=1", FORM, Invalid),
        (b"--x\r\nno part", PARTS, Invalid),
        (b"a=1", "multipart/form-data", Invalid),
        ((PART.format("a", "1") * 1001 + "--x--\r\n").encode(), PARTS, Invalid),
        (b"a=" + b"x" * (17 * 2**20), FORM, BodyTooLarge),
        (b"a=1", "text/plain", UnsupportedMediaType),
    ],
    ids=["NUL", "not UTF-8", "cut off", "no boundary", "too many parts", "too large", "neither"],
)
def test_a_form_that_can_not_be_read_is_refused(app, services, data, content_type, failure):
    with pytest.raises(failure):
        flat(app, services, data, content_type)
