"""Readers of names that others made the rules for: packages, channels, virtual machines, zones, addresses."""

import functools
import re

from imagekit.definition.problems import Wrong, name_type, quote, suggest
from imagekit.definition.values import CONTROL, Scope, read_text
from imagekit.image import NAME_PATTERN, VersionId

VM_IDS = (100, 999_999_999)  # Proxmox VE, pve-common: pve-vmid

_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")  # Debian policy 5.6.1
_TIMEZONE = re.compile(r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+){0,2}")


def read_vm_id(value: object, _scope: Scope) -> int:
    """Return a virtual machine's number as Proxmox allows it."""
    low, high = VM_IDS
    if isinstance(value, bool) or not isinstance(value, int):
        raise Wrong(f"expected an integer, found {name_type(value)}")
    if not low <= value <= high:
        raise Wrong(f"{name_type(value)} is out of range; Proxmox takes {low} to {high}")
    return value


def read_channel(value: object, scope: Scope) -> str:
    """Return a channel's name, which must not look like a version, or no reference could mean it."""
    text = read_text(value, scope)
    if not NAME_PATTERN.fullmatch(text):
        raise Wrong(f"{quote(text)} cannot name a channel; use 1 to 63 of a-z, 0-9 and '-', not at either end")
    try:
        VersionId.parse(text)
    except ValueError:
        return text
    raise Wrong(f"{quote(text)} is how versions are written; a channel needs another name")


def read_package(value: object, scope: Scope) -> str:
    """Return a Debian package's name."""
    text = read_text(value, scope)
    if ":" in text and _PACKAGE.fullmatch(text.partition(":")[0]):
        raise Wrong(f"{quote(text)} names an architecture; packages are those of the image's own")
    if "=" in text or "/" in text:
        raise Wrong(f"{quote(text)} is more than a name; the release decides the version")
    if not _PACKAGE.fullmatch(text):
        raise Wrong(f"{quote(text)} cannot name a Debian package; names are 2 or more of a-z, 0-9, '+', '.' and '-'")
    if text.endswith("-"):  # apt-get(8): a hyphen appended to a name removes the package
        raise Wrong(f"{quote(text)} ends in '-', which tells apt to remove a package")
    return text


def read_url(value: object, scope: Scope) -> str:
    """Return an http or https address without credentials, since every clone would carry them."""
    return check_url(read_text(value, scope), "carries a user or password; every clone would know it")


def check_url(text: str, why_no_user: str) -> str:
    """Return an http or https address; raises :class:`Wrong`, with ``why_no_user`` when credentials are in it."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        secret = parts.username is not None or parts.password is not None
    except ValueError:
        known = secret = False
    if secret:  # not echoed
        raise Wrong(why_no_user)
    if not known or CONTROL.search(text) or any(sign in text for sign in " \"'<>\\`{}"):
        raise Wrong(f"{quote(text)} is not an http or https address")
    return text


def read_timezone(value: object, scope: Scope) -> str:
    """Return a zone of the tz database; where this machine has no database, any well-formed name."""
    text = read_text(value, scope)
    if not _TIMEZONE.fullmatch(text):
        raise Wrong(f'{quote(text)} is not a time zone, such as "Europe/Berlin"')
    if text == "Etc/UTC":
        return text
    zones = _list_zones()
    if zones and text not in zones:
        meant = suggest(text.replace("_", "-"), zones) or next(
            (z for z in sorted(zones) if z.endswith(f"/{text}")), None
        )
        raise Wrong(f"{quote(text)} is not a known time zone{f'; did you mean {meant!r}?' if meant else ''}")
    return text


@functools.cache
def _list_zones() -> frozenset[str]:
    """Return the zones that this machine knows; cached, because it walks a directory of hundreds of files."""
    import zoneinfo  # here: only a zone other than the default is looked up

    return frozenset(zoneinfo.available_timezones())
