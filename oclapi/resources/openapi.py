"""The API's own description: an OpenAPI 3.1 document, made from the application's routes and the
bodies that it checks.

Addresses, methods and path parameters are those of the router; schemas of bodies come from
oclapi/bodies.py; described.py adds the rest. apispec holds the parts together (it refuses what is
given twice); pydantic writes the schemas.
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
from oclapi.bodies import RESERVED_VERSIONS
from oclapi.model import Json
from oclapi.resources import described, shapes
from oclapi.resources.described import ENDPOINT_DOCS, QUERY, EndpointDoc, Listing
from oclapi.resources.endpoint import Endpoint
from oclapi.resources.responses import ok

METHODS = ("get", "head", "post", "put", "patch", "delete")
STEP = re.compile(r"<(?:\w+:)?(\w+)>")

ABOUT = """Terminologies in the dialect of Open Concept Lab: organisations and users own sources of concepts and mappings, release them as \
versions, and hospital systems subscribe to those releases.

Every address also answers without its last slash, and HEAD wherever GET does. Unknown parameters and keys are ignored; a bad value of a \
known one is refused with 400 and changes nothing. Ids have 1 to 255 letters, digits and `-._@`, and are not `.` or `..`, which clients \
and proxies take out of an address. Every failure has the same shape. With the request header `Compress: true` an answer \
comes whole, as a ZIP."""

ID: Json = {"type": "string", "pattern": r"^[A-Za-z0-9._@-]{1,255}$"}
VERSION_ID: Json = {**ID, "not": {"enum": sorted(RESERVED_VERSIONS - {"HEAD", "latest"})}}
STEPS: dict[str, tuple[Json, str, str]] = {
    "org": (ID, "Id of the organisation", "NorthLab"),
    "user": (ID, "Username", "amina"),
    "source": (ID, "Id of the source, as its owner chose it", "LABX"),
    "collection": (ID, "Id of the collection, as its owner chose it", "CORE"),
    "version": (
        VERSION_ID,
        "Id of a version; `latest`: the newest release; `HEAD`: the present state",
        "v1",
    ),
    "concept": (ID, "Id of the concept", "1007"),
    "mapping": (ID, "Id of the mapping", "m-17"),
    "item_version": (ID, "One version of it, as its `version` tells", "4"),
    "uuid": (ID, "The entry, as its `uuid` tells", "n1"),
    "key": (
        {"type": "string", "minLength": 1},
        "A key, percent-encoded, an encoded slash included",
        "units",
    ),
    "verification": (
        {"type": "string", "minLength": 1},
        "Out of the link in the mail",
        "WyJhbWluYSJd.aXk",
    ),
    "version_id": (ID, "Part of the signed link", "42"),
    "token": (ID, "Part of the signed link", "4f0c"),
    "expires": (ID, "Part of the signed link", "1770000000"),
    "signature": (ID, "Part of the signed link", "c2ln"),
}
"""Schema, meaning and example of every step of an address."""

FAILURES: dict[int, tuple[str, str]] = {
    400: (
        "BadRequest",
        "A bad body or parameter; `errors` says which and why. Nothing was changed.",
    ),
    401: ("NoCredentials", "Credentials are needed, or those given are not good."),
    403: ("Forbidden", "The credentials are good, the right is missing."),
    404: ("NotFound", "There is no such item."),
    405: ("NotOffered", "Not offered there: a version is frozen, HEAD is no version."),
    409: ("Conflict", "It exists already, or is under way."),
    413: ("TooLarge", "The body is too large."),
    414: ("LineTooLong", "The request line is too long."),
    415: ("TypeRefused", "The body has a type that is not taken."),
    416: ("OutOfRange", "The range is outside the archive."),
    429: ("TooMany", "Asked too often; wait as long as `Retry-After` says."),
    500: ("Fault", "A fault of the server."),
    503: ("Unavailable", "A part of the server is down or busy; trying again helps."),
}
MEANINGS = {
    201: "Made.",
    202: "Started.",
    204: "Done.",
    206: "A part.",
    208: "Under way.",
    304: "Still the same.",
}
ALWAYS = (401, 414, 429, 500, 503)
WITH_BODY = (400, 413, 415)
FAILURE_HEADERS = {
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
    "num_returned": (COUNT, "Items in this answer"),
    "num_found_concepts": (COUNT, "Concepts in the whole result, where both kinds are listed"),
    "num_found_mappings": (COUNT, "Mappings in the whole result, where both kinds are listed"),
    "offset": (COUNT, "Items before this answer"),
    "pages": (COUNT, "Pages in the whole result"),
    "page_number": (COUNT, "Which of them this is"),
    "next": (LINK, "The next page; absent on the last"),
    "previous": (LINK, "The page before; absent on the first"),
    "Link": ({"type": "string"}, 'The same, with rel="first", "last", "next", "prev"'),
    "lastUpdated": (
        {"type": "string"},
        "Up to when the answer reflects its repository's content: the next `updatedSince`",
    ),
    "search-engine": ({"enum": ["solr", "mongodb"]}, "What found the entries"),
    "search-behind": (
        COUNT,
        "Revisions that the answer may miss: those that the search engine has still to learn",
    ),
    "Location": (LINK, "The new item"),
    "Retry-After": ({"type": "integer", "minimum": 1}, "Seconds to wait"),
    "WWW-Authenticate": ({"const": "Token"}, "How to authenticate"),
    "Allow": ({"type": "string"}, "The methods that are offered"),
    "Content-Disposition": ({"type": "string"}, "The file's name"),
    "Content-Length": (COUNT, "Bytes"),
    "Content-Range": ({"type": "string"}, "Which bytes of how many"),
    "Accept-Ranges": ({"const": "bytes"}, "A download can be continued"),
    "ETag": ({"type": "string"}, "For If-None-Match and If-Range"),
    "Last-Modified": ({"type": "string"}, "When the archive was made"),
    "Cache-Control": ({"const": "private, no-cache"}, "Ask again before using a copy"),
    "exportStatus": (
        {"enum": ["ready", "processing", "missing", "failed"]},
        "State of the version's export",
    ),
    "exportURL": (LINK, "The cached tarball: a signed link that needs no token and expires"),
}
PAGING = ("num_found", "num_returned", "offset", "pages", "page_number", "next", "previous", "Link")
CONTENT_COUNTS = ("num_found_concepts", "num_found_mappings")

COMPRESS: Json = {
    "name": "Compress",
    "in": "header",
    "schema": {"type": "boolean"},
    "description": "true: the whole answer as a ZIP, whatever the page.",
}
FACETS: Json = {
    "name": "includeFacets",
    "in": "header",
    "schema": {"type": "boolean"},
    "description": "true: the body is an object, `results` with the list and `facets` with the numbers of each filter's values.",
}
CONDITIONS: tuple[tuple[str, str], ...] = (
    ("Range", "One range of bytes, to continue a download."),
    ("If-Range", "The ETag of what is there already."),
    ("If-None-Match", "The ETag of what is there already: 304 when it is still so."),
    ("If-Modified-Since", "As If-None-Match, by date."),
)


class Document(Endpoint):
    """This document."""

    def get(self) -> Response:
        return ok(of(current_app))


def of(app: Flask) -> Json:
    """The document of an application, made once: it changes with the code only."""
    if "openapi" not in app.extensions:
        app.extensions["openapi"] = build(app)
    return cast(Json, app.extensions["openapi"])


def build(app: Flask) -> Json:
    """Every rule of the application with every method, but for OPTIONS and the HEAD that goes with
    a GET.

    Raises ValueError for a resource that described.py does not tell of.
    """
    spec = APISpec(
        "oclapi",
        __version__,
        "3.1.0",
        info={"description": ABOUT},
        servers=[{"url": "/"}],
        security=[{}, {"token": []}],
        tags=[{"name": name, "description": text} for name, text in described.TAGS.items()],
        jsonSchemaDialect="https://json-schema.org/draft/2020-12/schema",
    )
    spec.components.security_scheme(
        "token",
        {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Token` and the 40 hex characters that a log-in gives.",
        },
    )
    _add_headers(spec)
    schemas = Schemas()
    _add_failures(spec, schemas)
    for rule in sorted(app.url_map.iter_rules(), key=_place):
        resource = cast(Any, app.view_functions[rule.endpoint]).view_class
        operations = {
            method: _operation(schemas, rule, resource, method)
            for method in methods(rule, resource)
        }
        spec.path(
            STEP.sub(r"{\1}", rule.rule),
            operations=operations,
            parameters=[_step(name) for name in STEP.findall(rule.rule)],
        )
    for name, schema in schemas.named.items():
        spec.components.schema(name, schema)
    return spec.to_dict()


def _place(rule: Rule) -> tuple[int, bool, int, str]:
    """Where a rule stands in the document: by resource, addresses below organisations first, short
    ones first.
    """
    return (
        list(ENDPOINT_DOCS).index(rule.endpoint),
        not rule.rule.startswith("/orgs/"),
        len(rule.rule.split("/")),
        rule.rule,
    )


def methods(rule: Rule, resource: type[Endpoint]) -> list[str]:
    """What the document tells of a rule: HEAD only where it is more than the GET without a body."""
    offered = {method.lower() for method in rule.methods or ()}
    return [
        method
        for method in METHODS
        if method in offered and (method != "head" or hasattr(resource, "head"))
    ]


class Schemas:
    """The schemas that the document refers to, each by its name."""

    def __init__(self) -> None:
        self.named: dict[str, Json] = {}

    def of(self, form: Any) -> Json:
        """The schema of a shape: a TypedDict, a Listing, or a schema as it is."""
        if isinstance(form, Listing):
            items = [self.of(one) for one in (form.summary, form.detail) if one is not None]
            return {"type": "array", "items": items[0] if len(items) == 1 else {"anyOf": items}}
        if isinstance(form, Mapping):
            return {**form, "items": self.of(form["items"])} if "items" in form else dict(form)
        return self._refer(form, form.__name__, "")

    def with_facets(self, listing: Listing) -> Json:
        """A list, or an object with the list and its facets."""
        both = {"results": self.of(listing), "facets": self.of(shapes.Facets)}
        return {
            "anyOf": [
                both["results"],
                {"type": "object", "properties": both, "required": list(both)},
            ]
        }

    def body(self, form: Any) -> Json:
        """The schema of a body, named after what it makes or changes."""
        if isinstance(form, Mapping):
            return dict(form)
        name = form.__name__
        return self._refer(
            form, name if name.endswith(("Change", "Comment")) else f"New{name}", "New"
        )

    def _refer(self, form: Any, name: str, prefix: str) -> Json:
        if name not in self.named:
            made = TypeAdapter(form).json_schema(
                ref_template=f"#/components/schemas/{prefix}{{model}}", schema_generator=_Plain
            )
            parts = made.pop("$defs", {})
            self.named |= {f"{prefix}{part}": _untitled(schema) for part, schema in parts.items()}
            self.named[name] = _untitled(made)
        return {"$ref": f"#/components/schemas/{name}"}


class _Plain(GenerateJsonSchema):
    """Without a title for every field, which would only repeat its name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _untitled(schema: Json) -> Json:
    return {key: value for key, value in schema.items() if key != "title"}


