"""Where the drain's client spends its CPU: its own parts, one after the other in one thread, with real servers.

Run it with ``python -m tests.benchmarks.drain_stages``; it starts Apache Kafka and a Postgres of its own. Each pass is
taken with Python's cyclic garbage collector on and off, alternating.
"""

import argparse
import gc
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import process_time, thread_time
from typing import Any

from migrator.drain.batch import Batch, Gaps, Place
from migrator.drain.copying import Copier
from migrator.drain.options import DEFAULT_BATCH_BYTES, DEFAULT_BATCH_ROWS
from migrator.drain.reading import Missing, Reader, Track
from migrator.drain.sheet import Sheet, fill
from migrator.kafka.records import SourceRecord
from shim.store import append
from shim.store.rows import RowEncoder
from shim.store.schema import store_line
from shim.store.values import Format
from tests.benchmarks.jobs import PARTITIONS
from tests.benchmarks.measuring import Connection, Spread, machine, note, save, say, table
from tests.benchmarks.parts import Parts, parts, produce, read

_STAGES = ("librdkafka's threads", "read", "sort", "view", "encode", "send")


@dataclass(slots=True)
class Stages:
    """CPU seconds by stage."""

    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Counts this thread's CPU for a stage."""
        before = thread_time()
        yield
        self.seconds[name] += thread_time() - before


def _pass(on: Parts, topic: str, messages: int) -> dict[str, float]:
    """Every message once through every stage: CPU seconds by stage."""
    stages = Stages()
    tracks = {(topic, number): Track(Place(1, topic, number), 1, 0, None) for number in range(PARTITIONS)}
    reader = Reader(tracks, _no_gaps, writers=1, batch_rows=DEFAULT_BATCH_ROWS, batch_bytes=DEFAULT_BATCH_BYTES)
    portions = read(on.kafka.bootstrap_servers, topic, messages)
    with on.database() as (_, conn):
        process, thread = process_time(), thread_time()
        while True:
            with stages.timed("read"):
                records = next(portions, None)
            if records is None:
                break
            with stages.timed("sort"):
                full = list(reader.feed(records))
            for _, batch in full:
                _write(conn, topic, batch, stages)
        for _, batch in reader.flush():
            _write(conn, topic, batch, stages)
        stages.seconds["librdkafka's threads"] = process_time() - process - (thread_time() - thread)
    return dict(stages.seconds)


def _write(conn: Connection, topic: str, batch: Batch, stages: Stages) -> None:
    with stages.timed("view"):
        sheets = [fill(span, Format.AUTO, _no_doubts, careful=False) for span in batch.spans]
    with stages.timed("encode"):
        copier = Copier(conn, {}, {topic: RowEncoder(topic, now_us=0, parked=True)}, {})
        rows = list(_encoded(copier, sheets))
    with stages.timed("send"), conn.transaction():
        append.copy_rows(conn, append.load(store_line().schemas), rows)


def _encoded(copier: Copier, sheets: Sequence[Sheet]) -> Iterator[bytes]:
    for sheet in sheets:
        encode = copier.encoders[sheet.span.place.topic].encode
        for record, view in zip(sheet.records, sheet.views, strict=True):
            assert isinstance(record, SourceRecord)
            _, partition, offset, key, value, headers, timestamp_ms, kind = record
            yield encode(partition, offset, key, value, headers, timestamp_ms, kind, view)[0]


def _no_gaps(_track: Track, _missing: Missing) -> Gaps:
    return Gaps()


def _no_doubts(values: Sequence[str]) -> list[str | None]:
    assert not values
    return []


def _without_collector(run: Callable[[], dict[str, float]]) -> dict[str, float]:
    gc.disable()
    try:
        return run()
    finally:
        gc.enable()


def report(messages: int, runs: dict[str, list[dict[str, float]]]) -> str:
    """The table that is printed: microseconds of CPU per message."""
    lines = []
    for stage in (*_STAGES, "together"):
        cells = [
            Spread.of((sum(one.values()) if stage == "together" else one[stage]) / messages * 1e6 for one in passes)
            for passes in runs.values()
        ]
        lines.append((stage, *(cell.text() for cell in cells)))
    return table(("us CPU per message", *runs), lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    runs: dict[str, list[dict[str, float]]] = {"collector on": [], "collector off": []}
    with parts() as on:
        topic = produce(on.kafka.bootstrap_servers, arguments.messages)
        with on.database() as (_, conn):
            document: dict[str, Any] = {"arguments": vars(arguments), "machine": machine(conn)}
        for repeat in range(arguments.repeats):
            note(f"repeat {repeat + 1} of {arguments.repeats}")
            runs["collector on"].append(_pass(on, topic, arguments.messages))
            runs["collector off"].append(_without_collector(lambda: _pass(on, topic, arguments.messages)))
    say(report(arguments.messages, runs))
    say(f"raw figures: {save('drain_stages', document | {'runs': runs}).name}; machine: {document['machine']}")


if __name__ == "__main__":
    main()
