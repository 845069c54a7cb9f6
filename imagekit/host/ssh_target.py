"""Which machine is meant by ``ssh://user@host:port``, and with what it shall be entered."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from imagekit.errors import DefinitionInvalid

_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*|[0-9A-Fa-f:.]+(%[A-Za-z0-9_.-]+)?")
_USER = re.compile(r"[^\s:@/\x00-\x1f\x7f]+")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}=?")
_SHAPE = "ssh://[user@]host[:port], with an IPv6 address in brackets"


@dataclass(frozen=True, slots=True)
class SshTarget:
    """A machine as the operator named it; what is left open comes from ``~/.ssh/config`` or is the usual.

    ``user`` is empty and ``port`` 0 when they were not given. ``identity`` is a private key file to try first;
    ``host_key`` the only fingerprint (``SHA256:…``, as ``ssh-keygen -l`` shows it) to accept; ``accept_new`` takes the
    key of a host that is not known yet and records it, as ssh's ``StrictHostKeyChecking=accept-new`` does.
    """

    host: str
    user: str = ""
    port: int = 0
    identity: Path | None = None
    host_key: str = ""
    accept_new: bool = False

    @classmethod
    def parse(cls, url: str, *, identity: Path | None = None, host_key: str = "", accept_new: bool = False) -> Self:
        """Read a URL such as ``ssh://user@[2001:db8::1]:2222``; raises :class:`DefinitionInvalid`."""
        try:
            parts = urlsplit(url)
            host, port, name = unquote(parts.hostname or ""), parts.port, parts.username  # RFC 6874: %25 before a zone
        except ValueError as problem:
            raise DefinitionInvalid(f"{url!r} is no SSH address: {problem}", hint=_SHAPE) from None
        if parts.password is not None:  # the URL is not repeated: it holds the password
            raise DefinitionInvalid(
                "an SSH address may not hold a password", hint="use a key; passwords end in histories and logs"
            )
        user = unquote(name or "")
        right = parts.scheme == "ssh" and parts.path in ("", "/") and not parts.query and not parts.fragment
        if not right or not _HOST.fullmatch(host) or port == 0 or not (name is None or _USER.fullmatch(user)):
            raise DefinitionInvalid(f"{url!r} is no SSH address", hint=_SHAPE)
        if host_key and not _FINGERPRINT.fullmatch(host_key):
            raise DefinitionInvalid(
                f"{host_key!r} is no fingerprint of a host key",
                hint="ssh-keygen -l shows it: SHA256:…",
            )
        return cls(host, user, port or 0, identity, host_key.rstrip("="), accept_new)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ssh://{f'{self.user}@' if self.user else ''}{host}{f':{self.port}' if self.port else ''}"
