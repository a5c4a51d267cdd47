import importlib.util
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import redis
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from oclapi.errors import SearchUnavailable
from oclapi.local import servers, solr
from oclapi.local.servers import (
    FolderInUse,
    LocalError,
    MissingTool,
    PortInUse,
    ServerFailed,
    database_url,
    free_port,
    launch,
    socket_path,
    start_mongod,
    start_redis,
)
from search.solr_http import Session, get
from tests.conftest import Reused
from tests.folders import servers_folder


@pytest.fixture
def folder():
    """Return a folder that is deleted after the test, because a database leaves large files."""
    with servers_folder() as name:
        yield Path(name)


@pytest.fixture
def started():
    """Yield a list. The servers that the test adds are killed after it."""
    kept = []
    yield kept
    for server in kept:
        server.kill()


def insert(server, **document):
    with (
        MongoClient(database_url(server, "kept")) as client,
        client.start_session() as session,
        session.start_transaction(),
    ):
        client.kept.things.insert_one(document, session=session)


def things(server):
    with MongoClient(database_url(server, "kept")) as client:
        return [thing["name"] for thing in client.kept.things.find()]


def test_a_started_mongod_takes_transactions(mongo_url):
    with (
        MongoClient(mongo_url) as client,
        client.start_session() as session,
        session.start_transaction(),
    ):
        client.get_default_database().things.insert_one({"name": "a"}, session=session)


def test_each_test_gets_an_empty_database_of_its_own(new_mongo_url, new_redis_url):
    assert new_mongo_url() != new_mongo_url()
    assert new_redis_url() != new_redis_url()


@pytest.fixture
def reused(new_mongo_url):
    made = Reused(new_mongo_url)
    yield made
    made.client.drop_database(made.client.get_default_database().name)
    made.client.close()


def test_what_a_test_leaves_in_the_reused_database_is_gone_but_no_number_comes_again(reused):
    with MongoClient(reused.empty()) as client:
        left = client.get_default_database()
        left.rows.insert_one({"repo": 1})
        left.counters.insert_one({"_id": "repos", "next": 7})
    with MongoClient(reused.empty()) as client:
        found = client.get_default_database()
        assert {name for name in found.list_collection_names() if found[name].find_one()} == {
            "counters",
            "meta",  # the format of the database
        }
        assert found.counters.find_one({"_id": "repos"})["next"] == 7


def test_a_transaction_that_a_test_left_open_is_ended_before_the_next(reused):
    with (
        MongoClient(reused.empty()) as client,
        client.start_session() as session,
        session.start_transaction(),
    ):
        rows = client.get_default_database().rows
        rows.insert_one({"repo": 1}, session=session)
        reused.empty()
        with pytest.raises(OperationFailure, match=r"aborted|killed"):
            session.commit_transaction()
        assert rows.find_one() is None


@pytest.mark.parametrize(
    "change",
    [
        lambda database: database.rows.drop_index("order"),
        lambda database: database.rows.create_index("more"),
        lambda database: database.things.insert_one({}),
        lambda database: database.drop_collection("trash"),
    ],
    ids=["an index is gone", "an index more", "a collection more", "a collection is gone"],
)
def test_after_a_change_of_collections_or_indexes_the_next_test_gets_another_database(
    reused, change
):
    url = reused.empty()
    with MongoClient(url) as client:
        change(client.get_default_database())
    assert reused.empty() not in (url, "")
    assert reused.empty() == reused.url


@pytest.mark.parametrize("moved", [False, True], ids=["in its folder", "in a moved folder"])
def test_a_killed_mongod_starts_again_with_what_was_acknowledged(folder, started, moved):
    first = start_mongod(folder / "first")
    started.append(first)
    insert(first, name="kept")
    first.kill()
    if moved:
        first.folder.rename(folder / "second")
    second = start_mongod(folder / "second" if moved else first.folder)
    started.append(second)
    assert things(second) == ["kept"]
    insert(second, name="added")


def test_a_client_waits_for_a_mongod_that_starts_again(folder, started):
    first = start_mongod(folder)
    started.append(first)
    with MongoClient(database_url(first, "kept")) as client:
        client.kept.things.insert_one({"name": "kept"})
        first.kill()
        started.append(start_mongod(folder))
        with client.start_session() as session, session.start_transaction():
            client.kept.things.insert_one({"name": "added"}, session=session)
        assert client.kept.things.count_documents({}) == 2


def test_data_of_a_mongod_that_had_a_port_can_be_used(folder, started):
    first = start_mongod(folder)
    started.append(first)
    insert(first, name="kept")
    with MongoClient(first.url, retryWrites=False) as client:
        old = {"members.0.host": f"127.0.0.1:{free_port()}"}
        client.local["system.replset"].update_one({}, {"$set": old})
    first.kill()
    started.append(start_mongod(folder))
    assert things(started[-1]) == ["kept"]


def test_a_killed_redis_starts_again_on_its_folder_with_its_data(folder, started):
    first = start_redis(folder)
    started.append(first)
    with redis.Redis.from_url(first.url) as client:
        client.set("name", "kept")
    first.kill()
    second = start_redis(folder)
    started.append(second)
    with redis.Redis.from_url(second.url, decode_responses=True) as client:
        assert client.get("name") == "kept"


