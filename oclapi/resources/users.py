"""Users (contract section 6)."""

from collections.abc import Collection, Sequence
from functools import partial

from flask import Response

from oclapi import access, bodies, jsonio, representations
from oclapi.editing import users
from oclapi.model import Json
from oclapi.resources import body, listings, params, repositories, resolve
from oclapi.resources.endpoint import Endpoint
from oclapi.resources.responses import created, nothing, ok
from oclapi.store.repos import RepositoryFilter


class UserList(Endpoint):
    """All users except deactivated ones. POST creates one."""

    def get(self) -> Response:
        return respond_with_list(self, {})

    def post(self) -> Response:
        access.need(self.caller, "manage users")
        fields = bodies.user_create(body.read_flat(self.settings))
        user = users.create(self.store, fields, self.caller, shortest=self.settings.password_length)
        return created(jsonio.dumps(detail(self, user)), f"/users/{user['_id']}/", self.settings)


class Self(Endpoint):
    """The caller's own profile."""

    def get(self, **path: str) -> Response:
        user = resolve.user(self.store, path, self.caller, deactivated=True)
        access.need(self.caller, "read user", user)
        return ok(detail(self, user))

    def put(self, **path: str) -> Response:
        user = resolve.user(self.store, path, self.caller, deactivated=True)
        access.need(self.caller, "edit user", user)
        fields = bodies.user_update(body.read_flat(self.settings))
        shortest = self.settings.password_length
        updated = users.update(self.store, user["_id"], fields, self.caller, shortest=shortest)
        return ok(detail(self, updated))

    post = patch = put


class User(Self):
    """A user."""

    def delete(self, **path: str) -> Response:
        resolve.user(self.store, path, self.caller, deactivated=True)
        access.need(self.caller, "manage users")
        users.deactivate(self.store, path["user"], self.caller)
        return nothing()


class Reactivation(Endpoint):
    """The reactivation of a deactivated user."""

    def put(self, **path: str) -> Response:
        access.need(self.caller, "manage users")
        users.reactivate(self.store, path["user"], self.caller)
        return nothing()


class SourcesOfUserOrgs(repositories.AllSources):
    """The sources of the organisations of a user that the caller may read."""

    def owner_urls(self, path: resolve.Path) -> Collection[str]:
        user = resolve.user(self.store, path, self.caller)
        orgs = self.store.owners.ids({"members": user["_id"], **access.readable_orgs(self.caller)})
        return [f"/orgs/{org}/" for org in orgs]


class CollectionsOfUserOrgs(SourcesOfUserOrgs):
    """The collections of the organisations of a user that the caller may read."""

    kind = "collection"


def respond_with_list(endpoint: Endpoint, where: Json) -> Response:
    """Return a page of the users that match and are not deactivated."""
    present = (
        partial(details, endpoint)
        if params.flag("verbose")
        else listings.each(representations.user_summary)
    )
    return listings.respond(
        endpoint.settings,
        endpoint.store.users.listing,
        {"active": True, **where},
        present,
        listings.USERS,
    )


def detail(endpoint: Endpoint, user: Json) -> Json:
    """Return the user in detail, with the fields that the caller may see."""
    return details(endpoint, [user])[0]


def details(endpoint: Endpoint, users: Sequence[Json]) -> list[Json]:
    """Return several users in detail. Costs two queries for all of them."""
    caller, roles = endpoint.caller, access.may(endpoint.caller, "read roles")
    orgs = endpoint.store.owners.memberships(
        [user["_id"] for user in users], access.readable_orgs(caller)
    )
    repos = public_repos(endpoint, [f"/users/{user['_id']}/" for user in users])
    return [
        representations.user_detail(
            user,
            orgs[user["_id"]],
            *counts,
            email=access.may(caller, "read email", user),
            roles=roles,
        )
        for user, counts in zip(users, repos, strict=True)
    ]


def public_repos(endpoint: Endpoint, owner_urls: Sequence[str]) -> list[tuple[int, int]]:
    """Return the number of public sources and collections of each owner. Costs one query."""
    found = endpoint.store.repos.counts(
        RepositoryFilter(owner_urls=owner_urls, readable_by=access.ANONYMOUS)
    )
    return [
        (found[owner_url, "source"], found[owner_url, "collection"]) for owner_url in owner_urls
    ]
