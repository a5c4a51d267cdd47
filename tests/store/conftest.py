"""An empty store, and the shortest way to write rows into it."""

from typing import Any

import pytest

from oclapi.model import Change, Json, Revision, Row
from oclapi.store.database import Database
from oclapi.store.store import Store
from search.fields import id_key

KEY = "a-key-for-tests-that-is-long-enough"


@pytest.fixture
def store(prepared_mongo_url):
    database = Database(prepared_mongo_url, patience=60)
    yield Store(database, KEY)
    database.client.close()


def metadata(**fields: Any) -> Json:
    """Return the stored metadata of a public source."""
    return {
        "uuid": "0" * 32,
        "name": "LAB",
        "full_name": "LAB",
        **dict.fromkeys(
            ("description", "website", "external_id", "source_type", "custom_validation_schema")
        ),
        "default_locale": "en",
        "supported_locales": ["en"],
        "public_access": "View",
        "extras": None,
        "keeps_claims": False,
        **fields,
    }


def version_metadata(**fields: Any) -> Json:
    """Return the stored metadata of a released version."""
    return {
        "released": True,
        "retired": False,
        **dict.fromkeys(
            (
                "description",
                "previous_version",
                "parent_version",
                "version_external_id",
                "extras",
            )
        ),
        "frozen": b"{}",
        "created_by": "amina",
        "updated_by": "amina",
        **fields,
    }


class Repo:
    """A source written to with plain ids, past all rules of content."""

    def __init__(self, store: Store, short_id: str = "LAB") -> None:
        self.store = store
        fields = metadata(name=short_id)
        self.number = store.repos.create(
            "source", "/orgs/NorthLab/", short_id, lambda session: fields, "amina"
        ).number
        self.url = f"/orgs/NorthLab/sources/{short_id}/"

    def concept_url(self, concept: str) -> str:
        return f"{self.url}concepts/{concept}/"

    def commit(
        self, *concepts: str, retired: bool = False, body: bytes = b"{}", by: str = "amina"
    ) -> Revision:
        """Write a new state of each of these concepts."""

        def build(session, heads):
            urls = [self.concept_url(concept) for concept in concepts]
            old = {
                row.url: row
                for row in self.store.rows.living(session, self.number, "concept", urls)
            }
            return [
                concept_change(self.number, url, old.get(url), retired=retired, body=body)
                for url in urls
            ]

        return self.store.commits.commit([self.number], build, by)[self.number]

    def head(self) -> Revision:
        found = self.store.repos.by_number(self.number)
        assert found is not None
        return found.revision


def concept_change(
    number: int,
    url: str,
    replaces: Row | None = None,
    *,
    retired: bool = False,
    body: bytes = b"{}",
) -> Change:
    concept = url.split("/")[-2]
    header = {"display": "x", "sort_id": id_key(concept)}
    return Change(number, "concept", url, concept, retired, body, header, replaces)


def mapping_change(
    number: int, repo_url: str, mapping: str, start: str, end: str, replaces: Row | None = None
) -> Change:
    header = {"from": start, "map_type": "SAME-AS", "to": end, "number": 1, "own_to_name": False}
    if not end.startswith(repo_url):
        header["uses"] = [end]
    return Change(
        number, "mapping", f"{repo_url}mappings/{mapping}/", mapping, False, b"{}", header, replaces
    )


@pytest.fixture
def repo(store):
    return Repo(store)
