"""Is it on the medium? Read back what was written, past the page cache, and compare it block by block."""

import errno
import hashlib
import os
from enum import StrEnum

from imagekit.deliver.flash import ioctl
from imagekit.deliver.flash.blocks import (
    BLOCK_BYTES,
    HEAD_BYTES,
    find_first,
    make_buffer,
    mark_block,
    open_lane,
    read_ahead,
    round_up,
)
from imagekit.deliver.flash.hold import HeldDevice
from imagekit.deliver.flash.write import Written, explain_failure
from imagekit.errors import VerificationFailed
from imagekit.progress import Event, Progress


class Way(StrEnum):
    """How the bytes came back, which is what the verdict is worth."""

    DIRECT = "direct"
    EMPTIED_CACHE = "emptied-cache"
    CACHE = "cache"

    def explain(self) -> str:
        """Return the end of the sentence "… bytes were read back"."""
        match self:
            case Way.DIRECT:
                return "past the page cache"
            case Way.EMPTIED_CACHE:
                return "after the page cache was emptied"
            case Way.CACHE:
                return "through the page cache, so perhaps not from the medium"


def choose_way(held: HeldDevice) -> Way:
    """Return how ``held`` can be read, and see to it that nothing comes from memory that may come from the medium."""
    if held.direct:
        try:
            os.preadv(held.descriptor, [make_buffer()[: held.device.block_bytes]], 0)
        except OSError as problem:
            if problem.errno != errno.EINVAL:
                raise explain_failure(held, problem, "read back", 0) from problem
            held.stop_direct()
        else:
            return Way.DIRECT
    if ioctl.drop_cache(held.descriptor):
        return Way.EMPTIED_CACHE
    os.posix_fadvise(held.descriptor, 0, 0, os.POSIX_FADV_DONTNEED)  # a wish, not an order
    return Way.CACHE


def read_back_body(held: HeldDevice, written: Written, progress: Progress) -> None:
    """Read everything but the head, and raise :class:`VerificationFailed` at the first block that is not as it was.

    The head counts into the digest as it was read from the image; :func:`read_back_head` is its turn on the medium.
    """
    path, end = held.device.path, round_up(written.size_bytes, held.device.block_bytes)
    stage = f"reading back {path}"

    def read(offset: int, target: memoryview) -> int:
        count = max(0, min(BLOCK_BYTES, end - offset))
        first = min(find_first(offset), count)
        target[:first] = written.head[:first]
        _read_at(held, target[first:count], offset + first)
        return count

    sha256 = hashlib.sha256()
    progress(Event(stage, 0, written.size_bytes, "B"))
    with open_lane("read") as reading:
        for number, (offset, buffer, count) in enumerate(read_ahead(reading, read)):
            own = min(count, written.size_bytes - offset)  # without what the last sector was padded with
            mark = mark_block(sha256, buffer[:own])
            if mark != written.marks[number] or any(buffer[own:count]):
                raise _differs(held, offset + min(find_first(offset), count), offset + count)
            progress(Event(stage, offset + own, written.size_bytes, "B"))


def read_back_head(held: HeldDevice, written: Written) -> None:
    """Read the first MiB and raise :class:`VerificationFailed` unless it is what was written last."""
    if not held.direct:
        ioctl.drop_cache(held.descriptor)
    target = make_buffer()[: len(written.head)]
    _read_at(held, target, 0)
    if target != written.head:
        raise _differs(held, 0, min(HEAD_BYTES, len(written.head)))


def _read_at(held: HeldDevice, target: memoryview, offset: int) -> None:
    while target:
        try:
            count = os.preadv(held.descriptor, [target], offset)
        except OSError as problem:
            raise explain_failure(held, problem, "read back", offset) from problem
        if count == 0:
            raise explain_failure(held, OSError(errno.ENOSPC, "it ends"), "read back", offset)
        target, offset = target[count:], offset + count


def _differs(held: HeldDevice, begin: int, end: int) -> VerificationFailed:
    return VerificationFailed(
        f"{held.device.path} does not hold what was written to it: the first bad block is bytes {begin} to {end}",
        hint="flash it again, best in another reader; a card that fails twice is worn out or a fake",
    )
