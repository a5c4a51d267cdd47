"""A client with the superuser's token, and the smallest bodies that the contract allows."""

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mongomock
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from oclapi import jsonio, urls
from oclapi.errors import QueueUnavailable
from oclapi.model import Json, Organization, Repository, User, Version
from oclapi.representations import repo_detail
from oclapi.store.commits import repository_of
from oclapi.store.database import Database
from oclapi.store.store import Store
from oclapi.store.versions import version_of

TOKEN = "0123456789abcdef0123456789abcdef01234567"
KEY = "a-key-for-tests-that-is-long-enough"

AT = datetime(2026, 2, 1, 12, 0, 0, 250_000, tzinfo=UTC)

_numbers = itertools.count(1)


def repository_document(**fields: Any) -> Json:
    """Return a public source as it is stored."""
    return {
        "_id": 7,
        "kind": "source",
        "url": "/orgs/NorthLab/sources/LABX/",
        "id": "LABX",
        "owner_url": "/orgs/NorthLab/",
        "rev": 3,
        "at": AT,
        "content_at": AT,
        "counts": {"concepts": 3, "mappings": 2, "active_concepts": 2, "active_mappings": 1},
        "digest": bytes(64),
        "versions": 2,
        "created_on": AT - timedelta(days=1),
        "created_by": "amina",
        "updated_on": AT,
        "updated_by": "amina",
        "uuid": "64a1f1aa",
        "name": "Lab X codes",
        "full_name": "Lab X codes",
        "description": None,
        "website": None,
        "external_id": "ext",
        "source_type": "Dictionary",
        "custom_validation_schema": None,
        "default_locale": "en",
        "supported_locales": ["en", "sw"],
        "public_access": "View",
        "extras": None,
        "keeps_claims": False,
        **fields,
    }


def version_document(**fields: Any) -> Json:
    """Return a released version as it is stored, without its key."""
    return {
        "repo": 7,
        "id": "v1",
        "rev": 2,
        "at": AT,
        "content_at": AT,
        "counts": {"concepts": 2, "mappings": 0, "active_concepts": 1, "active_mappings": 0},
        "edition": 1,
        "released": True,
        "retired": False,
        "description": "First release",
        "previous_version": None,
        "parent_version": None,
        "version_external_id": None,
        "extras": None,
        "frozen": jsonio.dumps(repo_detail(repository_of(repository_document()))),
        "created_on": AT,
        "created_by": "amina",
        "updated_on": AT,
        "updated_by": "root",
        **fields,
    }


def repository(**fields: Any) -> Repository:
    return repository_of(repository_document(**fields))


def version(**fields: Any) -> Version:
    return version_of({"_id": "0" * 24, **version_document(**fields)})


def organization(**fields: Any) -> Organization:
    """Return an organisation with one member."""
    given: dict[str, Any] = {
        "id": "NorthLab",
        "uuid": "0b7c61d2",
        "name": "North Laboratory",
        "members": ("amina",),
        "public_access": "View",
        "company": None,
        "website": None,
        "location": None,
        "description": None,
        "extras_json": None,
        "created_on": AT - timedelta(days=1),
        "created_by": "amina",
        "updated_on": AT,
        "updated_by": "root",
    }
    return Organization(**{**given, **fields})


def user(**fields: Any) -> User:
    """Return an active user without roles."""
    given: dict[str, Any] = {
        "username": "amina",
        "uuid": "6a1f43e0",
        "name": "Amina K.",
        "email": "amina@example.org",
        "active": True,
        "unverified": False,
        "is_staff": False,
        "is_superuser": False,
        "company": None,
        "location": None,
        "preferred_locale": None,
        "website": None,
        "extras_json": None,
        "created_on": AT - timedelta(days=1),
        "created_by": "root",
        "updated_on": AT,
        "updated_by": "amina",
    }
    return User(**{**given, **fields})


def mocked_store() -> Store:
    """Return an empty store on mongomock."""
    client: Any = mongomock.MongoClient(tz_aware=True)
    return Store(Database("mongodb://127.0.0.1/test", client=client), KEY)


@dataclass
class MemoryQueue:
    """An ExportQueue that only remembers which workers it was asked to wake."""

    wakes: list[bool] = field(default_factory=list)  # whether they are for urgent exports
    down: bool = False

    def wake(self, *, urgent: bool) -> None:
        self.reach()
        self.wakes.append(urgent)

    def refill(self, queued: int, urgent: int) -> None:
        self.reach()

    def reach(self) -> None:
        if self.down:
            raise QueueUnavailable("the job queue can't be reached; nothing was started")


