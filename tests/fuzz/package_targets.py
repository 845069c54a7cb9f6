"""What is asked of the readers of package databases and initial RAM disks when their bytes were changed."""

from contextlib import suppress

from imagekit.disk.cpio import ArchiveUnread, Limits, read_initrd
from imagekit.disk.packages.apk import PATHS, read_apk_packages
from imagekit.disk.packages.dpkg import STATUS_PATH, read_dpkg_packages, read_dpkg_states
from imagekit.disk.packages.nix_store import DATABASE, REGISTRATION, parse_store_path, read_store_paths
from imagekit.disk.packages.read import read_packages
from imagekit.disk.packages.rpm import DIRECTORIES, parse_header, read_rpm_database
from imagekit.errors import ImagekitError
from tests.fuzz.memory import make_file_tree

_LIMITS = Limits(members=20_000, output=32 << 20)


def fuzz_dpkg(data: bytes) -> None:
    """Read dpkg's status."""
    tree = make_file_tree({STATUS_PATH: data})
    for read in (read_dpkg_packages, read_dpkg_states, read_packages):
        with suppress(ImagekitError):
            read(tree)


def fuzz_apk(data: bytes) -> None:
    """Read Alpine's list of what is installed."""
    tree = make_file_tree({PATHS[0]: data})
    for read in (read_apk_packages, read_packages):
        with suppress(ImagekitError):
            read(tree)


def fuzz_rpm_header(data: bytes) -> None:
    """Read one header of an RPM database."""
    with suppress(ImagekitError):
        package = parse_header(data)
        assert package.full_version
        assert 0 < len(package.name) <= 4 * 4096


def fuzz_rpm(data: bytes) -> None:
    """Read an RPM database: what SQLite makes of a changed file, and the headers in it."""
    tree = make_file_tree({f"{DIRECTORIES[0]}/rpmdb.sqlite": data})
    with suppress(ImagekitError):
        read_rpm_database(tree)


def fuzz_nix(data: bytes) -> None:
    """Read what is registered in a Nix store, as text, or as a database when the bytes begin like one."""
    path = DATABASE if data.startswith(b"SQLite format 3") else REGISTRATION
    with suppress(ImagekitError):
        read_store_paths(make_file_tree({path: data}))
    parse_store_path(data[:300].decode("utf-8", "surrogateescape"))


def fuzz_cpio(data: bytes) -> None:
    """Read an initial RAM disk: archives one after another, packed or not."""
    with suppress(ImagekitError, ArchiveUnread):
        for member in read_initrd(lambda offset, length: data[offset : offset + length], lambda _: 4096, _LIMITS):
            assert len(member.content) <= 4096
            assert not member.name.startswith("/")
