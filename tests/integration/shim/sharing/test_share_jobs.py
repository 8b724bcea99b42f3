"""Jobs by share consumers: rows tell the truth at any moment, what fails is tried again, and then has failed."""

import time
from contextlib import suppress

import pytest

from migrator.postgres import Connection
from shim.errors import KafkaError, KafkaException
from shim.model import AcknowledgeType
from shim.store import gate
from shim.store.schema import Line
from shim.topic_partition import TopicPartition
from tests.integration.shim.consumer.scene import fill, make_topic
from tests.integration.shim.sharing.conftest import MakeShareConsumer
from tests.integration.shim.sharing.scene import WAIT_SECONDS, change, deliveries, statuses, taken

EXPLICIT = {"share_acknowledgement_mode": "explicit"}


def test_rows_tell_what_happens_to_them(share: MakeShareConsumer, migrated: Connection, topic: str) -> None:
    fill(migrated, topic, 4)
    consumer = share(**EXPLICIT, client_id="mailer")
    messages = taken(consumer, 4)
    seen = migrated.execute(
        "select distinct status::text, split_part(locked_by, '@', 1), locked_at is not null from job_queue"
    ).fetchall()
    assert seen == [("processing", "mailer", True)]
    consumer.acknowledge(messages[0])
    consumer.acknowledge(messages[1], AcknowledgeType.REJECT, error="no such user")
    consumer.acknowledge(messages[2], AcknowledgeType.RELEASE, error=ValueError("try later"), delay=3600)
    consumer.acknowledge(messages[3], AcknowledgeType.RELEASE)
    assert consumer.commit_sync() == {TopicPartition(topic, 0, 0): None}
    told = migrated.execute("select status::text, retry_count, last_error from job_queue order by id").fetchall()
    assert told == [
        ("completed", 0, None),
        ("failed", 0, "no such user"),
        ("pending", 1, "try later"),
        ("pending", 1, None),
    ]
    later = "select process_after - now() between '59 minutes' and '1 hour' from job_queue where id = 3"
    assert migrated.execute(later).fetchone() == (True,)


def test_a_job_that_is_released_too_often_has_failed(
    share: MakeShareConsumer, migrated: Connection, topic: str
) -> None:
    change(migrated, max_deliveries=3, retry_backoff_ms=1)
    fill(migrated, topic, 1)
    consumer = share(**EXPLICIT)
    counts = []
    for _ in range(3):
        (message,) = taken(consumer, 1)
        counts.append(message.delivery_count())
        consumer.acknowledge(message, AcknowledgeType.RELEASE)
    consumer.commit_sync()
    assert counts == [1, 2, 3]
    assert statuses(migrated) == ["failed"]


def test_a_share_group_begins_with_all_that_is_pending(
    share: MakeShareConsumer, migrated: Connection, topic: str
) -> None:
    fill(migrated, topic, 3)
    assert deliveries(taken(share(), 3)) == [(0, 1), (1, 1), (2, 1)]
    assert migrated.execute("select owner_group, owner_kind from job_topic").fetchone() == ("workers", "share")


def test_a_second_share_group_is_refused(share: MakeShareConsumer, migrated: Connection, topic: str) -> None:
    fill(migrated, topic, 1)
    taken(share(), 1)
    with pytest.raises(KafkaException, match=f"topic '{topic}' is owned by share group 'workers'") as caught:
        share(group="others").poll(1)
    assert caught.value.args[0] == KafkaError._CONFLICT  # noqa: SLF001  the API's name


def test_a_poll_returns_no_more_than_max_poll_records(
    share: MakeShareConsumer, migrated: Connection, topic: str
) -> None:
    fill(migrated, topic, 5)
    consumer = share(max_poll_records=2)
    assert [len(consumer.poll(10)) for _ in range(3)] == [2, 2, 1]
    consumer.commit_sync()
    assert statuses(migrated) == ["completed"] * 5


