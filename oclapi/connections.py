"""A gunicorn worker whose threads never wait for a client.

One loop in each process, the poller, receives a request to its end, hands it to a thread, and sends
what the client is slow to take of the response. A connection belongs to the poller or to one
thread, never to both. A slow client costs file descriptors and space in a temporary file.

gunicorn's own threaded worker receives and sends in the thread that responds, so a few slow clients
hold all its threads. Of other servers, waitress buffers both directions, but it closes the
connection after each response of unknown length and changes the spelling of header names, and the
workers that use greenlets let one long computation stop all other requests of the process.

The worker relies on parts of gunicorn that have no documentation: `ThreadWorker`, the parser of its
ASGI worker, and `Request.force_close`. tests/unit/test_connections.py pins them.
"""

import ctypes
import json
import logging
import os
import resource
import select
import selectors
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from tempfile import SpooledTemporaryFile, TemporaryFile
from typing import Any

from gunicorn import http, util
from gunicorn.asgi.parser import ParseError, PythonProtocol
from gunicorn.workers.gthread import TConn, ThreadWorker

from config.settings import Settings
from oclapi import metrics

HEAD_SECONDS = 10.0
"""How long a client may take for the head of a request, and for the first bytes of a body."""

IN_MEMORY = 64 * 2**10
"""Bytes of a request that are kept in memory. More of them go to a temporary file."""

PIECE = 2**18
"""Bytes that are received at once."""

SMALL_PIECE = 2**14
"""Bytes of a body in chunks that are received at once. Each of its chunks costs time."""

MOST_CHUNKS = 5000
"""Most chunks of a body whose chunks have fewer than SMALLEST_CHUNK bytes on average."""

SMALLEST_CHUNK = 64

PATIENCE = 1.0
"""Seconds that a thread waits, over a whole response, for a client to take it.

Waiting for a client that is only a little slower costs less than a temporary file.
"""

MOST_PATIENT = 2
"""Threads of a process that wait at the same time. The others use a temporary file at once."""

MOST_WAITING = 2**32
"""Bytes of responses that a process keeps in temporary files. Above it, threads wait."""

READ_AHEAD = 2**12
"""Bytes of a body over its limit that are received: gunicorn's reader of chunked bodies needs them.

It reads at least 1,024 bytes at once, and fails if they are not there. Then a body that is one byte
too large would be reported as truncated.
"""

M_MMAP_THRESHOLD = -3
LARGE = 2**21
"""Bytes from which a value's memory is returned as soon as it is freed."""

FULL = 1.0
"""Seconds between attempts to accept a connection when no file descriptor is left."""

MOST_FILES = 2**14
"""File descriptors that a process asks for."""

FILES_OF_A_CONNECTION = 3
"""Most file descriptors of a connection: its socket, and two temporary files."""

OTHER_FILES = 100
"""File descriptors that are kept for everything else, such as connections to the database."""

LINGER = 2.0
"""Seconds that a closing connection waits for the client to close its side."""

MOST_FIELDS = 128 * 2**10
"""Largest size of the fields of a head, in bytes."""

LINE_TOO_LONG = (414, "URI Too Long", "the request line is too long")
FIELDS_TOO_LONG = (431, "Request Header Fields Too Large", "the headers are too long")

FULL_DISK = (503, "Service Unavailable", "the server has no space left for requests")


def write_error(sock: Any, status: int, reason: str, detail: str) -> None:
    """Send the JSON response to a request that does not reach the application.

    It replaces the function of gunicorn, whose responses are HTML, since gunicorn 27 has no setting
    or hook for them. A worker class that overrides `handle_error` would have to repeat its table of
    exceptions and statuses.
    """
    body = json.dumps({"detail": detail or reason}).encode()
    head = [
        f"HTTP/1.1 {status} {reason}",
        "Connection: close",
        f"Date: {util.http_date()}",
        "Content-Type: application/json",
        "Access-Control-Allow-Origin: *",
        f"Content-Length: {len(body)}",
    ]
    util.write_nonblock(sock, "\r\n".join([*head, "", ""]).encode("latin-1") + body)


util.write_error = write_error


