"""What people and scripts see of a change of owner: why it is refused, and what came of it."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from migrator.errors import RefusedError
from shim.store.gate import GateStatus
from shim.store.owners import Obstacle, Outlook, Owner, Ownership

_REFUSALS: Mapping[Obstacle, tuple[str, str]] = {
    "processing": (
        "{processing:,} jobs are being worked on, and nobody would recover them",
        "migrator gate close --topic {topic}\nand again when migrator gate status shows none that is processing",
    ),
    "held": ("{held:,} jobs are held for a person, and would count as done", "migrator held list --topic {topic}"),
    "gate-open": ("share consumers may still claim its jobs", "migrator gate close --topic {topic}"),
    "claimable": ("{claimable:,} jobs were locked when the gate was closed", "migrator gate close --topic {topic}"),
    "members": (
        "{members:,} members of consumer group {owner_group!r} are at work on it, and its jobs would run twice",
        "stop them; migrator owner show --topic {topic}",
    ),
    "unsettled": ("status is {unsettled:,} offsets behind consumer group {owner_group!r}", "run it again"),
}


def refusal(before: Ownership, jobs: GateStatus, found: Obstacle) -> RefusedError:
    """Returns what to tell when something is in the way."""
    facts = {**asdict(jobs), **asdict(before)}
    reason, hint = (text.format(**facts) for text in _REFUSALS[found])
    return RefusedError(f"topic {before.topic!r} keeps its owner: {reason}", code=f"owner-{found}", hint=hint)


def change(before: Ownership, owner: Owner, outlook: Outlook, settled: int) -> dict[str, Any]:
    """Returns what scripts are told of one topic."""
    return {
        "topic": before.topic,
        "owner_group": owner.group_id,
        "owner_kind": owner.kind,
        "former_group": before.owner_group,
        "former_kind": before.owner_kind,
        "already": owner == (before.owner_group, before.owner_kind),
        **outlook._asdict(),
        "settled": settled,
    }


def sentence(told: Mapping[str, Any], *, execute: bool) -> str:
    """Returns what people are told of it."""
    owner, former = (_name(told[f"{who}_kind"], told[f"{who}_group"]) for who in ("owner", "former"))
    if told["already"]:
        return f"{told['topic']}: owned by {owner} already"
    parts = [f"{told['topic']}: from {former} to {owner}"]
    if told["owner_kind"] == "consumer":
        done = f"{told['settled']:,} were" if execute else f"{told['completes']:,} would be"
        parts.append(f"{done} completed below its offsets")
        parts.append(f"{told['repeats']:,} finished ones lie above, and are read all the same")
    if told["uncommitted"]:
        parts.append(f"{told['uncommitted']:,} partitions have no offset of it: auto.offset.reset decides there")
    return "; ".join(parts)


def _name(kind: str | None, group_id: str | None) -> str:
    return f"{kind} group {group_id!r}" if kind else "nobody"
