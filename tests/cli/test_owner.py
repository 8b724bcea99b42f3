"""``migrator owner`` from the outside: who owns what, what a change would do, and when it is refused."""

from contextlib import closing
from typing import Any

import pytest

from migrator import postgres
from tests.cli.conftest import Cli

QUEUE = """
insert into job_topic (topic, partitions) values ('emails', 2), ('reports', 1);
insert into job_partition (topic, partition, next_offset) values ('emails', 0, 4), ('emails', 1, 2), ('reports', 0, 0);
insert into job_queue (payload, topic, partition, log_offset, status)
values
  ('1', 'emails', 0, 0, 'completed'), ('1', 'emails', 0, 1, 'pending'), ('1', 'emails', 0, 2, 'completed'),
  ('1', 'emails', 0, 3, 'pending'), ('1', 'emails', 1, 0, 'failed'), ('1', 'emails', 1, 1, 'pending');
insert into job_group_offset (group_id, topic, partition, committed_offset) values ('mailers', 'emails', 0, 2);
"""
OWNED_BY_SHARE = "update job_topic set owner_group = 'workers', owner_kind = 'share' where topic = 'emails';"
OWNED_BY_CONSUMER = "update job_topic set owner_group = 'mailers', owner_kind = 'consumer' where topic = 'emails';"
CLOSED = "update job_topic set gate = 'closed';"
PARKED = CLOSED + "update job_queue set process_after = 'infinity' where status = 'pending';"
PROCESSING = "update job_queue set status = 'processing', locked_at = now() where log_offset = 3;"
HELD = "update job_queue set process_after = 'infinity', last_error = 'held: uncertain' where log_offset = 3;"
MEMBER = """
insert into job_group (group_id) values ('mailers');
insert into job_group_member (member_id, group_id, client_id, host, topics, strategies, session_ms, lease_until)
values ('m', 'mailers', 'c', 'h', '{emails}', '{range}', 45000, now() + interval '1 day');
"""
PATTERN = (
    MEMBER.replace("{emails}", "{^e.*}")
    + "insert into job_group_partition (group_id, topic, partition, target) values ('mailers', 'emails', 1, 'm');"
)
TO_CONSUMER = ("set", "--group", "mailers")
TO_SHARE = ("set", "--group", "others", "--kind", "share")
CLEAR = ("clear",)


@pytest.fixture
def url(migrated_url: str) -> str:
    run(migrated_url, QUEUE)
    return migrated_url


def run(url: str, statements: str) -> None:
    with closing(postgres.connect(url, "test")) as conn:
        conn.execute(statements)


def owner(url: str) -> Any:
    with closing(postgres.connect(url, "test")) as conn:
        return conn.execute("select owner_group, owner_kind from job_topic where topic = 'emails'").fetchone()


def statuses(url: str) -> str:
    """The first letter of each status, in the order of partition and offset."""
    with closing(postgres.connect(url, "test")) as conn:
        found = conn.execute("select status::text from job_queue order by partition, log_offset")
        return "".join(status[0] for (status,) in found)


def test_show_tells_who_owns_what(cli: Cli, url: str) -> None:
    run(url, OWNED_BY_CONSUMER + MEMBER)
    emails = {"topic": "emails", "owner_group": "mailers", "owner_kind": "consumer", "gate": "open"}
    reports = {"topic": "reports", "owner_group": None, "owner_kind": None, "gate": "open"}
    shown = cli("owner", "show", "--dsn", url, "--json").document
    assert shown["topics"] == [
        {**emails, "members": 1, "unsettled": 2},
        {**reports, "members": 0, "unsettled": 0},
    ]
    one = cli("owner", "show", "--topic", "emails", "--dsn", url)
    assert one.out.splitlines()[1].split() == ["emails", "mailers", "consumer", "open", "1", "2"]
    assert len(one.out.splitlines()) == 2


def test_a_change_is_told_before_it_is_done(cli: Cli, url: str) -> None:
    command = ("owner", *TO_CONSUMER, "--topic", "emails", "--dsn", url)
    planned = cli(*command)
    assert planned.status == 0
    assert planned.out == (
        "emails: from nobody to consumer group 'mailers'; 1 would be completed below its offsets; "
        "1 finished ones lie above, and are read all the same; "
        "1 partitions have no offset of it: auto.offset.reset decides there\n"
    )
    assert "next: the same command with --execute" in planned.err
    assert (owner(url), statuses(url)) == ((None, None), "cpcpfp")
    done = cli(*command, "--execute", "--json").document
    assert done == {
        "schema_version": 1,
        "dry_run": False,
        "topics": [
            {
                "topic": "emails",
                "owner_group": "mailers",
                "owner_kind": "consumer",
                "former_group": None,
                "former_kind": None,
                "already": False,
                "completes": 1,
                "repeats": 1,
                "uncommitted": 1,
                "settled": 1,
            }
        ],
    }
    assert (owner(url), statuses(url)) == (("mailers", "consumer"), "cccpfp")
    again = cli(*command, "--execute")
    assert (again.status, again.out) == (0, "emails: owned by consumer group 'mailers' already\n")


