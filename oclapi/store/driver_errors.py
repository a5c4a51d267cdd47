"""Translates errors of the driver: StoreUnavailable when MongoDB can't be reached."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

from pymongo.collection import Collection
from pymongo.command_cursor import CommandCursor
from pymongo.cursor import Cursor
from pymongo.errors import ConnectionFailure, PyMongoError

from oclapi.errors import StoreUnavailable

UNAVAILABLE = frozenset((91, 189, 10107, 11600, 11602, 13435))
"""MongoDB's error codes of a server that shuts down or is not the primary."""


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise StoreUnavailable for a server that can't be reached or has no primary.

    Other errors pass, and so do those that `Database.transaction` retries.
    """
    try:
        yield
    except PyMongoError as error:
        _raise_translated(error)
        raise


class Translating:
    """A collection, database or cursor of the driver whose errors are translated.

    Covers every method, what is iterated, and the cursors and collections that methods return.
    """

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    def __getattr__(self, name: str) -> Any:
        driver = self._driver
        found = getattr(driver, name)
        if not isinstance(found, MethodType):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                result = getattr(driver, name)(*args, **kwargs)
            except PyMongoError as error:
                _raise_translated(error)
                raise
            return Translating(result) if type(result) in _WRAPPED else result

        vars(self)[name] = call  # the next access finds it without `__getattr__`
        return call

    def __iter__(self) -> Iterator[Any]:
        with translate_errors():
            # `yield from` would close the cursor, at the cost of a command, when a reader stops.
            for document in self._driver:  # noqa: UP028
                yield document

    def __next__(self) -> Any:
        with translate_errors():
            return next(self._driver)


_WRAPPED = frozenset((Collection, Cursor, CommandCursor))


def _raise_translated(error: PyMongoError) -> None:
    if error.has_error_label("TransientTransactionError"):
        return
    if isinstance(error, ConnectionFailure) or getattr(error, "code", None) in UNAVAILABLE:
        raise StoreUnavailable("the database can't be reached") from error
