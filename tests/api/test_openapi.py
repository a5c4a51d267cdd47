"""The OpenAPI document lists every path, method and parameter, and nothing else.

Its texts are in `about` of the resources.
"""

import re
from collections import Counter, defaultdict

import jsonschema_rs
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from oclapi.reference import openapi
from oclapi.resources import described, examples, params, queries, shapes
from oclapi.resources.responses import GZIP_FROM
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


@pytest.fixture(scope="module")
def page(app):
    return good(app.test_client().get("/docs"))


def test_the_page_loads_its_files_from_this_server_only(app, page):
    loaded = re.findall('(?:src|href)="([^"]+)"', page.get_data(as_text=True))
    assert loaded == [
        "/docs/swagger-ui.css",
        "/openapi.json",
        "/docs/swagger-ui-bundle.js",
        "/docs/start.js",
    ]
    for path in loaded:
        assert good(app.test_client().get(path)).data

    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert "script-src 'self';" in policy
    assert "http" not in policy


@pytest.mark.parametrize(
    ("name", "media_type", "text"),
    [
        ("swagger-ui.css", "text/css", b".swagger-ui"),
        ("swagger-ui-bundle.js", "text/javascript", b"SwaggerUIBundle"),
        ("start.js", "text/javascript", b'url: "/openapi.json"'),
    ],
)
def test_a_file_of_the_page_is_cached_and_compressed(api, name, media_type, text):
    found = good(api.get(f"/docs/{name}"))
    assert found.mimetype == media_type
    assert text in found.data
    again = api.get(f"/docs/{name}", **{"If-None-Match": found.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    if len(found.data) > GZIP_FROM:
        zipped = api.get(f"/docs/{name}", **{"Accept-Encoding": "gzip"})
        assert zipped.headers["Content-Encoding"] == "gzip"


@pytest.mark.parametrize("name", ["index.html", "LICENSE", "..%2Fpage.py", "swagger-ui.css.map"])
def test_no_other_file_is_served(api, name):
    assert api.get(f"/docs/{name}").status_code == 404
