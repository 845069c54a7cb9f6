"""The partition table of a disk, whichever kind it has."""

from imagekit.disk.partitions.gpt import NoPartitionTable, PartitionTable, read_gpt
from imagekit.disk.partitions.mbr import read_mbr
from imagekit.disk.window import Readable


def read_partition_table(disk: Readable) -> PartitionTable:
    """Read the GPT of ``disk``, or its MBR when it has no GPT.

    Raises :class:`NoPartitionTable` when it has neither, and :class:`imagekit.errors.ImageDamaged` when there is a GPT
    of which no copy can be used: what its protective MBR says is not believed instead.
    """
    try:
        return read_gpt(disk)
    except NoPartitionTable:
        return read_mbr(disk)
