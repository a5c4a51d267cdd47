"""Owners: users and organisations."""

import hashlib
import hmac
import uuid
from collections.abc import Callable
from typing import Any

from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from oclapi import jsonio
from oclapi.errors import Invalid
from oclapi.model import Json
from oclapi.store.database import Database, Session, told
from oclapi.store.repos import now_ms


class Owners:
    """The `users` and `orgs` collections. Tokens are stored only as hashes keyed with the server's secret."""

    def __init__(self, database: Database, secret_key: str) -> None:
        self._db = database
        self._key = secret_key.encode()

    def user(self, username: str, session: Session = None) -> Json | None:
        """The user of this name, deactivated ones too; None when there is none."""
        with told():
            return self._db.users.find_one({"_id": username}, session=session)

    def org(self, org: str, session: Session = None) -> Json | None:
        """The organisation of this id, None when there is none."""
        with told():
            return self._db.orgs.find_one({"_id": org}, session=session)

    def by_token(self, token: str) -> Json | None:
        """The active user that holds this token. Cost: one index seek."""
        with told():
            return self._db.users.find_one({"tokens.hash": self._hash(token), "active": True})

    def orgs(self, where: Json, *, limit: int, skip: int, oldest_first: bool = False) -> tuple[int, list[Json]]:
        """How many organisations match, and one page of them, newest change first, then id. `limit` 0: all."""
        way = 1 if oldest_first else -1
        with told():
            cursor = self._db.orgs.find(where, hint="newest").sort([("updated_on", way), ("_id", way)]).skip(skip).limit(limit)
            return self._db.orgs.count_documents(where, hint="newest"), list(cursor)

    def create_org(self, org: str, fields: Json, by: str) -> Json:
        """Add an organisation with its creator as its member; return it. Raises Invalid (keys `mnemonic` and `id`) when the id is taken."""
        now = now_ms()
        made = {
            "_id": org, "uuid": uuid.uuid4().hex, "members": [by], **stored(fields),
            "created_on": now, "created_by": by, "updated_on": now, "updated_by": by,
        }  # fmt: skip
        try:
            with told():
                self._db.orgs.insert_one(made)
        except DuplicateKeyError as error:
            text = f"an organisation with the id {org} exists already"
            raise Invalid({"mnemonic": [text], "id": [text]}) from error
        return made

    def edit_org(self, org: str, change: Callable[[ClientSession, Json], Json], by: str) -> Json | None:
        """Set what `change` returns, empty for nothing; return the organisation, None when there is none."""

        def work(session: ClientSession) -> Json | None:
            found = self._db.orgs.find_one_and_update({"_id": org}, {"$inc": {"touched": 1}}, return_document=True, session=session)
            sets = change(session, found) if found else {}
            if not sets or not found:
                session.abort_transaction()
                return found
            sets = {**stored(sets), "updated_on": now_ms(), "updated_by": by}
            self._db.orgs.update_one({"_id": org}, {"$set": sets}, session=session)
            return {**found, **sets}

        return self._db.transaction(work)

    def ensure_first(self, root_user: str, root_token: str) -> None:
        """What every server has from its first start:

        the first superuser, who holds `root_token` (and no other fixed token), and the organisation OCL.
        """
        now = now_ms()
        with told():
            self._db.users.update_one(
                {"_id": root_user},
                {
                    "$setOnInsert": {
                        "uuid": uuid.uuid4().hex, "name": root_user, "email": f"{root_user}@localhost", "active": True,
                        "is_staff": True, "is_superuser": True,
                        "company": None, "location": None, "preferred_locale": None, "website": None, "extras": None,
                        "created_on": now, "created_by": root_user, "updated_on": now, "updated_by": root_user,
                    }
                },
                upsert=True,
            )  # fmt: skip
            if root_token:
                kept = {"hash": self._hash(root_token), "fixed": True, "created_on": now}
                self._db.users.update_one({"_id": root_user, "tokens.hash": {"$ne": kept["hash"]}}, {"$pull": {"tokens": {"fixed": True}}})
                self._db.users.update_one({"_id": root_user, "tokens.hash": {"$ne": kept["hash"]}}, {"$push": {"tokens": kept}})
            self._db.orgs.update_one(
                {"_id": "OCL"},
                {
                    "$setOnInsert": {
                        "uuid": uuid.uuid4().hex, "name": "Open Concept Lab", "members": [root_user], "public_access": "View",
                        "company": None, "website": None, "location": None, "description": None, "extras": None,
                        "created_on": now, "created_by": root_user, "updated_on": now, "updated_by": root_user,
                    }
                },
                upsert=True,
            )  # fmt: skip

    def _hash(self, token: str) -> str:
        return hmac.new(self._key, token.lower().encode(), hashlib.sha256).hexdigest()


def stored(fields: Json) -> Json:
    """Metadata as it is kept: extras as bytes, because their keys may hold what BSON would bend or refuse."""
    if fields.get("extras") is None:
        return fields
    return {**fields, "extras": jsonio.dumps(fields["extras"])}


def extras_of(document: Json) -> Any:
    """The extras of a stored document, None when it has none."""
    kept = document.get("extras")
    return None if kept is None else jsonio.loads_own(kept)
