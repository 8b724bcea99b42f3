"""What can be imported from the shim, what is loaded by it, and the shim in the place of the original."""

import subprocess
import sys
from typing import Any

import confluent_kafka
import confluent_kafka.cimpl
import confluent_kafka.error
import pytest

import shim
import shim.cimpl
import shim.error

NOT_THERE = {"aio", "avro", "kafkatest", "schema_registry"}


def run(program: str) -> str:
    """What a program prints that begins in a fresh interpreter."""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_names_are_the_originals_in_their_order() -> None:
    assert [name for name in shim.__all__ if name != "ThrottleEvent"] == [
        name for name in confluent_kafka.__all__ if name not in NOT_THERE
    ]


@pytest.mark.parametrize("name", [*shim.__all__, "__version__"])
def test_every_name_is_there(name: str) -> None:
    found, theirs = getattr(shim, name), getattr(confluent_kafka, name)
    assert (callable(found), isinstance(found, type)) == (callable(theirs), isinstance(theirs, type))
    if callable(found):
        assert found.__name__ == theirs.__name__
    elif name != "admin":
        assert found == theirs
    assert name in dir(shim)


@pytest.mark.parametrize("name", sorted(NOT_THERE))
def test_what_is_not_there_says_why(name: str) -> None:
    with pytest.raises(ImportError, match=rf"^shim has no {name}: \w+") as caught:
        exec(f"from shim import {name}")  # noqa: S102  as an application does
    assert caught.value.name == f"shim.{name}"


def test_what_nobody_has() -> None:
    assert not hasattr(shim, "nonsense")
    with pytest.raises(ImportError, match="cannot import name 'nonsense'"):
        exec("from shim import nonsense")  # noqa: S102  as an application does


def test_the_core_has_the_originals_names() -> None:
    public = {name for name in vars(confluent_kafka.cimpl) if not name.startswith("_")}
    assert set(shim.cimpl.__all__) == public
    numbers = {name: value for name, value in vars(confluent_kafka.cimpl).items() if isinstance(value, int)}
    assert len(numbers) == 68
    assert {name: getattr(shim.cimpl, name) for name in numbers} == numbers
    assert shim.cimpl.KafkaError is shim.KafkaError


def test_the_errors_have_the_originals_names() -> None:
    public = {name for name, value in vars(confluent_kafka.error).items() if isinstance(value, type) and name[0] != "_"}
    assert public - {"Message"} <= set(shim.error.__all__)


def test_releases() -> None:
    theirs: Any = confluent_kafka  # its stub swaps the types of the two
    assert shim.version() == shim.__version__ == theirs.version()
    assert shim.libversion() == theirs.libversion()


def test_importing_loads_nothing() -> None:
    program = (
        "import sys, threading, shim.store; "
        "print([name for name in sys.modules if name.partition('.')[0] in ('shim', 'psycopg', 'psycopg_pool')], "
        "threading.active_count())"
    )
    assert run(program) == "['shim', 'shim.store'] 1\n"


def test_names_are_loaded_when_they_are_used() -> None:
    program = (
        "import sys, threading\nfrom shim import *\nfrom shim import cimpl, error, serialization\n"
        "Producer({}), Consumer({'group.id': 'g'}), admin.AdminClient({})\n"
        "print('confluent_kafka' in sys.modules, threading.active_count())"
    )
    assert run(program) == "False 1\n"


STANDING_IN = """
from shim.stand_in import register
register()
register()
import confluent_kafka
import confluent_kafka.admin
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition, OFFSET_BEGINNING
from confluent_kafka._model import Node
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.cimpl import KafkaError as CoreError, OFFSET_END
from confluent_kafka.error import ConsumeError, ValueSerializationError
from confluent_kafka.serialization import SerializationError, StringSerializer
import shim, shim.error, shim.serialization, shim.model, sys

assert confluent_kafka is shim and confluent_kafka.admin is shim.admin
assert CoreError is KafkaError is shim.KafkaError
assert ConsumeError is shim.error.ConsumeError and StringSerializer is shim.serialization.StringSerializer
assert Node is shim.model.Node and Node is confluent_kafka.Node
assert issubclass(ValueSerializationError, SerializationError) and issubclass(ConsumeError, KafkaException)
assert (OFFSET_BEGINNING, OFFSET_END) == (-2, -1)
assert TopicPartition("a", 1).offset == confluent_kafka.OFFSET_INVALID
try:
    Producer({"nope": 1})
except confluent_kafka.KafkaException as refused:
    assert refused.args[0].code() == KafkaError._INVALID_ARG
try:
    from confluent_kafka import avro
except ImportError as missing:
    print(missing)
print(sorted({module.__file__ for name, module in sys.modules.items() if name.startswith("confluent_kafka")} -
             {module.__file__ for name, module in sys.modules.items() if name.partition(".")[0] == "shim"}))
"""


def test_the_shim_stands_in_for_the_original() -> None:
    said, foreign = run(STANDING_IN).splitlines()
    assert said == "shim has no avro: it is deprecated; use the serializers of confluent_kafka.schema_registry"
    assert foreign == "[]"


def test_what_is_in_use_is_not_replaced() -> None:
    program = (
        "import confluent_kafka\nfrom shim.stand_in import register\n"
        "try:\n    register()\nexcept RuntimeError as refused:\n    print(refused)"
    )
    assert run(program) == "confluent_kafka has been imported already; the shim must be registered before\n"
