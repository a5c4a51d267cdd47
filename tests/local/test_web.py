"""Behaviour that only a real web server has.

Requests that are not valid HTTP, and responses that are sent before a large body has been read.
"""

import json
import os
import re
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import psutil
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


@contextmanager
def serving(mongo_url, folder, before=(), **environ):
    """One process of the real server, which the command `before` runs. It needs no Redis here."""
    port = free_port()
    environ = {
        "PATH": os.environ["PATH"],
        "PORT": str(port),
        "WEB_CONCURRENCY": "1",
        "OCL_HOME": str(folder),
        "MONGO_URL": mongo_url,
        "OCL_SECRET_KEY": KEY,
        "OCL_ROOT_TOKEN": TOKEN.upper(),
        "OCL_EXPORT_CACHE": str(folder / "exports"),
        **environ,
    }
    with open(folder / "web.log", "wb") as log:
        process = subprocess.Popen(
            [*before, *WEB], cwd=ROOT, env=environ, stdout=log, stderr=log, umask=0o022
        )
    server = Server("web", f"http://127.0.0.1:{port}", port, folder, process)
    try:
        wait_until(server, is_ready, 60)
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def web(new_mongo_url, tmp_path_factory):
    """A server with low limits."""
    folder = tmp_path_factory.mktemp("web")
    with serving(new_mongo_url(), folder, OCL_MAX_BODY=str(MOST), OCL_BODY_SILENCE="1") as server:
        yield server


@pytest.fixture
def usual(new_mongo_url, tmp_path):
    """A server with the usual limits."""
    with serving(new_mongo_url(), tmp_path) as server:
        yield server


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
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
    ],
    ids=[
        "not HTTP",
        "an unknown version",
        "a name with a space",
        "a header too long",
        "too many headers",
        "quotation marks",
        "a length of 5,000 digits",
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


def test_an_error_that_nobody_expected_ends_one_connection_only(web, connection):
    pids = {child.pid for child in psutil.Process(web.pid).children()}
    for sent in (b"9" * 5000, b"-1", b"1_0", b"\xff", b""):
        with socket.create_connection(("127.0.0.1", web.port), timeout=30) as caller:
            caller.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + sent + b"\r\n\r\n")
            assert everything(caller).startswith(b"HTTP/1.1 400 ")
    connection.request("GET", "/orgs/")
    assert connection.getresponse().status == 200
    assert {child.pid for child in psutil.Process(web.pid).children()} == pids


def test_a_header_can_not_change_the_path(connection):
    connection.request("GET", "/orgs/", headers={"SCRIPT_NAME": "/foo", "PATH_INFO": "/x"})
    assert connection.getresponse().status in (200, 400)


def test_a_path_is_cut_at_its_slashes_before_it_is_decoded(web, connection):
    headers = {"Authorization": f"Token {TOKEN}", "Content-Type": "application/json"}

    def post(path, **body):
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        assert response.status == 201, response.read()
        response.read()
        return response.headers["Location"].partition("/orgs")[2]

    def get(sent):
        """Send exactly this path."""
        with socket.create_connection(("127.0.0.1", web.port), timeout=30) as caller:
            caller.sendall(b"GET " + sent + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            response = HTTPResponse(caller)
            response.begin()
            return response.status, json.loads(response.read()).get("id")

    post("/orgs/", id="Paths", name="Paths")
    post("/orgs/Paths/sources/", id="S", name="S")
    source = "/orgs/Paths/sources/S/"
    for short, spelled in {"a/b": "a%2Fb", "%2F": "%252F", "é": "%C3%A9", "a b": "a%20b"}.items():
        names = [{"name": "n", "locale": "en"}]
        made = post(f"{source}concepts/", id=short, concept_class="x", names=names)
        assert made == f"/Paths/sources/S/concepts/{spelled}/"
    concepts = f"{source}concepts/".encode()
    for sent, short in {
        b"a%2Fb/": "a/b",
        b"a%2fb": "a/b",
        b"%61%2F%62/": "a/b",
        b"%252F/": "%2F",
        b"%25%32%46/": "%2F",
        b"%C3%A9/": "é",
        b"%c3%a9": "é",
        b"e%CC%81/": "é",
        b"a%20b/": "a b",
    }.items():
        assert get(concepts + sent) == (200, short)
        assert get(b"http://x" + concepts + sent) == (200, short)
    for sent in (b"a/b/", b"%2F/", b"%2f%2f/", b"a%252Fb/", b"a+b/", b"%00/", b"a%20b%20/"):
        assert get(concepts + sent) == (404, None)
    for sent in (b"%zz/", b"%zz", b"%/", b"a%2", b"%FF/", b"\xc3\xa9/", b"%C3/", b"%ED%A0%80/"):
        assert get(concepts + sent)[0] == 400
    assert get(concepts + b"%2F" * 2000) == (404, None)
    assert get(concepts + b"%2F" * 6000) == (414, None)


def test_a_log_quotes_no_link(web):
    with socket.create_connection(("127.0.0.1", web.port), timeout=30) as caller:
        caller.sendall(b"GET /exports/a b?signature=SECRET HTTP/1.1\r\nHost: x\r\n\r\n")
        assert everything(caller).startswith(b"HTTP/1.1 400 ")
    log = (web.folder / "web.log").read_text()
    assert "Invalid request from ip=" in log
    assert "SECRET" not in log


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
    "body", [b"x" * (MOST + 50_000), [b"x" * 1000] * 3000], ids=["large", "chunked"]
)
def test_the_response_to_a_body_over_the_limit_closes_the_connection(connection, body):
    connection.request(
        "POST",
        "/orgs/",
        body,
        {"Authorization": f"Token {TOKEN}", "Content-Type": "application/json"},
    )
    response = connection.getresponse()
    assert response.status == 413
    assert response.will_close
    assert json.loads(response.read())["detail"]


