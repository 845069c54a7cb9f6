"""The local builder: a Debian template made on this machine from packages alone, never booted, clean by construction.

No loop device, no mount on this machine, no image to download, and no privilege where user namespaces are allowed.
"""

import re
import shutil
import sys
import time
from pathlib import Path

from imagekit.build.apt import (
    AptRoom,
    Supplies,
    fetch_packages,
    open_room,
    package_name,
    plan_packages,
    read_build_time,
    take_supplies,
    update_lists,
)
from imagekit.build.apt_sources import AptSource, choose_sources, read_machine_sources, require_keyring
from imagekit.build.cache import explain_access, lock_cache, prune_cache
from imagekit.build.contents import CONSOLES, QUIET, ImageFile, list_files, list_units, pack_files
from imagekit.build.git import read_commit
from imagekit.build.layout import DiskLayout, plan_layout
from imagekit.build.mke2fs import is_reproducible, write_root
from imagekit.build.mmdebstrap import MERGED_USR_HOOKS, Finish, RootPlan, make_root, read_default_sources, remove_root
from imagekit.build.mtools import write_esp
from imagekit.build.packages import choose_base_packages, choose_feature_packages
from imagekit.build.render import render_template
from imagekit.build.sfdisk import write_table
from imagekit.build.space import explain_space, require_space
from imagekit.definition import ImageDefinition, Release, describe_image
from imagekit.disk.digest import compute_digest
from imagekit.errors import DefinitionInvalid, ToolFailed
from imagekit.host import find_tool, read_version, run
from imagekit.image import Architecture, BuiltImage, DiskImage, Firmware, Package, Provenance
from imagekit.progress import Event, Progress, silent

_TOOLS = ("mmdebstrap", "apt-get", "unshare", "mformat", "mcopy", "mmd", "sfdisk", "tar")
# Where packages have the signed shim and GRUB, and where the firmware and shim look for them.
_LOADERS = {
    Architecture.AMD64: (
        ("usr/lib/shim/shimx64.efi.signed", "EFI/BOOT/BOOTX64.EFI"),
        ("usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", "EFI/BOOT/grubx64.efi"),
    ),
    Architecture.ARM64: (
        ("usr/lib/shim/shimaa64.efi.signed", "EFI/BOOT/BOOTAA64.EFI"),
        ("usr/lib/grub/arm64-efi-signed/grubaa64.efi.signed", "EFI/BOOT/grubaa64.efi"),
    ),
}
_KERNEL = re.compile(r"linux-image-(\d[a-zA-Z0-9.+~-]*)_")


def build_local(
    definition: ImageDefinition,
    workspace: Path,
    cache: Path,
    *,
    mke2fs: str = "mke2fs",
    project: Path | None = None,
    progress: Progress = silent,
) -> BuiltImage:
    """Build ``definition`` as ``workspace/disk.raw`` and return it with its provenance.

    ``cache`` keeps package files and base roots between builds. Raises :class:`ToolMissing`,
    :class:`DefinitionInvalid` (a package that does not exist, contents larger than the disk), :class:`HostFailed` (no
    network, no space, no privilege) and :class:`ToolFailed`.
    """
    require_tools(mke2fs)
    _require_possible(definition)
    layout = plan_layout(definition)
    with explain_access(cache), explain_space(workspace, cache):
        plan, supplies = _gather(definition, workspace, cache, progress)
        files = (*list_files(definition, layout, _normal_sources(plan.release)), grub_menu(layout, plan))
        additions = workspace / "additions.tar"
        additions.write_bytes(pack_files(files, plan.epoch))
        debs = _bring_packages(definition, workspace)
        finish = Finish(additions, list_units(definition), _user_words(definition), debs)
        root = make_root(plan, supplies, finish, workspace, cache, progress)
        disk = workspace / "disk.raw"
        epoch = _find_newest(plan, supplies, debs)
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


