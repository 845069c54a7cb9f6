"""Debian's package database as text: /var/lib/dpkg/status (deb-control(5), dpkg-query(1) for the states)."""

import re
from collections.abc import Iterator

from imagekit.disk.tree import FileTree
from imagekit.errors import ImageDamaged
from imagekit.image import Package

STATUS_PATH = "/var/lib/dpkg/status"
MAX_STATUS_BYTES = 64 << 20
# The files of the package are in place; only other packages' triggers may still have to run.
_INSTALLED = ("installed", "triggers-awaited", "triggers-pending")
_WANTED = ("package", "status", "version", "architecture")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*")
_VALUE = re.compile(r"[!-~]+")


def read_dpkg_packages(tree: FileTree) -> tuple[Package, ...]:
    """Return the installed packages, sorted by name, then architecture; none when there is no package database.

    Raises :class:`ImageDamaged` when the database is larger than 64 MiB or is not what dpkg writes.
    """
    packages = []
    for stanza in _read_stanzas(tree):
        if stanza["status"].split()[-1] not in _INSTALLED:
            continue
        version, architecture = stanza.get("version", ""), stanza.get("architecture", "")
        if not _VALUE.fullmatch(version) or not _VALUE.fullmatch(architecture):
            raise ImageDamaged(f"{STATUS_PATH} has no usable version and architecture for package {stanza['package']}")
        packages.append(Package(stanza["package"], version, architecture))
    return tuple(sorted(packages, key=lambda package: (package.name, package.architecture)))


def read_dpkg_states(tree: FileTree) -> dict[str, str]:
    """Return package → status of those that are not plainly ``install ok installed``, in the database's order.

    A name that appears for a second architecture is written ``name:architecture``. Raises as
    :func:`read_dpkg_packages`.
    """
    states: dict[str, str] = {}
    for stanza in _read_stanzas(tree):
        if stanza["status"] != "install ok installed":
            name = stanza["package"]
            states[name if name not in states else f"{name}:{stanza.get('architecture', '')}"] = stanza["status"]
    return states


def _read_stanzas(tree: FileTree) -> Iterator[dict[str, str]]:
    """Yield each package's wanted fields; ``package`` and ``status`` are always there and well formed."""
    content = tree.read(STATUS_PATH, MAX_STATUS_BYTES + 1)
    if content is None:
        return
    if len(content) > MAX_STATUS_BYTES:
        raise ImageDamaged(f"{STATUS_PATH} is larger than {MAX_STATUS_BYTES >> 20} MiB")
    try:
        text = content.decode()
    except UnicodeDecodeError as problem:
        raise ImageDamaged(f"{STATUS_PATH} is not UTF-8 text at byte {problem.start}") from problem
    stanza: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            if stanza:
                yield _check(stanza)
                stanza = {}
            continue
        if line[0] in " \t":
            if not stanza:
                raise ImageDamaged(f"line {number} of {STATUS_PATH} continues a field that was not begun")
            continue
        name, colon, value = line.partition(":")
        if not colon:
            raise ImageDamaged(f"line {number} of {STATUS_PATH} is no field")
        key = name.lower()
        if key in _WANTED:
            if key in stanza:
                raise ImageDamaged(f"line {number} of {STATUS_PATH} repeats the field {name}")
            stanza[key] = value.strip()
        else:
            stanza.setdefault("", "")
    if stanza:
        yield _check(stanza)


def _check(stanza: dict[str, str]) -> dict[str, str]:
    name, status = stanza.get("package", ""), stanza.get("status", "")
    if not _NAME.fullmatch(name):
        raise ImageDamaged(f"{STATUS_PATH} has a package without a usable name")
    if not re.fullmatch(r"[a-z]+ [a-z]+ [a-z-]+", status):
        raise ImageDamaged(f"{STATUS_PATH} has no usable status for package {name}")
    return stanza
