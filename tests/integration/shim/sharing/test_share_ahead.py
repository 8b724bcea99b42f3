"""Jobs that are claimed ahead of their application, and acknowledgements that are gathered: both for moments only."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from migrator.embedded.process import wait_until
from migrator.postgres import Connection
from shim.errors import KafkaError
from shim.share_consumer import ShareConsumer
from shim.sharing.claimer import Claimer
from shim.store import claims
from shim.store.meter import meter
from shim.topic_partition import TopicPartition
from tests.integration.shim.consumer.scene import fill
from tests.integration.shim.sharing.conftest import MakeShareConsumer
from tests.integration.shim.sharing.scene import WAIT_SECONDS, deliveries, statuses, taken, until_statuses

JOBS = 200


@pytest.fixture
def in_no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine does meanwhile, the application counts as fast, and nothing goes back by itself."""
    monkeypatch.setattr("shim.sharing.stock._LONGEST_SECONDS", 60.0)


def ahead(share: MakeShareConsumer, **settings: Any) -> ShareConsumer:
    """A consumer that is handed one job at a time, and claims ahead for ten seconds of work."""
    return share(max_poll_records=1, shim_prefetch_ms=10_000, **settings)


@pytest.mark.usefixtures("in_no_hurry")
def test_one_claim_serves_many_polls(
    share: MakeShareConsumer, migrated: Connection, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed: list[int] = []
    claim = claims.claim

    def counted(*arguments: Any) -> claims.Batch:
        batch = claim(*arguments)
        claimed.append(len(batch.jobs))
        return batch

    monkeypatch.setattr(claims, "claim", counted)
    fill(migrated, topic, JOBS)
    consumer = ahead(share)
    assert deliveries(taken(consumer, JOBS)) == [(number, 1) for number in range(JOBS)]
    assert claimed == [1, 2, 4, 8, 16, 32, 64, 73]
    consumer.commit_sync()
    assert set(statuses(migrated)) == {"completed"}


@pytest.mark.usefixtures("in_no_hurry")
def test_what_was_acknowledged_is_settled_without_another_poll(
    share: MakeShareConsumer, migrated: Connection, topic: str
) -> None:
    fill(migrated, topic, 7)
    taken(ahead(share), 6)
    until_statuses(migrated, *["completed"] * 5, "processing", "processing")


def test_what_waits_behind_a_slow_job_goes_to_others_uncounted(
    share: MakeShareConsumer, migrated: Connection, topic: str
) -> None:
    fill(migrated, topic, 7)
    slow, other = ahead(share), share()
    taken(slow, 4)
    until_statuses(migrated, *["completed"] * 3, "processing", *["pending"] * 3)
    assert deliveries(taken(other, 3)) == [(4, 1), (5, 1), (6, 1)]


@pytest.mark.usefixtures("in_no_hurry")
def test_what_is_left_at_close_is_free_at_once_and_uncounted(
    share: MakeShareConsumer, migrated: Connection, topic: str
) -> None:
    fill(migrated, topic, 7)
    consumer = ahead(share)
    taken(consumer, 4)
    consumer.close()
    counts = migrated.execute("select retry_count from job_queue where status = 'pending' order by id").fetchall()
    assert counts == [(1,), (0,), (0,), (0,)]


@pytest.mark.usefixtures("in_no_hurry")
def test_another_subscription_gives_back_what_was_claimed_ahead(
    share: MakeShareConsumer, migrated: Connection, topic: str
) -> None:
    fill(migrated, topic, 7)
    consumer = ahead(share)
    taken(consumer, 4)
    consumer.subscribe(["other"])
    assert len(consumer.poll(0)) == 0
    assert statuses(migrated) == [*["completed"] * 4, *["pending"] * 3]


def test_an_idle_consumer_asks_nothing_of_its_own(
    share: MakeShareConsumer, migrated: Connection, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    claim: Callable[..., object] = Claimer.claim

    def counted(*arguments: Any) -> object:
        asked.append(time.monotonic())
        return claim(*arguments)

    monkeypatch.setattr(Claimer, "claim", counted)
    consumer = share()
    assert len(consumer.poll(0.2)) == 0
    first = len(asked)
    for _ in range(20):
        assert len(consumer.poll(0.05)) == 0
    assert (first, len(asked)) == (1, 1)
    fill(migrated, topic, 1)
    assert len(taken(consumer, 1)) == 1


@pytest.mark.usefixtures("in_no_hurry")
def test_a_commit_tells_of_what_was_lost_although_later_jobs_were_settled(
    share: MakeShareConsumer, migrated: Connection, topic: str
) -> None:
    fill(migrated, topic, 3)
    consumer = ahead(share, share_acknowledgement_mode="explicit")
    for _ in range(2):
        (message,) = taken(consumer, 1)
        consumer.acknowledge(message)
    migrated.execute("update job_queue set status = 'pending', lease = null where log_offset = 1")
    late = meter.counts().get(("share_jobs", "late"), 0)
    (message,) = taken(consumer, 1)
    assert wait_until(lambda: meter.counts().get(("share_jobs", "late"), 0) > late, WAIT_SECONDS)
    consumer.acknowledge(message)
    (told,) = consumer.commit_sync().values()
    assert told is not None
    assert told.args[0].code() == KafkaError.INVALID_RECORD_STATE


@pytest.mark.usefixtures("in_no_hurry")
def test_a_commit_waits_for_what_is_just_being_settled(
    share: MakeShareConsumer, migrated: Connection, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settling, go_on = threading.Event(), threading.Event()

    def held_up(*_: object) -> None:
        settling.set()
        assert go_on.wait(WAIT_SECONDS)

    fill(migrated, topic, 3)
    consumer = ahead(share, share_acknowledgement_mode="explicit")
    for _ in range(2):
        consumer.acknowledge(taken(consumer, 1)[0])
    monkeypatch.setattr("shim.sharing.claimer.count_settled", held_up)
    consumer.poll(0)
    assert settling.wait(WAIT_SECONDS)
    threading.Timer(0.3, go_on.set).start()
    assert consumer.commit_sync() == {TopicPartition(topic, 0, 0): None}
