"""A claim begins where the last one ended; what lies before that place is found all the same."""

import psycopg

from migrator.embedded.process import wait_until
from migrator.postgres import Connection
from tests.integration.shim.consumer.scene import fill
from tests.integration.shim.sharing.conftest import MakeShareConsumer
from tests.integration.shim.sharing.scene import WAIT_SECONDS, deliveries, statuses, taken


def test_a_job_that_becomes_due_in_the_past_is_found(
    share: MakeShareConsumer, migrated: Connection, topic: str
) -> None:
    fill(migrated, topic, 5)
    consumer = share(max_poll_records=1)
    taken(consumer, 4)
    fill(migrated, topic, 1)
    migrated.execute("update job_queue set process_after = now() - interval '1 hour' where log_offset = 5")
    assert sorted(deliveries(taken(consumer, 2))) == [(4, 1), (5, 1)]


def test_a_job_that_is_committed_late_is_found(
    share: MakeShareConsumer, migrated: Connection, migrated_url: str, topic: str
) -> None:
    consumer = share()
    with psycopg.connect(migrated_url) as late:
        late.execute("insert into job_queue (topic, payload) values (%s, '\"late\"')", [topic])
        fill(migrated, topic, 3)
        taken(consumer, 3)
    (message,) = taken(consumer, 1)
    assert message.value() == b'"late"'


def test_jobs_are_found_behind_what_a_transaction_keeps_from_vacuum(
    share: MakeShareConsumer, migrated: Connection, migrated_url: str, topic: str
) -> None:
    with psycopg.connect(migrated_url) as holder:
        holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        holder.execute("select pg_current_xact_id()")
        consumer, other = share(), share()
        fill(migrated, topic, 500)
        taken(consumer, 500)
        fill(migrated, topic, 1)
        taken(other, 1)
        consumer.commit_sync()
        other.commit_sync()
        assert wait_until(lambda: set(statuses(migrated)) == {"completed"}, WAIT_SECONDS)
