"""An image on a card: which image, which disk, may it, and then the writing."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imagekit.errors import Refused
from imagekit.image import Digest, Reference
from imagekit.progress import Progress, silent
from imagekit.settings import Settings

if TYPE_CHECKING:
    from imagekit.deliver.flash.device import Device
    from imagekit.deliver.flash.refuse import Refusal
    from imagekit.deliver.flash.run import Flashed
    from imagekit.deliver.flash.usage import Mount, Usage

DEFAULT_IMAGE = "pihole@stable"
_UNMOUNTED_SECONDS = 10.0  # those who look at a disk whenever something changes have a look then, too


@dataclass(frozen=True, slots=True)
class FlashImage:
    """What is to be written: a stored version, whose digest is known, or a file that a person named."""

    name: str
    path: Path
    expected: Digest | None


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """A disk, what is mounted from it, and every reason not to write to it."""

    device: "Device"
    mounts: "tuple[Mount, ...]"
    refusals: "tuple[Refusal, ...]"

    def describe(self) -> dict[str, object]:
        """Return plain values for ``--json``."""
        return {
            **self.device.describe(),
            "mounts": [mount.point for mount in self.mounts],
            "flashable": not self.refusals,
            "refusals": [{"reason": str(one.reason), "sentence": one.sentence} for one in self.refusals],
        }


@dataclass(frozen=True, slots=True)
class FlashPlan:
    """What a person agrees to: ``size_bytes`` is ``None`` for a packed image, which tells it by ending."""

    image: FlashImage
    target: KnownDevice
    size_bytes: int | None


def list_devices(settings: Settings) -> tuple[KnownDevice, ...]:
    """Return the disks of this machine with the reasons why each may not be written to.

    Loop devices without a file and memory are left out. Raises :class:`Refused` on other systems than Linux.
    """
    from imagekit.deliver.flash.device import Bus
    from imagekit.deliver.flash.lsblk import label_partitions
    from imagekit.deliver.flash.refuse import list_refusals
    from imagekit.deliver.flash.sysfs import read_devices, require_linux
    from imagekit.deliver.flash.usage import read_usage

    require_linux()
    usage, kept = read_usage(), _list_kept(settings)
    shown = [one for one in read_devices() if one.size_bytes or one.bus not in (Bus.LOOP, Bus.VIRTUAL)]
    return tuple(
        KnownDevice(one, usage.list_mounts(one.name), list_refusals(one, usage, kept=kept))
        for one in label_partitions(tuple(shown))
    )


def find_image(text: str, settings: Settings) -> FlashImage:
    """Return the image that ``text`` means: a file when it has a slash or exists here, a stored version otherwise.

    A bare name means its stable version. Raises :class:`imagekit.errors.StoreError` when there is none, when it is a
    template on a cluster, or when ``text`` is no reference.
    """
    from imagekit.deliver.flash.source import require_image_path
    from imagekit.store import open_store

    path = Path(text)
    if "/" in text or path.is_file():
        require_image_path(path)
        return FlashImage(text, path, None)
    store = open_store(settings.store)
    version = store.find(Reference.parse(text), default_channel="stable")
    return FlashImage(str(version.reference), store.disk_path(version), version.digest)


def flash_image(
    image: str, device: Path, settings: Settings, *, serial: str = "", unmount: bool = False, verify: bool = True,
    dry_run: bool = False, agree: Callable[[FlashPlan], None], progress: Progress = silent,
) -> "Flashed | None":  # fmt: skip
    """Write ``image`` (as :func:`find_image` takes it) to the disk ``device``; ``None`` for a ``dry_run``.

    Everything is judged before ``agree`` is asked, and the disk must still be the same one when that has returned.
    Raises :class:`Refused` for whatever is unsafe, and as :func:`find_image` and
    :func:`imagekit.deliver.flash.run.flash_device` do.
    """
    from imagekit.deliver.flash.hold import hold_device, unmount_all
    from imagekit.deliver.flash.refuse import list_refusals, require_flashable
    from imagekit.deliver.flash.run import flash_device
    from imagekit.deliver.flash.source import open_source
    from imagekit.deliver.flash.sysfs import find_device, require_linux
    from imagekit.deliver.flash.usage import read_usage

    require_linux()
    found, kept = find_device(device), _list_kept(settings)

    def judge(size: int | None = None) -> "Usage":
        usage = read_usage()
        refusals = list_refusals(found, usage, kept=kept, needed_bytes=size or 0, serial=serial, unmount=unmount)
        require_flashable(found, refusals)
        return usage

    judge()  # first without the image: a disk that is never written to shall not be a question of what is stored
    wanted = find_image(image, settings)
    with open_source(wanted.path, name=wanted.name, expected=wanted.expected) as source:
        kept = {"the image": os.path.realpath(source.path), **kept}
        mounts = judge(source.size_bytes).list_mounts(found.name)
        agree(FlashPlan(wanted, _label(found, mounts), source.size_bytes))
        if dry_run:
            if not mounts:  # with --unmount it is in use until then
                with hold_device(found, for_writing=False):
                    pass
            return None
        usage = judge(source.size_bytes)  # again: to agree may have taken a while
        unmounted = unmount_all(found, usage) if unmount else ()
        patience = _UNMOUNTED_SECONDS if unmounted else 0.0
        return flash_device(found, source, verify=verify, patience=patience, progress=progress)


def _label(device: "Device", mounts: "tuple[Mount, ...]") -> KnownDevice:
    from imagekit.deliver.flash.lsblk import label_partitions

    return KnownDevice(label_partitions((device,))[0], mounts, ())


def _list_kept(settings: Settings) -> dict[str, str]:
    """Return what no card may carry while it is written: our versions and ourselves."""
    return {"the store": os.path.realpath(settings.store), "this program": os.path.realpath(sys.prefix)}


def require_agreement(plan: FlashPlan, serial: str) -> None:
    """Raise :class:`Refused` unless a script may write to this disk: a card has to be named by its serial number.

    Whether that is the disk's serial was judged before; a loop device is a file and needs none.
    """
    from imagekit.deliver.flash.device import Bus

    device = plan.target.device
    if device.bus is Bus.LOOP or serial:
        return
    if not device.serial:
        raise Refused(
            f"{device.path} has no serial number, so --yes does not tell which card is meant; nothing was written",
            hint="run it on a terminal and type the device's name",
        )
    raise Refused(
        f"--yes needs the serial number of the card in {device.path}; nothing was written",
        hint=f"if it is {device.title}: add --serial {device.serial}",
    )
