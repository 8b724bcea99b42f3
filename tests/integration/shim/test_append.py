"""Appending: exact rows, offsets without a surprise, all or nothing, and exactly once when the reply is lost."""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from migrator import postgres
from migrator.embedded.process import wait_until
from migrator.postgres import Connection
from shim.store import append, gate, sequence, topics
from shim.store.append import Draft, Refusal, Reserved, ShortCopyError
from shim.store.errors import ClientEncodingError, SequencerError, UnknownPartitionError
from shim.store.schema import Line
from shim.store.topics import Texts, UnknownTopicError
from shim.store.values import JSON_NULL, View, view
from tests.fixtures.proxy import OpenProxy
from tests.integration.shim.conftest import migrate

JSON = View("json", b'{"a": 1}')
COUNT = "select count(*), count(distinct (partition, log_offset)) from job_queue"
HEADS = "select topic, partition, next_offset from job_partition order by 1, 2"
Connect = Callable[[], Connection]


@pytest.fixture
def texts(line: Line) -> Texts:
    return {**sequence.load(line.schemas), **gate.load(line.schemas)}


@pytest.fixture
def queue(migrated: Connection, texts: Texts) -> Connection:
    """A database with a topic of three partitions and one of one."""
    topics.create_topic(migrated, texts, "emails", 3)
    topics.create_topic(migrated, texts, "reports", 1)
    return migrated


@pytest.fixture
def connect(migrated_url: str) -> Iterator[Connect]:
    opened: list[Connection] = []

    def one() -> Connection:
        opened.append(postgres.connect(migrated_url, "test"))
        return opened[-1]

    yield one
    for conn in opened:
        conn.close()


def drafts(count: int, topic: str = "emails", partition: int = 0) -> list[Draft]:
    return [append.draft(topic, partition, b"%d" % n, b'{"a": 1}', None, n, JSON) for n in range(count)]


def count(conn: Connection) -> tuple[Any, ...] | None:
    return conn.execute(COUNT).fetchone()


def test_a_row_holds_what_was_produced(queue: Connection, texts: Texts) -> None:
    headers = ((b"b", b"\xff"), (b"a", None), (b"b", b""))
    done = append.append(
        queue,
        texts,
        [
            append.draft("emails", 1, b"k", b'{"a":  1}', headers, 1_700_000_000_123, view(b'{"a":  1}')),
            append.draft("emails", 1, None, None, None, None, view(None)),
            append.draft("emails", 1, b"", b"\xff\x00", (), -5, view(b"\xff\x00")),
        ],
    )
    assert done.offsets == [0, 1, 2]
    rows = queue.execute(
        """
        select topic, partition, log_offset, key, value, headers, timestamp_ms, timestamp_type, encoding, payload,
          status, retry_count, last_error
        from job_queue order by id
        """
    ).fetchall()
    same = ("pending", 0, None)
    flat = [b"b", b"\xff", b"a", None, b"b", b""]
    assert rows == [
        ("emails", 1, 0, b"k", b'{"a":  1}', flat, 1_700_000_000_123, 1, "json", {"a": 1}, *same),
        ("emails", 1, 1, None, None, None, None, None, "tombstone", None, *same),
        ("emails", 1, 2, b"", b"\xff\x00", [], -5, 1, "bytes", None, *same),
    ]
    assert queue.execute(
        "select bool_and(created_at = process_after and now() - created_at < '10 s'), count(distinct created_at) "
        "from job_queue"
    ).fetchone() == (True, 1)


def test_offsets_follow_the_drafts_and_heads_follow_the_offsets(queue: Connection, texts: Texts) -> None:
    places = [("reports", 0), ("emails", 2), ("emails", 0), ("emails", 2), ("reports", 0)]
    batch = [append.draft(*place, b"k", b"1", None, None, View("json", b"1")) for place in places]
    told: list[Reserved] = []
    assert append.append(queue, texts, batch).offsets == [0, 0, 0, 1, 1]
    second = append.append(queue, texts, batch, told.append)
    assert second.offsets == [2, 2, 1, 3, 3]
    assert (told[0].xid, told[0].firsts) == (second.xid, {("reports", 0): 2, ("emails", 2): 2, ("emails", 0): 1})
    assert told[0].counts == {("reports", 0): 2, ("emails", 2): 2, ("emails", 0): 1}
    assert queue.execute(HEADS).fetchall() == [("emails", 0, 2), ("emails", 1, 0), ("emails", 2, 4), ("reports", 0, 4)]
    assert append.append(queue, texts, []).offsets == []


