"""``playbooks/compatibility.md``: what stands between two marks is written by this package, the rest by people."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.compatibility import names, tables
from tests.compatibility.original import surface

FILE = Path(__file__).parents[2] / "playbooks" / "compatibility.md"

_SECTION = re.compile(r"(<!-- (\w+): python -m tests\.compatibility -->\n)(.*?)(<!-- end -->)", re.DOTALL)


class MarkError(Exception):
    """The document lacks a mark, or has one that nobody writes."""


def written(document: str) -> str:
    """Returns the document with its marked sections written anew."""
    sections = _sections()
    marked = [found[2] for found in _SECTION.finditer(document)]
    if sorted(marked) != sorted(sections):
        raise MarkError(f"marks for {sorted(sections)} are wanted, there are {sorted(marked)}")
    return _SECTION.sub(lambda found: f"{found[1]}\n{sections[found[2]]}\n\n{found[4]}", document)


def _sections() -> Mapping[str, str]:
    entries = surface()
    return {
        "summary": _text(_summary(names.counts(entries))),
        "behaviour": _text(tables.behaviour()),
        "names": _text(names.names(entries)),
        "properties": _text(tables.properties()),
        "topics": _text(tables.topic_configs()),
        "codes": _text(tables.codes()),
    }


def _summary(counts: Mapping[str, int]) -> list[str]:
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    return [f"Of {sum(counts.values())} names: {told}."]


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines).strip()
