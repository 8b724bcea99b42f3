"""``migrator owner`` beside clients that live: a topic goes from a share group to a consumer group and back again."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from migrator.cli import app
from migrator.errors import Exit
from migrator.postgres import Connection
from shim.consumer import Consumer
from shim.errors import KafkaException
from shim.model import AcknowledgeType
from shim.share_consumer import ShareConsumer
from shim.store import settle
from tests.fixtures.pgbouncer import client_settings
from tests.integration.shim.consumer.scene import fill
from tests.integration.shim.sharing.conftest import MakeShareConsumer
from tests.integration.shim.sharing.scene import WAIT_SECONDS, change, statuses, taken, until_statuses

Owner = Callable[..., int]
EXPLICIT = {"share_acknowledgement_mode": "explicit"}


@pytest.fixture
def migrator(migrated_url: str, topic: str) -> Owner:
    """Runs a command of the migrator on the topic."""
    return lambda *arguments: app.run([*arguments, "--topic", topic, "--dsn", migrated_url])


@contextmanager
def mailers(url: str, topic: str) -> Iterator[Consumer]:
    """A consumer group's only member."""
    conf = {"shim.dsn": url, "group.id": "mailers", "auto.offset.reset": "earliest", "enable.auto.commit": False}
    with closing(Consumer({**conf, **client_settings()})) as consumer:
        consumer.subscribe([topic])
        yield consumer


def read(consumer: Consumer, count: int) -> list[int]:
    """The offsets of so many messages."""
    offsets: list[int] = []
    end = time.monotonic() + WAIT_SECONDS
    while len(offsets) < count and time.monotonic() < end:
        offsets += [message.offset() or 0 for message in consumer.consume(count - len(offsets), 0.5)]
    return offsets


def until_refused(consumer: ShareConsumer) -> None:
    """Polls, and gives back what comes, until another group owns the topic."""
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        for message in consumer.poll(0.1):
            consumer.acknowledge(message, AcknowledgeType.RELEASE)
        assert not any(consumer.commit_sync().values())


def test_from_a_share_group_to_a_consumer_group_and_back(
    share: MakeShareConsumer, migrator: Owner, migrated: Connection, migrated_url: str, topic: str
) -> None:
    fill(migrated, topic, 4)
    worker = share(**EXPLICIT)
    done = taken(worker, 4)
    to_mailers = ("owner", "set", "--group", "mailers", "--execute")
    to_workers = ("owner", "set", "--group", "workers", "--kind", "share", "--execute")

    assert migrator(*to_mailers) == Exit.REFUSED  # jobs are being worked on
    for message in done:
        worker.acknowledge(message)
    worker.commit_sync()
    assert statuses(migrated) == ["completed"] * 4
    fill(migrated, topic, 3)
    assert migrator("gate", "close") == Exit.DONE
    assert migrator(*to_mailers) == Exit.DONE
    assert migrator("gate", "open") == Exit.DONE

    with mailers(migrated_url, topic) as consumer:
        # The share consumer lives and is refused; what is due stays for the consumer group, which has no offsets yet.
        with pytest.raises(KafkaException, match="owned by consumer group 'mailers'"):
            taken(worker, 1)
        assert read(consumer, 6) == [0, 1, 2, 3, 4, 5]
        consumer.commit(asynchronous=False)
        assert migrator(*to_workers) == Exit.REFUSED  # the group has a member
    assert migrator(*to_workers) == Exit.DONE
    until_statuses(migrated, *["completed"] * 6, "pending")
    (last,) = taken(worker, 1)
    assert last.offset() == 6
    worker.acknowledge(last)
    worker.commit_sync()
    assert statuses(migrated) == ["completed"] * 7


def test_a_group_that_reads_on_completes_jobs_from_then_on(
    migrator: Owner, migrated: Connection, migrated_url: str, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where its last commit came before its process had looked again who owns what."""
    monkeypatch.setattr(settle, "_OWNERS_SECONDS", 5.0)
    fill(migrated, topic, 4)
    with mailers(migrated_url, topic) as consumer:
        assert read(consumer, 2) == [0, 1]
        consumer.commit(asynchronous=False)
        assert statuses(migrated) == ["pending"] * 4
        assert migrator("owner", "set", "--group", "mailers", "--execute") == Exit.DONE
        assert statuses(migrated) == ["completed"] * 2 + ["pending"] * 2
        assert read(consumer, 2) == [2, 3]
        consumer.commit(asynchronous=False)
        until_statuses(migrated, *["completed"] * 4)


def test_another_share_group_takes_over_beside_the_first(
    share: MakeShareConsumer, migrator: Owner, migrated: Connection, topic: str
) -> None:
    change(migrated, retry_backoff_ms=0, max_deliveries=1_000_000)
    fill(migrated, topic, 1)
    old = share(**EXPLICIT)
    (held,) = taken(old, 1)
    assert migrator("owner", "set", "--group", "others", "--kind", "share", "--execute") == Exit.DONE
    old.acknowledge(held, AcknowledgeType.RELEASE)
    assert not any(old.commit_sync().values())
    with pytest.raises(KafkaException, match="owned by share group 'others'"):
        until_refused(old)
    new = share(group="others", **EXPLICIT)
    (job,) = taken(new, 1)
    new.acknowledge(job)
    new.commit_sync()
    assert statuses(migrated) == ["completed"]
