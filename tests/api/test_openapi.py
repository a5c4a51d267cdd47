"""The OpenAPI document lists every path, method and parameter, and nothing else.

Its texts are in `about` of the resources.
"""

import base64
import hashlib
import re
from collections import Counter, defaultdict
from html.parser import HTMLParser

import jsonschema_rs
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from oclapi.reference import openapi
from oclapi.resources import described, examples, params, queries, shapes
from tests.builders import good


@pytest.fixture(scope="module")
def document(app):
    return good(app.test_client().get("/openapi.json")).get_json()


def operations(document):
    return {
        (path, method): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in openapi.METHODS
    }


def resources(app):
    """The resources by endpoint."""
    return {
        rule.endpoint: app.view_functions[rule.endpoint].view_class
        for rule in app.url_map.iter_rules()
    }


def test_every_resource_is_documented(app):
    without = [name for name, resource in resources(app).items() if "about" not in vars(resource)]
    assert without == [], "these resources need an `about` of their own"


def test_every_path_and_method_is_in_the_document_once_and_nothing_else(app, document):
    served = {
        (openapi.PATH_PARAM.sub(r"{\1}", rule.rule), method)
        for rule in app.url_map.iter_rules()
        for method in openapi.methods(rule, app.view_functions[rule.endpoint].view_class)
    }
    canonical = {
        (path, method)
        for path, method in served
        if not path.startswith("/user/") or path == "/user/"
        if "/versions/{version}/" not in path
    }

    assert set(operations(document)) == canonical
    spelled = {
        (
            re.sub("^/user/(?=.)", "/users/{user}/", path).replace(
                "/versions/{version}/", "/{version}/"
            ),
            method,
        )
        for path, method in served
    }
    assert spelled == canonical
    left_out = {
        method
        for rule in app.url_map.iter_rules()
        for method in rule.methods
        if method.lower() not in openapi.METHODS
    }
    assert left_out == {"OPTIONS"}


def test_the_document_is_valid(document):
    assert [error.message for error in OPENAPI_31_VALIDATOR.iter_errors(document)] == []
    assert document["openapi"] == "3.1.0"


def test_every_reference_can_be_resolved(document):
    def references(value):
        if isinstance(value, dict):
            yield from ([value["$ref"]] if isinstance(value.get("$ref"), str) else [])
            for child in value.values():
                yield from references(child)
        elif isinstance(value, list):
            for child in value:
                yield from references(child)

    for reference in set(references(document)):
        found = document
        for key in reference.removeprefix("#/").split("/"):
            found = found[key]


def test_every_operation_has_a_readable_unique_id_a_summary_and_a_description(document):
    ids = {key: operation["operationId"] for key, operation in operations(document).items()}

    assert [name for name, times in Counter(ids.values()).items() if times > 1] == []
    assert ids["/orgs/{org}/sources/{source}/concepts/", "post"] == "createConcept"
    assert ids["/orgs/{org}/sources/{source}/concepts/{concept}/", "get"] == "getConcept"
    assert (
        ids["/users/{user}/sources/{source}/{version}/mappings/", "get"]
        == "listMappingsAtVersionOfUser"
    )
    for key, operation in operations(document).items():
        assert re.fullmatch(r"[A-Z`].*[^.]", operation["summary"]), key
        assert operation["tags"][0] in described.TAGS, key
        assert operation["summary"] in operation["description"], key
        assert any(int(status) < 400 for status in operation["responses"]), key


def test_every_write_documents_its_body_unless_it_has_none(document):
    without = {
        operation["x-resource"]
        for (_, method), operation in operations(document).items()
        if method in ("post", "put", "patch") and "requestBody" not in operation
    }
    assert without == {
        "exports.VersionExport",
        "orgs.Member",
        "users.Reactivation",
        "versions.VersionProcessing",
    }


def test_the_parameters_of_every_path_are_documented(document):
    for path, item in document["paths"].items():
        names = [parameter["name"] for parameter in item.get("parameters", [])]
        assert names == re.findall(r"{(\w+)}", path)


@pytest.mark.parametrize(
    ("shape", "example"),
    [
        (shapes.Org, examples.ORG),
        (shapes.Source, examples.SOURCE),
        (shapes.SourceVersion, examples.SOURCE_VERSION),
        (shapes.Concept, examples.CONCEPT),
        (shapes.Mapping, examples.MAPPING),
        (shapes.ExportState, examples.EXPORT_STATE),
        (shapes.Error, examples.ERROR),
    ],
)
def test_an_example_of_a_response_matches_its_schema(document, shape, example):
    schema = {
        "$ref": f"#/components/schemas/{shape.__name__}",
        "components": document["components"],
    }
    assert [
        error.message for error in jsonschema_rs.Draft202012Validator(schema).iter_errors(example)
    ] == []