def _add_headers(spec: APISpec) -> None:
    for name, (schema, text) in HEADERS.items():
        spec.components.header(name, {"schema": schema, "description": text})


def _add_failures(spec: APISpec, schemas: Schemas) -> None:
    content = {"application/json": {"schema": schemas.of(shapes.Error)}}
    for status, (name, text) in FAILURES.items():
        spec.components.response(
            name,
            {"description": text, "content": content, **_headers(FAILURE_HEADERS.get(status, ()))},
        )


def _headers(names: tuple[str, ...]) -> Json:
    return (
        {"headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names}}
        if names
        else {}
    )


def _step(name: str) -> Json:
    schema, text, example = STEPS[name]
    return {
        "name": name,
        "in": "path",
        "required": True,
        "schema": schema,
        "description": text,
        "example": example,
    }


def _operation(schemas: Schemas, rule: Rule, resource: type[Endpoint], method: str) -> Json:
    told = ENDPOINT_DOCS[rule.endpoint]
    same = getattr(resource, method) is getattr(resource, "put", None)
    body = told.takes.get(method) or (told.takes.get("put") if same else None)
    made: Json = {
        "operationId": "_".join([method, *re.findall(r"\w+", STEP.sub(r"\1", rule.rule))]),
        "tags": [told.tag],
        "summary": _summary(told, resource, method, same),
        "x-resource": rule.endpoint,
    }
    if parameters := list(_parameters(told, method)):
        made["parameters"] = parameters
    if body is not None:
        made["requestBody"] = _body(schemas, told, body, method)
    responses: Json = {str(status): one for status, one in _answers(schemas, told, method, same)}
    for status in _failures(rule, told, method, bool(body) or bool(parameters), bool(body)):
        responses[str(status)] = {"$ref": f"#/components/responses/{FAILURES[status][0]}"}
    made["responses"] = dict(sorted(responses.items()))
    return made


def _summary(told: EndpointDoc, resource: type[Endpoint], method: str, same: bool) -> str:
    if method in told.does:
        return told.does[method]
    own = getattr(resource, method).__doc__
    if own and not same:
        return _first_sentence(own)
    if method in ("get", "head"):
        return re.sub(
            r"; (POST|a POST|GET|HEAD) .*", "", _first_sentence(inspect.getdoc(resource) or "")
        )
    verb = (
        "Change" if same else {"post": "Add", "delete": "Delete"}.get(method, method.capitalize())
    )
    article = "the" if verb != "Add" else "an" if told.noun[0] in "aeiou" else "a"
    return f"{verb} {article} {told.noun}"


def _first_sentence(text: str) -> str:
    return re.split(r"\.(?:\s|$)", " ".join(text.split()), maxsplit=1)[0]


def _parameters(told: EndpointDoc, method: str) -> Iterator[Json]:
    if method not in ("get", "head"):
        return
    for name in told.query:
        schema, text = QUERY[name]
        yield {"name": name, "in": "query", "schema": dict(schema), "description": text}
    if _has_facets(told):
        yield FACETS
    if told.gives is not None:
        yield COMPRESS
    elif described.ARCHIVE in told.answers.get("get", {}).values():
        for name, text in CONDITIONS:
            yield {"name": name, "in": "header", "schema": {"type": "string"}, "description": text}


def _has_facets(told: EndpointDoc) -> bool:
    return isinstance(told.gives, Listing) and "q" in told.query


def _body(schemas: Schemas, told: EndpointDoc, form: Any, method: str) -> Json:
    content: Json = {"schema": schemas.body(form)}
    if told.example is not None and method != "delete":
        content["example"] = dict(told.example)
    kinds = (
        ["application/json", "application/x-www-form-urlencoded"]
        if told.forms
        else ["application/json"]
    )
    return {"required": method != "delete", "content": dict.fromkeys(kinds, content)}


def _answers(
    schemas: Schemas, told: EndpointDoc, method: str, same: bool
) -> Iterator[tuple[int, Json]]:
    """The good answers of a method: status and response."""
    if method in told.answers:
        for status, form in told.answers[method].items():
            yield (
                status,
                _answer(schemas, status, form, told.headers if method in ("get", "head") else ()),
            )
    elif method == "delete":
        yield 204, {"description": "Done."}
    elif method == "post" and not same:
        yield 201, {**_answer(schemas, 201, told.makes), **_headers(("Location",))}
    else:
        headers = (
            PAGING
            if isinstance(told.gives, Listing)
            else (*PAGING, *CONTENT_COUNTS)
            if "includeRemoved" in told.query
            else ()
        )
        made = _answer(
            schemas, 200, told.gives, (*headers, *told.headers) if method == "get" else ()
        )
        if _has_facets(told):
            made["content"]["application/json"]["schema"] = schemas.with_facets(told.gives)
        if method == "get":
            made["content"]["application/zip"] = {}
        yield 200, made


def _answer(schemas: Schemas, status: int, form: Any, headers: tuple[str, ...] = ()) -> Json:
    text = MEANINGS.get(status, "As asked for.")
    if status in (202, 208):
        headers = ("exportStatus", "Retry-After")
    made: Json = {"description": text, **_headers(headers)}
    if form is None:
        return made
    if isinstance(form, Mapping) and all("/" in name for name in form):
        return {**made, "content": dict(form)}
    return {**made, "content": {"application/json": {"schema": schemas.of(form)}}}


def _failures(rule: Rule, told: EndpointDoc, method: str, asked: bool, body: bool) -> list[int]:
    found = {*ALWAYS, *told.also.get(method, ())}
    if asked:
        found.add(400)
    if body:
        found |= {*WITH_BODY}
    if rule.arguments or method not in ("get", "head"):
        found |= {403}
    if rule.arguments:
        found |= {404}
    if "version" in rule.arguments and method not in ("get", "head"):
        found |= {405}
    return sorted(found)
