"""Sheets into ``job_queue``: all at once as a rule, record by record around those that Postgres refuses."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import LiteralString

import psycopg

from migrator.drain.batch import NO_HOLD, Hold, Place
from migrator.drain.sheet import DeadLetter, Sheet
from migrator.failpoints import Failpoint, reach
from migrator.kafka.records import SourceRecord
from migrator.postgres import Connection, classify
from shim.store.append import copy_rows
from shim.store.message_id import message_id
from shim.store.rows import RowEncoder, with_message_id
from shim.store.values import JSON_NULL, View

_LINE = re.compile(r"COPY \w+, line (\d+)(?:, column (\w+))?")
_CAREFUL_ROWS = 256


@dataclass(slots=True)
class Account:
    """What became of one span's records."""

    rows: int = 0
    held: int = 0
    dead: list[DeadLetter] = field(default_factory=list)
    digest_high: int = 0
    digest_low: int = 0


@dataclass(frozen=True, slots=True)
class Copier:
    """Copies sheets within the caller's transaction.

    Attributes:
        conn: the transaction's connection.
        statements: of `shim.store.append`.
        encoders: by topic.
        holds: by place; places that are not there hold nothing.
        dual: whether a topic among them was ever written on both sides, so that rows may have ids.
    """

    conn: Connection
    statements: Mapping[str, LiteralString]
    encoders: Mapping[str, RowEncoder]
    holds: Mapping[Place, Hold]
    dual: bool = False

    def copy(self, sheets: Sequence[Sheet]) -> list[Account]:
        """Copies all sheets in one go; one refused record refuses all of them.

        Raises:
            psycopg.Error: Postgres refused a record, or is gone.
        """
        accounts = [Account() for _ in sheets]
        copy_rows(self.conn, self.statements, self._all_rows(sheets, accounts), dual=self.dual)
        return accounts

    def copy_carefully(self, sheets: Sequence[Sheet]) -> list[Account]:
        """Copies sheets so that a refused record costs that record: its JSON view, or its place in the table.

        Raises:
            psycopg.Error: something failed that is not a record's fault.
        """
        return [self._copy_around_refusals(sheet) for sheet in sheets]

    def _all_rows(self, sheets: Sequence[Sheet], accounts: Sequence[Account]) -> Iterator[bytes]:
        for sheet, account in zip(sheets, accounts, strict=True):
            yield from self._rows(sheet, account, 0, len(sheet.records))

    def _rows(self, sheet: Sheet, account: Account, start: int, stop: int) -> Iterator[bytes]:
        rows = self._encoded(sheet, account, start, stop)
        if not self.dual:
            return rows
        return map(with_message_id, rows, [message_id(record.headers) for record in sheet.records[start:stop]])

    def _encoded(self, sheet: Sheet, account: Account, start: int, stop: int) -> Iterator[bytes]:
        encode = self.encoders[sheet.span.place.topic].encode
        hold = self.holds.get(sheet.span.place, NO_HOLD)
        below, reason = hold.below, hold.reason
        sum_high = sum_low = held = 0
        for record, view in _pairs(sheet, start, stop):
            _, partition, offset, key, value, headers, timestamp_ms, timestamp_type = record
            why = reason if offset < below else None
            row, high, low = encode(partition, offset, key, value, headers, timestamp_ms, timestamp_type, view, why)
            sum_high += high
            sum_low += low
            held += why is not None
            yield row
        account.rows += stop - start
        account.held += held
        account.digest_high += sum_high
        account.digest_low += sum_low
        reach(Failpoint.COPYING)

    def _copy_around_refusals(self, sheet: Sheet) -> Account:
        account = Account()
        start, step = 0, max(1, len(sheet.records))
        while start < len(sheet.records):
            stop = min(start + step, len(sheet.records))
            try:
                self._copy_slice(sheet, account, start, stop)
            except psycopg.Error as error:
                if classify(error) != "record":
                    raise
                self._set_aside(sheet, account, error, start, stop)
                step = min(_CAREFUL_ROWS, max(1, (stop - start) // 2))
            else:
                start = stop
        return account

    def _copy_slice(self, sheet: Sheet, account: Account, start: int, stop: int) -> None:
        trial = Account()
        with self.conn.transaction():
            copy_rows(self.conn, self.statements, self._rows(sheet, trial, start, stop), dual=self.dual)
        account.rows += trial.rows
        account.held += trial.held
        account.digest_high += trial.digest_high
        account.digest_low += trial.digest_low

    def _set_aside(self, sheet: Sheet, account: Account, error: psycopg.Error, start: int, stop: int) -> None:
        line = _LINE.search(error.diag.context or "")
        if line is None and stop - start > 1:
            return
        index = start + int(line[1]) - 1 if line else start
        if line and line[2] == "payload" and sheet.views[index].payload != JSON_NULL:
            sheet.views[index] = View(f"{sheet.views[index].encoding}-{error.sqlstate}", JSON_NULL)
            return
        account.dead.append(_refused(sheet.records.pop(index), error))
        sheet.views.pop(index)


def _pairs(sheet: Sheet, start: int, stop: int) -> Iterator[tuple[SourceRecord, View]]:
    if start == 0 and stop == len(sheet.records):
        return zip(sheet.records, sheet.views, strict=True)
    return zip(sheet.records[start:stop], sheet.views[start:stop], strict=True)


def _refused(record: SourceRecord, error: psycopg.Error) -> DeadLetter:
    # Postgres' own message may quote the record; the condition's name, the constraint and the column do not.
    reason = f"{type(error).__name__} ({error.sqlstate})"
    if error.diag.constraint_name:
        reason += f" on constraint {error.diag.constraint_name}"
    elif error.diag.column_name:
        reason += f" in column {error.diag.column_name}"
    return DeadLetter(record, "write", reason, error.sqlstate, error.diag.constraint_name, error.diag.column_name)
