"""Every reason not to write to a disk, in words: what a person may overrule is not decided here.

What can be told from outside is told here, all of it at once. Opening the disk exclusively (:mod:`.hold`) is the last
word: it also meets what cannot be seen, such as another container's mounts.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from imagekit.deliver.flash.device import Bus, Device
from imagekit.deliver.flash.usage import Usage
from imagekit.errors import Refused
from imagekit.image import format_bytes

# Above this, a disk on USB is rather somebody's archive than a card; its serial number has to be given.
LARGE_BYTES = 256 << 30
_CARD_BUSES = (Bus.USB, Bus.MMC, Bus.LOOP)
_NO_DISKS = (
    (re.compile(r"dm-"), "a volume made of other disks (LVM, LUKS, multipath)"),
    (re.compile(r"md[0-9_]"), "a RAID made of other disks"),
    (re.compile(r"sr[0-9]"), "an optical drive"),
    (re.compile(r"fd[0-9]"), "a floppy drive"),
    (re.compile(r"(zram|ram|pmem)[0-9]"), "memory"),
    (re.compile(r"(nbd|rbd|drbd|bcache)[0-9]"), "a disk elsewhere or made of others"),
    (re.compile(r"mmcblk[0-9]+(boot|gp|rpmb)[0-9]*"), "an area inside an eMMC chip, not a card"),
)
_SHOWN = 6
_CARD_LIST = "see the disks of this machine: imagekit devices"


class Reason(StrEnum):
    """Why a disk is not written to; stable names, for ``--json``."""

    KIND = "kind"
    SYSTEM = "system"
    NOT_REMOVABLE = "not-removable"
    BACKING = "backing"
    NO_MEDIUM = "no-medium"
    READ_ONLY = "read-only"
    SWAP = "swap"
    MOUNTED = "mounted"
    HELD = "held"
    TOO_SMALL = "too-small"
    LARGE = "large"
    SERIAL = "serial"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason: ``sentence`` goes on after the disk's name ("/dev/sdb is mounted …")."""

    reason: Reason
    sentence: str
    hint: str


def list_refusals(
    device: Device, usage: Usage, *, kept: Mapping[str, str], needed_bytes: int = 0, serial: str = "",
    unmount: bool = False,
) -> tuple[Refusal, ...]:  # fmt: skip
    """Return every reason not to write ``needed_bytes`` to ``device``, the gravest first; empty when it may be written.

    ``kept`` maps what must survive ("the store") to its path. With ``unmount`` a mounted filesystem is no reason, but
    one of the system still is. A ``serial`` that is not empty has to be the disk's.
    """
    if found := _judge_kind(device, usage, kept):
        return tuple(found)  # what else could be said of it would only sound as if it could be mended
    return (
        *_judge_use(device, usage, unmount=unmount),
        *_judge_medium(device, needed_bytes),
        *_judge_serial(device, serial),
    )


def require_flashable(device: Device, refusals: tuple[Refusal, ...]) -> None:
    """Raise :class:`Refused` with all reasons in one sentence and the hint of the first, when there is any."""
    if refusals:
        reasons = "; ".join(one.sentence for one in refusals)
        raise Refused(f"{device.path} {reasons}; nothing was written", hint=refusals[0].hint)


def _judge_kind(device: Device, usage: Usage, kept: Mapping[str, str]) -> list[Refusal]:
    found = []
    for pattern, kind in _NO_DISKS:
        if pattern.match(device.name):
            found.append(Refusal(Reason.KIND, f"is {kind}", _CARD_LIST))
    if uses := usage.list_system_uses(device.name, kept):
        found.append(Refusal(Reason.SYSTEM, f"is a disk of this system: it carries {_join(uses)}", _CARD_LIST))
    if device.bus not in _CARD_BUSES and not device.removable and not found:
        where = f" ({device.bus})" if device.bus is not Bus.OTHER else ""
        sentence = f"is built in{where}: neither removable nor on USB or in a card slot"
        found.append(Refusal(Reason.NOT_REMOVABLE, sentence, _CARD_LIST))
    if device.bus is Bus.LOOP and (reason := _judge_backing(device, usage, kept)):
        found.append(reason)
    return found


