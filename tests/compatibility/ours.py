"""What the shim has for a name of the original."""

import dataclasses
import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any

from tests.compatibility.original import PACKAGE, Entry, assigned

_MISSING = object()


def lack(entry: Entry) -> str | None:
    """What the shim lacks of a name; None when it has it, with every argument, or the same value."""
    found = _found(entry.key)
    if found is _MISSING:
        return "is not there"
    if entry.kind == "constant":
        value = getattr(found, "value", found)
        return None if value == entry.value else f"is {value!r}, in the original {entry.value!r}"
    if entry.kind == "class":
        return _lacking(entry, found) if isinstance(found, type) else "is no class"
    if entry.kind in {"function", "method"}:
        return _lacking(entry, found) if callable(found) else "cannot be called"
    return None


def more(entry: Entry) -> list[str]:
    """The public methods that the shim's objects have and the original's do not."""
    path, name = entry.key.rsplit(".", 1)
    theirs, ours = getattr(import_module(path), name), _found(entry.key)
    if not isinstance(ours, type):
        return []
    mine = {
        name
        for base in ours.__mro__
        if base.__module__.startswith("shim")
        for name, found in vars(base).items()
        if not isinstance(found, classmethod)
    }
    return sorted(
        name for name in mine if name[0] != "_" and not hasattr(theirs, name) and name not in assigned(theirs)
    )


def more_arguments(entry: Entry) -> list[str]:
    """The arguments that only the shim's method has: they are given by name."""
    found = _found(entry.key)
    if entry.kind != "method" or not inspect.isfunction(found):
        return []
    parameters = inspect.signature(found).parameters.values()
    return [one.name for one in parameters if one.kind is one.KEYWORD_ONLY and one.name not in entry.arguments]


def _found(key: str) -> Any:
    """The shim's object by the original's path; an attribute that only instances have is told by its name."""
    parts = ("shim" + key.removeprefix(PACKAGE)).split(".")
    found: Any = _module(parts)
    for name in parts[_depth(parts) :]:
        if isinstance(found, type) and name in _of_instances(found):
            return name
        try:
            found = getattr(found, name, _MISSING)
        except ImportError:
            return _MISSING
        if found is _MISSING:
            return _MISSING
    return found


def _depth(parts: list[str]) -> int:
    """How many parts of a path name modules."""
    return next((index for index, name in enumerate(parts) if name[0].isupper() or name == parts[-1]), len(parts))


def _module(parts: list[str]) -> Any:
    try:
        return import_module(".".join(parts[: _depth(parts)]))
    except ImportError:
        return _MISSING


def _of_instances(kind: type) -> set[str]:
    fields = {field.name for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    return fields.union(*(assigned(base) for base in kind.__mro__ if base.__module__.startswith("shim")))


def _lacking(entry: Entry, found: Callable[..., object]) -> str | None:
    if not entry.arguments:
        return None
    parameters = inspect.signature(found).parameters
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values()):
        return None
    missing = [name for name in entry.arguments if name not in parameters]
    return f"has no argument {', '.join(missing)}" if missing else None
