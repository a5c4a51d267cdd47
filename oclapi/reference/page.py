"""The API reference at /docs: the OpenAPI document as one HTML page without scripts."""

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flask import Response, current_app, render_template
from markupsafe import Markup, escape

from oclapi.model import Json
from oclapi.reference import openapi
from oclapi.resources import described, examples
from oclapi.resources.endpoint import Endpoint
from oclapi.resources.responses import absolute

CSS = (Path(__file__).parent / "templates" / "reference.css").read_text()
STYLE_HASH = base64.b64encode(hashlib.sha256(CSS.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


class Reference(Endpoint):
    """The API reference as a web page."""

    about = described.EndpointDoc(tag="Server", responses={"get": {200: {"text/html": {}}}})

    def get(self) -> Response:
        document = openapi.document(current_app)
        page = render_template(
            "reference.html",
            document=document,
            chapters=list(chapters(document)),
            schemas=list(schemas(document)),
            statuses=[(status, text) for status, (_, text) in openapi.ERRORS.items()],
            error=json.dumps(examples.ERROR),
            server=absolute("", self.settings),
            css=Markup(CSS),
            prose=prose,
        )
        return Response(page, 200, {"Content-Security-Policy": POLICY}, mimetype="text/html")


def prose(text: str) -> Markup:
    """Return text as HTML, with what stands between backticks as code."""
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part)
        for number, part in enumerate(text.split("`"))
    )


def chapters(document: Json) -> Iterator[Json]:
    """Yield the tags with their resources. A resource appears once, with all its paths."""
    groups: dict[str, Json] = {}
    for path, item in document["paths"].items():
        operations = {method: item[method] for method in item if method in openapi.METHODS}
        first = next(iter(operations.values()))
        name = first["x-resource"]
        if name not in groups:
            groups[name] = {
                "id": name,
                "tag": first["tags"][0],
                "title": first["summary"],
                "paths": [],
                "operations": [
                    _operation(document, path, item, methods, operation)
                    for methods, operation in _merged(operations)
                ],
            }
        groups[name]["paths"].append(path)
    for tag in document["tags"]:
        yield {
            **tag,
            "resources": [group for group in groups.values() if group["tag"] == tag["name"]],
        }


def _merged(operations: dict[str, Json]) -> Iterator[tuple[list[str], Json]]:
    """Group methods that do the same, such as PUT, PATCH and POST on one item."""
    merged: dict[str, tuple[list[str], Json]] = {}
    for method, operation in operations.items():
        merged.setdefault(operation["summary"], ([], operation))[0].append(method.upper())
    yield from merged.values()


def _operation(document: Json, path: str, item: Json, methods: list[str], operation: Json) -> Json:
    body = operation.get("requestBody")
    content: Json = next(iter(body["content"].values())) if body else {}
    example_path = path
    for parameter in item.get("parameters", []):
        example_path = example_path.replace(f"{{{parameter['name']}}}", parameter["example"])
    return {
        "methods": methods,
        "summary": operation["summary"],
        "parameters": [
            {**parameter, "type": type_name(parameter["schema"])}
            for parameter in operation.get("parameters", [])
        ],
        "body": {"fields": list(fields(document, content["schema"])), "required": body["required"]}
        if body
        else None,
        "curl": _curl(
            "PUT" if "PUT" in methods else methods[0], example_path, content.get("example")
        ),
        "responses": [
            _response(status, response)
            for status, response in operation["responses"].items()
            if int(status) < 400
        ],
        "errors": [status for status in operation["responses"] if int(status) >= 400],
    }


def _response(status: str, response: Json) -> Json:
    types = [
        type_name(content["schema"]) if "schema" in content else escape(name)
        for name, content in response.get("content", {}).items()
    ]
    return {
        "status": status,
        "text": response["description"],
        "types": types,
        "headers": list(response.get("headers", ())),
    }


def _curl(method: str, path: str, example: Any) -> str:
    parts = [{"GET": "curl", "HEAD": "curl -I"}.get(method, f"curl -X {method}")]
    if method not in ("GET", "HEAD"):
        parts.append('-H "Authorization: Token $TOKEN"')
    if example is not None:
        parts.append(
            f"-H 'Content-Type: application/json' -d '{json.dumps(example, ensure_ascii=False)}'"
        )
    return " ".join([*parts, f'"$SERVER{path}"'])


def schemas(document: Json) -> Iterator[Json]:
    """Yield the named schemas with their fields, sorted by name."""
    for name, schema in sorted(document["components"]["schemas"].items()):
        example = schema.get("examples", [None])[0]
        yield {
            "name": name,
            "text": schema.get("description"),
            "fields": list(fields(document, schema)),
            "example": json.dumps(example, indent=1, ensure_ascii=False) if example else None,
        }


def fields(document: Json, schema: Json) -> Iterator[Json]:
    """Yield the fields of an object, required ones first."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    required = schema.get("required", ())
    for name, field in sorted(
        schema.get("properties", {}).items(), key=lambda item: item[0] not in required
    ):
        notes = [
            field.get("description"),
            f"at most {field['maxLength']} characters" if "maxLength" in field else None,
        ]
        yield {
            "name": name,
            "type": type_name(field),
            "required": name in required,
            "text": "; ".join(note for note in notes if note),
        }


def type_name(schema: Json) -> Markup:
    """Return the type of a value in words, with links to named schemas."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return Markup('<a href="#schema-{0}">{0}</a>').format(name)
    if "anyOf" in schema:
        return Markup(" or ").join(dict.fromkeys(type_name(one) for one in schema["anyOf"]))
    if "const" in schema or "enum" in schema:
        return Markup(" or ").join(
            escape(json.dumps(value)) for value in schema.get("enum", [schema.get("const")])
        )
    if schema.get("type") == "array":
        return Markup("list of {}").format(type_name(schema["items"]))
    if "facets" in schema.get("properties", {}):
        return Markup("an object with that list in <code>results</code>, and {}").format(
            type_name(schema["properties"]["facets"])
        )
    types = schema.get("type", "any JSON")
    words = {"string": "text", "integer": "integer", "boolean": "true or false"}
    return Markup(" or ").join(
        escape(words.get(one, one)) for one in (types if isinstance(types, list) else [types])
    )
