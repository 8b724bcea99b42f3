from typing import Any

import pytest

from migrator.embedded.process import wait_until
from shim.admin.topic_configs import check_names
from tests.integration.shim.admin.sides import SECONDS, Side, code_of, text_of

pytestmark = pytest.mark.real_kafka

WEEK = "604800000"


def retention(admin: Any, side: Side, topic: str) -> Any:
    asked = side.ConfigResource("topic", topic)
    return admin.describe_configs([asked])[asked].result(SECONDS)["retention.ms"]


def is_known(admin: Any, side: Side, topic: str) -> bool:
    """Whether the broker has seen a topic whose creation it answered."""
    asked = side.ConfigResource("topic", topic)
    return admin.describe_configs([asked])[asked].exception(SECONDS) is None


def wait_for(admin: Any, side: Side, topic: str, value: str) -> bool:
    """A broker answers before it has seen the change itself."""
    return wait_until(lambda: bool(retention(admin, side, topic).value == value), SECONDS)


def alter(admin: Any, side: Side, topic: str, entries: list[tuple[str, str | None, str]], **how: Any) -> Any:
    configs = [
        side.ConfigEntry(name, value, incremental_operation=side.AlterConfigOpType[operation])
        for name, value, operation in entries
    ]
    asked = side.ConfigResource("topic", topic, incremental_configs=configs)
    return admin.incremental_alter_configs([asked], **how)[asked]


def test_the_default_retention_is_told(side: Side, admin: Any, topic: str) -> None:
    entry = retention(admin, side, topic)
    assert (entry.name, entry.value, entry.source) == ("retention.ms", WEEK, side.ConfigSource.DEFAULT_CONFIG.value)
    assert (entry.is_default, entry.is_read_only, entry.is_sensitive, entry.is_synonym) == (True, False, False, False)
    assert str(entry) == f'retention.ms="{WEEK}"'


def test_a_new_topic_has_the_retention_it_was_made_with(side: Side, admin: Any, name: str) -> None:
    config = {"retention.ms": "3600000", "cleanup.policy": "delete"}
    admin.create_topics([side.NewTopic(name, 1, 1, config=config)])[name].result(SECONDS)
    assert wait_until(lambda: is_known(admin, side, name), SECONDS)
    entry = retention(admin, side, name)
    assert (entry.value, entry.source) == ("3600000", side.ConfigSource.DYNAMIC_TOPIC_CONFIG.value)
    assert entry.is_default is False
    synonym = next(iter(entry.synonyms.values()))
    assert (synonym.name, synonym.value, synonym.is_synonym) == ("retention.ms", "3600000", True)


def test_retention_is_set_and_taken_back(side: Side, admin: Any, topic: str) -> None:
    assert alter(admin, side, topic, [("retention.ms", "7200000", "SET")]).result(SECONDS) is None
    assert wait_for(admin, side, topic, "7200000")
    assert alter(admin, side, topic, [("retention.ms", "-1", "SET")]).result(SECONDS) is None
    assert wait_for(admin, side, topic, "-1")
    assert alter(admin, side, topic, [("retention.ms", None, "DELETE")]).result(SECONDS) is None
    assert wait_for(admin, side, topic, WEEK)


def test_validation_changes_nothing(side: Side, admin: Any, topic: str) -> None:
    future = alter(admin, side, topic, [("retention.ms", "7200000", "SET")], validate_only=True)
    assert future.result(SECONDS) is None
    assert retention(admin, side, topic).value == WEEK


@pytest.mark.parametrize(
    ("entries", "code", "text"),
    [
        (
            [("retention.ms", "x", "SET")],
            "INVALID_CONFIG",
            "Invalid value x for configuration retention.ms: Not a number of type LONG",
        ),
        (
            [("retention.ms", "-5", "SET")],
            "INVALID_CONFIG",
            "Invalid value -5 for configuration retention.ms: Value must be at least -1",
        ),
        (
            [("retention.ms", "1", "APPEND")],
            "INVALID_CONFIG",
            "Can't APPEND to key retention.ms because its type is not LIST.",
        ),
        ([("nope", "1", "SET")], "INVALID_CONFIG", "Unknown topic config name: nope"),
        (
            [("retention.ms", "1", "SET"), ("retention.ms", "2", "SET")],
            "_INVALID_ARG",
            "Duplicate ConfigEntry found",
        ),
    ],
)
def test_a_wrong_entry_is_refused(
    side: Side, admin: Any, topic: str, entries: list[tuple[str, str | None, str]], code: str, text: str
) -> None:
    future = alter(admin, side, topic, entries)
    assert (code_of(future), text_of(future)) == (code, text)
    assert retention(admin, side, topic).value == WEEK


def test_the_configuration_of_no_topic_is_told_so(side: Side, admin: Any, name: str) -> None:
    asked = side.ConfigResource("topic", name)
    assert code_of(admin.describe_configs([asked])[asked]) == "UNKNOWN_TOPIC_OR_PART"
    assert code_of(alter(admin, side, name, [("retention.ms", "1", "SET")])) == "UNKNOWN_TOPIC_OR_PART"
    asked = side.ConfigResource("topic", "two words")
    assert code_of(admin.describe_configs([asked])[asked]) == "TOPIC_EXCEPTION"


def test_every_entry_that_a_broker_knows_is_known(side: Side, admin: Any, topic: str) -> None:
    asked = side.ConfigResource("topic", topic)
    check_names(admin.describe_configs([asked])[asked].result(SECONDS))


def test_a_configuration_is_replaced_as_a_whole(side: Side, admin: Any, topic: str) -> None:
    with pytest.warns(DeprecationWarning, match="incremental_alter_configs"):
        futures = admin.alter_configs([side.ConfigResource("topic", topic, {"retention.ms": "7200000"})])
    assert [future.result(SECONDS) for future in futures.values()] == [None]
    assert wait_for(admin, side, topic, "7200000")
    with pytest.warns(DeprecationWarning, match="incremental_alter_configs"):
        futures = admin.alter_configs([side.ConfigResource("topic", topic)])
    assert [future.result(SECONDS) for future in futures.values()] == [None]
    assert wait_for(admin, side, topic, WEEK)
