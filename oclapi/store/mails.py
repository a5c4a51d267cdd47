"""Mails to send. Stored in the transaction that causes them, sent by the worker that ticks."""

import uuid
from datetime import datetime, timedelta

from pymongo.client_session import ClientSession

from oclapi.model import Json
from oclapi.store.database import Database
from oclapi.times import now_ms

TRIED = timedelta(days=2)
"""How long sending a mail is tried. Its link has expired by then."""
LONGEST = timedelta(hours=1)
"""Longest pause between two tries. The first pause is 30 s, and each next one is doubled."""


class Mails:
    """The `mails` collection: `to`, `subject`, `text`, `created_on`, `tries`, `due`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, session: ClientSession, to: str, subject: str, text: str) -> None:
        """Add a mail as part of the transaction."""
        now = now_ms()
        mail = {
            "_id": uuid.uuid4().hex,
            "to": to,
            "subject": subject,
            "text": text,
            "created_on": now,
            "tries": 0,
            "due": now,
        }
        self._db.mails.insert_one(mail, session=session)

    def next(self, now: datetime) -> Json | None:
        """Return the mail that has been due for the longest time, None when none is due."""
        return self._db.mails.find_one({"due": {"$lte": now}}, sort=[("due", 1)])

    def sent(self, mail: Json) -> None:
        """Delete a mail that was sent."""
        self._db.mails.delete_one({"_id": mail["_id"]})

    def failed(self, mail: Json, now: datetime) -> bool:
        """Schedule the next try; return False when the mail is given up and deleted instead."""
        if now - mail["created_on"] > TRIED:
            self.sent(mail)
            return False
        pause = min(timedelta(seconds=30 * 2 ** min(mail["tries"], 10)), LONGEST)
        self._db.mails.update_one(
            {"_id": mail["_id"]}, {"$inc": {"tries": 1}, "$set": {"due": now + pause}}
        )
        return True
