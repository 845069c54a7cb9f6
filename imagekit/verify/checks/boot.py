"""Boot: firmware finds a loader, the loader finds its disk and its kernel, and a console shows what happens.

Source of the rules: UEFI specification 2.10 (3.5.1.1 removable media, 13 FAT), Microsoft's PE format, GRUB manual.
"""

import struct
from collections.abc import Iterator

from imagekit.disk.tree import FileTree, FileType
from imagekit.image import Architecture, Firmware
from imagekit.report import Severity
from imagekit.verify.check import MACHINES, Check, Policy, Seen, Subject
from imagekit.verify.facts.boot_entries import Entry, read_disk_names, read_entries, read_grub_defaults
from imagekit.verify.facts.filesystems import is_on_disk
from imagekit.verify.view import ESP_TYPE, CannotSee, View

_LOADERS = {Architecture.AMD64: "/EFI/BOOT/BOOTX64.EFI", Architecture.ARM64: "/EFI/BOOT/BOOTAA64.EFI"}
_MACHINES = {Architecture.AMD64: 0x8664, Architecture.ARM64: 0xAA64}
_CONSOLES = {Architecture.AMD64: "ttyS0", Architecture.ARM64: "ttyAMA0"}
_EFI_APPLICATION = 10


def _need_uefi(policy: Policy) -> None:
    if policy.firmware is not Firmware.OVMF:
        raise CannotSee(f"the image is for {policy.firmware.value}, which does not use an EFI system partition")


def find_fallback(view: View, policy: Policy) -> Iterator[Seen]:
    """Look for the loader that firmware starts when it remembers nothing."""
    _need_uefi(policy)
    esp = view.esp()
    if esp is None:
        table = view.partition_table()
        typed = [each for each in (table.partitions if table else ()) if each.type_guid.lower() == ESP_TYPE]
        found = "is no FAT filesystem" if typed else "there is no EFI system partition"
        yield Seen(f"partition {typed[0].number}" if typed else "partition table", found)
        return
    path = _LOADERS[policy.architecture]
    node = esp.stat(path)
    if node is None or node.type is not FileType.FILE:
        yield Seen(f"ESP:{path}", "there is no such file")


def find_loader_binary(view: View, policy: Policy) -> Iterator[Seen]:
    """Look whether the fallback loader is a program that this architecture's firmware starts."""
    _need_uefi(policy)
    esp = view.esp()
    path = _LOADERS[policy.architecture]
    data = esp.read(path, 8192) if esp is not None else None
    if data is None:
        raise CannotSee("there is no fallback loader to look at")
    problem = _judge_binary(data, _MACHINES[policy.architecture])
    if problem:
        yield Seen(f"ESP:{path}", problem)


def _judge_binary(data: bytes, machine: int) -> str:
    """Return what is wrong with the head of a PE file, or an empty string (PE format, 3.3 to 3.4.2)."""
    if len(data) < 64 or data[:2] != b"MZ":
        return f"is no PE program ({len(data)} bytes read)"
    (offset,) = struct.unpack_from("<I", data, 0x3C)
    if offset + 24 + 70 > len(data) or data[offset : offset + 4] != b"PE\0\0":
        return "has no PE header"
    (kind,) = struct.unpack_from("<H", data, offset + 4)
    (subsystem,) = struct.unpack_from("<H", data, offset + 24 + 68)
    if kind != machine:
        return f"is for machine type {kind:#06x}, not {machine:#06x}"
    return (
        "" if subsystem == _EFI_APPLICATION else f"has subsystem {subsystem}, not {_EFI_APPLICATION} (EFI application)"
    )


