"""Examples of request and response bodies, from the contract.

tests/api/test_openapi.py validates them against their schemas.
"""

from typing import Any

Example = dict[str, Any]

_STAMPS = {
    "created_on": "2026-01-05T08:01:00.000Z",
    "updated_on": "2026-01-05T08:01:00.000Z",
    "created_by": "amina",
    "updated_by": "amina",
}
_OWNED = {"owner": "NorthLab", "owner_type": "Organization", "owner_url": "/orgs/NorthLab/"}
_TYPED = {"owner": "NorthLab", "owner_type": "Organization"}
_LABX = "/orgs/NorthLab/sources/LABX/"

ERROR: Example = {
    "detail": "names: at least one name is needed",
    "errors": {"names": ["at least one name is needed"]},
    "names": ["at least one name is needed"],
}

USER: Example = {
    "type": "User",
    "uuid": "64a1f0c2",
    "username": "amina",
    "name": "Amina K.",
    "email": "amina@example.org",
    "company": None,
    "location": "Kisumu",
    "preferred_locale": "en,sw",
    "website": None,
    "extras": None,
    "orgs": 1,
    "public_collections": 0,
    "public_sources": 2,
    "url": "/users/amina/",
    "organizations_url": "/users/amina/orgs/",
    "orgs_url": "/users/amina/orgs/",
    "sources_url": "/users/amina/sources/",
    "collections_url": "/users/amina/collections/",
    **_STAMPS,
}

ORG: Example = {
    "type": "Organization",
    "uuid": "64a1f0d7",
    "id": "NorthLab",
    "name": "North Laboratory",
    "company": None,
    "website": "https://north.example.org/",
    "location": None,
    "description": None,
    "public_access": "View",
    "extras": {"region": 4},
    "members": 1,
    "public_collections": 0,
    "public_sources": 1,
    "url": "/orgs/NorthLab/",
    "members_url": "/orgs/NorthLab/members/",
    "sources_url": "/orgs/NorthLab/sources/",
    "collections_url": "/orgs/NorthLab/collections/",
    **_STAMPS,
}
CHANGED_ORG: Example = {"location": "Kisumu"}
NEW_USER: Example = {
    "username": "amina",
    "name": "Amina K.",
    "email": "amina@example.org",
    "password": "a long pass phrase",
}
NEW_ORG: Example = {
    "id": "NorthLab",
    "name": "North Laboratory",
    "website": "https://north.example.org/",
    "extras": {"region": 4},
}

