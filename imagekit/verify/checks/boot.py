"""Boot: firmware finds a loader, the loader finds its disk and its kernel, and a console shows what happens.

Source of the rules: UEFI specification 2.10 (3.5.1.1 removable media, 13 FAT), Microsoft's PE format, GRUB manual.
"""

import re
import struct
from collections.abc import Iterator

from imagekit.disk.tree import FileType
from imagekit.image import Architecture, Firmware
from imagekit.report import Severity
from imagekit.verify.check import MACHINES, Check, Policy, Seen, Subject
from imagekit.verify.facts.boot_entries import (
    find_esp_files,
    read_arguments,
    read_default_entry,
    read_disk_names,
    read_entries,
    read_grub_defaults,
)
from imagekit.verify.facts.boot_files import find_boot_file, read_kernel_version
from imagekit.verify.facts.filesystems import is_on_disk, may_provide
from imagekit.verify.view import CannotSee, View

_LOADERS = {Architecture.AMD64: "/EFI/BOOT/BOOTX64.EFI", Architecture.ARM64: "/EFI/BOOT/BOOTAA64.EFI"}
_MACHINES = {Architecture.AMD64: 0x8664, Architecture.ARM64: 0xAA64}
_CONSOLES = {Architecture.AMD64: "ttyS0", Architecture.ARM64: "ttyAMA0"}
_EFI_APPLICATION = 10
# The loader that shim starts from its own directory (shim's DEFAULT_LOADER).
_SECOND_STAGES = {Architecture.AMD64: "/EFI/BOOT/grubx64.efi", Architecture.ARM64: "/EFI/BOOT/grubaa64.efi"}
_SECURITY_DIRECTORY = 4  # PE format, "Optional Header Data Directories": the attribute certificate table
_BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"  # GRUB manual, "BIOS installation"
_ACTIVE = 0x80
# A logical volume's two names; the kernel's own names have no second part.
_MAPPED_ROOT = re.compile(r"root=/dev/(?:mapper/|(?!disk/)[^/]+/)[^/]+$")


def _need_uefi(policy: Policy) -> None:
    if policy.firmware is not Firmware.OVMF:
        raise CannotSee(f"the image is for {policy.firmware.value}, which does not use an EFI system partition")


def find_fallback(view: View, policy: Policy) -> Iterator[Seen]:
    """Look for the loader that firmware starts when it remembers nothing."""
    _need_uefi(policy)
    esp = view.esp()
    if esp is None:
        table = view.partition_table()
        typed = [each for each in (table.partitions if table else ()) if each.is_esp]
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


def find_unsigned_loaders(view: View, policy: Policy) -> Iterator[Seen]:
    """Look for a signature in the fallback loader, and where Secure Boot is wanted in what it starts too."""
    esp = view.esp()
    if policy.firmware is not Firmware.OVMF:
        if policy.secure_boot:
            yield Seen("partition table", f"{policy.firmware.value} has no Secure Boot", Severity.FAIL)
        return
    path = _LOADERS[policy.architecture]
    node = esp.stat(path) if esp is not None else None
    data = esp.read(path, 8192) if esp is not None else None
    if esp is None or node is None or data is None:
        raise CannotSee("there is no fallback loader to look at")
    if _judge_binary(data, _MACHINES[policy.architecture]):
        return  # nothing starts it at all, and the check uefi-binary says so
    severity = Severity.FAIL if policy.secure_boot else Severity.INFO
    if not _is_signed(data, node.size):
        yield Seen(f"ESP:{path}", "is not signed: it starts only where Secure Boot is off", severity)
    if not policy.secure_boot:
        return
    second = _SECOND_STAGES[policy.architecture]
    node, data = esp.stat(second), esp.read(second, 8192)
    if node is not None and data is not None and not _is_signed(data, node.size):
        yield Seen(f"ESP:{second}", "is not signed: shim refuses it", severity)
    entry = read_default_entry(view)
    kernel = find_boot_file(view, entry, entry.kernel) if entry is not None else None
    head = kernel.tree.read(kernel.path, 8192) if kernel is not None else None
    # An arm64 kernel may be gzip-compressed, so that its signature is not to be seen.
    if kernel is not None and head and head[:2] == b"MZ" and not _is_signed(head, kernel.size):
        yield Seen(kernel.path, "the kernel is not signed: GRUB refuses it", severity)


def _is_signed(data: bytes, size: int) -> bool:
    """Say whether the head of a PE file of ``size`` bytes names an attribute certificate table inside the file."""
    if len(data) < 64 or data[:2] != b"MZ":
        return False
    header = struct.unpack_from("<I", data, 0x3C)[0] + 24
    if header + 2 > len(data):
        return False
    wide = struct.unpack_from("<H", data, header)[0] == 0x20B
    count_at = header + (108 if wide else 92)
    entry = count_at + 4 + 8 * _SECURITY_DIRECTORY
    if entry + 8 > len(data) or struct.unpack_from("<I", data, count_at)[0] <= _SECURITY_DIRECTORY:
        return False
    begin, length = struct.unpack_from("<II", data, entry)
    return bool(begin > 0 and length >= 8 and begin + length <= size)


