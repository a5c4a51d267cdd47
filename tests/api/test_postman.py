"""The Postman collection of the documentation works, request by request, on an empty server."""

import io
import json
import re
import zipfile
from pathlib import Path

import pytest

from jobs.export import build_export
from tests.builders import TOKEN

FILE = Path(__file__).parents[2] / "docs" / "ocl.postman_collection.json"


@pytest.fixture(scope="module")
def collection():
    return json.loads(FILE.read_text())


def requests(collection):
    return [item for folder in collection["item"] for item in folder["item"]]


def filled(text, collection):
    """Put the collection's variables into a text."""
    values = {variable["key"]: variable["value"] for variable in collection["variable"]}
    values |= {"baseUrl": "", "token": TOKEN}
    return re.sub(r"{{(\w+)}}", lambda found: values[found[1]], text)


def expected(item):
    [script] = item["event"][0]["script"]["exec"]
    return json.loads(re.search(r"oneOf\((\[.*?\])\)", script)[1])


def run_jobs(app, services):
    for key in list(services.store.exports.unsettled()):
        with app.app_context():
            build_export(key.version, services.store.exports.read(key).job.token)


def test_the_requests_work_in_their_order(app, api, services, collection):
    """The superuser's token is in the variable `token`, as its description asks for."""
    [value] = [part["value"] for part in collection["auth"]["apikey"] if part["key"] == "value"]
    headers = {"Authorization": filled(value, collection)}
    responses = {}
    for item in requests(collection):
        request = item["request"]
        sent = {header["key"]: header["value"] for header in request["header"]}
        response = api.anonymous.open(
            request["method"],
            filled(request["url"]["raw"], collection),
            data=filled(request.get("body", {}).get("raw", ""), collection),
            headers={**headers, **sent},
        )
        assert response.status_code in expected(item), (item["name"], response.get_data())
        responses[item["name"]] = response
        if item["name"] == "Release a version":
            run_jobs(app, services)

    assert len(responses) == 25
    assert [found["id"] for found in responses["Search"].get_json()] == ["1007"]
    assert responses["State of the export"].headers["exportStatus"] == "ready"
    with zipfile.ZipFile(io.BytesIO(responses["Download the export"].data)) as archive:
        exported = json.loads(archive.read("export.json"))
    assert [concept["id"] for concept in exported["concepts"]] == ["1000", "1007"]
    assert len(responses["What changed since"].get_json()["mappings"]) == 1


def test_the_parts_of_each_url_agree_with_its_text(collection):
    for item in requests(collection):
        url = item["request"]["url"]
        path, _, query = url["raw"].removeprefix("{{baseUrl}}/").partition("?")
        assert path.split("/") == url["path"]
        assert query == "&".join(f"{one['key']}={one['value']}" for one in url.get("query", ()))
