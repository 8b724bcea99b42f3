"""The plug-ins of the suite; fixtures live in ``tests.fixtures``."""

import signal

pytest_plugins = (
    "tests.fixtures.kafka",
    "tests.fixtures.pgbouncer",
    "tests.fixtures.postgres",
    "tests.fixtures.proxy",
    "tests.fixtures.replication",
)

# A shell starts what runs in its background with Ctrl-C ignored, and programs that the tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
