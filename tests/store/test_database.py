"""The database as processes find it at their start."""

from concurrent.futures import ThreadPoolExecutor

from oclapi.store.database import COLLECTIONS, Database


def test_many_processes_prepare_a_new_database_at_once(mongo_url):
    databases = [Database(mongo_url) for _ in range(8)]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda database: database.prepare(), databases))

    there = databases[0].rows.database.list_collection_names()
    assert set(COLLECTIONS) <= set(there)
    for database in databases:
        database.client.close()
