"""Users for one test, and the API with their tokens."""

import itertools
from dataclasses import dataclass
from typing import Any

from oclapi.services import Services
from tests.builders import Api, good

_numbers = itertools.count(1)
PASSWORD = "a long pass phrase"


@dataclass
class Person:
    """A user, and the API with this user's token."""

    name: str
    api: Api

    @property
    def url(self) -> str:
        return f"/users/{self.name}/"


class People:
    """Creates users. Their tokens come from the store, because logging in is slow on purpose."""

    def __init__(self, services: Services, root: Api) -> None:
        self._services = services
        self.root = root

    def new(self, **fields: Any) -> Person:
        name = fields.pop("username", None) or f"user{next(_numbers)}"
        good(
            self.root.post(
                "/users/",
                {
                    "username": name,
                    "name": f"Name of {name}",
                    "email": f"{name}@example.org",
                    **fields,
                },
            )
        )
        return Person(name, self.root.by(self._services.store.users.new_token(name)))
