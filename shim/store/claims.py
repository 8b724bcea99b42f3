"""Claiming jobs: each row to one worker, oldest first, by ``FOR NO KEY UPDATE SKIP LOCKED``.

A claim commits before the work begins. It holds for the topic's lease, which its worker renews; once it has run out,
whoever claims next recovers the job and counts the delivery. The token of the last claim decides who may settle a job
(`shim.store.settlements`). Only the database's clock counts.
"""

from collections.abc import Iterable, Mapping, Sequence
from time import monotonic
from typing import Any, Literal, LiteralString, NamedTuple

import psycopg
from psycopg.rows import TupleRow, class_row

from shim.store import topics
from shim.store.errors import StoreError
from shim.store.meter import meter
from shim.store.records import Record, compact_json
from shim.store.statements import Schemas, Statements

Connection = psycopg.Connection[TupleRow]
Texts = Mapping[str, LiteralString]
OwnerKind = Literal["consumer", "share"]
Place = tuple[str, int, int]
"""Topic, partition and offset: how an application names a record."""

TERMS_SECONDS = 5.0
"""How long a share consumer goes by the terms that it has read, the owner among them."""

_FIRST_WINDOW = 4
_SHORTEST_WINDOW = 100
_LONGEST_WINDOW = 10_000


class OwnedError(StoreError):
    """Another group owns the topic, and a job has one status: the owner's.

    Attributes:
        topic: the topic.
        owner_group: who owns it.
        owner_kind: ``share`` for a share group, ``consumer`` for a consumer group.
    """

    def __init__(self, topic: str, owner_group: str, owner_kind: OwnerKind) -> None:
        super().__init__(f"topic {topic!r} is owned by {owner_kind} group {owner_group!r}")
        self.topic = topic
        self.owner_group = owner_group
        self.owner_kind = owner_kind


class Terms(NamedTuple):
    """On what terms a topic's jobs are claimed.

    Attributes:
        topic: the topic.
        owner_group: whose progress ``status`` tells; None for nobody's yet.
        owner_kind: what kind of group that is.
        gate: whether its jobs may run: ``open`` or ``closed``.
        lease_ms: how long a claim lasts that nobody renews.
        max_deliveries: a job that was delivered so often and is still not done has failed.
        retry_backoff_ms: the pause before the second delivery; it doubles with each further one.
        retry_backoff_max_ms: the longest such pause.
        key_order: whether one job at a time of each key is worked on.
    """

    topic: str
    owner_group: str | None
    owner_kind: OwnerKind | None
    gate: str
    lease_ms: int
    max_deliveries: int
    retry_backoff_ms: int
    retry_backoff_max_ms: int
    key_order: bool


class After(NamedTuple):
    """A place in the order of claims: nothing before it was pending just now. A hint, see `shim.store.hints`.

    Attributes:
        process_after: when the job there is due, as Postgres writes it.
        id: its id.
    """

    process_after: str
    id: int


EVERYTHING = After("-infinity", 0)


class Claimed(NamedTuple):
    """A job that is this worker's until its lease runs out.

    Attributes:
        id: the job's.
        deliveries: how often it was delivered before.
        record: what was produced.
    """

    id: int
    deliveries: int
    record: Record

    @property
    def place(self) -> Place:
        """Where the record is."""
        return self.record[:3]


class Done(NamedTuple):
    """Jobs of one earlier claim that are to be completed.

    Attributes:
        lease: the claim's token.
        ids: the jobs'.
    """

    lease: int
    ids: Sequence[int]


NOTHING = Done(0, ())


class Batch(NamedTuple):
    """What a claim found.

    Attributes:
        lease: the token of the claim; 0 when there was nothing to claim.
        jobs: in the order in which they were due.
        after: where the next claim may begin to look.
        completed: how many of the jobs that were done were still held; when some were not, `settlements.settled_by`
            tells which.
    """

    lease: int
    jobs: list[Claimed]
    after: After
    completed: int = 0


class Recovered(NamedTuple):
    """What became of jobs whose claim had run out.

    Attributes:
        pending: how many will be delivered again.
        failed: how many were at their limit.
    """

    pending: int
    failed: int


def load(schemas: Schemas) -> Texts:
    """Returns the statements that the functions of this module run."""
    return {**topics.load(schemas), **Statements("shim.store.sql", "claims.sql", schemas)}


def read_terms(conn: Connection, texts: Texts, names: Iterable[str]) -> dict[str, Terms]:
    """Returns the terms of those of these topics that exist."""
    with conn.cursor(row_factory=class_row(Terms)) as cursor:
        found = cursor.execute(texts["read_terms"], {"topics": list(names)})
        return {terms.topic: terms for terms in found}


