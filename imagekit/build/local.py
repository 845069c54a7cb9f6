"""The local builder: a Debian template made on this machine from packages alone, never booted, clean by construction.

No loop device, no mount on this machine, no image to download, and no privilege where user namespaces are allowed.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from imagekit.build.apt import AptRoom, fetch_packages, free_bytes, open_room, package_name, plan_packages, update_lists
from imagekit.build.apt_sources import choose_sources, read_machine_sources, require_keyring
from imagekit.build.contents import CONSOLES, QUIET, ImageFile, list_files, list_units, pack_files
from imagekit.build.git import read_commit
from imagekit.build.layout import DiskLayout, plan_layout
from imagekit.build.mke2fs import is_reproducible, write_root
from imagekit.build.mmdebstrap import Finish, RootPlan, make_root, read_default_sources, remove_root
from imagekit.build.mtools import write_esp
from imagekit.build.packages import choose_base_packages, choose_feature_packages
from imagekit.build.render import render_template
from imagekit.build.sfdisk import write_table
from imagekit.definition import ImageDefinition, describe_image
from imagekit.disk.digest import compute_digest
from imagekit.errors import DefinitionInvalid, HostFailed, ToolFailed
from imagekit.host import find_tool, read_version, run
from imagekit.image import Architecture, BuiltImage, DiskImage, Package, Provenance
from imagekit.progress import Event, Progress, silent

_TOOLS = ("mmdebstrap", "apt-get", "unshare", "mformat", "mcopy", "mmd", "sfdisk", "tar")
_EFI = {
    Architecture.AMD64: ("usr/lib/shim/shimx64.efi.signed", "EFI/BOOT/BOOTX64.EFI",
                         "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", "EFI/BOOT/grubx64.efi"),
    Architecture.ARM64: ("usr/lib/shim/shimaa64.efi.signed", "EFI/BOOT/BOOTAA64.EFI",
                         "usr/lib/grub/arm64-efi-signed/grubaa64.efi.signed", "EFI/BOOT/grubaa64.efi"),
}  # fmt: skip
_KERNEL = re.compile(r"linux-image-(\d[a-zA-Z0-9.+~-]*)_")


def build_local(
    definition: ImageDefinition, workspace: Path, cache: Path, *, mke2fs: str = "mke2fs", project: Path | None = None,
    progress: Progress = silent,
) -> BuiltImage:  # fmt: skip
    """Build ``definition`` as ``workspace/disk.raw`` and return it with its provenance.

    ``cache`` keeps package files and base roots between builds. Raises :class:`ToolMissing`,
    :class:`DefinitionInvalid` (a package that does not exist, contents larger than the disk), :class:`HostFailed` (no
    network, no space, no privilege) and :class:`ToolFailed`.
    """
    require_tools(mke2fs)
    _require_native(definition.architecture)
    layout = plan_layout(definition)
    progress(Event("reading package lists"))
    plan, room = plan_root(definition, cache)
    _require_space(plan, room, cache)
    fetch_packages(room, plan.all_files, (*plan.base, *plan.extra), progress)
    files = (*list_files(definition, layout, _normal_sources(plan.release)), grub_menu(layout, plan))
    additions = workspace / "additions.tar"
    additions.write_bytes(pack_files(files, plan.epoch))
    finish = Finish(additions, list_units(definition), _user_words(definition), _package_files(definition))
    root = make_root(plan, room, finish, workspace, cache, progress)
    epoch = _newest_file_time(root, plan)
    disk = workspace / "disk.raw"
    write_disk(disk, layout, root, definition.architecture, mke2fs, epoch, progress)
    packages = _read_packages(root)
    remove_root(root)
    progress(Event("computing the digest", 0, layout.size, "B"))
    digest = compute_digest(disk, lambda done: progress(Event("computing the digest", done, layout.size, "B")))
    image = DiskImage(disk, layout.size, digest, definition.architecture, definition.firmware)
    return BuiltImage(image, _record(definition, plan, packages, mke2fs, project))


def require_tools(mke2fs: str) -> None:
    """Raise :class:`ToolMissing` for the first program of this builder that is not installed."""
    for tool in (*_TOOLS, mke2fs):
        find_tool(tool)
    require_keyring()


def _require_native(architecture: Architecture) -> None:
    """Refuse a foreign architecture: its maintainer scripts could not run here."""
    native = run(["dpkg", "--print-architecture"]).output.decode().strip()
    if native != architecture:
        raise DefinitionInvalid(
            f"this machine is {native}, so the local builder cannot make an image for {architecture}",
            hint=f'build it on a machine with {architecture}, or set architecture = "{native}"',
        )


def plan_root(definition: ImageDefinition, cache: Path) -> tuple[RootPlan, AptRoom]:
    """Decide which package files the root is made of, from the machine's own sources and their current indexes."""
    release = definition.base.release
    sources = choose_sources(read_machine_sources(), release) or read_default_sources(release.value)
    room = open_room(cache, release.value, definition.architecture.value, sources)
    update_lists(room)
    base = choose_base_packages(definition.architecture)
    extra = tuple(dict.fromkeys((*choose_feature_packages(definition.features, release), *definition.packages)))
    base_files = plan_packages(room, base)
    all_files = plan_packages(room, (*base, *extra)) if extra else base_files
    plan = RootPlan(release.value, definition.architecture.value, release.epoch, base, base_files, extra, all_files)
    return plan, room