def test_an_example_of_a_request_body_matches_its_schema(document):
    checked = 0
    for key, operation in operations(document).items():
        for content in operation.get("requestBody", {"content": {}})["content"].values():
            if "example" in content:
                schema = {**content["schema"], "components": document["components"]}
                assert jsonschema_rs.Draft202012Validator(schema).is_valid(content["example"]), key
                checked += 1
    assert checked


# Query parameters: those that the code reads are those in the document


@pytest.fixture
def read(monkeypatch, app):
    """The query parameters that the code has read, by endpoint."""
    found = defaultdict(set)
    read_text, read_extras = params.text, queries.extras

    def text(name):
        if params.request.method in ("GET", "HEAD"):
            found[params.request.url_rule.endpoint].add(name)
        return read_text(name)

    def extras():
        found[params.request.url_rule.endpoint].add("extras")
        return read_extras()

    monkeypatch.setattr(params, "text", text)
    monkeypatch.setattr(queries, "extras", extras)
    return found


@pytest.fixture
def filled(api, source):
    """Path parameters with ids of existing items."""
    source.concept("A", descriptions=[{"description": "First", "locale": "en"}])
    source.concept("B")
    source.mapping("m", "A", "B")
    source.release("v1")
    concept = api.get(f"{source.url}concepts/A/").get_json()
    _, _, org, _, short, _ = source.url.split("/")
    return {
        "org": org,
        "user": "root",
        "source": short,
        "version": "v1",
        "concept": "A",
        "mapping": "m",
        "key": "x",
        "item_version": concept["version"],
        "names": concept["names"][0]["uuid"],
        "descriptions": concept["descriptions"][0]["uuid"],
    }


def test_every_query_parameter_that_the_code_reads_is_documented_and_no_other(
    api, app, document, read, filled
):
    for path, item in document["paths"].items():
        values = {name: filled.get(name, "1") for name in re.findall(r"{(\w+)}", path)}
        if "item_version" in values and "mapping" in values:
            values["item_version"] = "1"
        if "uuid" in values:
            values["uuid"] = filled["names" if "names" in path else "descriptions"]
        documented = {
            one["name"] for one in item.get("get", {}).get("parameters", []) if one["in"] == "query"
        }
        url = path.format(**values)
        flags = "&".join(
            f"{name}=true"
            for name in sorted(documented)
            if name.startswith("include") or name == "verbose"
        )
        for query in ("", f"?{flags}", f"?{flags}&updatedSince=2020-01-01", "?includeConcepts=1"):
            if "get" in item:
                api.get(url + query)
    for endpoint, resource in resources(app).items():
        doc = resource.about
        assert read[endpoint] - {*doc.query} == set(), (
            f"{endpoint} reads these parameters, but its `about` does not list them"
        )
        assert {*doc.query} - read[endpoint] == set(), (
            f"{endpoint} does not read these parameters, but its `about` lists them"
        )


def test_every_described_parameter_belongs_to_a_resource(app):
    used = {name for resource in resources(app).values() for name in resource.about.query}
    assert described.QUERY.keys() == used


# The page


class Page(HTMLParser):
    """The elements of an HTML page."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.tags, self.attributes = [], [], [], set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        found = dict(attrs)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found[name] for name in ("href", "src", "action") if name in found]
        if tag not in ("meta", "link", "br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(app):
    return good(app.test_client().get("/docs"))


def test_the_page_shows_every_path_parameter_and_schema(page, document):
    text = page.get_data(as_text=True)
    for path, item in document["paths"].items():
        assert f">{path}<" in text
        for operation in item.values():
            if isinstance(operation, dict):
                assert all(
                    f"<code>{one['name']}</code>" in text for one in operation.get("parameters", [])
                )
    for name in document["components"]["schemas"]:
        assert f'id="schema-{name}"' in text


def test_the_page_loads_nothing_and_has_no_script(page):
    found = Page(page.get_data(as_text=True))

    assert found.open == []
    assert not found.tags & {"script", "img", "iframe", "form", "link"}
    assert not {name for name in found.attributes if name.startswith("on") or name == "style"}
    assert all(link.startswith(("#", "/")) for link in found.links)
    assert len(found.ids) == len(set(found.ids))
    assert {link[1:] for link in found.links if link.startswith("#")} <= set(found.ids)


def test_the_content_security_policy_allows_only_the_style_of_the_page(page):
    policy = page.headers["Content-Security-Policy"]
    style = re.search(r"<style>(.*?)</style>", page.get_data(as_text=True), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.group(1).encode()).digest()).decode()

    assert policy.startswith("default-src 'none';")
    assert f"style-src 'sha256-{digest}';" in policy
    assert "http" not in policy


def test_a_host_header_with_markup_is_escaped(api):
    response = api.open(
        "GET", "/docs/", environ_overrides={"HTTP_HOST": "<script>alert(1)</script>"}
    )

    assert "<script" not in response.get_data(as_text=True)
