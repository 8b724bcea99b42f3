"""A span with its decisions: which record becomes which row, and which none at all.

The decisions are taken before the transaction begins, so that nothing is asked of Postgres while COPY runs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import orjson

from migrator.drain.batch import Delivered, Span
from migrator.kafka.records import SourceRecord, UnreadableRecord
from shim.store.values import (
    JSONB_MAX_BYTES,
    Format,
    FormatError,
    View,
    forced_view,
    judged_view,
    troublesome,
    view,
)

Judge = Callable[[Sequence[str]], Sequence[str | None]]
"""Asks Postgres about texts: for each None where jsonb takes it, else the SQLSTATE."""

_BRACE, _END_BRACE = b"{}"
_VIEW = tuple.__new__  # a NamedTuple's own constructor costs three times as much
_JUDGED_AT_ONCE = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that becomes no row. ``reason`` never quotes the record."""

    record: Delivered
    stage: str
    reason: str
    sqlstate: str | None = None
    constraint: str | None = None
    column: str | None = None


@dataclass(slots=True)
class Sheet:
    """The rows that a span becomes: records and their views side by side, and what is dead already."""

    span: Span
    records: list[SourceRecord] = field(default_factory=list)
    views: list[View] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)


def fill(span: Span, fmt: Format, judge: Judge, *, careful: bool) -> Sheet:
    """Decides what each record of a span becomes.

    Args:
        span: the span.
        fmt: the format that the user forced, or ``auto``.
        judge: asks Postgres about the values on which only it can decide.
        careful: whether COPY has refused something. Until then ``{...}`` is taken for JSON without parsing it, which
            Postgres will do; from then on it is parsed, and Postgres is also asked about what parsers take and jsonb
            may not: an escaped NUL, a huge exponent.
    """
    sheet = Sheet(span)
    doubtful: list[int] = []
    place, look = sheet.records.append, sheet.views.append
    for record in span.records:
        found = _view(sheet, record, fmt, careful=careful)
        if found is not None:
            if found.doubtful or len(found.payload) > JSONB_MAX_BYTES or (careful and _suspicious(found)):
                doubtful.append(len(sheet.views))
            place(record)  # type: ignore[arg-type]  # an unreadable record has no view
            look(found)
    if doubtful:
        _settle_doubts(sheet, doubtful, fmt, judge)
    return sheet


def _view(sheet: Sheet, record: Delivered, fmt: Format, *, careful: bool) -> View | None:
    if type(record) is UnreadableRecord:
        sheet.dead.append(DeadLetter(record, "read", record.reason))
        return None
    if fmt is Format.AUTO:
        value = record.value
        if not careful and value and value[0] == _BRACE and value[-1] == _END_BRACE:
            return _VIEW(View, ("json", value, False))
        return view(value, orjson.loads)
    try:
        return forced_view(record.value, fmt, orjson.loads)
    except FormatError as rejection:
        sheet.dead.append(DeadLetter(record, "format", str(rejection)))
        return None


def _suspicious(found: View) -> bool:
    return found.encoding == "json" and troublesome(found.payload)


def _settle_doubts(sheet: Sheet, doubtful: Sequence[int], fmt: Format, judge: Judge) -> None:
    rejected = set()
    for index, sqlstate in zip(doubtful, _verdicts(sheet, doubtful, judge), strict=True):
        found = judged_view(sheet.views[index].payload, sqlstate)
        if fmt is Format.JSON and found.encoding == "text":
            rejected.add(index)
            sheet.dead.append(DeadLetter(sheet.records[index], "format", "not JSON: the value is text", sqlstate))
        sheet.views[index] = found
    if rejected:
        sheet.records = [record for index, record in enumerate(sheet.records) if index not in rejected]
        sheet.views = [found for index, found in enumerate(sheet.views) if index not in rejected]


def _verdicts(sheet: Sheet, doubtful: Sequence[int], judge: Judge) -> list[str | None]:
    verdicts: list[str | None] = []
    texts: list[str] = []
    size = 0
    for index in doubtful:
        payload = sheet.views[index].payload
        if texts and size + len(payload) > _JUDGED_AT_ONCE:
            verdicts += judge(texts)
            texts, size = [], 0
        texts.append(payload.decode())
        size += len(payload)
    return verdicts + list(judge(texts)) if texts else verdicts
