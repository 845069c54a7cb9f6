"""known_hosts files as sshd(8) describes them: names with wildcards, negation and hashes, and revoked keys.

paramiko's own loader gives up on a file with ``@revoked`` or ``@cert-authority`` in it and knows no wildcards.
"""

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from imagekit.errors import HostFailed
from imagekit.host.ssh import HostKey

_TYPES = ("ssh-", "ecdsa-sha2-", "sk-")


@dataclass(frozen=True, slots=True)
class KnownKeys:
    """What the files say about one host; keys of certificate authorities are left out."""

    trusted: tuple[HostKey, ...]
    revoked: tuple[HostKey, ...]


def read_known_keys(files: Iterable[Path], name: str) -> KnownKeys:
    """Return the keys of the host ``name`` (``host`` or ``[host]:port``); raises :class:`HostFailed` for a bad file.

    A file that is not there says nothing; so does a line that makes no sense.
    """
    trusted: list[HostKey] = []
    revoked: list[HostKey] = []
    for file in files:
        try:
            text = file.read_text(errors="replace") if file.is_file() else ""
        except OSError as problem:
            raise HostFailed(f"{file} cannot be read: {problem.strerror}") from problem
        for marker, key in _read_lines(text, name):
            if marker == "@revoked":
                revoked.append(key)
            elif not marker:
                trusted.append(key)
    return KnownKeys(tuple(trusted), tuple(revoked))


def _read_lines(text: str, name: str) -> Iterator[tuple[str, HostKey]]:
    """Yield marker and key of each line about the host."""
    for line in text.splitlines():
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) >= 3 and not words[0].startswith("#") and words[1].startswith(_TYPES) and _names(words[0], name):
            try:
                base64.b64decode(words[2], validate=True)
            except binascii.Error:
                continue
            yield marker, HostKey(words[1], words[2])


def _names(patterns: str, name: str) -> bool:
    """Say whether the first field of a line means the host; one negated pattern that matches is enough for no."""
    if patterns.startswith("|1|"):
        return _is_hash_of(patterns, name)
    found = False
    for pattern in patterns.lower().split(","):
        plain = pattern.removeprefix("!").replace("[", "[[]")  # of the shell's signs only * and ? count
        if fnmatchcase(name.lower(), plain):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _is_hash_of(text: str, name: str) -> bool:
    """Compare with ``|1|salt|hash``: an HMAC-SHA1 of the name, both in base64."""
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in text[3:].split("|"))
    except ValueError:
        return False
    return hmac.compare_digest(hmac.new(salt, name.lower().encode(), hashlib.sha1).digest(), digest)


def record_key(file: Path, name: str, key: HostKey) -> None:
    """Append a line for the host to ``file``, which is made private to its owner when it is new."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "rb+") as opened:
        size = opened.seek(0, os.SEEK_END)
        opened.seek(max(0, size - 1))
        start = "" if opened.read(1) in (b"", b"\n") else "\n"
        opened.write(f"{start}{name} {key.type} {key.base64}\n".encode())
