"""Names, types, ranges and defaults of properties against the table that the installed librdkafka prints of its own."""

import ctypes
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import confluent_kafka
import pytest

from shim.config.properties import BY_NAME, PROPERTIES, Applies, Verdict
from shim.config.properties.values import Boolean, Choice, Dedicated, Flags, Float, Integer, Text, Word

HIDDEN = {"client.software.name", "client.software.version", "test.mock.num.brokers", "test.mock.broker.rtt"}
"""What librdkafka takes and does not print."""


class Row(NamedTuple):
    """One line of the table that librdkafka prints of its own properties."""

    name: str
    clients: str
    values: str
    default: str
    kind: str
    alias_of: str


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Row]:
    """The table that the installed library prints of its own; the rows of plain clients, not of single topics."""
    beside = Path(confluent_kafka.__file__).parents[1].glob("confluent_kafka.libs/librdkafka*")
    library = next(beside, None) or pytest.skip("the installed wheel keeps librdkafka elsewhere")
    printed = tmp_path_factory.mktemp("librdkafka") / "properties"
    libc = ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    stream = ctypes.c_void_p(libc.fopen(str(printed).encode(), b"w"))
    ctypes.CDLL(str(library)).rd_kafka_conf_properties_show(stream)
    libc.fclose(stream)
    rows: dict[str, Row] = {}
    for row in read_table(printed.read_text()):
        rows.setdefault(row.name, row)
    return rows


def read_table(text: str) -> Iterator[Row]:
    for line in text.splitlines():
        found = re.match(r"(\S+) +\| +([CP*]) +\| (.*?) *\| +(.*?) \| \w+ +\| (.*)", line)
        if found:
            name, clients, values, default, said = found.groups()
            kind = re.search(r"\*Type: (.*?)\*", said)
            alias = re.match(r"(?:\*\*DEPRECATED\*\* )?Alias for `([^`]+)`", said)
            assert kind is not None
            yield Row(name, clients, values, default.strip(), kind.group(1), alias.group(1) if alias else "")


def test_the_table_has_every_property_of_the_original(table: Mapping[str, Row]) -> None:
    assert len(table) == 193
    assert set(table) == {name for name in BY_NAME if not name.startswith("shim.")} - HIDDEN
    for name, row in table.items():
        assert BY_NAME[name].name == (row.alias_of or name)


def test_properties_apply_to_the_clients_that_have_use_for_them(table: Mapping[str, Row]) -> None:
    clients = {"*": Applies.BOTH, "P": Applies.PRODUCER, "C": Applies.CONSUMER}
    for name, row in table.items():
        assert BY_NAME[name].applies is clients[row.clients], name


def test_types_ranges_and_defaults_are_the_originals(table: Mapping[str, Row]) -> None:
    for name, row in table.items():
        entry = BY_NAME[name]
        if name in {"auto.offset.reset", "builtin.features"}:
            continue  # one has words for the same thing, the other the parts of a build
        match entry.values:
            case Integer(low, high) | Float(low, high):
                assert row.values == f"{low} .. {high}", name
                assert float(row.default) == entry.default, name
            case Boolean():
                assert (row.kind, row.default) == ("boolean", str(entry.default).lower()), name
            case Choice(words) | Flags(words):
                assert row.values == ", ".join(words), name
                assert row.default == (entry.default or ""), name
            case Text() | Word():
                assert (row.kind, row.default) == ("string", entry.default or ""), name
            case Dedicated():
                assert row.kind == "see dedicated API", name


def test_every_property_has_a_verdict_and_a_reason() -> None:
    for entry in PROPERTIES.values():
        assert entry.meaning, entry.name
        assert not entry.meaning.endswith("."), entry.name
    assert {entry.verdict for entry in PROPERTIES.values()} == set(Verdict)
