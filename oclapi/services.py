"""The services that requests and jobs share.

There is one value per process. Resources get it as an argument, jobs read it from the application
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
    """What oclapi.app.build_services builds once per process. Opens no connection."""

    settings: Settings
    store: Store
    cache: ExportCache
    queue: ExportQueue
    solr: SolrIndex | None = None  # None without SOLR_URL

    @property
    def search(self) -> Search:
        """The search that listings use."""
        return Search(
            self.store, MongoIndex(self.store.database, self.settings.builtin_patience), self.solr
        )


def services() -> Services:
    """Return the services of the current application.

    Jobs use this, because they are called with ids only.
    """
    return cast(Services, current_app.extensions["oclapi"])
