"""Failures as HTTP: every one has a status, and all have one shape."""

import pytest
from werkzeug.exceptions import MethodNotAllowed

from oclapi.errors import Frozen, Invalid, NotAuthenticated, OclError, RangeNotSatisfiable, RepositoryBusy
from oclapi.resources.errors import STATUS, answer_fault, answer_http, answer_ours, error_body


def leaves(base):
    below = base.__subclasses__()
    return [leaf for one in below for leaf in leaves(one)] if below else [base]


def test_every_error_has_a_status():
    assert set(leaves(OclError)) == set(STATUS)


def test_a_validation_error_tells_its_fields_twice():
    answer = answer_ours(Invalid({"names": ["at least one name is needed"], "id": ["this field is required"]}))

    assert answer.status_code == 400
    assert answer.get_json() == {
        "detail": "names: at least one name is needed",
        "errors": {"names": ["at least one name is needed"], "id": ["this field is required"]},
        "names": ["at least one name is needed"],
        "id": ["this field is required"],
    }


def test_a_field_of_the_body_never_hides_the_fixed_keys():
    body = error_body("wrong", {"detail": ["bad"], "errors": ["worse"]}, {"usage": {}})

    assert body == {"detail": "wrong", "errors": {"detail": ["bad"], "errors": ["worse"]}, "usage": {}}


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
    assert answer_ours(error).headers[header] == value


def test_a_failure_that_the_framework_found_has_the_same_shape():
    answer = answer_http(MethodNotAllowed(valid_methods=["GET"]))

    assert answer.status_code == 405
    assert set(answer.get_json()) == {"detail"}
    assert answer.headers["Allow"] == "GET"


def test_a_fault_keeps_its_reasons_to_itself(caplog):
    answer = answer_fault(RuntimeError("secret internals"))

    assert answer.status_code == 500
    assert "secret" not in answer.get_data(as_text=True)
    assert "secret internals" in caplog.text
