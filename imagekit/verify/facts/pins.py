"""What keeps packages from being updated: apt's pins, dnf's exclusions and version locks."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import translate
from itertools import islice

from imagekit.verify.view import View, fact

_LIMIT = 256 << 10
_MOST_PATTERNS = 200
_EXCLUDE = re.compile(r"(?:exclude|excludepkgs)[ \t]*[=:][ \t]*(\S.*)$")
_LOCK_LISTS = ("/etc/dnf/plugins/versionlock.list", "/etc/yum/pluginconf.d/versionlock.list")
_LOCK_TABLE = "/etc/dnf/versionlock.toml"  # dnf 5
_LOCKED_NAME = re.compile(r"name[ \t]*=[ \t]*[\"']([^\"']+)")
_LOCKED_VERSION = re.compile(r"([^\s:]{1,256})-\d+:")  # name-epoch:version-release.*


@dataclass(frozen=True, slots=True)
class Pin:
    """A stanza of apt_preferences(5): ``what`` is the value of ``Pin:``; priority ``never`` is -1."""

    path: str
    packages: str
    what: str
    priority: int


@fact
def read_apt_pins(view: View) -> tuple[Pin, ...]:
    """Return the stanzas of ``preferences`` and of what apt reads in ``preferences.d``: no suffix, or ``.pref``."""
    paths = ["/etc/apt/preferences"]
    for path, _ in view.children("/etc/apt/preferences.d"):
        suffix = path.rsplit("/", 1)[-1].partition(".")[2]
        if suffix in ("", "pref"):
            paths.append(path)
    return tuple(pin for path in paths for pin in _read_stanzas(path, view.text(path, _LIMIT) or ""))


def _read_stanzas(path: str, text: str) -> Iterator[Pin]:
    fields: dict[str, str] = {}
    for line in (*text.splitlines(), ""):
        if line.startswith("#"):
            continue
        name, colon, value = line[:4096].partition(":")
        if colon and name[:1] not in (" ", "\t"):
            fields[name.strip().lower()] = value.strip()
        elif not line.strip() and fields:
            priority = _read_priority(fields.get("pin-priority", ""))
            if priority is not None and fields.get("package") and fields.get("pin"):
                yield Pin(path, fields["package"], fields["pin"], priority)
            fields = {}


def _read_priority(text: str) -> int | None:
    if text.lower() == "never":
        return -1
    return int(text) if re.fullmatch(r"-?\d{1,9}", text, re.ASCII) else None


def _name_package(lock: str) -> str:
    match = _LOCKED_VERSION.match(lock)
    return match.group(1) if match else lock


def find_excluded_share(excluded: Iterable[str], names: Iterable[str]) -> float:
    """Return which part of the packages ``names`` is kept from updates; an exclusion is a list of shell patterns."""
    patterns = {word for text in excluded for word in text.replace(",", " ").split()[:_MOST_PATTERNS]}
    wild = [
        re.compile(translate(pattern)) for pattern in islice(patterns, _MOST_PATTERNS) if re.search(r"[*?\[]", pattern)
    ]
    all_names = set(names)
    held = [name for name in all_names if name in patterns or any(pattern.match(name) for pattern in wild)]
    return len(held) / len(all_names) if all_names else 0.0


@fact
def read_excluded_packages(view: View) -> tuple[tuple[str, str], ...]:
    """Return file and packages of each exclusion and each version lock (dnf.conf(5), dnf versionlock)."""
    found: list[tuple[str, str]] = []
    files = ["/etc/dnf/dnf.conf", "/etc/yum.conf", *(path for path, _ in view.children("/etc/yum.repos.d", ".repo"))]
    for path in files:
        found += [
            (path, match.group(1).strip()) for line in view.lines(path) if (match := _EXCLUDE.match(line.strip()))
        ]
    for path in _LOCK_LISTS:
        words = (line.strip() for line in view.lines(path))
        found += [(path, _name_package(word)) for word in words if word and word[0] not in "#!"]
    for line in view.lines(_LOCK_TABLE):
        if match := _LOCKED_NAME.match(line.strip()):
            found.append((_LOCK_TABLE, match.group(1)))
    return tuple(found)
