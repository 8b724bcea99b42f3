"""Adoption of the article's own table: the same schema as a fresh one, every row kept, nothing rewritten."""

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from migrator import postgres
from migrator.postgres import Connection
from shim.store import adopt, schema
from shim.store.adopt import AdoptionStuckError
from shim.store.errors import ForeignTableError
from shim.store.schema import Line
from tests.integration.shim import article
from tests.integration.shim.test_schema import catalog

ROWS = 20_000
STEPS = 10
CONTENT = """
select md5(string_agg(row::text, '' order by id))
from (select id, payload, status, retry_count, last_error, created_at, process_after, locked_at from job_queue) as row
"""


@pytest.fixture
def articles(empty: Connection) -> Connection:
    """A database with the article's table, with rows in every status."""
    empty.execute(article.TABLE)
    empty.execute(
        """
        insert into job_queue (payload, status, retry_count, last_error, locked_at)
        select jsonb_build_object('n', n), (enum_range(null::job_status))[1 + n %% 4], n %% 3, 'error ' || n, now()
        from generate_series(1, %s) as n
        """,
        [ROWS],
    )
    return empty


@pytest.fixture
def other(database_url: str) -> Iterator[Connection]:
    with closing(postgres.connect(database_url, "other")) as conn:
        yield conn


UNDO = """
$$ begin
  update pg_constraint set convalidated = false where conname = 'job_queue_partition_check';
end $$
"""


class KilledError(Exception):
    """Stands for a process that ends between two steps."""


def init(conn: Connection, line: Line) -> None:
    """What ``migrator init`` does to the queue."""
    adopt.adopt(conn, line)
    schema.upgrade(conn, line)
    schema.require(conn, line)


def test_adopted_schema_equals_a_fresh_one_and_rows_stay_where_they_are(
    articles: Connection, migrated: Connection, line: Line
) -> None:
    place = "select pg_relation_filenode('job_queue')"
    before = (articles.execute(place).fetchone(), articles.execute(CONTENT).fetchone())
    assert adopt.needed(articles, line)
    init(articles, line)
    assert (articles.execute(place).fetchone(), articles.execute(CONTENT).fetchone()) == before
    kept = [row for row in catalog(articles, "public") if row[2] == "idx_job_queue_fetch"]
    assert len(kept) == 1
    assert [row for row in catalog(articles, "public") if row not in kept] == catalog(migrated, "public")
    assert articles.execute("select count(*), min(topic), max(topic) from job_queue").fetchone() == (
        ROWS,
        "default",
        "default",
    )
    assert not adopt.needed(articles, line)
    assert schema.upgrade(articles, line) == ()


def test_no_step_leaves_an_invalid_part(articles: Connection, line: Line) -> None:
    adopt.adopt(articles, line)
    assert articles.execute(
        "select (select count(*) from pg_index where not indisvalid), "
        "(select count(*) from pg_constraint where not convalidated)"
    ).fetchone() == (0, 0)


@pytest.mark.parametrize("survived", range(STEPS))
def test_killed_between_any_two_steps_it_goes_on(
    articles: Connection, migrated: Connection, line: Line, survived: int
) -> None:
    titles: list[str] = []

    def kill(title: str) -> None:
        if len(titles) == survived:
            raise KilledError
        titles.append(title)

    with pytest.raises(KilledError):
        adopt.adopt(articles, line, kill)
    assert adopt.needed(articles, line)
    articles.execute(article.INSERT)
    rest: list[str] = []
    adopt.adopt(articles, line, rest.append)
    schema.upgrade(articles, line)
    assert len(titles) + len(rest) == STEPS
    assert len(catalog(articles, "public")) == len(catalog(migrated, "public")) + 1


