"""A TOML file that an operator wrote: its values, and the line of each."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imagekit.definition.toml_lines import KeyPath, scan_lines
from imagekit.errors import DefinitionInvalid

LIMIT_BYTES = 1 << 20
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


@dataclass(frozen=True, slots=True)
class TomlFile:
    """``name`` is how messages call the file; ``lines`` maps key paths to lines counted from 1."""

    name: str
    values: dict[str, object]
    lines: Mapping[KeyPath, int]

    def find_line(self, path: KeyPath) -> int:
        """Return the line of ``path``, or of the nearest table around it that has one."""
        for length in range(len(path), 0, -1):
            if line := self.lines.get(path[:length]):
                return line
        return 1


def read_toml(path: Path, error: type[DefinitionInvalid] = DefinitionInvalid) -> TomlFile:
    """Read the TOML file at ``path``, at most 1 MiB.

    Raises ``error`` with file, line and reason when it cannot be read, is not UTF-8 or is not TOML.
    """
    return parse_toml(_read_text(path, error), path.name, error)


def parse_toml(text: str, name: str, error: type[DefinitionInvalid] = DefinitionInvalid) -> TomlFile:
    """Read TOML from ``text``; messages call it ``name``. Raises ``error`` when it is not TOML."""
    text = text.replace("\r\n", "\n")
    try:
        return TomlFile(name, tomllib.loads(text), scan_lines(text))
    except tomllib.TOMLDecodeError as problem:
        raise _refuse(name, *_explain(problem, text), error) from None
    except RecursionError:
        raise _refuse(name, 1, "arrays or tables are nested too deeply", error) from None
    except ValueError as problem:  # an integer with more digits than Python converts
        raise _refuse(name, 1, str(problem).partition(";")[0], error) from None


def _read_text(path: Path, error: type[DefinitionInvalid]) -> str:
    try:
        if not path.is_file():  # opening a named pipe would wait for ever
            raise _fail(f"{path} is not a regular file", error)
        with path.open("rb") as file:
            data = file.read(LIMIT_BYTES + 1)
    except OSError as problem:
        raise _fail(f"{path} cannot be read: {problem.strerror}", error) from None
    if len(data) > LIMIT_BYTES:
        raise _fail(f"{path} is larger than {LIMIT_BYTES >> 20} MiB", error)
    try:
        return data.decode("utf-8-sig")  # some editors put a byte order mark in front
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        raise _refuse(path.name, line, "not UTF-8; save the file in that encoding", error) from None


def _explain(problem: tomllib.TOMLDecodeError, text: str) -> tuple[int, str]:
    """Return line and reason of a syntax error; tomllib has them only in its message before Python 3.14."""
    said = str(problem)
    place = _PLACE.search(said)
    if place is None:
        return 1, said
    reason = said[: place.start()]
    reason = f"not TOML: {reason[:1].lower()}{reason[1:]}"
    if place.group(1) is None:
        return text.rstrip("\n").count("\n") + 1, f"{reason} at the end of the file"
    return int(place.group(1)), f"{reason} in column {place.group(2)}"


def _refuse(name: str, line: int, reason: str, error: type[DefinitionInvalid]) -> DefinitionInvalid:
    sentence = f"{name}:{line}: {reason}"
    return error(f"{name} cannot be read", problems=[sentence])


def _fail(sentence: str, error: type[DefinitionInvalid]) -> DefinitionInvalid:
    return error(sentence)
