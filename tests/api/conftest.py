"""Fixtures: the whole application on a real MongoDB. Only the job queue is a fake.

All tests of a module share one database, so each test creates its own organisation.
"""

import pytest

from config.settings import Settings
from oclapi.app import create_app, prepare
from oclapi.exports.cache import ExportCache
from oclapi.services import Services
from oclapi.store.database import Database
from oclapi.store.store import Store
from tests.api.people import People
from tests.builders import KEY, TOKEN, Api, MemoryQueue, new_source


@pytest.fixture(scope="module")
def services(new_mongo_url, tmp_path_factory):
    url = new_mongo_url()
    settings = Settings(mongo_url=url, secret_key=KEY, root_token=TOKEN)
    database = Database(url)
    services = Services(
        settings,
        Store(database, KEY),
        ExportCache(str(tmp_path_factory.mktemp("exports"))),
        MemoryQueue(),
    )
    prepare(services)
    yield services
    database.client.close()


@pytest.fixture(scope="module")
def app(services):
    return create_app(services)


@pytest.fixture
def queue(services):
    services.queue.down = False
    yield services.queue
    services.queue.down = False


@pytest.fixture
def api(app):
    return Api(app.test_client())


@pytest.fixture
def source(api):
    return new_source(api)


@pytest.fixture
def people(services, api):
    return People(services, api)


@pytest.fixture
def amina(people):
    return people.new()


@pytest.fixture
def other(people):
    return people.new()


@pytest.fixture
def staff(people):
    return people.new(is_staff=True)
