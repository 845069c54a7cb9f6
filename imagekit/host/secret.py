"""A secret that is fetched when it is needed, once, and never shown: from a value, a file, or a password manager."""

import os
import re
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from imagekit.errors import SettingsInvalid, ToolFailed, ToolMissing
from imagekit.host.local import run
from imagekit.host.tools import find_tool

LONGEST_BYTES = 16 << 10
REFERENCE_PREFIX = "op://"
_REFERENCE = re.compile(r"op://[^/\x00-\x1f]+(?:/[^/\x00-\x1f]+){2,3}", re.IGNORECASE)
_VISIBLE = re.compile(rb"[!-~]+(?: +[!-~]+)*")
_OP_SECONDS = 120.0  # the password manager may ask its owner for a finger


class Secret:
    """Something that nobody may read by accident: its ``repr`` and ``str`` say where it is from and nothing else.

    It cannot be pickled, and a copy of it is itself. Threads that ask at the same time cause one fetch.
    """

    __slots__ = ("_fetch", "_lock", "_value", "origin")

    def __init__(self, origin: str, fetch: Callable[[], str]) -> None:
        """``origin`` names the place for people (``PROXMOX_TOKEN_SECRET``); ``fetch`` is called once, on first use."""
        self.origin = origin
        self._fetch = fetch
        self._lock = threading.Lock()
        self._value: str | None = None

    @classmethod
    def from_text(cls, origin: str, text: str) -> "Secret":
        """Return the secret that is ``text``, or that 1Password has where ``text`` is an ``op://`` reference.

        Raises :class:`SettingsInvalid` at once when it cannot be either; nothing is fetched yet.
        """
        if not is_reference(text):
            value = _check(text.encode(errors="replace"), origin)
            return cls(origin, lambda: value)
        if not _REFERENCE.fullmatch(text):
            raise SettingsInvalid(f"{origin} is not a whole reference, such as op://VAULT/ITEM/FIELD")
        return cls(origin, lambda: _fetch_reference(text, origin))

    @classmethod
    def from_file(cls, origin: str, path: Path) -> "Secret":
        """Return the secret that is in the file at ``path``, without the line end that editors put there.

        The file is read on first use, and judged as :func:`require_private` does.
        """
        return cls(origin, lambda: _read_file(path, origin))

    def reveal(self) -> str:
        """Return the secret; raises what fetching raises (a file that cannot be read, a tool that is missing).

        A fetch that failed is tried again by the next call.
        """
        with self._lock:
            if self._value is None:
                self._value = self._fetch()
            return self._value

    def __repr__(self) -> str:
        return f"Secret(from {self.origin})"

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, _memo: object) -> "Secret":
        return self

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError(f"{self!r} cannot be pickled")


def is_reference(text: str) -> bool:
    """Say whether ``text`` names a secret in 1Password (https://developer.1password.com/docs/cli/secret-references)."""
    return text[: len(REFERENCE_PREFIX)].lower() == REFERENCE_PREFIX


def require_private(path: Path) -> None:
    """Raise :class:`SettingsInvalid` unless ``path`` is a regular file that not everybody on this machine can read.

    A group may read it: service managers give secrets to a group of their own.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as problem:  # ValueError: a zero byte in the name
        reason = problem.strerror if isinstance(problem, OSError) else "that cannot be a file's name"
        raise SettingsInvalid(f"{path} cannot be read: {reason}") from None
    _judge(path, found)


def _judge(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise SettingsInvalid(f"{path} is not a regular file")
    if found.st_mode & 0o007:
        raise SettingsInvalid(
            f"{path} holds a secret and is open to everybody on this machine; run chmod 600 {path}",
            hint="if others can log in here, make a new token: this one may have been read",
        )


def _read_file(path: Path, origin: str) -> str:
    require_private(path)  # the sentences of a missing file; what was opened is judged again
    try:
        # O_NONBLOCK: opening a named pipe that took the file's place would wait for ever
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123 - a descriptor
            _judge(path, os.fstat(file.fileno()))
            data = file.read(LONGEST_BYTES + 3)
    except OSError as problem:
        raise SettingsInvalid(f"{path} cannot be read: {problem.strerror}") from None
    return _check(data.removesuffix(b"\n").removesuffix(b"\r"), origin)


def _fetch_reference(reference: str, origin: str) -> str:
    """Ask 1Password's ``op read``; of our environment it gets what tells it its account, and nothing else."""
    if not find_tool("op", required=False):
        raise ToolMissing(
            f"op is not installed, and {origin} refers to 1Password",
            hint="install 1Password's command line tool (package 1password-cli), or give the secret in a file",
        )
    account = {name: value for name, value in os.environ.items() if name.startswith("OP_") or name == "XDG_CONFIG_HOME"}
    said = run(
        ["op", "read", "--no-newline", reference], environment=account, timeout=_OP_SECONDS, check=False
    )  # not checked there: a failure's report may end with standard output, which is the secret's place
    if said.status != 0:
        raise ToolFailed(
            f"op could not read the secret of {origin}",
            detail=said.errors.strip()[-2000:],
            hint="try the same reference with op read in this terminal",
        )
    return _check(said.output, origin)


def _check(data: bytes, origin: str) -> str:
    """Return a secret that can stand in one line of a request; the bytes are in no message and no exception."""
    if len(data) > LONGEST_BYTES:
        raise SettingsInvalid(f"the secret of {origin} is longer than {LONGEST_BYTES >> 10} KiB")
    if not data:
        raise SettingsInvalid(f"the secret of {origin} is empty")
    if not _VISIBLE.fullmatch(data):
        raise SettingsInvalid(f"the secret of {origin} is not one line of plain ASCII without spaces around it")
    return data.decode("ascii")
