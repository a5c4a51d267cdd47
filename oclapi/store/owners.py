"""Organisations with their members, and the first superuser and organisation of a server."""

import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from oclapi.access import Caller, sees_private
from oclapi.errors import Invalid, NotFound
from oclapi.model import Head, Json, Organization, User
from oclapi.store import listing
from oclapi.store.database import Database, Session
from oclapi.store.metadata import stored
from oclapi.store.repos import Repos
from oclapi.store.users import NEW_USER, Users, edit
from oclapi.times import now_ms

NEW_ORG: Json = {
    "public_access": "View",
    "company": None,
    "website": None,
    "location": None,
    "description": None,
    "extras": None,
}
"""The metadata of an organisation for which nothing else is given."""


@dataclass(frozen=True, slots=True)
class OrganizationFilter:
    """Which organisations to list. None: no condition."""

    member: str | None = None  # a username
    readable_by: Caller | None = None
    since: datetime | None = None  # updated at this time or later


class Owners:
    """The `orgs` collection. `members` are active users; deactivated ones are in `away` instead."""

    def __init__(self, database: Database, users: Users, repos: Repos) -> None:
        self._db = database
        self._users = users
        self._repos = repos

    def org(self, org: str, session: Session = None) -> Organization | None:
        """Return the organisation of this id, None when there is none."""
        found = self._db.orgs.find_one({"_id": org}, session=session)
        return organization_of(found) if found else None

    def count(self, selected: OrganizationFilter) -> int:
        """Return how many organisations match."""
        return self._db.orgs.count_documents(_where(selected), hint=_hint(selected))

    def listing(
        self,
        selected: OrganizationFilter,
        *,
        limit: int = 0,
        skip: int = 0,
        oldest_first: bool = False,
        full: bool = True,
    ) -> Iterator[Organization]:
        """Yield one page of the organisations that match.

        Order: newest change first, then id. `limit` 0: all. Without `full`, they have neither
        members nor extras.
        """
        found = listing.page(
            self._db.orgs,
            _where(selected),
            ("updated_on", "_id"),
            limit=limit,
            skip=skip,
            oldest_first=oldest_first,
            full=full,
            hint=_hint(selected),
        )
        return map(organization_of, found)

    def chosen(
        self, selected: OrganizationFilter, keys: Sequence[str], *, full: bool
    ) -> Iterator[Organization]:
        """Yield those of the matching organisations that have these ids, in the given order."""
        found = listing.chosen(self._db.orgs, _where(selected), "_id", keys, full=full)
        return map(organization_of, found)

    def create_org(self, org: str, fields: Json, by: str) -> Organization:
        """Add an organisation with its creator as its only member; return it.

        Raises Invalid (keys `mnemonic` and `id`) when the id is taken, NotFound when the creator
        is not an active user.
        """
        now = now_ms()
        new = {
            "_id": org,
            "uuid": uuid.uuid4().hex,
            "members": [by],
            **NEW_ORG,
            **stored(fields),
            "created_on": now,
            "created_by": by,
            "updated_on": now,
            "updated_by": by,
        }

        def work(session: ClientSession) -> Organization:
            self._users.lock(by, session)
            if self.org(org, session):
                raise _taken(org)
            self._db.orgs.insert_one(new, session=session)
            return organization_of(new)

        def happened() -> bool:
            found = self.org(org)
            return found is not None and found.uuid == new["uuid"]

        try:
            return self._db.transaction(work, happened)
        except DuplicateKeyError as error:
            raise _taken(org) from error

    def edit_org(
        self, org: str, change: Callable[[ClientSession, Organization], Json], by: str
    ) -> tuple[Organization, bool] | None:
        """Set what `change` returns (may be empty).

        Returns the organisation and whether it changed, None when there is no such organisation.
        """

        def sets(session: ClientSession, found: Json) -> Json:
            return change(session, organization_of(found))

        edited = edit(self._db, "orgs", org, sets, by)
        return (organization_of(edited[0]), edited[1]) if edited else None

    def memberships(self, usernames: Sequence[str], readable_by: Caller) -> Counter[str]:
        """Return the number of organisations of each of these users, by username.

        Only organisations that `readable_by` may read are counted. Cost: one query.
        """
        where = _where(OrganizationFilter(readable_by=readable_by))
        steps: list[Json] = [
            {"$match": {**where, "members": {"$in": usernames}}},
            {"$unwind": "$members"},
            {"$match": {"members": {"$in": usernames}}},
            {"$group": {"_id": "$members", "n": {"$sum": 1}}},
        ]
        return Counter({found["_id"]: found["n"] for found in self._db.orgs.aggregate(steps)})

    def ids(self, selected: OrganizationFilter) -> list[str]:
        """Return the ids of the matching organisations."""
        return [found["_id"] for found in self._db.orgs.find(_where(selected), {"_id": 1})]

    def add_member(
        self, org: str, username: str, check: Callable[[ClientSession, Organization], None]
    ) -> None:
        """Make the user a member, if it is not one already.

        `check` gets the organisation and may refuse by raising. Raises NotFound for an unknown user
        or organisation.
        """

        def work(session: ClientSession) -> None:
            check(session, self._lock_org(org, session))
            self._users.lock(username, session)
            self._db.orgs.update_one(
                {"_id": org}, {"$addToSet": {"members": username}}, session=session
            )

        self._db.transaction(work)

    def remove_member(
        self, org: str, username: str, check: Callable[[ClientSession, Organization], None]
    ) -> None:
        """End the user's membership. `check` as for `add_member`. Raises NotFound without one."""

        def work(session: ClientSession) -> None:
            found = self._lock_org(org, session)
            check(session, found)
            if username not in found.members:
                raise NotFound(f"{username} is not a member of {org}")
            self._db.orgs.update_one(
                {"_id": org}, {"$pull": {"members": username}}, session=session
            )

        self._db.transaction(work)

    def lock(self, owner_url: str, session: ClientSession) -> Organization | User:
        """Return the owner and lock it until the end of the transaction.

        The owner can't be deleted or deactivated before. Raises NotFound.
        """
        _, kind, key, _ = owner_url.split("/")
        if kind == "users":
            return self._users.lock(key, session)
        return self._lock_org(key, session)

    def _lock_org(self, org: str, session: ClientSession) -> Organization:
        found = self._db.orgs.find_one_and_update(
            {"_id": org}, {"$inc": {"touched": 1}}, return_document=True, session=session
        )
        if found is None:
            raise _no_org(org)
        return organization_of(found)

    def delete_org(
        self,
        org: str,
        check: Callable[[ClientSession, Organization], None],
        check_repo: Callable[[ClientSession, Head], None],
    ) -> None:
        """Delete the organisation and all its repositories in one transaction; see Repos.remove.

        `check` gets the organisation and, as `check_repo`, may refuse by raising. Raises NotFound.
        Cost: some writes for each repository; their content is purged later.
        """

        def work(session: ClientSession) -> None:
            check(session, self._lock_org(org, session))
            self._db.orgs.delete_one({"_id": org}, session=session)
            owned = self._db.repos.find({"owner_url": f"/orgs/{org}/"}, {"_id": 1}, session=session)
            self._repos.remove(session, [found["_id"] for found in owned], check_repo)

        self._db.transaction(work, lambda: self.org(org) is None)

    def ensure_first(self, root_user: str, root_token: str | None = None) -> None:
        """Create the first superuser, with the token `root_token`, and the organisation OCL.

        Other fixed tokens are deleted; with an empty `root_token` there are none. None changes no
        tokens: it is for commands, whose settings may differ from the server's.
        """
        now = now_ms()
        self._db.users.update_one(
            {"_id": root_user},
            {
                "$setOnInsert": {
                    **NEW_USER,
                    "uuid": uuid.uuid4().hex,
                    "name": root_user,
                    "email": f"{root_user}@localhost",
                    "is_staff": True,
                    "is_superuser": True,
                    "created_on": now,
                    "created_by": root_user,
                    "updated_on": now,
                    "updated_by": root_user,
                }
            },
            upsert=True,
        )
        self._db.orgs.update_one(
            {"_id": "OCL"},
            {
                "$setOnInsert": {
                    **NEW_ORG,
                    "uuid": uuid.uuid4().hex,
                    "name": "Open Concept Lab",
                    "members": [root_user],
                    "created_on": now,
                    "created_by": root_user,
                    "updated_on": now,
                    "updated_by": root_user,
                }
            },
            upsert=True,
        )
        if root_token is not None:
            self._users.fix_token(root_user, root_token)


