"""What a secret looks like in bytes: the one list that files, free blocks and slack are searched with.

Every pattern is written so that a program's string constant or a manual's example is none: a key needs its body, a
token its full length. Not far behind the beginning of a strong one, there always are twenty characters in a row that
base64, crypt(5) or a token is made of (what :mod:`imagekit.verify.secrets.scan` counts on). Sources of the shapes:
RFC 7468 and PROTOCOL.key of OpenSSH, crypt(5), wg(8), and the vendors' published token formats (GitHub, GitLab, Slack,
Stripe, AWS, HashiCorp, Tailscale, 1Password, Proxmox VE).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

LONGEST_SECRET = 16 << 10  # bytes; no pattern matches more, so pieces that overlap by this much lose nothing
_FINGERPRINT = 12


class Strength(StrEnum):
    """How sure a match is: ``strong`` is a secret whatever stands around it, ``weak`` only in a place meant for one."""

    STRONG = "strong"
    WEAK = "weak"


@dataclass(frozen=True, slots=True)
class SecretPattern:
    """One kind of secret: every match begins with one of ``literals``, or anywhere when there are none."""

    kind: str
    strength: Strength
    literals: tuple[bytes, ...]
    source: bytes

    @property
    def regex(self) -> re.Pattern[bytes]:
        """Return the expression, compiled when it is first wanted: in a clean image no literal is ever met."""
        return _compile(self.source)


@cache
def _compile(source: bytes) -> re.Pattern[bytes]:
    return re.compile(source, re.DOTALL)


@dataclass(frozen=True, slots=True)
class Secret:
    """A match as evidence: ``offset`` and ``length`` in bytes, ``fingerprint`` 12 hex digits of its SHA-256."""

    kind: str
    strength: Strength
    offset: int
    length: int
    fingerprint: str

    def __str__(self) -> str:
        return f"{self.kind}, {self.length} bytes, sha256 {self.fingerprint}"


def _strong(kind: str, regex: bytes, *literals: bytes) -> SecretPattern:
    return SecretPattern(kind, Strength.STRONG, literals, regex)


_EDGE = rb"(?<![0-9A-Za-z_])"  # what stands before must not make the literal the tail of a longer word
_LINE_END = rb"(?:\r?\n|\\r\\n|\\n)"  # JSON and YAML keep keys on one line

SECRETS: tuple[SecretPattern, ...] = (
    _strong(
        "private key",
        rb"-----BEGIN (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
        + _LINE_END
        + rb"(?:[A-Za-z-]{1,20}: ?[^\r\n\\]{0,100}"
        + _LINE_END
        + rb"){0,4}"
        + _LINE_END
        + rb"?[ \t]{0,16}[A-Za-z0-9+/]{32}[A-Za-z0-9+/=\s\\]{0,12000}",
        b"-----BEGIN ",
    ),
    _strong(
        "private key (PuTTY)",
        rb"PuTTY-User-Key-File-[1-3]: [^\r\n]{3,60}\r?\n(?:[^\r\n]{0,200}\r?\n){3,60}?Private-Lines: \d",
        b"PuTTY-User-Key-File-",
    ),
    _strong("age key", rb"AGE-SECRET-KEY-1[0-9A-Z]{58}", b"AGE-SECRET-KEY-1"),
    _strong(
        "WireGuard key",
        _EDGE + rb"PrivateKey[ \t]{0,8}=[ \t]{0,8}[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=",
        b"PrivateKey",
    ),
    _strong(
        "password hash",  # a field of shadow(5) with a day after it, not the hash in a manual
        rb":!{0,2}\$(?:y|gy|7|2[abxy]|6|5|1)\$(?:[./0-9A-Za-z=,]{1,64}\$){0,3}[./0-9A-Za-z]{22,90}:\d{0,6}:",
        *(b":$%s$" % each for each in (b"6", b"y", b"5", b"1", b"2b", b"2y", b"2a", b"gy", b"7")),
        b":!$6$",
        b":!$y$",
    ),
    _strong(
        "Proxmox VE API token",
        rb"PVEAPIToken=[0-9A-Za-z._+-]{1,64}@[0-9A-Za-z._-]{1,32}![0-9A-Za-z._-]{1,64}=[0-9A-Fa-f-]{20,36}",
        b"PVEAPIToken=",
    ),
    _strong("AWS access key", _EDGE + rb"AKIA(?![0-9A-Z]{9}EXAMPLE)[0-9A-Z]{16}(?![0-9A-Za-z_])", b"AKIA"),
    _strong(
        "GitHub token",
        _EDGE + rb"(?:gh[pousr]_[0-9A-Za-z]{36,251}|github_pat_[0-9A-Za-z_]{22,255})(?![0-9A-Za-z_])",
        b"ghp_",
        b"gho_",
        b"ghu_",
        b"ghs_",
        b"ghr_",
        b"github_pat_",
    ),
    _strong("GitLab token", _EDGE + rb"gl(?:pat|rt|dt)-[0-9A-Za-z_-]{20,64}", b"glpat-", b"glrt-", b"gldt-"),
    _strong("Slack token", _EDGE + rb"xox[bp]-[0-9]{9,14}-[0-9A-Za-z-]{16,80}", b"xoxb-", b"xoxp-"),
    _strong("Stripe key", _EDGE + rb"[sr]k_live_[0-9A-Za-z]{16,120}", b"sk_live_", b"rk_live_"),
    _strong("Vault token", _EDGE + rb"hvs\.[0-9A-Za-z_-]{24,160}", b"hvs."),
    _strong("Tailscale key", _EDGE + rb"tskey-[a-z]{3,8}-[0-9A-Za-z]{10,32}(?:-[0-9A-Za-z]{16,64})?", b"tskey-"),
    _strong("1Password service token", _EDGE + rb"ops_eyJ[0-9A-Za-z_-]{64,2000}", b"ops_eyJ"),
    SecretPattern(
        "password or token in a setting",
        Strength.WEAK,
        (),
        rb"(?i:(?<![0-9A-Za-z])(?:pass(?:word|wd|phrase)?|token|secret|api_?key)"
        rb"[ \t]{0,8}[=:][ \t]{0,8}['\"]?[^\s'\"$%{}]{4,200})",
    ),
)
STRONG_SECRETS = tuple(pattern for pattern in SECRETS if pattern.strength is Strength.STRONG)


def find_secrets(data: bytes, patterns: Iterable[SecretPattern] = STRONG_SECRETS) -> Iterator[Secret]:
    """Yield every match of ``patterns`` in ``data``, kind by kind and rising; none that begins in one of its own kind.

    Rare literals are searched first, so that bytes without any cost little more than a few passes of memmem(3).
    """
    for pattern in patterns:
        if not pattern.literals:
            for match in pattern.regex.finditer(data):
                yield _describe(pattern, match)
        end = 0
        for at in sorted(_find_literals(data, pattern.literals)):
            if at >= end and (secret := match_secret(pattern, data, at)) is not None:
                end = at + secret.length
                yield secret


def _find_literals(data: bytes, literals: tuple[bytes, ...]) -> Iterator[int]:
    for literal in literals:
        at = data.find(literal)
        while at >= 0:
            yield at
            at = data.find(literal, at + 1)


def match_secret(pattern: SecretPattern, data: bytes, offset: int) -> Secret | None:
    """Return the secret of this kind that begins at ``offset``, where one of the pattern's literals stands."""
    match = pattern.regex.match(data, offset)
    return None if match is None else _describe(pattern, match)


def _describe(pattern: SecretPattern, match: re.Match[bytes]) -> Secret:
    text = match.group()
    import hashlib  # here: OpenSSL takes 10 ms to load, and a clean image needs no fingerprint

    digest = hashlib.sha256(text).hexdigest()[:_FINGERPRINT]
    return Secret(pattern.kind, pattern.strength, match.start(), len(text), digest)