def _judge_backing(device: Device, usage: Usage, kept: Mapping[str, str]) -> Refusal | None:
    """Judge what a loop device writes to: a disk under another name, or the image itself, is not what is meant."""
    backing = usage.nodes[device.name].backing_file if device.name in usage.nodes else device.backing_file
    if not backing:
        return None  # no file: it has no size either, and that is said
    if backing.startswith("/dev/"):
        return Refusal(Reason.BACKING, f"is another name for {backing}", f"name {backing} itself")
    for phrase, path in kept.items():
        if f"{backing}/".startswith(f"{path}/") or _is_same(backing, path):
            return Refusal(Reason.BACKING, f"writes to {backing}, which is {phrase}", _CARD_LIST)
    return None


def _is_same(one: str, other: str) -> bool:
    """Say whether two names mean one file: a hard link is the image, too."""
    try:
        return Path(one).samefile(other)
    except OSError:
        return False


def _judge_use(device: Device, usage: Usage, *, unmount: bool) -> list[Refusal]:
    found = []
    if swaps := usage.list_swaps(device.name):
        found.append(Refusal(Reason.SWAP, f"is used for swap: {_join(swaps)}", f"swapoff {swaps[0]}"))
    mounts = usage.list_mounts(device.name)
    if mounts and not unmount:
        points = tuple(mount.point for mount in mounts)
        found.append(Refusal(Reason.MOUNTED, f"is mounted at {_join(points)}", "unmount it, or add --unmount"))
    for node in usage.list_holders(device.name):
        title = f" ({node.title})" if node.title else ""
        hint = f"release it first: {_explain_release(node.name)}"
        found.append(Refusal(Reason.HELD, f"is part of /dev/{node.name}{title}", hint))
    return found


def _explain_release(name: str) -> str:
    if name.startswith("loop"):
        return f"losetup -d /dev/{name}"
    if name.startswith("md"):
        return f"mdadm --stop /dev/{name}"
    return f"vgchange -an, cryptsetup close or dmsetup remove /dev/{name}, as it was made"


def _judge_medium(device: Device, needed_bytes: int) -> list[Refusal]:
    if device.size_bytes == 0:
        sentence = "has no file set up" if device.bus is Bus.LOOP else "has no card in it"
        return [Refusal(Reason.NO_MEDIUM, sentence, _CARD_LIST)]
    found = []
    if device.read_only:
        hint = "move the lock on the card's or its adapter's side" if device.bus in (Bus.USB, Bus.MMC) else _CARD_LIST
        found.append(Refusal(Reason.READ_ONLY, "is write-protected", hint))
    if needed_bytes > device.size_bytes:
        sizes = f"{format_bytes(device.size_bytes)}, and the image has {format_bytes(needed_bytes)}"
        if format_bytes(device.size_bytes) == format_bytes(needed_bytes):
            sizes = f"{device.size_bytes} bytes, and the image has {needed_bytes}"
        found.append(Refusal(Reason.TOO_SMALL, f"is too small: it has {sizes}", "use a larger card"))
    return found


def _judge_serial(device: Device, serial: str) -> list[Refusal]:
    if serial and serial != device.serial:
        has = f"has serial {device.serial}" if device.serial else "has no serial number"
        return [Refusal(Reason.SERIAL, f"{has}, not {serial}", _CARD_LIST)]
    if not serial and device.size_bytes > LARGE_BYTES and device.bus is not Bus.LOOP:
        sentence = f"has {format_bytes(device.size_bytes)}, which is more than cards usually have"
        return [Refusal(Reason.LARGE, sentence, f"if it is the right one, add --serial {device.serial or 'SERIAL'}")]
    return []


def _join(words: tuple[str, ...]) -> str:
    *most, last = words if len(words) <= _SHOWN else (*words[:_SHOWN], f"{len(words) - _SHOWN} more")
    return f"{', '.join(most)} and {last}" if most else last