def _require_space(plan: RootPlan, room: AptRoom, cache: Path) -> None:
    """Refuse to begin what cannot end: package files, the root (four times their size, by experience) and the disk."""
    size = sum(package.size for package in plan.all_files)
    missing = sum(package.size for package in plan.all_files if not (room.archives / package.file).is_file())
    needed = missing + 12 * size
    if (free := free_bytes(cache)) < needed:
        raise HostFailed(
            f"{cache} has {free >> 20} MiB free; the build needs about {needed >> 20} MiB",
            hint="free some space, or set IMAGEKIT_CACHE to a directory on a larger disk",
        )


def _normal_sources(release: str) -> str:
    """Return the sources.list that the image gets: the distribution's own, with nothing of this machine in it."""
    return "".join(
        f"deb {source.uri} {source.suite} {' '.join(source.components)}\n" for source in read_default_sources(release)
    )


def grub_menu(layout: DiskLayout, plan: RootPlan) -> ImageFile:
    """Return the first ``grub.cfg``: no device exists yet that grub-mkconfig could probe."""
    kernels = [match[1] for package in plan.all_files if (match := _KERNEL.match(package.file))]
    if not kernels:
        raise ToolFailed("the packages of this image hold no kernel")
    text = render_template(
        "grub.cfg", root_uuid=layout.root_uuid, kernel=max(kernels), command_line=f"{CONSOLES} {QUIET}"
    )
    return ImageFile("/boot/grub/grub.cfg", text.encode())


def _user_words(definition: ImageDefinition) -> tuple[str, ...]:
    """Return finish.sh's ``name:shell:groups`` for each user; the parser has let only plain words through."""
    return tuple(f"{user.name}:{user.shell}:{','.join(user.groups)}" for user in definition.users)


def _package_files(definition: ImageDefinition) -> tuple[Path, ...]:
    """Return the package files that the operator brings."""
    return (definition.promtail.package,) if definition.promtail is not None else ()


def _newest_file_time(root: Path, plan: RootPlan) -> int:
    """Return the newest time that a package gave a file: the disk's clock, which changes only when the packages do.

    Later times are the build's own (generated files) and are clamped to it. Python compares a module's time with its
    compiled form, so package files must keep theirs.
    """
    listing = root / "var/lib/dpkg/info"
    newest = plan.epoch
    for directory in ("usr/bin", "usr/sbin", "usr/lib/systemd/system", "boot"):
        for path in (root / directory).iterdir():
            status = path.lstat()
            if path.is_file() and not path.is_symlink() and status.st_mtime < listing.stat().st_mtime - 86400:
                newest = max(newest, int(status.st_mtime))
    return newest


def write_disk(
    disk: Path, layout: DiskLayout, root: Path, architecture: Architecture, mke2fs: str, epoch: int, progress: Progress
) -> None:
    """Write table, root and ESP into a sparse file of the layout's size."""
    progress(Event("writing the disk"))
    with disk.open("wb") as file:
        file.truncate(layout.size)
    write_root(mke2fs, disk, layout, root, epoch)
    shim, boot, grub_source, grub = _EFI[architecture]
    stub = disk.with_name("grub-esp.cfg")
    stub.write_text(render_template("grub-esp.cfg", root_uuid=layout.root_uuid))
    loaders: Mapping[str, Path] = {boot: root / shim, grub: root / grub_source, "EFI/debian/grub.cfg": stub}
    write_esp(disk, layout, loaders, epoch)
    write_table(disk, layout)


def _read_packages(root: Path) -> tuple[Package, ...]:
    """Return what dpkg says is installed, sorted by name."""
    said = run(["dpkg-query", f"--admindir={root}/var/lib/dpkg", "--show",
                "--showformat=${db:Status-Abbrev}\\t${Package}\\t${Version}\\t${Architecture}\\n"])  # fmt: skip
    rows = (line.split("\t") for line in said.output.decode().splitlines())
    return tuple(sorted((Package(*row[1:]) for row in rows if row[0].strip() == "ii"), key=lambda one: one.name))


def _record(
    definition: ImageDefinition, plan: RootPlan, packages: tuple[Package, ...], mke2fs: str, project: Path | None
) -> Provenance:
    """Write down what went in, by which tools, and whether this machine can make the same bytes again."""
    commit, dirty = read_commit(project.parent) if project is not None else (None, False)
    version = read_version(mke2fs)
    reproducible = is_reproducible(mke2fs)
    note = "" if reproducible else (
        f"mke2fs {version} writes the time of the build into every inode; 1.47.1 and later do not "
        "(on Debian 12: apt install -t bookworm-backports e2fsprogs)"
    )  # fmt: skip
    tools = {name: read_version(name) for name in ("mmdebstrap", "apt-get", "mformat", "sfdisk")} | {"mke2fs": version}
    inputs = {"base-root": f"sha256:{plan.base_key}"} | {
        f"package:{package_name(package.file)[0]}": f"sha256:{package.sha256}" for package in plan.all_files
    }
    described = describe_image(definition)
    tools["python"] = ".".join(str(part) for part in sys.version_info[:3])
    return Provenance("local", described, packages, tools, inputs, commit, dirty, reproducible, note)