def test_behind_a_closed_gate_records_are_parked_and_keep_their_delay(queue: Connection, texts: Texts) -> None:
    gate.close_gate(queue, texts, "emails")
    hour = 3_600_000_000
    late = append.draft("emails", 0, b"late", b"1", None, None, View("json", b"1"), hour)
    assert append.append(queue, texts, [*drafts(1), late]).offsets == [0, None]
    assert gate.gate_status(queue, texts, "emails").parked == 2
    gate.open_gate(queue, texts, "emails")
    assert queue.execute(
        "select process_after - created_at, partition, log_offset from job_queue order by process_after"
    ).fetchall() == [(timedelta(), 0, 0), (timedelta(hours=1), 0, None)]


def test_a_topic_that_keeps_no_values_keeps_those_that_json_cannot_tell(queue: Connection, texts: Texts) -> None:
    queue.execute("update job_topic set keep_value = false")
    values = [b'{"a": 1}', b"text", b"\xff", b"null"]
    append.append(queue, texts, [append.draft("emails", 0, None, v, None, None, view(v)) for v in values])
    assert queue.execute("select value, payload, encoding from job_queue order by log_offset").fetchall() == [
        (None, {"a": 1}, "json"),
        (None, "text", "text"),
        (b"\xff", None, "bytes"),
        (None, None, "json"),
    ]


REFUSED = [
    (drafts(1, "nobody"), UnknownTopicError),
    (drafts(1, partition=3), UnknownPartitionError),
    (drafts(1, partition=-1), UnknownPartitionError),
    (drafts(1, partition=2**40), UnknownPartitionError),
    (drafts(1, "drained"), SequencerError),
]


@pytest.mark.parametrize(("wrong", "error"), REFUSED)
def test_what_cannot_be_appended_leaves_nothing_behind(
    queue: Connection, texts: Texts, wrong: Sequence[Draft], error: type[Exception]
) -> None:
    topics.register_topic(queue, texts, "drained", 1)
    topics.register_partitions(queue, texts, "drained", {0: 5})
    before = queue.execute(HEADS).fetchall()
    with pytest.raises(error):
        append.append(queue, texts, [*drafts(2), *wrong])
    with pytest.raises(error), queue.transaction():
        append.append_in(queue, texts, [*drafts(2), *wrong])
    assert count(queue) == (0, 0)
    assert queue.execute(HEADS).fetchall() == before


def test_drafts_that_could_never_be_stored_are_not_made() -> None:
    with pytest.raises(ValueError, match="judge"):
        append.draft("emails", 0, None, b"[1e400]", None, None, View("json", b"[1e400]", doubtful=True))
    for delay in (-1, append.LONGEST_DELAY_US + 1):
        with pytest.raises(ValueError, match="century"):
            append.draft("emails", 0, None, b"1", None, None, JSON, delay)


def test_a_trigger_that_swallows_rows_is_noticed(queue: Connection, texts: Texts) -> None:
    queue.execute(
        """
        create function swallow() returns trigger language plpgsql as
          $$ begin return case when new.key = '1' then null else new end; end $$;
        create trigger swallow before insert on job_queue for each row execute function swallow();
        """
    )
    with pytest.raises(ShortCopyError) as caught:
        append.append(queue, texts, drafts(3))
    assert (caught.value.sent, caught.value.stored) == (3, 2)
    assert count(queue) == (0, 0)


def refused(queue: Connection, texts: Texts, batch: Sequence[Draft]) -> Refusal | None:
    with pytest.raises(psycopg.Error) as caught:
        append.append(queue, texts, batch)
    assert count(queue) == (0, 0)
    return append.refusal(caught.value)


