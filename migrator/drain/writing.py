"""One batch, one transaction: position, rows, dead letters and ledger commit together or not at all.

First the compare-and-set on epoch and position, which serialises writers before the expensive part; then COPY, whose
count is checked; then dead letters, ledger and heads; then commit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import LiteralString

import psycopg

from migrator.drain.batch import Batch, Hold, Place, Span
from migrator.drain.budget import Budget
from migrator.drain.copying import Account, Copier
from migrator.drain.ledger import Ledger, Position
from migrator.drain.sheet import Sheet, fill
from migrator.errors import RefusedError
from migrator.failpoints import Failpoint, reach
from migrator.kafka.records import SourceRecord
from migrator.postgres import Connection, classify
from shim.store import append, dual_inbox, topics
from shim.store.message_id import message_id
from shim.store.rows import RowEncoder
from shim.store.topics import TopicGate
from shim.store.values import Format


class FencedError(RefusedError):
    """Another drain has taken these partitions over; nothing of this batch was written."""

    def __init__(self, places: Sequence[Place]) -> None:
        listed = ", ".join(f"{place.topic}[{place.partition}]" for place in places)
        super().__init__(
            f"fenced: another drain has taken over {listed}; this one stopped and wrote nothing more",
            code="fenced",
            hint="nothing is lost: the other drain goes on from the committed position",
        )


@dataclass(frozen=True, slots=True)
class Texts:
    """The statements that a batch runs, by the module that owns them."""

    append: Mapping[str, LiteralString]
    topics: Mapping[str, LiteralString]
    dual_inbox: Mapping[str, LiteralString]


@dataclass(slots=True)
class BatchWriter:
    """Writes batches over connections that it is handed.

    Attributes:
        ledger: the drain's position and account.
        texts: the statements of the queue's tables.
        formats: the format of values, by topic.
        holds: which rows wait for a person, by place.
        budget: how many dead letters are tolerated.
        careful: whether jsonb has refused what the parser took; from then on such values are asked about beforehand.
    """

    ledger: Ledger
    texts: Texts
    formats: Mapping[str, Format]
    holds: Mapping[Place, Hold]
    budget: Budget
    careful: bool = False
    _last: tuple[Batch, list[Account]] | None = None

    def write(self, conn: Connection, batch: Batch) -> list[Account]:
        """Commits one batch, and returns what became of each of its spans.

        A batch that is already there, because the reply to an earlier COMMIT was lost, is not written again.

        Raises:
            FencedError: position or epoch are not what the batch was read from.
            RefusedError: Postgres numbers the topic by now.
            BudgetExceededError: the batch brings too many dead letters; nothing of it was committed.
            psycopg.Error: anything that is not one record's fault; the caller decides whether to wait.
        """
        try:
            return self._transact(conn, batch, careful=False)
        except psycopg.Error as error:
            if classify(error) != "record":
                raise
        self.careful = True
        return self._transact(conn, batch, careful=True)

    def _transact(self, conn: Connection, batch: Batch, *, careful: bool) -> list[Account]:
        sheets = [self._fill(conn, span) for span in batch.spans]
        with conn.transaction():
            moved = self.ledger.set_position(conn, batch.spans)
            if moved.partitions == 0:
                return self._already_written(conn, batch)
            if moved.partitions < len(batch.spans):
                raise FencedError([span.place for span in batch.spans])
            reach(Failpoint.POSITION_SET)
            copier = self._copier(conn, batch, moved.now_us)
            met = _ids(sheets) if copier.dual else []
            accounts = copier.copy_carefully(sheets) if careful else copier.copy(sheets)
            reach(Failpoint.COPIED)
            if met:
                dual_inbox.meet(conn, self.texts.dual_inbox, met)
            for sheet, account in zip(sheets, accounts, strict=True):
                account.dead = sheet.dead + account.dead
            for span, account in zip(batch.spans, accounts, strict=True):
                self.budget.charge(span, len(account.dead))
            self._write_books(conn, batch, accounts)
            self._last = (batch, accounts)
            reach(Failpoint.BEFORE_COMMIT)
        reach(Failpoint.COMMITTED)
        return accounts

    def _fill(self, conn: Connection, span: Span) -> Sheet:
        def judge(values: Sequence[str]) -> list[str | None]:
            return append.judge_json(conn, self.texts.append, values)

        return fill(span, self.formats[span.place.topic], judge, careful=self.careful)

    def _already_written(self, conn: Connection, batch: Batch) -> list[Account]:
        stored = self.ledger.positions(conn, [span.place for span in batch.spans])
        wanted = {span.place: Position(span.epoch, span.stop) for span in batch.spans}
        if stored == wanted and self._last and self._last[0] is batch:
            return self._last[1]
        raise FencedError([place for place, position in wanted.items() if stored.get(place) != position])

    def _copier(self, conn: Connection, batch: Batch, now_us: int) -> Copier:
        names = sorted({span.place.topic for span in batch.spans})
        gates = topics.share_gate(conn, self.texts.topics, names)
        encoders = {name: _encoder(name, gates.get(name), now_us) for name in names}
        dual = any(gate.dual for gate in gates.values())
        return Copier(conn, self.texts.append, encoders, self.holds, dual)

    def _write_books(self, conn: Connection, batch: Batch, accounts: Sequence[Account]) -> None:
        self.ledger.insert_dead_letters(conn, batch.spans, accounts)
        self.ledger.settle_counters(conn, batch.spans, accounts)
        self.ledger.insert_ledger(conn, batch.spans, accounts)
        heads = {(span.place.topic, span.place.partition): span.stop for span in batch.spans}
        topics.advance_heads(conn, self.texts.topics, heads)


def _ids(sheets: Sequence[Sheet]) -> list[tuple[str, bytes]]:
    """The ids of all that was read, dead letters too: Kafka has them, so that their copies are no phantoms."""
    found: list[tuple[str, bytes]] = []
    for sheet in sheets:
        dead = (letter.record for letter in sheet.dead)
        for record in (*sheet.records, *dead):
            one = message_id(record.headers) if isinstance(record, SourceRecord) else None
            if one is not None:
                found.append((record.topic, one))
    return found


def _encoder(topic: str, gate: TopicGate | None, now_us: int) -> RowEncoder:
    if gate is None or gate.sequencer != "kafka":
        raise RefusedError(
            f"Postgres numbers topic {topic!r} by now: records from Kafka can no longer keep their offsets",
            code="sequencer",
            hint=f"migrator gate status --topic {topic}",
        )
    return RowEncoder(topic, now_us=now_us, parked=gate.gate == "closed", keep_value=gate.keep_value)
