"""What a table looks like in the catalog, and the steps from one shape to another: values in, values out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import LiteralString

from shim.store.statements import quoted

_ARTICLE = ("id", "payload", "status")
_FILLED = ("retry_count", "created_at", "process_after")
_KINDS = {"p": "a partitioned table", "v": "a view", "m": "a materialized view", "f": "a foreign table"}


@dataclass(frozen=True, slots=True)
class Table:
    """The table itself. ``kind`` and ``persistence`` are Postgres' own letters."""

    oid: int
    kind: str
    persistence: str
    partition: bool
    row_security: bool
    inherits: bool


@dataclass(frozen=True, slots=True)
class Column:
    """One column. ``labels`` are those of an enum; ``generated`` includes identity."""

    name: str
    type: LiteralString
    required: bool
    default: LiteralString | None
    generated: bool
    labels: list[str] | None


@dataclass(frozen=True, slots=True)
class Constraint:
    """A key or a check, as Postgres writes it."""

    name: str
    definition: LiteralString
    valid: bool

    @property
    def bare(self) -> str:
        """The definition, whether or not it was validated yet."""
        return self.definition.removesuffix(" NOT VALID")


@dataclass(frozen=True, slots=True)
class Index:
    """An index, from its method on; a build that was killed leaves it invalid."""

    name: str
    definition: LiteralString
    valid: bool


@dataclass(frozen=True, slots=True)
class Shape:
    """A table with its parts, each by name."""

    table: Table
    columns: Mapping[str, Column]
    constraints: Mapping[str, Constraint]
    indexes: Mapping[str, Index]


@dataclass(frozen=True, slots=True)
class Step:
    """One change.

    Attributes:
        title: what it does, for people.
        statements: how; in one transaction, or each outside of any when ``concurrent``.
        concurrent: whether it builds without locking writers out.
        fills: whether rows that lack a value get one first.
    """

    title: str
    statements: tuple[LiteralString, ...]
    concurrent: bool = False
    fills: bool = False


def differences(wanted: Shape, found: Shape) -> tuple[str, ...]:
    """Returns, one sentence each, what keeps ``found`` from becoming ``wanted`` without harm."""
    return (
        *_table_differences(found.table),
        *(
            sentence
            for column in wanted.columns.values()
            for sentence in _column_differences(column, found.columns.get(column.name))
        ),
        *_strange_columns(wanted, found),
        *_key_differences(found),
        *_name_differences(wanted, found),
    )


def plan(
    table: LiteralString, wanted: Shape, found: Shape, index_texts: Mapping[str, LiteralString]
) -> tuple[Step, ...]:
    """Returns the steps that are left, in order.

    Args:
        table: the table's quoted name.
        wanted: the shape to reach.
        found: the shape as it is.
        index_texts: how to build each index that no constraint stands on.
    """
    return (
        *_alter(table, wanted, found),
        *_validate(table, wanted, found),
        *_require(table, wanted, found),
        *_build(table, wanted, found, index_texts),
        *_constrain(table, wanted, found),
    )


def _table_differences(table: Table) -> Iterator[str]:
    if table.kind != "r":
        yield f"it is {_KINDS.get(table.kind, 'not a table')}, not a plain table"
    if table.persistence != "p":
        yield "it is UNLOGGED, so a crash of the server empties it: alter table job_queue set logged"
    if table.partition or table.inherits:
        yield "it is part of an inheritance tree or of a partitioned table"
    if table.row_security:
        yield "row security is on, and Postgres then refuses COPY to everybody but the owner"


def _column_differences(wanted: Column, found: Column | None) -> Iterator[str]:
    if found is None:
        if wanted.name in _ARTICLE:
            yield f"column {wanted.name!r} is missing"
        return
    if found.type != wanted.type:
        yield f"column {wanted.name!r} is {found.type}, not {wanted.type}"
    elif found.labels != wanted.labels:
        yield f"column {wanted.name!r} has the labels {found.labels}, not {wanted.labels}"
    if wanted.required and not found.required and wanted.name not in _FILLED:
        yield f"column {wanted.name!r} allows null"
    if found.generated and wanted.name != "id":
        yield f"column {wanted.name!r} is generated"


def _strange_columns(wanted: Shape, found: Shape) -> Iterator[str]:
    for column in found.columns.values():
        if column.name not in wanted.columns and column.required and not (column.default or column.generated):
            yield f"column {column.name!r} is NOT NULL without a default, so nobody else can insert a row"


def _key_differences(found: Shape) -> Iterator[str]:
    if "id" not in found.columns:
        return
    if not any(constraint.definition == "PRIMARY KEY (id)" for constraint in found.constraints.values()):
        yield "column 'id' is not the primary key"
    if not (found.columns["id"].default or found.columns["id"].generated):
        yield "column 'id' has no default that counts up"


