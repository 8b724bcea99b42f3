"""The section about names: classes, methods, attributes and arguments."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from shim import dual
from tests.compatibility.judgements import Judgement, judgement_of, judgements
from tests.compatibility.original import CLIENTS, MODULES, WHOLES, Entry
from tests.compatibility.ours import more, more_arguments

_WITH = frozenset({"__enter__", "__exit__"})
_SPELT = {
    "__bool__": "bool()",
    "__getitem__": "[]",
    "__iter__": "iter()",
    "__len__": "len()",
}


def names(entries: Sequence[Entry]) -> Iterator[str]:
    """The lines of the section."""
    for module in MODULES:
        yield f"#### `{module}`"
        yield ""
        yield from _module([entry for entry in entries if _home(entry) == module])
        yield ""
    yield "#### Other modules"
    yield ""
    for whole in WHOLES:
        yield f"- `{whole}`: {_said(judgements()[whole])}"
    yield ""
    yield "#### What only the shim has"
    yield ""
    for entry in entries:
        if entry.kind == "class" and (added := [*_more_arguments(entry, entries), *_more_methods(entry)]):
            yield f"- `{_name(entry)}`: {_code(added)}"
    yield f"- `shim.dual`: {_code(dual.__all__)} ([dual-writes.md](dual-writes.md))"


def _more_methods(entry: Entry) -> list[str]:
    return more(entry) if _name(entry) in CLIENTS or _name(entry) == "Message" else []


def _more_arguments(entry: Entry, entries: Iterable[Entry]) -> Iterator[str]:
    for one in entries:
        if one.key.rpartition(".")[0] == entry.key and (added := more_arguments(one)):
            yield f"{_name(one)}(..., {', '.join(added)})"


def _home(entry: Entry) -> str:
    """The module that a name stands under; modules that are judged as wholes stand under none."""
    if entry.kind == "module":
        return ""
    return max((module for module in MODULES if entry.key.startswith(f"{module}.")), key=len)


def _module(entries: Sequence[Entry]) -> Iterator[str]:
    classes = [entry for entry in entries if entry.kind == "class"]
    of_classes = {entry.key for entry in classes}
    loose = [entry for entry in entries if entry.kind != "class" and entry.key.rpartition(".")[0] not in of_classes]
    for kind, some in groupby(sorted(loose, key=lambda entry: entry.kind, reverse=True), lambda entry: entry.kind):
        yield f"- {kind}s, the same: {_code(_signature(entry) for entry in some)}"
    for entry in classes:
        members = [one for one in entries if one.key.rpartition(".")[0] == entry.key]
        yield from _class(entry, members)


def _class(entry: Entry, members: Sequence[Entry]) -> Iterator[str]:
    same = [one for one in members if judgement_of(one) is None or judgement_of(one) == judgement_of(entry)]
    judgement = judgement_of(entry)
    verdict = "the same" if judgement is None else _said(judgement)
    listed = f": {_code(_spelt(same))}" if same else ""
    yield f"- `{_signature(entry)}`, {verdict}{listed}"
    for one in members:
        if one not in same:
            yield f"  - `{_signature(one)}`: {_said(_found(one))}"


def _found(entry: Entry) -> Judgement:
    judgement = judgement_of(entry)
    assert judgement is not None
    return judgement


def _said(judgement: Judgement) -> str:
    return f"**{judgement.verdict}** ({judgement.how})"


def _spelt(members: Iterable[Entry]) -> Iterator[str]:
    members = list(members)
    if any(_name(one) in _WITH for one in members):
        yield "with"
    yield from (_signature(one) for one in members if _name(one) not in _WITH)


def _signature(entry: Entry) -> str:
    name = _SPELT.get(_name(entry), _name(entry))
    if entry.kind in {"function", "method"} and name == _name(entry):
        return f"{name}({', '.join(entry.arguments)})"
    return f"{name}({', '.join(entry.arguments)})" if entry.kind == "class" and entry.arguments else name


def _name(entry: Entry) -> str:
    return entry.key.rpartition(".")[2]


def _code(texts: Iterable[str]) -> str:
    return ", ".join(f"`{text}`" for text in texts)


def counts(entries: Sequence[Entry]) -> Mapping[str, int]:
    """How many names there are by verdict."""
    verdicts = [judgement.verdict if (judgement := judgement_of(entry)) else "the same" for entry in entries]
    return {verdict: verdicts.count(verdict) for verdict in ("the same", "different", "not yet", "refused")}
