"""How evidence is written without giving a secret away: schemes instead of hashes, fingerprints instead of keys."""

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum

# crypt(5): the prefix names the method.
_SCHEMES = (
    ("$y$", "yescrypt"),
    ("$gy$", "gost-yescrypt"),
    ("$7$", "scrypt"),
    ("$2", "bcrypt"),
    ("$6$", "sha512crypt"),
    ("$5$", "sha256crypt"),
    ("$sha1", "sha1crypt"),
    ("$md5", "SunMD5"),
    ("$1$", "md5crypt"),
    ("$3$", "NT"),
    ("_", "bsdicrypt"),
)
_DES = re.compile(r"[./0-9A-Za-z]{13}")
HASH = re.compile(r"\$(?:y|gy|7|2[abxy]?|6|5|1|sha1|md5)\$[./0-9A-Za-z$=,]{8,}")
PRIVATE_KEY = re.compile(r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_LONGEST = 300


class Lock(StrEnum):
    """What a password field of passwd(5) or shadow(5) means."""

    EMPTY = "empty"  # no password is asked for
    USABLE = "usable"  # a hash that a password can match
    LOCKED_HASH = "locked-hash"  # '!' before a hash: `passwd -u` brings it back
    LOCKED = "locked"  # nothing can match
    UNKNOWN = "unknown"


def name_hash_scheme(field: str) -> str:
    """Return the method of a crypt(5) hash, or an empty string when ``field`` is none."""
    for prefix, scheme in _SCHEMES:
        if field.startswith(prefix) and len(field) > len(prefix) + 4:
            return scheme
    return "DES" if _DES.fullmatch(field) else ""


def classify_password(field: str) -> Lock:
    """Say what a password field means; shadow(5): text that is no valid hash cannot be logged in with."""
    if field == "":
        return Lock.EMPTY
    if name_hash_scheme(field):
        return Lock.USABLE
    if field[0] in "!*":
        rest = field.lstrip("!*")
        if rest == "unprovisioned":  # systemd's mark; its 13 letters look like a DES hash
            return Lock.LOCKED
        return Lock.LOCKED_HASH if name_hash_scheme(rest) else Lock.LOCKED
    return Lock.UNKNOWN


@dataclass(frozen=True, slots=True)
class PublicKey:
    """An OpenSSH public key as evidence: its type, SHA-256 fingerprint and comment."""

    type: str
    fingerprint: str
    comment: str

    def __str__(self) -> str:
        comment = f", comment {self.comment!r}" if self.comment else ""
        return f"{self.type} {self.fingerprint}{comment}"


_KEY = re.compile(r"(?:^|\s)((?:sk-)?(?:ssh|ecdsa)-[a-z0-9@.-]+)\s+([A-Za-z0-9+/]{16,}={0,2})(?:\s+(.*))?$")


def read_public_key(line: str) -> PublicKey | None:
    """Read a line of authorized_keys or of a ``.pub`` file (sshd(8)); ``None`` when it holds no key."""
    match = _KEY.search(line.strip()[:16384])
    if match is None:
        return None
    import base64  # here: OpenSSL takes 10 ms to load, and most images hold no key
    import binascii
    import hashlib

    try:
        blob = base64.b64decode(match.group(2), validate=True)
    except binascii.Error:
        blob = match.group(2).encode()
    digest = base64.b64encode(hashlib.sha256(blob).digest()).rstrip(b"=").decode()
    return PublicKey(match.group(1), f"SHA256:{digest}", (match.group(3) or "").strip()[:60])


def escape(text: str, longest: int = _LONGEST) -> str:
    """Return ``text`` on one line with every control, format and undecodable character written as an escape.

    Terminal sequences and bidirectional marks in file names are an attack on whoever reads the report.
    """
    shown = []
    for character in text[: longest + 1]:
        code = ord(character)
        if 0xDC80 <= code <= 0xDCFF:  # surrogateescape: a byte that is not UTF-8
            shown.append(f"\\x{code - 0xDC00:02x}")
        elif unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
            shown.append(f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
        else:
            shown.append(character)
    return "".join(shown[:longest]) + ("…" if len(text) > longest else "")


def escape_all(value: object) -> object:
    """Return plain values (dicts, lists, text, numbers) with every text escaped."""
    match value:
        case str():
            return escape(value)
        case dict():
            return {escape(str(key)): escape_all(item) for key, item in value.items()}
        case list() | tuple():
            return [escape_all(item) for item in value]
        case _:
            return value