class WithoutRequests(logging.Filter):
    """Leaves out what gunicorn quotes of a request, which may be a token or a signed link."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.msg, str) and record.msg.startswith("Invalid request from ip="):
            record.msg = record.msg.partition(": ")[0]
        elif record.msg == "Error handling request %s %s":
            record.msg, record.args = "Error handling a request", ()
        return True


logging.getLogger("gunicorn.error").addFilter(WithoutRequests())


class Inbox:
    """One request as it arrives: its bytes, and whether they are all there.

    The thread parses them again and reads them with `recv`, which never waits: after the last byte
    it returns b"". So the two parsers need not agree for a thread to be safe.
    """

    def __init__(self, cfg: Any, settings: Settings) -> None:
        self._file = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
        self._max_head = settings.max_request_line + MOST_FIELDS
        self._max_body = settings.max_body
        self._framing = PythonProtocol(
            on_headers_complete=self._end_head,
            on_body=self._count,
            limit_request_line=cfg.limit_request_line,
            limit_request_fields=cfg.limit_request_fields,
            limit_request_field_size=cfg.limit_request_field_size,
        )
        self.size = 0
        """Bytes that have arrived."""
        self.body_size = 0
        self._chunks = 0
        self.head_ended = False
        self.excess: tuple[int, str, str] | None = None
        """The status, reason and detail for a head that is too long."""
        self.is_ready = False
        """Whether a thread may respond to it."""
        self.is_cut = False
        """Whether it was not received to its end. Then the connection must be closed."""

    def feed(self, data: bytes) -> bytes:
        """Take the bytes that belong to this request and return those of the next one."""
        try:
            self._framing.feed(data)
            rest = bytes(self._framing.remaining())
        except (ParseError, ValueError):
            # gunicorn's parser in the thread finds the same error and responds to it.
            rest = b""
            self.cut()
        own = data[: len(data) - len(rest)]
        self._file.write(own)
        self.size += len(own)
        if self._framing.is_complete:
            self.is_ready = True
        elif not self.head_ended:
            if self.size > self._max_head:
                self.excess = FIELDS_TOO_LONG if self._framing.path else LINE_TOO_LONG
        # A chunked body has no announced size, and its chunks may have long headers. Those of
        # SMALLEST_CHUNK bytes add less than a quarter, and the head is smaller than PIECE.
        elif (
            self.body_size > self._max_body + READ_AHEAD
            or self.size > self.body_size * 5 / 4 + PIECE
            or (self.is_chunked and self._chunks > MOST_CHUNKS + self.body_size / SMALLEST_CHUNK)
        ):
            self.cut()
        return rest

    @property
    def is_chunked(self) -> bool:
        return bool(self._framing.is_chunked)

    def cut(self) -> None:
        """Receive no more of it."""
        self.is_ready = self.is_cut = True

    @property
    def piece(self) -> int:
        """How many bytes to receive at once."""
        if not self.head_ended or self.is_chunked:
            return SMALL_PIECE
        return PIECE

    def expects_continue(self) -> bool:
        """Whether the client waits for `100 Continue` before it sends the body.

        A client that speaks HTTP/1.0 never does, whatever it says (RFC 9110, section 10.1.1).
        """
        return self._framing.http_version != (1, 0) and any(
            name == b"expect" and value.lower() == b"100-continue"
            for name, value in self._framing.headers
        )

    def rewind(self) -> None:
        """Make it readable from its beginning."""
        self._file.seek(0)

    def recv(self, size: int) -> bytes:
        return self._file.read(size)

    def close(self) -> None:
        self._file.close()

    def _end_head(self) -> bool:
        self.head_ended = True
        if (self._framing.content_length or 0) > self._max_body:
            self.cut()
        return False

    def _count(self, chunk: bytes) -> None:
        self._chunks += 1
        self.body_size += len(chunk)


class Waiting:
    """What a process keeps of responses in temporary files, and how many threads may wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.size = 0
        self.turns = threading.BoundedSemaphore(MOST_PATIENT)

    def add(self, size: int) -> None:
        with self._lock:
            self.size += size


