"""Organisations (contract section 7)."""

from flask import Response

from oclapi import access, bodies, jsonio, representations
from oclapi.editing import owners
from oclapi.model import Json
from oclapi.resources import asked, listings, places
from oclapi.resources.answers import created, ok
from oclapi.resources.endpoint import Endpoint


class OrgList(Endpoint):
    """All organisations that the caller may read."""

    def get(self) -> Response:
        present = self._detail if asked.flag("verbose") else representations.org_summary
        return listings.answer(self.settings, self.store.owners.orgs, access.readable(self.caller), present)

    def post(self) -> Response:
        access.need_create(self.caller, "org")
        body = bodies.org_create(asked.body(self.settings))
        made = owners.create_org(self.store, body, self.caller)
        return created(jsonio.dumps(self._detail(made)), f"/orgs/{made['_id']}/", self.settings)

    def _detail(self, org: Json) -> Json:
        return representations.org_detail(org, *public_repos(self, org))


class Org(Endpoint):
    """One organisation."""

    def get(self, **path: str) -> Response:
        org = places.org(self.store, path)
        access.need(self.caller, "read", org)
        return ok(representations.org_detail(org, *public_repos(self, org)))

    def put(self, **path: str) -> Response:
        access.need(self.caller, "write", places.org(self.store, path))
        org = owners.update_org(self.store, path["org"], bodies.org_update(asked.body(self.settings)), self.caller)
        return ok(representations.org_detail(org, *public_repos(self, org)))

    post = patch = put


def public_repos(endpoint: Endpoint, org: Json) -> tuple[int, int]:
    """How many public sources and collections the organisation has."""
    url = f"/orgs/{org['_id']}/"
    sources, collections = (
        endpoint.store.repos.count({"owner_url": url, "kind": kind, **access.readable(access.ANYBODY)}) for kind in ("source", "collection")
    )
    return sources, collections
