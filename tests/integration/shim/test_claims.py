"""Claims: each job to one worker, oldest first, fenced; what ran out is counted, and delivered again or failed."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from migrator import postgres
from migrator.postgres import Connection
from shim.store import append, claims, settlements, topics
from shim.store.claims import EVERYTHING, Batch, Done, OwnedError, Recovered, Terms
from shim.store.schema import Line
from shim.store.settlements import Rejection, Release
from shim.store.topics import Texts
from shim.store.values import View
from tests.integration.shim import article

STATES = "select id, status::text, retry_count, last_error from job_queue order by id"
JSON = View("json", b"1")


@pytest.fixture
def texts(line: Line) -> Texts:
    return {**append.load(line.schemas), **claims.load(line.schemas), **settlements.load(line.schemas)}


@pytest.fixture
def queue(migrated: Connection, texts: Texts) -> Connection:
    topics.create_topic(migrated, texts, "emails", 2)
    return migrated


@pytest.fixture
def other(migrated_url: str) -> Iterator[Connection]:
    with closing(postgres.connect(migrated_url, "other")) as conn:
        yield conn


def fill(conn: Connection, texts: Texts, count: int, key: bytes | None = b"k", partition: int = 0) -> None:
    drafts = [append.draft("emails", partition, key, b"%d" % number, None, 7, JSON) for number in range(count)]
    append.append(conn, texts, drafts)


def terms(conn: Connection, texts: Texts, **changes: object) -> Terms:
    for column, value in changes.items():
        conn.execute(f"update job_topic set {column} = %s", [value])
    return claims.own(conn, texts, "mailers", ["emails"])["emails"]


def claim(conn: Connection, texts: Texts, limit: int = 100, **changes: object) -> Batch:
    return claims.claim(conn, texts, terms(conn, texts, **changes), "w1", limit)


def ids(batch: Batch) -> list[int]:
    return [job.id for job in batch.jobs]


def states(conn: Connection) -> list[tuple[object, ...]]:
    return conn.execute(STATES).fetchall()


def let_run_out(conn: Connection) -> None:
    conn.execute("update job_queue set locked_at = locked_at - interval '1 day' where status = 'processing'")


def make_due(conn: Connection) -> None:
    conn.execute("update job_queue set process_after = now() where status = 'pending'")


def test_jobs_are_claimed_oldest_first_with_all_that_was_produced(queue: Connection, texts: Texts) -> None:
    one = append.draft("emails", 1, b"k", b'{"a": 1}', [(b"h", b"v")], 1234, View("json", b"{}"))
    append.append(queue, texts, [one])
    fill(queue, texts, 2)
    batch = claim(queue, texts)
    assert batch.jobs[0].record == ("emails", 1, 0, b"k", b'{"a": 1}', [b"h", b"v"], 1234, 1, 9)
    assert [job.record.offset for job in batch.jobs[1:]] == [0, 1]
    assert {job.deliveries for job in batch.jobs} == {0}
    seen = queue.execute("select distinct status::text, locked_by, locked_at is null, lease from job_queue").fetchall()
    assert seen == [("processing", "w1", False, batch.lease)]


def test_no_job_is_claimed_twice_and_each_claim_has_a_token_of_its_own(
    queue: Connection, other: Connection, texts: Texts
) -> None:
    fill(queue, texts, 10)
    mine = terms(queue, texts)
    with queue.transaction():
        first = claims.claim(queue, texts, mine, "w1", 4)
        second = claims.claim(other, texts, mine, "w2", 100)
    assert [len(first.jobs), len(second.jobs)] == [4, 6]
    assert len({*ids(first), *ids(second)}) == 10
    assert first.lease != second.lease
    assert claim(queue, texts) == (0, [], EVERYTHING, 0)


def test_a_claim_that_begins_where_the_last_one_ended_finds_what_follows(queue: Connection, texts: Texts) -> None:
    fill(queue, texts, 3)
    mine = terms(queue, texts)
    first = claims.claim(queue, texts, mine, "w1", 2)
    settlements.return_unseen(queue, texts, first.lease, ids(first))
    second = claims.claim(queue, texts, mine, "w1", 100, first.after)
    assert [job.record.value for job in second.jobs] == [b"2"]
    assert claims.claim(queue, texts, mine, "w1", 100, second.after) == (0, [], second.after, 0)
    assert len(claims.claim(queue, texts, mine, "w1", 100, EVERYTHING).jobs) == 2


def test_one_statement_completes_what_is_done_and_claims_what_is_next(queue: Connection, texts: Texts) -> None:
    fill(queue, texts, 4)
    mine = terms(queue, texts)
    first = claims.claim(queue, texts, mine, "w1", 3)
    settlements.reject(queue, texts, first.lease, [Rejection(3)])
    second = claims.claim(queue, texts, mine, "w1", 3, first.after, Done(first.lease, ids(first)))
    assert (second.completed, ids(second)) == (2, [4])
    settled = {1: "completed", 2: "completed", 3: "failed"}
    assert settlements.settled_by(queue, texts, first.lease, ids(first)) == settled
    last = claims.claim(queue, texts, mine, "w1", 3, second.after, Done(second.lease, ids(second)))
    assert last == (0, [], second.after, 1)


def test_jobs_behind_a_closed_gate_held_delayed_or_without_an_offset_are_not_due(
    queue: Connection, texts: Texts
) -> None:
    fill(queue, texts, 3)
    queue.execute("update job_queue set process_after = 'infinity' where id = 1")
    queue.execute("update job_queue set process_after = now() + interval '1 hour' where id = 2")
    queue.execute("insert into job_queue (topic, payload) values ('emails', '1')")
    assert ids(claim(queue, texts)) == [3]


def test_a_value_that_plain_sql_inserted_comes_as_compact_json(queue: Connection, texts: Texts) -> None:
    queue.execute(
        "insert into job_queue (topic, payload, partition, log_offset, process_after) "
        """values ('emails', '{"a": [1, "x, y"]}', 0, 0, '-infinity')"""
    )
    (job,) = claim(queue, texts).jobs
    assert job.record.value == b'{"a":[1,"x, y"]}'


def test_completed_jobs_tell_who_did_them_and_when(queue: Connection, texts: Texts) -> None:
    fill(queue, texts, 2)
    lease = claim(queue, texts).lease
    assert settlements.complete(queue, texts, lease, [1, 2]) == {1, 2}
    row = "select status::text, locked_by, finished_at >= locked_at, retry_count from job_queue where id = 1"
    assert queue.execute(row).fetchone() == ("completed", "w1", True, 0)
    assert settlements.complete(queue, texts, lease, [1, 2]) == set()


def test_a_released_job_comes_again_after_its_pause_and_is_counted(queue: Connection, texts: Texts) -> None:
    fill(queue, texts, 1)
    lease = claim(queue, texts).lease
    assert settlements.release(queue, texts, lease, [Release(1, "smtp says no")]) == {1: "pending"}
    assert states(queue) == [(1, "pending", 1, "smtp says no")]
    assert ids(claim(queue, texts)) == []
    pause = "select extract(epoch from process_after - now())::float, locked_by, locked_at from job_queue"
    seconds, *rest = queue.execute(pause).fetchone() or ()
    assert 0 < seconds <= 1
    assert rest == [None, None]
    make_due(queue)
    again = claim(queue, texts)
    assert ([job.deliveries for job in again.jobs], again.lease > lease) == ([1], True)
    assert settlements.release(queue, texts, again.lease, [Release(1, pause_ms=0)]) == {1: "pending"}
    assert [job.deliveries for job in claim(queue, texts).jobs] == [2]


def test_pauses_double_up_to_the_topic_s_limit(queue: Connection, texts: Texts) -> None:
    fill(queue, texts, 1)
    terms(queue, texts, retry_backoff_ms=10_000, retry_backoff_max_ms=60_000, max_deliveries=100)
    for longest in (10, 20, 40, 60, 60):
        make_due(queue)
        settlements.release(queue, texts, claim(queue, texts).lease, [Release(1)])
        pause = queue.execute("select extract(epoch from process_after - now())::float from job_queue").fetchone()
        assert pause is not None
        assert longest / 2 - 1 < pause[0] <= longest


def test_at_the_limit_a_released_job_has_failed(queue: Connection, texts: Texts) -> None:
    fill(queue, texts, 2)
    lease = claim(queue, texts, max_deliveries=1).lease
    released = settlements.release(queue, texts, lease, [Release(1), Release(2, "no such user")])
    assert released == {1: "failed", 2: "failed"}
    assert states(queue) == [(1, "failed", 1, "delivery limit reached"), (2, "failed", 1, "no such user")]
    assert queue.execute("select count(*) from job_queue where finished_at is not null").fetchone() == (2,)


def test_a_rejected_job_never_comes_again(queue: Connection, texts: Texts) -> None:
    fill(queue, texts, 2)
    lease = claim(queue, texts).lease
    assert settlements.reject(queue, texts, lease, [Rejection(1), Rejection(2, "malformed")]) == {1, 2}
    assert states(queue) == [(1, "failed", 0, "rejected"), (2, "failed", 0, "malformed")]


def test_a_job_that_was_claimed_ahead_goes_back_uncounted(queue: Connection, texts: Texts) -> None:
    fill(queue, texts, 1)
    assert settlements.return_unseen(queue, texts, claim(queue, texts).lease, [1]) == {1}
    assert [job.deliveries for job in claim(queue, texts).jobs] == [0]


@pytest.mark.parametrize("given_back", ["released", "unseen"])
def test_what_was_given_back_twice_is_not_taken_from_who_claimed_it_by_hand(
    queue: Connection, texts: Texts, given_back: str
) -> None:
    """A reply was lost, so a worker says it again; the article's own claim brings no token that would fence it."""
    fill(queue, texts, 1)
    lease = claim(queue, texts).lease

    def give_back() -> set[int]:
        if given_back == "unseen":
            return settlements.return_unseen(queue, texts, lease, [1])
        return set(settlements.release(queue, texts, lease, [Release(1, pause_ms=0)]))

    assert give_back() == {1}
    assert settlements.settled_by(queue, texts, lease, [1]) == {1: "pending"}
    queue.execute(article.START, [[1]])
    assert give_back() == set()
    assert settlements.complete(queue, texts, lease, [1]) == set()
    assert [state for _, state, *_ in states(queue)] == ["processing"]