def _require_possible(definition: ImageDefinition) -> None:
    """Refuse a foreign architecture, whose maintainer scripts could not run here, and a disk without UEFI."""
    native = _read_native()
    if native != definition.architecture:
        raise DefinitionInvalid(
            f"this machine is {native}, so the local builder cannot make an image for {definition.architecture}",
            hint=f'build it on a machine with {definition.architecture}, or set architecture = "{native}"',
        )
    if definition.firmware is not Firmware.OVMF:
        raise DefinitionInvalid(
            f"the local builder makes disks that start through UEFI, not {definition.firmware}",
            hint='set firmware = "ovmf"',
        )


def _read_native() -> str:
    """Return this machine's architecture by Debian's name."""
    return run(["dpkg", "--print-architecture"]).output.decode().strip()


def plan_root(definition: ImageDefinition, cache: Path, progress: Progress = silent) -> tuple[RootPlan, AptRoom]:
    """Decide which package files the root is made of, from the machine's own sources and their current indexes."""
    with explain_access(cache), lock_cache(cache, progress), explain_space(cache):
        return _plan_root(definition, cache)


def complete_sources(found: tuple[AptSource, ...], release: Release) -> tuple[AptSource, ...]:
    """Return ``found``, with the distribution's own security suite where the machine names none, or all of its sources.

    A template without security updates would be old on the day it is made, and nothing would say so.
    """
    if not found:
        return read_default_sources(release.value)
    if any(source.suite.endswith("-security") for source in found):
        return found
    return (*found, *(one for one in read_default_sources(release.value) if one.suite.endswith("-security")))


def _plan_root(definition: ImageDefinition, cache: Path) -> tuple[RootPlan, AptRoom]:
    release = definition.base.release
    sources = complete_sources(choose_sources(read_machine_sources(), release), release)
    room = open_room(cache, release.value, definition.architecture.value, sources)
    update_lists(room)
    base = choose_base_packages(release, definition.architecture, merged_usr=MERGED_USR_HOOKS.is_dir())
    extra = tuple(dict.fromkeys((*choose_feature_packages(definition.features, release), *definition.packages)))
    base_files = plan_packages(room, base)
    all_files = plan_packages(room, (*base, *extra)) if extra else base_files
    plan = RootPlan(release.value, definition.architecture.value, release.epoch, base, base_files, extra, all_files)
    return plan, room


def _gather(definition: ImageDefinition, workspace: Path, cache: Path, progress: Progress) -> tuple[RootPlan, Supplies]:
    """Plan, fetch and link what the build installs: all that uses the network and what other builds share."""
    with lock_cache(cache, progress):
        progress(Event("reading package lists"))
        plan, room = _plan_root(definition, cache)
        _require_space(plan, room, cache)
        fetch_packages(room, plan.all_files, (*plan.base, *plan.extra), progress)
        supplies = take_supplies(room, plan.all_files, workspace)
        prune_cache(cache, time.time())
    return plan, supplies


def _require_space(plan: RootPlan, room: AptRoom, cache: Path) -> None:
    """Refuse to begin what cannot end: package files, the root (four times their size, by experience) and the disk."""
    size = sum(package.size for package in plan.all_files)
    missing = sum(package.size for package in plan.all_files if not (room.archives / package.file).is_file())
    require_space(cache, missing + 12 * size)


def _normal_sources(release: str) -> str:
    """Return the sources.list that the image gets: the distribution's own, with nothing of this machine in it."""
    return "".join(
        f"deb {source.uri} {source.suite} {' '.join(source.components)}\n" for source in read_default_sources(release)
    )


def grub_menu(layout: DiskLayout, plan: RootPlan) -> ImageFile:
    """Return the first ``grub.cfg``: no device exists yet that grub-mkconfig could probe."""
    kernels = {match[1] for package in plan.all_files if (match := _KERNEL.match(package.file))}
    if not kernels:
        raise ToolFailed("the packages of this image hold no kernel")
    text = render_template(
        "grub.cfg",
        root_uuid=layout.root_uuid,
        kernel=max(kernels, key=_kernel_order),
        command_line=f"{CONSOLES[Architecture(plan.architecture)]} {QUIET}",
    )
    return ImageFile("/boot/grub/grub.cfg", text.encode())


