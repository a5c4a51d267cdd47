"""An empty store, and a helper that runs imports on it."""

import os
from collections import Counter
from pathlib import Path

import pytest

from oclapi import jsonio
from oclapi.access import Caller
from oclapi.imports.line_types import Options
from oclapi.imports.run import run
from oclapi.model import LIVE
from oclapi.store.database import Database
from oclapi.store.store import Store

ROOT = Caller("root", is_staff=True, is_superuser=True)
LAB = "/orgs/NorthLab/sources/LAB/"
REF = "/orgs/NorthLab/sources/REF/"
START = (
    {"type": "Organization", "id": "NorthLab", "name": "North Laboratory"},
    {"type": "Source", "owner": "NorthLab", "id": "LAB", "name": "Lab"},
    {"type": "Source", "owner": "NorthLab", "id": "REF", "name": "Reference"},
)


class Imports:
    """Runs imports, and keeps the report and results of the last one."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.tasks = 0

    def run(self, *lines, caller=ROOT, task=None, on_progress=None, **options):
        """Import lines given as objects or bytes, and return the report. Sets `results`."""
        self.tasks += 1
        raw = [line if isinstance(line, bytes) else jsonio.dumps(line) for line in lines]
        self.report = run(
            self.store,
            caller,
            lambda: raw,
            Options(**options),
            task or f"task{self.tasks}",
            on_progress,
        )
        self.results = list(self.store.tasks.results(self.report.task))
        return self.report

    def outcomes(self, *lines, **options):
        self.run(*lines, **options)
        return [result["outcome"] for result in self.results]

    def rows(self, repo_url=LAB, living=True):
        """Return the bodies of the repository's rows, in commit order."""
        number = self.store.repos.by_url(repo_url).number
        query = {"repo": number, **({"to_rev": LIVE} if living else {})}
        return [
            jsonio.loads_own(row["body"])
            for row in self.store.database.rows.find(query).sort([("from_rev", 1), ("url", 1)])
        ]

    def revisions(self, repo_url=LAB):
        return self.store.repos.by_url(repo_url).rev


@pytest.fixture
def store(prepared_mongo_url):
    database = Database(prepared_mongo_url, patience=60)
    store = Store(database, "a-key-for-tests-that-is-long-enough")
    store.owners.ensure_first("root", "")
    yield store
    database.client.close()


@pytest.fixture
def imports(store):
    return Imports(store)


@pytest.fixture
def lab(imports):
    """Imports into a store that has the sources LAB and REF."""
    assert imports.outcomes(*START) == ["created"] * 3
    return imports


@pytest.fixture
def ciel():
    """The lines of the CIEL sample: concepts and mappings."""
    folder = os.environ.get("OCL_TEST_DATA")
    if not folder:
        pytest.skip("OCL_TEST_DATA, the folder of the CIEL sample, is not set")
    return [
        Path(folder, f"ciel_{kind}_2019.jsonl").read_bytes().splitlines()
        for kind in ("concepts", "mappings")
    ]


def concept(number, source=LAB, **more):
    name = {"name": f"Concept {number}", "locale": "en", "name_type": "FULLY_SPECIFIED"}
    return {
        "type": "Concept",
        "source_url": source,
        "id": str(number),
        "concept_class": "Test",
        "names": [name],
        **more,
    }


def mapping(start, end, source=LAB, target=None, **more):
    ends = {
        "from_concept_url": f"{source}concepts/{start}/",
        "to_concept_url": f"{target or source}concepts/{end}/",
    }
    return {"type": "Mapping", "source_url": source, "map_type": "SAME-AS", **ends, **more}


def counted(results):
    return Counter(result["outcome"] for result in results)
