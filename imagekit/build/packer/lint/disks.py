"""Rules about disks of machines on a cluster."""

import re
from collections.abc import Iterator

from imagekit.build.packer.lint.rule import ISO, PROXMOX, Case, Finding, Level, Rule, Subject

_BUSES = ("ide", "sata", "scsi", "virtio")
# The plugin reads a whole number and takes the last character for the unit, K, M, G or T; anything else is a size of 0.
_SIZE = re.compile(r"[1-9]\d*[KMGT]")


def find_strange_sizes(case: Case) -> Iterator[Finding]:
    """Yield sizes that the plugin reads as nothing."""
    for block in case.block.list_blocks("disks"):
        size = block.read_text("disk_size")
        if size is not None and not _SIZE.fullmatch(size):
            yield case.at(block, "disk_size", f"disk_size = {case.tell(block, 'disk_size')}")


def find_no_disk(case: Case) -> Iterator[Finding]:
    """Yield machines to install onto nothing."""
    if case.block.lacks_block("disks"):
        yield Finding(case.block.file, case.block.line, case.name(case.block), "no block disks")


def find_slow_buses(case: Case) -> Iterator[Finding]:
    """Yield disks on an emulated bus."""
    for block in case.block.list_blocks("disks"):
        if block.read_text("type") in ("ide", "sata"):
            yield case.at(block, "type")


def find_idle_io_threads(case: Case) -> Iterator[Finding]:
    """Yield threads for disks that the controller cannot have."""
    controller = case.block.read_text("scsi_controller", "lsi")
    for block in case.block.list_blocks("disks"):
        kind = block.read_text("type", "scsi")
        fits = kind == "virtio" or (kind == "scsi" and controller == "virtio-scsi-single")
        if block.read_flag("io_thread") is True and kind in _BUSES and controller is not None and not fits:
            yield case.at(block, "io_thread", f"io_thread on {kind} with scsi_controller {controller}")


RULES = (
    Rule(
        "disk-size", Level.ERROR, Subject.DISKS, PROXMOX, find_strange_sizes,
        "the plugin reads it as 0 and the cluster refuses the disk, or makes one of the wrong size",
        'a whole number with one of K, M, G, T: disk_size = "32G"',
    ),
    Rule(
        "disk-missing", Level.ERROR, Subject.DISKS, ISO, find_no_disk,
        "the installer finds nothing to install onto",
        'add disks { type = "scsi" disk_size = "32G" storage_pool = "…" }',
    ),
    Rule(
        "disk-on-emulated-bus", Level.WARNING, Subject.DISKS, PROXMOX, find_slow_buses,
        "every clone's disk is many times slower, and four or six disks are all that fit", 'type = "scsi"',
    ),
    Rule(
        "io-thread", Level.ERROR, Subject.DISKS, PROXMOX, find_idle_io_threads,
        "only virtio disks, and scsi disks of virtio-scsi-single, have threads of their own",
        'scsi_controller = "virtio-scsi-single", or remove io_thread',
    ),
)  # fmt: skip
