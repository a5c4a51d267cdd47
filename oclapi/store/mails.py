"""Mails on their way: written in the transaction of what they tell of, sent by the worker that
ticks.
"""

import uuid
from datetime import datetime, timedelta

from pymongo.client_session import ClientSession

from oclapi.model import Json
from oclapi.store.database import Database
from oclapi.store.repos import now_ms

TRIED = timedelta(days=2)
"""How long a mail is tried; its link has expired then."""
LONGEST = timedelta(hours=1)
"""Most that is waited between two tries, which begin 30 s apart and double."""


class Mails:
    """The `mails` collection: `to`, `subject`, `text`, `created_on`, `tries`, `due`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, session: ClientSession, to: str, subject: str, text: str) -> None:
        """Queue a mail together with what else the transaction writes."""
        now = now_ms()
        made = {
            "_id": uuid.uuid4().hex,
            "to": to,
            "subject": subject,
            "text": text,
            "created_on": now,
            "tries": 0,
            "due": now,
        }
        self._db.mails.insert_one(made, session=session)

    def next(self, now: datetime) -> Json | None:
        """The mail that is due for the longest time, None when none is."""
        return self._db.mails.find_one({"due": {"$lte": now}}, sort=[("due", 1)])

    def sent(self, mail: Json) -> None:
        self._db.mails.delete_one({"_id": mail["_id"]})

    def failed(self, mail: Json, now: datetime) -> bool:
        """Let it be tried again later; False when it was tried for long enough and is given up."""
        if now - mail["created_on"] > TRIED:
            self.sent(mail)
            return False
        pause = min(timedelta(seconds=30 * 2 ** min(mail["tries"], 10)), LONGEST)
        self._db.mails.update_one(
            {"_id": mail["_id"]}, {"$inc": {"tries": 1}, "$set": {"due": now + pause}}
        )
        return True