def test_a_chunked_body_is_read_and_its_connection_stays_open(connection):
    for _ in range(2):
        connection.request(
            "POST",
            "/orgs/",
            [b"x" * 1000] * 1000,
            {"Authorization": f"Token {TOKEN}", "Content-Type": "application/json"},
        )
        response = connection.getresponse()
        assert (response.status, response.will_close) == (400, False)
        assert list(json.loads(response.read())["errors"]) == ["__all__"]


def test_a_client_that_waits_for_100_continue_receives_it_once(web):
    with socket.create_connection(("127.0.0.1", web.port), timeout=30) as caller:
        caller.sendall(
            b"POST /orgs/ HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
            b"Expect: 100-continue\r\nConnection: close\r\n\r\n"
        )
        assert caller.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        caller.sendall(b"{}")
        answer = everything(caller)
    assert answer.startswith(b"HTTP/1.1 401 ")


def test_requests_that_are_sent_at_once_have_their_responses_in_order(web):
    paths = ["/version/", "/nowhere/", "/orgs/", "/version/"]
    with socket.create_connection(("127.0.0.1", web.port), timeout=30) as caller:
        caller.sendall(
            b"".join(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode() for path in paths)
        )
        caller.shutdown(socket.SHUT_WR)
        answer = everything(caller)
    assert re.findall(rb"HTTP/1.1 (\d+) ", answer) == [b"200", b"404", b"200", b"200"]


def everything(caller):
    """What the connection still holds, to its end."""
    data = bytearray()
    with suppress(ConnectionResetError):
        while more := caller.recv(2**20):
            data += more
    return bytes(data)


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


@pytest.mark.parametrize("token", [TOKEN, "x"])
def test_a_body_that_stops_is_refused(web, token):
    status, body = response_to(half_sent(web, token=token))
    assert (status, body) == (408, {"detail": "the request did not arrive in time"})


LOGIN = b"POST /users/login/ HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize("scheme", ["https", "ftp"])
def test_no_header_changes_the_scheme_of_links(web, connection, scheme):
    connection.request("GET", "/orgs/?limit=1", headers={"X-Forwarded-Proto": scheme})
    response = connection.getresponse()
    response.read()
    assert response.headers["Link"].startswith(f"<http://127.0.0.1:{web.port}/orgs/")


FEW_FILES = 160


def test_few_file_descriptors_are_enough_for_those_who_are_connected(new_mongo_url, tmp_path):
    """Others wait until one of them leaves."""
    few = ["sh", "-c", f'ulimit -n {FEW_FILES} && exec "$@"', "sh"]
    with serving(new_mongo_url(), tmp_path, before=few) as server, ExitStack() as stack:
        callers = [HTTPConnection("127.0.0.1", server.port, timeout=30) for _ in range(300)]
        for caller in callers:
            caller.connect()
            stack.callback(caller.close)
        for _ in range(3):
            for caller in callers[:10]:
                caller.request("GET", "/orgs/")
                response = caller.getresponse()
                assert (response.status, bool(response.read())) == (200, True)
        for caller in callers:
            caller.close()
        with urlopen(f"{server.url}/orgs/", timeout=30) as response:
            assert response.status == 200
        [worker] = psutil.Process(server.pid).children()
        assert worker.num_fds() < FEW_FILES
    assert "can't accept" not in (tmp_path / "web.log").read_text()


SLOW = {
    "heads": b"GET /orgs/ HTTP/1.1\r\nX-Slow: ",
    "bodies": LOGIN + b"Content-Length: 1000\r\n\r\n",
    "bodies in chunks": LOGIN + b"Transfer-Encoding: chunked\r\n\r\nfff\r\n",
    "responses": b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 20,
}
"""What clients send that then send, or take, a byte now and then."""


