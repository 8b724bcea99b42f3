"""The surface of the installed ``confluent_kafka``: every name, method, attribute and argument, by introspection.

What Python code cannot tell of itself, the C module's arguments, is read from the stub that ships beside it.
"""

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib import import_module
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Literal

import confluent_kafka.cimpl

PACKAGE = "confluent_kafka"
MODULES = (PACKAGE, f"{PACKAGE}.admin", f"{PACKAGE}.error", f"{PACKAGE}.serialization", f"{PACKAGE}.cimpl")
WHOLES = (f"{PACKAGE}.aio", f"{PACKAGE}.avro", f"{PACKAGE}.kafkatest", f"{PACKAGE}.schema_registry")
"""Modules that are judged as wholes."""

CODES = {name: code for name, code in vars(confluent_kafka.cimpl.KafkaError).items() if isinstance(code, int)}
"""The error codes, which have a section of their own."""

CLIENTS = frozenset({"AdminClient", "Consumer", "Producer", "ShareConsumer"})
"""Their constructors take a configuration, whose keys have a section of their own."""

Kind = Literal["module", "class", "function", "method", "attribute", "constant"]

_HOMES = (PACKAGE, "cimpl")
_DUNDERS = frozenset({"__bool__", "__enter__", "__exit__", "__getitem__", "__iter__", "__len__"})

_SPELT_OTHERWISE = {
    "isolation_level_value": "isolation_level",
    "states_int": "states",
    "types_int": "types",
}
"""How the C half of the admin client calls what its Python half takes."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One name.

    Attributes:
        key: the dotted path by which an application reaches it.
        kind: what it is.
        arguments: the names of its arguments, in order; of a class those of its constructor.
        value: of a constant.
    """

    key: str
    kind: Kind
    arguments: tuple[str, ...] = ()
    value: object = None


def surface() -> list[Entry]:
    """Every name; a class stands once, under the first module that has it."""
    entries = [Entry(whole, "module") for whole in WHOLES]
    seen: set[object] = set()
    for path in MODULES:
        module = import_module(path)
        for name, found in sorted(_public(module).items()):
            if isinstance(found, type) and found in seen:
                continue
            if isinstance(found, type):
                seen.add(found)
            entries += _entries(f"{path}.{name}", found)
    return entries


def _public(module: ModuleType) -> Mapping[str, object]:
    names = {name for name, found in vars(module).items() if not name.startswith("_") and _belongs(found)}
    if module.__name__ == PACKAGE:
        names.add("__version__")
    return {name: getattr(module, name) for name in names}


def _belongs(found: object) -> bool:
    if isinstance(found, int):
        return not isinstance(found, bool)
    return (inspect.isclass(found) or inspect.isroutine(found)) and str(found.__module__).startswith(_HOMES)


def _entries(key: str, found: object) -> Iterator[Entry]:
    if isinstance(found, type):
        yield Entry(key, "class", _arguments_of_class(found))
        for name, member in sorted(_members(found).items()):
            yield _member(f"{key}.{name}", found, name, member)
    elif callable(found):
        yield Entry(key, "function", _stub_of("", key.rpartition(".")[2]))
    else:
        yield Entry(key, "constant", value=found)


def _members(kind: type) -> Mapping[str, object]:
    """Methods and attributes of a class, with those of its bases that have no name of their own in the API."""
    if issubclass(kind, Enum):
        return {name: member.value for name, member in kind.__members__.items()}
    own = [base for base in reversed(kind.__mro__) if base is kind or base.__name__.startswith("_")]
    members: dict[str, object] = {}
    for base in own:
        members |= dict.fromkeys(assigned(base))
        members |= {name: member for name, member in vars(base).items() if name in _DUNDERS or name[0] != "_"}
    return {name: member for name, member in members.items() if name not in CODES or kind.__name__ != "KafkaError"}


def _member(key: str, kind: type, name: str, member: object) -> Entry:
    if issubclass(kind, Enum):
        return Entry(key, "constant", value=member)
    if name in _DUNDERS:
        return Entry(key, "method")
    if inspect.isroutine(member):
        return Entry(key, "method", _arguments_of_method(kind, name, getattr(kind, name)))
    return Entry(key, "attribute")


def assigned(kind: type) -> set[str]:
    """The public attributes that a class's own methods give ``self``."""
    if not _has_source(kind):
        return set()
    tree = ast.parse(dedent(inspect.getsource(kind)))
    targets = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store))
    return {
        target.attr
        for target in targets
        if isinstance(target.value, ast.Name) and target.value.id == "self" and target.attr[0] != "_"
    }


def _has_source(kind: type) -> bool:
    try:
        return bool(inspect.getsourcefile(kind))
    except TypeError:
        return False


def _arguments_of_class(kind: type) -> tuple[str, ...]:
    if kind.__name__ in CLIENTS or issubclass(kind, Enum):
        return ()
    if "__init__" in _stubs().get(kind.__name__, {}):
        return _stub_of(kind.__name__, "__init__")
    constructor = kind.__init__
    return _named(inspect.signature(constructor)) if inspect.isfunction(constructor) else ()


def _arguments_of_method(kind: type, name: str, method: object) -> tuple[str, ...]:
    if not (inspect.isfunction(method) or inspect.ismethod(method)):
        return next(
            (_stub_of(base.__name__, name) for base in kind.__mro__ if name in _stubs().get(base.__name__, {})), ()
        )
    signature = inspect.signature(method)
    own = _named(signature)
    if not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in signature.parameters.values()):
        return own
    told = re.findall(r":param (?:[^:\n]+ )?(\w+):", method.__doc__ or "")
    behind = [_SPELT_OTHERWISE.get(one, one) for one in _stub_of("_AdminClientImpl", name, optional=True)]
    return tuple(dict.fromkeys((*own, *told, *behind)))


def _named(signature: inspect.Signature) -> tuple[str, ...]:
    several = {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}
    return tuple(name for name, one in signature.parameters.items() if name != "self" and one.kind not in several)


def _stub_of(owner: str, name: str, *, optional: bool = False) -> tuple[str, ...]:
    """The arguments that the stub knows of a method, or of a function for an empty owner; every overload's."""
    found: dict[str, None] = {}
    for function in _stubs().get(owner, {}).get(name, []):
        arguments = [*function.args.posonlyargs, *function.args.args]
        required = len(arguments) - len(function.args.defaults)
        found |= dict.fromkeys(one.arg for one in arguments[required if optional else 0 :])
        found |= dict.fromkeys(one.arg for one in function.args.kwonlyargs)
    found.pop("self", None)
    return tuple(found)


@cache
def _stubs() -> Mapping[str, Mapping[str, list[ast.FunctionDef]]]:
    """The functions of the C module's stub, by class and name."""
    text = Path(str(confluent_kafka.__file__)).with_name("cimpl.pyi").read_text(encoding="utf-8")
    tree = ast.parse(text)
    classes = {node.name: _functions(node.body) for node in tree.body if isinstance(node, ast.ClassDef)}
    return {**classes, "": _functions(tree.body)}


def _functions(body: list[ast.stmt]) -> Mapping[str, list[ast.FunctionDef]]:
    found: dict[str, list[ast.FunctionDef]] = {}
    for node in body:
        if isinstance(node, ast.FunctionDef):
            found.setdefault(node.name, []).append(node)
    return found