def test_index_build_that_was_killed_is_dropped_and_built_again(articles: Connection, line: Line) -> None:
    def stop_before_indexes(title: str) -> None:
        if title.startswith("build "):
            raise KilledError

    with pytest.raises(KilledError):
        adopt.adopt(articles, line, stop_before_indexes)
    # Two equal keys make a concurrent unique build fail, and leave its index behind.
    articles.execute("update job_queue set partition = 0, log_offset = 7 where id in (1, 2)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        adopt.adopt(articles, line)
    invalid = "select indexrelid::regclass::text from pg_index where not indisvalid"
    assert articles.execute(invalid).fetchall() == [("job_queue_log_key",)]
    articles.execute("update job_queue set partition = null, log_offset = null")
    init(articles, line)
    assert articles.execute(invalid).fetchall() == []


def test_indexes_are_built_while_others_write(articles: Connection, other: Connection, line: Line) -> None:
    written: list[str] = []

    def write(title: str) -> None:
        other.execute(article.INSERT)
        written.append(title)

    adopt.adopt(articles, line, write)
    assert articles.execute("select count(*) from job_queue").fetchone() == (ROWS + len(written),)


def test_table_in_use_is_waited_for_and_then_left_alone(articles: Connection, other: Connection, line: Line) -> None:
    with other.transaction():
        other.execute(article.CLAIM)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            adopt.adopt(articles, line, lock_timeout_ms=10)
    adopt.adopt(articles, line)


def test_rows_without_the_times_that_every_row_must_have(articles: Connection, line: Line) -> None:
    articles.execute(
        """
        insert into job_queue (payload, status, created_at, process_after) values
          ('"never"', 'pending', now(), null), ('"done"', 'completed', null, null), ('"odd"', 'pending', null, now())
        """
    )
    adopt.adopt(articles, line)
    rows = articles.execute(
        "select payload, process_after = 'infinity', last_error, created_at <= now() from job_queue where id > %s "
        "order by id",
        [ROWS],
    ).fetchall()
    assert rows == [
        ("never", True, "held: process_after was null", True),
        ("done", False, None, True),
        ("odd", False, None, True),
    ]


FOREIGN = {
    "create table job_queue (job text)": ["'id' is missing", "'payload' is missing", "'status' is missing"],
    article.TABLE.replace("jsonb", "json"): ["'payload' is json, not jsonb"],
    article.TABLE.replace("bigserial", "serial"): ["'id' is integer, not bigint"],
    article.TABLE.replace("'failed')", "'failed', 'dead')"): ["'status' has the labels"],
    article.TABLE.replace("job_status not null", "text not null"): ["'status' is text, not job_status"],
    article.TABLE.replace("locked_at timestamptz", "locked_at timestamptz, tenant integer not null"): [
        "'tenant' is NOT NULL without a default"
    ],
    article.TABLE.replace("create table", "create unlogged table"): ["UNLOGGED"],
    article.TABLE.replace(" primary key", ""): ["'id' is not the primary key"],
    article.TABLE.replace("bigserial", "bigint"): ["'id' has no default"],
    article.TABLE.replace("payload jsonb not null", "payload jsonb"): ["'payload' allows null"],
    article.TABLE + "create index job_queue_claim_idx on job_queue (id);": ["'job_queue_claim_idx' is on btree (id)"],
    article.TABLE + "alter table job_queue enable row level security;": ["row security is on"],
    article.TABLE + "create table child () inherits (job_queue);": ["inheritance tree"],
    "create view job_queue as select 1 as id": ["a view, not a plain table"],
    "create table job_queue (id bigint primary key) partition by range (id)": ["a partitioned table"],
}


@pytest.mark.parametrize("table", FOREIGN, ids=lambda table: FOREIGN[table][0])
def test_foreign_table_is_refused_with_every_difference_and_left_alone(
    empty: Connection, line: Line, table: str
) -> None:
    empty.execute(table)
    before = catalog(empty, "public")
    with pytest.raises(ForeignTableError) as caught:
        adopt.adopt(empty, line)
    for expected in FOREIGN[table]:
        assert any(expected in sentence for sentence in caught.value.differences), caught.value.differences
    assert catalog(empty, "public") == before


def test_harmless_additions_of_the_users_own_stay(articles: Connection, line: Line) -> None:
    articles.execute("alter table job_queue add column tenant integer not null default 1, add column note text")
    adopt.adopt(articles, line)
    articles.execute(article.INSERT)
    assert articles.execute("select tenant from job_queue order by id desc limit 1").fetchone() == (1,)


def test_identity_column_is_as_good_as_a_sequence(empty: Connection, line: Line) -> None:
    empty.execute(article.TABLE.replace("bigserial", "bigint generated always as identity"))
    init(empty, line)
    empty.execute(article.INSERT)


def test_missing_default_is_given(empty: Connection, line: Line) -> None:
    empty.execute(article.TABLE.replace(" not null default 'pending'", " not null"))
    adopt.adopt(empty, line)
    empty.execute(article.INSERT)


def test_step_that_does_not_last_ends_the_adoption(articles: Connection, other: Connection, line: Line) -> None:
    def undo(title: str) -> None:
        if title.startswith("validate "):
            other.execute("create or replace function undo() returns event_trigger language plpgsql as " + UNDO)
            other.execute("create event trigger undo on ddl_command_end execute function undo()")

    with pytest.raises(AdoptionStuckError, match="did not last"):
        adopt.adopt(articles, line, undo)


def test_owner_who_may_not_create_tables_here_learns_it_before_anything_changes(
    articles: Connection, line: Line
) -> None:
    articles.execute(
        """
        do $$ begin create role plain login; exception when duplicate_object then null; end $$;
        alter table job_queue owner to plain;
        revoke create on schema public from public;
        set role plain;
        """
    )
    before = catalog(articles, "public")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="schema public"):
        adopt.adopt(articles, line)
    assert catalog(articles, "public") == before
    articles.execute("reset role; grant create on schema public to plain; alter type job_status owner to plain")
    articles.execute("set role plain")
    init(articles, line)


def test_adoption_in_another_schema_and_through_a_pooler(pooled_url: str) -> None:
    line = schema.store_line("jobs")
    with closing(postgres.connect(pooled_url, "test")) as conn:
        with conn.transaction():
            conn.execute("create schema jobs")
            conn.execute("set local search_path = jobs")
            conn.execute(article.TABLE)
        init(conn, line)
