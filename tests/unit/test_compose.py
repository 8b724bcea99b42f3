"""``docker-compose.yml`` is well formed and starts the versions and settings that the suite runs on."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from migrator.embedded import containers
from migrator.embedded.classpath import KAFKA_VERSION

_FILE = Path(__file__).parents[2] / "docker-compose.yml"
_PGBOUNCER_PORT = 6432

_DURATION = {"type": "string", "pattern": r"^(\d+(h|m|s|ms|us))+$"}
_STRING_OR_LIST = {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}

# The part of the Compose specification that the file uses, written from its reference; anything else is an error, so
# a misspelt key is one. Not the whole schema: a key that is added to the file has to be added here.
_COMPOSE_PART = {
    "type": "object",
    "required": ["services"],
    "additionalProperties": False,
    "properties": {
        "services": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"pattern": r"^[a-zA-Z0-9._-]+$"},
            "additionalProperties": {"$ref": "#/$defs/service"},
        }
    },
    "$defs": {
        "service": {
            "type": "object",
            "required": ["image", "healthcheck"],
            "additionalProperties": False,
            "properties": {
                "image": {"type": "string"},
                # The specification allows numbers and nulls too; strings survive every YAML reader.
                "environment": {"type": "object", "additionalProperties": {"type": "string"}},
                "ports": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
                "depends_on": {"type": "object", "additionalProperties": {"$ref": "#/$defs/dependency"}},
                "healthcheck": {"$ref": "#/$defs/healthcheck"},
            },
        },
        "dependency": {
            "type": "object",
            "required": ["condition"],
            "additionalProperties": False,
            "properties": {
                "condition": {"enum": ["service_started", "service_healthy", "service_completed_successfully"]}
            },
        },
        "healthcheck": {
            "type": "object",
            "required": ["test"],
            "additionalProperties": False,
            "properties": {
                "test": _STRING_OR_LIST,
                "interval": _DURATION,
                "timeout": _DURATION,
                "start_period": _DURATION,
                "retries": {"type": "integer"},
            },
        },
    },
}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(_FILE.read_text())
    return loaded


def test_the_file_is_valid_compose(compose: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(_COMPOSE_PART)
    jsonschema.validate(compose, _COMPOSE_PART, cls=jsonschema.Draft202012Validator)


def test_every_dependency_is_a_service(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)


def test_every_health_check_names_how_it_is_run(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}


@pytest.mark.parametrize(
    ("service", "image", "port"),
    [
        pytest.param("postgres", containers.POSTGRES_IMAGE, containers.POSTGRES_PORT, id="postgres"),
        pytest.param("kafka", containers.KAFKA_IMAGE, containers.KAFKA_PORT, id="kafka"),
        pytest.param("pgbouncer", containers.PGBOUNCER_IMAGE, _PGBOUNCER_PORT, id="pgbouncer"),
    ],
)
def test_images_and_ports_are_those_of_the_fixtures(
    compose: dict[str, Any], service: str, image: str, port: int
) -> None:
    found = compose["services"][service]
    assert found["image"] == image
    assert found["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_the_container_runs_the_version_that_runs_on_the_jvm() -> None:
    assert containers.KAFKA_IMAGE.endswith(f":{KAFKA_VERSION}")


def test_kafka_has_the_settings_of_the_fixtures(compose: dict[str, Any]) -> None:
    assert compose["services"]["kafka"]["environment"] == containers.container_environment(containers.KAFKA_PORT)


def test_the_comment_holds_the_url_that_the_variables_make(compose: dict[str, Any]) -> None:
    variables = compose["services"]["postgres"]["environment"]
    login = f"{variables['POSTGRES_USER']}:{variables['POSTGRES_PASSWORD']}"
    url = f"postgresql://{login}@127.0.0.1:{containers.POSTGRES_PORT}/{variables['POSTGRES_DB']}"
    text = _FILE.read_text()
    assert f"DATABASE_URL={url}\n" in text
    assert f"KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:{containers.KAFKA_PORT}\n" in text


def test_pgbouncer_lends_by_transaction_to_the_same_user(compose: dict[str, Any]) -> None:
    pooler = compose["services"]["pgbouncer"]["environment"]
    server = compose["services"]["postgres"]["environment"]
    assert pooler["POOL_MODE"] == "transaction"
    assert pooler["LISTEN_PORT"] == str(_PGBOUNCER_PORT)
    assert (pooler["DB_HOST"], pooler["DB_PORT"]) == ("postgres", str(containers.POSTGRES_PORT))
    assert (pooler["DB_USER"], pooler["DB_PASSWORD"]) == (server["POSTGRES_USER"], server["POSTGRES_PASSWORD"])