def _user_words(definition: ImageDefinition) -> tuple[str, ...]:
    """Return finish.sh's ``name:shell:groups`` for each user; the parser has let only plain words through."""
    return tuple(f"{user.name}:{user.shell}:{','.join(user.groups)}" for user in definition.users)


def _kernel_order(version: str) -> tuple[object, ...]:
    """Order kernels as GRUB would: numbers as numbers, and the cloud kernel first among equals."""
    return ([int(number) for number in re.findall(r"\d+", version)], "cloud" in version, version)


def _bring_packages(definition: ImageDefinition, workspace: Path) -> Path:
    """Copy the package files that the operator brings to where finish.sh looks; their own names may hold anything."""
    debs = workspace / "debs"
    debs.mkdir()
    if definition.promtail is not None:
        try:
            shutil.copyfile(definition.promtail.package, debs / "promtail.deb")
        except (FileNotFoundError, PermissionError, IsADirectoryError) as problem:
            raise DefinitionInvalid(
                f"{definition.promtail.package} cannot be read: {problem.strerror}",
                hint="look at promtail.package in imagekit.toml",
            ) from problem
    return debs


def _find_newest(plan: RootPlan, supplies: Supplies, debs: Path) -> int:
    """Return when the newest package of the image was built: the disk's clock, which changes only when packages do.

    mke2fs lowers later times to it, and those are all the build's own. A package's files keep theirs: Python compares
    a module's time with the one in its compiled form.
    """
    files = [supplies.packages / package.file for package in plan.all_files]
    return max(plan.epoch, *map(read_build_time, [*files, *debs.iterdir()]))


def write_disk(
    disk: Path, layout: DiskLayout, root: Path, architecture: Architecture, mke2fs: str, epoch: int, progress: Progress
) -> None:
    """Write table, root and ESP into a sparse file of the layout's size."""
    progress(Event("writing the disk"))
    with disk.open("wb") as file:
        file.truncate(layout.size)
    write_root(mke2fs, disk, layout, root, epoch)
    loaders = {name: (root / source).read_bytes() for source, name in _LOADERS[architecture]}
    stub = render_template("grub-esp.cfg", root_uuid=layout.root_uuid)
    write_esp(disk, layout, loaders | {"EFI/debian/grub.cfg": stub.encode()}, epoch)
    write_table(disk, layout)


def _read_packages(root: Path) -> tuple[Package, ...]:
    """Return what dpkg says is installed, sorted by name."""
    wanted = "${db:Status-Abbrev}\\t${Package}\\t${Version}\\t${Architecture}\\n"
    said = run(["dpkg-query", f"--admindir={root}/var/lib/dpkg", "--show", f"--showformat={wanted}"])
    rows = (line.split("\t") for line in said.output.decode().splitlines())
    return tuple(sorted((Package(*row[1:]) for row in rows if row[0].strip() == "ii"), key=lambda one: one.name))


def _record(
    definition: ImageDefinition, plan: RootPlan, packages: tuple[Package, ...], mke2fs: str, project: Path | None
) -> Provenance:
    """Write down what went in, by which tools, and whether this machine can make the same bytes again."""
    commit, dirty = read_commit(project.parent) if project is not None else (None, False)
    version = read_version(mke2fs)
    reproducible = is_reproducible(mke2fs)
    note = ""
    if not reproducible:
        note = (
            f"mke2fs {version} writes the time of the build into every inode; 1.47.1 and later do not "
            "(on Debian 12: apt install -t bookworm-backports e2fsprogs)"
        )
    tools = {name: read_version(name) for name in ("mmdebstrap", "apt-get", "mformat", "sfdisk")} | {"mke2fs": version}
    inputs = {"base-root": f"sha256:{plan.base_key}"} | {
        f"package:{package_name(package.file)[0]}": f"sha256:{package.sha256}" for package in plan.all_files
    }
    described = describe_image(definition)
    tools["python"] = ".".join(str(part) for part in sys.version_info[:3])
    return Provenance("local", described, packages, tools, inputs, commit, dirty, reproducible, note)
