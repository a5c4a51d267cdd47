"""The reference page: the API's document (openapi.py) as one page of HTML that needs nothing else,
not even scripts.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flask import Response, current_app, render_template
from markupsafe import Markup, escape

from oclapi.model import Json
from oclapi.resources import openapi
from oclapi.resources.endpoint import Endpoint
from oclapi.resources.responses import absolute

CSS = (Path(__file__).parents[1] / "templates" / "reference.css").read_text()
STYLE = base64.b64encode(hashlib.sha256(CSS.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{STYLE}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


class Reference(Endpoint):
    """The reference page for people."""

    def get(self) -> Response:
        document = openapi.of(current_app)
        page = render_template(
            "reference.html",
            document=document,
            chapters=list(chapters(document)),
            shapes=list(shapes(document)),
            statuses=[(status, text) for status, (_, text) in openapi.FAILURES.items()],
            server=absolute("", self.settings),
            css=Markup(CSS),
            prose=prose,
        )
        return Response(page, 200, {"Content-Security-Policy": POLICY}, mimetype="text/html")


def prose(text: str) -> Markup:
    """Text with code between backticks."""
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part)
        for place, part in enumerate(text.split("`"))
    )


def chapters(document: Json) -> Iterator[Json]:
    """The tags with their resources, each of these once however many addresses it has."""
    groups: dict[str, Json] = {}
    for address, item in document["paths"].items():
        operations = {method: one for method, one in item.items() if method in openapi.METHODS}
        first = next(iter(operations.values()))
        name = first["x-resource"]
        if name not in groups:
            told = [
                _operation(document, address, item, methods, one)
                for methods, one in _merged(operations)
            ]
            groups[name] = {
                "id": name,
                "tag": first["tags"][0],
                "title": first["summary"],
                "addresses": [],
                "operations": told,
            }
        groups[name]["addresses"].append(address)
    for tag in document["tags"]:
        yield {
            **tag,
            "resources": [group for group in groups.values() if group["tag"] == tag["name"]],
        }


def _merged(operations: dict[str, Json]) -> Iterator[tuple[list[str], Json]]:
    """Methods that do the same (PUT, PATCH and POST on an item) are told together."""
    told: dict[str, tuple[list[str], Json]] = {}
    for method, one in operations.items():
        told.setdefault(one["summary"], ([], one))[0].append(method.upper())
    yield from told.values()


def _operation(
    document: Json, address: str, item: Json, methods: list[str], operation: Json
) -> Json:
    body = operation.get("requestBody")
    content: Json = next(iter(body["content"].values())) if body else {}
    filled = address
    for step in item.get("parameters", []):
        filled = filled.replace(f"{{{step['name']}}}", step["example"])
    return {
        "methods": methods,
        "summary": operation["summary"],
        "parameters": [
            {**one, "type": kind(one["schema"])} for one in operation.get("parameters", [])
        ],
        "body": {"fields": list(fields(document, content["schema"])), "required": body["required"]}
        if body
        else None,
        "curl": _curl("PUT" if "PUT" in methods else methods[0], filled, content.get("example")),
        "answers": [
            _answer(document, status, one)
            for status, one in operation["responses"].items()
            if int(status) < 400
        ],
        "failures": [status for status in operation["responses"] if int(status) >= 400],
    }


def _answer(document: Json, status: str, response: Json) -> Json:
    kinds = [
        kind(content["schema"]) if "schema" in content else escape(name)
        for name, content in response.get("content", {}).items()
    ]
    return {
        "status": status,
        "text": response["description"],
        "kinds": kinds,
        "headers": list(response.get("headers", ())),
    }


def _curl(method: str, address: str, example: Any) -> str:
    parts = [{"GET": "curl", "HEAD": "curl -I"}.get(method, f"curl -X {method}")]
    if method not in ("GET", "HEAD"):
        parts.append('-H "Authorization: Token $TOKEN"')
    if example is not None:
        parts.append(
            f"-H 'Content-Type: application/json' -d '{json.dumps(example, ensure_ascii=False)}'"
        )
    return " ".join([*parts, f'"$SERVER{address}"'])


def shapes(document: Json) -> Iterator[Json]:
    """The named schemas with their fields, by name."""
    for name, schema in sorted(document["components"]["schemas"].items()):
        example = schema.get("examples", [None])[0]
        shown = json.dumps(example, indent=1, ensure_ascii=False) if example else None
        yield {
            "name": name,
            "text": schema.get("description"),
            "fields": list(fields(document, schema)),
            "example": shown,
        }


def fields(document: Json, schema: Json) -> Iterator[Json]:
    """Name, type, whether it is needed, and meaning of each field of an object, those that are
    needed first.
    """
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    needed = schema.get("required", ())
    for name, one in sorted(
        schema.get("properties", {}).items(), key=lambda field: field[0] not in needed
    ):
        notes = [
            one.get("description"),
            f"at most {one['maxLength']} characters" if "maxLength" in one else None,
        ]
        yield {
            "name": name,
            "type": kind(one),
            "required": name in needed,
            "text": "; ".join(note for note in notes if note),
        }


def kind(schema: Json) -> Markup:
    """The type of a value in words, with links to named schemas."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return Markup('<a href="#shape-{0}">{0}</a>').format(name)
    if "anyOf" in schema:
        return Markup(" or ").join(dict.fromkeys(kind(one) for one in schema["anyOf"]))
    if "const" in schema or "enum" in schema:
        return Markup(" or ").join(
            escape(json.dumps(value)) for value in schema.get("enum", [schema.get("const")])
        )
    if schema.get("type") == "array":
        return Markup("list of {}").format(kind(schema["items"]))
    if "facets" in schema.get("properties", {}):
        return Markup("both as <code>results</code> beside {}").format(
            kind(schema["properties"]["facets"])
        )
    types = schema.get("type", "any JSON")
    words = {"string": "text", "integer": "whole number", "boolean": "true or false"}
    return Markup(" or ").join(
        escape(words.get(one, one)) for one in (types if isinstance(types, list) else [types])
    )
