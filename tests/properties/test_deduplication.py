"""Whatever befalls jobs with deduplication keys: of each key at most one is unfinished, and no other is left out."""

from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator import postgres
from migrator.postgres import Connection
from shim.store import append, claims, jobs, sequence, settlements, topics, unique
from shim.store.jobs import Choice
from shim.store.records import NOT_ADDED
from shim.store.schema import store_line
from shim.store.values import View
from tests.fixtures.postgres import Databases
from tests.integration.shim.conftest import migrate
from tests.integration.shim.consumer.scene import fresh

SCHEMAS = store_line().schemas
TEXTS = {
    name: text
    for room in (topics, unique, sequence, claims, settlements, jobs)
    for name, text in room.load(SCHEMAS).items()
}
STATUSES = "select deduplication_key, status::text from job_queue where topic = %s order by id"
UNFINISHED = {"pending", "processing"}

Step = tuple[str, tuple[str, ...]]
KEYS = st.lists(st.sampled_from("abcd"), max_size=6).map(tuple)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("produce"), KEYS),
        st.tuples(st.sampled_from(["complete", "fail", "release", "recover", "retry", "discard"]), st.just(())),
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def queue(databases: Databases) -> Iterator[Connection]:
    url = databases.create(migrate)
    with closing(postgres.connect(url, "test")) as conn:
        yield conn
    databases.drop(url)


class Scene:
    """A topic, and everything that can be done with its jobs."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self.topic = fresh("topic")
        topics.create_topic(conn, TEXTS, self.topic, 1)
        conn.execute("update job_topic set retry_backoff_ms = 0, lease_ms = 100 where topic = %s", [self.topic])
        self._terms = claims.read_terms(conn, TEXTS, [self.topic])[self.topic]

    def statuses(self) -> list[tuple[str, str]]:
        return self._conn.execute(STATUSES, [self.topic]).fetchall()

    def taken(self) -> set[str]:
        keys = [key for key, status in self.statuses() if status in UNFINISHED]
        assert len(set(keys)) == len(keys)
        return set(keys)

    def produce(self, keys: Sequence[str]) -> list[bool]:
        view = View("json", b"1")
        drafts = [
            append.draft(self.topic, 0, None, b"1", None, None, view, None, deduplication_key)
            for deduplication_key in keys
        ]
        return [offset != NOT_ADDED for offset in unique.append(self._conn, TEXTS, drafts).offsets]

    def act(self, what: str) -> None:
        choice = Choice(topics=(self.topic,), statuses=("failed",) if what == "retry" else ("pending",))
        if what in {"retry", "discard"}:
            sum(getattr(jobs, what)(self._conn, TEXTS, choice))
            return
        sequence.sequence(self._conn, TEXTS, self.topic)
        batch = claims.claim(self._conn, TEXTS, self._terms, "worker", 2)
        ids = [job.id for job in batch.jobs]
        if what == "complete":
            settlements.complete(self._conn, TEXTS, batch.lease, ids)
        elif what == "recover":
            self._conn.execute("update job_queue set locked_at = '-infinity' where id = any(%s)", [ids])
            claims.recover(self._conn, TEXTS, self._terms)
        else:
            status = "failed" if what == "fail" else "pending"
            self._conn.execute(
                "update job_queue set status = %s::job_status, lease = null where id = any(%s)", [status, ids]
            )


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_of_each_key_one_job_is_unfinished(queue: Connection, steps: list[Step]) -> None:
    scene = Scene(queue)
    for what, keys in steps:
        before = scene.taken()
        failed = {key for key, status in scene.statuses() if status == "failed"}
        if what != "produce":
            scene.act(what)
            assert what != "retry" or scene.taken() == before | failed
            continue
        free = [key not in before and key not in keys[:place] for place, key in enumerate(keys)]
        assert scene.produce(keys) == free
        assert scene.taken() == before | set(keys)
    scene.taken()