def test_slow_clients_hold_no_thread_and_are_ended(web, connection):
    with ExitStack() as stack:
        callers = {what: [] for what in SLOW}
        for what in [*SLOW] * 10:  # five clients for each thread
            caller = stack.enter_context(socket.socket())
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            caller.settimeout(30)
            caller.connect(("127.0.0.1", web.port))
            caller.sendall(SLOW[what])
            callers[what].append(caller)
        end = time.monotonic() + 6
        while time.monotonic() < end:
            for what, slow in callers.items():
                for caller in slow:
                    with suppress(OSError):
                        caller.recv(1) if what == "responses" else caller.send(b"x")
            connection.request("GET", "/orgs/")
            response = connection.getresponse()
            assert (response.status, bool(response.read())) == (200, True)
        # A silent client is ended after a second, a slow one after ten.
        answers = {what: [everything(caller) for caller in slow] for what, slow in callers.items()}
    assert max(answer.count(b"HTTP/1.1 200 ") for answer in answers.pop("responses")) < 20
    for slow in answers.values():
        assert {answer[:13] for answer in slow} == {b"HTTP/1.1 408 "}


def test_a_client_that_takes_its_responses_late_receives_them_whole(web):
    with urlopen(f"{web.url}/openapi.json") as response:
        expected = response.read()
    head = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n"
    answer = bytearray()
    with socket.create_connection(("127.0.0.1", web.port), timeout=30) as caller:
        caller.sendall((head + b"\r\n") * 39 + head + b"Connection: close\r\n\r\n")
        time.sleep(0.5)
        while more := caller.recv(100_000):
            answer += more
            time.sleep(0.005)
    assert answer.count(expected) == 40


def test_a_truncated_body_is_refused(web, connection):
    caller = half_sent(web, length=500, sent=b'{"id": "Cut", "name": "Cut"}')
    caller.shutdown(socket.SHUT_WR)
    status, body = response_to(caller)
    assert (status, list(body["errors"])) == (400, ["__all__"])
    connection.request("GET", "/orgs/Cut/")
    assert connection.getresponse().status == 404


def test_what_the_web_server_writes_is_for_its_owner_only(web):
    written = list((web.folder / "metrics").rglob("*"))
    assert any(path.is_file() for path in written)
    assert not any(path.stat().st_mode & 0o077 for path in written)


def test_the_first_superusers_token_may_be_written_in_capitals(connection):
    for token in (TOKEN, TOKEN.upper()):
        connection.request("GET", "/user/", headers={"Authorization": f"Token {token}"})
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())["username"]) == (200, "root")


WITH_TOKEN = {"Authorization": f"Token {TOKEN}"}
LARGEST = 16 * 2**20
FILLINGS = {
    "lists": b"[],",
    "objects": b"{},",
    "numbers": b"1,",
    "texts": b'"%s",' % (b"x" * 1000),
    "one text": b"x",
    "emoji": "\U0001f600".encode(),
    "texts of emoji": b'"%s\xf0\x9f\x98\x80",' % (b"x" * 78),
    "lists of texts": b'%s"%s"%s,' % (b"[" * 50, b"x" * 4200, b"]" * 50),
}
"""What the largest bodies consist of."""


def body_of(filling, key=b"extras"):
    """A JSON object of the largest size that a body may have."""
    begin, end = b'{"id": "X", "%b": {"a": [' % key, b"1]}}"
    if not filling.endswith(b","):
        begin, end = b'{"number": 1234567890123456789, "id": "\xf0\x9f\x98\x80', b'"}'
    room = LARGEST - len(begin) - len(end)
    return begin + (filling * (room // len(filling))) + b" " * (room % len(filling)) + end


def most_memory(process):
    """The largest resident memory of a process since the last call, in bytes."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    most = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")
    return most


def test_the_largest_bodies_do_not_fill_the_memory(usual):
    """Sent four at a time, with a token and without."""
    [worker] = psutil.Process(usual.pid).children()

    def send(body, path, headers):
        connection = HTTPConnection("127.0.0.1", usual.port, timeout=60)
        with closing(connection):
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            json.loads(response.read())
            return response.status

    with ThreadPoolExecutor(4) as pool:
        send(b"{}", "/orgs/", {})
        most_memory(worker)
        before = worker.memory_info().rss
        bodies = [body_of(filling) for filling in FILLINGS.values()]
        bodies += [body_of(FILLINGS[name], b"unknown") for name in [*FILLINGS][-2:]]
        cases = [("/orgs/", WITH_TOKEN, {400, 413}, body) for body in bodies]
        cases.append(("/orgs/", {}, {401}, bodies[0]))
        cases.append(("/users/login/", {}, {413}, bodies[0]))
        for path, headers, statuses, body in cases:
            sent = [pool.submit(send, body, path, headers) for _ in range(4)]
            assert {one.result() for one in sent} <= statuses
            assert most_memory(worker) - before < 300 * 2**20
    assert worker.memory_info().rss - before < 100 * 2**20
