"""A database that the program of format 0 made."""

from pathlib import Path

import pytest
from bson import json_util

from oclapi.store.database import Database
from oclapi.store.store import Store
from tests.editing.conftest import KEY

DUMP = Path(__file__).with_name("format0.jsonl")
"""What the last program without a number stored, one document a line.

The source LAB has concepts and mappings that were renamed, retired and imported, and two releases;
REF has the schema OpenMRS; GONE was deleted and is not purged. Bytes are {"$text": ...}.
"""


def load(database):
    """Store the documents of the dump in a database."""
    with open(DUMP, encoding="utf-8") as lines:
        for line in lines:
            entry = json_util.loads(line, json_options=json_util.CANONICAL_JSON_OPTIONS)
            document = {
                name: value["$text"].encode()
                if isinstance(value, dict) and "$text" in value
                else value
                for name, value in entry["document"].items()
            }
            database[entry["in"]].insert_one(document)


@pytest.fixture
def empty(prepared_mongo_url):
    """A store without content and without a number."""
    database = Database(prepared_mongo_url, patience=60)
    database.meta.delete_many({})
    yield Store(database, KEY)
    database.client.close()


@pytest.fixture
def old(empty):
    """A store with the database of format 0."""
    empty.database.counters.delete_many({})
    load(empty.database.rows.database)
    return empty
