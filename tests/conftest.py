"""The plug-ins of the suite; fixtures live in ``tests.fixtures``."""

pytest_plugins = (
    "tests.fixtures.kafka",
    "tests.fixtures.pgbouncer",
    "tests.fixtures.postgres",
    "tests.fixtures.proxy",
)
