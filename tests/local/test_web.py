"""Behaviour that only a real web server has.

Requests that are not valid HTTP, and responses that are sent before a large body has been read.
"""

import json
import os
import socket
import subprocess
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from oclapi.local.run import WEB
from oclapi.local.servers import Server, free_port, wait_until
from tests.builders import KEY, TOKEN

pytestmark = pytest.mark.servers

ROOT = Path(__file__).parents[2]
MOST = 2**20
"""Largest size of a request body, in bytes."""


def is_ready(server):
    try:
        urlopen(f"{server.url}/orgs/").close()
    except URLError:
        return False
    return True


@pytest.fixture(scope="module")
def web(new_mongo_url, tmp_path_factory):
    """One process of the real server; Redis is not needed here."""
    folder, port = tmp_path_factory.mktemp("web"), free_port()
    environ = {
        "PATH": os.environ["PATH"],
        "PORT": str(port),
        "WEB_CONCURRENCY": "1",
        "OCL_HOME": str(folder),
        "MONGO_URL": new_mongo_url(),
        "OCL_SECRET_KEY": KEY,
        "OCL_ROOT_TOKEN": TOKEN.upper(),
        "OCL_EXPORT_CACHE": str(folder / "exports"),
        "OCL_MAX_BODY": str(MOST),
        "OCL_BODY_SILENCE": "1",
    }
    with open(folder / "web.log", "wb") as log:
        process = subprocess.Popen(WEB, cwd=ROOT, env=environ, stdout=log, stderr=log)
    server = Server("web", f"http://127.0.0.1:{port}", port, folder, process)
    try:
        wait_until(server, is_ready, 60)
        yield server
    finally:
        server.stop()


@pytest.fixture
def connection(web):
    connection = HTTPConnection("127.0.0.1", web.port, timeout=30)
    yield connection
    connection.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /orgs/ HTTP/9.9\r\n\r\n", 400),
        (b"GET /orgs/ HTTP/1.1\r\nHost: x\r\nBad Header: 1\r\n\r\n", 400),
        (b"GET /orgs/ HTTP/1.1\r\nHost: x\r\nX-Large: " + b"x" * 17_000 + b"\r\n\r\n", 431),
        (b"GET /orgs/ HTTP/1.1\r\n" + b"X-Many: 1\r\n" * 101 + b"\r\n", 431),
        (b"GET /<script> HTTP/1.1 \"'\r\n\r\n", 400),
    ],
    ids=[
        "not HTTP",
        "an unknown version",
        "a name with a space",
        "a header too long",
        "too many headers",
        "quotation marks",
    ],
)
def test_a_request_that_the_web_server_refuses_itself_has_a_json_response(web, sent, status):
    with socket.create_connection(("127.0.0.1", web.port), timeout=30) as caller:
        caller.sendall(sent)
        response = HTTPResponse(caller)
        response.begin()
        body = json.loads(response.read())

    assert response.status == status
    assert (response.headers["Content-Type"], response.headers["Connection"]) == (
        "application/json",
        "close",
    )
    assert len(response.headers.get_all("Date")) == 1
    assert body["detail"]


def test_a_request_of_http_1_1_without_a_host_is_refused(web):
    with socket.create_connection(("127.0.0.1", web.port), timeout=30) as caller:
        caller.sendall(b"GET /version/ HTTP/1.1\r\nConnection: close\r\n\r\n")
        response = HTTPResponse(caller)
        response.begin()
        assert response.status == 400
        assert "Host" in json.loads(response.read())["detail"]


EARLY = {
    "no credentials": ("POST", "/orgs/", {}, 401),
    "a bad token": ("POST", "/orgs/", {"Authorization": "Token x"}, 401),
    "an unknown URL": ("POST", "/nowhere/", {}, 404),
    "a method that is not allowed": ("DELETE", "/orgs/", {}, 405),
    "an unsupported media type": (
        "POST",
        "/orgs/",
        {"Authorization": f"Token {TOKEN}", "Content-Type": "text/csv"},
        415,
    ),
}


@pytest.mark.parametrize("why", EARLY)
def test_a_client_that_sends_a_large_body_receives_an_early_response(connection, why):
    method, path, headers, status = EARLY[why]
    for _ in range(2):  # on the same connection
        connection.request(method, path, b"x" * (MOST - 1), headers)
        local = connection.sock.getsockname()
        response = connection.getresponse()
        assert (response.status, bool(json.loads(response.read()))) == (status, True)
        assert not response.will_close
        assert connection.sock.getsockname() == local


@pytest.mark.parametrize(
    "body", [b"x" * (MOST + 50_000), [b"x" * 1000] * 1000], ids=["large", "chunked"]
)
def test_the_response_to_a_body_over_the_limit_or_of_unknown_length_closes_the_connection(
    connection, body
):
    connection.request(
        "POST",
        "/orgs/",
        body,
        {"Authorization": f"Token {TOKEN}", "Content-Type": "application/json"},
    )
    response = connection.getresponse()
    assert response.status == (413 if isinstance(body, bytes) else 400)
    assert response.will_close
    assert json.loads(response.read())["detail"]


def half_sent(web, length=100, sent=b"{", token=TOKEN):
    """Return a connection that has sent only the beginning of a body."""
    caller = socket.create_connection(("127.0.0.1", web.port), timeout=30)
    head = (
        f"POST /orgs/ HTTP/1.1\r\nHost: x\r\nAuthorization: Token {token}\r\n"
        f"Content-Length: {length}\r\n\r\n"
    )
    caller.sendall(head.encode() + sent)
    return caller


def response_to(caller):
    with caller:
        response = HTTPResponse(caller)
        response.begin()
        return response.status, json.loads(response.read())


@pytest.mark.parametrize(("token", "status"), [(TOKEN, 400), ("x", 401)])
def test_clients_that_never_finish_their_bodies_do_not_block_others(web, connection, token, status):
    with ExitStack() as connections:
        # One for each thread of the server.
        waiting = [connections.enter_context(half_sent(web, token=token)) for _ in range(8)]
        connection.request("GET", "/orgs/")
        assert connection.getresponse().status == 200
        assert [response_to(caller)[0] for caller in waiting] == [status] * 8


def test_a_truncated_body_is_refused(web, connection):
    caller = half_sent(web, length=500, sent=b'{"id": "Cut", "name": "Cut"}')
    caller.shutdown(socket.SHUT_WR)
    status, body = response_to(caller)
    assert (status, list(body["errors"])) == (400, ["__all__"])
    connection.request("GET", "/orgs/Cut/")
    assert connection.getresponse().status == 404


def test_the_first_superusers_token_may_be_written_in_capitals(connection):
    for token in (TOKEN, TOKEN.upper()):
        connection.request("GET", "/user/", headers={"Authorization": f"Token {token}"})
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())["username"]) == (200, "root")