def test_the_draft_that_postgres_refused_is_named(queue: Connection, texts: Texts) -> None:
    bad = append.draft("emails", 0, b"k", b"{]", None, None, View("json", b'{"COPY 7": ]'))
    assert refused(queue, texts, [*drafts(1500), bad, *drafts(10)]) == Refusal(1500, "payload", "22P02")
    queue.execute("alter table job_queue add constraint short check (length(key) < 5)")
    long = append.draft("emails", 1, b"too long", b"1", None, None, JSON)
    assert refused(queue, texts, [*drafts(3), long]) == Refusal(3, None, "23514")
    # With its view given up, the first one is taken.
    again = append.draft("emails", 0, b"k", b"{]", None, None, View("json-22P02", JSON_NULL))
    assert append.append(queue, texts, [again]).offsets == [0]


def test_no_draft_is_blamed_for_a_row_that_stands_in_its_place(queue: Connection, texts: Texts) -> None:
    queue.execute("insert into job_queue (payload, topic, partition, log_offset) values ('1', 'emails', 0, 1)")
    with pytest.raises(psycopg.errors.UniqueViolation) as caught:
        append.append(queue, texts, drafts(3))
    assert append.refusal(caught.value) is None


def test_another_client_encoding_is_refused(queue: Connection, texts: Texts) -> None:
    queue.execute("set client_encoding = 'LATIN1'")
    for write in (append.append, append.append_in):
        with pytest.raises(ClientEncodingError):
            write(queue, texts, drafts(1))


def test_limits_and_durability_are_the_transactions_own(queue: Connection, texts: Texts) -> None:
    names = ("lock_timeout", "idle_in_transaction_session_timeout", "synchronous_commit")
    before = [queue.execute(f"show {name}".encode()).fetchone() for name in names]
    inside: list[Any] = []

    def look(_reserved: Reserved) -> None:
        inside.extend(queue.execute(f"show {name}".encode()).fetchone() for name in names)

    append.append(queue, texts, drafts(1), look, synchronous_commit="local")
    assert inside == [("10s",), ("15s",), ("local",)]
    assert [queue.execute(f"show {name}".encode()).fetchone() for name in names] == before


# The caller's own transaction


def test_in_the_callers_transaction_records_exist_when_it_commits(
    queue: Connection, texts: Texts, connect: Connect
) -> None:
    with closing(psycopg.connect(connect().info.dsn, row_factory=dict_row)) as own:
        append.append_in(own, texts, drafts(2, partition=2))
        # Nothing of the queue is held meanwhile: others append, and the gate moves.
        assert append.append(queue, texts, drafts(1, partition=2)).offsets == [0]
        topics.set_gate(queue, texts, "emails", "open")
        assert count(queue) == (1, 1)
        own.commit()
        append.append_in(own, texts, drafts(2))
        own.rollback()
    assert queue.execute(
        "select partition, log_offset, timestamp_ms, process_after = created_at from job_queue where log_offset is null"
    ).fetchall() == [(2, None, 0, True), (2, None, 1, True)]


# Readers


class Reader:
    """Polls a topic as a consumer would, and notes every offset that appears below one that it has seen."""

    def __init__(self, conn: Connection) -> None:
        self.conn = conn
        self.seen: dict[int, set[int]] = {}
        self.late: list[tuple[int, int]] = []

    def poll(self) -> None:
        rows = self.conn.execute(
            "select partition, log_offset from job_queue where topic = 'emails' and log_offset is not null"
        ).fetchall()
        found: dict[int, set[int]] = {}
        for partition, offset in rows:
            found.setdefault(partition, set()).add(offset)
        for partition, offsets in found.items():
            seen = self.seen.setdefault(partition, set())
            highest = max(seen, default=-1)
            self.late += [(partition, offset) for offset in offsets - seen if offset < highest]
            seen |= offsets


class RolledBackError(Exception):
    """Ends an append between its reservation and its commit."""


