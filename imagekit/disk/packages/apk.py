"""Alpine's package database as text: ``/lib/apk/db/installed`` (apk-package(5), apk v2 and v3's index format)."""

import re

from imagekit.disk.tree import FileTree
from imagekit.errors import ImageDamaged
from imagekit.image import Package

PATHS = ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")  # the second one since /usr was merged in Alpine 3.23
MAX_BYTES = 64 << 20
_VALUE = re.compile(r"[!-~]+")


def read_apk_packages(tree: FileTree) -> tuple[Package, ...] | None:
    """Return the installed packages by name and architecture, ``None`` when there is no database.

    Raises :class:`ImageDamaged` when it is larger than 64 MiB or a package has no name and version.
    """
    path = next((each for each in PATHS if tree.stat(each) is not None), None)
    content = None if path is None else tree.read(path, MAX_BYTES + 1)
    if content is None:
        return None
    if len(content) > MAX_BYTES:
        raise ImageDamaged(f"{path} is larger than {MAX_BYTES >> 20} MiB")
    packages = []
    for stanza in content.decode("utf-8", "surrogateescape").split("\n\n"):
        fields: dict[str, str] = {}
        for line in stanza.split("\n"):
            # One letter and a colon; the lists of files (F:, R:, a:, Z:) repeat, and come after what is wanted.
            if line[1:2] == ":" and line[0] in "PVA":
                fields.setdefault(line[0], line[2:].strip())
        if not fields:
            continue
        name, version = fields.get("P", ""), fields.get("V", "")
        if not _VALUE.fullmatch(name) or not _VALUE.fullmatch(version):
            raise ImageDamaged(f"{path} has a package without a usable name and version")
        packages.append(Package(name, version, fields.get("A", "")))
    return tuple(sorted(packages, key=lambda package: (package.name, package.architecture)))