def test_a_claim_that_ran_out_is_recovered_counted_and_fenced(queue: Connection, texts: Texts) -> None:
    fill(queue, texts, 2)
    mine = terms(queue, texts)
    late = claim(queue, texts).lease
    assert claims.recover(queue, texts, mine) == Recovered(0, 0)
    let_run_out(queue)
    assert settlements.renew(queue, texts, {late: [1]}) == {late: {1}}
    assert claims.recover(queue, texts, mine) == Recovered(1, 0)
    assert states(queue) == [(1, "processing", 0, None), (2, "pending", 1, "lease expired")]
    assert settlements.settled_by(queue, texts, late, [1, 2]) == {}
    make_due(queue)
    again = claim(queue, texts)
    for settle in (settlements.complete, settlements.return_unseen):
        assert settle(queue, texts, late, [2]) == set()
    assert settlements.renew(queue, texts, {late: [2], again.lease: [2]}) == {late: set(), again.lease: {2}}
    assert settlements.release(queue, texts, late, [Release(2)]) == {}
    assert settlements.reject(queue, texts, late, [Rejection(2)]) == set()
    assert settlements.settled_by(queue, texts, late, [2]) == {}
    assert settlements.complete(queue, texts, again.lease, [2]) == {2}


def test_a_job_that_kills_its_worker_fails_at_the_limit(queue: Connection, texts: Texts) -> None:
    fill(queue, texts, 1)
    mine = terms(queue, texts, max_deliveries=3)
    outcomes = []
    for _ in range(3):
        make_due(queue)
        assert ids(claim(queue, texts)) == [1]
        let_run_out(queue)
        outcomes.append(claims.recover(queue, texts, mine))
    assert outcomes == [Recovered(1, 0), Recovered(1, 0), Recovered(0, 1)]
    assert states(queue) == [(1, "failed", 3, "lease expired at the last delivery")]


