"""Producers of a database of the test's own."""

from collections.abc import Iterator
from typing import Any

import pytest

from shim.producer import Producer
from tests.fixtures import pgbouncer
from tests.integration.shim.producer.scene import MakeProducer, Reports


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture
def producer_of() -> Iterator[MakeProducer]:
    """Makes producers of a database by its URL, that send at once; they are closed afterwards."""
    made: list[Producer] = []

    def make(url: str, **settings: Any) -> Producer:
        defaults = {"shim.dsn": url, "linger.ms": 0, **pgbouncer.client_settings()}
        made.append(Producer({**defaults, **{_spelt(name): value for name, value in settings.items()}}))
        return made[-1]

    yield make
    for producer in made:
        if len(producer):
            producer.purge()
            producer.flush(5)
        producer.close()


@pytest.fixture
def producer(producer_of: MakeProducer, migrated_url: str) -> Producer:
    return producer_of(migrated_url)


def _spelt(name: str) -> str:
    return name if name.endswith("_cb") or name == "on_delivery" else name.replace("_", ".")
