"""The same tests on both sides."""

import uuid
from typing import Any

import pytest

from migrator.embedded.process import wait_until
from tests.integration.shim.admin.sides import SECONDS, OnKafka, OnPostgres, Side


@pytest.fixture(params=["kafka", "postgres"])
def side(request: pytest.FixtureRequest) -> Side:
    """Runs a test on Kafka and on Postgres."""
    if request.param == "kafka":
        if request.getfixturevalue("broker").kind == "mock":
            pytest.skip("librdkafka's mock cluster answers no admin requests")
        return OnKafka(request.getfixturevalue("bootstrap_servers"))
    return OnPostgres(request.getfixturevalue("migrated_url"))


@pytest.fixture
def admin(side: Side) -> Any:
    return side.AdminClient(side.conf)


@pytest.fixture
def name() -> str:
    """A name that nothing else has."""
    return f"name-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def topic(side: Side, admin: Any, name: str) -> str:
    """A topic with three partitions that have leaders."""
    admin.create_topics([side.NewTopic(name, 3, 1)])[name].result(SECONDS)
    partitions = [side.TopicPartition(name, partition) for partition in range(3)]
    asked = dict.fromkeys(partitions, side.OffsetSpec.latest())

    def led() -> bool:
        return all(future.exception(SECONDS) is None for future in admin.list_offsets(asked).values())

    assert wait_until(led, SECONDS)
    return name
