"""How long finished jobs are kept, by the admin client: an addition to Kafka's configuration of a topic."""

from typing import Any

import pytest

from shim.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic
from tests.integration.shim.admin.sides import SECONDS, code_of, text_of

NAMES = ("retention.ms", "shim.completed.retention.ms", "shim.failed.retention.ms")


@pytest.fixture
def admin(migrated_url: str) -> AdminClient:
    return AdminClient({"shim.dsn": migrated_url})


def create(admin: AdminClient, **config: str) -> None:
    named = {name.replace("_", "."): value for name, value in config.items()}
    admin.create_topics([NewTopic("emails", 1, config=named)])["emails"].result(SECONDS)


def told(admin: AdminClient) -> list[tuple[str | None, bool]]:
    asked = ConfigResource("topic", "emails")
    entries = admin.describe_configs([asked])[asked].result(SECONDS)
    return [(entries[name].value, entries[name].is_default) for name in NAMES]


def alter(admin: AdminClient, operation: str, **entries: str | None) -> Any:
    asked = ConfigResource("topic", "emails")
    for name, value in entries.items():
        entry = ConfigEntry(name.replace("_", "."), value, incremental_operation=AlterConfigOpType[operation])
        asked.add_incremental_config(entry)
    return admin.incremental_alter_configs([asked])[asked]


def test_jobs_are_kept_as_long_as_the_log_unless_somebody_decides(admin: AdminClient) -> None:
    create(admin)
    assert told(admin) == [("604800000", True), ("-2", True), ("-2", True)]


def test_a_new_topic_has_the_keep_times_it_was_made_with(admin: AdminClient) -> None:
    create(admin, shim_completed_retention_ms="3600000", shim_failed_retention_ms="-1")
    assert told(admin) == [("604800000", True), ("3600000", False), ("-1", False)]


def test_keep_times_are_set_and_taken_back_one_by_one(admin: AdminClient) -> None:
    create(admin, retention_ms="-1")
    alter(admin, "SET", shim_failed_retention_ms="7", shim_completed_retention_ms="5").result(SECONDS)
    assert told(admin) == [("-1", False), ("5", False), ("7", False)]
    alter(admin, "DELETE", shim_failed_retention_ms=None).result(SECONDS)
    assert told(admin) == [("-1", False), ("5", False), ("-2", True)]
    with pytest.warns(DeprecationWarning, match="incremental_alter_configs"):
        futures = admin.alter_configs([ConfigResource("topic", "emails", {"shim.failed.retention.ms": "9"})])
    assert [future.result(SECONDS) for future in futures.values()] == [None]
    assert told(admin) == [("604800000", True), ("-2", True), ("9", False)]


def test_a_keep_time_that_is_none_is_refused(admin: AdminClient) -> None:
    create(admin)
    future = alter(admin, "SET", shim_failed_retention_ms="-3")
    assert code_of(future) == "INVALID_CONFIG"
    assert text_of(future) == ("Invalid value -3 for configuration shim.failed.retention.ms: Value must be at least -2")