def test_a_topic_has_one_owner(queue: Connection, texts: Texts) -> None:
    assert terms(queue, texts).owner_group == "mailers"
    with pytest.raises(OwnedError, match="topic 'emails' is owned by share group 'mailers'"):
        claims.own(queue, texts, "others", ["emails"])
    queue.execute("update job_topic set owner_kind = 'consumer'")
    with pytest.raises(OwnedError, match="consumer group 'mailers'"):
        claims.own(queue, texts, "mailers", ["emails"])
    assert claims.own(queue, texts, "mailers", ["nowhere"]) == {}


@pytest.mark.parametrize("way", ["released", "recovered", "returned"])
def test_what_comes_back_behind_a_closed_gate_is_parked(queue: Connection, texts: Texts, way: str) -> None:
    fill(queue, texts, 1)
    mine = terms(queue, texts)
    lease = claim(queue, texts).lease
    queue.execute("update job_topic set gate = 'closed'")
    if way == "released":
        settlements.release(queue, texts, lease, [Release(1)])
    elif way == "returned":
        settlements.return_unseen(queue, texts, lease, [1])
    else:
        let_run_out(queue)
        claims.recover(queue, texts, mine)
    parked = "select status::text, process_after >= timestamptz '100000-01-01 00:00:00+00' from job_queue"
    assert queue.execute(parked).fetchone() == ("pending", True)


def test_a_claim_whose_reply_was_lost_is_given_back(queue: Connection, texts: Texts) -> None:
    fill(queue, texts, 3)
    mine = terms(queue, texts)
    known, other = (claims.claim(queue, texts, mine, worker, 1).lease for worker in ("w1", "w2"))
    claims.claim(queue, texts, mine, "w1", 1)
    assert settlements.return_unknown(queue, texts, "w1", [known], ["emails"]) == 1
    left = "select array_agg(lease order by lease) from job_queue where status = 'processing'"
    assert queue.execute(left).fetchone() == ([known, other],)


def test_of_each_key_one_job_at_a_time_is_worked_on_in_order(
    queue: Connection, other: Connection, texts: Texts
) -> None:
    for key in (b"a", b"a", b"b", b"a", None, None):
        fill(queue, texts, 1, key)
    mine = terms(queue, texts, key_order=True)
    first = claims.claim(queue, texts, mine, "w1", 100)
    assert ids(first) == [1, 3, 5, 6]
    assert ids(claims.claim(other, texts, mine, "w2", 100)) == []
    second = claims.claim(other, texts, mine, "w2", 100, done=Done(first.lease, [1]))
    assert (second.completed, ids(second)) == (1, [2])


def test_a_key_with_many_jobs_does_not_keep_others_waiting(queue: Connection, texts: Texts) -> None:
    fill(queue, texts, 1500, b"busy")
    fill(queue, texts, 1, b"quiet")
    batch = claim(queue, texts, limit=2, key_order=True)
    assert [job.record.key for job in batch.jobs] == [b"busy", b"quiet"]
