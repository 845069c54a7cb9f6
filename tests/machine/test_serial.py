"""Reading a guest's console: stages, causes, and bytes that want to drive the terminal."""

from pathlib import Path

import pytest

from imagekit.machine.serial import Stage, clean_text, find_fault, find_stage, last_lines, read_tail

RECORDED = Path(__file__).parent / "consoles"
BDS = 'BdsDxe: starting Boot0001 "UEFI QEMU QEMU HARDDISK " from PciRoot(0x0)/Pci(0x1,0x0)/Scsi(0x0,0x0)\n'

FAULTS = {
    "Press any key to proceed": ("-- Press any key to proceed --\n", "first-boot wizard"),
    "root locked": (
        "You are in emergency mode.\n\nCannot open access to console, the root account is locked.\n",
        "root account is locked",
    ),
    "emergency": (
        "You are in emergency mode. After logging in, type\nGive root password for maintenance\n",
        "emergency",
    ),
    "initramfs": ("ALERT!  UUID=672d97d3 does not exist.  Dropping to a shell!\n\n(initramfs) ", "initramfs"),
    "dracut": ("Entering emergency mode. Exit the shell to continue.\ndracut:/# ", "initramfs"),
    "grub": ("GNU GRUB  version 2.06\n\n   Minimal BASH-like line editing is supported.\n\ngrub> ", "boot loader"),
    "grub rescue": ("error: no such device: 672d97d3.\nEntering rescue mode...\ngrub rescue> ", "boot loader"),
    "firmware": ("BdsDxe: No bootable option or device was found.\n", "firmware"),
    "machine-id": (
        "[    4.1] systemd[1]: System cannot boot: Missing /etc/machine-id and /etc is mounted read-only.\n",
        "/etc/machine-id is missing",
    ),
    "no root": (
        "[    2.5] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\n",
        "root filesystem",
    ),
    "init": ("[ 3.1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00007f00\n", "first process"),
}
MACHINE_FAULTS = {
    "oops": "[   12.345678] Oops: 0000 [#1] PREEMPT SMP NOPTI\n",
    "bug": "[   12.345678] BUG: unable to handle page fault for address: ffff8880deadbeef\n",
    "double fault": "[   20.123456] traps: PANIC: double fault, error_code: 0x0\n",
    "panic": "[   20.123456] Kernel panic - not syncing: Fatal exception in interrupt\n",
    "panic after oops": "[ 1.0] Oops: 0002 [#1]\n[ 1.1] Kernel panic - not syncing: Attempted to kill init!\n",
}


@pytest.mark.parametrize("name", FAULTS)
def test_cause_is_named(name: str) -> None:
    """Each way a bad image stops is told in words, is no fault of the machine, and ends the waiting."""
    text, cause = FAULTS[name]
    fault = find_fault(BDS + text)
    assert fault is not None
    assert cause in fault.cause
    assert not fault.machine
    assert fault.final


@pytest.mark.parametrize("name", MACHINE_FAULTS)
def test_crash_of_the_emulated_machine_is_not_blamed_on_the_image(name: str) -> None:
    """A kernel that crashes under emulation says nothing about the template."""
    fault = find_fault(MACHINE_FAULTS[name])
    assert fault is not None
    assert fault.machine


def test_recorded_console_of_a_loader_without_kernel() -> None:
    """A real GRUB that did not find its kernel: it shows a menu again, and would wait for ever."""
    text = read_tail(RECORDED / "grub-no-kernel.log")
    fault = find_fault(text)
    assert find_stage(text) is Stage.BOOTLOADER
    assert fault is not None
    assert fault.cause == "the boot loader could not load a kernel"
    assert fault.final
    assert "\x1b" not in text


def test_recorded_console_of_a_good_boot_has_no_fault() -> None:
    """A real boot to the end is read as one, and nothing in it is taken for a fault."""
    text = read_tail(RECORDED / "debian-12-good.log")
    assert find_stage(text) is Stage.SSH
    assert find_fault(text) is None


@pytest.mark.parametrize(
    ("text", "stage"),
    [
        ("", Stage.FIRMWARE),
        ("BdsDxe: loading Boot0001\n", Stage.FIRMWARE),
        (BDS, Stage.BOOTLOADER),
        (BDS + "Welcome to GRUB!\n", Stage.BOOTLOADER),
        (BDS + "[    0.000000] Linux version 6.1.0\n", Stage.KERNEL),
        (BDS + "Welcome to Debian GNU/Linux 12 (bookworm)!\n", Stage.USERSPACE),
        (BDS + "[   40.100000] cloud-init[300]: Cloud-init v. 22.4.2 running 'init'\n", Stage.CLOUD_INIT),
        (BDS + "\nclone-a login: ", Stage.SSH),
    ],
)
def test_stage_is_the_last_sign(text: str, stage: Stage) -> None:
    """How far a boot came is told by what it wrote."""
    assert find_stage(text) is stage


def test_start_job_that_hangs_is_named_but_not_final() -> None:
    """A job may still end, so it is the cause only when time is up."""
    fault = find_fault("[ *** ] A start job is running for Wait for Network to be Configured (1min 3s / no limit)\r")
    assert fault is not None
    assert "Wait for Network to be Configured" in fault.cause
    assert not fault.final


def test_console_cannot_drive_the_terminal() -> None:
    """Escape sequences, control characters and bidirectional overrides are gone, the words stay."""
    evil = "a\x1b[2J\x1b]0;title\x07b\x9b31mc\u202ed\x00e\x1b"
    assert clean_text(evil) == "ab31mcde"


def test_only_the_end_of_a_flood_is_read(tmp_path: Path) -> None:
    """A log of any size costs no more than its tail, and one without newlines is cut in reports."""
    log = tmp_path / "serial.log"
    log.write_bytes(b"x" * (3 << 20) + b"\nthe end")
    text = read_tail(log)
    assert len(text) <= 256 << 10
    assert last_lines(text).splitlines()[-1] == "the end"
    assert max(len(line) for line in last_lines(text).splitlines()) <= 160


def test_missing_log_is_empty(tmp_path: Path) -> None:
    """A machine that wrote nothing yet has an empty console."""
    assert read_tail(tmp_path / "none") == ""


def test_pathological_text_is_read_in_bounded_time() -> None:
    """Patterns are linear: a full tail of the worst characters takes well under two seconds."""
    import time

    for text in (
        "\x1b[" * (128 << 10),
        "A start job is running for " * 9000,
        "Reached target" * 18000,
        "(" * (256 << 10),
    ):
        begun = time.perf_counter()
        find_fault(clean_text(text))
        find_stage(text)
        assert time.perf_counter() - begun < 2
