"""What ``vagrant … --machine-readable`` writes, as values.

A line is ``epoch,target,kind,data…`` (developer.hashicorp.com/vagrant/docs/cli/machine-readable); inside the data a
comma is ``%!(VAGRANT_COMMA)``, a newline ``\\n`` and a carriage return ``\\r``, while a backslash itself is not escaped
(lib/vagrant/ui.rb, MachineReadable). The guest's output comes in such lines too, and plugins print lines of their own
between them, so whatever comes is some value and never an error.
"""

from collections.abc import Iterable
from dataclasses import dataclass

_LONGEST_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class Line:
    """One line: ``target`` is the machine or empty, ``kind`` such as ``ui``, ``state``, ``error-exit``.

    A line that is not Vagrant's has kind ``""`` and its text as the only datum.
    """

    target: str
    kind: str
    data: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """Why Vagrant ended with an error: the Ruby class of the exception, and its message."""

    name: str
    message: str

    @property
    def short_name(self) -> str:
        """The class without its modules, such as ``VMBootTimeout``."""
        return self.name.rpartition("::")[2]


def parse_line(text: str) -> Line:
    """Return what one line says, its newline already gone."""
    parts = text.split(",")
    if len(parts) < 3 or not (parts[0].isascii() and parts[0].isdigit() and len(parts[0]) <= 18):
        return Line("", "", (text,))
    return Line(parts[1], parts[2], tuple(unescape(part) for part in parts[3:]))


def unescape(text: str) -> str:
    """Return one datum as it was before Vagrant wrote it, but for a backslash and letter that were there already."""
    return text.replace("%!(VAGRANT_COMMA)", ",").replace("\\n", "\n").replace("\\r", "\r")


def parse_output(output: bytes) -> list[Line]:
    """Return all lines of a command that has ended."""
    return [parse_line(line) for line in output.decode(errors="replace").splitlines() if line]


def find_datum(lines: Iterable[Line], kind: str) -> str:
    """Return the first datum of the last line of ``kind``; empty without one."""
    found = ""
    for line in lines:
        if line.kind == kind and line.data:
            found = line.data[0]
    return found


def find_fault(lines: Iterable[Line]) -> Fault | None:
    """Return the error that ended Vagrant, if it told one."""
    fault = None
    for line in lines:
        if line.kind == "error-exit" and line.data:
            fault = Fault(line.data[0], line.data[1] if len(line.data) > 1 else "")
    return fault


class LineReader:
    """Cut a stream into lines; of a line over 1 MiB the beginning is kept."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[Line]:
        """Take the next bytes and return the lines that they complete."""
        *complete, rest = data.split(b"\n")
        found = []
        for part in complete:
            self._add(part)
            found.append(self._take())
        self._add(rest)
        return found

    def close(self) -> list[Line]:
        """Return a last line that had no newline, if there is one."""
        return [self._take()] if self._rest else []

    def _add(self, part: bytes) -> None:
        self._rest += part[: max(0, _LONGEST_LINE - len(self._rest))]

    def _take(self) -> Line:
        text = self._rest.decode(errors="replace").removesuffix("\r")
        self._rest.clear()
        return parse_line(text)
