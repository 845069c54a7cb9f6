"""Who moved which channel from where to where, when and why: one JSON line for each move, only ever appended.

A line counts when its newline is there. What follows the last newline was torn by a crash; readers pass over it and the
next writer cuts it off.
"""

import os
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec

from imagekit.durable import append_lines, read_whole
from imagekit.errors import StoreError
from imagekit.image import VersionId
from imagekit.store.encoding import encode_json

_HISTORY_BYTES = 256 << 20
_REASON_CHARACTERS = 1000


class Action(StrEnum):
    """What moved a channel."""

    ADD = "add"
    PROMOTE = "promote"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One move of ``channel`` from ``previous`` (None: it pointed nowhere) to ``version``; ``who`` is user@host."""

    when: datetime
    who: str
    action: Action
    channel: str
    previous: VersionId | None
    version: VersionId
    reason: str = ""


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The shape of one line."""

    when: Annotated[datetime, msgspec.Meta(tz=True)]
    who: str
    action: Action
    channel: str
    from_: str | None = msgspec.field(name="from")
    to: str
    reason: str = ""


def read_history(path: Path) -> tuple[HistoryEntry, ...]:
    """Return what was recorded, oldest first; empty when there is no such file.

    Raises :class:`StoreError` naming file and line when a whole line is not one that imagekit wrote.
    """
    try:
        data = read_whole(path, _HISTORY_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return ()
    *whole, _torn = data.split(b"\n")
    return tuple(_decode_line(path, number, line) for number, line in enumerate(whole, 1))


def append_history(path: Path, entries: tuple[HistoryEntry, ...]) -> None:
    """Record moves durably, all in one write. A crash leaves the first few of them, or none; never half of one."""
    if entries:
        append_lines(path, b"".join(encode_json(_encode_entry(entry)) + b"\n" for entry in entries))


def _encode_entry(entry: HistoryEntry) -> _Line:
    return _Line(
        when=entry.when,
        who=entry.who,
        action=entry.action,
        channel=entry.channel,
        from_=None if entry.previous is None else str(entry.previous),
        to=str(entry.version),
        reason=entry.reason[:_REASON_CHARACTERS],
    )


def _decode_line(path: Path, number: int, data: bytes) -> HistoryEntry:
    try:
        line = msgspec.json.decode(data, type=_Line)
        previous = None if line.from_ is None else VersionId.parse(line.from_)
        version = VersionId.parse(line.to)
    except (msgspec.MsgspecError, ValueError, RecursionError) as problem:
        raise StoreError(
            f"{path} is damaged in line {number}: {problem}", hint="restore the file from a backup, or remove that line"
        ) from None
    return HistoryEntry(line.when, line.who, line.action, line.channel, previous, version, line.reason)


def describe_history(entry: HistoryEntry) -> dict[str, object]:
    """Return an entry as JSON-ready values with the keys of its line in the file."""
    return {
        "when": entry.when.isoformat(),
        "who": entry.who,
        "action": str(entry.action),
        "channel": entry.channel,
        "from": None if entry.previous is None else str(entry.previous),
        "to": str(entry.version),
        "reason": entry.reason,
    }


def name_operator() -> str:
    """Return user@host of this process, by the password database: an environment can say anything."""
    import pwd
    import socket

    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a container's user without an entry
        user = str(os.geteuid())
    return f"{user}@{socket.gethostname()}"
