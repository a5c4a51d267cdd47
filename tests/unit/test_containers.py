"""The container files pass settings on under the names that the server reads."""

import re
from pathlib import Path

import pytest
import yaml

from config.settings import DEFAULT_SECRETS_DIR, Settings, variable

CONFIG = Path(__file__).parents[2] / "config"
COMPOSE = yaml.safe_load((CONFIG / "docker-compose.yml").read_text())
VARIABLES = {variable(name) for name in Settings.model_fields}


@pytest.mark.parametrize("name", ["web", "worker"])
def test_a_container_gets_settings_from_the_env_file_and_secrets_from_files(name):
    service = COMPOSE["services"][name]
    assert service["env_file"] == [{"path": "../.env", "required": False}]
    assert set(service["environment"]) == {"MONGO_URL", "REDIS_URL", "SOLR_URL"}
    assert service["secrets"] == ["OCL_SECRET_KEY", "OCL_ROOT_TOKEN"]
    assert Settings.from_environ(service["environment"]).to_environ() == service["environment"]


def test_every_secret_is_a_file_with_the_name_of_its_setting():
    assert DEFAULT_SECRETS_DIR == "/run/secrets"
    assert set(COMPOSE["secrets"]) <= VARIABLES
    assert COMPOSE["secrets"] == {
        name: {"file": f"../var/secrets/{name}"} for name in COMPOSE["secrets"]
    }


def test_the_image_sets_only_variables_that_the_server_reads():
    lines = re.findall(r"^ENV (.*)$", (CONFIG / "Dockerfile").read_text(), re.MULTILINE)
    names = {pair.split("=")[0] for line in lines for pair in line.split()}
    assert names - {"PYTHONUNBUFFERED"} <= VARIABLES
