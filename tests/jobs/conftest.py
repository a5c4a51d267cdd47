"""The services of a worker on real servers, and a source with content."""

import io
import json
import zipfile
from datetime import UTC, datetime

import pytest
from flask import Flask

from config.settings import Settings
from jobs.queue import RQExportQueue
from oclapi import jsonio
from oclapi.access import Caller
from oclapi.editing import owners, repositories
from oclapi.exports.archive import layout
from oclapi.exports.cache import ExportCache
from oclapi.exports.state import ExportStates
from oclapi.migration import prepare
from oclapi.model import Change, ExportKey
from oclapi.services import Services
from oclapi.store.database import Database
from oclapi.store.store import Store

KEY = "a-key-for-tests-that-is-long-enough"
AMINA = Caller("amina", is_staff=True, is_superuser=True)


def build(settings):
    """Build services as oclapi/app.py does."""
    store = Store(Database(settings.mongo_url, patience=60), settings.secret_key)
    return Services(
        settings=settings,
        store=store,
        cache=ExportCache(settings.export_cache),
        queue=RQExportQueue(settings.redis_url),
    )


def in_context(services):
    app = Flask("worker")
    app.extensions["oclapi"] = services
    return app.app_context()


@pytest.fixture
def database_url(prepared_mongo_url):
    """The database, which tests that kill processes override."""
    return prepared_mongo_url


@pytest.fixture
def settings(database_url, redis_url, tmp_path):
    return Settings(
        mongo_url=database_url,
        redis_url=redis_url,
        export_cache=str(tmp_path / "cache"),
        secret_key=KEY,
    )


@pytest.fixture
def services(settings):
    services = build(settings)
    prepare(services.store, 0)
    with in_context(services):
        yield services
    services.store.database.client.close()


class Source:
    """The source LABX of an organisation."""

    def __init__(self, services, org="NorthLab"):
        self.services, self.store = services, services.store
        self.store.owners.ensure_first(AMINA.by)
        owners.create_org(self.store, {"id": org, "name": org}, AMINA)
        self.repo = repositories.create(
            self.store, "source", f"/orgs/{org}/", {"id": "LABX", "name": "Lab X"}, AMINA
        )

    def commit(self, *ids, kind="concept", retired=False):
        """Commit new rows of these entries, with small bodies."""

        def changes(session, heads):
            number = self.repo.number
            urls = {f"{self.repo.url}{kind}s/{entry_id}/": entry_id for entry_id in ids}
            old = {row.url: row for row in self.store.rows.living(session, number, kind, urls)}
            header = (
                {"display": "x"}
                if kind == "concept"
                else {"map_type": "NARROWER-THAN", "number": 1, "own_to_name": False}
            )
            for index, (url, entry_id) in enumerate(urls.items()):
                ends = {} if kind == "concept" else {"from": f"{url}{index}", "to": url}
                body = jsonio.dumps(
                    {
                        "type": kind.capitalize(),
                        "id": entry_id,
                        "retired": retired,
                        "extras": {"filler": "x" * 200},
                    }
                )
                yield Change(
                    number, kind, url, entry_id, retired, body, {**header, **ends}, old.get(url)
                )

        return self.store.commits.commit([self.repo.number], changes, "amina")

    def release(self, version, job=None, **fields):
        return repositories.create_version(
            self.store, self.repo, {"id": version, "released": True, **fields}, AMINA, job
        )

    def edit(self, version, **fields):
        return repositories.update_version(self.store, self.repo, version.id, fields, AMINA)[0]


@pytest.fixture
def source(services):
    return Source(services)


@pytest.fixture
def version(source):
    """A version with three concepts, one of them retired, and a mapping."""
    source.commit("B", "A", "C")
    source.commit("m1", kind="mapping")
    source.commit("B", retired=True)
    return source.release("v1")


@pytest.fixture
def states(services):
    return ExportStates(services.store.exports, services.queue, services.settings.export_silence)


def now():
    return datetime.now(UTC)


def key(version):
    return ExportKey(version.key)


def token(services, version):
    """Return the token of the queued or running job."""
    return services.store.exports.read(key(version)).job.token


def containers(services, file):
    """Return the bytes of both containers: zip, tgz."""
    stream = services.cache.open(file.name)
    assert stream
    with stream:
        return tuple(b"".join(layout(file.archive, form).read(stream)) for form in ("zip", "tgz"))


def exported(services, file):
    """Return the document in an archive."""
    with zipfile.ZipFile(io.BytesIO(containers(services, file)[0])) as archive:
        return json.loads(archive.read("export.json"))


def cached(services):
    """Return the names of all files in the cache."""
    return sorted(services.cache.older_than(datetime(2100, 1, 1, tzinfo=UTC)))
