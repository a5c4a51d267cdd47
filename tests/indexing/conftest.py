"""A store with a source, and an index in memory that follows it."""

import pytest

from search.follow import Follower
from tests.editing.conftest import other, source, store
from tests.indexing.memory import MemoryIndex

__all__ = ["other", "source", "store"]  # fixtures of this room too


@pytest.fixture
def index():
    return MemoryIndex()


@pytest.fixture
def follower(store, index):
    return Follower(store, index)
