"""`make demo`: load, release, export and download a real terminology, and check the result.

It starts its own servers. ICD-10-CM is imported, released as a version and exported. The archives
are downloaded over HTTP to OCL_HOME/demo (var/demo) and compared with the input, entry by entry. A
second run changes nothing.
"""

import codecs
import hashlib
import json
import os
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from config.settings import BadSetting
from oclapi import jsonio
from oclapi.access import Caller
from oclapi.errors import OclError
from oclapi.imports.line_types import Options
from oclapi.imports.outcomes import REFUSALS, Report
from oclapi.imports.run import run, task_key
from oclapi.local import icd10cm
from oclapi.local.icd10cm import RELEASE, SOURCE_URL, Code
from oclapi.local.progress import progress
from oclapi.local.run import LocalRun, local_servers, stop_on_signals, with_files
from oclapi.local.servers import LocalError
from oclapi.store.store import open_store

VERSION_URL = f"{SOURCE_URL}{RELEASE}/"
FORMATS = ("zip", "tgz")
PATIENCE = 300.0  # seconds for the export
CHUNK = 2**20


class DemoFailed(Exception):
    """A step of the demo failed. The text says which and why."""


@dataclass(frozen=True, slots=True)
class Archive:
    """A downloaded archive."""

    file: Path
    size: int
    sha256: str
    same: bool  # the same bytes as those of an earlier run


def demo(server: LocalRun) -> None:
    """Run all steps on a running server. Raises DemoFailed."""
    say("reading ICD-10-CM")
    listed = icd10cm.codes()
    load = load_all(server, listed)
    say(f"releasing {RELEASE}")
    released = release(server)
    pairs = mapped(listed)
    waited = wait_for_export(server, len(listed) + len(pairs))
    folder = server.home / "demo"
    folder.mkdir(exist_ok=True)
    archives = [fetch(server, folder, form) for form in FORMATS]
    say("checking every entry of both archives")
    concepts = {code.id: content(icd10cm.concept(code)) for code in listed}
    contents = {check(archive.file, concepts, pairs) for archive in archives}
    if len(contents) != 1:
        raise DemoFailed("the two archives contain different documents")
    print_figures(server, load, released, waited, archives, contents.pop())


def load_all(server: LocalRun, listed: list[Code]) -> Report:
    """Import all lines. Raises DemoFailed when a line is refused."""
    settings = server.settings
    store = open_store(settings)
    caller = Caller(settings.root_user, is_staff=True, is_superuser=True)
    total = 2 + len(listed) + len(mapped(listed))
    options = Options()
    task = task_key(icd10cm.edition(), options, caller)
    with progress("loading", total) as update:
        report = run(
            store,
            caller,
            lambda: map(jsonio.dumps, icd10cm.lines(listed)),
            options,
            task,
            lambda so_far, results: update(so_far.lines),
        )
    if report.processed != total or report.refused:
        first = next(
            (
                result
                for result in store.tasks.results(report.task)
                if result["outcome"] in REFUSALS
            ),
            None,
        )
        raise DemoFailed(f"not every line was loaded: {report.message}; {first}")
    store.database.client.close()
    return report


def mapped(listed: list[Code]) -> set[tuple[str, str]]:
    """Return all pairs (parent, child)."""
    return {(above, code.id) for code in listed if (above := icd10cm.parent_id(code))}


def release(server: LocalRun) -> bool:
    """Create the version. Returns False when it exists already."""
    with call(server, "GET", VERSION_URL, missing=True) as (status, _, _):
        if status == 200:
            return False
    body = {
        "id": RELEASE,
        "released": True,
        "description": f"ICD-10-CM {RELEASE}, as {icd10cm.edition()} carries it",
    }
    with call(server, "POST", f"{SOURCE_URL}versions/", body):
        return True


def wait_for_export(server: LocalRun, entries: int) -> float:
    """Wait for the export as a client does, and return the seconds that it took.

    A missing export is requested. `entries` is the number of entries in it.
    """
    begun = time.monotonic()
    with progress("exporting", entries) as update:
        while True:
            with call(server, "HEAD", f"{VERSION_URL}export/") as (status, headers, _):
                ready = status == 200
            if not ready:
                with call(server, "GET", f"{VERSION_URL}export/") as (status, headers, body):
                    ready = status == 200
                    update(entries if ready else json.load(body)["processed"] or 0)
            if ready:
                update(entries)
                return time.monotonic() - begun
            if time.monotonic() - begun > PATIENCE:
                raise DemoFailed(
                    f"the export was not ready after {PATIENCE:.0f} s, "
                    f"its status is {headers['exportStatus']}"
                )
            time.sleep(min(float(headers["Retry-After"] or 1), 1.0))


