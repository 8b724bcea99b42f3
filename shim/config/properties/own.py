"""The shim's own properties: the only additions, all of them under ``shim.``."""

from shim.config.properties.property import BOTH, CONSUMER, HONOURED, PRODUCER, Property
from shim.config.properties.values import Boolean, Choice, ConnectionString, Integer, Text

_NOTIFY = Choice(("auto", "on", "off", "true", "false"), {"true": "on", "false": "off"})

OWN = (
    Property("shim.dsn", BOTH, ConnectionString(), None, HONOURED, "where Postgres is: a URL, or keywords and values"),
    Property("shim.schema", BOTH, Text(), "public", HONOURED, "the schema of job_queue"),
    Property("shim.notify.dsn", BOTH, ConnectionString(), None, HONOURED, "a way to Postgres past a pooler, for hints"),
    Property(
        "shim.notify",
        BOTH,
        _NOTIFY,
        "auto",
        HONOURED,
        "whether new rows are hinted at; auto: where a hint gets through",
    ),
    Property("shim.pool.size", BOTH, Integer(1, 1000), 2, HONOURED, "connections of this process, at most"),
    Property(
        "shim.topic.partitions", BOTH, Integer(1, 10_000), 1, HONOURED, "partitions of a topic that is made by use"
    ),
    Property(
        "shim.retention", BOTH, Boolean(switch=True), True, HONOURED, "whether this process removes rows past retention"
    ),
    Property(
        "shim.job.timeout.ms",
        CONSUMER,
        Integer(1000, 604_800_000),
        3_600_000,
        HONOURED,
        "how long a share consumer renews the lease of a job that it has been handed",
    ),
    Property(
        "shim.prefetch.ms",
        CONSUMER,
        Integer(0, 10_000),
        50,
        HONOURED,
        "a share consumer claims ahead what its application gets through in that time; 0: nothing",
    ),
    Property(
        "shim.block.on.full",
        PRODUCER,
        Boolean(switch=True),
        False,
        HONOURED,
        "produce() waits for room instead of raising BufferError",
    ),
)
