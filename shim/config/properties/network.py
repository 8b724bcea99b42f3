"""Properties of the wire to the brokers; hardly one of them has a meaning on the wire to Postgres."""

from shim.config.properties.property import BOTH, MAPPED, SILENT, Property
from shim.config.properties.values import Boolean, Choice, Integer, Text

NETWORK = (
    Property(
        "metadata.recovery.strategy",
        BOTH,
        Choice(("none", "rebootstrap")),
        "rebootstrap",
        SILENT,
        "the DSN says where the server is",
    ),
    Property(
        "metadata.recovery.rebootstrap.trigger.ms",
        BOTH,
        Integer(0, 2_147_483_647),
        300_000,
        SILENT,
        "the DSN says where the server is",
    ),
    Property(
        "topic.metadata.refresh.interval.ms",
        BOTH,
        Integer(-1, 3_600_000),
        300_000,
        SILENT,
        "topics are looked at with every look at their heads",
    ),
    Property(
        "metadata.max.age.ms",
        BOTH,
        Integer(1, 86_400_000),
        900_000,
        SILENT,
        "topics are looked at with every look at their heads",
    ),
    Property(
        "topic.metadata.refresh.fast.interval.ms",
        BOTH,
        Integer(1, 60_000),
        100,
        SILENT,
        "no partition has a leader to lose",
    ),
    Property(
        "topic.metadata.refresh.fast.cnt",
        BOTH,
        Integer(0, 1000),
        10,
        SILENT,
        "deprecated, and of no effect in librdkafka either",
    ),
    Property(
        "topic.metadata.refresh.sparse",
        BOTH,
        Boolean(),
        True,
        SILENT,
        "topics are looked at with every look at their heads",
    ),
    Property(
        "topic.metadata.propagation.max.ms",
        BOTH,
        Integer(0, 3_600_000),
        30_000,
        SILENT,
        "a topic is there once its creation has committed",
    ),
    Property("socket.timeout.ms", BOTH, Integer(10, 300_000), 60_000, MAPPED, "how long a statement may take"),
    Property(
        "socket.blocking.max.ms",
        BOTH,
        Integer(1, 60_000),
        1000,
        SILENT,
        "deprecated, and of no effect in librdkafka either",
    ),
    Property(
        "socket.send.buffer.bytes", BOTH, Integer(0, 100_000_000), 0, SILENT, "the operating system's own is used"
    ),
    Property(
        "socket.receive.buffer.bytes", BOTH, Integer(0, 100_000_000), 0, SILENT, "the operating system's own is used"
    ),
    Property("socket.keepalive.enable", BOTH, Boolean(), False, SILENT, "keepalives are set in the DSN"),
    Property("socket.nagle.disable", BOTH, Boolean(), True, SILENT, "libpq disables Nagle's algorithm itself"),
    Property("socket.max.fails", BOTH, Integer(0, 1_000_000), 1, SILENT, "a connection that fails is replaced at once"),
    Property(
        "broker.address.ttl", BOTH, Integer(0, 86_400_000), 1000, SILENT, "names are resolved for each connection"
    ),
    Property("broker.address.family", BOTH, Choice(("any", "v4", "v6")), "any", SILENT, "the DSN's host decides"),
    Property(
        "socket.connection.setup.timeout.ms",
        BOTH,
        Integer(1000, 2_147_483_647),
        30_000,
        SILENT,
        "a connection has 10 s, or the DSN's connect_timeout",
    ),
    Property(
        "connections.max.idle.ms",
        BOTH,
        Integer(0, 2_147_483_647),
        0,
        SILENT,
        "the pool closes connections that nobody uses",
    ),
    Property(
        "reconnect.backoff.jitter.ms",
        BOTH,
        Integer(0, 3_600_000),
        0,
        SILENT,
        "deprecated, and of no effect in librdkafka either",
    ),
    Property(
        "reconnect.backoff.ms", BOTH, Integer(0, 3_600_000), 100, SILENT, "the pool waits between tries by itself"
    ),
    Property(
        "reconnect.backoff.max.ms",
        BOTH,
        Integer(0, 3_600_000),
        10_000,
        SILENT,
        "the pool waits between tries by itself",
    ),
    Property("api.version.request", BOTH, Boolean(), True, SILENT, "Postgres tells its version with each connection"),
    Property(
        "api.version.request.timeout.ms",
        BOTH,
        Integer(1, 300_000),
        10_000,
        SILENT,
        "Postgres tells its version with each connection",
    ),
    Property(
        "api.version.fallback.ms",
        BOTH,
        Integer(0, 604_800_000),
        0,
        SILENT,
        "Postgres tells its version with each connection",
    ),
    Property(
        "broker.version.fallback", BOTH, Text(), "0.10.0", SILENT, "Postgres tells its version with each connection"
    ),
    Property(
        "client.dns.lookup",
        BOTH,
        Choice(("use_all_dns_ips", "resolve_canonical_bootstrap_servers_only")),
        "use_all_dns_ips",
        SILENT,
        "libpq tries every address of a name",
    ),
)
