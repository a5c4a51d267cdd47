"""Organisations and their members (contract section 7)."""

from collections.abc import Sequence
from functools import partial

from flask import Response

from oclapi import access, bodies, jsonio, representations
from oclapi.editing import owners
from oclapi.errors import NotFound
from oclapi.model import Json
from oclapi.resources import body, listings, params, resolve, users
from oclapi.resources.endpoint import Endpoint
from oclapi.resources.responses import created, nothing, ok


class OrgsOfUser(Endpoint):
    """The organisations of a user that the caller may read."""

    def get(self, **path: str) -> Response:
        where = {**self.where(path), **access.readable_orgs(self.caller)}
        present = (
            partial(details, self)
            if params.flag("verbose")
            else listings.each(representations.org_summary)
        )
        return listings.respond(
            self.settings, self.store.owners.orgs, where, present, listings.ORGS
        )

    def where(self, path: resolve.Path) -> Json:
        """Return the filter that the path adds."""
        return {"members": resolve.user(self.store, path, self.caller)["_id"]}


class OrgList(OrgsOfUser):
    """All organisations that the caller may read. POST creates one."""

    def where(self, path: resolve.Path) -> Json:
        return {}

    def post(self) -> Response:
        access.need(self.caller, "create org")
        fields = bodies.org_create(body.read(self.settings))
        org = owners.create_org(self.store, fields, self.caller)
        return created(jsonio.dumps(details(self, [org])[0]), f"/orgs/{org['_id']}/", self.settings)


class Org(Endpoint):
    """An organisation."""

    def get(self, **path: str) -> Response:
        org = resolve.org(self.store, path)
        access.need(self.caller, "read org", org)
        return self._response(org)

    def put(self, **path: str) -> Response:
        access.need(self.caller, "edit org", resolve.org(self.store, path))
        fields = bodies.org_update(body.read(self.settings))
        return self._response(owners.update_org(self.store, path["org"], fields, self.caller))

    post = patch = put

    def delete(self, **path: str) -> Response:
        access.need(self.caller, "delete org", resolve.org(self.store, path))
        owners.delete_org(self.store, path["org"], self.caller)
        return nothing()

    def _response(self, org: Json) -> Response:
        return ok(details(self, [org])[0])


class MemberList(Endpoint):
    """The members of an organisation."""

    def get(self, **path: str) -> Response:
        org = resolve.org(self.store, path)
        access.need(self.caller, "read org", org)
        return users.respond_with_list(self, {"_id": {"$in": org["members"]}})


class Member(Endpoint):
    """The membership of a user in an organisation."""

    def get(self, **path: str) -> Response:
        org = self._org(path)
        if path["user"] not in org["members"]:
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

    def _org(self, path: resolve.Path) -> Json:
        """Return the organisation, of which the caller may manage the members.

        Raises NotFound, and what access.need raises.
        """
        org = resolve.org(self.store, path)
        access.need(self.caller, "members", org)
        return org


def details(endpoint: Endpoint, orgs: Sequence[Json]) -> list[Json]:
    """Return the organisations in detail, with the number of their public repositories."""
    repos = users.public_repos(endpoint, [f"/orgs/{org['_id']}/" for org in orgs])
    return [
        representations.org_detail(org, *counts) for org, counts in zip(orgs, repos, strict=True)
    ]