def until(condition: Callable[[], Any], patience: float = 60.0) -> Any:
    """Return what the condition gives once that is true."""
    end = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        threading.Event().wait(0.02)
    return found


def pause(pid: int) -> None:
    """Stop a process and return when each of its threads stands still, or has ended.

    SIGSTOP reaches a thread that runs on another processor a little later, so a program could
    respond once more after the signal was sent.
    """
    os.kill(pid, signal.SIGSTOP)
    until(lambda: all(state in "TtZX" for state in thread_states(pid)))


def thread_states(pid: int) -> Iterator[str]:
    """The state of each thread of a process, one letter each (proc(5), `stat`)."""
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended
            yield stat.read_text().rpartition(")")[2].split()[0]


class Api:
    """A client with the superuser's token. `anonymous` and `by` return clients of other users."""

    def __init__(self, client: FlaskClient, headers: dict[str, str] | None = None) -> None:
        self._client = client
        self._headers = {"Authorization": f"Token {TOKEN}"} if headers is None else headers

    @property
    def anonymous(self) -> "Api":
        return Api(self._client, {})

    def by(self, token: str) -> "Api":
        return Api(self._client, {"Authorization": f"Token {token}"})

    def open(self, method: str, url: str, **how: Any) -> TestResponse:
        headers = {**self._headers, **how.pop("headers", {})}
        return self._client.open(url, method=method, headers=headers, **{"buffered": True, **how})

    def get(self, url: str, **headers: str) -> TestResponse:
        return self.open("GET", url, headers=headers)

    def head(self, url: str) -> TestResponse:
        return self.open("HEAD", url)

    def post(self, url: str, body: Any = None) -> TestResponse:
        return self.open("POST", url, json=body) if body is not None else self.open("POST", url)

    def put(self, url: str, body: Any) -> TestResponse:
        return self.open("PUT", url, json=body)

    def delete(self, url: str, body: Any = None) -> TestResponse:
        return self.open("DELETE", url, json=body) if body is not None else self.open("DELETE", url)


@dataclass
class Source:
    """A source made for one test, and the shortest ways to fill it."""

    api: Api
    url: str

    def concept(self, concept: str, **fields: Any) -> TestResponse:
        return good(self.api.post(f"{self.url}concepts/", concept_body(concept, **fields)))

    def concepts(self, *concepts: str) -> None:
        for concept in concepts:
            self.concept(concept)

    def mapping(self, mapping: str, start: str, end: str, **fields: Any) -> TestResponse:
        return good(
            self.api.post(f"{self.url}mappings/", self.mapping_body(mapping, start, end, **fields))
        )

    def mapping_body(self, mapping: str, start: str, end: str, **fields: Any) -> dict[str, Any]:
        ends = {
            "from_concept_url": urls.item_url(self.url, "concept", start),
            "to_concept_url": urls.item_url(self.url, "concept", end),
        }
        return {"id": mapping, "map_type": "SAME-AS", **ends, **fields}

    def release(self, version: str, **fields: Any) -> TestResponse:
        return good(
            self.api.post(f"{self.url}versions/", {"id": version, "released": True, **fields})
        )

    def ids(self, rest: str = "concepts/?sortAsc=lastUpdate&limit=0") -> list[str]:
        return [item["id"] for item in good(self.api.get(self.url + rest)).get_json()]


def good(response: TestResponse) -> TestResponse:
    """The answer, which must be a success."""
    assert response.status_code < 300, (response.status_code, response.get_data(as_text=True))
    return response


def new_org(api: Api, **fields: Any) -> str:
    """The URL of an organisation made for one test."""
    org = f"Org{next(_numbers)}"
    good(api.post("/orgs/", {"id": org, "name": org, **fields}))
    return f"/orgs/{org}/"


def new_source(api: Api, owner: str | None = None, **fields: Any) -> Source:
    """A source made for one test, under an organisation of its own where none is given."""
    owner = owner or new_org(api)
    short = f"S{next(_numbers)}"
    good(api.post(f"{owner}sources/", {"id": short, "name": f"Source {short}", **fields}))
    return Source(api, f"{owner}sources/{short}/")


def concept_body(concept: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": concept,
        "concept_class": "Test",
        "names": [{"name": f"Name of {concept}", "locale": "en"}],
        **fields,
    }
