"""Reads the configuration of a client as librdkafka reads it, with its errors, and says what has no effect here.

The names, ranges and defaults stand in `properties`; what one property demands of another in `agreement`.
"""

import logging
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from enum import Enum
from itertools import count
from typing import Any, NoReturn

from shim.config.agreement import DisagreementError, check_consumer, check_producer, check_share_consumer
from shim.config.properties import BY_NAME, CONSUMER, PRODUCER, PROPERTIES, Property, Verdict
from shim.config.settings import Logger, Settings, Severity, is_postgres_url
from shim.errors import KafkaError, KafkaException
from shim.protocol.codes import Local

_LOGGER = logging.getLogger("shim")
_SERIAL = count(1)
_HINTS = {
    "ssl.truststore.location": (
        "Java TrustStores are not supported, use `ssl.ca.location` and a certificate file instead. "
        "See https://github.com/confluentinc/librdkafka/wiki/Using-SSL-with-librdkafka for more information."
    ),
    "sasl.jaas.config": (
        "Java JAAS configuration is not supported, "
        "see https://github.com/confluentinc/librdkafka/wiki/Using-SASL-with-librdkafka for more information."
    ),
}
"""What librdkafka says to people who come from Java."""


class Kind(Enum):
    """Kinds of client."""

    PRODUCER = "producer"
    CONSUMER = "consumer"
    SHARE_CONSUMER = "share consumer"
    ADMIN = "admin client"


_GROUPED = frozenset({Kind.CONSUMER, Kind.SHARE_CONSUMER})
_APPLIES = {kind: CONSUMER if kind in _GROUPED else PRODUCER for kind in Kind}
_INSTANCES = {kind: "consumer" if kind in _GROUPED else "producer" for kind in Kind}
_CHECKS = {
    Kind.PRODUCER: check_producer,
    Kind.CONSUMER: check_consumer,
    Kind.SHARE_CONSUMER: check_share_consumer,
    Kind.ADMIN: check_producer,
}
_CALLBACKS = {"error_cb": TypeError, "stats_cb": TypeError, "oauth_cb": TypeError, "throttle_cb": ValueError}
_OWN_CALLBACKS = {Kind.PRODUCER: "on_delivery", Kind.CONSUMER: "on_commit"}