def _name_differences(wanted: Shape, found: Shape) -> Iterator[str]:
    for constraint in wanted.constraints.values():
        other = found.constraints.get(constraint.name)
        if other and other.bare != constraint.bare:
            yield f"constraint {constraint.name!r} is {other.bare}, not {constraint.bare}"
    for index in wanted.indexes.values():
        namesake = found.indexes.get(index.name)
        if namesake and namesake.definition != index.definition:
            yield f"index {index.name!r} is on {namesake.definition}, not on {index.definition}"


def _alter(table: LiteralString, wanted: Shape, found: Shape) -> Iterator[Step]:
    actions = (
        *(_column(column) for column in wanted.columns.values() if column.name not in found.columns),
        *(
            f"alter column {quoted(column.name)} set default {column.default}"
            for column in _without_default(wanted, found)
        ),
        *(
            f"add constraint {quoted(check.name)} {check.definition} not valid"
            for check in _checks(wanted)
            if check.name not in found.constraints
        ),
        *(
            f"add constraint {quoted(_helper(column))} check ({quoted(column.name)} is not null) not valid"
            for column in _nullable(wanted, found)
            if _helper(column) not in found.constraints
        ),
    )
    if actions:
        yield Step("add columns and checks", (f"alter table {table} " + ", ".join(actions),))


def _validate(table: LiteralString, wanted: Shape, found: Shape) -> Iterator[Step]:
    for check in _checks(wanted):
        if not _valid(found.constraints, check.name):
            yield Step(
                f"validate {check.name}",
                (f"alter table {table} validate constraint {quoted(check.name)}",),
            )
    for column in _nullable(wanted, found):
        if not _valid(found.constraints, _helper(column)):
            yield Step(
                f"check that every row has {column.name}",
                (f"alter table {table} validate constraint {quoted(_helper(column))}",),
                fills=True,
            )


def _require(table: LiteralString, wanted: Shape, found: Shape) -> Iterator[Step]:
    # With the validated check in place, "set not null" need not read the table.
    actions = [
        action
        for column in _nullable(wanted, found)
        for action in (
            f"alter column {quoted(column.name)} set not null",
            f"drop constraint {quoted(_helper(column))}",
        )
    ]
    if actions:
        yield Step("forbid null", (f"alter table {table} " + ", ".join(actions),))


def _build(
    table: LiteralString, wanted: Shape, found: Shape, index_texts: Mapping[str, LiteralString]
) -> Iterator[Step]:
    schema = table.removesuffix("job_queue")
    for name in wanted.indexes:
        text = index_texts.get(name) or _unique_index(table, wanted.constraints.get(name))
        if text is None or _valid(found.indexes, name):
            continue
        # What a killed build left is invalid and cannot be mended.
        leftover = (f"drop index concurrently {schema}{quoted(name)}",) if name in found.indexes else ()
        yield Step(f"build {name}", (*leftover, text), concurrent=True)


def _constrain(table: LiteralString, wanted: Shape, found: Shape) -> Iterator[Step]:
    for constraint in wanted.constraints.values():
        if constraint.definition.startswith("UNIQUE ") and constraint.name not in found.constraints:
            name = quoted(constraint.name)
            yield Step(
                f"make {constraint.name} a constraint",
                (f"alter table {table} add constraint {name} unique using index {name}",),
            )


def _column(column: Column) -> str:
    default = f" default {column.default}" if column.default else ""
    return f"add column {quoted(column.name)} {column.type}{default}" + (" not null" if column.required else "")


def _without_default(wanted: Shape, found: Shape) -> list[Column]:
    return [
        column
        for column in wanted.columns.values()
        if column.default
        and column.name in found.columns
        and not (found.columns[column.name].default or found.columns[column.name].generated)
    ]


def _nullable(wanted: Shape, found: Shape) -> list[Column]:
    return [
        column
        for column in wanted.columns.values()
        if column.required and column.name in found.columns and not found.columns[column.name].required
    ]


def _checks(shape: Shape) -> list[Constraint]:
    return [one for one in shape.constraints.values() if one.definition.startswith("CHECK ")]


def _unique_index(table: LiteralString, constraint: Constraint | None) -> LiteralString | None:
    if constraint is None or not constraint.definition.startswith("UNIQUE "):
        return None
    columns = constraint.definition.removeprefix("UNIQUE ")
    return f"create unique index concurrently {quoted(constraint.name)} on {table} {columns}"


def _helper(column: Column) -> str:
    return f"job_queue_{column.name}_present"


def _valid(parts: Mapping[str, Constraint] | Mapping[str, Index], name: str) -> bool:
    part = parts.get(name)
    return part is not None and part.valid