SOURCE: Example = {
    "type": "Source",
    "uuid": "64a1f1aa",
    "id": "LABX",
    "short_code": "LABX",
    "name": "Lab X codes",
    "full_name": "Lab X codes",
    "description": None,
    "source_type": "Dictionary",
    "public_access": "View",
    "default_locale": "en",
    "supported_locales": ["en", "sw"],
    "website": None,
    "external_id": None,
    "custom_validation_schema": None,
    "url": _LABX,
    "versions_url": f"{_LABX}versions/",
    "concepts_url": f"{_LABX}concepts/",
    "mappings_url": f"{_LABX}mappings/",
    "active_concepts": 2,
    "active_mappings": 1,
    **_OWNED,
    "versions": 2,
    **_STAMPS,
    "extras": None,
}
NEW_SOURCE: Example = {
    "id": "LABX",
    "name": "Lab X codes",
    "source_type": "Dictionary",
    "default_locale": "en",
    "supported_locales": ["en", "sw"],
}
CHANGED_SOURCE: Example = {"description": "Codes of the laboratory"}
SOURCE_VERSION: Example = {
    "type": "Source Version",
    "id": "v1",
    "description": "First release",
    "released": True,
    "retired": False,
    "version_external_id": None,
    "external_id": None,
    "extras": None,
    "active_concepts": 2,
    "active_mappings": 1,
    "is_processing": False,
    "url": _LABX,
    "version_url": f"{_LABX}v1/",
    "sourceUrl": _LABX,
    "source_url": _LABX,
    "previousVersionUrl": None,
    "previous_version_url": None,
    "parentVersionUrl": None,
    "parent_version_url": None,
    **_OWNED,
    **_STAMPS,
    **{
        name: SOURCE[name]
        for name in (
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
    },
    "source": SOURCE,
}
NEW_VERSION: Example = {"id": "v1", "description": "First release", "released": True}
CHANGED_VERSION: Example = {"released": True}

NAME: Example = {
    "uuid": "n1",
    "external_id": None,
    "name": "Serum glucose",
    "locale": "en",
    "locale_preferred": True,
    "name_type": "FULLY_SPECIFIED",
    "retired": False,
    "retire_reason": None,
    "type": "ConceptName",
}
NEW_NAME: Example = {
    "name": "Serum glucose",
    "locale": "en",
    "locale_preferred": True,
    "name_type": "FULLY_SPECIFIED",
}
NEW_DESCRIPTION: Example = {"description": "Glucose in serum, in mmol/L", "locale": "en"}
CONCEPT: Example = {
    "type": "Concept",
    "uuid": "65b0c1",
    "id": "1007",
    "external_id": None,
    "concept_class": "Test",
    "datatype": "Numeric",
    "display_name": "Serum glucose",
    "display_locale": "en",
    "names": [NAME],
    "descriptions": [],
    "retired": False,
    "retire_reason": None,
    "source": "LABX",
    "source_url": _LABX,
    **_OWNED,
    "version": "4",
    "created_on": "2026-01-20T09:00:00.000Z",
    "updated_on": "2026-02-01T12:00:00.250Z",
    "created_by": "amina",
    "updated_by": "amina",
    "version_created_on": "2026-02-01T12:00:00.250Z",
    "version_created_by": "amina",
    "extras": {"units": "mmol/L"},
    "mappings": [],
    "is_latest_version": True,
    "locale": None,
    "update_comment": None,
    "url": f"{_LABX}concepts/1007/",
    "version_url": f"{_LABX}concepts/1007/4/",
}
NEW_CONCEPT: Example = {
    "id": "1007",
    "concept_class": "Test",
    "datatype": "Numeric",
    "names": [NEW_NAME],
    "extras": {"units": "mmol/L"},
}
CHANGED_CONCEPT: Example = {"datatype": "Text", "update_comment": "It was never a number"}

MAPPING: Example = {
    "type": "Mapping",
    "id": "m-17",
    "uuid": "65b1aa",
    "external_id": None,
    "retired": False,
    "retire_reason": None,
    "map_type": "SAME-AS",
    "from_source_owner": "NorthLab",
    "from_source_owner_type": "Organization",
    "from_source_name": "LABX",
    "from_source_url": _LABX,
    "from_concept_code": "1007",
    "from_concept_name": "Serum glucose",
    "from_concept_url": f"{_LABX}concepts/1007/",
    "to_source_owner": "RefOrg",
    "to_source_owner_type": "Organization",
    "to_source_name": "REFX",
    "to_source_url": "/orgs/RefOrg/sources/REFX/",
    "to_concept_code": "G-22",
    "to_concept_name": None,
    "to_concept_url": None,
    "source": "LABX",
    **_TYPED,
    "url": f"{_LABX}mappings/m-17/",
    "version": "1",
    "version_url": f"{_LABX}mappings/m-17/1/",
    "versioned_object_id": "65b1aa",
    "versioned_object_url": f"{_LABX}mappings/m-17/",
    "is_latest_version": True,
    "update_comment": None,
    "sort_weight": None,
    "extras": None,
    "created_on": "2026-01-21T07:00:00.000Z",
    "created_at": "2026-01-21T07:00:00.000Z",
    "updated_on": "2026-01-21T07:00:00.000Z",
    "updated_at": "2026-01-21T07:00:00.000Z",
    "created_by": "amina",
    "updated_by": "amina",
}
NEW_MAPPING: Example = {
    "map_type": "SAME-AS",
    "from_concept_url": f"{_LABX}concepts/1007/",
    "to_source_url": "/orgs/RefOrg/sources/REFX/",
    "to_concept_code": "G-22",
}
CHANGED_MAPPING: Example = {"map_type": "NARROWER-THAN"}

EXPORT_STATE: Example = {
    "detail": "The export is being prepared.",
    "exportStatus": "processing",
    "processed": 12000,
    "total": 52000,
}
EXTRA: Example = {"units": "mmol/L"}
