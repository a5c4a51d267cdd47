"""Users: profiles, tokens and deactivation."""

import hashlib
import hmac
import secrets
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from oclapi.access import Caller, leans_on_memberships
from oclapi.errors import Invalid, NotFound
from oclapi.model import Json, User
from oclapi.store import listing
from oclapi.store.database import Database, Session
from oclapi.store.metadata import stored
from oclapi.times import now_ms

UNVERIFIED = timedelta(days=2)
"""How long a new user has to verify the address. After that, the username is free again."""
MOST_TOKENS = 50
"""Tokens of one user. The next one replaces the oldest."""
KNOWN = {"$or": [{"active": True}, {"unverified": True}]}
"""Filter for users who are not deactivated. Unverified users are not active, but count too."""

NEW_USER: Json = {
    "active": True,
    "is_staff": False,
    "is_superuser": False,
    "password": None,
    "tokens": [],
    "company": None,
    "location": None,
    "preferred_locale": None,
    "website": None,
    "extras": None,
}
"""The fields of a user for which nothing else is given."""
NO_HASHES = {"password": 0, "tokens": 0}
"""A projection that leaves out what only this module reads."""


@dataclass(frozen=True, slots=True)
class UserFilter:
    """Which users to list. None: no condition."""

    usernames: Collection[str] | None = None
    active: bool | None = None
    since: datetime | None = None  # updated at this time or later


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a log-in checks."""

    username: str
    password: str | None = field(repr=False)  # the hash; None: the user can't log in
    active: bool
    unverified: bool


class Users:
    """The `users` collection. Tokens are stored only as hashes keyed with the server's secret.

    `active` False means deactivated, or (with `unverified`) signed up and not verified yet. Only
    staff can see such a user. Its repositories have `hidden` set, and its organisations have it in
    `away` instead of `members`, so reads need not check.
    """

    def __init__(self, database: Database, secret_key: str) -> None:
        self._db = database
        self._key = secret_key.encode()

    def get(self, username: str, session: Session = None) -> User | None:
        """Return the user of this name, even a deactivated one; None when there is none."""
        found = self._db.users.find_one({"_id": username}, NO_HASHES, session=session)
        return user_of(found) if found else None

    def credentials(self, username: str) -> Credentials | None:
        """Return the credentials of this user, even a deactivated one; None when there is none."""
        found = self._db.users.find_one(
            {"_id": username}, {"password": 1, "active": 1, "unverified": 1}
        )
        if found is None:
            return None
        return Credentials(
            username, found["password"], found["active"], found.get("unverified", False)
        )

    def caller(self, username: str) -> Caller | None:
        """Return the active user of this name as a caller, None when there is none.

        Cost: two index seeks.
        """
        return self._as_caller(
            self._db.users.find_one(
                {"_id": username, "active": True}, {"is_staff": 1, "is_superuser": 1}
            )
        )

    def by_token(self, token: str) -> Caller | None:
        """Return the active user with this token as a caller, None when there is none.

        Cost: one index seek, and another one for the organisations of users who are not staff.
        """
        fields = {
            "is_staff": 1,
            "is_superuser": 1,
            "tokens": {"$elemMatch": {"hash": self._hash(token)}},
        }
        found = self._db.users.find_one({"tokens.hash": self._hash(token), "active": True}, fields)
        if found is None or found["tokens"][0].get("expires_at", NEVER) <= now_ms():
            return None
        return self._as_caller(found)

    def reload(self, caller: Caller, session: ClientSession) -> Caller:
        """Return the caller with its current memberships.

        They may have changed since the request was authenticated. Cost: an index seek, none for
        staff.
        """
        return (
            replace(caller, orgs=frozenset(self._orgs_of(caller.by, session)))
            if leans_on_memberships(caller)
            else caller
        )

    def _as_caller(self, user: Json | None) -> Caller | None:
        if user is None:
            return None
        if user["is_staff"] or user["is_superuser"]:  # staff may do all that members may
            return Caller(user["_id"], user["is_staff"], user["is_superuser"])
        return Caller(user["_id"], orgs=frozenset(self._orgs_of(user["_id"])))

    def _orgs_of(self, username: str, session: Session = None) -> list[str]:
        return [
            org["_id"]
            for org in self._db.orgs.find(
                {"members": username}, {"_id": 1}, hint="memberships", session=session
            )
        ]

    def count(self, selected: UserFilter) -> int:
        """Return how many users match."""
        return self._db.users.count_documents(_where(selected))

    def listing(
        self,
        selected: UserFilter,
        *,
        limit: int = 0,
        skip: int = 0,
        oldest_first: bool = True,
        full: bool = True,
    ) -> Iterator[User]:
        """Yield one page of the users that match, oldest first, then by name.

        `limit` 0: all. Without `full`, they have no extras.
        """
        found = listing.page(
            self._db.users,
            _where(selected),
            ("created_on", "_id"),
            limit=limit,
            skip=skip,
            oldest_first=oldest_first,
            full=full,
            without=NO_HASHES,
        )
        return map(user_of, found)

    def chosen(self, selected: UserFilter, keys: Sequence[str], *, full: bool) -> Iterator[User]:
        """Yield those of the matching users that have these names, in the given order."""
        found = listing.chosen(
            self._db.users, _where(selected), "_id", keys, full=full, without=NO_HASHES
        )
        return map(user_of, found)

    def superusers(self, session: ClientSession) -> int:
        """Return how many active superusers there are.

        Two transactions that call this conflict, so that the last two superusers can't both be
        deactivated at the same time.
        """
        self._db.counters.update_one(
            {"_id": "superusers"}, {"$inc": {"asked": 1}}, upsert=True, session=session
        )
        return self._db.users.count_documents(
            {"is_superuser": True, "active": True}, session=session
        )

    def create(
        self,
        username: str,
        fields: Json,
        by: str,
        also_write: Callable[[ClientSession], None] | None = None,
    ) -> User:
        """Add a user and return it.

        Replaces a user of this name who signed up and was not verified in time. `also_write` writes
        what must be stored together with the user. Raises Invalid (keys `mnemonic` and `username`)
        when the name is taken.
        """
        now = now_ms()
        new = {
            "_id": username,
            "uuid": uuid.uuid4().hex,
            **NEW_USER,
            **stored(fields),
            "created_on": now,
            "created_by": by,
            "updated_on": now,
            "updated_by": by,
        }

        def work(session: ClientSession) -> User:
            found = self.get(username, session)
            if found and not (found.unverified and found.created_on < now - UNVERIFIED):
                raise _taken(username)
            if found:
                self._db.users.delete_one({"_id": username}, session=session)
            self._db.users.insert_one(new, session=session)
            if also_write:
                also_write(session)
            return user_of(new)

        def happened() -> bool:
            found = self.get(username)
            return found is not None and found.uuid == new["uuid"]

        try:
            return self._db.transaction(work, happened)
        except DuplicateKeyError as error:
            raise _taken(username) from error

    def edit(
        self, username: str, change: Callable[[ClientSession, User], Json], by: str
    ) -> tuple[User, bool] | None:
        """Set what `change` returns (may be empty).

        Returns the user and whether it changed, None when there is no such user. A new hash in
        `password` deletes the user's tokens, except the fixed one of the first superuser. The hash
        that the user has already is no change.
        """

        def sets(session: ClientSession, found: Json) -> Json:
            fields = change(session, user_of(found))
            if "password" not in fields:
                return fields
            if fields["password"] == found["password"]:
                return {name: value for name, value in fields.items() if name != "password"}
            return {**fields, "tokens": [one for one in found["tokens"] if one.get("fixed")]}

        edited = edit(self._db, "users", username, sets, by)
        return (user_of(edited[0]), edited[1]) if edited else None

    def renew_password(self, username: str, before: str, after: str) -> bool:
        """Replace the password hash `before` with another hash of the same password.

        Returns False when the password was changed meanwhile.
        """
        done = self._db.users.update_one(
            {"_id": username, "password": before}, {"$set": {"password": after}}
        )
        return done.matched_count == 1

    def deactivate(
        self, username: str, check: Callable[[ClientSession, User], None], by: str
    ) -> None:
        """Hide the user, its repositories, and its memberships. `check` may refuse by raising.

        Raises NotFound for an unknown user and one that is deactivated already.
        """

        def work(session: ClientSession) -> None:
            user = self._set({"_id": username, **KNOWN}, {"active": False}, by, session)
            check(session, user)
            self._db.repos.update_many(
                {"owner_url": f"/users/{username}/"}, {"$set": {"hidden": True}}, session=session
            )
            moved = {"$pull": {"members": username}, "$addToSet": {"away": username}}
            self._db.orgs.update_many({"members": username}, moved, session=session)

        self._db.transaction(work)

    def activate(
        self,
        username: str,
        by: str,
        *,
        check: Callable[[User], None] | None = None,
        unverified: bool = False,
    ) -> None:
        """Show the user and its repositories again, and restore its memberships.

        An active user stays active. `unverified`: only a user who signed up (which verifies it) or
        is active. `check` gets the user as it was before and may refuse by raising, in the same
        transaction. Raises NotFound.
        """

        def work(session: ClientSession) -> None:
            user = self._set(
                {"_id": username, **(KNOWN if unverified else {})}, {"active": True}, by, session
            )
            if check:
                check(user)
            self._db.repos.update_many(
                {"owner_url": f"/users/{username}/"}, {"$unset": {"hidden": ""}}, session=session
            )
            moved = {"$addToSet": {"members": username}, "$pull": {"away": username}}
            self._db.orgs.update_many({"away": username}, moved, session=session)

        self._db.transaction(work)

    def _set(self, where: Json, sets: Json, by: str, session: ClientSession) -> User:
        """Update the matching user; return it as it was before. Raises NotFound."""
        stamped = {**sets, "updated_on": now_ms(), "updated_by": by}
        change = {"$set": stamped, "$unset": {"unverified": ""}}
        found = self._db.users.find_one_and_update(where, change, NO_HASHES, session=session)
        if found is None:
            raise NotFound("user not found")
        return user_of(found)

    def lock(self, username: str, session: ClientSession) -> User:
        """Return the active user, and lock it until the transaction ends. Raises NotFound."""
        touch = {"$inc": {"touched": 1}}
        found = self._db.users.find_one_and_update(
            {"_id": username, "active": True},
            touch,
            NO_HASHES,
            return_document=True,
            session=session,
        )
        if found is None:
            raise NotFound(f"user {username} not found")
        return user_of(found)

    # Tokens

    def new_token(self, username: str, life: int = 0, *, password: str | None = None) -> str:
        """Add a token of 40 hex characters, and return it.

        It is valid for `life` seconds, or until the password changes. 0: no limit in time.
        `password`: only if this is the hash of the user's password. Raises NotFound.
        """
        token, now = secrets.token_hex(20), now_ms()
        new: Json = {"hash": self._hash(token), "created_on": now}
        if life:
            new["expires_at"] = now + timedelta(seconds=life)
        expired = {"$lte": [{"$ifNull": ["$$one.expires_at", NEVER]}, now]}
        living = {
            "$filter": {
                "input": {"$ifNull": ["$tokens", []]},
                "as": "one",
                "cond": {"$not": [expired]},
            }
        }
        fixed = {"$filter": {"input": living, "as": "one", "cond": {"$eq": ["$$one.fixed", True]}}}
        others = {"$filter": {"input": living, "as": "one", "cond": {"$ne": ["$$one.fixed", True]}}}
        tokens = {
            "$concatArrays": [
                fixed,
                {"$slice": [{"$concatArrays": [others, [new]]}, -MOST_TOKENS]},
            ]
        }
        holder = {"_id": username, **({"password": password} if password else {})}
        if not self._db.users.update_one(holder, [{"$set": {"tokens": tokens}}]).matched_count:
            raise NotFound(f"user {username} not found")
        return token

    def fix_token(self, username: str, token: str) -> None:
        """Make this token the only fixed one, of this user; delete all fixed ones when it is empty.

        Cost: a scan of all users.
        """
        fixed = {"hash": self._hash(token), "fixed": True, "created_on": now_ms()}
        lacks = {"_id": username, "tokens.hash": {"$ne": fixed["hash"]}}
        others = {"tokens.fixed": True, **({"_id": {"$ne": username}} if token else {})}
        self._db.users.update_many(others, {"$pull": {"tokens": {"fixed": True}}})
        if not token:
            return
        self._db.users.update_one(lacks, {"$pull": {"tokens": {"fixed": True}}})
        self._db.users.update_one(lacks, {"$push": {"tokens": fixed}})

    def _hash(self, token: str) -> str:
        return hmac.new(self._key, token.lower().encode(), hashlib.sha256).hexdigest()


NEVER = datetime.fromisoformat("9999-01-01T00:00:00Z")


def edit(
    database: Database,
    collection: str,
    key: str,
    change: Callable[[ClientSession, Json], Json],
    by: str,
) -> tuple[Json, bool] | None:
    """Set what `change` returns (may be empty) on a user or organisation.

    Returns the document and whether it changed, None when there is none.
    """
    documents = getattr(database, collection)

    def work(session: ClientSession) -> tuple[Json, bool] | None:
        found: Json | None = documents.find_one_and_update(
            {"_id": key}, {"$inc": {"touched": 1}}, return_document=True, session=session
        )
        sets = change(session, found) if found else {}
        if not sets or not found:
            session.abort_transaction()
            return (found, False) if found else None
        sets = {**stored(sets), "updated_on": now_ms(), "updated_by": by}
        documents.update_one({"_id": key}, {"$set": sets}, session=session)
        return {**found, **sets}, True

    return database.transaction(work)


def _where(selected: UserFilter) -> Json:
    """Return the filter in MongoDB's language."""
    where: Json = {}
    if selected.usernames is not None:
        where["_id"] = {"$in": list(selected.usernames)}
    if selected.active is not None:
        where["active"] = selected.active
    if selected.since:
        where["updated_on"] = {"$gte": selected.since}
    return where


def user_of(found: Mapping[str, Any]) -> User:
    """Return a stored document as a value."""
    return User(
        username=found["_id"],
        uuid=found["uuid"],
        name=found["name"],
        email=found["email"],
        active=found["active"],
        unverified=found.get("unverified", False),
        is_staff=found["is_staff"],
        is_superuser=found["is_superuser"],
        company=found["company"],
        location=found["location"],
        preferred_locale=found["preferred_locale"],
        website=found["website"],
        extras_json=found.get("extras"),
        created_on=found["created_on"],
        created_by=found["created_by"],
        updated_on=found["updated_on"],
        updated_by=found["updated_by"],
    )


def _taken(username: str) -> Invalid:
    text = f"a user with the name {username} exists already"
    return Invalid({"mnemonic": [text], "username": [text]})
