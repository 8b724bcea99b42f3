"""What people and scripts see of jobs: where they stand; what was produced only when it is asked for."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from migrator.cli.output import Output
from shim.store.jobs import Job

_CONTENTS = ("key", "value", "payload")


def show_list(out: Output, listed: Sequence[Job], matched: int) -> None:
    """Shows jobs to people, one a line."""
    if listed:
        out.table(tuple(asdict(listed[0])), ([_shown(fact) for fact in asdict(job).values()] for job in listed))
    out.note(f"{matched:,} jobs" if matched else "no jobs")
    if matched > len(listed):
        out.note(f"{matched - len(listed):,} more: --limit {matched}")
    failed = next((job for job in listed if job.status == "failed"), None)
    if failed:
        out.next_step(f"migrator jobs show --id {failed.id}, or migrator jobs retry --topic {failed.topic}")


def show_one(out: Output, found: Mapping[str, Any], *, values: bool) -> None:
    """Shows one job with everything about it."""
    document = {name: fact for name, fact in found.items() if values or name not in _CONTENTS}
    scripts = {name: b64encode(fact).decode() if isinstance(fact, bytes) else fact for name, fact in document.items()}
    # repr() leaves nothing that a terminal would obey.
    lines = [f"{name}: {fact!r}" if name in _CONTENTS else f"{name}: {_shown(fact)}" for name, fact in document.items()]
    out.result(scripts, lines)


def show_change(out: Output, matched: int, changed: int, verb: str, *, dry_run: bool) -> None:
    """Shows what was done, or would be."""
    said = f"{matched:,} would be {verb}" if dry_run else f"{changed:,} {verb}"
    out.result({"matched": matched, "changed": changed, "dry_run": dry_run}, [said if matched else "no such job"])
    if not dry_run and changed < matched:
        out.note(f"{matched - changed:,} stayed as they were: changed meanwhile, or their deduplication key is taken")
    if dry_run and matched:
        out.next_step("the same command with --execute")


def _shown(fact: object) -> object:
    return "-" if fact is None else fact
