"""Changes of dictionaries that can be reverted."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from oclapi.errors import OclError

_ABSENT = object()


class Journal:
    """Remembers the values that were replaced."""

    def __init__(self) -> None:
        self._replaced: list[tuple[dict[Any, Any], Any, Any]] = []

    def set(self, state: dict[Any, Any], key: Any, value: Any) -> None:
        """Set a value of a dictionary, so that it can be reverted."""
        self._replaced.append((state, key, state.get(key, _ABSENT)))
        state[key] = value

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Keep all changes inside or none: an OclError reverts them and is raised again."""
        start = len(self._replaced)
        try:
            yield
        except OclError:
            while len(self._replaced) > start:
                state, key, before = self._replaced.pop()
                if before is _ABSENT:
                    del state[key]
                else:
                    state[key] = before
            raise
