"""The peers of the local builder: mkosi and the classic debootstrap script, each configured to make the same disk.

Every contender, ours too, runs in a mount namespace of its own in which ``/etc/apt`` names the recording mirror.
"""

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from measure import require_tools
from mirror import Mirror

from imagekit.build.apt_sources import AptSource
from imagekit.disk.packages.dpkg import read_dpkg_packages
from imagekit.errors import VerificationFailed
from imagekit.host import find_tool, run
from imagekit.verify.disk_view import open_disk_view

SIZE_MIB = 2048
ESP_MIB = 64
_MKOSI_ESP_MIB = 192  # its kernel and initial RAM disk live there
_CHECKS = re.compile(r"Acquire::Check-(?:Valid-Until|Date) ")
_CLASSIC = Path(__file__).with_name("debootstrap.sh")
_MKOSI_GIVEN = ("cache", "skeleton", "sources", "prepare", "mkosi.conf")
# mkosi holds back the initial RAM disk while packages are installed, counting on dracut.
_PREPARE = "#!/bin/sh\nexec update-initramfs -c -k all\n"
# systemd-nspawn, which mkosi uses, wants /run to be memory; on a machine that systemd started it is.
_ENTER = """
mount --bind "$1" /etc/apt
shift
[ -d /run/systemd/system ] || mount -t tmpfs -o mode=755 tmpfs /run
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class Site:
    """Where the contenders build: scratch space, the mirror, the machine's ``sources``, and what to install."""

    scratch: Path
    mirror: Mirror
    sources: tuple[AptSource, ...]
    suite: str
    packages: tuple[str, ...]

    @property
    def etc_apt(self) -> Path:
        """What ``/etc/apt`` is for every contender."""
        return self.scratch / "etc-apt"

    def enter(self, *argv: str) -> list[str]:
        """Return the command that runs ``argv`` with that ``/etc/apt``; its mounts end with it."""
        inside = ["sh", "-euc", _ENTER, "sh", os.fspath(self.etc_apt), *argv]
        return ["unshare", "--mount", "--propagation", "private", *inside]

    def find_main_url(self) -> str:
        """Return the mirror's address of the suite itself, without its updates."""
        return next(self.mirror.find_url(source.uri) for source in self.sources if source.suite == self.suite)

    def format_sources(self) -> str:
        """Return a sources.list for a root that has only Debian's own keys."""
        return "".join(
            f"deb [check-valid-until=no check-date=no] {self.mirror.find_url(source.uri)} {source.suite} main\n"
            for source in self.sources
        )


def require_peers() -> None:
    """Raise :class:`ToolMissing` when a peer, or what it needs on this machine, is not installed."""
    require_tools(
        ("mkosi", "mkosi"),
        ("systemd-nspawn", "systemd-container"),
        ("debootstrap", "debootstrap"),
        ("mkfs.vfat", "dosfstools"),
        ("losetup", "mount"),
        ("blkid", "util-linux"),
        ("mcopy", "mtools"),
    )


def write_etc_apt(site: Site) -> None:
    """Make a copy of ``/etc/apt`` with the machine's keys and the mirror's addresses, and without its credentials."""
    ignored = shutil.ignore_patterns("sources.list*", "auth.conf*", "apt.conf*", "preferences*")
    shutil.copytree("/etc/apt", site.etc_apt, ignore=ignored)
    for name in ("sources.list.d", "apt.conf.d", "preferences.d"):
        (site.etc_apt / name).mkdir()
    lines = [
        f"deb [signed-by={source.signed_by}] {site.mirror.find_url(source.uri)} {source.suite} main\n"
        if source.signed_by
        else f"deb {site.mirror.find_url(source.uri)} {source.suite} main\n"
        for source in site.sources
    ]
    (site.etc_apt / "sources.list").write_text("".join(lines))
    dump = run(["apt-config", "dump"]).output.decode(errors="replace").splitlines()
    checks = [line for line in dump if _CHECKS.match(line)]
    (site.etc_apt / "apt.conf.d/90benchmark").write_text(
        "\n".join([*checks, 'Acquire::http::Proxy::127.0.0.1 "DIRECT";', ""])
    )


def knows_vfat() -> bool:
    """Say whether this kernel can mount an EFI system partition, loading its module if it has to."""
    if modprobe := find_tool("modprobe", required=False):
        run([modprobe, "--quiet", "vfat"], check=False)
    return "vfat" in Path("/proc/filesystems").read_text().split()


