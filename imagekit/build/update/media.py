"""Checksums of media with an address: what the publisher says beside a medium now, against what is locked.

Only an address whose content moves (``…/latest/…``, ``…/current/…``) ever differs. The publisher's list is believed as
far as https goes; its signature is not looked at.
"""

import hashlib
import re
from collections.abc import Callable
from urllib.parse import unquote, urljoin, urlsplit

from imagekit.build.update.web import fetch, require_safe
from imagekit.definition import Medium
from imagekit.errors import HostFailed

_LIST_BYTES = 8 << 20
_MEDIUM_BYTES = 64 << 30
_MEDIUM_SECONDS = 4 * 3600.0
# coreutils' two forms: "HEX  NAME", "HEX *NAME", and with --tag "SHA256 (NAME) = HEX"
_LINE = re.compile(r"\\?([0-9a-fA-F]{64}|[0-9a-fA-F]{128})(?:\s+\*?(.*))?")
_TAGGED = re.compile(r"SHA(?:256|512) \((.*)\) = ([0-9a-fA-F]{64}|[0-9a-fA-F]{128})")
_LISTS = (("SHA256SUMS", 64), ("{name}.sha256", 64), ("SHA512SUMS", 128), ("{name}.sha512", 128))


def find_medium_digest(medium: Medium, on_bytes: Callable[[int], None] = lambda _count: None) -> str | None:
    """Return the SHA-256, in hexadecimal digits, of what is at the medium's address now; ``None`` if nobody says.

    Where the publisher has only SHA-512 the medium is fetched and both are computed; ``on_bytes`` hears how much is
    there. Raises :class:`HostFailed`, also when a medium is not what its publisher's list says.
    """
    assert medium.url is not None
    require_safe(medium.url)
    name = unquote(urlsplit(medium.url).path.rpartition("/")[2])
    for pattern, digits in _LISTS:
        answer = fetch(urljoin(medium.url, pattern.format(name=name)), limit=_LIST_BYTES)
        if answer.status != 200:
            if answer.status in (404, 403, 410):  # S3 says 403 for what is not there
                continue
            raise HostFailed(
                f"{urlsplit(medium.url).netloc} answered with status {answer.status}", hint="try again later"
            )
        found = find_in_list(answer.body.decode(errors="replace"), name, digits, alone=pattern.startswith("{"))
        if found is not None:
            return found if digits == 64 else _compute(medium.url, found, on_bytes)
    return None


def find_in_list(text: str, name: str, digits: int, *, alone: bool = False) -> str | None:
    """Return the digest of ``name`` in a list of checksums; with ``alone`` also a line that has nothing but one."""
    for line in text.splitlines():
        if match := _TAGGED.fullmatch(line.strip()):
            listed, found = match.groups()
        elif match := _LINE.fullmatch(line.strip()):
            found, listed = match.group(1), match.group(2) or ""
        else:
            continue
        if len(found) == digits and (listed.removeprefix("./") == name or (alone and not listed)):
            return found.lower()
    return None


def _compute(url: str, sha512: str, on_bytes: Callable[[int], None]) -> str:
    """Fetch a medium, keeping nothing, and return its SHA-256; raises :class:`HostFailed` unless it has ``sha512``."""
    hashes = hashlib.sha256(), hashlib.sha512()
    count = 0

    def take(piece: bytes) -> None:
        nonlocal count
        for each in hashes:
            each.update(piece)
        count += len(piece)
        on_bytes(count)

    answer = fetch(url, limit=_MEDIUM_BYTES, seconds=_MEDIUM_SECONDS, on_piece=take)
    if answer.status != 200:
        raise HostFailed(f"{urlsplit(url).netloc} answered with status {answer.status}", hint="is the address right?")
    if hashes[1].hexdigest() != sha512:
        raise HostFailed(
            f"{url} is not what the publisher's SHA512SUMS says",
            hint="the publisher may be in the middle of a change: try again in an hour",
        )
    return hashes[0].hexdigest()
