"""The parts of gunicorn that config/gunicorn.py replaces or calls without documentation.

tests/local/test_web.py shows over a real server that they have the desired effect.
"""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
from gunicorn import util
from gunicorn.config import PreRequest
from gunicorn.http.message import Request
from gunicorn.workers.base import Worker
from gunicorn.workers.gthread import ThreadWorker

from oclapi.local.servers import free_port

ROOT = Path(__file__).parents[2]
PRINT = "; ".join(
    [
        "from gunicorn.app.wsgiapp import WSGIApplication",
        "app = WSGIApplication()",
        "print(app.cfg.bind, app.cfg.workers)",
    ]
)


def loaded(*arguments, **environ):
    """What gunicorn says when it has loaded its configuration in this environment."""
    command = [
        sys.executable,
        "-c",
        PRINT,
        "--config",
        "config/gunicorn.py",
        *arguments,
        "wsgi:app",
    ]
    kept = {"PATH": os.environ["PATH"], "PROMETHEUS_MULTIPROC_DIR": "unused"}
    return subprocess.run(
        command, cwd=ROOT, env={**kept, **environ}, capture_output=True, text=True, timeout=60
    )


def test_gunicorn_sends_the_responses_to_requests_that_it_refuses_with_write_error():
    assert list(inspect.signature(util.write_error).parameters) == [
        "sock",
        "status_int",
        "reason",
        "mesg",
    ]
    assert "util.write_error(client, status_int, reason, mesg)" in inspect.getsource(
        Worker.handle_error
    )
    assert ThreadWorker.handle_error is Worker.handle_error
    assert callable(util.write_nonblock)
    assert callable(util.http_date)


def test_a_request_of_gunicorn_can_be_told_to_close_its_connection():
    assert list(inspect.signature(Request.force_close).parameters) == ["self"]
    assert list(inspect.signature(PreRequest.default).parameters) == ["worker", "req"]
    assert "self.cfg.pre_request(self, req)" in inspect.getsource(ThreadWorker.handle_request)


def test_address_and_number_of_processes_come_from_the_settings():
    assert loaded(PORT="8123", WEB_CONCURRENCY="3").stdout == "['127.0.0.1:8123'] 3\n"
    assert loaded().stdout == "['127.0.0.1:8000'] 2\n"
    assert loaded("--bind", "0.0.0.0:80").stdout == "['0.0.0.0:80'] 2\n"


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "web"), ("WEB_CONCURRENCY", "0"), ("OCL_MAX_BODY", "1")]
)
def test_a_bad_setting_ends_gunicorn_with_a_line_that_names_it(name, value):
    result = loaded(**{name: value})
    assert result.returncode == 1
    assert result.stderr.startswith(f"oclapi: {name} must be a whole number from ")
    assert result.stderr.count("\n") == 1


def test_gunicorn_ends_when_the_application_can_not_start():
    kept = {"PATH": os.environ["PATH"], "PROMETHEUS_MULTIPROC_DIR": "unused"}
    command = [sys.executable, "-m", "gunicorn", "--config", "config/gunicorn.py", "wsgi:app"]
    result = subprocess.run(
        command,
        cwd=ROOT,
        env={**kept, "PORT": str(free_port()), "WEB_CONCURRENCY": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 3
    assert "\noclapi: OCL_SECRET_KEY is needed: " in result.stderr
    assert "Traceback" not in result.stderr
