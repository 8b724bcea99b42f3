"""Share consumers of a database of the test's own."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from migrator.postgres import Connection
from shim.errors import KafkaException
from shim.share_consumer import ShareConsumer
from tests.fixtures.pgbouncer import client_settings
from tests.fixtures.proxy import OpenProxy, TcpProxy
from tests.integration.shim.consumer.scene import make_topic

MakeShareConsumer = Callable[..., ShareConsumer]


@pytest.fixture
def topic(migrated: Connection) -> str:
    return make_topic(migrated)


@pytest.fixture
def share(migrated_url: str, topic: str) -> Iterator[MakeShareConsumer]:
    """Makes share consumers that are subscribed to the topic; they are closed afterwards."""
    made: list[ShareConsumer] = []

    def make(url: str | None = None, group: str = "workers", **settings: Any) -> ShareConsumer:
        conf = {name.replace("_", "."): value for name, value in settings.items() if name != "error_cb"}
        callbacks = {name: value for name, value in settings.items() if name == "error_cb"}
        consumer = ShareConsumer(
            {"shim.dsn": url or migrated_url, "group.id": group, **client_settings(), **conf, **callbacks}
        )
        consumer.subscribe([topic])
        made.append(consumer)
        return consumer

    yield make
    for consumer in made:
        with suppress(KafkaException):
            consumer.close()


@pytest.fixture
def proxy(open_proxy: OpenProxy, migrated_url: str) -> TcpProxy:
    return open_proxy(migrated_url)


@pytest.fixture
def proxied(proxy: TcpProxy, migrated_url: str) -> str:
    """The database through a proxy that breaks."""
    return proxy.url_of(migrated_url)
