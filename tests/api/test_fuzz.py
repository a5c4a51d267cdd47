"""Requests that the API's own description allows, and ones that it does not: every answer is one
that it tells of.

Made by schemathesis, the same at each run. Each resource is asked at its shortest address and,
where it has one, at that of a version.
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

from oclapi.resources.described import ENDPOINT_DOCS
from tests.builders import TOKEN, Api, new_org, new_source

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CHECKS = (
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)
EXAMPLES = int(os.environ.get("OCL_TEST_EXAMPLES") or 6)
"""Requests to each method of each address. More find more: making them costs most of the time."""
NEEDS_SOLR = "need the search engine"
"""What 503 may say here, where there is none."""
PATIENCE = 5
"""Seconds that an answer may take."""
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
    """resource -> its operations at one or two addresses"""
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app)
    found = defaultdict(dict)
    for result in schema.get_all_operations():
        operation = result.ok()
        told = operation.definition.raw
        # PUT, PATCH and POST of an item are the same
        kind = ("{version}" in operation.path, told["summary"])
        found[told["x-resource"]].setdefault(kind, operation)
    return found


class Items:
    """Things that are there: the steps of addresses, made anew after something was deleted."""

    def __init__(self, app):
        self.api = Api(app.test_client())
        self.make()

    def make(self):
        source = new_source(self.api, new_org(self.api))
        concept = source.concept(
            "A", descriptions=[{"description": "First", "locale": "en"}], extras={"x": 1}
        ).get_json()
        source.concept("B")
        source.mapping("m", "A", "B")
        source.release("v1", extras={"x": 1})
        _, _, org, _, short, _ = source.url.split("/")
        self.steps = {
            "org": org,
            "user": "root",
            "source": short,
            "version": "v1",
            "concept": "A",
            "mapping": "m",
            "key": "x",
            "item_version": "1",
            "names": concept["names"][0]["uuid"],
            "descriptions": concept["descriptions"][0]["uuid"],
        }

    def step(self, name, path):
        return self.steps.get(
            name if name != "uuid" else "names" if "names" in path else "descriptions"
        )


@pytest.fixture(scope="module")
def items(app):
    return Items(app)


@pytest.mark.parametrize("resource", ENDPOINT_DOCS)
def test_every_answer_is_one_that_the_description_tells_of(operations, items, resource):
    for operation in operations[resource].values():
        ask(operation, items)


def ask(operation, items):
    """Ask for an operation in many ways."""
    good, bad = (
        operation.as_strategy(generation_mode=mode)
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    )
    takes = any(
        list(part)
        for part in (operation.path_parameters, operation.query, operation.headers, operation.body)
    )

    @seed(1)
    @GUESSES
    @given(
        case=st.one_of(good, bad) if takes else good,
        real=st.integers(0, 3),
        known=st.integers(0, 9),
    )
    def one(case, real, known):
        for name in case.path_parameters:
            if real and items.step(name, case.path):
                case.path_parameters[name] = items.step(name, case.path)
        begun = time.monotonic()
        credentials = {"Authorization": f"Token {TOKEN}"} if known else {}
        # the test client unpacks nothing
        response = case.call(headers={"Accept-Encoding": "identity", **credentials})
        assert time.monotonic() - begun < PATIENCE
        assert response.status_code < 500 or NEEDS_SOLR in response.text, response.text
        case.validate_response(response, checks=CHECKS)
        if case.method == "DELETE" and response.status_code < 300:
            items.make()

    one()
