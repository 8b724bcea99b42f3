"""A drill: one fault of each class planted in a scratch copy, to see that each is found, and nothing else.

The copy is one batch of the drain in a schema of its own, held against the topic; nothing of the queue is touched.
"""

import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, LiteralString

from psycopg import sql
from psycopg.rows import dict_row

from migrator.errors import CannotStartError, RefusedError
from migrator.postgres import Connection, migrator_line
from migrator.verify.classes import Class, Difference
from migrator.verify.ledger import Ledger, Source
from migrator.verify.options import VerifyOptions
from migrator.verify.outcome import SCHEMA_VERSION, Outcome, Result
from migrator.verify.run import Surroundings, verify
from migrator.verify.scope import survey
from shim.store.schema import store_line, upgrade
from shim.store.statements import Schemas, Statements

LEAST_ROWS, MOST_ROWS = 10, 100_000
_BEYOND = 1_000

Texts = Mapping[str, LiteralString]
Named = tuple[str, int, int]
"""A difference by class, partition and offset."""


@dataclass(frozen=True, slots=True)
class Drilled:
    """What a drill came to.

    Attributes:
        planted: the differences that were planted.
        planted_counts: the other classes that were, with how many messages each.
        outcome: what the verifier said of the damaged copy.
    """

    planted: frozenset[Named]
    planted_counts: Counter[Class]
    outcome: Outcome

    @property
    def found(self) -> frozenset[Named]:
        """The differences that the verifier named."""
        return frozenset(_named(one) for one in self.outcome.differences)

    @property
    def counts(self) -> Counter[Class]:
        """What it said of the classes whose messages are not listed; those without any left out."""
        listed = {Class(kind) for kind, _, _ in self.planted | self.found}
        return Counter({k: count for k, count in self.outcome.classes.items() if count and k not in listed})

    def document(self) -> dict[str, Any]:
        """Returns the drill as ``--json`` shows it."""
        return {
            "schema_version": SCHEMA_VERSION,
            "command": "verify",
            "topic": self.outcome.topic,
            "drill": True,
            "result": Result.PASS if self.passed else Result.FAIL,
            "compared": self.outcome.compared,
            "planted": _listed(self.planted, self.planted_counts),
            "found": _listed(self.found, self.counts),
        }

    @property
    def passed(self) -> bool:
        """Whether everything was found, and nothing else."""
        return self.outcome.result is Result.FAIL and (self.planted, self.planted_counts) == (self.found, self.counts)


def drill(around: Surroundings, options: VerifyOptions) -> Drilled:
    """Plants faults in a copy of a part of the topic, and lets the verifier look for them.

    Raises:
        CannotStartError: ``drill-too-small``: no batch of the drain is fit for it.
        RefusedError: ``drill-unclean``: the copy differs from the topic before anything is planted.
        MigratorError: what `verify` raises.
    """
    scratch = f"kafka_migrator_drill_{uuid.uuid4().hex[:8]}"
    with closing(around.connect()) as conn, _schema(conn, scratch):
        real = Statements("migrator.sql", "drill.sql", around.schemas)
        ledger = Ledger.open(conn, around.schemas)
        looked = replace(options, grace=0.0, resume=None)
        source = survey(ledger, around.cluster, looked, around.stop, around.listener).source
        copy = _Copy.make(conn, real, scratch, ledger, source)
        beside = replace(around, schemas=copy.schemas)
        looked = replace(looked, partitions={copy.partition})
        clean = verify(beside, looked)
        if clean.result is Result.FAIL or clean.classes[Class.EXPIRED] or not clean.compared:
            why = ", ".join(f"{count:,} {kind}" for kind, count in clean.classes.items() if count) or clean.reasons[0]
            raise RefusedError(
                f"a copy of topic {source.topic!r} is not the same before anything is planted: {why}",
                code="drill-unclean",
                hint=f"migrator verify --topic {source.topic}",
            )
        planted, counts = copy.plant(values=source.keep_value and not options.without_values)
        counts.update({kind: clean.classes[kind] for kind in (Class.DEAD_LETTER, Class.SKIPPED)})
        return Drilled(planted, +counts, verify(beside, looked))


@contextmanager
def _schema(conn: Connection, name: str) -> Iterator[None]:
    """Makes a schema with empty tables, and removes it."""
    schemas = Schemas({"queue": name, "migrator": name})
    upgrade(conn, store_line(name))
    try:
        upgrade(conn, replace(migrator_line(name), schema=name, schemas=schemas, table="migrator_migration"))
        yield
    finally:
        conn.execute(sql.SQL("drop schema {} cascade").format(sql.Identifier(name)))