def test_nothing_is_claimed_ahead_where_that_is_not_wanted(
    share: MakeShareConsumer, migrated: Connection, topic: str
) -> None:
    fill(migrated, topic, 5)
    consumer = share(max_poll_records=2, shim_prefetch_ms=0)
    for done in (0, 2, 4):
        held = len(consumer.poll(10))
        assert statuses(migrated) == ["completed"] * done + ["processing"] * held + ["pending"] * (5 - done - held)


def test_plain_sql_enqueues(share: MakeShareConsumer, migrated: Connection, topic: str) -> None:
    migrated.execute("insert into job_queue (topic, payload) values (%s, %s::jsonb)", [topic, '{"to": "ada"}'])
    (message,) = taken(share(), 1)
    assert (message.value(), message.partition(), message.offset()) == (b'{"to":"ada"}', 0, 0)


def test_a_delayed_job_comes_when_it_is_due(share: MakeShareConsumer, migrated: Connection, topic: str) -> None:
    fill(migrated, topic, 2)
    migrated.execute("update job_queue set process_after = now() + interval '1 second' where id = 1")
    assert deliveries(taken(share(), 2)) == [(1, 1), (0, 1)]


def test_a_closed_gate_is_obeyed(share: MakeShareConsumer, migrated: Connection, line: Line, topic: str) -> None:
    texts = gate.load(line.schemas)
    fill(migrated, topic, 1)
    gate.close_gate(migrated, texts, topic)
    consumer = share()
    assert len(consumer.poll(1)) == 0
    gate.open_gate(migrated, texts, topic)
    assert len(taken(consumer, 1)) == 1


def test_what_was_done_is_settled_behind_a_closed_gate_too(
    share: MakeShareConsumer, migrated: Connection, line: Line, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shim.sharing.claimer._TERMS_SECONDS", 0.0)
    fill(migrated, topic, 1)
    consumer = share()
    taken(consumer, 1)
    gate.close_gate(migrated, gate.load(line.schemas), topic)
    assert len(consumer.poll(0.1)) == 0
    assert statuses(migrated) == ["completed"]


def test_an_unknown_topic_is_waited_for(share: MakeShareConsumer, migrated: Connection, topic: str) -> None:
    consumer = share()
    consumer.subscribe(["later", topic])
    assert len(consumer.poll(0.2)) == 0
    migrated.execute("insert into job_topic (topic, partitions) values ('later', 1)")
    migrated.execute("insert into job_partition (topic, partition) values ('later', 0)")
    fill(migrated, "later", 1)
    assert [message.topic() for message in taken(consumer, 1)] == ["later"]


@pytest.mark.parametrize("other", ["quiet", "zzz"], ids=["named before", "named after"])
def test_topics_take_turns(share: MakeShareConsumer, migrated: Connection, topic: str, other: str) -> None:
    make_topic(migrated, topic=other)
    fill(migrated, topic, 10)
    fill(migrated, other, 1)
    consumer = share(max_poll_records=1)
    consumer.subscribe([topic, other])
    assert other in {message.topic() for message in taken(consumer, 2)}


def test_a_topic_that_is_added_is_claimed_from_at_once(
    share: MakeShareConsumer, migrated: Connection, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shim.sharing.claimer._TERMS_SECONDS", 3600.0)
    make_topic(migrated, topic="added")
    fill(migrated, topic, 1)
    consumer = share()
    taken(consumer, 1)
    fill(migrated, "added", 1)
    consumer.subscribe([topic, "added"])
    assert taken(consumer, 1)[0].topic() == "added"


def test_what_a_callback_raises_costs_no_message(share: MakeShareConsumer, migrated: Connection, topic: str) -> None:
    fill(migrated, topic, 3)
    consumer = share(max_poll_records=1, shim_prefetch_ms=0)
    raised: list[object] = []

    def tell(offsets: object, _error: object) -> None:
        if len(raised) < 2:
            raised.append(offsets)
            raise ZeroDivisionError

    consumer.set_acknowledgement_commit_callback(tell)
    seen: list[int | None] = []
    end = time.monotonic() + WAIT_SECONDS
    while len(seen) < 3 and time.monotonic() < end:
        with suppress(ZeroDivisionError):
            seen += [message.offset() for message in consumer.poll(0.5)]
    assert (seen, len(raised)) == ([0, 1, 2], 2)
