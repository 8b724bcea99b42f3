"""Keys to partitions, against the installed original."""

import random
from typing import Any

import confluent_kafka
import pytest

import shim
from tests.unit.shim.original import outcome

NAMES = ["consistent", "murmur2", "fnv1a"]


@pytest.mark.parametrize("name", NAMES)
def test_a_key_belongs_to_the_same_partition(name: str) -> None:
    ours, theirs = getattr(shim, name), getattr(confluent_kafka, name)
    dice = random.Random(7)  # noqa: S311  keys, no secrets
    keys = [dice.randbytes(length) for length in range(40) for _ in range(20)]
    assert [ours(key, count) for key in keys for count in (1, 3, 12)] == [
        theirs(key, count) for key in keys for count in (1, 3, 12)
    ]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "args",
    [("a", 3), (None, 3), (b"a", 0), (b"a", -1), (b"a",), (b"a", "x"), (b"a", 2**31), (bytearray(b"a"), 3)],
    ids=repr,
)
def test_what_is_no_key_or_no_count(name: str, args: tuple[Any, ...]) -> None:
    expected, text = outcome(lambda: getattr(confluent_kafka, name)(*args))
    result, said = outcome(lambda: getattr(shim, name)(*args))
    assert result == expected != "returned"
    if expected == "ValueError":
        assert said == text


@pytest.mark.parametrize("name", NAMES)
def test_arguments_are_positional(name: str) -> None:
    with pytest.raises(TypeError):
        getattr(shim, name)(key=b"a", partition_count=3)
