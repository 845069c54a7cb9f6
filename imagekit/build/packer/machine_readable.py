"""What ``packer -machine-readable`` writes, as values.

A line is ``epoch,target,kind,data…`` (developer.hashicorp.com/packer/docs/commands#machine-readable-output); inside the
data a comma is ``%!(PACKER_COMMA)``, a newline ``\\n`` and a carriage return ``\\r``, while a backslash itself is not
escaped (packer/ui.go). Guests and scripts write into these lines, so whatever comes is some value and never an error.
"""

from collections.abc import Iterable
from dataclasses import dataclass

_LONGEST_LINE = 1 << 20
_MOST_ARTIFACTS = 64
_MOST_FILES = 4096


@dataclass(frozen=True, slots=True)
class Said:
    """Text for a person, perhaps of several lines; ``error`` for what Packer shows as one, remote stderr included."""

    text: str
    error: bool


@dataclass(frozen=True, slots=True)
class ArtifactCount:
    """How many artifacts ``build`` made: the only word that means success."""

    build: str
    count: int


@dataclass(frozen=True, slots=True)
class ArtifactFact:
    """One fact about artifact ``index`` of ``build``: ``id``, ``string``, ``builder-id``, ``file`` …"""

    build: str
    index: int
    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BuildFailed:
    """Why ``build`` failed, in Packer's words."""

    build: str
    text: str


@dataclass(frozen=True, slots=True)
class Other:
    """A line of another kind, or none of Packer's at all; ``line`` is all of it."""

    line: str


Message = Said | ArtifactCount | ArtifactFact | BuildFailed | Other


@dataclass(frozen=True, slots=True)
class Artifact:
    """What one build left: for ``qemu`` files, for Proxmox a VM whose number is ``id``."""

    build: str
    builder: str
    id: str
    description: str
    files: tuple[str, ...]


def parse_line(line: str) -> Message:
    """Return what one line says, its newline already gone."""
    parts = line.split(",")
    if len(parts) < 4 or not _is_number(parts[0]):
        return Other(line)
    target, kind, data = parts[1], parts[2], [unescape(part) for part in parts[3:]]
    match kind, data:
        case "ui", [level, *text]:
            return Said(",".join(text), level == "error")
        case "artifact-count", [count] if _is_number(count):
            return ArtifactCount(target, int(count))
        case "artifact", [index, key, *values] if _is_number(index):
            return ArtifactFact(target, int(index), key, tuple(values))
        case "error", text:
            return BuildFailed(target, ",".join(text))
        case _:
            return Other(line)


def unescape(text: str) -> str:
    """Return one field as it was before Packer wrote it, but for a backslash and letter that were there already."""
    return text.replace("%!(PACKER_COMMA)", ",").replace("\\n", "\n").replace("\\r", "\r")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


class LineReader:
    """Cut a stream into messages; of a line over 1 MiB the beginning is kept."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """Take the next bytes and return the messages that they complete."""
        *lines, rest = data.split(b"\n")
        found = []
        for line in lines:
            self._add(line)
            found.append(self._take())
        self._add(rest)
        return found

    def close(self) -> list[Message]:
        """Return the message of a last line that had no newline, if there is one."""
        return [self._take()] if self._rest else []

    def _add(self, part: bytes) -> None:
        self._rest += part[: max(0, _LONGEST_LINE - len(self._rest))]

    def _take(self) -> Message:
        line = self._rest.decode(errors="replace").removesuffix("\r")
        self._rest.clear()
        return parse_line(line)


def collect_artifacts(messages: Iterable[Message]) -> tuple[Artifact, ...]:
    """Return the artifacts that ``messages`` tell of, in order, 64 of them with 4096 files each at most."""
    facts: dict[tuple[str, int], list[ArtifactFact]] = {}
    for message in messages:
        if isinstance(message, ArtifactFact):
            key = message.build, message.index
            if key in facts or len(facts) < _MOST_ARTIFACTS:
                facts.setdefault(key, []).append(message)
    return tuple(_join_facts(build, found) for (build, _index), found in sorted(facts.items()))


def _join_facts(build: str, facts: list[ArtifactFact]) -> Artifact:
    single = {fact.key: fact.values[0] for fact in facts if len(fact.values) == 1}
    files = tuple(fact.values[1] for fact in facts if fact.key == "file" and len(fact.values) == 2)[:_MOST_FILES]
    return Artifact(build, single.get("builder-id", ""), single.get("id", ""), single.get("string", ""), files)
