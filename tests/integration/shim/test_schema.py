"""The migration runner: once, in order, all or nothing, on the servers and databases that can hold the queue."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import psycopg
import pytest

from migrator import postgres
from migrator.embedded.process import wait_until
from migrator.postgres import Connection
from shim.store import schema
from shim.store.errors import SchemaChangedError, SchemaMissingError, SchemaVersionError
from shim.store.schema import Line, UnsupportedServerError
from shim.store.statements import Schemas
from tests.fixtures.postgres import Databases, with_database

LINES = (schema.store_line(), postgres.migrator_line())


def catalog(conn: Connection, schema_name: str) -> list[tuple[object, ...]]:
    """Everything that a schema holds, in words."""
    return conn.execute(
        """
        select 'column', relname, attname, format_type(atttypid, atttypmod), attnotnull::text,
          pg_get_expr(adbin, adrelid), attnum
        from pg_attribute join pg_class on pg_class.oid = attrelid
        left join pg_attrdef on adrelid = attrelid and adnum = attnum
        where relnamespace = %(schema)s::text::regnamespace and relkind = 'r' and attnum > 0 and not attisdropped
        union all
        select 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated::text, '', 0
        from pg_constraint where connamespace = %(schema)s::text::regnamespace
        union all
        select 'index', tablename, indexname, indexdef, '', '', 0 from pg_indexes where schemaname = %(schema)s::text
        union all
        select 'function', proname, '', prosrc, provolatile::text, '', 0 from pg_proc
        where pronamespace = %(schema)s::text::regnamespace
        union all
        select 'comment', objoid::regclass::text, '', description, '', '', objsubid from pg_description
        where objoid in (select oid from pg_class where relnamespace = %(schema)s::text::regnamespace)
        union all
        select 'option', relname, unnest(reloptions), '', '', '', 0 from pg_class
        where relnamespace = %(schema)s::text::regnamespace
        order by 1, 2, 3, 4, 7
        """,
        {"schema": schema_name},
    ).fetchall()


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
def test_upgrade_applies_once_and_check_agrees(empty: Connection, line: Line) -> None:
    assert not schema.check(empty, line).current
    assert schema.upgrade(empty, line) == line.migrations
    assert schema.upgrade(empty, line) == ()
    state = schema.check(empty, line)
    assert state.current
    assert state.version == line.migrations[-1].version
    assert state.applied[0].release == schema.release()
    schema.require(empty, line)


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
def test_printed_sql_makes_the_same_schema(databases: Databases, migrated: Connection, line: Line) -> None:
    url = databases.create()
    with closing(postgres.connect(url, "test")) as conn:
        for every in LINES:
            conn.execute(schema.script(every))
        schema.require(conn, line)
        assert catalog(conn, line.schema) == catalog(migrated, line.schema)
    databases.drop(url)


def test_each_line_lives_in_its_own_schema_whatever_its_name(empty: Connection) -> None:
    line = schema.store_line('Jobs "of" ours')
    schema.upgrade(empty, line)
    schema.require(empty, line)
    with pytest.raises(SchemaMissingError):
        schema.require(empty, schema.store_line())


def test_dry_run_changes_nothing(empty: Connection, line: Line) -> None:
    assert schema.upgrade(empty, line, dry_run=True) == line.migrations
    assert not schema.check(empty, line).applied
    assert empty.execute("select to_regclass('job_queue')").fetchone() == (None,)


def test_failing_migration_leaves_nothing_behind(empty: Connection, line: Line) -> None:
    empty.execute("create table job_topic (other integer)")
    with pytest.raises(psycopg.errors.DuplicateTable):
        schema.upgrade(empty, line)
    assert empty.execute("select to_regclass('job_queue'), to_regclass('job_schema_migration')").fetchone() == (
        None,
        None,
    )


def test_changed_migration_is_refused(migrated: Connection, line: Line) -> None:
    migrated.execute("update job_schema_migration set checksum = 'other'")
    for refuse in (schema.require, schema.upgrade):
        with pytest.raises(SchemaChangedError, match="0001_job_queue"):
            refuse(migrated, line)
    assert schema.check(migrated, line).changed


def test_newer_schema_is_refused_by_an_older_release(migrated: Connection, line: Line) -> None:
    migrated.execute("insert into job_schema_migration values ('store', 9999, 'later', 'x', now(), '99')")
    for refuse in (schema.require, schema.upgrade):
        with pytest.raises(SchemaVersionError) as caught:
            refuse(migrated, line)
        assert (caught.value.found, caught.value.known) == (9999, line.migrations[-1].version)


def test_older_schema_is_refused_until_it_is_upgraded(empty: Connection, line: Line) -> None:
    shorter = replace(line)
    shorter.__dict__["migrations"] = line.migrations[:1]
    schema.upgrade(empty, shorter)
    longer = replace(line)
    next_one = schema.Migration(2, "next", "create table /*queue.*/later (id integer)")
    longer.__dict__["migrations"] = (*line.migrations[:1], next_one)
    with pytest.raises(SchemaVersionError):
        schema.require(empty, longer)
    assert schema.upgrade(empty, longer) == (next_one,)
    schema.require(empty, longer)


AT_INDEXES = """
select count(*) from pg_stat_activity
where pid <> pg_backend_pid() and datname = current_database()
  and (query like '% index concurrently %' or query like '%pg_stat_progress_create_index%')
