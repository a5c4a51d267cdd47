"""How the API shows each item: stored documents in, JSON objects in the contract's key order out.

Pure. The bodies of concepts and mappings are rendered here once, when a commit writes them; all
later responses copy the bytes.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from oclapi import jsonio, times, urls
from oclapi.model import Json, Kind, Organization, Repository, Row, User, Version

CONCEPT_SUMMARY = (
    "id",
    "external_id",
    "concept_class",
    "datatype",
    "display_name",
    "display_locale",
    "retired",
    "source",
    "owner",
    "owner_type",
    "owner_url",
    "version",
    "url",
    "version_url",
    "is_latest_version",
    "locale",
    "mappings",
)
MAPPING_SUMMARY = (
    "id",
    "uuid",
    "map_type",
    "source",
    "owner",
    "owner_type",
    "external_id",
    "to_concept_name",
    "update_comment",
    "retired",
    "is_latest_version",
    "from_source_owner",
    "from_source_owner_type",
    "from_source_name",
    "from_concept_code",
    "from_concept_name",
    "from_source_url",
    "from_concept_url",
    "to_source_owner",
    "to_source_owner_type",
    "to_source_name",
    "to_concept_code",
    "to_source_url",
    "to_concept_url",
    "url",
    "version_url",
    "version",
    "versioned_object_id",
    "versioned_object_url",
)
SUMMARY: dict[Kind, tuple[str, ...]] = {"concept": CONCEPT_SUMMARY, "mapping": MAPPING_SUMMARY}
REPO_FIELDS = (
    "name",
    "full_name",
    "description",
    "source_type",
    "public_access",
    "default_locale",
    "supported_locales",
    "website",
    "external_id",
    "custom_validation_schema",
)
COPIED_TO_VERSION = (
    "uuid",
    "short_code",
    "name",
    "full_name",
    "source_type",
    "public_access",
    "default_locale",
    "supported_locales",
    "website",
    "custom_validation_schema",
    "versions_url",
    "concepts_url",
    "mappings_url",
    "versions",
)


# Content


def concept_body(
    concept: Mapping[str, Any], repo_url: str, revision: int, at: datetime, by: str
) -> bytes:
    """Return the published JSON of a concept that commit `revision` writes.

    `concept` contains its own fields (contract 10.1), `uuid`, `created_on`, `created_by`, display
    name and locale; see editing/concepts.py.
    """
    source, time = urls.parts(repo_url), times.format(at)
    url = urls.item_url(repo_url, "concept", concept["id"])
    return jsonio.dumps(
        {
            "type": "Concept",
            "uuid": concept["uuid"],
            "id": concept["id"],
            "external_id": concept["external_id"],
            "concept_class": concept["concept_class"],
            "datatype": concept["datatype"],
            "display_name": concept["display_name"],
            "display_locale": concept["display_locale"],
            "names": concept["names"],
            "descriptions": concept["descriptions"],
            "retired": concept["retired"],
            "retire_reason": concept["retire_reason"],
            "source": source.id,
            "source_url": repo_url,
            "owner": source.owner,
            "owner_type": source.owner_type,
            "owner_url": source.owner_url,
            "version": str(revision),
            "created_on": concept["created_on"] or time,
            "updated_on": time,
            "created_by": concept["created_by"] or by,
            "updated_by": by,
            "version_created_on": time,
            "version_created_by": by,
            "extras": concept["extras"],
            "mappings": [],
            "is_latest_version": True,
            "locale": concept["locale"],
            "update_comment": concept["update_comment"],
            "url": url,
            "version_url": f"{url}{revision}/",
        }
    )


def mapping_body(
    mapping: Mapping[str, Any], repo_url: str, number: int, at: datetime, by: str
) -> bytes:
    """Return the published JSON of a mapping's version `number`; see editing/mappings.py."""
    source, time = urls.parts(repo_url), times.format(at)
    start = urls.item(mapping["from_concept_url"])
    assert start is not None  # editing/mappings.py has looked it up
    from_source, to_source = urls.parts(start.repo), urls.parts(mapping["to_source_url"])
    url = urls.item_url(repo_url, "mapping", mapping["id"])
    created_on, created_by = mapping["created_on"] or time, mapping["created_by"] or by
    return jsonio.dumps(
        {
            "type": "Mapping",
            "id": mapping["id"],
            "uuid": mapping["uuid"],
            "external_id": mapping["external_id"],
            "retired": mapping["retired"],
            "retire_reason": mapping["retire_reason"],
            "map_type": mapping["map_type"],
            "from_source_owner": from_source.owner,
            "from_source_owner_type": from_source.owner_type,
            "from_source_name": from_source.id,
            "from_source_url": from_source.url,
            "from_concept_code": start.id,
            "from_concept_name": mapping["from_concept_name"],
            "from_concept_url": mapping["from_concept_url"],
            "to_source_owner": to_source.owner,
            "to_source_owner_type": to_source.owner_type,
            "to_source_name": to_source.id,
            "to_source_url": to_source.url,
            "to_concept_code": mapping["to_concept_code"],
            "to_concept_name": mapping["to_concept_name"],
            "to_concept_url": mapping["to_concept_url"],
            "source": source.id,
            "owner": source.owner,
            "owner_type": source.owner_type,
            "url": url,
            "version": str(number),
            "version_url": f"{url}{number}/",
            "versioned_object_id": mapping["uuid"],
            "versioned_object_url": url,
            "is_latest_version": True,
            "update_comment": mapping["update_comment"],
            "sort_weight": mapping["sort_weight"],
            "extras": mapping["extras"],
            "created_on": created_on,
            "created_at": created_on,
            "updated_on": time,
            "updated_at": time,
            "created_by": created_by,
            "updated_by": by,
        }
    )


