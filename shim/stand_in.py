"""Puts the shim in the place of ``confluent_kafka``, where an application's own imports cannot be changed.

Call `register` before anything imports the original, for instance first of all in the program's entry point::

    from shim.stand_in import register

    register()

What the original has beside the clients, such as ``confluent_kafka.schema_registry``, cannot be imported then; with
``from shim import ...`` it can, and its serializers work with the clients of the shim.
"""

import sys
from importlib import import_module

_PUBLIC = ("admin", "cimpl", "error", "serialization")
_RENAMED = {"_model": "model"}


def register(name: str = "confluent_kafka") -> None:
    """Makes ``import confluent_kafka``, and imports from its submodules, yield the shim in this process.

    Args:
        name: the package to stand in for.

    Raises:
        RuntimeError: that package has been imported already; some of its classes may be in use.
    """
    package = import_module("shim")
    present = sys.modules.get(name)
    if present is package:
        return
    if present is not None:
        raise RuntimeError(f"{name} has been imported already; the shim must be registered before")
    for public in (*_PUBLIC, *_RENAMED.values()):
        import_module(f"shim.{public}")
    loaded = {module: sys.modules[module] for module in sys.modules if module.startswith("shim.")}
    for module, code in loaded.items():
        sys.modules[f"{name}.{module.removeprefix('shim.')}"] = code
    for theirs, ours in _RENAMED.items():
        sys.modules[f"{name}.{theirs}"] = sys.modules[f"shim.{ours}"]
    sys.modules[name] = package