"""


def first_release(conn: Connection, line: Line) -> None:
    """The queue as the first release made it, with drained rows: partition 1 has none yet, 2 lost its oldest ones."""
    old = replace(line)
    old.__dict__["migrations"] = line.migrations[:1]
    schema.upgrade(conn, old)
    conn.execute(
        """
        insert into job_topic (topic, partitions, sequencer, gate) values ('emails', 3, 'kafka', 'closed');
        insert into job_partition (topic, partition, next_offset) values
          ('emails', 0, 10), ('emails', 1, 7), ('emails', 2, 9);
        insert into job_queue (payload, topic, partition, log_offset)
        values ('1', 'emails', 0, 0), ('1', 'emails', 0, 9), ('1', 'emails', 2, 5), ('1', 'emails', null, null);
        """
    )


def test_queue_of_the_first_release_goes_on(empty: Connection, migrated: Connection, line: Line) -> None:
    first_release(empty, line)
    assert schema.upgrade(empty, line) == line.migrations[1:]
    assert catalog(empty, "public") == catalog(migrated, "public")
    assert empty.execute("select partition, start_offset, next_offset from job_partition order by 1").fetchall() == [
        (0, 0, 10),
        (1, 7, 7),
        (2, 5, 9),
    ]
    # Nobody has decided yet that what was drained may go.
    assert empty.execute("select retention_ms from job_topic").fetchone() == (None,)
    assert empty.execute(
        "insert into job_topic (topic, partitions) values ('new', 1) returning retention_ms"
    ).fetchone() == (604_800_000,)


def test_upgrade_builds_indexes_while_others_write(database_url: str, empty: Connection, line: Line) -> None:
    first_release(empty, line)
    index = "select relfilenode from pg_class where relname = 'job_queue_unsequenced_idx'"
    with closing(postgres.connect(database_url, "other")) as other:
        with other.transaction():
            # The tables behind it are in use, so all but the index fails.
            other.execute("lock table job_topic")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                schema.upgrade(empty, line, lock_timeout_ms=50)
            other.execute("insert into job_queue (payload) values ('1')")
        built = other.execute(index).fetchone()
    assert built is not None
    schema.upgrade(empty, line)
    assert empty.execute(index).fetchone() == built


def test_upgrade_waits_its_turn_and_nobody_waits_long_behind_it(
    database_url: str, empty: Connection, line: Line
) -> None:
    """Somebody's transaction holds the table for longer than one try waits; others go on reading and writing."""
    first_release(empty, line)
    applied: list[int] = []

    def upgrade() -> None:
        with closing(postgres.connect(database_url, "upgrade")) as conn:
            applied.extend(one.version for one in schema.upgrade(conn, line, lock_timeout_ms=200))

    waits = "select count(*) from pg_locks where not granted and mode = 'AccessExclusiveLock'"
    with closing(postgres.connect(database_url, "holder")) as holder:
        with holder.transaction():
            # A job_topic that somebody reads holds up the whole; the column of job_queue comes before it.
            holder.execute("select from job_topic")
            upgrading = threading.Thread(target=upgrade)
            upgrading.start()
            tries = 0
            while tries < 3:
                assert wait_until(lambda: empty.execute(waits).fetchone() != (0,), 60)
                empty.execute("set lock_timeout = '30s'")
                empty.execute("update job_topic set gate = 'closed'")
                empty.execute("insert into job_queue (payload) values ('1')")
                tries += 1
            assert not applied
        upgrading.join(60)
    assert applied == [one.version for one in line.migrations[1:]]