class Rest:
    """What is left of a response: the bytes of a temporary file from `begin` to `end`."""

    def __init__(self) -> None:
        self.file = TemporaryFile(buffering=0)  # noqa: SIM115 - the outbox closes it
        self.begin = 0
        self.end = 0


class Outbox:
    """The socket of a connection, as gunicorn's response writes to it.

    What the client does not take within PATIENCE waits in a temporary file. The poller sends it
    later (`flush`).
    """

    def __init__(self, sock: socket.socket, waiting: Waiting, silence: float) -> None:
        self._sock = sock
        self._waiting = waiting
        self._silence = silence
        self._rest: Rest | None = None
        self.begin()

    def begin(self) -> None:
        """Begin a response."""
        self._waited = 0.0  # seconds
        self.sent = 0
        """Bytes of this response that the client's side has taken."""

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest and self.flush():
            try:
                rest = rest[self._sent(self._sock.send(rest)) :]
            except BlockingIOError:
                if not self._wait_patiently():
                    break
        if rest:
            self._keep(rest)

    def flush(self) -> bool:
        """Send what the client takes at once. Return whether nothing is left."""
        rest = self._rest
        if rest is None:
            return True
        while rest.begin < rest.end:
            left = rest.end - rest.begin
            try:
                sent = os.sendfile(self._sock.fileno(), rest.file.fileno(), rest.begin, left)
            except BlockingIOError:
                return False
            rest.begin += self._sent(sent)
        self._forget()
        return True

    def send(self, data: bytes) -> int:
        """Do nothing: gunicorn uses it for `100 Continue`, which the poller has sent."""
        return len(data)

    def gettimeout(self) -> float:
        return 0.0

    def setblocking(self, flag: bool) -> None:
        """Do nothing: the socket never blocks."""

    def shutdown(self, how: int) -> None:
        """Refuse: only the poller closes connections."""
        raise OSError("the poller closes this connection")

    def close(self) -> None:
        """Do nothing: see `shutdown`."""

    def drop(self) -> None:
        """Close the socket and forget what was to be sent."""
        self._forget()
        self._sock.close()

    def _sent(self, size: int) -> int:
        self.sent += size
        return size

    def _keep(self, data: memoryview) -> None:
        while self._waiting.size > MOST_WAITING and not self.flush():
            if not self._wait(self._silence):
                raise TimeoutError("the client takes too little")
        if self._rest is None:
            self._rest = Rest()
        while data:
            written = self._rest.file.write(data)
            self._rest.end += written
            data = data[written:]
            self._waiting.add(written)

    def _forget(self) -> None:
        if self._rest:
            self._rest.file.close()
            self._waiting.add(-self._rest.end)
            self._rest = None

    def _wait_patiently(self) -> bool:
        if not self._waiting.turns.acquire(blocking=False):
            return self._wait(0)
        try:
            return self._wait(PATIENCE)
        finally:
            self._waiting.turns.release()

    def _wait(self, most: float) -> bool:
        """Wait until the client takes more. Return whether it does.

        `most` is how many seconds a thread may wait during the whole response.
        """
        begun = time.monotonic()
        poll = select.poll()
        poll.register(self._sock, select.POLLOUT)
        left = max(0.0, most - self._waited)
        writable = bool(poll.poll(left * 1000))
        self._waited += time.monotonic() - begun
        return writable


def return_memory() -> None:
    """Have the memory of large values returned to the system when they are freed.

    After large values were freed, glibc raises the size from which it does so, up to 32 MiB, and
    the process keeps what is smaller (mallopt(3)). Other C libraries have no such function.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE)


class Connection(TConn):
    """A client's connection, with its current request or response."""

    def __init__(
        self, cfg: Any, sock: socket.socket, addresses: tuple[Any, Any], outbox: Outbox
    ) -> None:
        super().__init__(cfg, sock, *addresses)
        self.raw = sock
        self.sock = outbox
        self.initialized = True
        self.inbox: Inbox
        self.is_kept = False
        """Whether another request may follow the response."""
        self.begun = 0.0
        """When the head, the body, the response or the end of the connection began."""
        self.deadline = 0.0
        self.drained = 0
        """Bytes that were discarded at the end of the connection."""
        self.watched = 0
        """The events that the poller waits for: those of `selectors`, or 0."""
        self.rest = b""
        """Bytes of the next request that arrived with this one."""
        self.expire: Callable[[Connection], None]
        """What is done after the deadline."""


