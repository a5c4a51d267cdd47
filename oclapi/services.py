"""What requests and jobs share: one value per process, handed in or read from the application
context.
"""

from dataclasses import dataclass
from typing import cast

from flask import current_app

from config.settings import Settings
from oclapi.exports.cache import ExportCache
from oclapi.exports.queue import ExportQueue
from oclapi.store.store import Store
from search.choice import Search
from search.mongo import MongoIndex
from search.solr import SolrIndex


@dataclass(frozen=True, slots=True)
class Services:
    """Built once by oclapi.app.build_services; opens no connection by itself."""

    settings: Settings
    store: Store
    cache: ExportCache
    queue: ExportQueue
    solr: SolrIndex | None = None  # the index that is kept up to date; None without SOLR_URL

    @property
    def search(self) -> Search:
        """What answers listings."""
        return Search(
            self.store, MongoIndex(self.store.database, self.settings.builtin_patience), self.solr
        )


def services() -> Services:
    """The services of the application whose context is pushed: for jobs, which are called with ids
    only.
    """
    return cast(Services, current_app.extensions["oclapi"])