def fetch(server: LocalRun, folder: Path, form: str) -> Archive:
    """Download an archive. It replaces an older file of the same name."""
    with call(server, "GET", f"{VERSION_URL}export/?format={form}") as (status, headers, body):
        name = headers.get_filename()
        if status != 200 or not name or Path(name).name != name:
            raise DemoFailed(f"the export returned {status} with the file name {name!r}")
        file, part = folder / name, folder / f".{name}.part"
        digest, size = hashlib.sha256(), 0
        with (
            open(part, "wb") as out,
            progress(f"downloading the {form}, bytes", int(headers["Content-Length"])) as update,
        ):
            while chunk := body.read(CHUNK):
                digest.update(chunk)
                size += out.write(chunk)
                update(size)
        if size != int(headers["Content-Length"]):
            raise DemoFailed(
                f"the {form} has {size} bytes, {headers['Content-Length']} were announced"
            )
    same = file.exists() and hash_of(file) == digest.hexdigest()
    part.replace(file)
    return Archive(file, size, digest.hexdigest(), same)


def content(concept: Mapping[str, Any]) -> bytes:
    """Return a digest of a concept's content.

    An imported line and its exported entry have the same digest.
    """
    names = [
        (name["name"], name["locale"], name["name_type"], name.get("locale_preferred", False))
        for name in concept["names"]
    ]
    descriptions = [
        (entry["description"], entry["locale"], entry["description_type"])
        for entry in concept["descriptions"]
    ]
    fields = [
        concept["concept_class"],
        concept["datatype"],
        names,
        descriptions,
        concept.get("extras") or {},
    ]
    return hashlib.blake2b(jsonio.dumps_sorted(fields), digest_size=16).digest()


def check(file: Path, concepts: Mapping[str, bytes], pairs: Set[tuple[str, str]]) -> str:
    """Compare an archive with the input: the `content` of each concept, and all pairs.

    Returns the SHA-256 of export.json. Raises DemoFailed.
    """
    left, unmapped = dict(concepts), set(pairs)
    with opened(file) as document:
        hashed = Hashed(document)
        text = Text(hashed)
        # contract 15: these lists are the last two keys, in this order
        head = json.loads(text.until('"concepts":[').rstrip(", \n") + "}")
        for concept in text.entries():
            if (
                left.pop(concept["id"], None) != content(concept)
                or concept["display_name"] != concept["names"][0]["name"]
            ):
                raise DemoFailed(
                    f"{file.name}: {concept['id']} differs from the input, or occurs twice"
                )
        text.until('"mappings":[')
        for mapping in text.entries():
            pair = (mapping["from_concept_code"], mapping["to_concept_code"])
            if pair not in unmapped or mapping["map_type"] != icd10cm.PARENT_OF:
                raise DemoFailed(
                    f"{file.name}: the mapping {mapping['id']} differs from the input, "
                    "or occurs twice"
                )
            unmapped.remove(pair)
        hashed.rest()
    if left or unmapped:
        raise DemoFailed(f"{file.name} lacks {len(left)} concepts and {len(unmapped)} mappings")
    if (head["id"], head["released"], head["active_concepts"]) != (RELEASE, True, len(concepts)):
        raise DemoFailed(
            f"{file.name} is not labelled as release {RELEASE} with {len(concepts)} concepts"
        )
    return hashed.digest.hexdigest()


@contextmanager
def opened(file: Path) -> Iterator[IO[bytes]]:
    """Open the document in an archive. Reading it to its end verifies the archive's checksums."""
    if file.suffix == ".zip":
        with zipfile.ZipFile(file) as archive:
            if archive.namelist() != ["export.json"]:
                raise DemoFailed(f"{file.name} contains {archive.namelist()}")
            with archive.open("export.json") as document:
                yield document
        return
    with tarfile.open(file, "r:gz") as tarball:
        if tarball.getnames() != ["export.json"]:
            raise DemoFailed(f"{file.name} contains {tarball.getnames()}")
        found = tarball.extractfile("export.json")
        assert found is not None  # export.json is a regular file
        with found as document:
            yield document


