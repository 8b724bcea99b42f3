"""What one property demands of another, in librdkafka's words. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

from shim.config.settings import COOPERATIVE, STRATEGIES, strategies_of

Values = Mapping[str, Any]
Given = frozenset[str]
_Rule = tuple[Callable[[Values, Given], bool], str]

_MAX_IN_FLIGHT = 5
_PROTOCOL_OVERHEAD = 512
_MAX_FETCH_MIN = 100_000_000


class DisagreementError(ValueError):
    """Two properties contradict each other; the message is librdkafka's."""


def check_producer(values: Values, given: Given) -> None:
    """Raises DisagreementError where a producer's properties, or an admin client's, contradict each other."""
    _check(values, given, _PRODUCING)


def check_consumer(values: Values, given: Given) -> None:
    """Raises DisagreementError where a consumer's properties contradict each other."""
    _check(values, given, _CONSUMING)
    strategies = strategies_of(values["partition.assignment.strategy"])
    for strategy in strategies:
        if strategy not in STRATEGIES:
            raise DisagreementError(f"Unsupported partition.assignment.strategy: {strategy}")
    if COOPERATIVE in strategies and len(strategies) > 1:
        raise DisagreementError(
            f"All partition.assignment.strategy ({values['partition.assignment.strategy']}) assignors must have the "
            "same protocol type, online migration between assignors with different protocol types is not supported"
        )


def check_share_consumer(values: Values, given: Given) -> None:
    """Raises DisagreementError where a share consumer is given what only a consumer with offsets can use."""
    for name in _NOT_SHARED:
        if name in given:
            raise DisagreementError(f"`{name}` is not applicable for share consumer")
    for name, text in _BROKERS_OWN.items():
        if name in given:
            raise DisagreementError(text)
    _check(values, given, _EVERY)


def _check(values: Values, given: Given, rules: tuple[_Rule, ...]) -> None:
    for violated, text in rules:
        if violated(values, given):
            raise DisagreementError(text)


def _idempotent(values: Values) -> bool:
    return bool(values["enable.idempotence"] or values["transactional.id"])


_BROKERS_OWN = {
    "session.timeout.ms": (
        "`session.timeout.ms` is not supported for `group.protocol=consumer` or share consumer. "
        "It is defined broker side"
    ),
    "heartbeat.interval.ms": (
        "`heartbeat.interval.ms` is not supported for `group.protocol=consumer` or share consumer. "
        "It is defined broker side"
    ),
    "group.protocol.type": ("`group.protocol.type` is not supported for `group.protocol=consumer` or share consumer"),
}
_NOT_SHARED = (
    "message.copy.max.bytes",
    "topic.blacklist",
    "group.instance.id",
    "partition.assignment.strategy",
    "group.protocol",
    "group.remote.assignor",
    "enable.auto.commit",
    "queued.min.messages",
    "queued.max.messages.kbytes",
    "fetch.queue.backoff.ms",
    "fetch.error.backoff.ms",
    "isolation.level",
    "enable.partition.eof",
    "auto.offset.reset",
    "consume.callback.max.messages",
)
_EVERY: tuple[_Rule, ...] = (
    (
        lambda values, _: values["reconnect.backoff.max.ms"] < values["reconnect.backoff.ms"],
        "`reconnect.backoff.max.ms` must be >= `reconnect.backoff.ms`",
    ),
)
_PRODUCING: tuple[_Rule, ...] = (
    *_EVERY,
    (
        lambda values, given: bool(
            values["transactional.id"] and "enable.idempotence" in given and not values["enable.idempotence"]
        ),
        "`transactional.id` requires `enable.idempotence=true`",
    ),
    (
        lambda values, given: (
            _idempotent(values)
            and "max.in.flight.requests.per.connection" in given
            and values["max.in.flight.requests.per.connection"] > _MAX_IN_FLIGHT
        ),
        "`max.in.flight` must be set <= 5 when `enable.idempotence` is true",
    ),
    (
        lambda values, _: _idempotent(values) and values["message.send.max.retries"] < 1,
        "`retries` must be set >= 1 when `enable.idempotence` is true",
    ),
    (
        lambda values, _: _idempotent(values) and values["request.required.acks"] != -1,
        "`acks` must be set to `all` when `enable.idempotence` is true",
    ),
    (
        lambda values, _: _idempotent(values) and values["queuing.strategy"] != "fifo",
        "`queuing.strategy` must be set to `fifo` when `enable.idempotence` is true",
    ),
    (
        lambda values, _: values["enable.gapless.guarantee"] and not _idempotent(values),
        "`enable.gapless.guarantee` requires `enable.idempotence` to be enabled",
    ),
    (
        lambda values, given: (
            bool(values["transactional.id"])
            and "message.timeout.ms" in given
            and values["message.timeout.ms"] > values["transaction.timeout.ms"]
        ),
        "`message.timeout.ms` must be set <= `transaction.timeout.ms`",
    ),
    (
        lambda values, given: (
            "queue.buffering.max.ms" in given and 0 < values["message.timeout.ms"] <= values["queue.buffering.max.ms"]
        ),
        "`message.timeout.ms` must be greater than `linger.ms`",
    ),
)
_CONSUMING: tuple[_Rule, ...] = (
    *_EVERY,
    *(
        ((lambda values, given, name=name: values["group.protocol"] == "consumer" and name in given), text)
        for name, text in _BROKERS_OWN.items()
    ),
    (
        lambda values, given: values["group.protocol"] == "consumer" and "partition.assignment.strategy" in given,
        (
            "`partition.assignment.strategy` is not supported for `group.protocol=consumer`. "
            "Use `group.remote.assignor` instead"
        ),
    ),
    (
        lambda values, _: values["max.poll.interval.ms"] < values["session.timeout.ms"],
        "`max.poll.interval.ms`must be >= `session.timeout.ms`",
    ),
    (
        lambda values, _: not 1 <= values["fetch.min.bytes"] <= _MAX_FETCH_MIN,
        'Configuration property "fetch.min.bytes" value is outside allowed range 1..100000000',
    ),
    (
        lambda values, given: "fetch.max.bytes" in given and values["fetch.max.bytes"] < values["message.max.bytes"],
        "`fetch.max.bytes` must be >= `message.max.bytes`",
    ),
    (
        lambda values, given: (
            "receive.message.max.bytes" in given
            and values["receive.message.max.bytes"] < values["fetch.max.bytes"] + _PROTOCOL_OVERHEAD
        ),
        "`receive.message.max.bytes` must be >= `fetch.max.bytes` + 512",
    ),
)
