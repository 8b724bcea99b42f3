"""Where Postgres is, when the configuration does not say: the shim's only reader of the environment."""

import os
import re
from collections.abc import Mapping
from typing import Protocol

_DRIVER = re.compile(r"^postgres(?:ql)?\+[a-z0-9_]+://")


class _Configured(Protocol):
    @property
    def dsn(self) -> str | None: ...


def dsn(settings: _Configured, environ: Mapping[str, str] | None = None) -> str:
    """Returns the connection string of a client.

    ``shim.dsn`` is first, then ``bootstrap.servers`` where that is a URL of Postgres, then ``DATABASE_URL``. The empty
    string leaves the choice to libpq: ``PG*``, and its defaults where those are not set either.

    Args:
        settings: what the client was told.
        environ: the environment; the process's own when not given.
    """
    environ = os.environ if environ is None else environ
    return settings.dsn or _DRIVER.sub("postgresql://", environ.get("DATABASE_URL", ""))
