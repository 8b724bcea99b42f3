"""Least rights: what each role may do, what it may not, and init without the right to make roles."""

from contextlib import closing
from uuid import uuid4

import psycopg
import pytest

from migrator import postgres
from migrator.postgres import Connection
from shim.store import (
    append,
    claims,
    dual_inbox,
    dual_modes,
    keep_times,
    owners,
    retention,
    schema,
    sequence,
    settle,
    settlements,
    topics,
)
from shim.store import roles as store_roles
from shim.store.owners import Owner
from shim.store.schema import Line
from shim.store.values import View
from tests.fixtures.postgres import OwnPostgres

MAILERS = Owner("mailers", "consumer")
INSERT = "insert into job_queue (payload) values ('1')"
CLAIM = "select id from job_queue for update skip locked"
DELETE = "delete from job_queue"
COMMIT = (
    "insert into job_group_offset (group_id, topic, partition, committed_offset) values ('g', 'emails', 0, 1) "
    "on conflict (group_id, topic, partition) do update set committed_offset = excluded.committed_offset"
)
HEADS = "select next_offset from job_partition for no key update"
GATE = "update job_topic set gate = gate"
LEDGER = "delete from kafka_migrator.drain_dead_letter"
TOPICS = "select * from job_topic"
VERSION = "select * from job_schema_migration"
CLUSTER = "select * from job_cluster"
MEMBER = """
insert into job_group (group_id) values ('g');
insert into job_group_member (group_id, member_id, client_id, host, topics, strategies, session_ms, lease_until)
values ('g', 'm', 'c', 'h', '{emails}', '{range}', 45000, now());
insert into job_group_partition (group_id, topic, partition, target) values ('g', 'emails', 0, 'm');
update job_group_partition set holder = target;
delete from job_group
"""
PLACES = "select topic, partition, log_offset, created_at from job_queue"
ROWS = "select key, value, payload from job_queue"
NEW_TOPIC = "insert into job_topic (topic, partitions) values ('new', 1)"
NEW_HEAD = "insert into job_partition (topic, partition) values ('emails', 1)"
SHAPE = "alter table job_queue add column other integer"

LOOK = {TOPICS, VERSION, CLUSTER, PLACES}
MAY = {
    "job_queue_worker": {*LOOK, ROWS, CLAIM, DELETE, COMMIT, HEADS, MEMBER},
    "job_queue_producer": {*LOOK, INSERT, HEADS, NEW_TOPIC, NEW_HEAD},
    "job_queue_reader": {*LOOK, ROWS},
    "job_queue_migrator": {
        *(*LOOK, ROWS, INSERT, CLAIM, DELETE, COMMIT, HEADS, MEMBER, GATE, LEDGER, NEW_TOPIC, NEW_HEAD),
    },
}
EVERYTHING = {SHAPE}.union(*MAY.values())


@pytest.mark.parametrize("role", MAY)
def test_role_may_do_this_and_no_more(migrated: Connection, roles: tuple[str, ...], role: str) -> None:
    assert role in roles
    migrated.execute("insert into job_topic (topic, partitions) values ('emails', 1)")
    migrated.execute(f"set role {role}")
    allowed = {statement for statement in EVERYTHING if allows(migrated, statement)}
    assert allowed == MAY[role]


def allows(conn: Connection, statement: str) -> bool:
    try:
        with conn.transaction(force_rollback=True):
            conn.execute(statement)
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


