"""A process that rebuilds an index, stops at one step, reports it, and waits to be killed.

python -m tests.indexing.rebuilding MOMENT MONGO_URL CORE, with SOLR_URL in the environment
"""

import os
import sys

from oclapi.store.database import Database
from oclapi.store.store import Store
from search.follow import Follower
from search.rebuild import rebuild_all
from search.solr import SolrIndex
from tests.editing.conftest import KEY
from tests.jobs.dying import after, before

MOMENTS = {
    "the new index is there": lambda: after(SolrIndex, "create"),
    "rows are written": lambda: after(Follower, "_post"),
    "it is compared": lambda: before(SolrIndex, "counts"),
    "the two change names": lambda: before(SolrIndex, "swap"),
    "they have changed names": lambda: after(SolrIndex, "swap"),
}

if __name__ == "__main__":
    moment, mongo_url, core = sys.argv[1:]
    store = Store(Database(mongo_url), KEY)
    MOMENTS[moment]()
    rebuild_all(store, SolrIndex(os.environ["SOLR_URL"], core, store.index_notes.identity))
