"""Users (contract section 6)."""

from collections.abc import Collection, Sequence
from functools import partial

from flask import Response

from config.settings import Settings
from oclapi import access, bodies, jsonio, model, representations
from oclapi.access import Caller
from oclapi.editing import users
from oclapi.model import Json
from oclapi.resources import body, described, examples, listings, repositories, resolve, shapes
from oclapi.resources.endpoint import Endpoint
from oclapi.resources.responses import created, nothing, ok
from oclapi.store.owners import OrganizationFilter
from oclapi.store.repos import RepositoryFilter
from oclapi.store.store import Store
from oclapi.store.users import UserFilter


class UserList(Endpoint):
    """All users except deactivated ones. POST creates one."""

    about = described.EndpointDoc(
        tag="Users",
        noun="user",
        returns=described.ListResponse(shapes.UserSummary, shapes.User),
        creates=shapes.User,
        query=described.USER_PARAMS,
        accepts={"post": bodies.User},
        accepts_forms=True,
        example=examples.NEW_USER,
    )

    def get(self) -> Response:
        request = listings.ListRequest.from_params(listings.USERS, self.settings)
        return list_response(
            self.settings, self.store, self.caller, request, UserFilter(active=True)
        )

    def post(self) -> Response:
        access.need(self.caller, "manage users")
        fields = bodies.user_create(body.read_flat(self.settings))
        user = users.create(self.store, fields, self.caller, shortest=self.settings.password_length)
        return created(jsonio.dumps(detail(self.store, self.caller, user)), user.url, self.settings)


class Self(Endpoint):
    """The caller's own profile."""

    about = described.EndpointDoc(
        tag="Users",
        noun="profile",
        returns=shapes.User,
        accepts={"put": bodies.UserChange},
        accepts_forms=True,
    )

    def get(self, **path: str) -> Response:
        user = resolve.user(self.store, path, self.caller, deactivated=True)
        access.need(self.caller, "read user", user)
        return ok(detail(self.store, self.caller, user))

    def put(self, **path: str) -> Response:
        user = resolve.user(self.store, path, self.caller, deactivated=True)
        access.need(self.caller, "edit user", user)
        fields = bodies.user_update(body.read_flat(self.settings))
        shortest = self.settings.password_length
        updated, _ = users.update(self.store, user.username, fields, self.caller, shortest=shortest)
        return ok(detail(self.store, self.caller, updated))

    post = patch = put


class User(Self):
    """A user."""

    about = described.EndpointDoc(
        tag="Users",
        noun="user",
        returns=shapes.User,
        accepts={"put": bodies.UserChange},
        accepts_forms=True,
        errors={"delete": (400,)},
        summaries={"delete": "Deactivate the user and hide everything that they own"},
    )

    def delete(self, **path: str) -> Response:
        resolve.user(self.store, path, self.caller, deactivated=True)
        access.need(self.caller, "manage users")
        users.deactivate(self.store, path["user"], self.caller)
        return nothing()


class Reactivation(Endpoint):
    """The reactivation of a deactivated user."""

    about = described.EndpointDoc(
        tag="Users",
        responses={"put": {204: None}},
        summaries={"put": "Reactivate a user and show everything that they own"},
    )

    def put(self, **path: str) -> Response:
        access.need(self.caller, "manage users")
        users.reactivate(self.store, path["user"], self.caller)
        return nothing()


class SourcesOfUserOrgs(repositories.AllSources):
    """The sources of the organisations of a user that the caller may read."""

    about = described.EndpointDoc(
        tag="Users",
        returns=described.ListResponse(shapes.RepositorySummary, shapes.Source),
        query=described.REPOSITORY_PARAMS,
    )

    def owner_urls(self, path: resolve.Path) -> Collection[str]:
        user = resolve.user(self.store, path, self.caller)
        orgs = self.store.owners.ids(OrganizationFilter(user.username, self.caller))
        return [f"/orgs/{org}/" for org in orgs]


class CollectionsOfUserOrgs(SourcesOfUserOrgs):
    """The collections of the organisations of a user that the caller may read."""

    about = described.EndpointDoc(
        tag="Users",
        returns=described.ListResponse(shapes.RepositorySummary),
        query=described.REPOSITORY_PARAMS,
    )

    kind = "collection"


def list_response(
    settings: Settings,
    store: Store,
    caller: Caller,
    request: listings.ListRequest,
    selected: UserFilter,
) -> Response:
    """Return a page of the users that match."""
    present = (
        partial(details, store, caller)
        if request.verbose
        else listings.each(representations.user_summary)
    )
    return listings.respond(settings, request, store.users, selected, present, listings.USERS)


def detail(store: Store, caller: Caller, user: model.User) -> Json:
    """Return the user in detail, with the fields that the caller may see."""
    return details(store, caller, [user])[0]


def details(store: Store, caller: Caller, users: Sequence[model.User]) -> list[Json]:
    """Return several users in detail. Costs two queries for all of them."""
    roles = access.may(caller, "read roles")
    orgs = store.owners.memberships([user.username for user in users], caller)
    repos = public_repos(store, [user.url for user in users])
    return [
        representations.user_detail(
            user,
            orgs[user.username],
            *counts,
            email=access.may(caller, "read email", user),
            roles=roles,
        )
        for user, counts in zip(users, repos, strict=True)
    ]


def public_repos(store: Store, owner_urls: Sequence[str]) -> list[tuple[int, int]]:
    """Return the number of public sources and collections of each owner. Costs one query."""
    found = store.repos.counts(
        RepositoryFilter(owner_urls=owner_urls, readable_by=access.ANONYMOUS)
    )
    return [
        (found[owner_url, "source"], found[owner_url, "collection"]) for owner_url in owner_urls
    ]
