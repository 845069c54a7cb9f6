"""Writing an image to a held disk, everything but the first MiB, and hashing it on the way.

An interrupted run leaves a card without a partition table: nothing boots half an image. For that the old table is
overwritten first, also its copy at the end of the disk, where GPT keeps one.
"""

import errno
import hashlib
import os
from dataclasses import dataclass

from imagekit.deliver.flash.blocks import (
    HEAD_BYTES,
    find_first,
    make_buffer,
    mark_block,
    open_lane,
    read_ahead,
    round_up,
)
from imagekit.deliver.flash.hold import HeldDevice
from imagekit.deliver.flash.source import Source
from imagekit.errors import HostFailed, Refused, StoreError, VerificationFailed
from imagekit.image import Digest, format_bytes
from imagekit.progress import Event, Progress

_CACHED_BYTES = 64 << 20  # through the page cache, this much may wait before progress would be a lie
_GONE = frozenset({errno.ENODEV, errno.ENXIO, errno.ENOMEDIUM, errno.ESHUTDOWN})


@dataclass(frozen=True, slots=True)
class Written:
    """What was written, or is to be: ``head`` is the first MiB, padded to sectors, and not on the medium yet.

    ``marks`` are the SHA-256 of everything up to the end of each block: the first that differs when the medium is read
    tells the first bad block, and costs no second sum over the bytes.
    """

    size_bytes: int
    digest: Digest
    head: bytes
    marks: tuple[bytes, ...]


def erase_table(held: HeldDevice) -> None:
    """Overwrite the first and the last MiB of the disk with zeros, and wait until that is on the medium."""
    size, zeros = held.device.size_bytes, make_buffer()[:HEAD_BYTES]
    write_at(held, zeros[: min(HEAD_BYTES, size)], 0)
    if size > HEAD_BYTES:
        last = max(HEAD_BYTES, size - HEAD_BYTES)
        write_at(held, zeros[: size - last], last)
    sync(held)


def write_body(held: HeldDevice, source: Source, progress: Progress) -> Written:
    """Write the image from its second MiB on, wait until it is on the medium, and return what it was.

    The last sector is padded with zeros. Raises :class:`HostFailed` naming disk and offset when the disk fails,
    :class:`Refused` when a packed image turns out to be larger than the disk, and :class:`StoreError` when the image
    does not have the digest that it should. The head is not written in any case.
    """
    device, total = held.device, source.size_bytes or 0
    stage = f"writing {device.path}"
    sha256, marks, head, size, cached = hashlib.sha256(), list[bytes](), b"", 0, 0
    progress(Event(stage, 0, total, "B"))
    with open_lane("read") as reading, open_lane("hash") as hashing:
        for offset, buffer, count in read_ahead(reading, lambda _offset, target: source.read_into(target)):
            padded = round_up(count, device.block_bytes)
            buffer[count:padded] = bytes(padded - count)
            if offset + padded > device.size_bytes:
                raise Refused(
                    f"{device.path} is too small: {source.name} has more than its {device.size_bytes} bytes",
                    hint="use a larger card; this one has no partition table now",
                )
            if offset == 0:
                head = bytes(buffer[: min(padded, HEAD_BYTES)])
            body = buffer[min(find_first(offset), padded) : padded]
            hashed = hashing.submit(mark_block, sha256, buffer[:count])
            write_at(held, body, offset + find_first(offset))
            marks.append(hashed.result())
            size = offset + count
            cached = 0 if held.direct else cached + len(body)
            if cached >= _CACHED_BYTES:
                sync(held)
                cached = 0
            progress(Event(stage, size, total, "B") if total else Event(stage, detail=format_bytes(size)))
    if size == 0:
        raise VerificationFailed(f"{source.name} holds nothing")
    sync(held)
    digest = Digest(sha256.hexdigest())
    if source.expected is not None and digest != source.expected:
        raise StoreError(
            f"{source.name} does not have its digest (stored {source.expected.short}…, read {digest.short}…)",
            hint="the stored disk is damaged: build or fetch the image again",
        )
    return Written(size, digest, head, tuple(marks))


def write_head(held: HeldDevice, written: Written) -> None:
    """Write the first MiB, which makes the card whole, and wait until it is on the medium."""
    buffer = make_buffer()
    buffer[: len(written.head)] = written.head
    write_at(held, buffer[: len(written.head)], 0)
    sync(held)


def write_at(held: HeldDevice, data: memoryview, offset: int) -> None:
    """Write all of ``data`` at ``offset``; pwrite(2) may write less, and says what is wrong only when asked again."""
    while data:
        try:
            count = os.pwrite(held.descriptor, data, offset)
        except OSError as problem:
            if problem.errno == errno.EINVAL and held.direct:
                held.stop_direct()
                continue
            raise explain_failure(held, problem, "written", offset) from problem
        if count % held.device.block_bytes and held.direct:
            held.stop_direct()  # what is left does not begin at a sector any more
        data, offset = data[count:], offset + count


def sync(held: HeldDevice) -> None:
    """Wait until everything written is on the medium, as far as the disk tells the truth."""
    try:
        os.fsync(held.descriptor)
    except OSError as problem:
        raise explain_failure(held, problem, "flushed", None) from problem


def explain_failure(held: HeldDevice, problem: OSError, doing: str, offset: int | None) -> HostFailed:
    """Return what to say about a disk that failed while it was ``doing`` ("written") something at ``offset``."""
    path, where = held.device.path, "" if offset is None else f" at byte {offset}"
    if problem.errno in _GONE or not path.exists():
        return HostFailed(f"{path} was unplugged while it was {doing}{where}", hint="plug it in and flash it again")
    if problem.errno == errno.ENOSPC:
        return HostFailed(
            f"{path} ends{where}, though it says that it has {held.device.size_bytes} bytes",
            hint="a card that lies about its size is a fake; use another one",
        )
    return HostFailed(
        f"{path} cannot be {doing}{where}: {problem.strerror}",
        hint="try another reader or port; if it fails at the same place again, the card is worn out",
    )
