"""An empty store, and sources that are edited with validated bodies, without HTTP."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from oclapi import bodies, jsonio
from oclapi.access import Caller
from oclapi.editing import concepts, mappings, repositories, write
from oclapi.editing.unit_of_work import UnitOfWork
from oclapi.errors import Invalid
from oclapi.model import Json, Repository, Revision, Row, Version
from oclapi.store.database import Database
from oclapi.store.store import Store

KEY = "a-key-for-tests-that-is-long-enough"
ROOT = Caller("root", is_staff=True, is_superuser=True)
AMINA = Caller("amina")
"""May read what is not private. Rights to write are not checked in these tests."""


@pytest.fixture
def store(prepared_mongo_url):
    database = Database(prepared_mongo_url, patience=60)
    store = Store(database, KEY)
    store.owners.ensure_first("root", "")
    store.owners.create_org(
        "NorthLab", {"name": "North Laboratory", "public_access": "View"}, "root"
    )
    yield store
    database.client.close()


class Source:
    """A source under test, edited by `caller`."""

    def __init__(
        self,
        store: Store,
        short_id: str = "LAB",
        org: str = "NorthLab",
        caller: Caller = ROOT,
        **fields: Any,
    ) -> None:
        self.store, self.caller = store, caller
        body = bodies.source_create({"id": short_id, "name": short_id, **fields})
        repo = repositories.create(store, "source", f"/orgs/{org}/", body, caller)
        self.number, self.url = repo.number, repo.url

    @property
    def document(self) -> Repository:
        found = self.store.repos.by_number(self.number)
        assert found is not None
        return found

    @property
    def rev(self) -> int:
        return self.document.rev

    def concept_url(self, concept: str) -> str:
        return f"{self.url}concepts/{concept}/"

    def mapping_url(self, mapping: str) -> str:
        return f"{self.url}mappings/{mapping}/"

    def edit(self, *edits: Callable[[UnitOfWork, Repository], Any]) -> list[Any]:
        """Commit these edits together, and return the result of each."""

        def apply_all(unit: UnitOfWork) -> list[Any]:
            repo = unit.repo(self.url)
            assert repo is not None
            return [edit(unit, repo) for edit in edits]

        return write.write(self.store, self.caller, [self.document], apply_all)

    def concept(self, concept: str, name: str | None = None, **fields: Any) -> Json:
        """Create a concept, and return its published JSON."""
        return self._published(new_concept(concept, name, **fields))

    def change(self, concept: str, **fields: Any) -> Json:
        return self._published(change_concept(concept, **fields))

    def mapping(self, mapping: str, start: str, end: str | None = None, **fields: Any) -> Json:
        """Create a mapping between concepts of this source, and return its published JSON."""
        return self._published(new_mapping(mapping, start, end, **fields))

    def remap(self, mapping: str, **fields: Any) -> Json:
        return self._published(change_mapping(mapping, **fields))

    def _published(self, edit: Callable[[UnitOfWork, Repository], concepts.Edited]) -> Json:
        [(item, _)] = self.edit(edit)
        return parsed(item.body)

    def update(self, **fields: Any) -> Repository:
        body = bodies.source_update(fields)
        return repositories.update(self.store, self.document, body, self.caller)[0]

    def release(self, version: str, **fields: Any) -> Version:
        return repositories.create_version(
            self.store, self.document, bodies.version_create({"id": version, **fields}), self.caller
        )

    def rows(self, item_url: str) -> list[Row]:
        """Return all rows of the item, oldest first."""
        with self.store.snapshot() as session:
            return self.store.rows.history(session, Revision(self.number, self.rev), item_url)[::-1]

    def states(self, item_url: str) -> list[Json]:
        return [parsed(row.body) for row in self.rows(item_url)]

    def now(self, item_url: str) -> Json:
        return self.states(item_url)[-1]


def parsed(body: bytes) -> Json:
    value: Json = jsonio.loads_own(body)
    return value


def named(name: str, locale: str = "en", **fields: Any) -> Json:
    return {"name": name, "locale": locale, **fields}


def new_concept(
    concept: str, name: str | None = None, **fields: Any
) -> Callable[[UnitOfWork, Repository], concepts.Edited]:
    given = {
        "id": concept,
        "concept_class": "Test",
        "names": [named(name or f"Name of {concept}")],
        **fields,
    }
    return lambda unit, repo: concepts.create(unit, repo, bodies.concept_create(given))


def change_concept(
    concept: str, **fields: Any
) -> Callable[[UnitOfWork, Repository], concepts.Edited]:
    return lambda unit, repo: concepts.update(unit, repo, concept, bodies.concept_update(fields))


def new_mapping(
    mapping: str | None, start: str, end: str | None = None, **fields: Any
) -> Callable[[UnitOfWork, Repository], concepts.Edited]:
    """Return an edit that creates a mapping.

    `start` and `end` are URLs, or ids of concepts of the same source.
    """

    def edit(unit: UnitOfWork, repo: Repository) -> concepts.Edited:
        def url(concept: str) -> str:
            return concept if "/" in concept else f"{repo.url}concepts/{concept}/"

        given = {
            "map_type": "SAME-AS",
            "from_concept_url": url(start),
            **({"id": mapping} if mapping else {}),
            **fields,
        }
        if end is not None:
            given["to_concept_url"] = url(end)
        return mappings.create(unit, repo, bodies.mapping_create(given))

    return edit


def change_mapping(
    mapping: str, **fields: Any
) -> Callable[[UnitOfWork, Repository], concepts.Edited]:
    return lambda unit, repo: mappings.update(unit, repo, mapping, bodies.mapping_update(fields))


@contextmanager
def refused(*fields: str) -> Iterator[dict[str, list[str]]]:
    """Expect Invalid with exactly these fields. The yielded dictionary gets their messages."""
    errors: dict[str, list[str]] = {}
    with pytest.raises(Invalid) as caught:
        yield errors
    errors.update(caught.value.errors)
    assert sorted(errors) == sorted(fields)


@pytest.fixture
def source(store):
    return Source(store)


@pytest.fixture
def other(store):
    """A second source, which mappings of the first one may refer to."""
    return Source(store, "REF")