class BufferingWorker(ThreadWorker):
    """Receives and sends in the poller, responds in threads."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        settings = Settings.load()
        self._settings = settings
        self._rate = settings.lowest_rate
        self._silence = float(settings.body_silence)
        self._watched: set[Connection] = set()
        self._waiting = Waiting()
        self._next_sweep = 0.0
        self._next_accept = 0.0

    def init_process(self) -> None:
        return_memory()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard)
        most = max(soft, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        places = max(1, (most - OTHER_FILES) // FILES_OF_A_CONNECTION)
        if places < self.cfg.worker_connections:
            self.log.warning("%s open files are enough for %s connections only", most, places)
            self.worker_connections = places
        metrics.fold_ended()
        super().init_process()

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        super().check_config(cfg, log)
        if cfg.is_ssl:
            raise SystemExit("oclapi: TLS ends at a proxy; the web server speaks plain HTTP")

    def accept(self, listener: socket.socket) -> None:
        try:
            sock, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            # No file descriptor is left. The client waits, and the others are served meanwhile.
            self.log.error("can't accept a connection: %s", error)
            self._next_accept = time.monotonic() + FULL
            self.set_accept_enabled(False)
            return
        outbox = Outbox(sock, self._waiting, self._silence)
        conn = Connection(self.cfg, sock, (address, listener.getsockname()), outbox)
        self.nr_conns += 1
        self._guard(partial(self._expect, seconds=HEAD_SECONDS), conn)

    def set_accept_enabled(self, enabled: bool) -> None:
        """Watch the listening sockets or not. gunicorn calls it again after every event."""
        super().set_accept_enabled(enabled and time.monotonic() >= self._next_accept)

    def handle_request(self, req: Any, conn: Connection) -> bool:
        if conn.inbox.is_cut:
            req.force_close()
        return bool(super().handle_request(req, conn))

    def finish_request(self, conn: Connection, fs: "Future[bool]") -> None:
        """Continue in the poller after a thread has responded."""
        conn.inbox.close()
        conn.is_kept = not fs.cancelled() and not fs.exception() and bool(fs.result())
        conn.begun = time.monotonic()
        self._guard(self._send, conn)

    def murder_keepalived(self, force: bool = False) -> None:
        """End the connections that are too late, or all of them."""
        now = time.monotonic()
        if now < self._next_sweep and not force:
            return
        self._next_sweep = now + 0.5
        for conn in list(self._watched):
            if force:
                self._drop(conn)
            elif now > conn.deadline:
                self._guard(conn.expire, conn)

    def _keepalive_after(self, conn: Connection, keepalive: bool) -> bool:
        """Whether the connection may be kept. Nothing of the request is left on the socket."""
        return bool(keepalive)

    def _cap_keepalive(self, deadline: float) -> None:
        for conn in self._watched:
            if not conn.inbox.size:
                conn.deadline = min(conn.deadline, deadline)

    # Receiving

    def _expect(self, conn: Connection, seconds: float, data: bytes = b"") -> None:
        """Wait for a request, of which `data` has arrived."""
        conn.inbox = Inbox(self.cfg, self._settings)
        conn.begun = time.monotonic()
        conn.deadline = conn.begun + seconds
        conn.expire = self._end_wait
        self._watch(conn, selectors.EVENT_READ, self._receive)
        if data:
            self._take(conn, data)
        else:
            self._receive(conn)

    def _receive(self, conn: Connection) -> None:
        try:
            data = conn.raw.recv(conn.inbox.piece)
        except BlockingIOError:
            return
        except OSError:
            self._drop(conn)
            return
        if data:
            self._take(conn, data)
        elif conn.inbox.head_ended:
            conn.inbox.cut()
            self._hand_over(conn)
        else:
            self._drop(conn)

    def _take(self, conn: Connection, data: bytes) -> None:
        inbox, now = conn.inbox, time.monotonic()
        if not inbox.size:
            conn.begun = now
        had_head = inbox.head_ended
        try:
            conn.rest = inbox.feed(data)
        except OSError as error:
            self.log.error("a request can't be kept: %s", error)
            self._refuse(conn, *FULL_DISK)
            return
        if inbox.is_ready:
            self._hand_over(conn)
            return
        if inbox.excess:
            self._refuse(conn, *inbox.excess)
            return
        if not inbox.head_ended:
            conn.deadline = conn.begun + HEAD_SECONDS
            return
        if not had_head:
            conn.begun = now
            if inbox.expects_continue():
                with suppress(OSError):
                    conn.raw.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        conn.deadline = self._deadline(conn.begun, inbox.body_size, now)

    def _deadline(self, begun: float, size: int, now: float) -> float:
        """When more bytes must have passed: after the silence, and at the lowest rate."""
        return min(now + self._silence, begun + HEAD_SECONDS + size / self._rate)

    def _hand_over(self, conn: Connection) -> None:
        self._unwatch(conn)
        conn.inbox.rewind()
        conn.sock.begin()
        conn.parser = http.get_parser(self.cfg, conn.inbox, conn.client)
        self.enqueue_req(conn)

    def _end_wait(self, conn: Connection) -> None:
        if conn.inbox.size:
            self._refuse(conn, 408, "Request Timeout", "the request did not arrive in time")
        else:
            self._drop(conn)

    def _refuse(self, conn: Connection, status: int, reason: str, detail: str) -> None:
        conn.inbox.close()
        with suppress(OSError):
            write_error(conn.raw, status, reason, detail)
        self._end(conn)

    # Sending

    def _send(self, conn: Connection) -> None:
        """Send what is left of the response, then wait for a request or close the connection."""
        try:
            is_sent = conn.sock.flush()
        except OSError:
            self._drop(conn)
            return
        if not is_sent:
            conn.expire = self._drop
            conn.deadline = self._deadline(conn.begun, conn.sock.sent, time.monotonic())
            self._watch(conn, selectors.EVENT_WRITE, self._send)
        elif conn.is_kept:
            self._expect(conn, self.cfg.keepalive, conn.rest)
        else:
            self._end(conn)

    # Closing

    def _end(self, conn: Connection) -> None:
        """Close our side, and the connection when the client has closed its side.

        If bytes that the client still sends arrived on a closed socket, the client could lose the
        end of the response (RFC 9112, section 9.6).
        """
        try:
            conn.raw.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(conn)
            return
        conn.begun = time.monotonic()
        conn.deadline = conn.begun + LINGER
        conn.expire = self._drop
        self._watch(conn, selectors.EVENT_READ, self._discard)
        self._discard(conn)

    def _discard(self, conn: Connection) -> None:
        try:
            data = conn.raw.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        conn.drained += len(data)
        if data and conn.drained <= 2 * self._settings.max_body:
            now = time.monotonic()
            conn.deadline = min(now + LINGER, self._deadline(conn.begun, conn.drained, now))
        else:
            self._drop(conn)

    def _drop(self, conn: Connection) -> None:
        self._unwatch(conn)
        conn.inbox.close()
        conn.sock.drop()
        self.nr_conns -= 1

    # The poller

    def _watch(self, conn: Connection, event: int, callback: Callable[..., None]) -> None:
        guarded = partial(self._guard, callback, conn)
        if conn.watched == 0:
            self.poller.register(conn.raw, event, guarded)
            self._watched.add(conn)
        else:
            self.poller.modify(conn.raw, event, guarded)
        conn.watched = event

    def _guard(self, callback: Callable[..., None], conn: Connection, _: Any = None) -> None:
        """Call back. An error that nobody expected ends this connection only."""
        try:
            callback(conn)
        except Exception:
            self.log.exception("a connection failed")
            self._drop(conn)

    def _unwatch(self, conn: Connection) -> None:
        if conn.watched:
            self.poller.unregister(conn.raw)
            self._watched.discard(conn)
            conn.watched = 0
