"""The OpenAPI 3.1 document of the API, built from the application's routes.

Paths, methods and path parameters come from the router, schemas of request bodies from
oclapi/bodies.py, everything else from what each resource says of itself (`about`). apispec
assembles the document and refuses duplicates; pydantic writes the schemas.
"""

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from apispec import APISpec
from flask import Flask, Response, current_app
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from werkzeug.routing import Rule

from oclapi import __version__
from oclapi.model import Json
from oclapi.resources import described, shapes
from oclapi.resources.described import QUERY, EndpointDoc, ListResponse
from oclapi.resources.endpoint import Endpoint
from oclapi.resources.responses import ok
from oclapi.urls import RESERVED_VERSIONS

METHODS = ("get", "head", "post", "put", "patch", "delete")
ALIAS = re.compile(r"/user/.|.*/versions/<version:version>/")
"""Rules that are other spellings of a path."""
PATH_PARAM = re.compile(r"<(?:\w+:)?(\w+)>")

ABOUT = """\
A terminology server that speaks the API of Open Concept Lab. Organisations and users own sources \
of concepts and mappings and release them as versions. Hospital systems subscribe to the releases.

The trailing slash of a path is optional, and HEAD works wherever GET does. Unknown parameters and \
keys are ignored. An invalid value of a known one is a 400 and changes nothing. All errors have \
the same format. With the request header `Compress: true`, the response is the whole result as a \
ZIP.

Ids of owners and repositories have 1 to 255 letters, digits and `-._@`. Ids of concepts, \
mappings and versions have 1 to 255 characters of any script, signs, slashes and inner blanks \
included. Paths and URLs contain them percent-encoded: `HEM/BC` is `HEM%2FBC`. No id may be `.` or \
`..`, which clients and proxies remove from paths.

Each path is listed once. These are other spellings of it:

- `/user/...` is `/users/{user}/...` of the caller.
- `.../versions/{version}/...` is `.../{version}/...`."""

ID: Json = {"type": "string", "pattern": r"^[A-Za-z0-9._@-]{1,255}$"}
CONTENT_ID: Json = {"type": "string", "minLength": 1, "maxLength": 255}
VERSION_ID: Json = {**CONTENT_ID, "not": {"enum": sorted(RESERVED_VERSIONS - {"HEAD", "latest"})}}
PATH_PARAMS: dict[str, tuple[Json, str, str]] = {
    "org": (ID, "Id of the organisation", "NorthLab"),
    "user": (ID, "Username", "amina"),
    "source": (ID, "Id of the source, as its owner chose it", "LABX"),
    "collection": (ID, "Id of the collection, as its owner chose it", "CORE"),
    "version": (
        VERSION_ID,
        "Id of a version, `latest` for the latest release, or `HEAD` for the current state",
        "v1",
    ),
    "concept": (CONTENT_ID, "Id of the concept", "1007"),
    "mapping": (CONTENT_ID, "Id of the mapping", "m-17"),
    "item_version": (ID, "Version of the concept or mapping: the value of its `version`", "4"),
    "uuid": (ID, "The `uuid` of the name or description", "n1"),
    "key": (
        {"type": "string", "minLength": 1},
        "A key of the extras, percent-encoded. It may contain an encoded slash",
        "units",
    ),
    "verification": (
        {"type": "string", "minLength": 1},
        "Part of the link in the e-mail",
        "WyJhbWluYSJd.aXk",
    ),
    "version_id": (ID, "Part of the signed link", "42"),
    "token": (ID, "Part of the signed link", "4f0c"),
    "expires": (ID, "Part of the signed link", "1770000000"),
    "signature": (ID, "Part of the signed link", "c2ln"),
}
"""Schema, description and example of every path parameter."""