def detail(body: bytes, *, latest: bool = True, mappings: Sequence[Json] | None = None) -> Json:
    """Return the body with the two values that depend on where it is read."""
    shown: Json = jsonio.loads_own(body)
    shown["is_latest_version"] = latest
    if mappings is not None:
        shown["mappings"] = list(mappings)
    return shown


def summary(kind: Kind, body: bytes, *, mappings: Sequence[Json] | None = None) -> Json:
    """Return the fields that a listing shows."""
    whole = jsonio.loads_own(body)
    shown = {name: whole[name] for name in SUMMARY[kind]}
    if mappings is not None:
        shown["mappings"] = list(mappings)
    return shown


def detail_around(body: bytes, *, latest: bool) -> tuple[bytes, bytes]:
    """Return the JSON of `detail` before and after the list of its mappings."""
    shown = list(detail(body, latest=latest).items())
    index = [name for name, _ in shown].index("mappings")
    before, after = jsonio.dumps(dict(shown[:index])), jsonio.dumps(dict(shown[index + 1 :]))
    return before[:-1] + b',"mappings":', b"," + after[1:]


def concept_version(row: Row, before: Row | None, *, latest: bool) -> Json:
    """Return an entry of a concept's version list; `before` is the replaced version."""
    body = jsonio.loads_own(row.body)
    older = jsonio.loads_own(before.body) if before else None
    return {
        "version": body["version"],
        "previous_version": older["version"] if older else None,
        "url": body["version_url"],
        "previous_version_url": older["version_url"] if older else None,
        "version_created_on": body["version_created_on"],
        "version_created_by": body["version_created_by"],
        "is_latest_concept_version": latest,
        "is_root_concept_version": older is None,
        "update_comment": body["update_comment"],
    }


# Users


def user_summary(user: User) -> Json:
    return {"username": user.username, "name": user.name, "url": user.url}


def user_detail(
    user: User, orgs: int, public_sources: int, public_collections: int, *, email: bool, roles: bool
) -> Json:
    """Return the detail of a user. `email` and `roles` say whether to include these keys."""
    url = user.url
    shown_roles = {"is_staff": user.is_staff, "is_superuser": user.is_superuser}
    return {
        "type": "User",
        "uuid": user.uuid,
        "username": user.username,
        "name": user.name,
        **({"email": user.email} if email else {}),
        "company": user.company,
        "location": user.location,
        "preferred_locale": user.preferred_locale,
        "website": user.website,
        "extras": user.extras,
        **(shown_roles if roles else {}),
        "orgs": orgs,
        "public_collections": public_collections,
        "public_sources": public_sources,
        "url": url,
        "organizations_url": f"{url}orgs/",
        "orgs_url": f"{url}orgs/",
        "sources_url": f"{url}sources/",
        "collections_url": f"{url}collections/",
        **_stamps(user),
    }


# Organisations


def org_summary(org: Organization) -> Json:
    return {"id": org.id, "name": org.name, "url": org.url}


