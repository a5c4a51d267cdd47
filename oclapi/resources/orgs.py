"""Organisations and their members (contract section 7)."""

from collections.abc import Sequence
from functools import partial

from flask import Response

from oclapi import access, bodies, jsonio, representations
from oclapi.editing import owners
from oclapi.errors import NotFound
from oclapi.model import Json, Organization
from oclapi.resources import body, described, examples, listings, resolve, shapes, users
from oclapi.resources.endpoint import Endpoint
from oclapi.resources.responses import created, nothing, ok
from oclapi.store.owners import OrganizationFilter
from oclapi.store.store import Store
from oclapi.store.users import UserFilter


class OrgsOfUser(Endpoint):
    """The organisations of a user that the caller may read."""

    about = described.EndpointDoc(
        tag="Users",
        returns=described.ListResponse(shapes.OrgSummary, shapes.Org),
        query=described.ORG_PARAMS,
    )

    def get(self, **path: str) -> Response:
        selected = OrganizationFilter(self.member(path), self.caller)
        request = listings.ListRequest.from_params(listings.ORGS, self.settings)
        present = (
            partial(details, self.store)
            if request.verbose
            else listings.each(representations.org_summary)
        )
        return listings.respond(
            self.settings, request, self.store.owners, selected, present, listings.ORGS
        )

    def member(self, path: resolve.Path) -> str | None:
        """Return the user whose organisations are listed, None for all organisations."""
        return resolve.user(self.store, path, self.caller).username


class OrgList(OrgsOfUser):
    """All organisations that the caller may read. POST creates one."""

    about = described.EndpointDoc(
        tag="Organisations",
        noun="organisation",
        returns=described.ListResponse(shapes.OrgSummary, shapes.Org),
        creates=shapes.Org,
        query=described.ORG_PARAMS,
        accepts={"post": bodies.Org},
        example=examples.NEW_ORG,
    )

    def member(self, path: resolve.Path) -> None:
        return None

    def post(self) -> Response:
        access.need(self.caller, "create org")
        fields = bodies.org_create(body.read(self.settings))
        org = owners.create_org(self.store, fields, self.caller)
        return created(jsonio.dumps(details(self.store, [org])[0]), org.url, self.settings)


class Org(Endpoint):
    """An organisation."""

    about = described.EndpointDoc(
        tag="Organisations",
        noun="organisation",
        returns=shapes.Org,
        accepts={"put": bodies.OrgChange},
        example=examples.CHANGED_ORG,
    )

    def get(self, **path: str) -> Response:
        org = resolve.org(self.store, path)
        access.need(self.caller, "read org", org)
        return self._response(org)

    def put(self, **path: str) -> Response:
        access.need(self.caller, "edit org", resolve.org(self.store, path))
        fields = bodies.org_update(body.read(self.settings))
        updated, _ = owners.update_org(self.store, path["org"], fields, self.caller)
        return self._response(updated)

    post = patch = put

    def delete(self, **path: str) -> Response:
        access.need(self.caller, "delete org", resolve.org(self.store, path))
        owners.delete_org(self.store, path["org"], self.caller)
        return nothing()

    def _response(self, org: Organization) -> Response:
        return ok(details(self.store, [org])[0])


class MemberList(Endpoint):
    """The members of an organisation."""

    about = described.EndpointDoc(
        tag="Organisations",
        returns=described.ListResponse(shapes.UserSummary, shapes.User),
        query=described.USER_PARAMS,
    )

    def get(self, **path: str) -> Response:
        org = resolve.org(self.store, path)
        access.need(self.caller, "read org", org)
        request = listings.ListRequest.from_params(listings.USERS, self.settings)
        members = UserFilter(org.members, active=True)
        return users.list_response(self.settings, self.store, self.caller, request, members)


class Member(Endpoint):
    """The membership of a user in an organisation."""

    about = described.EndpointDoc(
        tag="Organisations",
        noun="member",
        responses={"get": {204: None}, "put": {204: None}},
        errors={"delete": (400,)},
        summaries={
            "get": "Check whether the user is a member",
            "put": "Add the user as a member",
            "delete": "Remove the member",
        },
    )

    def get(self, **path: str) -> Response:
        org = self._org(path)
        if path["user"] not in org.members:
            raise NotFound(f"{path['user']} is not a member of {path['org']}")
        return nothing()

    def put(self, **path: str) -> Response:
        self._org(path)
        owners.add_member(self.store, path["org"], path["user"], self.caller)
        return nothing()

    def delete(self, **path: str) -> Response:
        self._org(path)
        owners.remove_member(self.store, path["org"], path["user"], self.caller)
        return nothing()

    def _org(self, path: resolve.Path) -> Organization:
        """Return the organisation, of which the caller may manage the members.

        Raises NotFound, and what access.need raises.
        """
        org = resolve.org(self.store, path)
        access.need(self.caller, "members", org)
        return org


def details(store: Store, orgs: Sequence[Organization]) -> list[Json]:
    """Return the organisations in detail, with the number of their public repositories."""
    repos = users.public_repos(store, [org.url for org in orgs])
    return [
        representations.org_detail(org, *counts) for org, counts in zip(orgs, repos, strict=True)
    ]