def test_a_reader_never_sees_a_smaller_offset_later(queue: Connection, texts: Texts, connect: Connect) -> None:
    """Four writers over three partitions in any order, one in five rolled back, beside plain SQL and a sequencer."""
    stop = threading.Event()
    reader = Reader(connect())
    appended = [0] * 4

    def fall_over(_reserved: Reserved) -> None:
        raise RolledBackError

    def write(number: int) -> None:
        conn, dice = connect(), random.Random(number)  # noqa: S311  # the same dice in every run
        for _ in range(40):
            batch = [one for p in dice.sample(range(3), 3) for one in drafts(dice.randrange(1, 4), partition=p)]
            try:
                append.append(conn, texts, batch, fall_over if dice.random() < 0.2 else lambda _reserved: None)
                appended[number] += len(batch)
            except RolledBackError:
                continue

    def insert_and_number() -> None:
        conn = connect()
        while not stop.is_set():
            conn.execute("insert into job_queue (payload, topic) values ('1', 'emails'), ('2', 'emails')")
            sequence.sequence(conn, texts, "emails", limit=3)

    def read() -> None:
        while not stop.is_set():
            reader.poll()

    with ThreadPoolExecutor(6) as pool:
        beside = [pool.submit(insert_and_number), pool.submit(read)]
        writing = [pool.submit(write, number) for number in range(4)]
        try:
            for one in writing:
                one.result()
        finally:
            stop.set()
        for one in beside:
            one.result()
    while sequence.sequence(queue, texts, "emails"):
        pass
    reader.poll()
    assert reader.late == []
    assert queue.execute("select count(*) from job_queue where encoding is not null").fetchone() == (sum(appended),)
    # No offset is lost to a rollback either.
    heads = [row[2] for row in queue.execute(HEADS) if row[0] == "emails"]
    assert [len(reader.seen[partition]) for partition in range(3)] == heads
    assert [max(reader.seen[partition]) + 1 for partition in range(3)] == heads


def test_the_reader_of_that_test_would_notice(queue: Connection, connect: Connect) -> None:
    reader = Reader(connect())
    insert = "insert into job_queue (payload, topic, partition, log_offset) values ('1', 'emails', 0, %s)"
    with closing(connect()) as slow, slow.transaction():
        slow.execute(insert, [0])
        queue.execute(insert, [1])
        reader.poll()
    reader.poll()
    assert reader.late == [(0, 0)]


def test_appends_that_cross_do_not_deadlock(queue: Connection, texts: Texts, connect: Connect) -> None:
    there = [*drafts(1), *drafts(1, partition=1), *drafts(1, "reports"), *drafts(1, partition=2)]
    together = threading.Barrier(2)

    def write(batch: Sequence[Draft]) -> None:
        conn = connect()
        for _ in range(50):
            together.wait()
            append.append(conn, texts, batch)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(write, there), pool.submit(write, there[::-1])]:
            done.result()
    assert count(queue) == (400, 300)
    assert [row[2] for row in queue.execute(HEADS)] == [100] * 4


# The lost reply


@contextmanager
def through(proxy_url: str) -> Iterator[Connection]:
    with closing(postgres.connect(proxy_url, "test")) as conn:
        yield conn


def fate(conn: Connection, texts: Texts, reserved: Reserved) -> bool | None:
    """Asks until the answer is clear."""
    answers: list[bool | None] = []

    def clear() -> bool:
        answers.append(append.outcome(conn, texts, reserved))
        return answers[-1] is not None

    assert wait_until(clear, 10)
    return answers[-1]


def test_lost_reply_of_a_commit_is_found_out(
    queue: Connection, texts: Texts, migrated_url: str, open_proxy: OpenProxy
) -> None:
    proxy = open_proxy(migrated_url)
    told: list[Reserved] = []
    batch = [*drafts(10), *drafts(5, partition=1)]
    with through(proxy.url_of(migrated_url)) as conn:
        proxy.cut_commit_reply()
        with pytest.raises(psycopg.OperationalError):
            append.append(conn, texts, batch, told.append)
    assert proxy.faults["reply-cut"] == 1
    assert fate(queue, texts, told[0]) is True
    assert told[0].offsets(batch) == [*range(10), *range(5)]
    assert count(queue) == (15, 15)


