"""Options of loader and kernel: devices by names that last, no wait for a swap that is not there, no waiting menu.

Source of the rules: the kernel's parameters, initramfs-tools(7), loader.conf(5), the GRUB manual's "Simple
configuration".
"""

import re
from collections.abc import Iterator

from imagekit.errors import ImageDamaged
from imagekit.report import Severity
from imagekit.verify.check import MACHINES, Check, Policy, Seen, Subject
from imagekit.verify.facts.boot_entries import (
    parse_device,
    read_arguments,
    read_entries,
    read_grub_defaults,
    read_grub_files,
)
from imagekit.verify.facts.filesystems import is_on_disk, may_provide
from imagekit.verify.facts.initramfs import open_initramfs
from imagekit.verify.facts.system import read_distribution
from imagekit.verify.view import CannotSee, View

_KERNEL_NAME = re.compile(r"/dev/(?:(?:sd|vd|xvd|hd)[a-z]{1,3}\d*|nvme\d+n\d+(?:p\d+)?|mmcblk\d+(?:p\d+)?)")
_RESUME_FILE = "/etc/initramfs-tools/conf.d/resume"
_RESUME = re.compile(r"\s*(?:export\s+)?RESUME=[\"']?([^\"'#\s]*)")
_TIMEOUT = re.compile(r"set\s+timeout=[\"']?(-?\d{1,9})[\"']?$")
_LONGEST_WAIT = 5  # seconds; Debian's own


