"""The sections about behaviour, configuration and error codes."""

import ast
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import shim
from shim.admin.topic_configs import COMPLETED_RETENTION, FAILED_RETENTION, FIXED, PARTITIONER, RETENTION, UNUSED
from shim.config.properties import PROPERTIES, Applies, Property, Verdict
from shim.config.properties.own import OWN
from shim.protocol.codes import Broker, Local
from tests.compatibility.original import CODES
from tests.conformance.differences import DIFFERENCES

_CLIENTS = {Applies.PRODUCER: "producer", Applies.CONSUMER: "consumer", Applies.BOTH: "both"}
_VERDICTS = {
    Verdict.HONOURED: "same",
    Verdict.MAPPED: "different",
    Verdict.WARNED: "no effect, and the client's one warning names it",
    Verdict.SILENT: "no effect",
    Verdict.REFUSED: "refused",
}


def behaviour() -> Iterator[str]:
    """Where a call of the same name does something else."""
    yield from (f"- {difference.line}. ({difference.reason})" for difference in DIFFERENCES.values())


def properties() -> Iterator[str]:
    """Every configuration property."""
    own = {entry.name for entry in OWN}
    yield from _table(("key", "for", "verdict", "meaning"), (_row(one) for one in _sorted() if one.name not in own))
    yield ""
    yield "The shim's own:"
    yield ""
    yield from _table(("key", "default", "meaning"), ((_key(one), _default(one), one.meaning) for one in OWN))


def topic_configs() -> Iterator[str]:
    """Every entry of a topic's configuration."""
    rows = [
        (f"`{RETENTION}`", "same", "how long a log's rows are kept; `-1` is for ever"),
        (
            f"`{COMPLETED_RETENTION}`",
            "ours",
            "how long a completed job is kept; `-2`, the default, is as `retention.ms` says, `-1` is for ever",
        ),
        (f"`{FAILED_RETENTION}`", "ours", "the same for a job that has failed for good"),
        (f"`{PARTITIONER}`", "ours", "how keys find their partition; decided when the topic is made"),
        *((f"`{name}`", "refused", f"always `{value}`") for name, value in FIXED.items()),
    ]
    yield from _table(("entry", "verdict", "meaning"), rows)
    yield ""
    yield f"No effect, and logged when a topic is made: {_code(sorted(UNUSED))}. Changing one is refused."


def codes() -> Iterator[str]:
    """Every error code."""
    raised = _raised()
    yield "The shim itself answers with these:"
    yield ""
    ours = {name: code for name, code in CODES.items() if code in raised}
    rows = ((f"`{name}`", str(code), _text(code)) for name, code in sorted(ours.items(), key=lambda one: one[1]))
    yield from _table(("name", "code", "text"), rows)
    yield ""
    rest = sorted(name for name in CODES if name not in ours)
    yield f"Never: only a Kafka cluster, or what comes later, has a reason to. {_code(rest)}."


def _sorted() -> Sequence[Property]:
    return sorted(PROPERTIES.values(), key=lambda one: one.name)


def _row(entry: Property) -> tuple[str, ...]:
    return _key(entry), _CLIENTS[entry.applies], _VERDICTS[entry.verdict], entry.meaning


def _key(entry: Property) -> str:
    return _code((entry.name, *entry.aliases))


def _default(entry: Property) -> str:
    return "" if entry.default is None else f"`{entry.default}`"


def _text(code: int) -> str:
    return next(one.text for kind in (Local, Broker) for one in kind if one == code)


def _raised() -> set[int]:
    """The codes that the shim's own code names, outside of the table of codes."""
    folder = Path(str(shim.__file__)).parent
    files = [file for file in folder.rglob("*.py") if file.name not in {"codes.py", "code_names.py"}]
    return {code for file in files for code in _named_in(ast.parse(file.read_text(encoding="utf-8")))}


def _named_in(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            kind = {"Local": Local, "Broker": Broker}.get(node.value.id)
            if kind is not None and node.attr in kind.__members__:
                yield kind[node.attr]
            if node.value.id == "KafkaError" and node.attr in CODES:
                yield CODES[node.attr]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    yield from (f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)


def _code(texts: Iterable[str]) -> str:
    return ", ".join(f"`{text}`" for text in texts)
