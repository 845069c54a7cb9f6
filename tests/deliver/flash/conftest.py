"""Loop devices of our own, and images to write to them. No test opens any other device for writing."""

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imagekit.host import find_tool, run

MIB = 1 << 20
Attach = Callable[..., Path]


@pytest.fixture
def attach(tmp_path: Path) -> Iterator[Attach]:
    """Return a function that sets up a loop device on a new file of so many bytes; all are detached at the end.

    The file is full of noise: what a card held before must not show through.
    """
    if os.geteuid() != 0:
        pytest.skip("loop devices are set up by root")
    made: list[str] = []

    def set_up(size: int = 32 * MIB, *options: str, file: Path | None = None) -> Path:
        path = file or tmp_path / f"card{len(made)}.bin"
        if file is None:
            path.write_bytes(random.Random(len(made)).randbytes(size))
        said = run([find_tool("losetup"), "--find", "--show", *options, str(path)], timeout=30)
        made.append(said.output.decode().strip())
        return Path(made[-1])

    yield set_up
    for device in made:
        run([find_tool("losetup"), "--detach", device], check=False)


def make_image(path: Path, size: int = 11 * MIB, seed: int = 1) -> bytes:
    """Write an image with an MBR of two partitions, data, a hole, data; return its bytes."""
    source = random.Random(seed)
    content = bytearray(size)
    content[: 3 * MIB] = source.randbytes(3 * MIB)
    content[-MIB - 1000 :] = source.randbytes(MIB + 1000)
    for number, (first, count) in enumerate(((2048, 4096), (6144, 8192))):
        entry = bytes([0, 0, 0, 0, 0x0C if number == 0 else 0x83, 0, 0, 0])
        at = 446 + 16 * number
        content[at : at + 16] = entry + first.to_bytes(4, "little") + count.to_bytes(4, "little")
    content[478:510] = bytes(32)
    content[510:512] = b"\x55\xaa"
    path.write_bytes(content)
    run([find_tool("fallocate"), "--dig-holes", str(path)])
    return bytes(content)
