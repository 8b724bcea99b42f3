"""Consumers of a database of the test's own, with short intervals."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from shim.consumer import Consumer
from tests.fixtures import pgbouncer
from tests.integration.shim.consumer.scene import Callbacks, MakeConsumer, fresh

_AS_IT_IS = ("on_commit", "error_cb", "stats_cb")


@pytest.fixture
def callbacks() -> Callbacks:
    return Callbacks()


@pytest.fixture
def group() -> str:
    return fresh("group")


@pytest.fixture
def consumer_of(migrated_url: str) -> Iterator[MakeConsumer]:  # noqa: ARG001  they are closed before it is dropped
    """Makes consumers of a database by its URL; they are closed afterwards."""
    made: list[Consumer] = []

    def make(url: str, group: str, **settings: Any) -> Consumer:
        conf = {
            "shim.dsn": url,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "heartbeat.interval.ms": 100,
            **pgbouncer.client_settings(),
            **{name if name in _AS_IT_IS else name.replace("_", "."): value for name, value in settings.items()},
        }
        made.append(Consumer(conf))
        return made[-1]

    yield make
    for consumer in made:
        with suppress(Exception):
            consumer.close()


@pytest.fixture
def consumer(consumer_of: MakeConsumer, migrated_url: str, group: str) -> Consumer:
    return consumer_of(migrated_url, group, enable_auto_commit=False)
