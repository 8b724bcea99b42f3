"""What people and scripts see of dead letters: sizes and digests, and bytes only when they are asked for."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from typing import Any

from migrator.cli.output import Output
from migrator.dead_letters import Contents, DeadLetter, Retrial

_COLUMNS = ("topic", "partition", "offset", "stage", "reason", "size", "digest", "created", "retried")


def show_list(out: Output, letters: Sequence[DeadLetter], matched: int, retried: int) -> None:
    """Shows dead letters, one a line."""
    out.result({"matched": matched, "retried": retried, "dead_letters": [_document(one) for one in letters]}, [])
    if out.as_json:
        return
    if letters:
        out.table(_COLUMNS, (_row(one) for one in letters))
    out.note(f"{matched:,} dead letters, {retried:,} of them retried" if matched else "no dead letters")
    if matched > len(letters):
        out.note(f"{matched - len(letters):,} more: --limit {matched}")
    waiting = next((one for one in letters if one.retried_at is None), None)
    if waiting:
        out.next_step(f"migrator dead-letters retry --topic {waiting.topic}")


def show_one(out: Output, letter: DeadLetter, contents: Contents, *, values: bool) -> None:
    """Shows one dead letter with all its parts."""
    parts = {"key": contents.key, "value": contents.value}
    document: dict[str, Any] = {
        **_document(letter),
        "sqlstate": contents.sqlstate,
        "constraint": contents.constraint_name,
        "column": contents.column_name,
        "timestamp_ms": contents.timestamp_ms,
        "timestamp_type": contents.timestamp_type,
        **{name: _part(content, values=values) for name, content in parts.items()},
        "headers": [
            {"name": name.decode(errors="backslashreplace"), **(_part(content, values=values) or {"size": None})}
            for name, content in contents.pairs
        ],
    }
    facts = [f"{name}: {_shown(fact)}" for name, fact in document.items() if name not in (*parts, "headers")]
    pieces = [*parts.items(), *((f"header {ascii(name)[1:]}", content) for name, content in contents.pairs)]
    out.result(document, [*facts, *(f"{name}: {_told(content, values=values)}" for name, content in pieces)])


def show_retry(out: Output, done: Sequence[Retrial], matched: int, retried: int, *, execute: bool) -> None:
    """Shows what became, or would become, of each dead letter."""
    went = sum(one.result == "retried" for one in done)
    dead = sum(one.result == "dead" for one in done)
    already = retried + sum(one.result == "already" for one in done)
    document = {"matched": matched, "retried": went, "dead": dead, "already": already, "dry_run": not execute}
    out.result({**document, "dead_letters": [one._asdict() for one in done]}, [])
    if out.as_json:
        return
    if done:
        columns = ("topic", "partition", "offset", "result", "new offset", "encoding", "reason")
        out.table(columns, ([_shown(field) for field in one] for one in done))
    verb = "appended" if execute else "would be appended"
    out.note(f"{went:,} {verb}, {dead:,} stay dead, {already:,} had been retried before")
    if went and not execute:
        out.next_step("the same command with --execute")


def _document(letter: DeadLetter) -> dict[str, Any]:
    return {name: fact for name, fact in asdict(letter).items() if name != "id"}


def _row(letter: DeadLetter) -> list[object]:
    retried = f"at {letter.retried_at:%Y-%m-%d %H:%M:%S}" if letter.retried_at else "no"
    where = f", offset {letter.retried_offset}" if letter.retried_offset is not None else ""
    size = "null" if letter.size is None else letter.size
    created = f"{letter.created_at:%Y-%m-%d %H:%M:%S}"
    facts = [letter.topic, letter.partition, letter.offset, letter.stage, letter.reason, size]
    return [*facts, _shown(letter.digest), created, retried + where]


def _part(content: bytes | None, *, values: bool) -> dict[str, object] | None:
    if content is None:
        return None
    shown = {"base64": b64encode(content).decode()} if values else {}
    return {"size": len(content), "digest": _digest(content), **shown}


def _told(content: bytes | None, *, values: bool) -> str:
    if content is None:
        return "null"
    # repr() leaves nothing that a terminal would obey.
    return f"{len(content):,} bytes, SHA-256 {_digest(content)}" + (f", {content!r}" if values else "")


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()[:16]


def _shown(fact: object) -> object:
    return "-" if fact is None else fact
