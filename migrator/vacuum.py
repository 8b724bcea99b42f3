"""Whether VACUUM keeps up with the queue: how the tables are set up, what is dead, and who keeps the dead alive.

Each job leaves two or three dead rows. Claims walk past those until VACUUM removes them, and it cannot while anything
in the database may still see them.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from psycopg.rows import class_row

from migrator.check import Check
from migrator.postgres import Connection
from shim.store.statements import Statements, quoted

COUNTER = {"fillfactor": "50"}
PARAMETERS: Mapping[str, Mapping[str, str]] = {
    "job_queue": {
        "autovacuum_vacuum_scale_factor": "0",
        "autovacuum_vacuum_threshold": "50000",
        "autovacuum_vacuum_cost_delay": "0",
        "autovacuum_analyze_scale_factor": "0",
        "autovacuum_analyze_threshold": "100000",
    },
    # Their rows change in place, without any index, as long as a page has room (HOT).
    "job_partition": COUNTER,
    "job_group": COUNTER,
    "job_group_member": COUNTER,
    "job_group_offset": COUNTER,
    "job_group_partition": COUNTER,
}
"""What the migrations give each table, unless it had a value of its own before."""

MOST_DEAD = 200_000
LONGEST_HELD_SECONDS = 300.0
MOST_HELD_TRANSACTIONS = 100_000
_SHOWN = 3
_OFF = ("off", "false", "no", "0")


class Holder(NamedTuple):
    """Something that keeps dead rows from being removed.

    Attributes:
        kind: ``session``, ``prepared transaction``, ``replication slot`` or ``standby``.
        name: what it is called in a command that ends it.
        detail: whose it is, or what it is at.
        held_s: since how many seconds; None where that cannot be seen.
        transactions: since how many transactions.
    """

    kind: str
    name: str
    detail: str
    held_s: float | None
    transactions: int

    @property
    def too_long(self) -> bool:
        """Whether a queue suffers from it."""
        if self.held_s is None:
            return self.transactions >= MOST_HELD_TRANSACTIONS
        return self.held_s >= LONGEST_HELD_SECONDS

    @property
    def fix(self) -> str:
        """What ends it."""
        text = "'" + self.name.replace("'", "''") + "'"
        return {
            "session": f"select pg_terminate_backend({self.name});  -- or end its transaction where it was begun",
            "prepared transaction": f"rollback prepared {text};  -- or commit prepared, as its coordinator says",
            "replication slot": f"select pg_drop_replication_slot({text});  -- if its replica is gone for good",
            "standby": "end the long query on the standby, or set max_standby_streaming_delay there",
        }[self.kind]

    def __str__(self) -> str:
        since = "" if self.held_s is None else f"{self.held_s:,.0f} s, "
        return f"{self.kind} {self.name} ({self.detail}) for {since}{self.transactions:,} transactions"


def examine(conn: Connection, statements: Statements, schema: str) -> Iterator[Check]:
    """Yields the checks of a schema that holds the queue's tables; changes nothing."""
    parameters = _parameters(conn, statements, schema)
    yield _autovacuum(conn, statements, schema, parameters.get("job_queue", {}))
    yield _set_up(schema, parameters)
    holders = _holders(conn, statements)
    yield _dead_rows(conn, statements, schema, held=bool(holders))
    yield _horizon(holders)


def _autovacuum(conn: Connection, statements: Statements, schema: str, own: Mapping[str, str]) -> Check:
    vacuums, counts = conn.execute(statements["read_settings"]).fetchone() or (False, False)
    if not (vacuums and counts):
        setting = "autovacuum" if not vacuums else "track_counts"
        fix = f"alter system set {setting} = on; select pg_reload_conf();  -- nobody removes dead rows without it"
        return Check("autovacuum", ok=False, found=f"{setting} is off on this server", fix=fix)
    if own.get("autovacuum_enabled", "on") in _OFF:
        fix = f"alter table {quoted(schema)}.job_queue reset (autovacuum_enabled);"
        return Check("autovacuum", ok=False, found="switched off for job_queue", fix=fix)
    return Check("autovacuum", ok=True, found="on")


def _set_up(schema: str, parameters: Mapping[str, Mapping[str, str]]) -> Check:
    fixes: list[str] = []
    own: list[str] = []
    for table, wanted in PARAMETERS.items():
        found = parameters.get(table, {})
        missing = ", ".join(f"{name} = {value}" for name, value in wanted.items() if name not in found)
        if missing:
            fixes.append(f"alter table {quoted(schema)}.{table} set ({missing});")
        own += [f"{table}.{name}={found[name]}" for name, value in wanted.items() if found.get(name, value) != value]
    left = f"set by somebody, and left so: {', '.join(own)}" if own else ""
    if fixes:
        found_ = "; ".join(filter(None, ["not all are set", left]))
        return Check("storage parameters", ok=False, found=found_, fix="\n".join(fixes))
    return Check("storage parameters", ok=True, found=left or "as init sets them")


def _dead_rows(conn: Connection, statements: Statements, schema: str, *, held: bool) -> Check:
    row = conn.execute(statements["read_dead_rows"], {"schema": schema}).fetchone()
    live, dead, vacuumed_s = row or (0, 0, None)
    last = "never vacuumed" if vacuumed_s is None else f"vacuumed {vacuumed_s:,.0f} s ago"
    found = f"{dead:,} dead beside {live:,} live ones in job_queue, {last}"
    if dead <= MOST_DEAD:
        return Check("dead rows", ok=True, found=found)
    first = "end what the next check names, then " if held else ""
    return Check("dead rows", ok=False, found=found, fix=f"{first}vacuum (analyze) {quoted(schema)}.job_queue;")


def _horizon(holders: list[Holder]) -> Check:
    if not holders:
        return Check("oldest transaction", ok=True, found="nothing has kept dead rows alive for long")
    found = "dead rows are kept alive by " + "; ".join(map(str, holders))
    return Check("oldest transaction", ok=False, found=found, fix="\n".join(one.fix for one in holders))


def _holders(conn: Connection, statements: Statements) -> list[Holder]:
    with conn.cursor(row_factory=class_row(Holder)) as cursor:
        found = cursor.execute(statements["read_holders"], {"limit": 100}).fetchall()
    return [one for one in found if one.too_long][:_SHOWN]


def _parameters(conn: Connection, statements: Statements, schema: str) -> dict[str, dict[str, str]]:
    arguments: dict[str, Any] = {"schema": schema, "tables": list(PARAMETERS)}
    rows = conn.execute(statements["read_parameters"], arguments)
    return {table: dict(one.split("=", 1) for one in given) for table, given in rows}
