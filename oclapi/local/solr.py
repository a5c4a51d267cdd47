"""The local Solr: Java 17 runs config/solr/Launcher.java on jars that Maven fetches once. No
Docker, no installer.

`python -m oclapi.local.solr` (make solr) only fetches the jars. Without Java or Maven the built-in
search serves.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import psutil

from oclapi.local.servers import (
    HOST,
    LocalError,
    MissingTool,
    Server,
    ServerFailed,
    launch,
    start_and_wait,
)

PARTS = Path(__file__).resolve().parents[2] / "config" / "solr"
JAVA_NEEDED = 17


def start_solr(
    folder: Path, port: int | None = None, lib: Path | None = None, patience: float = 60.0
) -> Server:
    """Start Solr on the home `folder`/home (made when missing, at first without a core); a free
    port when none is given.

    `lib` is what `solr_jars` gave. Its `url` ends with /solr. Returns once it answers.
    Raises MissingTool, FolderInUse, PortInUse, ServerFailed.
    """
    java, jars = _java(), lib or solr_jars(folder)
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(PARTS / "solr.xml", home / "solr.xml")
    shutil.copytree(PARTS / "configset", home / "configsets" / "oclapi", dirs_exist_ok=True)

    def start(port: int) -> Server:
        command = [
            java,
            "-Xms64m",
            "-Xmx512m",
            f"-Dlog4j2.configurationFile={PARTS / 'log4j2.xml'}",
            f"-Dsolr.log.dir={folder.resolve()}",
        ]
        command += [
            "-cp",
            f"{jars.resolve()}/*",
            str(PARTS / "Launcher.java"),
            str(home.resolve()),
            str(port),
        ]
        process = launch("solr", command, folder, port=port)
        return Server("solr", f"http://{HOST}:{port}/solr", port, folder, process)

    return start_and_wait(start, port, _solr_answers, patience)


def solr_jars(folder: Path, tell: Callable[[str], None] = lambda line: None) -> Path:
    """The folder of Solr's jars inside `folder`, fetched by Maven (84 MB) when they are not there
    for this pom.xml.

    `tell` gets one line when something is fetched. Raises MissingTool, and ServerFailed when Maven
    can't get them.
    """
    pom = PARTS / "pom.xml"
    lib = folder / f"lib-{hashlib.sha256(pom.read_bytes()).hexdigest()[:8]}"
    for left in folder.glob("lib-*.*"):
        # of a fetch that was killed
        if left.suffix[1:].isdecimal() and not psutil.pid_exists(int(left.suffix[1:])):
            shutil.rmtree(left, ignore_errors=True)
    if lib.is_dir():
        return lib
    _java()
    maven = shutil.which("mvn")
    if maven is None:
        raise MissingTool(
            "mvn is not on this machine: install Maven to get a local Solr, or set SOLR_URL to one that runs"
        )
    tell(f"fetching Solr into {lib} (once, 84 MB)")
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{lib.name}.{os.getpid()}"
    command = [maven, "--batch-mode", "--quiet", "--file", str(pom), "dependency:copy-dependencies"]
    command += ["-DincludeScope=runtime", f"-DoutputDirectory={part.resolve()}"]
    try:
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=900,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ServerFailed("Maven did not get Solr within 900 s") from error
        if done.returncode:
            reason = next(
                (line for line in (done.stdout + done.stderr).splitlines() if "ERROR" in line),
                "no reason given",
            )
            raise ServerFailed(f"Maven could not get Solr: {reason[:300]}")
        if not lib.is_dir():  # another process may have been quicker
            part.rename(lib)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return lib


def _java() -> str:
    java = shutil.which("java")
    if java is None:
        raise MissingTool(
            f"java is not on this machine: install Java {JAVA_NEEDED} to get a local Solr, or set SOLR_URL to one that runs"
        )
    told = subprocess.run(
        [java, "-version"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    ).stderr
    version = re.search(r'version "(\d+)', told)
    if version is None or int(version[1]) < JAVA_NEEDED:
        raise MissingTool(
            f"Java {JAVA_NEEDED} or newer is needed for a local Solr, this is {version[1] if version else 'another'}"
        )
    return java


def _solr_answers(server: Server) -> bool:
    try:
        with urlopen(f"{server.url}/admin/info/system?wt=json", timeout=5) as answer:
            return bool(answer.status == 200)
    # not listening yet or still starting; wait_until says so if it stays like that
    except (URLError, OSError):
        return False


if __name__ == "__main__":
    try:
        print(
            f"Solr's jars are in {solr_jars(Path(os.environ.get('OCL_HOME') or 'var') / 'solr', print)}"
        )
    except LocalError as error:
        sys.exit(f"make solr: {error}")
