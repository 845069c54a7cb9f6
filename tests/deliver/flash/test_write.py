"""Writes that the kernel does in part or not at all; a file stands for the disk, since no real one fails on request."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imagekit.deliver.flash.device import Bus, Device
from imagekit.deliver.flash.hold import HeldDevice
from imagekit.deliver.flash.readback import Way, choose_way
from imagekit.deliver.flash.run import Flashed
from imagekit.deliver.flash.write import write_at
from imagekit.errors import HostFailed
from imagekit.image import Digest

DEVICE = Device("null", "1:3", 1 << 20, 512, Bus.USB, True, False, "", "", None)  # a node that is there
_pwrite = os.pwrite


@pytest.fixture
def held(tmp_path: Path) -> Iterator[HeldDevice]:
    """Return a file that is held as if it were a disk."""
    descriptor = os.open(tmp_path / "disk", os.O_RDWR | os.O_CREAT)
    yield HeldDevice(DEVICE, descriptor, direct=True)
    os.close(descriptor)


def _write_like(monkeypatch: pytest.MonkeyPatch, write: Callable[[int, memoryview, int], int]) -> None:
    monkeypatch.setattr("imagekit.deliver.flash.write.os.pwrite", write)


@pytest.mark.parametrize(("most", "direct"), [(1024, True), (700, False)])
def test_short_writes_go_on(held: HeldDevice, monkeypatch: pytest.MonkeyPatch, most: int, direct: bool) -> None:
    """What was written in part is written on; in the middle of a sector only the page cache can do that."""
    _write_like(monkeypatch, lambda descriptor, data, offset: _pwrite(descriptor, data[:most], offset))
    data = os.urandom(8192)
    write_at(held, memoryview(data), 512)
    assert os.pread(held.descriptor, 9000, 512) == data
    assert held.direct is direct


def test_driver_that_refuses_direct_writes_gets_others(held: HeldDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """EINVAL for a direct write means the page cache from then on, and the verdict will say so."""

    def write(descriptor: int, data: memoryview, offset: int) -> int:
        if held.direct:
            raise OSError(errno.EINVAL, "Invalid argument")
        return _pwrite(descriptor, data, offset)

    _write_like(monkeypatch, write)
    write_at(held, memoryview(b"x" * 512), 0)
    assert os.pread(held.descriptor, 512, 0) == b"x" * 512
    assert not held.direct
    assert choose_way(held) is Way.CACHE  # a file has no cache of its own that could be emptied


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EIO, "/dev/null cannot be written at byte 4096: Input/output error"),
        (errno.ENOSPC, "/dev/null ends at byte 4096, though it says that it has 1048576 bytes"),
        (errno.ENODEV, "/dev/null was unplugged while it was written at byte 4096"),
        (errno.ENOMEDIUM, "/dev/null was unplugged while it was written at byte 4096"),
    ],
)
def test_failure_is_a_sentence(held: HeldDevice, monkeypatch: pytest.MonkeyPatch, number: int, said: str) -> None:
    """An I/O error, a card that is shorter than it says and one that was pulled out are told apart, with the byte."""

    def fail(descriptor: int, data: memoryview, offset: int) -> int:
        if offset == 4096:
            raise OSError(number, os.strerror(number))
        return _pwrite(descriptor, data[:4096], offset)

    _write_like(monkeypatch, fail)
    with pytest.raises(HostFailed) as caught:
        write_at(held, memoryview(bytes(8192)), 0)
    assert caught.value.message == said


@pytest.mark.parametrize(
    ("way", "said"),
    [
        (Way.DIRECT, "read back past the page cache in 2.0 s, and equal"),
        (Way.EMPTIED_CACHE, "read back after the page cache was emptied"),
        (Way.CACHE, "perhaps not from the medium"),
        (None, "not read back: nothing is known"),
    ],
)
def test_verdict_says_what_was_proven(way: Way | None, said: str) -> None:
    """The sentence differs with the way by which the bytes came back."""
    flashed = Flashed(DEVICE, "pihole@20261121-1", Digest("0" * 64), 2 << 30, True, 60.0, 2.0, way, table_read=True)
    assert said in flashed.explain()
    assert "2.0 GiB written in 60.0 s (34.1 MiB/s)" in flashed.explain()
