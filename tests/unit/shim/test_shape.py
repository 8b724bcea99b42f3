"""Planning of an adoption, without a database."""

from dataclasses import replace

from shim.store.shape import Column, Constraint, Index, Shape, Table, differences, plan

TABLE = '"public".job_queue'
PLAIN = Table(1, "r", "p", partition=False, row_security=False, inherits=False)
ID = Column("id", "bigint", required=True, default="nextval('s')", generated=False, labels=None)
PAYLOAD = Column("payload", "jsonb", required=True, default=None, generated=False, labels=None)
STATUS = Column("status", "job_status", required=True, default="'pending'", generated=False, labels=["pending"])
CREATED = Column("created_at", "timestamptz", required=True, default="now()", generated=False, labels=None)
TOPIC = Column("topic", "text", required=True, default="'default'", generated=False, labels=None)
KEY = Constraint("job_queue_pkey", "PRIMARY KEY (id)", valid=True)
LOG = Constraint("job_queue_log_key", "UNIQUE (topic)", valid=True)
CHECK = Constraint("job_queue_check", "CHECK ((topic <> ''))", valid=True)
CLAIM = Index("job_queue_claim_idx", "btree (topic)", valid=True)
LOG_INDEX = Index("job_queue_log_key", "btree (topic)", valid=True)
TEXTS = {"job_queue_claim_idx": "create index concurrently job_queue_claim_idx on t (topic)"}


def shape(*parts: Column | Constraint | Index) -> Shape:
    return Shape(
        PLAIN,
        {part.name: part for part in parts if isinstance(part, Column)},
        {part.name: part for part in parts if isinstance(part, Constraint)},
        {part.name: part for part in parts if isinstance(part, Index)},
    )


WANTED = shape(ID, PAYLOAD, STATUS, CREATED, TOPIC, KEY, LOG, CHECK, CLAIM, LOG_INDEX)
ARTICLE = shape(ID, PAYLOAD, STATUS, replace(CREATED, required=False), KEY)


def titles(found: Shape) -> list[str]:
    return [step.title for step in plan(TABLE, WANTED, found, TEXTS)]


def test_wanted_shape_needs_nothing() -> None:
    assert plan(TABLE, WANTED, WANTED, TEXTS) == ()
    assert differences(WANTED, WANTED) == ()


def test_articles_shape_needs_every_step_in_order() -> None:
    assert differences(WANTED, ARTICLE) == ()
    assert titles(ARTICLE) == [
        "add columns and checks",
        "validate job_queue_check",
        "check that every row has created_at",
        "forbid null",
        "build job_queue_claim_idx",
        "build job_queue_log_key",
        "make job_queue_log_key a constraint",
    ]


def test_everything_that_needs_the_short_lock_is_one_statement() -> None:
    first = plan(TABLE, WANTED, ARTICLE, TEXTS)[0]
    assert len(first.statements) == 1
    assert "not valid" in first.statements[0]
    assert not first.concurrent


def test_no_step_rewrites_the_table() -> None:
    for step in plan(TABLE, WANTED, ARTICLE, TEXTS):
        for statement in step.statements:
            assert " type " not in statement
            assert "create index " not in statement.replace("create index concurrently", "")


def test_leftover_of_a_killed_build_is_dropped_first() -> None:
    found = replace(WANTED, indexes={**WANTED.indexes, CLAIM.name: replace(CLAIM, valid=False)})
    (step,) = plan(TABLE, WANTED, found, TEXTS)
    assert step.statements[0] == 'drop index concurrently "public"."job_queue_claim_idx"'
    assert step.concurrent


def test_unvalidated_check_is_validated_not_added_again() -> None:
    waiting = replace(CHECK, definition=f"{CHECK.definition} NOT VALID", valid=False)
    found = replace(WANTED, constraints={**WANTED.constraints, CHECK.name: waiting})
    assert differences(WANTED, found) == ()
    assert titles(found) == ["validate job_queue_check"]


def test_every_difference_is_told_at_once() -> None:
    table = replace(PLAIN, persistence="u", row_security=True, inherits=True)
    found = Shape(table, {"tenant": replace(PAYLOAD, name="tenant")}, {}, {})
    told = differences(WANTED, found)
    assert len(told) == 3 + 3 + 1
    assert len(set(told)) == len(told)