def test_column_that_a_killed_upgrade_left_is_found(empty: Connection, migrated: Connection, line: Line) -> None:
    first_release(empty, line)
    empty.execute("alter table job_queue add column deduplication_key text")
    schema.upgrade(empty, line)
    assert {row[:4] for row in catalog(empty, "public") if row[0] != "comment"} == {
        row[:4] for row in catalog(migrated, "public") if row[0] != "comment"
    }


def test_index_that_a_killed_upgrade_left_is_built_again(empty: Connection, line: Line) -> None:
    first_release(empty, line)
    empty.execute(
        "create index job_queue_unsequenced_idx on job_queue (id);"
        "update pg_index set indisvalid = false where indexrelid = 'job_queue_unsequenced_idx'::regclass"
    )
    schema.upgrade(empty, line)
    assert empty.execute(
        "select indisvalid, pg_get_indexdef(indexrelid) like '%(topic, process_after, id)%' from pg_index "
        "where indexrelid = 'job_queue_unsequenced_idx'::regclass"
    ).fetchone() == (True, True)


def test_two_upgrades_at_once_apply_once(database_url: str, line: Line) -> None:
    applied: list[int] = []
    start = threading.Barrier(4)

    def one() -> None:
        with closing(postgres.connect(database_url, "test")) as conn:
            start.wait()
            applied.append(len(schema.upgrade(conn, line)))

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(applied) == [0, 0, 0, len(line.migrations)]


def test_two_upgrades_of_a_queue_in_use_apply_once(database_url: str, empty: Connection, line: Line) -> None:
    first_release(empty, line)
    applied: list[int] = []
    start = threading.Barrier(3)

    def one() -> None:
        with closing(postgres.connect(database_url, "test")) as conn:
            start.wait()
            applied.append(len(schema.upgrade(conn, line)))

    with ThreadPoolExecutor(2) as pool, closing(postgres.connect(database_url, "holder")) as holder:
        with holder.transaction():
            holder.execute("insert into job_queue (payload) values ('1')")  # builds wait for it
            running = [pool.submit(one) for _ in range(2)]
            start.wait()
            assert wait_until(lambda: empty.execute(AT_INDEXES).fetchone() == (2,), 60)
        for each in running:
            each.result(60)
    assert sum(applied) == len(line.migrations) - 1
    assert empty.execute("select count(*) from pg_index where not indisvalid").fetchone() == (0,)


def test_upgrade_gives_up_on_a_lock_that_somebody_holds(database_url: str, empty: Connection, line: Line) -> None:
    with closing(postgres.connect(database_url, "test")) as other, other.transaction():
        schema.begin_upgrade(other, line, 1000)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            schema.upgrade(empty, line, lock_timeout_ms=50)


def test_database_that_cannot_hold_every_text_is_refused(database_url: str, empty: Connection, line: Line) -> None:
    empty.execute("create database latin encoding 'LATIN1' locale 'C' template template0")
    try:
        url = with_database(database_url, "latin")
        with closing(postgres.connect(url, "test")) as conn, pytest.raises(UnsupportedServerError) as caught:
            schema.upgrade(conn, line)
        assert caught.value.encoding == "LATIN1"
    finally:
        empty.execute("drop database latin with (force)")


def test_works_behind_a_pooler_in_transaction_mode(pooled_url: str) -> None:
    with closing(postgres.connect(pooled_url, "test")) as conn:
        for line in LINES:
            schema.upgrade(conn, line)
            schema.require(conn, line)


def test_unfilled_marker_is_an_error(line: Line) -> None:
    with pytest.raises(Exception, match="no schema for marker"):
        schema.script(replace(line, schemas=Schemas({})))