def find_bios_gaps(view: View, policy: Policy) -> Iterator[Seen]:
    """Look, where the definition says SeaBIOS, for boot code in sector 0 and for the loader that it starts."""
    from imagekit.disk.partitions.gpt import SECTOR, Scheme

    table = view.partition_table()
    if policy.firmware is not Firmware.SEABIOS:
        return
    if table is None or not table.has_boot_code:
        yield Seen("sector 0", "there is no boot code for a BIOS")
        return
    disk = view.disk()
    if table.scheme is Scheme.GPT:
        boot = next((each for each in table.partitions if each.type_guid == _BIOS_BOOT), None)
        if boot is None:
            yield Seen("partition table", "there is no BIOS boot partition for GRUB's core image")
        elif boot.offset + SECTOR <= disk.size and not any(disk.read(boot.offset, SECTOR)):
            yield Seen(f"partition {boot.number}", "the BIOS boot partition is empty")
        return
    # GRUB puts its core image behind sector 0; other loaders start the boot sector of the active partition.
    active = [each for each in table.partitions if each.attributes & _ACTIVE]
    starts = [SECTOR, *(each.offset for each in active)]
    if not any(any(disk.read(start, SECTOR)) for start in starts if start + SECTOR <= disk.size):
        yield Seen("sector 1", "there is no loader behind the boot code, and none in an active partition")


def find_dangling_references(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look whether every UUID and label that boot files name is on this disk."""
    names = read_disk_names(view)
    for name in names:
        if not is_on_disk(view, name.kind, name.value):
            yield Seen(name.path, f"{name.why} {name.kind}={name.value}: not on this disk")
    for argument in read_arguments(view):
        if _MAPPED_ROOT.match(argument.text) and not may_provide(view, argument.text.removeprefix("root=")):
            yield Seen(argument.path, f"{argument.text}: no logical volume of this disk is called so")
    if not names and not read_entries(view):
        raise CannotSee("no boot configuration was found")


def find_missing_kernel(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for the default entry's kernel and initrd, and for that kernel's modules."""
    entry = read_default_entry(view)
    if entry is None:
        esp = view.esp() if view.has_disk else None
        if esp is not None and any("/linux/" in path.lower() for path in find_esp_files(esp, ".efi")):
            raise CannotSee("the kernel is in a unified kernel image, which is not looked into")
        if view.has_disk:
            yield Seen("/boot", "no boot entry was found")
            return
        raise CannotSee("no boot entry in the directory; it may be on a partition of its own")
    for path in (entry.kernel, *entry.initrds):
        found = find_boot_file(view, entry, path)
        if found is None:
            yield Seen(path, f"named by {entry.path}, does not exist")
        elif found.size == 0:
            yield Seen(path, f"named by {entry.path}, is empty")
    if not entry.initrds and any(word.startswith(("root=UUID=", "root=LABEL=")) for word in entry.arguments):
        yield Seen(entry.path, "the default entry has no initrd, and only an initrd understands its root=")
    version = read_kernel_version(view)
    if version and not any(view.is_file(f"{lib}/modules/{version}/modules.dep") for lib in ("/usr/lib", "/lib")):
        yield Seen(f"/usr/lib/modules/{version}/modules.dep", "the default kernel has no modules")


def find_serial_console(view: View, policy: Policy) -> Iterator[Seen]:
    """Look for the serial port among the consoles of the default entry."""
    wanted = _CONSOLES[policy.architecture]
    entry = read_default_entry(view)
    if entry is not None:
        path, words = entry.path, list(entry.arguments)
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
        fix="`grub-install --removable`, or preset grub2/force_efi_extra_removable",
        find=find_fallback,
        profiles=MACHINES,
    ),
    Check(
        id="uefi-binary",
        severity=Severity.FAIL,
        subject=Subject.BOOT,
        why="firmware refuses a loader that is damaged or for another processor",
        fix="`grub-install --removable`, with the loader for the image's architecture",
        find=find_loader_binary,
        profiles=MACHINES,
    ),
    Check(
        id="secure-boot",
        severity=Severity.INFO,
        subject=Subject.BOOT,
        why="firmware with Secure Boot on starts nothing that is not signed",
        fix="`apt-get install shim-signed grub-efi-amd64-signed && grub-install --removable`",
        find=find_unsigned_loaders,
        profiles=MACHINES,
    ),
    Check(
        id="bios-boot",
        severity=Severity.FAIL,
        subject=Subject.BOOT,
        why="SeaBIOS finds nothing to start and hangs",
        fix="`apt-get install grub-pc && grub-install /dev/sda`, with a BIOS boot partition; or use firmware = ovmf",
        find=find_bios_gaps,
        profiles=MACHINES,
    ),
    Check(
        id="boot-references",
        severity=Severity.FAIL,
        subject=Subject.BOOT,
        why="the boot ends at a grub> prompt or in the initramfs shell",
        fix="`update-grub`, after the last mkfs",
        find=find_dangling_references,
        profiles=MACHINES,
    ),
    Check(
        id="kernel-files",
        severity=Severity.FAIL,
        subject=Subject.BOOT,
        why="the default boot entry cannot be started",
        fix="`update-initramfs -u -k all; update-grub`, after installing the kernel package again",
        find=find_missing_kernel,
        profiles=MACHINES,
    ),
    Check(
        id="serial-console",
        severity=Severity.WARN,
        subject=Subject.BOOT,
        why="Proxmox's serial terminal and the boot proof see nothing",
        fix=(
            "`printf 'GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX console=ttyS0,115200\"\\n' > "
            "/etc/default/grub.d/98-serial.cfg; update-grub`"
        ),
        find=find_serial_console,
        profiles=MACHINES,
    ),
)
