"""Where the shim is meant to differ from ``confluent_kafka``: each with its reason, and its line for users.

A test that expects one of these carries the marker ``differs`` with its name, and says both sides' behaviour. What is
not in this table and differs is a bug.
"""

from typing import NamedTuple


class Difference(NamedTuple):
    """One difference.

    Attributes:
        reason: why it is kept.
        line: what ``playbooks/compatibility.md`` says to users.
    """

    reason: str
    line: str


DIFFERENCES: dict[str, Difference] = {
    "empty-group-id": Difference(
        "a failed assertion in C ends the whole process; nobody can depend on that",
        "an empty `group.id` raises ValueError; the original aborts the process",
    ),
    "leader-epoch": Difference(
        "no leader is elected; an epoch made up and committed would, back in Kafka, pass for that of a truncated log",
        "`leader_epoch()` of a consumed message is None",
    ),
    "report-headers": Difference(
        "the original forgets them; who reads a report wants to know what was sent",
        "the message in a delivery report has its headers",
    ),
    "future-timestamp": Difference(
        "the policy guards a retention that goes by this timestamp; here it goes by the time of the append",
        "a timestamp far in the future is stored, as by Kafka before 4.0; its default policy since then refuses it",
    ),
    "batch-partition": Difference(
        "documented by the original, and ignored by it: messages go where nobody sent them",
        "`produce_batch` obeys each message's `partition`",
    ),
    "batch-headers": Difference(
        "the original drops them in silence",
        "`produce_batch` keeps each message's `headers`",
    ),
    "batch-timestamp": Difference(
        "documented by the original, and not implemented in it",
        "`produce_batch` takes each message's `timestamp`; the original raises NotImplementedError",
    ),
    "callback-errors": Difference(
        "before Python 3.12 the original turns what the interpreter raises in a callback into SystemError",
        "an exception in a callback comes out of poll, flush, consume, commit or close as it is",
    ),
    "picklable": Difference(
        "what is sent between processes should survive it",
        "`TopicPartition` and `KafkaException` can be pickled",
    ),
    "error-is-an-exception": Difference(
        "`raise KafkaError(...)` passes by `except Exception` in the original, and makes tests pass in silence",
        "`KafkaError` is a subclass of Exception",
    ),
    "commit-of-subclass": Difference(
        "a subclass is a Message too",
        "`commit(message=...)` takes instances of subclasses of `Message`; the original raises TypeError",
    ),
    "commit-for-another": Difference(
        "it would move a partition under the feet of its reader; the fence that refuses it keeps late commits out too",
        "a member commits the partitions that it holds; Kafka lets it commit any partition of its generation",
    ),
    "commit-after-leaving": Difference(
        "the original goes on as the member that it was, which the group does not know any more",
        "a consumer that left its group may commit what it is assigned by hand; the original cannot",
    ),
    "lost-when-unsubscribed": Difference(
        "the original takes a topic that it no longer wants for one that is gone, while it looks up the new ones",
        "a cooperative member that changes its subscription gives up by `on_revoke`, and commits, what it no longer "
        "wants; the original often says `on_lost`, and commits nothing",
    ),
    "refused-seek": Difference(
        "the original drops what it had fetched, refuses, and never reads on: a record is lost",
        "a refused `seek` to OFFSET_STORED changes nothing; the original hands out nothing of the partition any more",
    ),
    "consume-is-interruptible": Difference(
        "the original sees Ctrl-C in consume only when its timeout has passed",
        "Ctrl-C interrupts `consume` at once",
    ),
    "fork": Difference(
        "threads do not survive a fork; the shim starts its own again in the child",
        "a client works in a forked child; the original never delivers there",
    ),
    "broker-administration": Difference(
        "ACLs, SCRAM users, elections and configurations belong to a broker; Postgres has roles and settings",
        "calls about ACLs, users, elections and configurations answer `_UNSUPPORTED_FEATURE`",
    ),
    "member-host": Difference(
        "Kafka tells where the connection comes from: behind a pooler that is the pooler, for every member",
        "`host` of a group's member is the name of its machine, not its address",
    ),
}
