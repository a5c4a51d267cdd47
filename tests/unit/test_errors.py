"""Failures as HTTP: every one has a status, and all have one shape."""

import re

import pytest
from flask import Flask
from pymongo import MongoClient
from werkzeug.exceptions import MethodNotAllowed

from config.settings import Settings
from oclapi.app import build_services, create_app
from oclapi.errors import (
    Frozen,
    Invalid,
    NotAuthenticated,
    OclError,
    RangeNotSatisfiable,
    RepositoryBusy,
)
from oclapi.resources.errors import (
    STATUS,
    error_body,
    render_fault,
    render_http_error,
    render_ocl_error,
)
from oclapi.store import database


def leaves(base):
    below = base.__subclasses__()
    return [leaf for one in below for leaf in leaves(one)] if below else [base]


def test_every_error_has_a_status():
    assert set(leaves(OclError)) == set(STATUS)


def test_a_validation_error_tells_its_fields_twice():
    answer = render_ocl_error(
        Invalid({"names": ["at least one name is needed"], "id": ["this field is required"]})
    )

    assert answer.status_code == 400
    assert answer.get_json() == {
        "detail": "names: at least one name is needed",
        "errors": {"names": ["at least one name is needed"], "id": ["this field is required"]},
        "names": ["at least one name is needed"],
        "id": ["this field is required"],
    }


def test_a_field_of_the_body_never_hides_the_fixed_keys():
    body = error_body("wrong", {"detail": ["bad"], "errors": ["worse"]}, {"usage": {}})

    assert body == {
        "detail": "wrong",
        "errors": {"detail": ["bad"], "errors": ["worse"]},
        "usage": {},
    }


@pytest.mark.parametrize(
    ("error", "header", "value"),
    [
        (NotAuthenticated("who?"), "WWW-Authenticate", "Token"),
        (RepositoryBusy("busy"), "Retry-After", "1"),
        (Frozen("frozen"), "Allow", "GET, HEAD, OPTIONS"),
        (RangeNotSatisfiable(17), "Content-Range", "bytes */17"),
    ],
)
def test_a_failure_brings_the_header_that_tells_what_to_do(error, header, value):
    with Flask("test").test_request_context():
        assert render_ocl_error(error).headers[header] == value


def test_a_failure_that_the_framework_found_has_the_same_shape():
    answer = render_http_error(MethodNotAllowed(valid_methods=["GET"]))

    assert answer.status_code == 405
    assert set(answer.get_json()) == {"detail"}
    assert answer.headers["Allow"] == "GET"


def test_a_fault_keeps_its_reasons_to_itself(caplog):
    answer = render_fault(RuntimeError("secret internals"))

    assert answer.status_code == 500
    assert "secret" not in answer.get_data(as_text=True)
    assert "secret internals" in caplog.text


def test_every_list_is_503_while_the_database_is_away(monkeypatch):
    monkeypatch.setattr(
        database,
        "MongoClient",
        lambda *args, **given: MongoClient(*args, **{**given, "serverSelectionTimeoutMS": 50}),
    )
    away = Settings(
        mongo_url="mongodb://127.0.0.1:9/none",
        redis_url="redis://127.0.0.1:9/0",
        secret_key="k" * 40,
    )
    app = create_app(build_services(away))
    client = app.test_client()
    steps = {"org": "Org", "user": "asha", "source": "S", "collection": "C"}
    rules = [
        rule
        for rule in app.url_map.iter_rules()
        if "GET" in rule.methods and set(rule.arguments) <= set(steps)
    ]
    # these need no database, or credentials first
    free = ("/openapi.json", "/docs", "/metrics", "/version", "/user/")
    one_of_each = {rule.endpoint: str(rule) for rule in rules if not str(rule).startswith(free)}
    asked = [
        re.sub(r"<\w+:(\w+)>", lambda step: steps[step[1]], rule) for rule in one_of_each.values()
    ]
    assert len(asked) > 10
    assert {url: client.get(url).status_code for url in asked} == dict.fromkeys(asked, 503)
