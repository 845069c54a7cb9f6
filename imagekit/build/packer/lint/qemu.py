"""Rules about machines that Packer starts on this host; what they need of it is looked for here and now."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from imagekit.build.packer.lint.rule import QEMU, Case, Finding, Level, Rule, Subject
from imagekit.definition.problems import quote

_DEFAULT_FIRMWARE = {
    "efi_firmware_code": "/usr/share/OVMF/OVMF_CODE.fd",
    "efi_firmware_vars": "/usr/share/OVMF/OVMF_VARS.fd",
}
_FLASH_BYTES = (2 << 20, 4 << 20)


def _is_x86(case: Case) -> bool:
    return "x86_64" in (case.block.read_text("qemu_binary", "qemu-system-x86_64") or "")


def find_guessed_accelerators(case: Case) -> Iterator[Finding]:
    """Yield machines whose accelerator was not chosen for the host that runs them."""
    setting = case.block.settings.get("accelerator")
    if case.block.lacks("accelerator"):
        yield case.at(case.block, "accelerator", "left out")
    elif setting is not None and setting.written and setting.value in ("kvm", "hvf", "whpx"):
        yield case.at(case.block, "accelerator", f'accelerator = "{setting.value}"')


def find_bios_machines(case: Case) -> Iterator[Finding]:
    """Yield machines without UEFI."""
    names = ("efi_boot", *_DEFAULT_FIRMWARE, "firmware")
    if _is_x86(case) and all(case.block.lacks(name) for name in names):
        yield case.at(case.block, "efi_boot")


def _is_uefi(case: Case) -> bool:
    return case.block.read_flag("efi_boot") is True or any(case.block.has(name) for name in _DEFAULT_FIRMWARE)


def _find_firmware(case: Case, name: str) -> Path | None:
    """Return the file that the machine would get; ``None`` when it is not known or there is none."""
    text = case.block.read_text(name, _DEFAULT_FIRMWARE[name])
    return Path(text) if text is not None and _is_uefi(case) else None


def find_missing_firmware(case: Case) -> Iterator[Finding]:
    """Yield firmware that is not on this host."""
    for name in _DEFAULT_FIRMWARE:
        path = _find_firmware(case, name)
        if path is not None and not _is_file(path):
            left_out = "" if case.block.has(name) else ", the default"
            yield case.at(case.block, name, f"{path}{left_out} is not there")


def find_unlike_firmware(case: Case) -> Iterator[Finding]:
    """Yield halves of a firmware that do not belong together."""
    paths = [_find_firmware(case, name) for name in _DEFAULT_FIRMWARE]
    sizes = [path.stat().st_size for path in paths if path is not None and _is_file(path)]
    if len(sizes) != 2 or sum(sizes) in _FLASH_BYTES or sizes[0] == sizes[1]:
        return
    if paths[1] is not None and "edk2-i386-vars" in paths[1].name:  # Homebrew's: the code half holds less
        return
    yield case.at(case.block, "efi_firmware_vars", f"code of {sizes[0]} and variables of {sizes[1]} bytes")


def find_missing_disks(case: Case) -> Iterator[Finding]:
    """Yield images on this host that are not there."""
    names = ("iso_url", "iso_urls")
    for name in names:
        texts = case.block.read_texts(name) if name == "iso_urls" else (case.block.read_text(name, "") or "",)
        local = [(text, _read_path(text)) for text in texts or () if text]
        if local and all(path is not None and not _is_there(case, path) for _, path in local):
            yield case.at(case.block, name, f"{quote(local[0][0])} is not there")


def _read_path(text: str) -> Path | None:
    """Return the path of a local image, ``None`` for one that is downloaded."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        try:
            parts = urlsplit(text)
        except ValueError:
            return None
        return Path(unquote(parts.netloc + parts.path)) if parts.scheme == "file" else None
    return None if "::" in text else Path(text)


def _is_there(case: Case, path: Path) -> bool:
    return any(_is_file(place / path) for place in (Path.cwd(), case.template.directory))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long
        return False


def find_unseen_discs(case: Case) -> Iterator[Finding]:
    """Yield seeds on a drive that some cloud kernels have no driver for."""
    has_seed = any(case.block.has(name) for name in ("cd_files", "cd_content"))
    q35 = "q35" in (case.block.read_text("machine_type", "pc") or "")
    if q35 and has_seed and case.block.lacks("cdrom_interface") and case.block.read_flag("disk_image") is True:
        yield case.at(case.block, "cdrom_interface")


