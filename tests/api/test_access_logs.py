"""The log of a running server contains no secrets, not even at level DEBUG."""

import http.client
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from oclapi import jsonio
from oclapi.local.run import WEB
from oclapi.local.servers import free_port
from tests.builders import KEY, TOKEN

ROOT = Path(__file__).parents[2]
PASSWORDS = ("first-pass-phrase", "second-pass-phrase", "wrong-pass-phrase")
HASH = "pbkdf2_sha256$1000$saltsalt$" + "A" * 43 + "="
UNKNOWN = "f" * 40


class Server:
    """A web server in a process of its own, whose log is a file."""

    def __init__(self, folder: Path, mongo_url: str, redis_url: str) -> None:
        self.port = free_port()
        self.log = folder / "log"
        environ = {
            "PATH": os.environ["PATH"],
            "PORT": str(self.port),
            "WEB_CONCURRENCY": "1",
            "OCL_HOME": str(folder),
            "MONGO_URL": mongo_url,
            "REDIS_URL": redis_url,
            "OCL_SECRET_KEY": KEY,
            "OCL_ROOT_TOKEN": TOKEN,
            "OCL_LOG_LEVEL": "DEBUG",
            "OCL_MAIL": str(folder / "mail"),
            "OCL_SIGNUP_HOSTS": "app.example.org",
            "OCL_BASE_URL": "https://ocl.example.org",
            "OCL_EXPORT_CACHE": str(folder / "exports"),
        }
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(WEB, cwd=ROOT, env=environ, stdout=log, stderr=log)

    def wait(self) -> None:
        """Wait until its worker serves. Fails after 60 seconds, or when the server exits."""
        end = time.monotonic() + 60
        while "Booting worker" not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end
            threading.Event().wait(0.05)

    def request(
        self, method: str, url: str, body: Any = None, token: str | None = None, form: bool = False
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Authorization": f"Token {token}"} if token else {}
        headers["Content-Type"] = (
            "application/x-www-form-urlencoded" if form else "application/json"
        )
        sent = (
            None
            if body is None
            else body
            if isinstance(body, bytes)
            else urlencode(body).encode()
            if form
            else jsonio.dumps(body)
        )
        try:
            connection.request(method, url, sent, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture
def server(tmp_path, mongo_url, redis_url):
    server = Server(tmp_path, mongo_url, redis_url)
    server.wait()
    yield server
    server.stop()


@pytest.mark.slow
def test_no_token_and_no_password_is_logged(server, tmp_path):
    secrets = {TOKEN, KEY, UNKNOWN, HASH, *PASSWORDS}
    first, second, wrong = PASSWORDS
    user = {"username": "amina", "name": "Amina", "email": "amina@example.org"}
    pages = {
        "email_verify_success_url": "https://app.example.org/",
        "email_verify_failure_url": "https://app.example.org/no",
    }

    def log_in(password: str, status: int, **options: bool) -> str:
        found, response = server.request(
            "POST", "/users/login/", {"username": "amina", "password": password}, **options
        )
        assert found == status, response
        token = str(jsonio.loads_own(response).get("token", TOKEN))
        secrets.add(token)
        return token

    assert server.request("POST", "/users/", {**user, "password": first}, TOKEN)[0] == 201
    assert server.request("POST", "/users/", {**user, "password": first}, TOKEN)[0] == 400
    assert (
        server.request(
            "POST", "/users/", {**user, "username": "hashed", "hashed_password": HASH}, TOKEN
        )[0]
        == 201
    )
    token = log_in(first, 200)
    log_in(first, 200, form=True)
    log_in(wrong, 401)
    # A password typed into the wrong field.
    assert server.request("POST", "/users/login/", {"username": second, "password": "x"})[0] == 401
    assert (
        server.request("POST", "/users/login/", {"username": "hashed", "hashed_password": HASH})[0]
        == 400
    )
    assert (
        server.request(
            "POST", "/users/login/", b'{"username": "amina", "password": "' + wrong.encode()
        )[0]
        == 400
    )
    assert server.request("GET", "/user/", token=token)[0] == 200
    assert server.request("GET", f"/user/?token={token}&password={first}", token=token)[0] == 200
    assert server.request("PUT", "/user/", {"password": second}, token)[0] == 200
    assert server.request("GET", "/user/", token=token)[0] == 401
    assert (
        server.request("GET", "/user/", token=UNKNOWN)[0]
        == server.request("GET", "/user/", token=f"{UNKNOWN} x")[0]
        == 401
    )
    assert (
        server.request(
            "POST", "/users/signup/", {**user, **pages, "username": "new", "password": second}
        )[0]
        == 201
    )
    secrets.add(link := find_link(tmp_path, server))
    assert server.request("GET", f"/users/signup/verify-email/{link}/")[0] == 302
    assert server.request("GET", f"/users/signup/verify-email/{link}x/")[0] == 404
    server.stop()

    log = server.log.read_text()

    assert log.count('"event": "request"') >= 15
    assert [secret for secret in secrets if secret in log] == []
    assert re.search(r"Token [0-9a-f]{20}", log) is None


def find_link(folder: Path, server: Server) -> str:
    """Send the queued mail as the worker does, and return the secret part of its link."""
    code = (
        "import os; from datetime import UTC, datetime; from config.settings import Settings; "
        "from jobs.mail import send_mails; from oclapi.app import build_services; "
        "settings = Settings.from_environ(os.environ); "
        "send_mails(build_services(settings), datetime.now(UTC))"
    )
    environ = dict(
        part.split("=", 1)
        for part in Path(f"/proc/{server.process.pid}/environ").read_text().split("\0")
        if "=" in part
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    with open(server.log, "a") as log:
        log.write(done.stdout + done.stderr)
    [mail] = (folder / "mail").glob("*.eml")
    text = mail.read_text().replace("=\n", "")
    found = re.search(r"verify-email/([^/\s]+)/", text)
    assert found
    return found[1]
