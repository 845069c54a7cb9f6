"""What is on a disk, read-only, bounds-checked, without root: images, partition tables, filesystems, trees."""

from imagekit.disk.container import Disk, open_disk
from imagekit.disk.digest import compute_digest
from imagekit.disk.directory import Directory, Unreadable
from imagekit.disk.gpt import NoPartitionTable, Partition, PartitionTable, Scheme, read_gpt
from imagekit.disk.partitions import read_partition_table
from imagekit.disk.probe import CannotRead, FilesystemKind, open_filesystem, probe_filesystem
from imagekit.disk.raw import NotADisk, RawDisk, Readable, Window, open_raw
from imagekit.disk.tree import FileTree, FileType, Node, Source

__all__ = [
    "CannotRead",
    "Directory",
    "Disk",
    "FileTree",
    "FileType",
    "FilesystemKind",
    "NoPartitionTable",
    "Node",
    "NotADisk",
    "Partition",
    "PartitionTable",
    "RawDisk",
    "Readable",
    "Scheme",
    "Source",
    "Unreadable",
    "Window",
    "compute_digest",
    "open_disk",
    "open_filesystem",
    "open_raw",
    "probe_filesystem",
    "read_gpt",
    "read_partition_table",
]
