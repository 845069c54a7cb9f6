"""A disk that is ours for the whole run: unmounted if asked for, opened exclusively, checked to be the same one.

``O_EXCL`` on a whole disk is the only check that nobody can get around: the kernel refuses it while a filesystem, swap
or a volume uses the disk or a partition of it, in any namespace, and refuses them while we have it (open(2)).
"""

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from imagekit.deliver.flash import ioctl
from imagekit.deliver.flash.device import Device
from imagekit.deliver.flash.sysfs import SYS, find_number
from imagekit.deliver.flash.usage import Usage
from imagekit.errors import Refused, ToolFailed
from imagekit.host import run

_UNMOUNT_SECONDS = 120.0
_SHOWN = 6
_POLL_SECONDS = 0.05


class HeldDevice:
    """A disk that is open for us alone. ``direct`` says whether reads and writes pass by the page cache."""

    def __init__(self, device: Device, descriptor: int, *, direct: bool) -> None:
        self.device = device
        self.descriptor = descriptor
        self.direct = direct

    def stop_direct(self) -> None:
        """Go on through the page cache: for drivers that take ``O_DIRECT`` at open and refuse it later (EINVAL)."""
        flags = fcntl.fcntl(self.descriptor, fcntl.F_GETFL)
        fcntl.fcntl(self.descriptor, fcntl.F_SETFL, flags & ~os.O_DIRECT)
        self.direct = False


@contextlib.contextmanager
def hold_device(device: Device, *, for_writing: bool = True, patience: float = 0.0) -> Iterator[HeldDevice]:
    """Open ``device`` exclusively through the block; never creates anything.

    ``patience`` is how many seconds its last user may take to go: for what was unmounted a moment ago.
    Raises :class:`Refused` when it is used by somebody, gone, another one meanwhile, write-protected, or not ours.
    """
    descriptor, direct = _open(device, os.O_RDWR if for_writing else os.O_RDONLY, time.monotonic() + patience)
    try:
        # udev leaves a disk alone while it is locked (systemd's "Locking Block Device Access"); O_EXCL does the rest.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held = HeldDevice(device, descriptor, direct=direct)
        require_same(held)
        if users := _list_users(device, writers=True):
            # O_EXCL does not keep out those who did not ask for it: a virtual machine, another flasher.
            raise Refused(
                f"{device.path} is open for writing in {', '.join(users)}; nothing was written",
                hint="end that program first",
            )
        yield held
    finally:
        os.close(descriptor)


def require_same(held: HeldDevice, sys: Path = SYS) -> None:
    """Raise :class:`Refused` unless the open device is the one that was judged: same number, size, serial, diskseq.

    A card that was changed in its slot has the same name; to be asked again right before the first write.
    """
    device, status = held.device, os.fstat(held.descriptor)
    if not stat.S_ISBLK(status.st_mode):
        raise Refused(f"{device.path} is no block device any more; nothing was written")
    number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    now = find_number(number, device.path, sys)
    changed = [
        what
        for what, before, after in (
            ("device number", device.number, number),
            ("size", device.size_bytes, ioctl.read_size(held.descriptor)),
            ("serial number", device.serial, now.serial),
            ("sequence number", device.sequence, ioctl.read_sequence(held.descriptor) or device.sequence),
            ("backing file", device.backing_file, now.backing_file),
        )
        if before != after
    ]
    if changed:
        raise Refused(
            f"{device.path} is not the same as a moment ago: its {' and '.join(changed)} changed; nothing was written",
            hint="look again: imagekit devices",
        )
    if ioctl.is_read_only(held.descriptor):
        raise Refused(f"{device.path} is write-protected; nothing was written")


def unmount_all(device: Device, usage: Usage) -> tuple[str, ...]:
    """Unmount what is mounted from ``device``, the last first, and return where it was; never lazily, never by force.

    Raises :class:`Refused` when one is in use; those before it stay unmounted.
    """
    points = tuple(mount.point for mount in reversed(usage.list_mounts(device.name)))
    for point in points:
        try:
            run(["umount", "--", point], timeout=_UNMOUNT_SECONDS)
        except ToolFailed as problem:
            raise Refused(
                f"{point} on {device.path} cannot be unmounted: {problem.detail or problem.message}",
                hint=f"end what uses it; this shows who does: fuser -vm {point}",
            ) from problem
    return points


def _open(device: Device, flags: int, deadline: float) -> tuple[int, bool]:
    """Open the device's node; without O_CREAT, so that nothing can be made where there is none."""
    flags |= os.O_EXCL | os.O_CLOEXEC | os.O_DIRECT
    while True:
        try:
            return os.open(device.path, flags), bool(flags & os.O_DIRECT)
        except OSError as problem:
            if problem.errno == errno.EINVAL and flags & os.O_DIRECT:
                flags &= ~os.O_DIRECT  # open(2): this driver has no direct reads and writes
            elif problem.errno == errno.EBUSY and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
            else:
                raise _explain(device, problem) from problem


def _explain(device: Device, problem: OSError) -> Refused:
    """Return what to say about a disk that cannot be opened."""
    match problem.errno:
        case errno.EBUSY:
            users = _list_users(device)
            who = f" by {', '.join(users)}" if users else ""
            return Refused(
                f"{device.path} is in use{who}; nothing was written",
                hint="a mount in another container, a volume or another program has it: see lsblk and fuser -v "
                + str(device.path),
            )
        case errno.EACCES | errno.EPERM:
            return Refused(
                f"{device.path} may not be written by this user",
                hint="run it as root: sudo -E imagekit flash … (-E keeps your store), or join the group of the device",
            )
        case errno.EROFS:
            return Refused(f"{device.path} is write-protected", hint="move the lock on the card's side")
        case errno.ENOMEDIUM:
            return Refused(f"{device.path} has no card in it", hint="see: imagekit devices")
        case _:
            return Refused(f"{device.path} cannot be opened: {problem.strerror}", hint="see: imagekit devices")


def _list_users(device: Device, *, writers: bool = False) -> list[str]:
    """Return the processes that have the disk or a partition open, as far as we may see them: "PID 12 (fsck)".

    With ``writers``, only other processes that may write to it (proc(5), fdinfo).
    """
    names = {str(device.path), *(f"/dev/{part.name}" for part in device.partitions)}
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        if writers and int(place.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            entries = [entry for entry in (place / "fd").iterdir() if _read_link(entry) in names]
            if any(not writers or _may_write(place / "fdinfo" / entry.name) for entry in entries):
                found.append(f"PID {place.name} ({(place / 'comm').read_text(errors='replace').strip()})")
    return found[:_SHOWN]


def _may_write(info: Path) -> bool:
    """Say whether a descriptor was opened for writing, by its flags in octal."""
    for line in info.read_text().splitlines():
        key, _, value = line.partition(":")
        if key == "flags":
            return int(value, 8) & os.O_ACCMODE != os.O_RDONLY
    return False


def _read_link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""