def parse(kind: Kind, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Settings:
    """Returns the settings of a client from the arguments of its constructor, and logs its one warning.

    Args:
        kind: what is constructed.
        args: at most one dict, which is not changed.
        kwargs: names and values that win over the dict.

    Raises:
        KafkaException: a name or a value is wrong or not supported, or two of them contradict each other.
        TypeError: the dict or a callback is something else.
        ValueError: ``throttle_cb`` is no callable, or a consumer has no group.
    """
    conf = _merged(kind, args, kwargs)
    logger = _logger(conf.pop("logger", None))
    callbacks = _callbacks(kind, conf)
    given = {name: _read(name, value) for name, value in conf.items()}
    values = {name: entry.default for name, entry in PROPERTIES.items()}
    values.update((entry.name, value) for entry, value in given.values())
    settings = Settings(
        name=f"{values['client.id'] or ''}#{_INSTANCES[kind]}-{next(_SERIAL)}",
        values=values,
        callbacks=callbacks,
        given=frozenset(entry.name for entry, _ in given.values()),
        ignored=(*_without_effect(given), *(("oauth_cb",) if "oauth_cb" in callbacks else ())),
        logger=logger,
    )
    _check(kind, settings)
    for entry, value in given.values():
        _check_supported(entry, value)
    _warn(kind, settings)
    return settings


def _merged(kind: Kind, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    if len(args) > 1:
        raise TypeError("expected tuple containing single dict")
    if not (args or kwargs) or not all(isinstance(given, dict) for given in args):
        raise TypeError("expected configuration dict")
    conf = {str(name): value for given in (*args, kwargs) for name, value in given.items()}
    conf |= {str(name): value for name, value in conf.pop("default.topic.config", {}).items()}
    if kind in _GROUPED and conf.get("group.id") in (None, ""):
        raise ValueError("Failed to create consumer: group.id must be set")
    only_error = conf.get("delivery.report.only.error", False)
    if kind is Kind.PRODUCER and not isinstance(only_error, bool):
        raise TypeError(f"Expected delivery.report.only.error to be bool type, not {type(only_error).__name__}")
    return conf


def _logger(given: Any) -> Logger:
    if given is None:
        return _LOGGER
    if not callable(getattr(given, "log", None)):
        raise TypeError("expected logger property as an object with a log() method")
    return given  # type: ignore[no-any-return]  # it has the one method that a Logger has


def _callbacks(kind: Kind, conf: dict[str, Any]) -> dict[str, Callable[..., Any]]:
    """Takes the callbacks out of the configuration."""
    found = {name: conf.pop(name) for name in _CALLBACKS if name in conf}
    for name, callback in found.items():
        if not callable(callback):
            raise _CALLBACKS[name](f"expected {name} property as a callable function")
    own = _OWN_CALLBACKS.get(kind)
    if own in conf:
        found[own] = conf.pop(own)
        if not callable(found[own]):
            _refuse(f"{own} requires a callable object")
    if kind is Kind.SHARE_CONSUMER and "on_commit" in conf:
        raise ValueError("on_commit is not supported on ShareConsumer")
    return found


def _read(name: str, value: object) -> tuple[Property, Any]:
    entry = BY_NAME.get(name)
    if entry is None:
        _refuse(_HINTS.get(name) or f'No such configuration property: "{name}"{_near(name)}')
    try:
        read = entry.values.read(entry.name, None if value is None else str(value))
    except ValueError as wrong:
        _refuse(str(wrong))
    return entry, read


def _check_supported(entry: Property, value: object) -> None:
    unsupported = entry.verdict is Verdict.REFUSED and value not in (None, entry.default)
    if unsupported or value in entry.refused:
        _refuse(f'Configuration property "{entry.name}" is not supported: {entry.meaning}', Local.UNSUPPORTED_FEATURE)


def _near(name: str) -> str:
    """Only names of ours get a hint: what librdkafka says of its own is compared word for word."""
    prefix, dot, rest = name.partition("shim.")
    own = [known.removeprefix("shim.") for known in PROPERTIES if known.startswith("shim.")]
    near = get_close_matches(rest, own, n=1) if dot and not prefix else []
    return f' (did you mean "shim.{near[0]}"?)' if near else ""


def _without_effect(given: Mapping[str, tuple[Property, Any]]) -> list[str]:
    return [
        name
        for name, (entry, value) in given.items()
        if (entry.verdict is Verdict.WARNED and value != entry.default)
        or (entry.name == "metadata.broker.list" and value and not is_postgres_url(value))
    ]


def _check(kind: Kind, settings: Settings) -> None:
    try:
        _CHECKS[kind](settings.values, settings.given)
    except DisagreementError as disagreement:
        text = f"Failed to create {kind.value}: {disagreement}"
        if kind is Kind.SHARE_CONSUMER:
            raise ValueError(text) from None
        _refuse(text)


def _warn(kind: Kind, settings: Settings) -> None:
    """Names what has no effect, never its value."""
    for name in sorted(settings.given):
        applies = PROPERTIES[name].applies
        if kind is not Kind.ADMIN and not applies & _APPLIES[kind]:
            owner = "producer" if applies is PRODUCER else "consumer"
            text = f"{name} is a {owner} property and will be ignored by this {_INSTANCES[kind]} instance"
            settings.log(Severity.NOTICE, "CONFWARN", f"Configuration property {text}")
    if settings.ignored:
        text = f"accepted, and without effect on Postgres: {', '.join(settings.ignored)}"
        settings.log(Severity.WARNING, "CONFWARN", text)


def _refuse(text: str, code: Local = Local.INVALID_ARG) -> NoReturn:
    raise KafkaException(KafkaError(code, text)) from None