def test_what_an_earlier_owner_s_settling_has_passed_is_settled_too(cli: Cli, url: str) -> None:
    """As when a job had failed under that owner, and was retried under a share group."""
    run(url, "update job_partition set settled_offset = 2 where topic = 'emails' and partition = 0")
    done = cli("owner", *TO_CONSUMER, "--topic", "emails", "--dsn", url, "--execute").out
    assert "; 1 were completed below its offsets;" in done
    assert statuses(url) == "cccpfp"


@pytest.mark.parametrize(
    ("state", "change", "code"),
    [
        (OWNED_BY_SHARE, TO_CONSUMER, "owner-gate-open"),
        (OWNED_BY_SHARE, CLEAR, "owner-gate-open"),
        (OWNED_BY_SHARE + CLOSED, TO_CONSUMER, "owner-claimable"),
        (OWNED_BY_SHARE + PROCESSING, TO_CONSUMER, "owner-processing"),
        (OWNED_BY_SHARE + PARKED + PROCESSING, CLEAR, "owner-processing"),
        (OWNED_BY_SHARE + PARKED + HELD, TO_CONSUMER, "owner-held"),
        (HELD, TO_CONSUMER, "owner-held"),
        (PROCESSING, TO_CONSUMER, "owner-processing"),
        (OWNED_BY_CONSUMER + MEMBER, TO_SHARE, "owner-members"),
        (OWNED_BY_CONSUMER + PATTERN, CLEAR, "owner-members"),
    ],
)
def test_a_change_that_would_run_jobs_twice_or_never_is_refused(
    cli: Cli, url: str, state: str, change: tuple[str, ...], code: str
) -> None:
    run(url, state)
    before = (owner(url), statuses(url))
    for execute in ([], ["--execute"]):
        refused = cli("owner", *change, "--topic", "emails", "--dsn", url, "--json", *execute)
        assert (refused.status, refused.document["error"]["code"]) == (4, code)
        assert "topic 'emails' keeps its owner: " in refused.err
        assert "hint: " in refused.err
    assert (owner(url), statuses(url)) == before


@pytest.mark.parametrize(
    ("state", "change", "wanted"),
    [
        (OWNED_BY_SHARE + PROCESSING, TO_SHARE, ("others", "share")),
        (PROCESSING, TO_SHARE, ("others", "share")),
        (OWNED_BY_CONSUMER, TO_SHARE, ("others", "share")),
        (OWNED_BY_CONSUMER, CLEAR, (None, None)),
        (OWNED_BY_CONSUMER + MEMBER, ("set", "--group", "readers"), ("readers", "consumer")),
    ],
)
def test_other_changes_are_made(
    cli: Cli, url: str, state: str, change: tuple[str, ...], wanted: tuple[str | None, str | None]
) -> None:
    run(url, state)
    ran = cli("owner", *change, "--topic", "emails", "--dsn", url, "--execute")
    assert ran.status == 0, ran.err
    assert owner(url) == wanted


def test_what_a_consumer_group_has_done_is_settled_before_it_goes(cli: Cli, url: str) -> None:
    run(url, OWNED_BY_CONSUMER)
    assert cli("owner", *TO_SHARE, "--topic", "emails", "--dsn", url, "--execute").status == 0
    assert statuses(url) == "cccpfp"


def test_a_change_is_refused_while_somebody_else_settles(cli: Cli, url: str) -> None:
    run(url, OWNED_BY_CONSUMER)
    lock = "select pg_advisory_xact_lock(hashtextextended('settling of \"public\".job_queue', 0))"
    with closing(postgres.connect(url, "test")) as conn, conn.transaction():
        conn.execute(lock)
        refused = cli("owner", *CLEAR, "--topic", "emails", "--dsn", url, "--execute", "--json")
        assert (refused.status, refused.document["error"]["code"]) == (4, "owner-unsettled")
    assert owner(url) == ("mailers", "consumer")
    assert cli("owner", *CLEAR, "--topic", "emails", "--dsn", url, "--execute").status == 0


def test_a_share_group_lets_go_behind_a_closed_gate(cli: Cli, url: str) -> None:
    run(url, OWNED_BY_SHARE + PARKED)
    ran = cli("owner", *CLEAR, "--topic", "emails", "--dsn", url, "--execute")
    assert (ran.status, ran.out) == (0, "emails: from share group 'workers' to nobody\n")
    assert "next: migrator gate open --topic emails" in ran.err
    assert owner(url) == (None, None)


def test_one_refusal_keeps_every_topic_as_it_is(cli: Cli, url: str) -> None:
    run(url, OWNED_BY_SHARE.replace("emails", "reports"))
    ran = cli("owner", *TO_CONSUMER, "--topic", "emails", "--topic", "reports", "--dsn", url, "--execute")
    assert ran.status == 4
    assert owner(url) == (None, None)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("clear",), 2, "add --topic NAME"),
        (("set", "--topic", "emails"), 2, "--group"),
        (("set", "--topic", "emails", "--group", ""), 2, "a group has a name"),
        (("set", "--topic", "emails", "--group", "g", "--kind", "queue"), 2, "queue"),
        (("clear", "--topic", "email"), 3, "did you mean 'emails'?"),
        (("set", "--topic", "emails", "--group", "mailrs"), 0, "did you mean 'mailers'?"),
    ],
)
def test_slips_are_answered(cli: Cli, url: str, arguments: tuple[str, ...], status: int, said: str) -> None:
    ran = cli("owner", *arguments, "--dsn", url)
    assert ran.status == status
    assert said in ran.err
