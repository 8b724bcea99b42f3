"""Topics as clients make, grow and remove them, with others at work meanwhile."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest

from migrator import postgres
from migrator.embedded.process import wait_until
from migrator.postgres import Connection
from shim.store import append, topics
from shim.store.errors import (
    OffsetRangeError,
    PartitionCountError,
    SequencerError,
    StoreError,
    TopicNameError,
    UnknownPartitionError,
)
from shim.store.partitioner import UnknownPartitionerError
from shim.store.schema import Line
from shim.store.topics import Texts, UnknownTopicError
from shim.store.values import View

HEADS = "select partition, start_offset, next_offset from job_partition where topic = 'emails' order by 1"
ROWS = "select partition, log_offset from job_queue order by 1, 2"
Connect = Callable[[], Connection]


@pytest.fixture
def texts(line: Line) -> Texts:
    return append.load(line.schemas)


@pytest.fixture
def connect(migrated_url: str) -> Iterator[Connect]:
    opened: list[Connection] = []

    def one() -> Connection:
        opened.append(postgres.connect(migrated_url, "test"))
        return opened[-1]

    yield one
    for conn in opened:
        conn.close()


def fill(conn: Connection, texts: Texts, count: int, partition: int = 0) -> append.Appended:
    one = append.draft("emails", partition, b"k", b"1", None, None, View("json", b"1"))
    return append.append(conn, texts, [one] * count)


def test_a_topic_is_made_once_and_described(migrated: Connection, texts: Texts) -> None:
    assert topics.create_topic(migrated, texts, "emails", 2)
    assert not topics.create_topic(migrated, texts, "emails", 5)
    assert topics.create_topic(migrated, texts, "a.b_C-9", 1, partitioner="murmur2", retention_ms=None)
    found = topics.describe_topics(migrated, texts, None)
    assert list(found) == ["a.b_C-9", "emails"]
    emails, other = found["emails"], found["a.b_C-9"]
    assert (emails.partitions, emails.partitioner, emails.retention_ms) == (2, "consistent_random", topics.WEEK_MS)
    assert (emails.sequencer, emails.gate, emails.keep_value) == ("postgres", "open", True)
    assert (other.partitions, other.partitioner, other.retention_ms) == (1, "murmur2", None)
    assert isinstance(emails.topic_id, UUID)
    assert emails.topic_id != other.topic_id
    assert topics.describe_topics(migrated, texts, ["emails", "nobody"]) == {"emails": emails}
    assert migrated.execute(HEADS).fetchall() == [(0, 0, 0), (1, 0, 0)]
    known = topics.read_topic(migrated, texts, "emails")
    assert known is not None
    assert known.opened_at is not None


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "ümlaut", "a/b", "a\n", "x" * 250])
def test_names_that_kafka_would_not_take(migrated: Connection, texts: Texts, name: str) -> None:
    with pytest.raises(TopicNameError) as caught:
        topics.create_topic(migrated, texts, name, 1)
    assert caught.value.topic == name


def test_counts_and_partitioners_that_make_no_sense(migrated: Connection, texts: Texts) -> None:
    for partitions in (0, -1, topics.MOST_PARTITIONS + 1):
        with pytest.raises(PartitionCountError) as caught:
            topics.create_topic(migrated, texts, "emails", partitions)
        assert (caught.value.partitions, caught.value.found) == (partitions, 0)
    with pytest.raises(UnknownPartitionerError):
        topics.create_topic(migrated, texts, "emails", 1, partitioner="sticky")
    assert topics.describe_topics(migrated, texts, None) == {}


def test_many_who_make_the_same_topic_make_one(migrated: Connection, texts: Texts, connect: Connect) -> None:
    together = threading.Barrier(4)

    def make(partitions: int) -> bool:
        conn = connect()
        together.wait()
        return topics.create_topic(conn, texts, "emails", partitions)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(make, range(1, 5))) == [False, False, False, True]
    made = topics.describe_topics(migrated, texts, ["emails"])["emails"].partitions
    assert len(migrated.execute(HEADS).fetchall()) == made


def test_growing(migrated: Connection, texts: Texts) -> None:
    topics.create_topic(migrated, texts, "emails", 2)
    fill(migrated, texts, 3)
    topics.grow_topic(migrated, texts, "emails", 4)
    assert migrated.execute(HEADS).fetchall() == [(0, 0, 3), (1, 0, 0), (2, 0, 0), (3, 0, 0)]
    assert fill(migrated, texts, 1, partition=3).offsets == [0]
    for total in (4, 1, topics.MOST_PARTITIONS + 1):
        with pytest.raises(PartitionCountError) as caught:
            topics.grow_topic(migrated, texts, "emails", total)
        assert (caught.value.partitions, caught.value.found) == (total, 4)
    with pytest.raises(UnknownTopicError):
        topics.grow_topic(migrated, texts, "nobody", 4)


def test_what_kafka_numbers_is_kafkas(migrated: Connection, texts: Texts) -> None:
    topics.register_topic(migrated, texts, "emails", 1)
    topics.register_partitions(migrated, texts, "emails", {0: 7})
    assert migrated.execute(HEADS).fetchall() == [(0, 7, 7)]
    assert topics.describe_topics(migrated, texts, None)["emails"].retention_ms is None
    with pytest.raises(SequencerError):
        topics.grow_topic(migrated, texts, "emails", 2)
    with pytest.raises(SequencerError):
        topics.delete_topic(migrated, texts, "emails")
    with pytest.raises(SequencerError) as caught:
        topics.advance_start(migrated, texts, "emails", 0, 7)
    assert caught.value.topic == "emails"


def test_a_deleted_topic_is_gone_with_all_it_had_and_may_be_made_again(migrated: Connection, texts: Texts) -> None:
    topics.create_topic(migrated, texts, "emails", 1)
    before = topics.describe_topics(migrated, texts, None)["emails"].topic_id
    fill(migrated, texts, 12_000)
    migrated.execute("insert into job_queue (payload, topic) values ('1', 'emails'), ('1', 'other')")
    topics.copy_group_offsets(migrated, texts, "g", "emails", [topics.GroupOffset(0, 5)])
    assert topics.delete_topic(migrated, texts, "emails")
    assert not topics.delete_topic(migrated, texts, "emails")
    assert migrated.execute("select topic from job_queue").fetchall() == [("other",)]
    assert migrated.execute("select count(*) from job_group_offset").fetchone() == (0,)
    assert topics.create_topic(migrated, texts, "emails", 1)
    assert fill(migrated, texts, 1).offsets == [0]
    assert topics.describe_topics(migrated, texts, None)["emails"].topic_id != before


def test_a_topic_is_deleted_while_others_append(migrated: Connection, texts: Texts, connect: Connect) -> None:
    topics.create_topic(migrated, texts, "emails", 1)
    begun = threading.Barrier(4)

    def write() -> None:
        conn = connect()
        fill(conn, texts, 1)
        begun.wait()
        while True:
            fill(conn, texts, 10)

    with ThreadPoolExecutor(3) as pool:
        writing = [pool.submit(write) for _ in range(3)]
        begun.wait()
        assert topics.delete_topic(migrated, texts, "emails")
        for one in writing:
            assert isinstance(one.exception(), UnknownTopicError)
    assert migrated.execute(ROWS).fetchall() == []


def test_records_before_an_offset_are_deleted(migrated: Connection, texts: Texts) -> None:
    topics.create_topic(migrated, texts, "emails", 2)
    fill(migrated, texts, 5)
    fill(migrated, texts, 2, partition=1)
    assert topics.advance_start(migrated, texts, "emails", 0, 3) == 3
    assert topics.advance_start(migrated, texts, "emails", 0, 1) == 3
    assert migrated.execute(ROWS).fetchall() == [(0, 3), (0, 4), (1, 0), (1, 1)]
    assert topics.advance_start(migrated, texts, "emails", 0, -1) == 5
    assert migrated.execute(HEADS).fetchall() == [(0, 5, 5), (1, 0, 2)]
    assert migrated.execute(ROWS).fetchall() == [(1, 0), (1, 1)]
    assert fill(migrated, texts, 1).offsets == [5]


def test_records_that_cannot_be_deleted(migrated: Connection, texts: Texts) -> None:
    topics.create_topic(migrated, texts, "emails", 1)
    fill(migrated, texts, 5)
    for offset in (6, -2):
        with pytest.raises(OffsetRangeError) as caught:
            topics.advance_start(migrated, texts, "emails", 0, offset)
        assert (caught.value.offset, caught.value.next_offset) == (offset, 5)
    with pytest.raises(UnknownPartitionError):
        topics.advance_start(migrated, texts, "emails", 1, 0)
    with pytest.raises(UnknownTopicError):
        topics.advance_start(migrated, texts, "nobody", 0, 0)


def test_a_record_that_somebody_works_on_is_waited_for(migrated: Connection, texts: Texts, connect: Connect) -> None:
    topics.create_topic(migrated, texts, "emails", 1)
    fill(migrated, texts, 5)
    other, waiting = connect(), "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
    with ThreadPoolExecutor(1) as pool:
        with other.transaction():
            other.execute("select from job_queue where log_offset = 1 for update")
            advancing = pool.submit(topics.advance_start, connect(), texts, "emails", 0, 3)
            assert wait_until(lambda: migrated.execute(waiting).fetchone() == (1,), 9)
            assert migrated.execute(ROWS).fetchall() == [(0, 1), (0, 3), (0, 4)]
        assert advancing.result() == 3
    assert migrated.execute(ROWS).fetchall() == [(0, 3), (0, 4)]


def test_the_clusters_id_stays(migrated: Connection, texts: Texts) -> None:
    found = topics.cluster_id(migrated, texts)
    assert len(found) == 22
    assert topics.cluster_id(migrated, texts) == found
    migrated.execute("delete from job_cluster")
    with pytest.raises(StoreError):
        topics.cluster_id(migrated, texts)