def find_busless_discs(case: Case) -> Iterator[Finding]:
    """Yield CD drives for which the plugin adds a controller that a PC cannot have."""
    args = case.block.get("qemuargs")
    if case.block.read_text("cdrom_interface") != "virtio-scsi" or not _is_x86(case):
        return
    switches = [row[0] for row in args if isinstance(row, tuple) and row] if isinstance(args, tuple) else []
    if (args is None or isinstance(args, tuple)) and "-device" not in switches and _has_disc(case):
        yield case.at(case.block, "cdrom_interface")


def _has_disc(case: Case) -> bool:
    booted = case.block.read_flag("disk_image", False) is False
    return booted or any(case.block.has(name) for name in ("cd_files", "cd_content"))


def find_no_shutdown(case: Case) -> Iterator[Finding]:
    """Yield machines that are killed at the end."""
    if case.block.lacks("shutdown_command") and case.block.read_text("communicator", "ssh") != "none":
        yield case.at(case.block, "shutdown_command")


def find_windows(case: Case) -> Iterator[Finding]:
    """Yield machines that open a window."""
    hidden = case.block.read_flag("use_default_display") is True
    if case.block.read_flag("headless", False) is False and not hidden:
        yield case.at(case.block, "headless")


def find_host_cpu(case: Case) -> Iterator[Finding]:
    """Yield a host's processor for machines that are emulated."""
    text = case.block.read_text("cpu_model", "") or ""
    accelerator = case.block.read_text("accelerator")
    if text.split(",")[0] == "host" and accelerator in ("tcg", "none"):
        yield case.at(case.block, "cpu_model", f'cpu_model = "host" with accelerator {accelerator}')


RULES = (
    Rule(
        "qemu-accelerator", Level.WARNING, Subject.QEMU, QEMU, find_guessed_accelerators,
        "Packer takes kvm wherever /dev/kvm opens, even where guests die on it; a fixed one fails on the next host",
        "a variable, so that each host says what it has",
    ),
    Rule(
        "qemu-bios", Level.WARNING, Subject.QEMU, QEMU, find_bios_machines,
        "the machine starts with a BIOS: a disk made for UEFI does not boot, and an installed one never will with UEFI",
        "efi_boot = true, efi_firmware_code and efi_firmware_vars",
    ),
    Rule(
        "qemu-firmware-missing", Level.ERROR, Subject.QEMU, QEMU, find_missing_firmware,
        "QEMU ends at once", "the path of an installed firmware, such as /usr/share/OVMF/OVMF_CODE_4M.fd",
    ),
    Rule(
        "qemu-firmware-sizes", Level.ERROR, Subject.QEMU, QEMU, find_unlike_firmware,
        "the machine never leaves its firmware, or QEMU ends at once",
        "both files of one build: OVMF_CODE_4M.fd with OVMF_VARS_4M.fd",
    ),
    Rule(
        "qemu-image-missing", Level.ERROR, Subject.QEMU, QEMU, find_missing_disks,
        "the build ends at its first step", "mend the path; ${path.root} is the template's directory",
    ),
    Rule(
        "qemu-cdrom-ahci", Level.WARNING, Subject.QEMU, QEMU, find_unseen_discs,
        "Debian's cloud kernel has no AHCI driver: it never sees the seed, and nobody can log in",
        'cdrom_interface = "virtio-scsi", with every -device in qemuargs',
    ),
    Rule(
        "qemu-cdrom-bus", Level.ERROR, Subject.QEMU, QEMU, find_busless_discs,
        "the plugin adds a virtio-scsi-device, which has no bus on a PC, and QEMU ends at once",
        "list every -device in qemuargs: virtio-scsi-pci, scsi-hd, scsi-cd and the network card",
    ),
    Rule(
        "qemu-shutdown", Level.ERROR, Subject.QEMU, QEMU, find_no_shutdown,
        "Packer pulls the plug: the image's filesystems are not clean, and what was written last may be missing",
        'shutdown_command = "sudo poweroff"',
    ),
    Rule(
        "qemu-window", Level.WARNING, Subject.QEMU, QEMU, find_windows,
        "QEMU opens a window, and ends at once where there is no display", "headless = true",
    ),
    Rule(
        "qemu-host-cpu", Level.ERROR, Subject.QEMU, QEMU, find_host_cpu,
        "an emulated machine cannot have the host's processor, and QEMU ends at once", 'cpu_model = "max"',
    ),
)  # fmt: skip
