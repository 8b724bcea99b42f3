"""Who holds a partition, and whether that process still lives.

The lease decides between machines. On this machine the process table answers at once, so that a drain that was killed
need not wait for its own lease. A wrong answer costs nothing but a fenced process: the epoch is what protects rows.
"""

import os
import socket
import uuid
from collections.abc import Iterable
from pathlib import Path


def new_owner() -> str:
    """Returns a name for this process that no other will ever have: host, process id, and a random part."""
    return f"{_host()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def dead_owners(owners: Iterable[str | None]) -> list[str]:
    """Returns those owners that ran on this machine and run no more."""
    return [owner for owner in owners if owner is not None and _is_dead(owner)]


def display(owner: str) -> str:
    """Returns an owner as people read it."""
    host, pid = owner.split(":")[:2]
    return f"process {pid} on {host.partition('/')[0]}"


def _is_dead(owner: str) -> bool:
    host, pid = owner.split(":")[:2]
    return host == _host() and not _runs(int(pid))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[:1] == ["Z"]


def _host() -> str:
    # Containers may share a host's name but not its process table; the namespace and the boot tell them apart.
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink()).strip("pid:[]")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()[:8]
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()}/{namespace}/{boot}"
