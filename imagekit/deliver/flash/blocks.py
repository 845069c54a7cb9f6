"""How a disk is cut for writing and reading: aligned blocks of 4 MiB, of which the first lacks its first MiB.

That MiB holds the partition table and the boot loader; it is kept back until everything else is known to be good. One
or two writes of 4 MiB in flight are as fast as a card gets; deeper queues only bring bugs.
"""

import mmap
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import hashlib

BLOCK_BYTES = 4 << 20
HEAD_BYTES = 1 << 20
_BUFFERS = 4


def make_buffer() -> memoryview:
    """Return a zeroed block whose address suits direct reads and writes: whole pages (open(2), O_DIRECT)."""
    return memoryview(mmap.mmap(-1, BLOCK_BYTES))


def round_up(count: int, unit: int) -> int:
    """Return ``count`` rounded up to a multiple of ``unit``."""
    return -(-count // unit) * unit


def find_first(offset: int) -> int:
    """Return where the body begins within the block at ``offset``: behind the head in the first one, else at once."""
    return HEAD_BYTES if offset == 0 else 0


def mark_block(sha256: "hashlib._Hash", block: memoryview) -> bytes:
    """Add a block to a running SHA-256 and return the digest of everything so far."""
    sha256.update(block)  # lets other threads run meanwhile
    return sha256.copy().digest()


@contextmanager
def open_lane(name: str) -> Iterator[ThreadPoolExecutor]:
    """Yield one thread with a queue; at the end what has not begun is dropped, and what runs is waited for."""
    lane = ThreadPoolExecutor(1, thread_name_prefix=f"imagekit-{name}")
    try:
        yield lane
    finally:
        lane.shutdown(wait=True, cancel_futures=True)


def read_ahead(
    lane: ThreadPoolExecutor, read: Callable[[int, memoryview], int]
) -> Iterator[tuple[int, memoryview, int]]:
    """Yield offset, buffer and number of bytes of each block that ``read(offset, buffer)`` gives, up to one of none.

    A thread reads up to three blocks ahead. The buffer belongs to the caller until it asks for the next block.
    """
    waiting: list[tuple[int, memoryview, Future[int]]] = []
    offset = 0

    def ask(buffer: memoryview) -> None:
        nonlocal offset
        waiting.append((offset, buffer, lane.submit(read, offset, buffer)))
        offset += BLOCK_BYTES

    for _ in range(_BUFFERS):
        ask(make_buffer())
    while True:
        at, buffer, future = waiting.pop(0)
        count = future.result()
        if count == 0:
            return
        yield at, buffer, count
        if count < len(buffer):
            return
        ask(buffer)
