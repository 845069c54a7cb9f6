"""A guest's serial log: how far it came, and what stopped it.

The log is written by the guest and therefore hostile: only its end is read, control characters are dropped.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

_TAIL_BYTES = 256 << 10
_LINE = 400
# Escape sequences (ECMA-48) and every other control character but newline and tab; and bidirectional overrides.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,256}(?:\x07|\x1b\\)|[@-Z\\-_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffd]")


class Stage(StrEnum):
    """How far a boot came, in order."""

    FIRMWARE = "firmware"
    BOOTLOADER = "bootloader"
    KERNEL = "kernel"
    USERSPACE = "userspace"
    CLOUD_INIT = "cloud-init"
    SSH = "ssh"


_SIGNS = (
    (Stage.SSH, re.compile(r"Cloud-init v\. \S+ finished at|^\S+ login: *$", re.MULTILINE)),
    (Stage.CLOUD_INIT, re.compile(r"cloud-init\[\d+\]|Cloud-init v\. ")),
    (Stage.USERSPACE, re.compile(r"systemd\[1\]: |^Welcome to (?!GRUB)|\[  OK  \]|Reached target", re.MULTILINE)),
    (Stage.KERNEL, re.compile(r"^\[ *\d+\.\d{6}\] |Linux version |Loading, please wait|EFI stub:", re.MULTILINE)),
    (Stage.BOOTLOADER, re.compile(r"BdsDxe: starting |GNU GRUB|Welcome to GRUB|Booting `|Loading Linux|grub")),
)


@dataclass(frozen=True, slots=True)
class Fault:
    """What stopped a boot, as one sentence, and the line that says so.

    ``machine`` says that the emulated machine broke, not the image; ``final`` that waiting longer is useless.
    """

    cause: str
    evidence: str
    machine: bool = False
    final: bool = True


# The first that matches is the cause. A panic for want of a root filesystem is the image's fault, so it comes first.
_FAULTS = (
    (r"Unable to mount root fs.*|No working init found.*", "the kernel could not mount its root filesystem"),
    (r"Kernel panic - not syncing: Attempted to kill init.*", "the kernel panicked because its first process ended"),
    (r"^.*Press any key to proceed.*", "the first-boot wizard waits for a key"),
    (
        r"^.*System cannot boot: Missing /etc/machine-id.*",
        "/etc/machine-id is missing on a read-only root, so the machine has no id and no network",
    ),
    (
        r"^\(initramfs\).*|^dracut:/#.*|ALERT! .*does not exist.*",
        "the initramfs did not find the root filesystem and waits at a prompt",
    ),
    (
        r"^.*root account is locked.*",
        "the machine is in emergency mode and the root account is locked: nobody can enter",
    ),
    (
        r"You are in emergency mode.*|^.*Give root password for maintenance.*|^.*Reached target.*[Ee]mergency.*",
        "the machine is in emergency mode",
    ),
    (
        r"^error: you need to load the kernel first.*|^.*Failed to boot both default and fallback entries.*",
        "the boot loader could not load a kernel",
    ),
    (r"^grub rescue> ?.*|^grub> ?.*", "the boot loader has no configuration and waits at its prompt"),
    (
        r"BdsDxe: (?:No bootable option|failed to (?:load|start) Boot\w+ .*Scsi).*|^Shell> ?.*|UEFI Interactive .*",
        "the firmware found nothing to start on the disk",
    ),
)
_MACHINE_FAULTS = r"(?:Oops|double fault|BUG: unable to handle|general protection fault|Kernel panic - not syncing):?.*"
_COMPILED = (
    *((re.compile(pattern, re.MULTILINE), cause, False) for pattern, cause in _FAULTS[:1]),
    (re.compile(_MACHINE_FAULTS.replace("not syncing", "not syncing(?!: Attempted to kill init)")),
     "the emulated machine broke: its kernel crashed", True),
    *((re.compile(pattern, re.MULTILINE), cause, False) for pattern, cause in _FAULTS[1:]),
)  # fmt: skip
_PASSING = re.compile(r"^error: .*|^.*dracut-initqueue.*timeout.*", re.MULTILINE)
_JOB = re.compile(r"A start job is running for (.{1,120}?)(?: \(|\n|$)")


def read_tail(log: Path, limit: int = _TAIL_BYTES) -> str:
    """Return the end of a serial log as clean text, at most ``limit`` bytes of it; empty when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - limit))
            data = file.read(limit)
    except OSError:
        return ""
    return clean_text(data.decode(errors="replace"))


def clean_text(text: str) -> str:
    """Return ``text`` without what could drive a terminal; carriage returns become newlines."""
    text = _ESCAPES.sub("", text)
    return _CONTROLS.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def find_stage(text: str) -> Stage:
    """Return the last stage of which ``text`` shows a sign."""
    return next((stage for stage, sign in _SIGNS if sign.search(text)), Stage.FIRMWARE)


def find_fault(text: str) -> Fault | None:
    """Return what stopped the boot that wrote ``text``, or ``None`` when it says nothing of the kind."""
    text = _fold(text)
    for pattern, cause, machine in _COMPILED:
        if match := pattern.search(text):
            return Fault(cause, match.group().strip()[:200], machine)
    if jobs := _JOB.findall(text[-4096:]):
        return Fault(f"a start job did not end: {jobs[-1].strip()}", jobs[-1].strip(), final=False)
    if find_stage(text) in (Stage.FIRMWARE, Stage.BOOTLOADER) and (errors := _PASSING.findall(text)):
        return Fault(
            f"the last error on the console is: {errors[-1].strip()[:160]}", errors[-1].strip()[:200], final=False
        )
    return None


def _fold(text: str) -> str:
    """Break long lines, on which the patterns would take quadratic time."""
    lines = text.splitlines()
    return "\n".join(line[start : start + _LINE] for line in lines for start in range(0, len(line) or 1, _LINE))


def last_lines(text: str, count: int = 5) -> str:
    """Return the last ``count`` lines that say something, each cut to 160 characters."""
    lines = [line.strip()[:160] for line in text.splitlines() if line.strip()]
    return "\n".join(lines[-count:])
