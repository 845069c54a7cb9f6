"""How fast a machine can run here: the accelerator, found by running a guest and never by looking at a device file.

``/dev/kvm`` proves nothing: inside a virtual machine it may exist while every real guest dies on its first vector
instruction. So a probe guest of a few hundred bytes does what a kernel does: protected mode, page tables, long mode,
SSE2, x87, the stack; then it reports through ``isa-debug-exit``. Only that exact exit status counts.
"""

import json
import os
import platform
import sys
import tempfile
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from imagekit.errors import HostFailed, ToolFailed
from imagekit.host import find_tool, run
from imagekit.image import Architecture

QEMU = "qemu-system-x86_64"
# The probe takes 0.1 s. A guest that dies under KVM leaves QEMU paused for ever, so that wait should be short.
_HARDWARE_SECONDS = 2.0
_EMULATION_SECONDS = 15.0
_ROM_BYTES = 64 << 10
# isa-debug-exit ends QEMU with (value << 1) | 1; nothing else in QEMU ends with this status.
_SUCCESS = (0x2A << 1) | 1

# Linked for 0xF0000, where QEMU shows the ROM below 1 MiB. Assembled from, in order:
#   16 bit: cli; cld; lgdt gdtr; cr0 |= PE; far jump to 32 bit
#   32 bit: segments; esp = 0x8000; fninit; clear 0x1000-0x3fff; page tables there: identity map of the first 2 MiB;
#           copy the 64-bit part to 0x6000, since guests run from memory and not from ROM;
#           cr4 = PAE | OSFXSR | OSXMMEXCPT; cr3 = 0x1000; EFER.LME; cr0 |= PG | NE | MP; far jump to 0x6000
#   64 bit: 20000 times: paddq 3; store; fild, fistp; push, call, ret. Then, when the sum is 60000: out 0xf4, 0x2a
#   data:   gdt with flat 32-bit code, data and 64-bit code; its descriptor
_PROBE_CODE = bytes.fromhex(
    "fafc2e660f011600010f20c00c010f22c066ea19000f00080066b810008ed88ec08ed0bc00800000dbe331c0bf001000"
    "00b9000c0000f3abc7050010000003200000c7050020000003300000c7050030000083000000be94000f00bf00600000"
    "b94c000000f3a4b8200600000f22e0b8001000000f22d8b9800000c00f320d000100000f30b8330000800f22c0ea0060"
    "00001800b9204e0000660fefc0b803000000660f6ec848c7c700400000660fd4c1660fd607df2fdf7f08488b470850e8"
    "11000000e2e7483d60ea00007504b02ae6f4f4ebfd488b442408c208000f1f000000000000000000ffff0000009bcf00"
    "ffff00000093cf00ffff0000009baf001f00e0000f00"
)
_RESET_VECTOR = bytes.fromhex("ea000000f0")  # jmp far f000:0000


class Accelerator(StrEnum):
    """What executes the guest's instructions, by QEMU's names for ``-accel``."""

    KVM = "kvm"
    HVF = "hvf"
    TCG = "tcg"


@dataclass(frozen=True, slots=True)
class Probe:
    """The accelerator to use and why, in one sentence for ``doctor``."""

    accelerator: Accelerator
    why: str


def require_architecture(architecture: Architecture) -> None:
    """Raise :class:`HostFailed` when machines of ``architecture`` cannot be started; only amd64 can, so far."""
    if architecture is not Architecture.AMD64:
        raise HostFailed(
            f"an {architecture} image cannot be booted here: machines are q35 and x86-64 only",
            hint="verify it without booting, or build the image for amd64",
        )


def probe_accelerator(cache_dir: Path) -> Accelerator:
    """Return the fastest accelerator that ran the probe guest; see :func:`explain_accelerator`."""
    return explain_accelerator(cache_dir).accelerator