def test_append_that_was_cut_before_its_commit_is_done_again(
    queue: Connection, texts: Texts, migrated_url: str, open_proxy: OpenProxy
) -> None:
    proxy = open_proxy(migrated_url)
    told: list[Reserved] = []

    def cut(reserved: Reserved) -> None:
        told.append(reserved)
        proxy.cut_all()

    with through(proxy.url_of(migrated_url)) as conn, pytest.raises(psycopg.OperationalError):
        append.append(conn, texts, drafts(10), cut)
    assert proxy.faults["cut"] == 1
    assert fate(queue, texts, told[0]) is False
    assert append.append(queue, texts, drafts(10)).offsets == list(range(10))
    assert count(queue) == (10, 10)


def test_while_it_runs_an_append_has_no_outcome(queue: Connection, texts: Texts, connect: Connect) -> None:
    running = connect()
    seen: list[bool | None] = []

    def ask(reserved: Reserved) -> None:
        seen.append(append.outcome(queue, texts, reserved))

    append.append(running, texts, drafts(1), ask)
    assert seen == [None]


def test_transaction_that_this_server_knows_as_another_one_or_not_yet(queue: Connection, texts: Texts) -> None:
    told: list[Reserved] = []
    append.append(queue, texts, drafts(1), told.append)
    mine = told[0]
    assert append.outcome(queue, texts, mine) is True
    # After a failover without our last transactions: the id is another append's, or nobody's yet.
    assert append.outcome(queue, texts, replace(mine, now_us=mine.now_us - 1)) is False
    assert append.outcome(queue, texts, replace(mine, firsts={("emails", 0): 1})) is False
    assert append.outcome(queue, texts, replace(mine, xid=str(int(mine.xid) + 1_000_000))) is False
    topics.advance_start(queue, texts, "emails", 0, -1)
    assert append.outcome(queue, texts, mine) is True


def test_a_job_that_is_done_and_removed_was_appended_all_the_same(queue: Connection, texts: Texts) -> None:
    told: list[Reserved] = []
    append.append(queue, texts, drafts(1))
    append.append(queue, texts, drafts(2), told.append)
    queue.execute("delete from job_queue where log_offset > 0")  # as retention does, once they are finished
    assert append.outcome(queue, texts, told[0]) is True
    queue.execute("update job_partition set next_offset = 1 where topic = 'emails' and partition = 0")
    assert append.outcome(queue, texts, told[0]) is False


def test_delayed_records_have_an_outcome_too(queue: Connection, texts: Texts) -> None:
    late = drafts(1)[0]._replace(delay_us=60_000_000)
    told: list[Reserved] = []
    done = append.append(queue, texts, [late], told.append)
    assert (done.offsets, done.xid, told[0].firsts) == ([None], told[0].xid, {})
    assert append.outcome(queue, texts, told[0]) is True
    # After a failover without it the id is another transaction's.
    assert append.outcome(queue, texts, replace(told[0], now_us=told[0].now_us - 1)) is False


def test_everything_works_behind_a_pooler_in_transaction_mode(database_url: str, pooled_url: str, texts: Texts) -> None:
    migrate(database_url)
    told: list[Reserved] = []
    with closing(postgres.connect(pooled_url, "test")) as conn:
        topics.create_topic(conn, texts, "emails", 3)
        for _ in range(2):
            append.append(conn, texts, [*drafts(10), *drafts(10, partition=2)], told.append)
        with conn.transaction():
            append.append_in(conn, texts, drafts(2))
        assert sequence.sequence(conn, texts, "emails") == 2
        assert append.outcome(conn, texts, told[1]) is True
        assert count(conn) == (42, 42)
        assert topics.advance_start(conn, texts, "emails", 2, 5) == 5
        assert topics.delete_topic(conn, texts, "emails")