ERRORS: dict[int, tuple[str, str]] = {
    400: (
        "BadRequest",
        "A body or parameter is invalid. `errors` says which and why. Nothing was changed.",
    ),
    401: ("NoCredentials", "Credentials are missing or invalid."),
    403: ("Forbidden", "The caller does not have permission."),
    404: ("NotFound", "Not found."),
    405: (
        "MethodNotAllowed",
        "The method is not allowed here. Versions are read-only, and HEAD is not a version.",
    ),
    409: ("Conflict", "The item exists already, or is being created."),
    413: ("TooLarge", "The body is too large."),
    414: ("LineTooLong", "The request line is too long."),
    415: ("UnsupportedMediaType", "The content type of the body is not supported."),
    416: ("OutOfRange", "The range is outside the archive."),
    429: ("TooMany", "Too many requests. `Retry-After` says how long to wait."),
    500: ("InternalError", "Internal server error."),
    503: ("Unavailable", "A part of the server is down or busy. Try again later."),
}
STATUS_TEXTS = {
    201: "Created.",
    202: "Started.",
    204: "Done.",
    206: "Part of the archive.",
    208: "In progress.",
    302: "Redirect.",
    304: "Not modified.",
}
COMMON_ERRORS = (401, 414, 429, 500, 503)
BODY_ERRORS = (400, 413, 415)
ERROR_HEADERS = {
    401: ("WWW-Authenticate",),
    405: ("Allow",),
    416: ("Content-Range",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}

COUNT: Json = {"type": "integer", "minimum": 0}
LINK: Json = {"type": "string", "format": "uri"}
HEADERS: dict[str, tuple[Json, str]] = {
    "num_found": (COUNT, "Items in the whole result"),
    "num_returned": (COUNT, "Items in this response"),
    "num_found_concepts": (
        COUNT,
        "Concepts in the whole result, when the content of a repository is included",
    ),
    "num_found_mappings": (
        COUNT,
        "Mappings in the whole result, when the content of a repository is included",
    ),
    "offset": (COUNT, "Items before this page"),
    "pages": (COUNT, "Pages in the whole result"),
    "page_number": (COUNT, "Number of this page"),
    "next": (LINK, "The next page. Absent on the last page"),
    "previous": (LINK, "The previous page. Absent on the first page"),
    "Link": ({"type": "string"}, 'The links to pages, with rel="first", "last", "next" and "prev"'),
    "lastUpdated": (
        {"type": "string"},
        "Time of the newest change in the response. Use it as the next `updatedSince`",
    ),
    "search-engine": ({"enum": ["solr", "mongodb"]}, "The search engine that found the entries"),
    "search-behind": (
        COUNT,
        "Number of revisions that the search engine has not indexed yet",
    ),
    "Location": (LINK, "URL of the new item"),
    "Retry-After": ({"type": "integer", "minimum": 1}, "Seconds to wait"),
    "WWW-Authenticate": ({"const": "Token"}, "Authentication scheme"),
    "Allow": ({"type": "string"}, "The allowed methods"),
    "Content-Disposition": ({"type": "string"}, "File name"),
    "Content-Length": (COUNT, "Size in bytes"),
    "Content-Range": ({"type": "string"}, "Which bytes the response contains, and the total size"),
    "Accept-Ranges": ({"const": "bytes"}, "Downloads can be resumed"),
    "ETag": ({"type": "string"}, "For If-None-Match and If-Range"),
    "Last-Modified": ({"type": "string"}, "When the archive was built"),
    "Cache-Control": ({"const": "private, no-cache"}, "Caches must revalidate their copy"),
    "exportStatus": (
        {"enum": ["ready", "processing", "missing", "failed"]},
        "State of the version's export",
    ),
    "exportURL": (LINK, "Signed link to the tarball. It needs no token and expires"),
}
PAGING = ("num_found", "num_returned", "offset", "pages", "page_number", "next", "previous", "Link")
CONTENT_COUNTS = ("num_found_concepts", "num_found_mappings")

COMPRESS: Json = {
    "name": "Compress",
    "in": "header",
    "schema": {"type": "boolean"},
    "description": "true: the whole result as a ZIP. Paging is ignored.",
}
FACETS: Json = {
    "name": "includeFacets",
    "in": "header",
    "schema": {"type": "boolean"},
    "description": (
        "true: the body is an object with the list in `results`, and in `facets` how often each "
        "value of each filter occurs."
    ),
}
CONDITIONS: tuple[tuple[str, str], ...] = (
    ("Range", "A range of bytes, to resume a download."),
    ("If-Range", "The ETag of the part that the client has. The range applies only if it matches."),
    ("If-None-Match", "The ETag of the client's copy. The response is 304 if it is unchanged."),
    ("If-Modified-Since", "Like If-None-Match, with a date."),
)


class Document(Endpoint):
    """The OpenAPI document."""

    about = described.EndpointDoc(tag="Server", returns={"type": "object"})

    def get(self) -> Response:
        return ok(document(current_app))


def document(app: Flask) -> Json:
    """Return the document of an application. It is built once, on the first request."""
    if "openapi" not in app.extensions:
        app.extensions["openapi"] = build(app)
    return cast(Json, app.extensions["openapi"])


def build(app: Flask) -> Json:
    """Build the document of an application.

    It lists every method of every path in its canonical spelling, except OPTIONS, and except HEAD
    where HEAD is GET without a body.
    """
    spec = APISpec(
        "oclapi",
        __version__,
        "3.1.0",
        info={"description": ABOUT},
        servers=[{"url": "/"}],
        security=[{}, {"token": []}],
        tags=[{"name": name, "description": text} for name, text in described.TAGS.items()],
    )
    spec.components.security_scheme(
        "token",
        {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Token` and the 40 hex characters that log-in returns.",
        },
    )
    _add_headers(spec)
    schemas = Schemas()
    _add_errors(spec, schemas)
    for rule in _listed(app):
        resource = _resource(app, rule)
        operations = {
            method: _operation(schemas, rule, resource, method)
            for method in methods(rule, resource)
        }
        spec.path(
            PATH_PARAM.sub(r"{\1}", rule.rule),
            operations=operations,
            parameters=[_path_param(name) for name in PATH_PARAM.findall(rule.rule)],
        )
    for name, schema in schemas.named.items():
        spec.components.schema(name, schema)
    return spec.to_dict()


def _listed(app: Flask) -> list[Rule]:
    """Return the rules of the document: by tag, then in the order in which they were added.

    Other spellings of a path are left out.
    """
    tags = list(described.TAGS)
    rules = [rule for rule in app.url_map.iter_rules() if not ALIAS.match(rule.rule)]
    return sorted(rules, key=lambda rule: tags.index(_resource(app, rule).about.tag))


def _resource(app: Flask, rule: Rule) -> type[Endpoint]:
    resource: type[Endpoint] = cast(Any, app.view_functions[rule.endpoint]).view_class
    return resource


def methods(rule: Rule, resource: type[Endpoint]) -> list[str]:
    """Return the documented methods of a route. HEAD only where the resource implements it."""
    offered = {method.lower() for method in rule.methods or ()}
    return [
        method
        for method in METHODS
        if method in offered and (method != "head" or hasattr(resource, "head"))
    ]


class Schemas:
    """The named schemas of the document."""

    def __init__(self) -> None:
        self.named: dict[str, Json] = {}

    def of(self, shape: Any) -> Json:
        """Return the schema of a TypedDict or ListResponse. A JSON schema is returned unchanged."""
        if isinstance(shape, ListResponse):
            items = [self.of(one) for one in (shape.summary, shape.detail) if one is not None]
            return {"type": "array", "items": items[0] if len(items) == 1 else {"anyOf": items}}
        if isinstance(shape, Mapping):
            return {**shape, "items": self.of(shape["items"])} if "items" in shape else dict(shape)
        return self._refer(shape, shape.__name__, "")

    def with_facets(self, listing: ListResponse) -> Json:
        """Return the schema of a list, or of an object with the list and its facets."""
        both = {"results": self.of(listing), "facets": self.of(shapes.Facets)}
        return {
            "anyOf": [
                both["results"],
                {"type": "object", "properties": both, "required": list(both)},
            ]
        }

    def body(self, shape: Any) -> Json:
        """Return the schema of a request body, named after what it creates or changes."""
        if isinstance(shape, Mapping):
            return dict(shape)
        name = shape.__name__
        return self._refer(
            shape, name if name.endswith(("Change", "Comment")) else f"New{name}", "New"
        )

    def _refer(self, shape: Any, name: str, prefix: str) -> Json:
        if name not in self.named:
            schema = TypeAdapter(shape).json_schema(
                ref_template=f"#/components/schemas/{prefix}{{model}}", schema_generator=_Plain
            )
            parts = schema.pop("$defs", {})
            self.named |= {f"{prefix}{part}": _untitled(found) for part, found in parts.items()}
            self.named[name] = _untitled(schema)
        return {"$ref": f"#/components/schemas/{name}"}


class _Plain(GenerateJsonSchema):
    """Omits the titles of fields, which would only repeat their names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _untitled(schema: Json) -> Json:
    return {key: value for key, value in schema.items() if key != "title"}


def _add_headers(spec: APISpec) -> None:
    for name, (schema, text) in HEADERS.items():
        spec.components.header(name, {"schema": schema, "description": text})


def _add_errors(spec: APISpec, schemas: Schemas) -> None:
    content = {"application/json": {"schema": schemas.of(shapes.Error)}}
    for status, (name, text) in ERRORS.items():
        spec.components.response(
            name,
            {"description": text, "content": content, **_headers(ERROR_HEADERS.get(status, ()))},
        )


def _headers(names: tuple[str, ...]) -> Json:
    if not names:
        return {}
    return {"headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names}}


def _path_param(name: str) -> Json:
    schema, text, example = PATH_PARAMS[name]
    return {
        "name": name,
        "in": "path",
        "required": True,
        "schema": schema,
        "description": text,
        "example": example,
    }


def _operation(schemas: Schemas, rule: Rule, resource: type[Endpoint], method: str) -> Json:
    doc = resource.about
    is_update = getattr(resource, method) is getattr(resource, "put", None)
    body = doc.accepts.get(method) or (doc.accepts.get("put") if is_update else None)
    operation: Json = {
        "operationId": _operation_id(rule, resource, method, is_update),
        "tags": [doc.tag],
        "summary": _summary(doc, resource, method, is_update),
        "description": _description(doc, resource, method, is_update),
        "x-resource": rule.endpoint,
    }
    if parameters := list(_parameters(doc, method)):
        operation["parameters"] = parameters
    if body is not None:
        operation["requestBody"] = _body(schemas, doc, body, method)
    responses: Json = {
        str(status): response for status, response in _responses(schemas, doc, method, is_update)
    }
    for status in _error_statuses(rule, doc, method, bool(body) or bool(parameters), bool(body)):
        responses[str(status)] = {"$ref": f"#/components/responses/{ERRORS[status][0]}"}
    operation["responses"] = dict(sorted(responses.items()))
    return operation


def _operation_id(rule: Rule, resource: type[Endpoint], method: str, is_update: bool) -> str:
    """Return a readable name, such as `listConcepts` or `createConceptOfUser`."""
    name = resource.__name__
    if "item_version" not in rule.arguments:
        name = name.removesuffix("OfState")
    returns = resource.about.returns
    is_list = isinstance(returns, ListResponse) or (
        isinstance(returns, Mapping) and returns["type"] == "array"
    )
    verb = {"put": "update", "patch": "patch", "delete": "delete", "head": "check"}.get(
        method, method
    )
    if method == "get" and is_list:
        verb = "list"
    if method == "post":
        verb = "post" if is_update else "create" if resource.about.creates else "start"
    noun = name.removesuffix("List") if verb in ("list", "create") else name
    if verb == "list" and not noun.endswith(("s", "Children", "OfState")):
        noun += "s"
    segments = rule.rule.split("/")
    owned = segments[1:2] == ["users"] and "<" in rule.rule and len(segments) > 4
    versioned = "version" in rule.arguments and not name.startswith("Version")
    return f"{verb}{noun}{'AtVersion' if versioned else ''}{'OfUser' if owned else ''}"


def _description(doc: EndpointDoc, resource: type[Endpoint], method: str, is_update: bool) -> str:
    """Return what the resource and the method say of themselves."""
    own = None if is_update else getattr(resource, method).__doc__
    texts = [_summary(doc, resource, method, is_update) + ".", inspect.getdoc(resource), own]
    return " ".join(dict.fromkeys(" ".join(text.split()) for text in texts if text))


def _summary(doc: EndpointDoc, resource: type[Endpoint], method: str, is_update: bool) -> str:
    if method in doc.summaries:
        return doc.summaries[method]
    own = getattr(resource, method).__doc__
    if own and not is_update:
        return _first_sentence(own)
    if method in ("get", "head"):
        return _first_sentence(inspect.getdoc(resource) or "")
    if is_update:
        return f"Change the {doc.noun}"
    if method == "post":
        article = "an" if doc.noun[0] in "aeio" else "a"
        return f"Create {article} {doc.noun}"
    return f"{method.capitalize()} the {doc.noun}"


def _first_sentence(text: str) -> str:
    return re.split(r"\.(?:\s|$)", " ".join(text.split()), maxsplit=1)[0]


def _parameters(doc: EndpointDoc, method: str) -> Iterator[Json]:
    if method not in ("get", "head"):
        return
    for name in doc.query:
        schema, text = QUERY[name]
        yield {"name": name, "in": "query", "schema": dict(schema), "description": text}
    if _has_facets(doc):
        yield FACETS
    if doc.returns is not None:
        yield COMPRESS
    elif described.ARCHIVE in doc.responses.get("get", {}).values():
        for name, text in CONDITIONS:
            yield {"name": name, "in": "header", "schema": {"type": "string"}, "description": text}


def _has_facets(doc: EndpointDoc) -> bool:
    return isinstance(doc.returns, ListResponse) and "q" in doc.query


def _body(schemas: Schemas, doc: EndpointDoc, shape: Any, method: str) -> Json:
    content: Json = {"schema": schemas.body(shape)}
    if doc.example is not None and method != "delete":
        content["example"] = dict(doc.example)
    media_types = ["application/json"]
    if doc.accepts_forms:
        media_types.append("application/x-www-form-urlencoded")
    return {"required": method != "delete", "content": dict.fromkeys(media_types, content)}


def _responses(
    schemas: Schemas, doc: EndpointDoc, method: str, is_update: bool
) -> Iterator[tuple[int, Json]]:
    """Yield the successful responses of a method, with their statuses."""
    if method in doc.responses:
        for status, shape in doc.responses[method].items():
            yield (
                status,
                _response(schemas, status, shape, doc.headers if method in ("get", "head") else ()),
            )
    elif method == "delete":
        yield 204, {"description": "Done."}
    elif method == "post" and not is_update:
        yield 201, {**_response(schemas, 201, doc.creates), **_headers(("Location",))}
    else:
        headers: tuple[str, ...] = ()
        if isinstance(doc.returns, ListResponse):
            headers = PAGING
        elif "includeRemoved" in doc.query:
            headers = (*PAGING, *CONTENT_COUNTS)
        response = _response(
            schemas, 200, doc.returns, (*headers, *doc.headers) if method == "get" else ()
        )
        if _has_facets(doc):
            response["content"]["application/json"]["schema"] = schemas.with_facets(doc.returns)
        if method == "get":
            response["content"]["application/zip"] = described.BINARY
        yield 200, response


def _response(schemas: Schemas, status: int, shape: Any, headers: tuple[str, ...] = ()) -> Json:
    if status in (202, 208):
        headers = ("exportStatus", "Retry-After")
    response: Json = {"description": STATUS_TEXTS.get(status, "OK."), **_headers(headers)}
    if shape is None:
        return response
    if isinstance(shape, Mapping) and all("/" in name for name in shape):
        return {**response, "content": dict(shape)}
    return {**response, "content": {"application/json": {"schema": schemas.of(shape)}}}


def _error_statuses(
    rule: Rule, doc: EndpointDoc, method: str, params: bool, body: bool
) -> list[int]:
    statuses = {*COMMON_ERRORS, *doc.errors.get(method, ())}
    if params or rule.arguments:  # a path may have a broken escape
        statuses.add(400)
    if body:
        statuses.update(BODY_ERRORS)
    if rule.arguments or method not in ("get", "head"):
        statuses.add(403)
    if rule.arguments:
        statuses.add(404)
    if "version" in rule.arguments and method not in ("get", "head"):
        statuses.add(405)
    return sorted(statuses)
