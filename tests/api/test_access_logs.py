"""A server that runs tells nothing secret in its log: not at the most talkative level, and not for
any of these calls.
"""

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
    """A web server of its own, its log in a file."""

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
        """Until its worker serves; the test fails where it never does."""
        end = time.monotonic() + 60
        while "Booting worker" not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end
            threading.Event().wait(0.05)

    def ask(
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
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture
def server(tmp_path, mongo_url, redis_url):
    made = Server(tmp_path, mongo_url, redis_url)
    made.wait()
    yield made
    made.stop()


@pytest.mark.slow
def test_no_token_and_no_password_is_logged(server, tmp_path):
    secrets = {TOKEN, KEY, UNKNOWN, HASH, *PASSWORDS}
    first, second, wrong = PASSWORDS
    user = {"username": "amina", "name": "Amina", "email": "amina@example.org"}
    pages = {
        "email_verify_success_url": "https://app.example.org/",
        "email_verify_failure_url": "https://app.example.org/no",
    }

    def log_in(password: str, status: int, **how: bool) -> str:
        found, answer = server.ask(
            "POST", "/users/login/", {"username": "amina", "password": password}, **how
        )
        assert found == status, answer
        token = str(jsonio.loads_own(answer).get("token", TOKEN))
        secrets.add(token)
        return token

    assert server.ask("POST", "/users/", {**user, "password": first}, TOKEN)[0] == 201
    assert server.ask("POST", "/users/", {**user, "password": first}, TOKEN)[0] == 400
    assert (
        server.ask(
            "POST", "/users/", {**user, "username": "hashed", "hashed_password": HASH}, TOKEN
        )[0]
        == 201
    )
    token = log_in(first, 200)
    log_in(first, 200, form=True)
    log_in(wrong, 401)
    # typed into the wrong field
    assert server.ask("POST", "/users/login/", {"username": second, "password": "x"})[0] == 401
    assert (
        server.ask("POST", "/users/login/", {"username": "hashed", "hashed_password": HASH})[0]
        == 400
    )
    assert (
        server.ask(
            "POST", "/users/login/", b'{"username": "amina", "password": "' + wrong.encode()
        )[0]
        == 400
    )
    assert server.ask("GET", "/user/", token=token)[0] == 200
    assert server.ask("GET", f"/user/?token={token}&password={first}", token=token)[0] == 200
    assert server.ask("PUT", "/user/", {"password": second}, token)[0] == 200
    assert server.ask("GET", "/user/", token=token)[0] == 401
    assert (
        server.ask("GET", "/user/", token=UNKNOWN)[0]
        == server.ask("GET", "/user/", token=f"{UNKNOWN} x")[0]
        == 401
    )
    assert (
        server.ask(
            "POST", "/users/signup/", {**user, **pages, "username": "new", "password": second}
        )[0]
        == 201
    )
    secrets.add(link := find_link(tmp_path, server))
    assert server.ask("GET", f"/users/signup/verify-email/{link}/")[0] == 302
    assert server.ask("GET", f"/users/signup/verify-email/{link}x/")[0] == 404
    server.stop()

    log = server.log.read_text()

    assert log.count('"event": "request"') >= 15
    assert [secret for secret in secrets if secret in log] == []
    assert re.search(r"Token [0-9a-f]{20}", log) is None


def find_link(folder: Path, server: Server) -> str:
    """The secret part of the link in the mail that waits, as the worker would send it."""
    code = (
        "import os; from config.settings import Settings; from oclapi.app import build_services; from jobs.mail import send_mails;"
        "from datetime import UTC, datetime; send_mails(build_services(Settings.from_environ(os.environ)), datetime.now(UTC))"
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
