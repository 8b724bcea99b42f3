"""What can go wrong in the store, as fields rather than prose."""


class StoreError(Exception):
    """Any failure of the store."""


class AsynchronousCommitError(StoreError):
    """The session answers commits before they are on disk, so a crash of Postgres loses what it acknowledged."""

    def __init__(self) -> None:
        super().__init__("synchronous_commit is off in this session")


class StatementError(StoreError):
    """A ``.sql`` file is malformed, or names a schema that nobody gave."""


class SchemaMissingError(StoreError):
    """The tables are not there.

    Attributes:
        schema: where they were looked for.
        line: which line of migrations is missing, such as ``store``.
    """

    def __init__(self, schema: str, line: str) -> None:
        super().__init__(f"schema {schema!r} has no tables of line {line!r}")
        self.schema = schema
        self.line = line


class SchemaVersionError(StoreError):
    """The tables are older or newer than this release knows.

    Attributes:
        line: which line of migrations.
        found: the newest migration that was applied.
        known: the newest migration of this release.
    """

    def __init__(self, line: str, found: int, known: int) -> None:
        super().__init__(f"line {line!r} stands at migration {found}, this release knows {known}")
        self.line = line
        self.found = found
        self.known = known


class SchemaChangedError(StoreError):
    """An applied migration differs from the one that this release ships."""


class ForeignTableError(StoreError):
    """A table named ``job_queue`` is there, and it is not the article's.

    Attributes:
        schema: where it lies.
        differences: one sentence each.
    """

    def __init__(self, schema: str, differences: tuple[str, ...]) -> None:
        super().__init__(f"{schema}.job_queue is another table: " + "; ".join(differences))
        self.schema = schema
        self.differences = differences


class SequencerError(StoreError):
    """Kafka numbers the topic for now, so only the drain may write it, and nobody may remove what it wrote.

    Attributes:
        topic: its name.
    """

    def __init__(self, topic: str) -> None:
        super().__init__(f"Kafka numbers topic {topic!r} until it is cut over")
        self.topic = topic


class UnknownPartitionError(StoreError):
    """The topic has no such partition.

    Attributes:
        topic: its name.
        partition: the partition that was asked for.
    """

    def __init__(self, topic: str, partition: int) -> None:
        super().__init__(f"topic {topic!r} has no partition {partition}")
        self.topic = topic
        self.partition = partition


class PartitionCountError(StoreError):
    """A topic cannot have that many partitions: none, too many, or no more than it has.

    Attributes:
        topic: its name.
        partitions: how many were asked for.
        found: how many it has; 0 when it is about to be made.
    """

    def __init__(self, topic: str, partitions: int, found: int = 0) -> None:
        super().__init__(f"topic {topic!r} cannot go from {found} to {partitions} partitions")
        self.topic = topic
        self.partitions = partitions
        self.found = found


class TopicNameError(StoreError):
    """Kafka would not take that name: 1 to 249 of ``[a-zA-Z0-9._-]``, and neither ``.`` nor ``..``.

    Attributes:
        topic: the name.
    """

    def __init__(self, topic: str) -> None:
        super().__init__(f"{topic!r} is no name for a topic")
        self.topic = topic


class OffsetRangeError(StoreError):
    """The partition has no such offset.

    Attributes:
        topic: its name.
        partition: the partition.
        offset: the offset that was asked for.
        next_offset: the partition's head.
    """

    def __init__(self, topic: str, partition: int, offset: int, next_offset: int) -> None:
        super().__init__(f"offset {offset} of {topic!r} [{partition}] is not between 0 and {next_offset}")
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.next_offset = next_offset


class ClientEncodingError(StoreError):
    """The connection speaks another encoding than UTF8, so Postgres would take the rows' texts for something else.

    Attributes:
        encoding: the connection's ``client_encoding``.
    """

    def __init__(self, encoding: str) -> None:
        super().__init__(f"rows are encoded in UTF8, the connection's client_encoding is {encoding}")
        self.encoding = encoding