def own(conn: Connection, texts: Texts, group_id: str, names: Sequence[str]) -> dict[str, Terms]:
    """Makes a share group the owner of those of these topics that have none, and returns the terms of all.

    Args:
        conn: a connection in autocommit, outside of any transaction.
        texts: from `load`.
        group_id: the group.
        names: of the topics; one that does not exist is left out of the result.

    Raises:
        OwnedError: a topic has another owner; nothing is claimed on terms that the group does not have.
    """
    terms = read_terms(conn, texts, names)
    if any(one.owner_group is None for one in terms.values()):
        conn.execute(texts["own_topics"], {"group_id": group_id, "topics": list(names)})
        terms = read_terms(conn, texts, names)
    for one in terms.values():
        if one.owner_group is not None and one.owner_kind is not None and not _owns(group_id, one):
            raise OwnedError(one.topic, one.owner_group, one.owner_kind)
    return terms


def claim(
    conn: Connection,
    texts: Texts,
    terms: Terms,
    worker: str,
    limit: int,
    after: After = EVERYTHING,
    done: Done = NOTHING,
) -> Batch:
    """Claims the oldest jobs of a topic that are due and free, and completes what is done: one statement, one commit.

    Jobs without an offset are left until they are sequenced; parked and held ones are not due. Where one job at a time
    of each key is worked on, it takes three statements in one transaction.

    Args:
        conn: a connection in autocommit, outside of any transaction.
        texts: from `load`.
        terms: the topic's.
        worker: what ``locked_by`` says.
        limit: how many jobs at most.
        after: from an earlier batch; `EVERYTHING` is always right.
        done: what is to be completed.
    """
    arguments = {"topic": terms.topic, "worker": worker, "limit": limit}
    began = monotonic()
    if terms.key_order:
        batch = _claim_by_key(conn, texts, arguments, done)
    else:
        place = {"after": after.process_after, "after_id": after.id, **_ended(done)}
        batch = _batch(conn.cursor(binary=True).execute(texts["claim"], {**arguments, **place}).fetchall(), after)
    meter.time("claim", monotonic() - began)
    meter.count("share_claims", terms.topic, by=len(batch.jobs))
    return batch


def recover(conn: Connection, texts: Texts, terms: Terms, limit: int = 1000, window_ms: int | None = None) -> Recovered:
    """Ends claims that have run out: their jobs are counted, and delivered again or failed.

    Args:
        conn: a connection in autocommit, outside of any transaction: the count depends on nothing that follows.
        texts: from `load`.
        terms: the topic's.
        limit: how many jobs at most.
        window_ms: when this was done last, and enough on top for whatever is committed late; None is always right.
    """
    arguments = {"topic": terms.topic, "lease_ms": terms.lease_ms, "limit": limit, "window_ms": window_ms}
    with conn.transaction():
        topics.share_gate(conn, texts, [terms.topic])
        states = [state for _, state in conn.execute(texts["recover"], arguments)]
    recovered = Recovered(states.count("pending"), states.count("failed"))
    meter.count_each("recovered", recovered._asdict())
    return recovered


def _owns(group_id: str, terms: Terms) -> bool:
    return (terms.owner_group, terms.owner_kind) == (group_id, "share")


def _ended(done: Done) -> dict[str, Any]:
    return {"done_ids": list(done.ids), "done_lease": done.lease}


def _claim_by_key(conn: Connection, texts: Texts, arguments: dict[str, Any], done: Done) -> Batch:
    with conn.transaction():
        conn.execute(texts["lock_claims"], arguments)
        completed = conn.execute(texts["end"], _ended(done)).rowcount if done.ids else 0
        ids = _first_of_keys(conn, texts, arguments)
        rows = conn.cursor(binary=True).execute(texts["take"], {**arguments, "ids": ids})
        return _batch(rows.fetchall(), EVERYTHING)._replace(completed=completed)


def _first_of_keys(conn: Connection, texts: Texts, arguments: dict[str, Any]) -> list[int]:
    """Looks further ahead where a few keys have many jobs, so that they do not keep the others waiting."""
    limit: int = arguments["limit"]
    window = max(limit * _FIRST_WINDOW, _SHORTEST_WINDOW)
    while True:
        found, seen = conn.execute(texts["first_of_keys"], {**arguments, "window": window}).fetchone() or (None, 0)
        ids: list[int] = found or []
        if len(ids) >= limit or seen < window or window >= _LONGEST_WINDOW:
            return ids
        window = min(window * 8, _LONGEST_WINDOW)


def _batch(rows: Iterable[TupleRow], after: After) -> Batch:
    jobs: list[Claimed] = []
    completed = lease = 0
    due = ""
    for completed, id_, lease, deliveries, due, *record, viewed in rows:  # noqa: B007  the last ones are used below
        if id_ is not None:
            jobs.append(Claimed(id_, deliveries, record_of(record, viewed=viewed)))
    return Batch(lease or 0, jobs, After(due, jobs[-1].id) if jobs else after, completed)


def record_of(fields: Sequence[Any], *, viewed: bool) -> Record:
    """Returns the record of what a statement of jobs says of it: topic to timestamp type, in the record's order."""
    topic, partition, offset, key, value, headers, timestamp_ms, timestamp_type = fields
    if viewed:
        value = compact_json(value)
    size = len(key or b"") + len(value or b"")
    return Record(topic, partition, offset, key, value, headers, timestamp_ms, timestamp_type, size)