def explain_accelerator(cache_dir: Path) -> Probe:
    """Return the fastest accelerator that ran the probe guest, and why it is this one.

    The answer is kept in ``cache_dir`` for this boot of the host and this file of QEMU. Raises
    :class:`ToolMissing` when QEMU is not installed, :class:`ToolFailed` when even emulation fails.
    """
    key = f"{_read_boot_id()} {_identify_program(find_tool(QEMU))}"
    cache = cache_dir / "accelerator.json"
    kept = _read_cache(cache, key)
    if kept is not None:
        return kept
    probe = _choose()
    _write_cache(cache, key, probe)
    return probe


def run_probe_guest(accelerator: Accelerator) -> bool:
    """Say whether the probe guest ran to its end under ``accelerator`` before its time was up."""
    seconds = _EMULATION_SECONDS if accelerator is Accelerator.TCG else _HARDWARE_SECONDS
    rom = bytearray(b"\xf4" * _ROM_BYTES)  # hlt
    rom[: len(_PROBE_CODE)] = _PROBE_CODE
    rom[-16 : -16 + len(_RESET_VECTOR)] = _RESET_VECTOR
    with tempfile.TemporaryDirectory(prefix="imagekit-probe-") as directory:
        path = Path(directory) / "probe.rom"
        path.write_bytes(rom)
        argv = [QEMU, "-accel", accelerator, "-machine", "q35", "-m", "16", "-nodefaults", "-no-user-config"]
        argv += ["-display", "none", "-no-reboot", "-bios", os.fspath(path).replace(",", ",,")]
        argv += ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
        try:
            # A triple fault ends QEMU with status 0.
            return run(argv, check=False, timeout=seconds).status == _SUCCESS
        except ToolFailed:
            return False


def _choose() -> Probe:
    """Try what this host could offer, the fastest first."""
    candidate, why = _name_candidate()
    if candidate is not None:
        if run_probe_guest(candidate):
            return Probe(candidate, f"a test guest ran under {candidate}")
        why = f"{why}, but a test guest died under {candidate}: software emulation is used"
    if not run_probe_guest(Accelerator.TCG):
        raise ToolFailed(
            f"{QEMU} cannot run even a test guest under software emulation",
            hint=f"run {QEMU} by hand to see what it says; reinstall it if it says nothing",
        )
    return Probe(Accelerator.TCG, why)


def _name_candidate() -> tuple[Accelerator | None, str]:
    """Return the hardware accelerator worth a try here, or ``None``, and what was seen."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return None, f"this is an {platform.machine()} host: x86-64 guests are emulated"
    if sys.platform == "darwin":
        return Accelerator.HVF, "macOS has Hypervisor.framework"
    device = Path("/dev/kvm")
    if not device.exists():
        return None, "there is no /dev/kvm: software emulation is used"
    if not os.access(device, os.R_OK | os.W_OK):
        return None, "/dev/kvm exists, but this user may not open it: join the group kvm to use it"
    return Accelerator.KVM, "/dev/kvm exists"


def _identify_program(path: str) -> str:
    """Return what changes whenever ``path`` is another program; asking it for its version would take 50 ms."""
    about = os.stat(path)  # noqa: PTH116 - follows links to the program itself, and says all that is needed
    return f"{path} {about.st_dev}:{about.st_ino} {about.st_size} {about.st_mtime_ns}"


def _read_boot_id() -> str:
    """Return an id of this boot of the host: a kernel update or a moved VM can change what works."""
    if sys.platform == "darwin":
        return run(["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]).output.decode().strip()
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _read_cache(cache: Path, key: str) -> Probe | None:
    """Return what was found before under the same ``key``; a missing, old or damaged file means ``None``."""
    try:
        kept = json.loads(cache.read_bytes())
        if kept["key"] == key:
            return Probe(Accelerator(kept["accelerator"]), str(kept["why"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return None


def _write_cache(cache: Path, key: str, probe: Probe) -> None:
    """Keep ``probe``; a crash here leaves the old file, two writers leave one of two equal ones."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"key": key, "accelerator": probe.accelerator, "why": probe.why})
    with tempfile.NamedTemporaryFile("w", dir=cache.parent, prefix=".accelerator-", delete=False) as aside:
        aside.write(text)
    Path(aside.name).replace(cache)
