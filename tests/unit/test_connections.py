"""Requests that arrive in pieces, responses that nobody takes, and the parts of gunicorn used."""

import errno
import inspect
import logging
import socket
import threading
import time
from contextlib import closing
from itertools import cycle
from types import SimpleNamespace

import pytest
from gunicorn import util
from gunicorn.config import Config
from gunicorn.http import get_parser
from gunicorn.http.message import Request
from gunicorn.workers.base import Worker
from gunicorn.workers.gthread import TConn, ThreadWorker
from hypothesis import example, given
from hypothesis import strategies as st

from config.settings import Settings
from oclapi import connections
from oclapi.connections import MOST_FIELDS, BufferingWorker, Inbox, Outbox, Waiting

CFG = SimpleNamespace(
    limit_request_line=0, limit_request_fields=100, limit_request_field_size=16380
)
SETTINGS = Settings(max_body=1024, max_request_line=1024)
GET = b"GET /orgs/ HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /orgs/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"POST /orgs/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'5;note="a"\r\nhello\r\n0\r\nX-Late: 1\r\n\r\n'
)


@pytest.fixture
def inbox():
    inbox = Inbox(CFG, SETTINGS)
    yield inbox
    inbox.close()


def content(inbox):
    inbox.rewind()
    data = b"".join(iter(lambda: inbox.recv(7), b""))
    assert inbox.recv(7) == b""
    return data


@pytest.mark.parametrize("request_", [GET, POST, CHUNKED], ids=["head", "body", "chunked"])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_request_is_ready_with_its_last_byte(inbox, request_, size):
    for begin in range(0, len(request_), size):
        assert not inbox.is_ready
        assert inbox.feed(request_[begin : begin + size]) == b""
    assert (inbox.is_ready, inbox.is_cut) == (True, False)
    assert content(inbox) == request_


def test_bytes_of_the_next_request_are_returned(inbox):
    assert inbox.feed(POST + GET) == GET
    assert content(inbox) == POST


def test_a_body_that_is_too_large_is_not_received(inbox):
    inbox.feed(b"POST / HTTP/1.1\r\nContent-Length: 1025\r\n\r\n")
    assert (inbox.is_ready, inbox.is_cut) == (True, True)


