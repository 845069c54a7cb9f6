"""Rules about ``qemuargs``: one switch of it replaces everything that the plugin would give that switch itself.

What the plugin would give is in ``builder/qemu/step_run.go`` of packer-plugin-qemu 1.0.9.
"""

import re
from collections.abc import Iterator

from imagekit.build.packer.lint.rule import QEMU, Case, Finding, Level, Rule, Subject
from imagekit.build.packer.values import Value
from imagekit.definition.problems import quote, suggest

_NAMED = re.compile(r"\{\{-?\s*\.(\w+)[^{}]{0,80}\}\}")
_NAMES = ("HTTPIP", "HTTPPort", "HTTPDir", "HTTPContent", "OutputDir", "Name", "SSHHostPort")


def _read_rows(value: Value) -> list[tuple[str, str]] | None:
    """Return switches with their values, ``None`` when some are not known."""
    if not isinstance(value, tuple):
        return None
    rows: list[tuple[str, str]] = []
    for row in value:
        if not isinstance(row, tuple) or not row or not all(isinstance(part, str) for part in row):
            return None
        rows.append((str(row[0]), "".join(str(part) for part in row[1:])))
    return rows


def _list_values(case: Case, switch: str) -> list[str] | None:
    """Return the values of a switch, ``None`` when it is not overridden or not known."""
    rows = _read_rows(case.block.get("qemuargs"))
    found = [value for name, value in rows or () if name == switch and value]
    return found or None


def find_strange_rows(case: Case) -> Iterator[Finding]:
    """Yield rows that are no switch with a value."""
    value = case.block.get("qemuargs")
    for row in value if isinstance(value, tuple) else ():
        if row == ():
            yield case.at(case.block, "qemuargs", "an empty row")
        elif isinstance(row, tuple) and isinstance(row[0], str) and not re.fullmatch(r"--?[a-zA-Z][\w-]*", row[0]):
            yield case.at(case.block, "qemuargs", f"{quote(row[0])} is no switch")


def find_strange_names(case: Case) -> Iterator[Finding]:
    """Yield ``{{ .Name }}`` that stands for nothing."""
    value = case.block.get("qemuargs")
    for row in value if isinstance(value, tuple) else ():
        for text in row if isinstance(row, tuple) else ():
            for word in _NAMED.findall(text) if isinstance(text, str) else ():
                if word not in _NAMES:
                    meant = suggest(word, _NAMES)
                    fix = f"did you mean {{{{ .{meant} }}}}?" if meant else ""
                    yield case.at(case.block, "qemuargs", f"{{{{ .{word} }}}}", fix)


def find_dropped_devices(case: Case) -> Iterator[Finding]:
    """Yield lists of devices without one that the plugin would have added."""
    devices = _list_values(case, "-device")
    if devices is None:
        return
    if case.block.read_text("disk_interface") == "virtio-scsi" and not _uses(devices, "drive=drive0"):
        yield case.at(case.block, "qemuargs", "-device, and none is scsi-hd with drive=drive0")
    if case.block.read_text("cdrom_interface") == "virtio-scsi" and not _uses(devices, "drive=cdrom0"):
        booted = case.block.read_flag("disk_image", False) is False
        if booted or case.block.has("cd_files") or case.block.has("cd_content"):
            yield case.at(case.block, "qemuargs", "-device, and none is scsi-cd with drive=cdrom0")
    if case.block.read_flag("vtpm") is True and not _uses(devices, "tpmdev=tpm0"):
        yield case.at(case.block, "qemuargs", "-device, and none has tpmdev=tpm0")
    if _list_values(case, "-netdev") is None and not _uses(devices, "netdev=user.0"):
        card = case.block.read_text("net_device", "virtio-net")
        if card is not None and any(card in device for device in devices):  # else the plugin adds its own card
            yield case.at(case.block, "qemuargs", "-device, and no network card has netdev=user.0")


def _uses(values: list[str], wanted: str) -> bool:
    return any(wanted in value.replace(" ", "").split(",") for value in values)


def find_dropped_drives(case: Case) -> Iterator[Finding]:
    """Yield lists of drives without one that the plugin would have added."""
    drives = _list_values(case, "-drive")
    if drives is None:
        return
    directory = case.block.read_text("output_directory")
    if not any("OutputDir" in drive or (directory and directory in drive) for drive in drives):
        yield case.at(case.block, "qemuargs", "-drive, and none is the disk that is built")
    firmware = ("efi_firmware_code", "efi_firmware_vars")
    uefi = case.block.read_flag("efi_boot") is True or any(case.block.has(name) for name in firmware)
    if uefi and not any("if=pflash" in drive.replace(" ", "") for drive in drives):
        yield case.at(case.block, "qemuargs", "-drive, and none is the firmware (if=pflash)")


def find_dropped_forwards(case: Case) -> Iterator[Finding]:
    """Yield networks through which Packer cannot reach the machine."""
    networks = _list_values(case, "-netdev")
    reaches = case.block.read_text("communicator", "ssh")
    elsewhere = case.block.has("ssh_host") or case.block.has("winrm_host") or not case.block.lacks("net_bridge")
    if networks is None or reaches not in ("ssh", "winrm") or elsewhere:
        return
    if case.block.read_flag("skip_nat_mapping", False) is not False:
        return
    if any(network.startswith("user") for network in networks) and not any("SSHHostPort" in n for n in networks):
        yield case.at(case.block, "qemuargs", "-netdev user, and no hostfwd with {{ .SSHHostPort }}")


RULES = (
    Rule(
        "qemuargs-form", Level.ERROR, Subject.QEMU, QEMU, find_strange_rows,
        "QEMU ends at once", '["-SWITCH", "VALUE"] in each row',
    ),
    Rule(
        "qemuargs-name", Level.ERROR, Subject.QEMU, QEMU, find_strange_names,
        "the build ends when it starts the machine", f"one of {', '.join(_NAMES)}",
    ),
    Rule(
        "qemuargs-device", Level.ERROR, Subject.QEMU, QEMU, find_dropped_devices,
        "one -device replaces all that the plugin would add, so the machine lacks the rest",
        "list every device: virtio-scsi-pci,id=scsi0 · scsi-hd,bus=scsi0.0,drive=drive0 · "
        "scsi-cd,bus=scsi0.0,drive=cdrom0 · virtio-net,netdev=user.0",
    ),
    Rule(
        "qemuargs-drive", Level.ERROR, Subject.QEMU, QEMU, find_dropped_drives,
        "one -drive replaces all that the plugin would add, so the machine lacks the rest",
        "remove it and use disk_interface and cdrom_interface, or list every drive",
    ),
    Rule(
        "qemuargs-netdev", Level.ERROR, Subject.QEMU, QEMU, find_dropped_forwards,
        "one -netdev replaces the plugin's own with its forwarded port, and Packer waits for SSH in vain",
        '["-netdev", "user,id=user.0,hostfwd=tcp:127.0.0.1:{{ .SSHHostPort }}-:22"]',
    ),
)  # fmt: skip
