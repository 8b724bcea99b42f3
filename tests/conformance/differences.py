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
        "a table has no leaders that could be elected",
        "`leader_epoch()` of a consumed message is None",
    ),
    "report-headers": Difference(
        "the original forgets them; who reads a report wants to know what was sent",
        "the message in a delivery report has its headers",
    ),
    "future-timestamp": Difference(
        "message.timestamp.after.max.ms is a broker's own policy; the queue has none",
        "a timestamp far in the future is stored; Kafka's default policy refuses it",
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
        "commits are fenced partition by partition, by who holds it; that is what keeps a late commit out",
        "a member commits the partitions that it holds; Kafka lets it commit any partition of its generation",
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
        "behind a pooler every client has the pooler's address; a member's own name says more",
        "`host` of a group's member is the name of its machine, not its address",
    ),
}
