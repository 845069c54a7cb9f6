"""Rules about how long things may take; durations are Go's (``time.ParseDuration``)."""

import re
from collections.abc import Iterator

from imagekit.build.packer.lint.rule import ANY, ISO, PROXMOX, QEMU, Case, Finding, Level, Rule, Subject

_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_NAMES = (
    "boot_key_interval", "boot_keygroup_interval", "boot_wait", "pause_before_connecting", "shutdown_timeout",
    "ssh_keep_alive_interval", "ssh_read_write_timeout", "ssh_timeout", "ssh_wait_timeout", "task_timeout",
    "winrm_timeout",
)  # fmt: skip
_LEAST_TASK = 5 * 60
_LEAST_INSTALL = 15 * 60


def read_seconds(text: str) -> float | None:
    """Return a duration in seconds, ``None`` when it is none."""
    digits = text.removeprefix("-").removeprefix("+")
    if digits == "0":
        return 0.0
    parts = _PART.findall(digits)
    if not parts or "".join(number + unit for number, unit in parts) != digits:
        return None
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    return -seconds if text.startswith("-") else seconds


def find_strange_durations(case: Case) -> Iterator[Finding]:
    """Yield durations that are none."""
    for name in _NAMES:
        text = case.block.read_text(name)
        if text is not None and read_seconds(text) is None:
            yield case.at(case.block, name, f"{name} = {case.tell(case.block, name)}")


def find_short_tasks(case: Case) -> Iterator[Finding]:
    """Yield limits in which no big disk is cloned or converted."""
    text = case.block.read_text("task_timeout", "1m")
    seconds = read_seconds(text) if text is not None else None
    if seconds is not None and seconds < _LEAST_TASK:
        left_out = case.block.lacks("task_timeout")
        yield case.at(case.block, "task_timeout", "left out, so it is one minute" if left_out else "")


def find_short_installs(case: Case) -> Iterator[Finding]:
    """Yield limits in which no installer is done."""
    if case.source.kind == "qemu" and case.block.read_flag("disk_image", False) is not False:
        return
    if case.block.read_text("communicator", "ssh") != "ssh" or case.block.has("ssh_wait_timeout"):
        return
    text = case.block.read_text("ssh_timeout", "5m")
    seconds = read_seconds(text) if text is not None else None
    if seconds is not None and seconds < _LEAST_INSTALL:
        left_out = case.block.lacks("ssh_timeout")
        yield case.at(case.block, "ssh_timeout", "left out, so it is 5m" if left_out else "")


RULES = (
    Rule(
        "duration-form", Level.ERROR, Subject.TIMING, ANY, find_strange_durations,
        "Packer refuses it once the plugin is loaded", 'a number and a unit: "10m", "1h30m", "500ms"',
    ),
    Rule(
        "task-timeout", Level.ERROR, Subject.TIMING, PROXMOX, find_short_tasks,
        "a clone or a conversion to a template that takes longer ends the build, and the task runs on",
        'task_timeout = "20m"',
    ),
    Rule(
        "install-timeout", Level.WARNING, Subject.TIMING, ISO | QEMU, find_short_installs,
        "installers take 5 to 25 minutes, and the build is thrown away when SSH is not up by then",
        'ssh_timeout = "45m"',
    ),
)  # fmt: skip
