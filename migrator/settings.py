"""What the user decided, from four layers: flags over environment over ``migrator.toml`` over defaults.

The only place of the migrator that reads the environment. Every layer leaves undecided what it does not say, and
defaults come in at the very end: a default in an upper layer would hide a decision in a lower one.
"""

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from migrator.errors import UsageError

CONFIG_FILE = "migrator.toml"

_ENVIRONMENT = {
    "dsn": "DATABASE_URL",
    "schema": "MIGRATOR_SCHEMA",
    "bootstrap_servers": "KAFKA_BOOTSTRAP_SERVERS",
    "kafka_config": "KAFKA_CONFIG",
}
_FILE_KEYS = {
    "topics": "topics",
    "postgres.dsn": "dsn",
    "postgres.schema": "schema",
    "kafka.bootstrap_servers": "bootstrap_servers",
    "kafka.config": "kafka_config",
    "kafka.options": "kafka_options",
}


@dataclass(frozen=True, slots=True, repr=False)
class Layer:
    """What one layer says; None is undecided.

    Attributes:
        dsn: a connection string or URL.
        schema: the queue's schema.
        topics: names of topics.
        bootstrap_servers: Kafka's, separated by commas.
        kafka_config: a ``client.properties``.
        kafka_options: librdkafka's own keys; layers are merged key by key.
    """

    dsn: str | None = None
    schema: str | None = None
    topics: tuple[str, ...] | None = None
    bootstrap_servers: str | None = None
    kafka_config: Path | None = None
    kafka_options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, repr=False)
class Settings:
    """The decisions, complete. An empty ``dsn`` leaves the choice to libpq; the rest is as in `Layer`."""

    dsn: str = ""
    schema: str = "public"
    topics: tuple[str, ...] = ()
    bootstrap_servers: str | None = None
    kafka_config: Path | None = None
    kafka_options: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return (
            f"Settings(dsn={'***' if self.dsn else ''!r}, schema={self.schema!r}, topics={self.topics!r}, "
            f"bootstrap_servers={self.bootstrap_servers!r}, kafka_config={self.kafka_config!r}, "
            f"kafka_options={dict.fromkeys(self.kafka_options, '***')!r})"
        )


def load(flags: Layer, config: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Merges the layers.

    Args:
        flags: the command line.
        config: the file that the command line names; else ``MIGRATOR_CONFIG`` or ``migrator.toml``, if there is one.
        environ: the environment; the process's own when not given.

    Raises:
        UsageError: the file is missing though named, is not TOML, or holds an unknown key or a wrong type.
    """
    environ = os.environ if environ is None else environ
    layers = (flags, _from_environment(environ), _from_file(config, environ))
    decided = {
        name: value
        for name in (one.name for one in fields(Layer))
        if (value := next((v for layer in layers if (v := getattr(layer, name)) is not None), None)) is not None
    }
    decided["kafka_options"] = {k: v for layer in reversed(layers) for k, v in layer.kafka_options.items()}
    return Settings(**decided)


def parse_options(pairs: Iterable[str]) -> dict[str, str]:
    """Returns ``key=value`` pairs as a mapping.

    Raises:
        UsageError: one has no ``=``; its text is not repeated, since it may be a secret.
    """
    options = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise UsageError(
                "-X wants key=value", code="option-unreadable", hint="for example -X security.protocol=SASL_SSL"
            )
        options[key.strip()] = value
    return options


def _from_environment(environ: Mapping[str, str]) -> Layer:
    said: dict[str, Any] = {name: value for name, variable in _ENVIRONMENT.items() if (value := environ.get(variable))}
    if "kafka_config" in said:
        said["kafka_config"] = Path(said["kafka_config"])
    return Layer(**said)


def _from_file(config: Path | None, environ: Mapping[str, str]) -> Layer:
    named = config or (Path(environ["MIGRATOR_CONFIG"]) if environ.get("MIGRATOR_CONFIG") else None)
    path = named or Path(CONFIG_FILE)
    if named is None and not path.is_file():
        return Layer()
    said: dict[str, Any] = {
        _field(path, key): _value(path, key, value) for key, value in _flat(_document(path)).items()
    }
    return Layer(**said)


def _document(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror}", code="config-unreadable", hint="--config names another file"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}", code="config-unreadable") from None


def _flat(document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for name, entry in document.items()
        for key, value in (
            {f"{name}.{inner}": value for inner, value in entry.items()}
            if name in ("postgres", "kafka") and isinstance(entry, dict)
            else {name: entry}
        ).items()
    }


def _field(path: Path, key: str) -> str:
    if key in _FILE_KEYS:
        return _FILE_KEYS[key]
    close = get_close_matches(key, _FILE_KEYS, n=1) or [known for known in _FILE_KEYS if known.endswith(f".{key}")]
    hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(_FILE_KEYS)}"
    raise UsageError(f"{path} has a key that is not known: {key!r}", code="config-key", hint=hint)


def _value(path: Path, key: str, value: object) -> object:
    if key == "topics" and isinstance(value, list) and all(isinstance(topic, str) for topic in value):
        return tuple(value)
    if key == "kafka.options" and isinstance(value, dict):
        return {name: _option(path, name, entry) for name, entry in value.items()}
    if key == "kafka.config" and isinstance(value, str):
        return path.parent / value
    if key not in ("topics", "kafka.options") and isinstance(value, str):
        return value or None
    raise _wrong_type(path, key)


def _option(path: Path, name: str, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise _wrong_type(path, f"kafka.options.{name}")


def _wrong_type(path: Path, key: str) -> UsageError:
    wanted = {"topics": "a list of names", "kafka.options": 'a table of "key" = "value"'}.get(key, "a text")
    return UsageError(f"{path}: {key!r} is not {wanted}", code="config-type")
