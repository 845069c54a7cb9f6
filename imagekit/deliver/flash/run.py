"""One card from beginning to end; what an interrupted run leaves is a card without a partition table."""

import contextlib
import time
from dataclasses import dataclass

from imagekit.deliver.flash import ioctl
from imagekit.deliver.flash.device import Device
from imagekit.deliver.flash.hold import HeldDevice, hold_device, require_same
from imagekit.deliver.flash.readback import Way, choose_way, read_back_body, read_back_head
from imagekit.deliver.flash.source import Source
from imagekit.deliver.flash.write import Written, erase_table, write_body, write_head
from imagekit.errors import ImagekitError
from imagekit.image import Digest, format_bytes
from imagekit.progress import Event, Progress, silent

_UNUSABLE = "{} was being written: it is unusable until it is flashed again"
_USUAL_BLOCK_BYTES = 512


@dataclass(frozen=True, slots=True)
class Flashed:
    """What is on the card now, and what was proven of it.

    ``checked`` says how it was read back, ``None`` when it was not. Times are in seconds; ``direct`` says whether the
    writes passed by the page cache, ``table_read`` whether the kernel knows the new partitions; ``notes`` are sentences
    about what a person should know of the image.
    """

    device: Device
    image: str
    digest: Digest
    size_bytes: int
    direct: bool
    write_seconds: float
    check_seconds: float
    checked: Way | None
    table_read: bool
    notes: tuple[str, ...] = ()

    def explain(self) -> str:
        """Return the verdict: what was proven, and what was not."""
        size, rate = format_bytes(self.size_bytes), self.size_bytes / max(self.write_seconds, 1e-3)
        begin = f"{size} written in {self.write_seconds:.1f} s ({format_bytes(int(rate))}/s)"
        if self.checked is None:
            return f"{begin}, not read back: nothing is known about what the medium kept"
        return f"{begin}, all of it read back {self.checked.explain()} in {self.check_seconds:.1f} s, and equal"

    def describe(self) -> dict[str, object]:
        """Return plain values for ``--json``."""
        return {
            "device": str(self.device.path),
            "serial": self.device.serial,
            "image": self.image,
            "digest": str(self.digest),
            "size_bytes": self.size_bytes,
            "bytes_written": self.size_bytes,
            "write_seconds": round(self.write_seconds, 3),
            "direct": self.direct,
            "verified": self.checked is not None,
            "read_back": None if self.checked is None else str(self.checked),
            "check_seconds": round(self.check_seconds, 3),
            "partitions_read": self.table_read,
            "notes": list(self.notes),
        }


def flash_device(
    device: Device, source: Source, *, verify: bool = True, patience: float = 0.0, progress: Progress = silent
) -> Flashed:
    """Write ``source`` to ``device`` and return what was proven; with ``verify`` all of it is read back.

    The device was judged by :mod:`.refuse` and agreed to by a person before. It is opened exclusively for the whole
    run (``patience`` is that of :func:`hold_device`) and must still be the one that was judged. The old partition table
    goes first, the new one comes last, after everything else was read back. Raises as the steps do; a run that is
    stopped in any way leaves a card that does not boot, and says so.
    """
    with hold_device(device, patience=patience) as held:
        require_same(held)  # right before the first write, and after all that was asked of others
        try:
            return _flash(held, source, verify=verify, progress=progress)
        except ImagekitError as problem:
            problem.hint = f"{_UNUSABLE.format(device.path)}. {problem.hint or ''}".strip()
            raise
        except BaseException:  # Ctrl-C first of all
            progress(Event("flash", note=_UNUSABLE.format(device.path)))
            raise


def _flash(held: HeldDevice, source: Source, *, verify: bool, progress: Progress) -> Flashed:
    began = time.monotonic()
    erase_table(held)
    written = write_body(held, source, progress)
    write_seconds = time.monotonic() - began
    way = _check_body(held, written, progress) if verify else None
    _finish(held, written, verify=verify)
    return Flashed(
        device=held.device,
        image=source.name,
        digest=written.digest,
        size_bytes=written.size_bytes,
        direct=held.direct,
        write_seconds=write_seconds,
        check_seconds=time.monotonic() - began - write_seconds if verify else 0.0,
        checked=way,
        table_read=ioctl.reread_partitions(held.descriptor),
        notes=_note_table(held.device, written),
    )


def _note_table(device: Device, written: Written) -> tuple[str, ...]:
    """Return what is odd about the image's partition table (UEFI specification, 5.2 and 5.3)."""
    if written.head[510:512] != b"\x55\xaa":
        return ("the image has no partition table; most machines boot nothing from such a card",)
    if device.block_bytes != _USUAL_BLOCK_BYTES and written.head[device.block_bytes :][:8] != b"EFI PART":
        return (f"the card has sectors of {device.block_bytes} bytes, and the image was laid out for smaller ones",)
    if written.head[512:520] == b"EFI PART" and device.size_bytes > written.size_bytes:
        return ("the GPT's second copy is where the image ends, not at the end of the card; sgdisk -e moves it there",)
    return ()


def _finish(held: HeldDevice, written: Written, *, verify: bool) -> None:
    """Write the partition table; take it off again when it did not arrive as it is, so that nothing boots from it."""
    try:
        write_head(held, written)
        if verify:
            read_back_head(held, written)
    except BaseException:
        with contextlib.suppress(ImagekitError):
            erase_table(held)
        raise


def _check_body(held: HeldDevice, written: Written, progress: Progress) -> Way:
    way = choose_way(held)
    read_back_body(held, written, progress)
    return way
