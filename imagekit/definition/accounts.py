"""Readers of what belongs to accounts: their names, and the public keys that open them."""

import base64
import re

from imagekit.definition.problems import Wrong, quote
from imagekit.definition.values import CONTROL, Scope, read_text

_ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]{0,31}")  # adduser(8) NAME_REGEX; 32 characters is useradd(8)'s limit

# Accounts of base-passwd, and those that the packages of a template bring.
RESERVED_ACCOUNTS = frozenset(
    (
        *("root", "daemon", "bin", "sys", "sync", "games", "man", "lp", "mail", "news", "uucp", "proxy", "www-data"),
        *("backup", "list", "irc", "_apt", "gnats", "nobody", "sshd", "_ssh", "_chrony", "messagebus", "polkitd"),
        *("systemd-network", "systemd-timesync", "systemd-resolve", "promtail", "prometheus"),
    )
)
# sshd(8) AUTHORIZED_KEYS FILE FORMAT, without ssh-dss, which OpenSSH 10 no longer has; with the number of fields in a
# key's blob (RFC 4253 section 6.6, RFC 5656 section 3.1, RFC 8709 section 4, OpenSSH's PROTOCOL.u2f).
SSH_KEY_TYPES = {
    "ssh-ed25519": 2,
    "ssh-rsa": 3,
    "ecdsa-sha2-nistp256": 3,
    "ecdsa-sha2-nistp384": 3,
    "ecdsa-sha2-nistp521": 3,
    "sk-ssh-ed25519@openssh.com": 3,
    "sk-ecdsa-sha2-nistp256@openssh.com": 4,
}


def read_account(value: object, scope: Scope) -> str:
    """Return the name of a user or group."""
    text = read_text(value, scope)
    if not _ACCOUNT.fullmatch(text):
        raise Wrong(f"{quote(text)} cannot name an account; use up to 32 of a-z, 0-9, '_' and '-', a letter first")
    return text


def read_new_account(value: object, scope: Scope) -> str:
    """Return the name of an account to make, which no package may have."""
    text = read_account(value, scope)
    if text in RESERVED_ACCOUNTS:
        raise Wrong(f"{quote(text)} is reserved for the system; choose another name")
    return text


def read_ssh_key(value: object, scope: Scope) -> str:
    """Return a line for authorized_keys; what is not a public key is refused and never shown."""
    return parse_ssh_key(read_text(value, scope))


def parse_ssh_key(text: str) -> str:
    """Return the public key in ``text``, one line; raises :class:`Wrong`, which never shows what it was given."""
    text = text.strip()
    if "PRIVATE KEY" in text:
        raise Wrong("this is a private key; give the line of the .pub file, and replace this key, since it was copied")
    kind, _, rest = text.partition(" ")
    if CONTROL.search(text) or kind not in SSH_KEY_TYPES:
        raise Wrong(f"not one line with a public key; it begins with one of {', '.join(SSH_KEY_TYPES)}")
    try:
        blob = base64.b64decode(rest.strip().partition(" ")[0], validate=True)
    except ValueError:
        blob = b""
    fields = _split_fields(blob)
    if len(fields) != SSH_KEY_TYPES[kind] or fields[0] != kind.encode() or b"" in fields:
        raise Wrong(f"not a whole {kind} key; copy the line of the .pub file again")
    return text


def _split_fields(blob: bytes) -> list[bytes]:
    """Return the fields of a key's blob, each behind its length in 4 bytes; nothing when it does not end with one."""
    fields, at = [], 0
    while at < len(blob):
        length = int.from_bytes(blob[at : at + 4], "big")
        fields.append(blob[at + 4 : at + 4 + length])
        at += 4 + length
    return fields if at == len(blob) else []
