"""Valid and invalid requests, generated from the OpenAPI document: it describes every response.

schemathesis generates the same requests at each run. Each resource is tested at its shortest path
and, if it has one, at the path of a version.
"""

import os
import time
from collections import defaultdict

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from oclapi.reference import routes as reference
from oclapi.resources.routes import ROUTES, endpoint_name
from tests.builders import TOKEN, Api, new_org, new_source

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CHECKS = (
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)
EXAMPLES = int(os.environ.get("OCL_TEST_EXAMPLES") or 6)
"""Requests per method and path. More find more, but generating them takes most of the time."""
NEEDS_SOLR = "need the search engine"
"""The only 503 that is expected, because these tests have no search engine."""
PATIENCE = 5
"""Seconds that a response may take."""
GUESSES = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def operations(app):
    """The operations of each resource, at one or two of its paths."""
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app)
    found = defaultdict(dict)
    for result in schema.get_all_operations():
        operation = result.ok()
        definition = operation.definition.raw
        # PUT, PATCH and POST of an item have the same summary. One of them is enough.
        kind = ("{version}" in operation.path, definition["summary"])
        found[definition["x-resource"]].setdefault(kind, operation)
    return found


class Items:
    """Existing items for path parameters. They are created again after a successful DELETE."""

    def __init__(self, app):
        self.api = Api(app.test_client())
        self.create()

    def create(self):
        source = new_source(self.api, new_org(self.api))
        concept = source.concept(
            "A+ é", descriptions=[{"description": "First", "locale": "en"}], extras={"x": 1}
        ).get_json()
        source.concept("B")
        source.mapping("M: é", "A+ é", "B")
        source.release("1.0+b é", extras={"x": 1})
        _, _, org, _, short, _ = source.url.split("/")
        self.values = {
            "org": org,
            "user": "root",
            "source": short,
            "version": "1.0+b é",
            "concept": "A+ é",
            "mapping": "M: é",
            "key": "x",
            "item_version": "1",
            "names": concept["names"][0]["uuid"],
            "descriptions": concept["descriptions"][0]["uuid"],
        }

    def value(self, name, path):
        return self.values.get(
            name if name != "uuid" else "names" if "names" in path else "descriptions"
        )


@pytest.fixture(scope="module")
def items(app):
    return Items(app)


@pytest.mark.parametrize(
    "resource",
    dict.fromkeys(endpoint_name(resource) for _, resource in (*ROUTES, *reference.ROUTES)),
)
def test_every_response_is_documented(operations, items, resource):
    for operation in operations[resource].values():
        send_requests(operation, items)


def send_requests(operation, items):
    """Send valid and invalid requests to an operation."""
    good, bad = (
        operation.as_strategy(generation_mode=mode)
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    )
    has_parameters = any(
        list(parameters)
        for parameters in (
            operation.path_parameters,
            operation.query,
            operation.headers,
            operation.body,
        )
    )

    @seed(1)
    @GUESSES
    @given(
        case=st.one_of(good, bad) if has_parameters else good,
        real=st.integers(0, 3),
        known=st.integers(0, 9),
    )
    def one(case, real, known):
        for name in case.path_parameters:
            if real and items.value(name, case.path):
                case.path_parameters[name] = items.value(name, case.path)
        started = time.monotonic()
        credentials = {"Authorization": f"Token {TOKEN}"} if known else {}
        # The test client does not decompress.
        response = case.call(headers={"Accept-Encoding": "identity", **credentials})
        assert time.monotonic() - started < PATIENCE
        assert response.status_code < 500 or NEEDS_SOLR in response.text, response.text
        case.validate_response(response, checks=CHECKS)
        if case.method == "DELETE" and response.status_code < 300:
            items.create()

    one()
