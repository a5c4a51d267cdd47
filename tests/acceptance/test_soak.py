"""What strangers may do to a server for minutes, and what its other users notice of it.

`make test` leaves these tests out; `make soak` runs them. They compare times that were measured in
the same run, so they need a machine that does nothing else.
"""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.client import HTTPConnection

import psutil
import pytest

from oclapi import jsonio
from tests.acceptance.site import Client, concept_body, done, running

pytestmark = [pytest.mark.soak, pytest.mark.servers, pytest.mark.timeout(900)]

CLIENTS = 200
SECONDS = 30
LOGIN = b"POST /users/login/ HTTP/1.1\r\nHost: x\r\n"
SLOW = {
    "heads": b"GET /orgs/ HTTP/1.1\r\nX-Slow: ",
    "bodies": LOGIN + b"Content-Length: 50000\r\n\r\n",
    "bodies in chunks": LOGIN + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n",
    "responses": b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 3,
}
ROWS = 20_000
RELEASES = 150
SOON = 2.0
"""Seconds in which a small export is there, whatever others have asked for."""


@pytest.fixture(scope="module")
def site():
    with running() as site:
        yield site


@pytest.fixture(scope="module")
def concept(site):
    return f"{site.new_source('Quiet', 'Small', 'C1')}concepts/C1/"


def trickle(site, what, stop):
    """Send or take a byte every two seconds; begin again when the server ends the connection."""
    address = site.settings.port
    while not stop.is_set():
        with suppress(OSError), socket.socket() as caller:
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            caller.settimeout(5)
            caller.connect(("127.0.0.1", address))
            caller.sendall(SLOW[what])
            while not stop.wait(2):
                if what == "responses":
                    if not caller.recv(1):
                        break
                else:
                    caller.sendall(b"x")


@contextmanager
def beside(site, what):
    """Slow clients, for the length of the block."""
    stop = threading.Event()
    threads = [
        threading.Thread(target=trickle, args=(site, what, stop), daemon=True)
        for _ in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    time.sleep(5)
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def p95(site, concept):
    """The 95th percentile of the seconds for a concept."""
    connection = HTTPConnection("127.0.0.1", site.settings.port, timeout=60)
    taken, end = [], time.monotonic() + SECONDS
    while time.monotonic() < end:
        begun = time.monotonic()
        connection.request("GET", concept)
        response = connection.getresponse()
        assert (response.status, bool(response.read())) == (200, True)
        taken.append(time.monotonic() - begun)
    connection.close()
    return sorted(taken)[len(taken) * 95 // 100]


@pytest.mark.parametrize("what", SLOW)
def test_slow_clients_do_not_slow_down_others(site, concept, what):
    usual = p95(site, concept)
    with beside(site, what):
        busy = p95(site, concept)
    assert busy < 2 * usual


def test_an_export_that_was_asked_for_does_not_wait_for_releases(site):
    big = site.new_source("Busy", "Big")
    site.load(
        *(
            {"type": "Concept", "owner": "Busy", "owner_type": "Organization", "source": "Big"}
            | concept_body(f"C{number}", datatype="N/A")
            for number in range(ROWS)
        )
    )
    small = site.new_source("Other", "One", "C1")
    for number in range(RELEASES):
        done(site.client.post(f"{big}versions/", {"id": f"v{number}", "released": True}))
    done(site.client.post(f"{small}versions/", {"id": "v1"}))
    begun = time.monotonic()
    done(site.client.post(f"{small}v1/export/"))
    site.export_ready(f"{small}v1/")
    assert time.monotonic() - begun < SOON


def test_the_largest_bodies_do_not_fill_the_memory_for_good(site):
    def send(body):
        client = Client(site.url, site.client.token)
        return client.call("POST", "/orgs/", body).status

    def memory():
        return sum(process.memory_info().rss for process in site.processes("web"))

    room = site.settings.max_body - len(jsonio.dumps({"id": ""}))
    bodies = [{"id": "x" * room}, {"id": [[]] * (room // 3 - 10)}, {"id": [{}] * (room // 3 - 10)}]
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(send, bodies)) <= {400, 413}
        before = memory()
        for _ in range(20):
            assert set(pool.map(send, [*bodies, bodies[0]])) <= {400, 413}
        assert memory() - before < 150 * 2**20
    assert psutil.pid_exists(site.part("web").server.pid)
