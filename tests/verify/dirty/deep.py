"""Dirt in no file: keys that were deleted, written behind a file's end, or left outside of any partition."""

import base64
import os
from collections.abc import Callable
from pathlib import Path
from random import Random

from imagekit.host import run
from imagekit.verify import Policy
from tests.verify.clean_tree import ROOT_BYTES, ROOT_OFFSET
from tests.verify.dirty.change import FAIL, INFO, Dirt
from tests.verify.dirty.disk import esp_run, poke

DEEP = Policy(deep=True)
_BODY = base64.encodebytes(Random(5).randbytes(300)).decode()
KEY = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{_BODY}-----END OPENSSH PRIVATE KEY-----\n".encode()
TOKEN = b"tskey-auth-" + b"k123456CNTRL-" + b"Canary0" * 4


def write_and_delete(content: bytes) -> Callable[[Path], None]:
    """Return a change that writes a file into the root filesystem and deletes it again."""

    def change(disk: Path) -> None:
        source = disk.with_name("gone")
        source.write_bytes(content)
        for command in (f"write {source} gone", "rm gone"):
            run(["debugfs", "-w", "-R", command, f"{disk}?offset={ROOT_OFFSET}"])

    return change


def write_behind_a_file(disk: Path) -> None:
    """Write a token between the end of a file and the end of its last block."""
    filesystem = f"{disk}?offset={ROOT_OFFSET}"
    blocks = run(["debugfs", "-R", "blocks /etc/cloud/cloud.cfg", filesystem]).output.decode().split()
    stat = run(["debugfs", "-R", "stat /etc/cloud/cloud.cfg", filesystem]).output.decode()
    size = int(stat.partition("Size:")[2].split()[0])
    header = run(["debugfs", "-R", "show_super_stats -h", filesystem]).output.decode()
    block_size = int(header.partition("Block size:")[2].split()[0])
    poke(disk, ROOT_OFFSET + int(blocks[-1]) * block_size + size % block_size, b"\n" + TOKEN + b"\n")


def delete_from_esp(disk: Path) -> None:
    """Write a key to the ESP and delete it again."""
    source = disk.with_name("gone")
    source.write_bytes(KEY)
    esp_run(disk, "mcopy", os.fspath(source), "::/gone")
    esp_run(disk, "mdel", "::/gone")


DISK_DIRT = (
    Dirt("ghost-data", "key", FAIL, "partition 2, free space", write_and_delete(KEY), DEEP),
    Dirt("ghost-data", "slack", FAIL, "partition 2, behind the end of a file", write_behind_a_file, DEEP),
    Dirt("ghost-data", "esp", FAIL, "partition 1, free space", delete_from_esp, DEEP),
    Dirt(
        "ghost-data",
        "unallocated",
        FAIL,
        "outside of partitions",
        lambda disk: poke(disk, ROOT_OFFSET + ROOT_BYTES + 777, b"\n" + KEY),
        DEEP,
    ),
    Dirt("ghost-data", "program", INFO, "partition 2, free space", write_and_delete(b"\x7fELF\0\0" + KEY), DEEP),
    Dirt("ghost-data", "old-data", INFO, "free blocks", write_and_delete(Random(1).randbytes(3 << 20))),
    Dirt("ghost-data", "old-data-deep", INFO, "free blocks", write_and_delete(Random(1).randbytes(3 << 20)), DEEP),
)
