"""Properties of producers."""

from shim.config.properties.property import HONOURED, MAPPED, PRODUCER, REFUSED, SILENT, Property
from shim.config.properties.values import Boolean, Choice, Dedicated, Float, Integer, Text, Word
from shim.store.partitioner import NAMES as PARTITIONERS

_C = "only a program in C can set it"

PRODUCING = (
    Property("transactional.id", PRODUCER, Text(), None, REFUSED, "transactions are not there yet"),
    Property(
        "transaction.timeout.ms",
        PRODUCER,
        Integer(1000, 2_147_483_647),
        60_000,
        SILENT,
        "transactions are not there yet",
    ),
    Property(
        "enable.idempotence",
        PRODUCER,
        Boolean(),
        False,
        HONOURED,
        "a retry never inserts twice, with or without it; what it demands of other settings is checked",
    ),
    Property(
        "enable.gapless.guarantee",
        PRODUCER,
        Boolean(),
        False,
        SILENT,
        "a message that fails leaves a gap here too",
        refused=(True,),
    ),
    Property(
        "queue.buffering.max.messages",
        PRODUCER,
        Integer(0, 2_147_483_647),
        100_000,
        HONOURED,
        "produce() raises BufferError beyond it",
    ),
    Property(
        "queue.buffering.max.kbytes",
        PRODUCER,
        Integer(1, 2_147_483_647),
        1_048_576,
        HONOURED,
        "produce() raises BufferError beyond it",
    ),
    Property(
        "queue.buffering.max.ms",
        PRODUCER,
        Float(0, 900_000),
        5,
        HONOURED,
        "how long a flush waits for more messages",
        aliases=("linger.ms",),
    ),
    Property(
        "message.send.max.retries",
        PRODUCER,
        Integer(0, 2_147_483_647),
        2_147_483_647,
        MAPPED,
        "how often a flush that failed is tried again",
        aliases=("retries",),
    ),
    Property(
        "queue.buffering.backpressure.threshold",
        PRODUCER,
        Integer(1, 1_000_000),
        1,
        SILENT,
        "one flush at a time is under way",
    ),
    Property(
        "compression.codec",
        PRODUCER,
        Choice(("none", "gzip", "snappy", "lz4", "zstd")),
        "none",
        SILENT,
        "Postgres compresses large values by itself",
        aliases=("compression.type",),
    ),
    Property(
        "batch.num.messages",
        PRODUCER,
        Integer(1, 1_000_000),
        10_000,
        HONOURED,
        "how many messages a flush takes, at most",
    ),
    Property(
        "batch.size", PRODUCER, Integer(1, 2_147_483_647), 1_000_000, HONOURED, "how many bytes a flush takes, at most"
    ),
    Property("delivery.report.only.error", PRODUCER, Boolean(), False, HONOURED, "no report for what was delivered"),
    Property("dr_cb", PRODUCER, Dedicated(), None, REFUSED, _C),
    Property("dr_msg_cb", PRODUCER, Dedicated(), None, REFUSED, _C),
    Property(
        "sticky.partitioning.linger.ms",
        PRODUCER,
        Integer(0, 900_000),
        10,
        HONOURED,
        "how long messages without a key stay with one partition",
    ),
    Property(
        "request.required.acks",
        PRODUCER,
        Integer(-1, 1000, {"all": -1}),
        -1,
        MAPPED,
        "-1 leaves synchronous_commit as it is, 1 makes it local, 0 off",
        aliases=("acks",),
    ),
    Property("request.timeout.ms", PRODUCER, Integer(1, 900_000), 30_000, SILENT, "socket.timeout.ms bounds a flush"),
    Property(
        "message.timeout.ms",
        PRODUCER,
        Integer(0, 2_147_483_647),
        300_000,
        HONOURED,
        "a message that cannot be delivered for so long is reported as timed out",
        aliases=("delivery.timeout.ms",),
    ),
    Property(
        "queuing.strategy",
        PRODUCER,
        Choice(("fifo", "lifo")),
        "fifo",
        SILENT,
        "messages are sent in the order in which they were produced",
        refused=("lifo",),
    ),
    Property(
        "produce.offset.report", PRODUCER, Boolean(), False, SILENT, "deprecated, and of no effect in librdkafka either"
    ),
    Property(
        "partitioner", PRODUCER, Word(PARTITIONERS), "consistent_random", HONOURED, "how a key chooses its partition"
    ),
    Property("partitioner_cb", PRODUCER, Dedicated(), None, REFUSED, _C),
    Property("msg_order_cmp", PRODUCER, Dedicated(), None, REFUSED, _C),
    Property("compression.level", PRODUCER, Integer(-1, 12), -1, SILENT, "Postgres compresses large values by itself"),
)
