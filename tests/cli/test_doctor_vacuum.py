"""What doctor says of VACUUM: settings that stand or not, dead rows, and who keeps them alive."""

from contextlib import closing
from typing import Any

import pytest

from migrator import postgres, vacuum
from migrator.embedded.process import wait_until
from migrator.postgres import Connection
from shim.store import schema
from tests.cli.conftest import Cli
from tests.fixtures.postgres import OwnPostgres
from tests.integration.shim import article
from tests.integration.shim.conftest import migrate

OPTIONS = "select relname, reloptions from pg_class where relname = any(%s) order by 1"
FILLED = """
insert into job_topic (topic, partitions) values ('emails', 1);
insert into job_partition (topic, partition) values ('emails', 0);
"""


def checks(cli: Cli, url: str) -> dict[str, Any]:
    return {check["name"]: check for check in cli("doctor", "--dsn", url, "--json").document["checks"]}


def spoil(url: str, statement: str) -> None:
    with closing(postgres.connect(url, "test")) as conn:
        conn.execute(statement.encode())


def options(conn: Connection) -> dict[str, dict[str, str]]:
    rows = conn.execute(OPTIONS, [list(vacuum.PARAMETERS)])
    return {table: dict(one.split("=") for one in given or ()) for table, given in rows}


def test_a_fresh_queue_is_set_up_as_doctor_wants_it(cli: Cli, migrated_url: str) -> None:
    with closing(postgres.connect(migrated_url, "test")) as conn:
        assert options(conn) == vacuum.PARAMETERS
    found = checks(cli, migrated_url)
    assert [name for name in found if not found[name]["ok"]] == []
    assert {"autovacuum", "storage parameters", "dead rows", "oldest transaction"} <= set(found)


def test_an_adopted_table_gets_the_same_and_keeps_what_its_owner_set(cli: Cli, database_url: str) -> None:
    spoil(database_url, article.TABLE)
    spoil(database_url, "alter table job_queue set (autovacuum_vacuum_threshold = 1000, fillfactor = 90)")
    assert cli("init", "--dsn", database_url).status == 0
    with closing(postgres.connect(database_url, "test")) as conn:
        own = {"autovacuum_vacuum_threshold": "1000", "fillfactor": "90"}
        assert options(conn)["job_queue"] == {**vacuum.PARAMETERS["job_queue"], **own}
    check = checks(cli, database_url)["storage parameters"]
    assert check["ok"]
    assert check["found"] == "set by somebody, and left so: job_queue.autovacuum_vacuum_threshold=1000"


def test_settings_that_are_gone_come_back_by_the_fix(cli: Cli, migrated_url: str) -> None:
    spoil(migrated_url, "alter table job_queue reset (autovacuum_vacuum_threshold, autovacuum_vacuum_cost_delay)")
    spoil(migrated_url, "alter table job_partition reset (fillfactor)")
    check = checks(cli, migrated_url)["storage parameters"]
    assert not check["ok"]
    spoil(migrated_url, check["fix"])
    with closing(postgres.connect(migrated_url, "test")) as conn:
        assert options(conn) == vacuum.PARAMETERS
    assert checks(cli, migrated_url)["storage parameters"]["ok"]


def test_autovacuum_of_the_table_may_be_off(cli: Cli, migrated_url: str) -> None:
    spoil(migrated_url, "alter table job_queue set (autovacuum_enabled = false)")
    check = checks(cli, migrated_url)["autovacuum"]
    assert not check["ok"]
    spoil(migrated_url, check["fix"])
    assert checks(cli, migrated_url)["autovacuum"]["ok"]


def test_dead_rows_are_told_and_removed_by_the_fix(
    cli: Cli, migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vacuum, "MOST_DEAD", 50)
    spoil(migrated_url, "insert into job_queue (payload) select '1' from generate_series(1, 100)")
    assert "never vacuumed" in checks(cli, migrated_url)["dead rows"]["found"]
    spoil(migrated_url, "update job_queue set status = 'completed'")
    assert wait_until(lambda: not checks(cli, migrated_url)["dead rows"]["ok"], 60)
    check = checks(cli, migrated_url)["dead rows"]
    assert check["found"].startswith("100 dead beside 100 live ones in job_queue")
    spoil(migrated_url, check["fix"])
    assert wait_until(lambda: checks(cli, migrated_url)["dead rows"]["ok"], 60)
    assert "vacuumed" in checks(cli, migrated_url)["dead rows"]["found"]


def test_a_transaction_that_keeps_dead_rows_alive_is_named(
    cli: Cli, migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vacuum, "LONGEST_HELD_SECONDS", 0.0)
    with closing(postgres.connect(migrated_url, "reporter")) as holder:
        holder.execute("begin isolation level repeatable read")
        holder.execute("select count(*) from job_queue")
        check = checks(cli, migrated_url)["oldest transaction"]
        pid = holder.info.backend_pid
        assert not check["ok"]
        assert f"session {pid} (postgres, migrator-reporter, idle in transaction)" in check["found"]
        assert check["fix"].startswith(f"select pg_terminate_backend({pid});")
        spoil(migrated_url, check["fix"])
    assert wait_until(lambda: checks(cli, migrated_url)["oldest transaction"]["ok"], 60)


def test_a_prepared_transaction_and_a_server_that_never_vacuums(
    cli: Cli, own_postgres: OwnPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vacuum, "LONGEST_HELD_SECONDS", 0.0)
    settings = {"max_prepared_transactions": "2", "autovacuum": "off"}
    url = own_postgres(fsync=False, settings=settings).url
    migrate(url)
    with closing(postgres.connect(url, "test")) as conn:
        conn.execute("begin")
        conn.execute("insert into job_queue (payload) values ('1')")
        conn.execute("prepare transaction 'it''s'")
    found = checks(cli, url)
    assert "alter system set autovacuum = on" in found["autovacuum"]["fix"]
    assert "prepared transaction it's (postgres)" in found["oldest transaction"]["found"]
    spoil(url, found["oldest transaction"]["fix"])
    assert checks(cli, url)["oldest transaction"]["ok"]


def test_slots_and_standbys_are_told_by_transactions() -> None:
    slot = vacuum.Holder("replication slot", "old", "not in use", None, vacuum.MOST_HELD_TRANSACTIONS)
    assert slot.too_long
    assert str(slot) == "replication slot old (not in use) for 100,000 transactions"
    assert "pg_drop_replication_slot('old')" in slot.fix
    standby = vacuum.Holder("standby", "replica", "hot_standby_feedback", None, vacuum.MOST_HELD_TRANSACTIONS - 1)
    assert not standby.too_long
    assert "standby" in standby.fix


def test_counters_change_in_place(migrated_url: str) -> None:
    counted = "select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relname = 'job_partition'"
    spoil(migrated_url, FILLED)
    for _ in range(200):
        spoil(migrated_url, "update job_partition set next_offset = next_offset + 1")
    with closing(postgres.connect(migrated_url, "test")) as conn:
        assert wait_until(lambda: conn.execute(counted).fetchone() == (200, 200), 60)
        assert schema.check(conn, schema.store_line()).current
