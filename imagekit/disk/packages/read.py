"""The packages of an image, by whichever package manager it has."""

from dataclasses import dataclass
from enum import StrEnum

from imagekit.disk.packages.dpkg import STATUS_PATH, read_dpkg_packages
from imagekit.disk.tree import FileTree
from imagekit.image import Package


class PackageKind(StrEnum):
    """Who keeps the database."""

    DPKG = "dpkg"
    RPM = "rpm"
    APK = "apk"
    NIX = "nix"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class PackageList:
    """The installed packages, sorted by name; ``problem`` says what is missing from the list, empty when nothing is.

    A Nix closure has the paths with a version; their ``architecture`` is empty, as the store does not say.
    """

    kind: PackageKind
    packages: tuple[Package, ...]
    problem: str = ""


def read_packages(tree: FileTree) -> PackageList:
    """Read the first package database that is there: dpkg, rpm, apk, then Nix.

    Raises :class:`imagekit.errors.ImageDamaged` when it contradicts itself.
    """
    if tree.stat(STATUS_PATH) is not None and (packages := read_dpkg_packages(tree)):
        return PackageList(PackageKind.DPKG, packages)
    from imagekit.disk.packages.apk import read_apk_packages  # here: most images have dpkg, and these take time to load
    from imagekit.disk.packages.nix_store import read_store_paths
    from imagekit.disk.packages.rpm import DatabaseFormatUnread, read_rpm_database

    try:
        database = read_rpm_database(tree)
    except DatabaseFormatUnread as unread:
        return PackageList(PackageKind.RPM, (), unread.message)
    if database is not None:
        found = tuple(Package(each.name, each.full_version, each.architecture) for each in database.packages)
        problem = f"the newest changes are in {database.path}-wal, which is not read" if database.has_log else ""
        return PackageList(PackageKind.RPM, found, problem)
    if (alpine := read_apk_packages(tree)) is not None:
        return PackageList(PackageKind.APK, alpine)
    if (paths := read_store_paths(tree)) is not None:
        versions = dict.fromkeys(Package(each.name, each.version, "") for each in paths if each.version)
        return PackageList(PackageKind.NIX, tuple(versions))
    return PackageList(PackageKind.NONE, ())
