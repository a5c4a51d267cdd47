"""The API's own description says what is so: every address, nothing else, and what requests may say
(oclapi/resources/described.py).
"""

import base64
import hashlib
import re
from collections import defaultdict
from html.parser import HTMLParser

import jsonschema_rs
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from oclapi.resources import described, examples, openapi, params, queries, shapes
from tests.builders import good


@pytest.fixture(scope="module")
def document(app):
    return good(app.test_client().get("/openapi.json")).get_json()


def operations(document):
    return {
        (address, method): operation
        for address, item in document["paths"].items()
        for method, operation in item.items()
        if method in openapi.METHODS
    }


def test_every_resource_is_described_and_nothing_else_is(app):
    served = {rule.endpoint for rule in app.url_map.iter_rules()}

    assert served - described.ENDPOINT_DOCS.keys() == set(), (
        "these resources need an entry in oclapi/resources/described.py"
    )
    assert described.ENDPOINT_DOCS.keys() - served == set(), (
        "these entries of oclapi/resources/described.py have no resource"
    )


def test_every_rule_and_method_is_in_the_document_and_nothing_else(app, document):
    served = {
        (openapi.STEP.sub(r"{\1}", rule.rule), method)
        for rule in app.url_map.iter_rules()
        for method in openapi.methods(rule, app.view_functions[rule.endpoint].view_class)
    }

    assert set(operations(document)) == served
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


def test_every_reference_leads_somewhere(document):
    def references(value):
        if isinstance(value, dict):
            yield from ([value["$ref"]] if isinstance(value.get("$ref"), str) else [])
            for part in value.values():
                yield from references(part)
        elif isinstance(value, list):
            for part in value:
                yield from references(part)

    for reference in set(references(document)):
        found = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]


def test_every_operation_has_a_name_of_its_own_and_says_what_it_does(document):
    names = [operation["operationId"] for operation in operations(document).values()]

    assert len(names) == len(set(names))
    for place, operation in operations(document).items():
        assert re.fullmatch(r"[A-Z`].*[^.]", operation["summary"]), place
        assert operation["tags"][0] in described.TAGS, place
        assert any(int(status) < 400 for status in operation["responses"]), place


def test_every_write_tells_its_body_or_that_it_has_none(document):
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


def test_the_steps_of_every_address_are_told(document):
    for address, item in document["paths"].items():
        assert [step["name"] for step in item.get("parameters", [])] == re.findall(
            r"{(\w+)}", address
        )


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
def test_an_example_of_an_answer_has_its_shape(document, shape, example):
    schema = {
        "$ref": f"#/components/schemas/{shape.__name__}",
        "components": document["components"],
    }
    assert [
        error.message for error in jsonschema_rs.Draft202012Validator(schema).iter_errors(example)
    ] == []


def test_an_example_of_a_body_has_its_shape(document):
    checked = 0
    for place, operation in operations(document).items():
        for content in operation.get("requestBody", {"content": {}})["content"].values():
            if "example" in content:
                schema = {**content["schema"], "components": document["components"]}
                assert jsonschema_rs.Draft202012Validator(schema).is_valid(content["example"]), (
                    place
                )
                checked += 1
    assert checked


# What the code reads is what the document tells


@pytest.fixture
def read(monkeypatch, app):
    """endpoint -> the query parameters that its code asked for"""
    found = defaultdict(set)
    plain = params.text

    def text(name):
        if params.request.method in ("GET", "HEAD"):
            found[params.request.url_rule.endpoint].add(name)
        return plain(name)

    def extras():
        found[params.request.url_rule.endpoint].add("extras")
        return plain_extras()

    plain_extras = queries.extras
    monkeypatch.setattr(params, "text", text)
    monkeypatch.setattr(queries, "extras", extras)
    return found


@pytest.fixture
def filled(api, source):
    """The steps of an address -> ids of things that are there."""
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


def test_the_document_tells_every_query_parameter_that_the_code_reads_and_no_other(
    api, document, read, filled
):
    for address, item in document["paths"].items():
        steps = {name: filled.get(name, "1") for name in re.findall(r"{(\w+)}", address)}
        if "item_version" in steps and "mapping" in steps:
            steps["item_version"] = "1"
        if "uuid" in steps:
            steps["uuid"] = filled["names" if "names" in address else "descriptions"]
        told = {
            one["name"] for one in item.get("get", {}).get("parameters", []) if one["in"] == "query"
        }
        url = address.format(**steps)
        flags = "&".join(
            f"{name}=true"
            for name in sorted(told)
            if name.startswith("include") or name == "verbose"
        )
        for query in ("", f"?{flags}", f"?{flags}&updatedSince=2020-01-01", "?includeConcepts=1"):
            if "get" in item:
                api.get(url + query)
    for endpoint, told in described.ENDPOINT_DOCS.items():
        assert read[endpoint] - {*told.query} == set(), (
            f"{endpoint} reads these, and its entry in described.py does not tell of them"
        )
        assert {*told.query} - read[endpoint] == set(), (
            f"{endpoint} does not read these, which its entry in described.py tells of"
        )


def test_every_described_parameter_is_somebodys():
    used = {name for told in described.ENDPOINT_DOCS.values() for name in told.query}
    assert described.QUERY.keys() == used


# The page


class Page(HTMLParser):
    """What a page is made of."""

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


def test_the_page_tells_of_every_address_parameter_and_shape(page, document):
    text = page.get_data(as_text=True)
    for address, item in document["paths"].items():
        assert f">{address}<" in text
        for operation in item.values():
            if isinstance(operation, dict):
                assert all(
                    f"<code>{one['name']}</code>" in text for one in operation.get("parameters", [])
                )
    for name in document["components"]["schemas"]:
        assert f'id="shape-{name}"' in text


def test_the_page_needs_nothing_from_elsewhere_and_no_script(page):
    found = Page(page.get_data(as_text=True))

    assert found.open == []
    assert not found.tags & {"script", "img", "iframe", "form", "link"}
    assert not {name for name in found.attributes if name.startswith("on") or name == "style"}
    assert all(link.startswith(("#", "/")) for link in found.links)
    assert len(found.ids) == len(set(found.ids))
    assert {link[1:] for link in found.links if link.startswith("#")} <= set(found.ids)


def test_the_page_may_show_only_itself(page):
    policy = page.headers["Content-Security-Policy"]
    style = re.search(r"<style>(.*?)</style>", page.get_data(as_text=True), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.group(1).encode()).digest()).decode()

    assert policy.startswith("default-src 'none';")
    assert f"style-src 'sha256-{digest}';" in policy
    assert "http" not in policy


def test_a_strange_host_is_shown_as_text(api):
    answer = api.open("GET", "/docs/", environ_overrides={"HTTP_HOST": "<script>alert(1)</script>"})

    assert "<script" not in answer.get_data(as_text=True)