def find_dangling_references(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look whether every UUID and label that boot files name is on this disk."""
    names = read_disk_names(view)
    for name in names:
        if not is_on_disk(view, name.kind, name.value):
            yield Seen(name.path, f"{name.why} {name.kind}={name.value}: not on this disk")
    if not names and not read_entries(view):
        raise CannotSee("no boot configuration was found")


def find_missing_kernel(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for the default entry's kernel and initrd, and for that kernel's modules."""
    entries = read_entries(view)
    if not entries:
        if view.has_disk:
            yield Seen("/boot", "no boot entry was found")
            return
        raise CannotSee("no boot entry in the directory; it may be on a partition of its own")
    entry = entries[0]
    kernel = _find_boot_file(view, entry, entry.kernel)
    for path, found in (
        (entry.kernel, kernel),
        *((path, _find_boot_file(view, entry, path)) for path in entry.initrds),
    ):
        if found is None:
            yield Seen(path, f"named by {entry.path}, does not exist")
        elif found[1] == 0:
            yield Seen(path, f"named by {entry.path}, is empty")
    if not entry.initrds and any(word.startswith(("root=UUID=", "root=LABEL=")) for word in entry.arguments):
        yield Seen(entry.path, "the default entry has no initrd, and only an initrd understands its root=")
    version = kernel[0].rsplit("/", 1)[-1].partition("-")[2] if kernel else ""
    if version and not any(view.is_file(f"{lib}/modules/{version}/modules.dep") for lib in ("/usr/lib", "/lib")):
        yield Seen(f"/usr/lib/modules/{version}/modules.dep", "the default kernel has no modules")


def _find_boot_file(view: View, entry: Entry, path: str) -> tuple[str, int] | None:
    """Return canonical path and size of a file that a boot entry names, from whichever filesystem it means."""
    path = path[path.index(")") + 1 :] if path.startswith("(") and ")" in path else path
    trees: list[tuple[FileTree, str]] = [(view.tree, path), (view.tree, f"/boot/{path.lstrip('/')}")]
    esp = view.esp() if view.has_disk else None
    if esp is not None:
        trees.insert(0 if entry.on_esp else len(trees), (esp, path))
    for tree, candidate in trees:
        node = tree.stat(candidate)
        if node is not None and node.type is FileType.FILE:
            return tree.resolve(candidate) or candidate, node.size
    return None


def find_serial_console(view: View, policy: Policy) -> Iterator[Seen]:
    """Look for the serial port among the consoles of the default entry."""
    wanted = _CONSOLES[policy.architecture]
    entries = read_entries(view)
    if entries:
        path, words = entries[0].path, list(entries[0].arguments)
    else:
        defaults = [item for item in read_grub_defaults(view) if item[1].startswith("GRUB_CMDLINE_LINUX")]
        if not defaults:
            raise CannotSee("no kernel command line was found")
        path, words = defaults[0][0], [word for _, _, value in defaults for word in value.split()]
    if not any(word.split(",")[0] == f"console={wanted}" for word in words):
        yield Seen(path, f"no console={wanted} on the kernel command line")


CHECKS = (
    Check(
        id="uefi-fallback",
        severity=Severity.FAIL,
        subject=Subject.BOOT,
        why="a clone's EFI variables are new, so firmware finds nothing to start but the fallback loader",
        fix="grub-install --removable, or preset grub2/force_efi_extra_removable",
        find=find_fallback,
        profiles=MACHINES,
    ),
    Check(
        id="uefi-binary",
        severity=Severity.FAIL,
        subject=Subject.BOOT,
        why="firmware refuses a loader that is damaged or for another processor",
        fix="install the loader again for the image's architecture",
        find=find_loader_binary,
        profiles=MACHINES,
    ),
    Check(
        id="boot-references",
        severity=Severity.FAIL,
        subject=Subject.BOOT,
        why="the boot ends at a grub> prompt or in the initramfs shell",
        fix="run update-grub after the last mkfs",
        find=find_dangling_references,
        profiles=MACHINES,
    ),
    Check(
        id="kernel-files",
        severity=Severity.FAIL,
        subject=Subject.BOOT,
        why="the default boot entry cannot be started",
        fix="install the kernel package again; update-initramfs -u; update-grub",
        find=find_missing_kernel,
        profiles=MACHINES,
    ),
    Check(
        id="serial-console",
        severity=Severity.WARN,
        subject=Subject.BOOT,
        why="Proxmox's serial terminal and the boot proof see nothing",
        fix="add console=ttyS0,115200 to GRUB_CMDLINE_LINUX and run update-grub",
        find=find_serial_console,
        profiles=MACHINES,
    ),
)