class Hashed:
    """A file that computes its SHA-256 while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        return data

    def rest(self) -> None:
        while self.read(CHUNK):
            pass


class Text:
    """A parser for a long JSON document. It keeps one chunk in memory."""

    def __init__(self, document: Hashed) -> None:
        self._document = document
        self._text = ""
        self._at = 0
        self._decoder = json.JSONDecoder()
        self._characters = codecs.getincrementaldecoder("utf-8")()

    def until(self, mark: str) -> str:
        """Return the text before the mark and skip the mark."""
        while (found := self._text.find(mark, self._at)) < 0:
            self._more()
        before, self._at = self._text[self._at : found], found + len(mark)
        return before

    def entries(self) -> Iterator[Mapping[str, Any]]:
        """Yield the objects of the list that begins here."""
        while True:
            while self._at >= len(self._text):
                self._more()
            if self._text[self._at] == "]":
                self._at += 1
                return
            if self._text[self._at] in ", \n":
                self._at += 1
                continue
            try:
                entry, self._at = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError:  # the entry continues in the next chunk
                self._more()
                continue
            yield entry

    def _more(self) -> None:
        chunk = self._document.read(4 * CHUNK)
        if not chunk:
            raise DemoFailed("export.json is truncated")
        self._text, self._at = self._text[self._at :] + self._characters.decode(chunk), 0


@contextmanager
def call(
    server: LocalRun,
    method: str,
    path: str,
    body: Mapping[str, Any] | None = None,
    *,
    missing: bool = False,
) -> Iterator[tuple[int, Message, IO[bytes]]]:
    """Send a request as the superuser. Yields status, headers and body.

    Raises DemoFailed on an error status, except on 404 with `missing`.
    """
    headers = {"Authorization": f"Token {server.token}", "Content-Type": "application/json"}
    data = None if body is None else jsonio.dumps(body)
    try:
        with urlopen(
            Request(server.url + path, data=data, headers=headers, method=method), timeout=60
        ) as response:
            yield response.status, response.headers, response
    except HTTPError as error:
        with error:
            if error.code == 404 and missing:
                yield 404, error.headers, error
            else:
                text = error.read(1000).decode(errors="replace")
                raise DemoFailed(f"{method} {path} returned {error.code}: {text}") from error
    except URLError as error:
        raise DemoFailed(f"{method} {path} got no response: {error.reason}") from error


def hash_of(file: Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def say(line: str) -> None:
    print(line, flush=True)


def print_figures(
    server: LocalRun,
    load: Report,
    released: bool,
    waited: float,
    archives: list[Archive],
    document: str,
) -> None:
    fresh = load.processed - load.counts.get("unchanged", 0)
    say("")
    say(f"load      {load.message}")
    if load.continued:
        say(f"          continued after line {load.continued:,}, which an earlier run had reached")
    handled = load.processed - load.continued
    say(f"          {load.seconds:.1f} s, {handled / max(load.seconds, 0.001):,.0f} rows/s")
    state = "created" if released else "existed already"
    say(f"release   {RELEASE} {state}, its export was ready after {waited:.1f} s")
    for archive in archives:
        again = ", the same bytes as before" if archive.same else ""
        say(f"archive   {archive.file}  {archive.size:,} bytes{again}")
        say(f"          sha256 {archive.sha256}")
    say(f"document  export.json, equal in both and to the input  sha256 {document}")
    if not fresh and not released and all(archive.same for archive in archives):
        say("nothing has changed: everything existed already")
    source = f"{server.url}{SOURCE_URL}"
    say("")
    say("make run   starts the server with this data; then try")
    say(f"  curl {source}concepts/E10/")
    say(f"  curl '{source}concepts/?limit=5'")
    say(f"  curl {source}concepts/E10/mappings/")
    say(f"  curl '{source}versions/?limit=1&released=true'")
    say(f"  curl -OJ '{source}{RELEASE}/export/?format=tgz'")


def main(environ: Mapping[str, str]) -> int:
    """Run the demo and return the exit code: 0 when every check has passed.

    Otherwise one line on stderr gives the reason.
    """
    stop_on_signals()
    try:
        say("starting the servers")
        with local_servers(with_files(environ), say) as server:
            demo(server)
    except KeyboardInterrupt:
        print("stopped; the next make demo continues", flush=True)
        return 130
    except (DemoFailed, LocalError, BadSetting, OclError, OSError) as error:
        print(f"make demo: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
