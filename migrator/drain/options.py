"""What the user asked of a drain, as one value."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from migrator.choices import Policy, StartChoice
from shim.store.values import Format

DEFAULT_BATCH_ROWS = 10_000
DEFAULT_BATCH_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Until:
    """Where a drain ends.

    Attributes:
        kind: ``end`` (the high watermarks of the start), ``timestamp``, or ``follow`` (never).
        timestamp_ms: for ``timestamp``.
        explicit: whether the user said so, rather than left it to the default.
    """

    kind: str = "end"
    timestamp_ms: int | None = None
    explicit: bool = False

    @property
    def text(self) -> str:
        """As it stands in the record."""
        return f"timestamp:{self.timestamp_ms}" if self.timestamp_ms is not None else self.kind


@dataclass(frozen=True, slots=True)
class DrainOptions:
    """What the user asked for.

    Attributes:
        topics: what to drain; one run reads them together.
        start: the user's ``--from``.
        start_offsets: by topic and partition, where ``--from offsets:FILE`` named them.
        policy: the user's answers to what a plan may ask.
        until: where it ends.
        partitions: only these; None is all.
        max_messages: stop after so many records; None is no limit.
        writers: transactions side by side.
        batch_rows: records in a transaction.
        batch_bytes: bytes of keys, values and headers in a transaction.
        max_rate: records a second; None is no limit.
        dead_letter_budget: how many records per topic may become dead letters.
        format: forced format of values; None keeps what the topic's drain began with.
        open_gate: whether jobs may run at once; only for a bounded drain of a topic that nobody works on.
        max_wait: seconds to wait for Kafka or Postgres to come back before stopping.
        transaction_wait: seconds to wait for a producer's open transaction before stopping.
        lease_seconds: after how long another drain may take over from one that fell silent.
        flush_seconds: after how long a batch that is not full is committed all the same.
    """

    topics: tuple[str, ...]
    start: StartChoice = field(default_factory=lambda: StartChoice("default"))
    start_offsets: Mapping[str, Mapping[int, int]] | None = None
    policy: Policy = field(default_factory=Policy)
    until: Until = field(default_factory=Until)
    partitions: frozenset[int] | None = None
    max_messages: int | None = None
    writers: int = 1
    batch_rows: int = DEFAULT_BATCH_ROWS
    batch_bytes: int = DEFAULT_BATCH_BYTES
    max_rate: float | None = None
    dead_letter_budget: int = 100
    format: Format | None = None
    open_gate: bool = False
    max_wait: float = 600.0
    transaction_wait: float = 90.0
    lease_seconds: int = 10
    flush_seconds: float = 1.0
