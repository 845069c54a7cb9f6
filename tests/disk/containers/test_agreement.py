"""The qcow2 reader beside ``qemu-img convert`` and dissect.hypervisor, on images that a guest wrote into."""

import os
from pathlib import Path
from random import Random

import pytest
from dissect.hypervisor.disk.qcow2 import QCow2

from imagekit.disk.containers.open import open_disk
from imagekit.host.local import run

SIZE = 3 << 20
VARIANTS = {
    "64 KiB clusters": "cluster_size=64k",
    "512-byte clusters": "cluster_size=512",
    "version 2": "compat=0.10,cluster_size=4k",
    "subclusters": "extended_l2=on,cluster_size=32k",
    "zstd": "compression_type=zstd,cluster_size=16k",
    "metadata only": "preallocation=metadata",
    "1-bit reference counts": "refcount_bits=1",
}


@pytest.fixture(scope="module", params=list(VARIANTS.values()), ids=list(VARIANTS))
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an image after writes, zeros and discards of odd lengths, grown once while it was in use."""
    path = tmp_path_factory.mktemp("qcow2") / "disk.qcow2"
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", request.param, os.fspath(path), str(SIZE // 2)])
    run(["qemu-img", "resize", "-q", os.fspath(path), str(SIZE)])
    random = Random(5)
    commands = []
    for number in range(60):
        offset = random.randrange(0, SIZE - 70_000, 512)
        length = random.choice((512, 4096, 20_480, 66_048))
        kind = random.choice((f"write -P {number + 1}", f"write -P {number + 1}", "write -z", "write -z -u", "discard"))
        commands.append(f"{kind} {offset} {length}")
    for number, cluster in enumerate((1 << 20, 2 << 20)):  # a cluster that is packed takes a whole, aligned write
        commands.append(f"write -c -P {200 + number} {cluster} 65536")
    words = [word for command in commands for word in ("-c", command)]
    run(["qemu-io", "-f", "qcow2", *words, os.fspath(path)], check=False)  # small clusters refuse the packed write
    run(["qemu-img", "check", "-q", os.fspath(path)])
    return path


def test_both_read_the_same_disk(image: Path, tmp_path: Path) -> None:
    """Every byte is that of ``qemu-img convert``, and what is no data reads as zeros."""
    raw = tmp_path / "raw"
    run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", os.fspath(image), os.fspath(raw)])
    right = raw.read_bytes()
    assert len(right) == SIZE
    assert any(right)
    with open_disk(image) as disk:
        assert disk.read(0, disk.size) == right
        data = list(disk.data_ranges())
    outside = bytearray(right)
    for offset, length in data:
        outside[offset : offset + length] = bytes(length)
    assert not any(outside)


def test_dissect_agrees(image: Path) -> None:
    """dissect.hypervisor reads the same bytes; its 3.21 never ends on subclusters, which QEMU alone judges."""
    with open_disk(image) as disk, image.open("rb") as file:
        other = QCow2(file)
        if not other.has_subclusters:
            assert other.open().read(SIZE) == disk.read(0, disk.size)
        assert disk.size == SIZE