def listening(server):
    """The TCP ports of a server's process."""
    connections = psutil.Process(server.pid).net_connections("inet")
    return [each.laddr.port for each in connections if each.status == psutil.CONN_LISTEN]


@pytest.mark.parametrize("start", [start_mongod, start_redis])
def test_a_database_listens_on_a_socket_in_a_folder_that_only_its_owner_can_enter(
    folder, started, start
):
    folder.chmod(0o755)
    server = start(folder)
    started.append(server)
    assert stat.S_IMODE((folder / f"{server.name}.sock").stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert listening(server) == []


@pytest.fixture
def short(folder, monkeypatch):
    """A folder of the test's own in place of /tmp."""
    monkeypatch.setattr(servers, "SHORT", folder)
    return folder


@pytest.mark.parametrize(
    "name", ["d" * 90, "Capitals", "a:b,c d é"], ids=["long", "capitals", "odd"]
)
def test_a_folder_whose_path_no_socket_can_have_gets_another_each_time_the_same(
    short, started, name
):
    deep = short / name
    started.append(start_mongod(deep))
    insert(started[-1], name="kept")
    started.append(start_redis(deep))
    with redis.Redis.from_url(started[-1].url) as client:
        assert client.ping()
    path = socket_path(deep, "redis")
    assert started[-1].url == f"unix://{path}"
    assert (path.parent.parent, stat.S_IMODE(path.parent.stat().st_mode)) == (short, 0o700)
    assert socket_path(deep / "other", "redis") != path


def test_a_short_folder_that_somebody_else_made_is_not_used(short, tmp_path):
    path = socket_path(short / "Capitals", "redis")
    path.parent.rmdir()
    path.parent.symlink_to(tmp_path)
    with pytest.raises(LocalError, match="belongs to another user"):
        socket_path(short / "Capitals", "redis")


def test_a_stopped_server_is_gone_and_its_folder_is_free(folder, started):
    first = start_redis(folder)
    first.stop()
    assert not psutil.pid_exists(first.pid)
    second = start_redis(folder)
    started.append(second)
    assert second.alive()


def test_two_servers_never_share_a_folder(folder, started):
    started.append(start_redis(folder))
    with pytest.raises(FolderInUse, match="stop it first"):
        launch("redis", ["true"], folder, patience=0.1)


def test_a_taken_port_is_refused_before_anything_starts(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(PortInUse, match="in use"):
        launch("web", ["true"], folder, port=taken.getsockname()[1])
    assert not (folder / "web.log").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists its port range in a file")
def test_a_free_port_is_none_that_clients_are_lent():
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert not any(first <= free_port() <= last for _ in range(20))


def test_a_missing_program_is_one_line_that_says_what_helps(folder, monkeypatch):
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(importlib.util, "find_spec", {}.get)
    with pytest.raises(MissingTool, match=r"^mongod is not installed: .*MONGO_URL.*$"):
        start_mongod(folder)


def test_a_server_that_ends_at_once_tells_why(folder):
    (folder / "data").mkdir()
    (folder / "data" / "storage.bson").write_bytes(b"not a database")
    with pytest.raises(ServerFailed, match="mongod ended with code"):
        start_mongod(folder)


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux ties a process to the one that started it"
)
def test_servers_end_when_their_launcher_is_killed(folder):
    code = "import sys, pathlib; from oclapi.local.servers import start_redis; "
    code += "print(start_redis(pathlib.Path(sys.argv[1])).pid, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as launcher:
        server = psutil.Process(int(launcher.stdout.readline()))
        launcher.send_signal(signal.SIGKILL)
        server.wait(timeout=10)
    assert not server.is_running()


@pytest.mark.solr
def test_a_started_solr_answers_with_its_password_only(solr_server):
    with Session() as session:
        assert get(session, f"{solr_server.url}/admin/cores", 10)["status"] == {}
        user, password = solr_server.url.removeprefix("http://").partition("@")[0].split(":")
        for credentials in ("", f"{user}:wrong@", f"other:{password}@"):
            url = f"http://{credentials}127.0.0.1:{solr_server.port}/solr"
            for path in ("admin/cores", "admin/info/system", "any/select"):
                with pytest.raises(SearchUnavailable, match="HTTP 401"):
                    get(session, f"{url}/{path}", 10)
    files = [solr_server.folder / "password", solr_server.folder / "home" / "security.json"]
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600] * 2
    assert password not in files[1].read_text() + (solr_server.folder / "solr.log").read_text()
    assert password not in " ".join(psutil.Process(solr_server.pid).cmdline())


def test_the_configuration_of_solr_is_copied_without_its_modes(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "conf").mkdir(parents=True)
    file, copy = source / "conf" / "schema.xml", target / "conf" / "schema.xml"
    before = os.umask(0o077)
    try:
        for text in ("first", "second"):
            file.write_text(text)
            file.chmod(0o644)
            solr._copy_folder(source, target)
            assert copy.read_text() == text
            copies = (target, copy.parent, copy)
            assert [path.stat().st_mode & 0o077 for path in copies] == [0, 0, 0]
            copy.chmod(0o644)  # as an earlier version left it
    finally:
        os.umask(before)
