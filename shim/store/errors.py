"""What can go wrong in the store, as fields rather than prose."""


class StoreError(Exception):
    """Any failure of the store."""


class StatementError(StoreError):
    """A ``.sql`` file is malformed, or names a schema that nobody gave."""


class SchemaMissingError(StoreError):
    """The tables are not there.

    Attributes:
        schema: where they were looked for.
        line: which line of migrations is missing, such as ``store``.
    """

    def __init__(self, schema: str, line: str) -> None:
        super().__init__(f"schema {schema!r} has no tables of line {line!r}")
        self.schema = schema
        self.line = line


class SchemaVersionError(StoreError):
    """The tables are older or newer than this release knows.

    Attributes:
        line: which line of migrations.
        found: the newest migration that was applied.
        known: the newest migration of this release.
    """

    def __init__(self, line: str, found: int, known: int) -> None:
        super().__init__(f"line {line!r} stands at migration {found}, this release knows {known}")
        self.line = line
        self.found = found
        self.known = known


class SchemaChangedError(StoreError):
    """An applied migration differs from the one that this release ships."""


class ForeignTableError(StoreError):
    """A table named ``job_queue`` is there, and it is not the article's.

    Attributes:
        schema: where it lies.
        differences: one sentence each.
    """

    def __init__(self, schema: str, differences: tuple[str, ...]) -> None:
        super().__init__(f"{schema}.job_queue is another table: " + "; ".join(differences))
        self.schema = schema
        self.differences = differences