def org_detail(org: Organization, public_sources: int, public_collections: int) -> Json:
    url = org.url
    return {
        "type": "Organization",
        "uuid": org.uuid,
        "id": org.id,
        "name": org.name,
        "company": org.company,
        "website": org.website,
        "location": org.location,
        "description": org.description,
        "public_access": org.public_access,
        "extras": org.extras,
        "members": len(org.members),
        "public_collections": public_collections,
        "public_sources": public_sources,
        "url": url,
        "members_url": f"{url}members/",
        "sources_url": f"{url}sources/",
        "collections_url": f"{url}collections/",
        **_stamps(org),
    }


# Repositories


def repo_summary(repo: Repository) -> Json:
    owner = urls.parts(repo.url)
    return {
        "id": repo.id,
        "short_code": repo.id,
        "name": repo.name,
        "url": repo.url,
        "owner": owner.owner,
        "owner_type": owner.owner_type,
        "owner_url": owner.owner_url,
    }


def repo_detail(repo: Repository) -> Json:
    """Return the detail of a repository at HEAD."""
    owner, url = urls.parts(repo.url), repo.url
    return {
        "type": repo.kind.capitalize(),
        "uuid": repo.uuid,
        "id": repo.id,
        "short_code": repo.id,
        **{name: getattr(repo, name) for name in REPO_FIELDS},
        "url": url,
        "versions_url": f"{url}versions/",
        "concepts_url": f"{url}concepts/",
        "mappings_url": f"{url}mappings/",
        "active_concepts": repo.counts.active_concepts,
        "active_mappings": repo.counts.active_mappings,
        "owner": owner.owner,
        "owner_type": owner.owner_type,
        "owner_url": owner.owner_url,
        "versions": repo.versions,
        **_stamps(repo),
        "extras": repo.extras,
    }


# Versions


def version_summary(version: Version, repo: Repository) -> Json:
    owner = urls.parts(repo.url)
    return {
        "id": version.id,
        "released": version.released,
        "retired": version.retired,
        "description": version.description,
        "url": repo.url,
        "version_url": urls.version_url(repo.url, version.id),
        "previous_version_url": _version_url(repo, version.previous_version),
        "owner": owner.owner,
        "owner_type": owner.owner_type,
        "owner_url": owner.owner_url,
        "created_on": times.format(version.created_on),
        "updated_on": times.format(version.updated_on),
        "created_by": version.created_by,
    }


def version_detail(
    version: Version, repo: Repository, *, is_processing: bool | None = None
) -> Json:
    """Return the detail of a version, or of HEAD as returned by `head_version`.

    Without `is_processing` the key is left out, as in `export.json`.
    """
    frozen = version.frozen
    kind, url = repo.kind, repo.url
    previous, parent = (
        _version_url(repo, version.previous_version),
        _version_url(repo, version.parent_version),
    )
    busy = {} if is_processing is None else {"is_processing": is_processing}
    return {
        "type": f"{kind.capitalize()} Version",
        **version_summary(version, repo),
        "version_external_id": version.version_external_id,
        "external_id": frozen["external_id"],
        "extras": version.extras,
        **busy,
        f"{kind}Url": url,
        f"{kind}_url": url,
        "previousVersionUrl": previous,
        "parentVersionUrl": parent,
        "parent_version_url": parent,
        "updated_by": version.updated_by,
        **{name: frozen[name] for name in COPIED_TO_VERSION if name in frozen},
        "active_concepts": version.counts.active_concepts,
        "active_mappings": version.counts.active_mappings,
        kind: frozen,
    }


def head_version(repo: Repository) -> Version:
    """Return HEAD as a version with current values."""
    return Version(
        key="",
        repo=repo.number,
        id="HEAD",
        rev=repo.rev,
        content_at=repo.content_at,
        counts=repo.counts,
        edition=0,
        released=False,
        retired=False,
        description=repo.description,
        previous_version=None,
        parent_version=None,
        version_external_id=None,
        extras_json=repo.extras_json,
        frozen_json=jsonio.dumps(repo_detail(repo)),
        created_on=repo.created_on,
        created_by=repo.created_by,
        updated_on=repo.updated_on,
        updated_by=repo.updated_by,
    )


def _version_url(repo: Repository, version: str | None) -> str | None:
    return None if version is None else urls.version_url(repo.url, version)


def _stamps(value: User | Organization | Repository) -> Json:
    return {
        "created_on": times.format(value.created_on),
        "updated_on": times.format(value.updated_on),
        "created_by": value.created_by,
        "updated_by": value.updated_by,
    }
