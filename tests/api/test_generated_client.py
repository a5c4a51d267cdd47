"""A client that openapi-python-client generates from the document downloads an export."""

import importlib
import io
import json
import sys
import zipfile

import httpx
import pytest
from openapi_python_client import generate
from openapi_python_client.config import Config, ConfigFile, MetaType
from openapi_python_client.parser.errors import ErrorLevel

from jobs.export import build_export
from tests.builders import TOKEN, good, new_source


@pytest.fixture(scope="module")
def generated(app, tmp_path_factory):
    """The name of the generated package."""
    folder = tmp_path_factory.mktemp("client")
    document = folder / "openapi.json"
    document.write_bytes(good(app.test_client().get("/openapi.json")).data)
    config = Config.from_sources(
        ConfigFile(
            package_name_override="ocl_client",
            post_hooks=[],
            # The generator knows this one type of binary content.
            content_type_overrides={
                "application/zip": "application/octet-stream",
                "application/gzip": "application/octet-stream",
            },
        ),
        MetaType.NONE,
        document,
        "utf-8",
        overwrite=True,
        output_path=folder / "ocl_client",
    )
    errors = [error for error in generate(config=config) if error.level == ErrorLevel.ERROR]
    assert errors == []
    sys.path.insert(0, str(folder))
    yield "ocl_client"
    sys.path.remove(str(folder))


def test_a_generated_client_downloads_an_export(app, api, services, generated):
    source = new_source(api)
    source.concept("A")
    source.release("v1")
    for key in list(services.store.exports.unsettled()):
        with app.app_context():
            build_export(key.version, services.store.exports.read(key).job.token)
    client_module = importlib.import_module(f"{generated}.client")
    operation = importlib.import_module(f"{generated}.api.exports.get_version_export")
    client = client_module.AuthenticatedClient(
        "http://localhost",
        TOKEN,
        prefix="Token",
        httpx_args={"transport": httpx.WSGITransport(app)},
    )
    _, _, org, _, short_id, _ = source.url.split("/")

    found = operation.sync_detailed(org, short_id, "v1", client=client)

    assert found.status_code == 200
    with zipfile.ZipFile(io.BytesIO(found.content)) as archive:
        exported = json.loads(archive.read("export.json"))
    assert [concept["id"] for concept in exported["concepts"]] == ["A"]
    assert found.parsed.payload.read() == found.content