class Mkosi:
    """mkosi 14 (Debian 12's): GPT, ESP, ext4, systemd-boot; its package cache is kept between builds.

    mkosi fills its ESP through a mount. Where the kernel cannot do that, the disk gets neither ESP nor boot loader:
    less work for mkosi, which the name tells.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._bootable = knows_vfat()
        self.name = "mkosi" if self._bootable else "mkosi, no ESP"
        self._home = site.scratch / "mkosi"
        self.disk = self._home / "disk.raw"

    def set_up(self) -> None:
        """Write the configuration; the sources reach apt by a skeleton tree, over mkosi's own fixed ones."""
        suite = self._site.suite
        sources = self._home / "skeleton/etc/apt/sources.list.d"
        for directory in (sources, *(self._home / name for name in ("cache", "work", "sources"))):
            directory.mkdir(parents=True)
        (sources.parent / "sources.list").write_text(self._site.format_sources())
        for name in ("updates", "security"):  # mkosi writes these two itself
            (sources / f"{suite}-{name}.list").write_text("")
        loader = ["systemd-boot"] if self._bootable else []
        settings: dict[str, dict[str, object]] = {
            "Distribution": {"Distribution": "debian", "Release": suite, "Mirror": self._site.find_main_url()},
            "Output": {
                "Format": "gpt_ext4",
                "Output": self.disk,
                "WorkspaceDirectory": self._home / "work",
                "Bootable": "yes" if self._bootable else "no",
                "WithUnifiedKernelImages": "no",  # spares mkosi a second, slow initial RAM disk
                "KernelCommandLine": "root=LABEL=root console=ttyS0",
            },
            "Content": {
                # With its own choice of packages mkosi would bring dracut and a kernel for bare metal.
                "BasePackages": "no",
                "Packages": ",".join([*self._site.packages, *loader]),
                "WithDocs": "yes",
                "CleanPackageMetadata": "no",
                "Cache": self._home / "cache",
                "SkeletonTree": self._home / "skeleton",
                "PrepareScript": self._home / "prepare",
                "BuildSources": self._home / "sources",  # none; its default is the directory with everything in it
            },
            "Partitions": {
                "RootSize": f"{SIZE_MIB - _MKOSI_ESP_MIB - 4}M",
                "ESPSize": f"{_MKOSI_ESP_MIB}M",  # without Bootable there is none
            },
            "Host": {"NspawnKeepUnit": "no" if Path("/run/systemd/system").is_dir() else "yes"},
        }
        prepare = self._home / "prepare"
        prepare.write_text(_PREPARE)
        prepare.chmod(0o755)
        lines: list[str] = []
        for section, values in settings.items():
            lines += [f"[{section}]", *(f"{key}={value}" for key, value in values.items()), ""]
        (self._home / "mkosi.conf").write_text("\n".join(lines))

    def build(self) -> None:
        """Make the disk."""
        run(self._site.enter("mkosi", "--force", "build"), directory=self._home, environment={"no_proxy": "127.0.0.1"})

    def clear(self) -> None:
        """Remove the disk and what a build leaves, loop devices too."""
        detach_loops(self._home)
        clear_directory(self._home, keep=(*_MKOSI_GIVEN, "work"))
        clear_directory(self._home / "work")


class Debootstrap:
    """The classic script beside this file; its package cache is kept between builds."""

    name = "debootstrap"

    def __init__(self, site: Site) -> None:
        self._site = site
        self._home = site.scratch / "debootstrap"
        self.disk = self._home / "disk.raw"

    def set_up(self) -> None:
        """Write the package list and the sources."""
        (self._home / "cache").mkdir(parents=True)
        (self._home / "packages").write_text("".join(f"{name}\n" for name in self._site.packages))
        (self._home / "sources.list").write_text(self._site.format_sources())

    def build(self) -> None:
        """Make the disk."""
        site = self._site
        sizes = [str(SIZE_MIB), str(ESP_MIB)]
        argv = ["sh", os.fspath(_CLASSIC), os.fspath(self._home), site.find_main_url(), site.suite, *sizes]
        run(site.enter(*argv), environment={"no_proxy": "127.0.0.1"})

    def clear(self) -> None:
        """Remove the disk, the root and any loop device."""
        detach_loops(self._home)
        clear_directory(self._home, keep=("cache", "packages", "sources.list"))


def detach_loops(directory: Path) -> None:
    """Detach loop devices of files below ``directory``: what a script that was killed leaves behind."""
    listing = run(["losetup", "--list", "--noheadings", "--raw", "--output", "NAME,BACK-FILE"], check=False)
    for line in listing.output.decode(errors="replace").splitlines():
        device, _, file = line.partition(" ")
        if file.startswith(f"{directory}/"):
            run(["losetup", "--detach", device], check=False)


def clear_directory(directory: Path, keep: Sequence[str] = ()) -> None:
    """Empty a directory but for the names to ``keep``; never crosses into another filesystem."""
    for path in directory.iterdir() if directory.is_dir() else ():
        if path.name not in keep:
            run(["rm", "-rf", "--one-file-system", "--", os.fspath(path)])


def require_packages(disk: Path, packages: Sequence[str]) -> int:
    """Return how many packages are installed on a disk; raises when it lacks one or an initial RAM disk."""
    with open_disk_view(disk) as view:
        installed = {package.name for package in read_dpkg_packages(view.tree)}
        bootable = any(name.startswith("initrd.img-") for name in view.tree.names("/boot"))
    lacking = sorted(set(packages) - installed) + ([] if bootable else ["an initial RAM disk"])
    if lacking:
        raise VerificationFailed(f"{disk} lacks {', '.join(lacking)}, so the comparison would not be fair")
    return len(installed)