@dataclass(slots=True)
class _Copy:
    """One batch of a topic, in a schema of its own."""

    conn: Connection
    schemas: Schemas
    texts: Texts
    batch: Mapping[str, Any]
    rows: list[dict[str, Any]]
    topic: str
    _free: Iterator[dict[str, Any]] = field(init=False)

    @classmethod
    def make(cls, conn: Connection, real: Texts, scratch: str, ledger: Ledger, source: Source) -> "_Copy":
        """Copies a batch."""
        choice = {"topic": source.topic, "source_id": source.id, "least": LEAST_ROWS, "most": MOST_ROWS}
        batch = next(iter(_read(conn, real["pick_batch"], choice)), None)
        if batch is None:
            raise CannotStartError(
                f"no batch of topic {source.topic!r} has {LEAST_ROWS} rows that are still there: too few for a drill",
                code="drill-too-small",
                hint=f"migrator verify --topic {source.topic}",
            )
        window = next(one.window_end for one in ledger.positions(source) if one.partition == batch["partition"])
        place = {**choice, "partition": batch["partition"], "start": batch["from_offset"], "stop": batch["to_offset"]}
        rows, dead = _read(conn, real["read_rows"], place), _read(conn, real["read_dead_letters"], place)
        schemas = Schemas({"queue": scratch, "migrator": scratch})
        copy = cls(conn, schemas, Statements("migrator.sql", "drill.sql", schemas), batch, rows, source.topic)
        copy.write(source, {**place, "schema": scratch, "window_end": window}, dead)
        return copy

    def __post_init__(self) -> None:
        # Spread over the batch; the first rows are retention's.
        count = max(1, len(self.rows) // LEAST_ROWS)
        self._free = iter(self.rows[1::count])

    @property
    def partition(self) -> int:
        """The partition that the batch is of."""
        return int(self.batch["partition"])

    def write(self, source: Source, place: Mapping[str, Any], dead: list[dict[str, Any]]) -> None:
        """Writes rows, dead letters and the ledger's word."""
        about = {name: getattr(source, name) for name in ("cluster_id", "topic_id", "partitions", "cleanup_policy")}
        facts = {**place, **about, "uncertain": source.uncertain, "keep_value": source.keep_value}
        with self.conn.transaction(), self.conn.cursor() as cursor:
            cursor.execute(self.texts["write_topic"], facts)
            cursor.execute(self.texts["write_partition"], facts)
            (own,) = cursor.execute(self.texts["write_source"], facts).fetchone() or (0,)
            known = {**self.batch, "source_id": own, "window_end": place["window_end"]}
            cursor.execute(self.texts["write_position"], known)
            cursor.execute(self.texts["write_batch"], known)
            cursor.executemany(self.texts["write_row"], [{**row, "topic": self.topic} for row in self.rows])
            if dead:
                cursor.executemany(self.texts["write_dead_letter"], [{**row, "source_id": own} for row in dead])

    def plant(self, *, values: bool) -> tuple[frozenset[Named], Counter[Class]]:
        """Plants one fault of each class, and returns what is to be found."""
        planted: list[Named] = [(Class.MISSING, *self._change("delete_row"))]
        parts = ("alter_key", "alter_headers", *(["alter_value"] if values else []))
        planted += [(Class.ALTERED, *self._change(part)) for part in parts]
        planted.append((Class.EXTRA, *self._add({"key": None, "value": b"drill", "headers": None})))
        planted.append((Class.DUPLICATE, *self._add(next(self._free))))
        planted += [(Class.REORDERED, *place) for place in self._swap()]
        self.conn.execute(self.texts["purge_below"], {"offset": self.rows[1]["log_offset"]})
        self.conn.execute(self.texts["move_end"], {"count": 1})
        return frozenset(planted), Counter({Class.PURGED: 1, Class.IN_FLIGHT: 1})

    def _change(self, statement: str) -> tuple[int, int]:
        offset = next(self._free)["log_offset"]
        self.conn.execute(self.texts[statement], {"offset": offset})
        return self.partition, offset

    def _add(self, contents: Mapping[str, Any]) -> tuple[int, int]:
        """Adds a row where nobody can have numbered one."""
        offset = self.batch["to_offset"] + _BEYOND + (contents["value"] != b"drill")
        stamp = {"timestamp_ms": 0, "timestamp_type": 1}
        row = {**stamp, **contents, "topic": self.topic, "partition": self.partition, "log_offset": offset}
        self.conn.execute(self.texts["write_row"], row)
        return self.partition, offset

    def _swap(self) -> list[tuple[int, int]]:
        """Lets two rows with different contents change places; none where all that are left are the same."""
        first = next(self._free)
        second = next((row for row in self._free if _contents(row) != _contents(first)), None)
        if second is None:
            return []
        here, there = first["log_offset"], second["log_offset"]
        for before, after in ((here, -1), (there, here), (-1, there)):
            self.conn.execute(self.texts["move_row"], {"offset": before, "to_offset": after})
        return [(self.partition, here), (self.partition, there)]


def _contents(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("key", "value", "headers", "timestamp_ms", "timestamp_type"))


def _read(conn: Connection, statement: LiteralString, arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement, arguments).fetchall()


def _listed(differences: frozenset[Named], counts: Counter[Class]) -> dict[str, Any]:
    places = [{"class": kind, "partition": partition, "offset": offset} for kind, partition, offset in differences]
    return {
        "differences": sorted(places, key=lambda place: (place["partition"], place["offset"])),
        "classes": {kind.value: counts[kind] for kind in Class if counts[kind]},
    }


def _named(one: Difference) -> Named:
    return one.kind, one.place.partition, one.place.offset
