"""How gunicorn takes the settings of config/gunicorn.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
