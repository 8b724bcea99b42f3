"""What values a property takes, and what librdkafka says of those that it does not.

Each of these reads the text of a value, since that is all that reaches librdkafka: ``str()`` of what the application
gave. None and the empty text are the same. What they refuse raises ValueError with librdkafka's own words; numbers are
read as C reads them, so ``5ms`` is 5 and ``0x10`` is 16.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import psycopg
from psycopg.conninfo import conninfo_to_dict

_C_INTEGER = re.compile(r"\s*([+-]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)")
_C_FLOAT = re.compile(r"\s*[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf)", re.IGNORECASE)
_TRUE = frozenset({"true", "t", "1"})
_FALSE = frozenset({"false", "f", "0"})


class Values(Protocol):
    """Which values a property takes."""

    def read(self, name: str, text: str | None) -> object:
        """Returns the value; raises ValueError with a text for the application."""


@dataclass(frozen=True, slots=True)
class Text:
    """Any text; the empty one is None."""

    def read(self, name: str, text: str | None) -> object:
        """Returns the text."""
        del name
        return text or None


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number within a range; some are known by a word, as ``all`` is -1."""

    low: int
    high: int
    words: Mapping[str, int] = field(default_factory=dict)

    def read(self, name: str, text: str | None) -> object:
        """Returns the number."""
        if not text:
            raise ValueError(f'Integer configuration property "{name}" cannot be set to empty value')
        if text.lower() in self.words:
            return self.words[text.lower()]
        found = _C_INTEGER.match(text)
        if not found:
            raise ValueError(f'Invalid value for configuration property "{name}"')
        number = _c_integer(found.group(2)) * (-1 if found.group(1) == "-" else 1)
        _check_range(name, number, self.low, self.high)
        return number


@dataclass(frozen=True, slots=True)
class Float:
    """A number within a range."""

    low: int
    high: int

    def read(self, name: str, text: str | None) -> object:
        """Returns the number."""
        if not text:
            raise ValueError(f'Float configuration property "{name}" cannot be set to empty value')
        number = _c_float(text)
        if number is None:
            raise ValueError(f'Invalid value for configuration property "{name}"')
        _check_range(name, number, self.low, self.high)
        return number


@dataclass(frozen=True, slots=True)
class Boolean:
    """True or false; a switch of our own is also on or off."""

    switch: bool = False

    def read(self, name: str, text: str | None) -> object:
        """Returns the truth."""
        if not text:
            raise ValueError(f'Bool configuration property "{name}" cannot be set to empty value')
        word = text.lower()
        if word in _TRUE or (self.switch and word == "on"):
            return True
        if word in _FALSE or (self.switch and word == "off"):
            return False
        raise ValueError(f'Expected bool value for "{name}": true or false')


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words, in any case; ``same`` maps those that mean another one."""

    words: tuple[str, ...]
    same: Mapping[str, str] = field(default_factory=dict)

    def read(self, name: str, text: str | None) -> object:
        """Returns the word in lower case, by the name that is used within."""
        if not text:
            raise ValueError(f'Configuration property "{name}" cannot be set to empty value')
        known = {word.lower(): word for word in self.words}
        if text.lower() not in known:
            raise ValueError(f'Invalid value "{text}" for configuration property "{name}"')
        word = known[text.lower()]
        return self.same.get(word, word)


@dataclass(frozen=True, slots=True)
class Word:
    """One of a few words, in this case only."""

    words: tuple[str, ...]

    def read(self, name: str, text: str | None) -> object:
        """Returns the word."""
        if text not in self.words:
            raise ValueError(f'Invalid value for configuration property "{name}": {text or "(null)"}')
        return text


@dataclass(frozen=True, slots=True)
class Flags:
    """Words separated by commas; a minus takes one away."""

    words: tuple[str, ...]

    def read(self, name: str, text: str | None) -> object:
        """Returns the words, in order."""
        if not text:
            raise ValueError(f'Configuration property "{name}" cannot be set to empty value')
        given = [word.strip() for word in text.split(",") if word.strip()]
        for word in (signed.lstrip("+-") for signed in given):
            if word not in self.words:
                raise ValueError(f'Invalid value "{word}" for configuration property "{name}"')
        return tuple(given)


@dataclass(frozen=True, slots=True)
class Patterns:
    """Regular expressions separated by commas."""

    def read(self, name: str, text: str | None) -> object:
        """Returns the patterns, in order."""
        del name
        patterns = tuple((text or "").split(",")) if text else ()
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error:
                raise ValueError(f'Failed to parse pattern "{pattern}": Invalid regular expression') from None
        return patterns


@dataclass(frozen=True, slots=True)
class ConnectionString:
    """A connection string of libpq: a URL, or keywords and values."""

    def read(self, name: str, text: str | None) -> object:
        """Returns the string; what is wrong with it is not repeated, since it may be a piece of the password."""
        try:
            conninfo_to_dict(text or "")
        except psycopg.Error:
            raise ValueError(f'Invalid value for configuration property "{name}"') from None
        return text or None


@dataclass(frozen=True, slots=True)
class Dedicated:
    """What only a C program can set."""

    internal: bool = False

    def read(self, name: str, text: str | None) -> object:
        """Always raises ValueError."""
        del text
        if self.internal:
            raise ValueError(f'Internal property "{name}" not settable')
        raise ValueError(f'Property "{name}" must be set through dedicated .._set_..() function')


def _c_integer(digits: str) -> int:
    if digits[:2].lower() == "0x":
        return int(digits, 16)
    return int(digits, 8) if digits.startswith("0") else int(digits)


def _c_float(text: str) -> float | None:
    whole = _C_INTEGER.match(text)
    if whole and whole.group(2)[:2].lower() == "0x":
        return float(_c_integer(whole.group(2)))
    found = _C_FLOAT.match(text)
    return float(found.group()) if found else None


def _check_range(name: str, number: float, low: int, high: int) -> None:
    if not low <= number <= high:
        shown = number if isinstance(number, int) else f"{number:g}"
        raise ValueError(f'Configuration property "{name}" value {shown} is outside allowed range {low}..{high}')