@pytest.mark.parametrize(
    "chunk",
    [b"400\r\n" + b"x" * 1024 + b"\r\n", b"1;" + b"a" * 8000 + b"\r\nx\r\n"],
    ids=["content", "headers"],
)
def test_a_chunked_body_is_received_up_to_a_limit(inbox, chunk):
    """Of its content, and of the headers of its chunks."""
    inbox.feed(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    sent = 0
    while not inbox.is_ready:
        inbox.feed(chunk)
        sent += 1
        assert sent < 1000
    assert inbox.is_cut


def test_the_headers_of_chunks_add_little(inbox):
    """A body needs not much more space than its content, which OCL_MAX_BODY limits."""
    inbox._max_body = 16 * 2**20
    inbox.feed(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"400;" + b"a" * 1000 + b"\r\n" + b"x" * 1024 + b"\r\n"
    while not inbox.is_ready:
        inbox.feed(chunk)
    assert inbox.is_cut
    assert inbox.size < inbox.body_size * 5 / 4 + connections.PIECE + len(chunk)


@pytest.mark.parametrize("size", [64, 100, 5000])
def test_chunks_of_a_usual_size_are_received(inbox, size):
    inbox._max_body = 2**20
    inbox.feed(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(2**20 // size):
        inbox.feed(b"%X\r\n%b\r\n" % (size, b"x" * size))
    assert not inbox.is_ready
    inbox.feed(b"0\r\n\r\n")
    assert (inbox.is_ready, inbox.is_cut) == (True, False)


@pytest.mark.parametrize(("version", "expected"), [(b"1.1", True), (b"1.0", False)])
def test_only_a_client_of_http_1_1_waits_for_100_continue(inbox, version, expected):
    head = b"POST / HTTP/%b\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n" % version
    inbox.feed(head)
    assert inbox.expects_continue() is expected


@given(st.integers(1, 2000), st.lists(st.integers(1, 1200), min_size=1))
@example(1000, [1007])
def test_a_thread_can_read_a_chunked_body_past_its_limit(chunk, pieces):
    """Wherever it was cut, so that the response is 413."""
    limit = SETTINGS.max_body
    sent = CHUNKED.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    sent += (b"%X\r\n%b\r\n" % (chunk, b"x" * chunk)) * (20 * limit // chunk + 1)
    with closing(Inbox(CFG, SETTINGS)) as inbox:
        for size in cycle(pieces):
            if inbox.is_ready:
                break
            inbox.feed(sent[:size])
            sent = sent[size:]
        inbox.rewind()
        body = next(get_parser(Config(), inbox, ("127.0.0.1", 1))).body
        assert len(body.read(limit)) + len(body.read(1)) == limit + 1


@pytest.mark.parametrize(
    ("begin", "status"),
    [(b"GET /", 414), (b"GET / HTTP/1.1\r\n", 431)],
    ids=["the line", "the fields"],
)
def test_a_head_is_kept_up_to_a_limit(inbox, begin, status):
    inbox.feed(begin)
    for number in range(SETTINGS.max_request_line + MOST_FIELDS):
        if inbox.excess or inbox.is_ready:
            break
        inbox.feed(b"a" * 1000 if status == 414 else b"X-%05d: %s\r\n" % (number, b"a" * 2000))
    assert inbox.excess[0] == status
    assert inbox.size < SETTINGS.max_request_line + MOST_FIELDS + 2100


def test_small_chunks_are_received_up_to_a_limit(inbox):
    inbox.feed(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    inbox._max_body = 2**20
    for _ in range(connections.MOST_CHUNKS):
        inbox.feed(b"1\r\nx\r\n")
    assert not inbox.is_ready
    for _ in range(connections.MOST_CHUNKS // 10):
        inbox.feed(b"1\r\nx\r\n")
    assert (inbox.is_ready, inbox.is_cut) == (True, True)


def test_a_length_that_is_no_number_for_python_is_handed_over(inbox):
    inbox.feed(b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n")
    assert (inbox.is_ready, inbox.is_cut) == (True, True)


@pytest.mark.parametrize(
    ("message", "arguments", "kept"),
    [
        ("Invalid request from ip=::1: Invalid HTTP request line: 'GET /exports/S'", (), "ip=::1"),
        ("Error handling request %s %s", ("GET", "/exports/S"), "Error handling a request"),
        ("Worker exiting (pid: %s)", (7,), "Worker exiting (pid: 7)"),
    ],
)
def test_gunicorns_log_quotes_no_requests(caplog, message, arguments, kept):
    logger = logging.getLogger("gunicorn.error")
    logger.propagate = True
    caplog.set_level(logging.WARNING, logger.name)  # commands in other tests raise the level
    logger.warning(message, *arguments)
    assert caplog.records[0].getMessage().endswith(kept)


def test_a_request_that_is_not_http_is_handed_over_as_it_is(inbox):
    inbox.feed(b"nonsense\r\n\r\n")
    assert (inbox.is_ready, inbox.is_cut) == (True, True)
    assert content(inbox) == b"nonsense\r\n\r\n"


@pytest.fixture
def ends():
    """An outbox, the client's end of its connection, and what waits in the process."""
    ours, client = socket.socketpair()
    ours.setblocking(False)
    waiting = Waiting()
    outbox = Outbox(ours, waiting, silence=0.1)
    client.settimeout(30)
    yield outbox, client, waiting
    outbox.drop()
    client.close()


def received(client, outbox, size):
    """Take bytes while the poller sends."""
    data = bytearray()
    while len(data) < size:
        outbox.flush()
        data += client.recv(2**20)
    return bytes(data)


def drain(client, size):
    while size > 0:
        size -= len(client.recv(2**20))


def test_what_a_client_does_not_take_waits_in_order(ends):
    outbox, client, waiting = ends
    parts = [b"a" * 3_000_000, b"b" * 10, b"c" * 500_000]
    for part in parts:
        outbox.sendall(part)
    assert not outbox.flush()
    assert waiting.size > 0
    assert received(client, outbox, 3_500_010) == b"".join(parts)
    assert outbox.flush()
    assert (waiting.size, outbox.sent) == (0, 3_500_010)


def test_for_a_client_that_takes_everything_nothing_waits(ends, monkeypatch):
    outbox, client, waiting = ends
    monkeypatch.setattr(connections, "PATIENCE", 30)
    taking = threading.Thread(target=drain, args=(client, 10_000_000))
    taking.start()
    for _ in range(10):
        outbox.sendall(b"x" * 1_000_000)
        assert waiting.size == 0
    taking.join()
    assert outbox.sent == 10_000_000


def test_few_threads_wait_for_clients_at_a_time(ends):
    outbox, _, waiting = ends
    for _ in range(connections.MOST_PATIENT):
        assert waiting.turns.acquire(blocking=False)
    begun = time.monotonic()
    outbox.sendall(b"x" * 3_000_000)
    assert time.monotonic() - begun < connections.PATIENCE
    assert waiting.size > 0


def test_a_response_ends_when_too_much_waits_and_its_client_takes_nothing(ends, monkeypatch):
    outbox, _, waiting = ends
    monkeypatch.setattr(connections, "MOST_WAITING", 1_000_000)
    with pytest.raises(TimeoutError):
        for _ in range(10):
            outbox.sendall(b"x" * 1_000_000)
    outbox.drop()
    assert waiting.size == 0


class Full:
    """A listening socket of a process that has no file descriptor left."""

    def accept(self):
        raise OSError(errno.EMFILE, "Too many open files")

    def setblocking(self, flag):
        pass


def test_without_a_file_descriptor_the_poller_waits_for_no_client_and_for_nothing_else(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(connections, "time", SimpleNamespace(monotonic=lambda: now[0]))
    worker, watched, listener = object.__new__(BufferingWorker), set(), Full()
    worker.log = SimpleNamespace(error=lambda *arguments: None)
    worker.poller = SimpleNamespace(
        register=lambda socket, *_: watched.add(socket), unregister=watched.remove
    )
    worker.sockets, worker._accepting, worker._next_accept = [listener], False, 0.0
    worker.set_accept_enabled(True)
    assert watched == {listener}

    worker.accept(listener)
    worker.set_accept_enabled(True)
    assert watched == set()
    now[0] += connections.FULL
    worker.set_accept_enabled(True)
    assert watched == {listener}


def test_gunicorn_still_has_the_parts_that_the_worker_replaces():
    assert list(inspect.signature(Request.force_close).parameters) == ["self"]
    assert list(inspect.signature(TConn.__init__).parameters) == [
        "self",
        "cfg",
        "sock",
        "client",
        "server",
    ]
    for name in (
        "accept",
        "init_process",
        "handle_request",
        "finish_request",
        "murder_keepalived",
        "_keepalive_after",
        "_cap_keepalive",
        "set_accept_enabled",
    ):
        own, theirs = getattr(BufferingWorker, name), getattr(ThreadWorker, name)
        assert list(inspect.signature(own).parameters) == list(inspect.signature(theirs).parameters)
    run = inspect.getsource(ThreadWorker.run)
    assert "self.nr_conns < self.worker_connections" in run
    assert "if can_accept != self._accepting:" in run
    handle = inspect.getsource(ThreadWorker.handle)
    assert "if not conn.initialized and not conn.data_ready" in handle
    assert "req = next(conn.parser)" in handle
    assert "self._keepalive_after(conn, self.handle_request(req, conn))" in handle
    finished = inspect.getsource(ThreadWorker.enqueue_req)
    assert "self.tpool.submit(self.handle, conn)" in finished
    assert "self.method_queue.defer(self.finish_request, conn, fut)" in finished


def test_gunicorn_sends_the_responses_to_requests_that_it_refuses_with_our_function():
    assert util.write_error is connections.write_error
    assert "util.write_error(client, status_int, reason, mesg)" in inspect.getsource(
        Worker.handle_error
    )
    assert BufferingWorker.handle_error is Worker.handle_error


def test_an_unexpected_error_in_the_poller_is_logged_and_ends_its_connection_only():
    worker = object.__new__(BufferingWorker)
    logged, dropped = [], []
    worker.log = SimpleNamespace(exception=logged.append)
    worker._drop = dropped.append
    conn = SimpleNamespace(inbox=SimpleNamespace(close=lambda: None), deadline=0.0)
    conn.expire = lambda conn: 1 / 0
    worker._watched, worker._next_sweep = [conn], 0.0
    worker.murder_keepalived()
    worker._send = lambda conn: 1 / 0
    worker.finish_request(conn, SimpleNamespace(cancelled=lambda: True))
    assert [len(logged), len(dropped)] == [2, 2]
