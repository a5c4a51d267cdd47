"""Organisations and their members (contract section 7)."""

from flask import Response

from oclapi import access, bodies, jsonio, representations
from oclapi.editing import owners
from oclapi.errors import NotFound
from oclapi.model import Json
from oclapi.resources import asked, listings, places, users
from oclapi.resources.answers import created, nothing, ok
from oclapi.resources.endpoint import Endpoint


class OrgsOfUser(Endpoint):
    """The organisations that a user is a member of, as far as the caller may read them."""

    def get(self, **path: str) -> Response:
        where = {**self.where(path), **access.readable_orgs(self.caller)}
        present = self.detail if asked.flag("verbose") else representations.org_summary
        return listings.answer(self.settings, self.store.owners.orgs, where, present, listings.ORGS)

    def where(self, path: places.Path) -> Json:
        """The filter that the path adds."""
        return {"members": places.user(self.store, path, self.caller)["_id"]}

    def detail(self, org: Json) -> Json:
        return representations.org_detail(org, *users.public_repos(self, f"/orgs/{org['_id']}/"))


class OrgList(OrgsOfUser):
    """All organisations that the caller may read."""

    def where(self, path: places.Path) -> Json:
        return {}

    def post(self) -> Response:
        access.need(self.caller, "create org")
        body = bodies.org_create(asked.body(self.settings))
        made = owners.create_org(self.store, body, self.caller)
        return created(jsonio.dumps(self.detail(made)), f"/orgs/{made['_id']}/", self.settings)


class Org(Endpoint):
    """One organisation."""

    def get(self, **path: str) -> Response:
        org = places.org(self.store, path)
        access.need(self.caller, "read org", org)
        return self._shown(org)

    def put(self, **path: str) -> Response:
        access.need(self.caller, "edit org", places.org(self.store, path))
        return self._shown(owners.update_org(self.store, path["org"], bodies.org_update(asked.body(self.settings)), self.caller))

    post = patch = put

    def delete(self, **path: str) -> Response:
        access.need(self.caller, "delete org", places.org(self.store, path))
        owners.delete_org(self.store, path["org"], self.caller)
        return nothing()

    def _shown(self, org: Json) -> Response:
        return ok(representations.org_detail(org, *users.public_repos(self, f"/orgs/{org['_id']}/")))


class MemberList(Endpoint):
    """The members of an organisation."""

    def get(self, **path: str) -> Response:
        org = places.org(self.store, path)
        access.need(self.caller, "read org", org)
        return users.answer_list(self, {"_id": {"$in": org["members"]}})


class Member(Endpoint):
    """One user's membership in an organisation."""

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

    def _org(self, path: places.Path) -> Json:
        """The organisation, whose members the caller may manage. Raises NotFound, and as access.need."""
        org = places.org(self.store, path)
        access.need(self.caller, "members", org)
        return org