def find_root_names(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for a root that is called by its bus and order, such as /dev/sda1."""
    for argument in read_arguments(view):
        key, _, value = argument.text.partition("=")
        if key == "root" and _KERNEL_NAME.fullmatch(value):
            yield Seen(argument.path, argument.text)
    values = {name: (path, value) for path, name, value in read_grub_defaults(view)}
    path, disabled = values.get("GRUB_DISABLE_LINUX_UUID", ("", ""))
    partitions = values.get("GRUB_DISABLE_LINUX_PARTUUID", ("", "true"))[1] == "false"
    forced = bool(values.get("GRUB_FORCE_PARTUUID", ("", ""))[1])
    if disabled == "true" and not partitions and not forced:
        yield Seen(path, "GRUB_DISABLE_LINUX_UUID=true: the next update-grub writes the kernel's name of the disk")


def find_dead_resume(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for a device to resume from that is not on this disk."""
    view.volumes()  # what is not on the disk is not to be seen in a directory
    arguments = read_arguments(view)
    if any(argument.text == "noresume" for argument in arguments):
        return
    named = [(argument.path, argument.text[7:]) for argument in arguments if argument.text.startswith("resume=")]
    settings = [match.group(1) for line in view.lines(_RESUME_FILE) if (match := _RESUME.match(line))]
    named += [(_RESUME_FILE, value) for value in settings[-1:]]
    named += _read_initrd_setting(view)
    for path, value in named:
        device = parse_device(value)
        if value in ("", "none", "auto"):
            continue
        if device is not None:
            if not is_on_disk(view, *device):
                yield Seen(path, f"resumes from {value}: not on this disk")
        elif _KERNEL_NAME.fullmatch(value):
            yield Seen(path, f"resumes from {value}: the name changes with the bus the disk is attached to")
        elif value.startswith("/dev/") and not may_provide(view, value):
            yield Seen(path, f"resumes from {value}: no logical volume of this disk is called so")


def _read_initrd_setting(view: View) -> list[tuple[str, str]]:
    """Return the device that the default initrd was made to resume from; cleaning /etc does not change it.

    An initrd that cannot be read is reported by the checks about it.
    """
    try:
        initramfs = open_initramfs(view)
        value = initramfs.read_settings().get("RESUME")
    except (CannotSee, ImageDamaged):
        return []
    return [(f"{initramfs.paths[-1]}:conf/conf.d/resume", value)] if value and initramfs.paths else []


def find_waiting_menu(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for a loader that waits: for ever, for more than 5 seconds, or after a boot that failed."""
    defaults = read_grub_defaults(view)
    timeouts = [(path, value) for path, name, value in defaults if name == "GRUB_TIMEOUT"]
    timeouts = timeouts[-1:]  # the last assignment counts
    for path, text in read_grub_files(view):
        timeouts += [(path, value) for value in _read_timeouts(text)[-1:]]
    for path, value in timeouts:
        if value.lstrip("-").isdecimal() and len(value) < 10:
            yield from _judge_timeout(path, int(value))
    yield from _judge_loader(view)
    if not defaults and not read_entries(view):
        raise CannotSee("no boot configuration was found")
    names = {name for _, name, _ in defaults}
    if defaults and read_distribution(view).id == "ubuntu" and "GRUB_RECORDFAIL_TIMEOUT" not in names:
        yield Seen(defaults[0][0], "GRUB_RECORDFAIL_TIMEOUT is not set: after a reset the menu waits 30 s")


def _judge_timeout(path: str, seconds: int) -> Iterator[Seen]:
    if seconds < 0:
        yield Seen(path, "the menu waits for a key, for ever")
    elif seconds > _LONGEST_WAIT:
        yield Seen(path, f"the menu waits {seconds} s", Severity.INFO)


def _read_timeouts(text: str) -> list[str]:
    """Return the timeouts of an ordinary boot: not those of menu entries, nor of the branch after a failed boot."""
    found = []
    branches: list[bool] = []  # for each open `if`: whether its present branch is one for special boots
    depth = 0
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("if "):
            branches.append("recordfail" in line or "grub_platform" in line)
        elif line.startswith(("else", "elif ")) and branches:
            branches[-1] = False
        elif line == "fi" and branches:
            branches.pop()
        elif line.endswith("{"):
            depth += 1
        elif line == "}":
            depth = max(depth - 1, 0)
        elif not depth and not any(branches) and (match := _TIMEOUT.match(line)):
            found.append(match.group(1))
    return found


def _judge_loader(view: View) -> Iterator[Seen]:
    """Look at systemd-boot's timeout."""
    esp = view.esp() if view.has_disk else None
    if esp is None:
        return
    for line in (esp.read("/loader/loader.conf", 1 << 16) or b"").decode("utf-8", "replace").splitlines():
        key, _, value = line.strip().partition(" ")
        value = value.strip()
        if key == "timeout" and value == "menu-force":
            yield from _judge_timeout("ESP:/loader/loader.conf", -1)
        elif key == "timeout" and value.isdecimal() and value.isascii() and len(value) < 10:
            yield from _judge_timeout("ESP:/loader/loader.conf", int(value))


CHECKS: tuple[Check, ...] = (
    Check(
        id="root-device-name",
        severity=Severity.WARN,
        subject=Subject.BOOT,
        why="on another bus (scsi, virtio) the disk has another name, and the clone does not find its root",
        fix="`sed -i '/GRUB_DISABLE_LINUX_UUID/d' /etc/default/grub /etc/default/grub.d/*.cfg; update-grub`",
        find=find_root_names,
        profiles=MACHINES,
    ),
    Check(
        id="resume-device",
        severity=Severity.WARN,
        subject=Subject.BOOT,
        why="every boot waits about 30 s for a swap that does not exist",
        fix="`echo RESUME=none > /etc/initramfs-tools/conf.d/resume && update-initramfs -u`",
        find=find_dead_resume,
        profiles=MACHINES,
    ),
    Check(
        id="grub-timeout",
        severity=Severity.WARN,
        subject=Subject.BOOT,
        why="the clone waits in a menu that nobody looks at",
        fix=(
            "`mkdir -p /etc/default/grub.d && "
            "printf 'GRUB_TIMEOUT=0\\nGRUB_RECORDFAIL_TIMEOUT=0\\n' > /etc/default/grub.d/99-timeout.cfg && "
            "update-grub`"
        ),
        find=find_waiting_menu,
        profiles=MACHINES,
    ),
)