def _where(selected: OrganizationFilter) -> Json:
    """Return the filter in MongoDB's language."""
    where: Json = {}
    if selected.member is not None:
        where["members"] = selected.member
    if selected.since:
        where["updated_on"] = {"$gte": selected.since}
    if selected.readable_by and not sees_private(selected.readable_by, "read org"):
        mine = sorted(selected.readable_by.orgs)
        where["$nor"] = [{"public_access": "None", "_id": {"$nin": mine}}]
    return where


def _hint(selected: OrganizationFilter) -> str:
    return "newest" if selected.member is None else "memberships"


def organization_of(found: Mapping[str, Any]) -> Organization:
    """Return a stored document as a value."""
    return Organization(
        id=found["_id"],
        uuid=found["uuid"],
        name=found["name"],
        members=tuple(found.get("members", ())),
        public_access=found["public_access"],
        company=found["company"],
        website=found["website"],
        location=found["location"],
        description=found["description"],
        extras_json=found.get("extras"),
        created_on=found["created_on"],
        created_by=found["created_by"],
        updated_on=found["updated_on"],
        updated_by=found["updated_by"],
    )


def _taken(org: str) -> Invalid:
    text = f"an organisation with the id {org} exists already"
    return Invalid({"mnemonic": [text], "id": [text]})


def _no_org(org: str) -> NotFound:
    return NotFound(f"organisation {org} not found")
