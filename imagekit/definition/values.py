"""Readers of values of any kind: what TOML gave becomes a typed value, or :class:`Wrong` says why not."""

import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagekit.definition.model import MIB
from imagekit.definition.problems import Problems, Wrong, name_type, quote, suggest
from imagekit.definition.size import parse_size
from imagekit.definition.toml_lines import KeyPath

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SIZE_HINT = 'write bytes, or a number and one of K, M, G, T, such as "2G"'


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a value stands: its key path, the directory of its file, and who takes down mistakes."""

    path: KeyPath
    directory: Path
    problems: Problems

    def enter(self, *parts: str | int) -> "Scope":
        """Return the scope of a key or an element inside this value, or of one further in."""
        return Scope((*self.path, *parts), self.directory, self.problems)


Reader = Callable[[Any, Scope], Any]
"""Takes what TOML gave and its scope, returns the typed value, raises :class:`Wrong`."""


def read_text(value: object, _scope: Scope) -> str:
    """Return a string of one line or more."""
    if not isinstance(value, str):
        raise Wrong(f"expected a string, found {name_type(value)}")
    return value


def read_boolean(value: object, _scope: Scope) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        raise Wrong(f"expected true or false, found {name_type(value)}")
    return value


def read_count(smallest: int, largest: int) -> Reader:
    """Return a reader of integers from ``smallest`` to ``largest``."""

    def read(value: object, _scope: Scope) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise Wrong(f"expected an integer, found {name_type(value)}")
        if not smallest <= value <= largest:
            raise Wrong(f"{name_type(value)} is out of range; it must be {smallest} to {largest}")
        return value

    return read


def read_size(smallest: int, largest: int, *, zero: str = "") -> Reader:
    """Return a reader of sizes from ``smallest`` to ``largest`` bytes in whole MiB; ``zero`` says what 0 would mean."""

    def read(value: object, _scope: Scope) -> int:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise Wrong(f"expected a size, found {name_type(value)}; {_SIZE_HINT}")
        try:
            size = parse_size(value) if isinstance(value, str) else value
        except ValueError:
            raise Wrong(f"{quote(str(value))} is not a size; {_SIZE_HINT}") from None
        if zero and size == 0:
            return 0
        if not smallest <= size <= largest:
            limits = (
                f"{smallest // MIB}M to {largest >> 40}T"
                if largest >> 40
                else f"{smallest // MIB}M to {largest // MIB}M"
            )
            raise Wrong(f"{_show(value)} is out of range; it must be {limits}{f', or 0 for {zero}' if zero else ''}")
        if size % MIB:
            raise Wrong(f"{_show(value)} is not a multiple of 1 MiB")
        return size

    return read


def read_choice(choices: Mapping[str, Any]) -> Reader:
    """Return a reader that maps one of the strings in ``choices`` to its value."""

    def read(value: object, scope: Scope) -> object:
        text = read_text(value, scope)
        if text in choices:
            return choices[text]
        allowed = " or ".join(f'"{choice}"' for choice in choices)
        meant = suggest(text, choices)
        raise Wrong(
            f"{quote(text)} is not {allowed}{f'; did you mean {meant!r}?' if meant and len(choices) > 1 else ''}"
        )

    return read


def read_each(reader: Reader, *, unique: Callable[[Any], Hashable] | None = None, at: str = "") -> Reader:
    """Return a reader of arrays whose elements ``reader`` reads; wrong ones are taken down and left out.

    ``unique`` gives what no two elements may share, and ``at`` the key in the element that holds it.
    """

    def read(value: object, scope: Scope) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise Wrong(f"expected an array, found {name_type(value)}")
        items, seen = [], set()
        for index, element in enumerate(value):
            place = scope.enter(index)
            try:
                item = reader(element, place)
            except Wrong as problem:
                scope.problems.add(place.path, str(problem))
                continue
            if item is None:  # a table that could not be made; its problems are taken down
                continue
            if unique is not None and (mark := unique(item)) in seen:
                scope.problems.add(place.enter(at).path if at else place.path, f"{quote(str(mark))} is there twice")
            elif unique is not None:
                seen.add(mark)
            items.append(item)
        return tuple(items)

    return read


def _show(value: int | str) -> str:
    return quote(value) if isinstance(value, str) else name_type(value)