def test_the_store_asks_for_no_more_than_its_roles_may(
    migrated: Connection, roles: tuple[str, ...], line: Line
) -> None:
    assert roles
    stores = (sequence, retention, claims, settlements, settle, dual_inbox, dual_modes)
    texts = {name: text for store in stores for name, text in store.load(line.schemas).items()}
    told: list[append.Reserved] = []
    one = append.draft("emails", 0, b"k", b"1", None, None, View("json", b"1"))
    migrated.execute("set role job_queue_producer")
    assert topics.create_topic(migrated, texts, "emails", 1, retention_ms=0)
    append.append(migrated, texts, [one], told.append)
    assert append.outcome(migrated, texts, told[0])
    with migrated.transaction():
        append.append_in(migrated, texts, [one])
    mode = dual_modes.register(migrated, texts, "me", "here", ["emails"])["emails"]
    assert dual_modes.beat(migrated, texts, "me", {"emails": 1})["emails"] == mode
    copy = dual_inbox.Copy("emails", uuid4(), "me", 1, b"k", b"1", (), 0)
    assert dual_inbox.put(migrated, texts, [copy]) == {"emails"}
    dual_modes.leave(migrated, texts, "me")
    migrated.execute("set role job_queue_migrator")
    assert dual_modes.fence(migrated, texts, "emails").fenced
    assert not dual_modes.lift(migrated, texts, "emails").fenced
    assert dual_inbox.meet(migrated, texts, [("emails", copy.message_id.bytes)]) == 0
    assert dual_inbox.sweep(migrated, texts, "emails") == 0
    migrated.execute("set role job_queue_reader")
    assert dual_inbox.phantoms(migrated, texts, "emails") == []
    assert dual_modes.producers(migrated, texts, "emails") == []
    migrated.execute("set role job_queue_worker")
    assert sequence.sequence(migrated, texts, "emails") == 1
    terms = claims.own(migrated, texts, "mailers", ["emails"])["emails"]
    batch = claims.claim(migrated, texts, terms, "worker", 1)
    held = {batch.lease: {batch.jobs[0].id}}
    assert settlements.renew(migrated, texts, held) == held
    claims.claim(migrated, texts, terms, "worker", 1, done=claims.Done(batch.lease, [batch.jobs[0].id]))
    assert claims.recover(migrated, texts, terms) == (0, 0)
    assert settle.settle(migrated, texts) == 0
    migrated.execute("update job_queue set status = 'completed'")
    assert retention.sweep(migrated, texts).deleted == 2
    for role in store_roles.ROLES:
        migrated.execute(f"set role {role}")
        assert topics.describe_topics(migrated, texts, None)
        assert topics.cluster_id(migrated, texts)
    migrated.execute("set role job_queue_migrator")
    keep_times.change(migrated, keep_times.load(line.schemas), "emails", {"retention_ms": None})
    topics.grow_topic(migrated, texts, "emails", 2)
    assert topics.advance_start(migrated, texts, "emails", 0, -1) == 2
    assert topics.delete_topic(migrated, texts, "emails")


def test_ensure_is_idempotent_and_the_script_does_the_same(migrated: Connection, line: Line) -> None:
    store_roles.ensure(migrated, line, (postgres.SCHEMA,))
    grants = """
      select relname, relacl::text from pg_class where relnamespace in ('public'::regnamespace, %s::text::regnamespace)
      order by relname
    """
    before = migrated.execute(grants, [postgres.SCHEMA]).fetchall()
    again = store_roles.ensure(migrated, line, (postgres.SCHEMA,))
    assert again.complete
    assert again.created == ()
    migrated.execute(store_roles.script(line, (postgres.SCHEMA,)))
    assert migrated.execute(grants, [postgres.SCHEMA]).fetchall() == before


def test_later_tables_of_the_migrator_are_the_migrators(migrated: Connection, roles: tuple[str, ...]) -> None:
    assert roles
    migrated.execute("create table kafka_migrator.later (id integer)")
    migrated.execute("set role job_queue_migrator")
    migrated.execute("insert into kafka_migrator.later values (1)")


def test_owner_who_may_not_make_roles_gets_the_tables_and_the_rest_later(own_postgres: OwnPostgres) -> None:
    server = own_postgres()
    line = schema.store_line()
    with closing(postgres.connect(server.url, "admin")) as admin:
        admin.execute("create role plain login; create role maker login createrole;")
        admin.execute("create database app owner plain")
        plain_url = server.url.replace("//postgres@", "//plain@").rsplit("/", 1)[0] + "/app"
        with closing(postgres.connect(plain_url, "test")) as plain:
            schema.upgrade(plain, line)
            state = store_roles.ensure(plain, line)
            assert state.created == ()
            assert state.missing == store_roles.ROLES
            assert not state.complete
            admin.execute("create role job_queue_reader nologin")
            assert not store_roles.ensure(plain, line, create=False).created
            assert store_roles.ensure(plain, line).missing == tuple(
                r for r in store_roles.ROLES if r != "job_queue_reader"
            )
            assert plain.execute(
                "select has_table_privilege('job_queue_reader', 'job_queue', 'select')"
            ).fetchone() == (True,)
        with closing(postgres.connect(plain_url.replace("plain@", "maker@"), "test")) as maker:
            state = store_roles.ensure(maker, line)
            assert len(state.created) == 3
            assert "permission denied" in state.refused
        with closing(postgres.connect(plain_url, "test")) as plain:
            assert store_roles.ensure(plain, line).complete


def test_the_migrator_gives_a_topic_to_another_owner_and_a_reader_sees_it(
    migrated: Connection, line: Line, roles: tuple[str, ...]
) -> None:
    assert {"job_queue_migrator", "job_queue_reader"} < set(roles)
    texts = owners.load(line.schemas)
    topics.create_topic(migrated, texts, "emails", 1)
    migrated.execute("set role job_queue_migrator")
    assert owners.foresee(migrated, texts, "emails", MAILERS).uncommitted == 1
    assert owners.change(migrated, texts, "emails", MAILERS).owner_group is None
    migrated.execute("set role job_queue_reader")
    assert [one.owner_group for one in owners.ownerships(migrated, texts)] == ["mailers"]
