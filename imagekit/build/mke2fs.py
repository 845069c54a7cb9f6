"""mke2fs writes the root filesystem from a directory straight into the disk file: no loop device, no mount.

From e2fsprogs 1.47.1 on the result depends on its inputs alone: UUID and hash seed are given, times are clamped to
``SOURCE_DATE_EPOCH`` (mke2fs(8), e2fsprogs' release notes). Earlier versions write the inodes' own change times.
"""

import os
import re
from pathlib import Path

from imagekit.build.ext4_counter import reset_write_counter
from imagekit.build.layout import DiskLayout
from imagekit.build.namespace import run_isolated
from imagekit.errors import DefinitionInvalid, ToolFailed
from imagekit.host import read_version

# Debian 12's set, in full: the machine's mke2fs.conf shall not change the disk, and what later versions add
# (metadata_csum_seed, orphan_file) Debian 12's GRUB and e2fsck do not know.
_FEATURES = (
    "none,has_journal,ext_attr,resize_inode,dir_index,filetype,sparse_super,large_file,extent,huge_file,flex_bg,"
    "metadata_csum,64bit,dir_nlink,extra_isize"
)
_CONFIGURATION = "[defaults]\n[fs_types]\n  ext4 = {\n  }\n"
_INODE_BYTES = 256
_BYTES_PER_INODE = 16384
REPRODUCIBLE_SINCE = (1, 47, 1)


def is_reproducible(program: str) -> bool:
    """Say whether this mke2fs makes the same bytes from the same tree."""
    numbers = re.findall(r"\d+", read_version(program))[:3]
    return tuple(int(number) for number in numbers) >= REPRODUCIBLE_SINCE


def write_root(program: str, disk: Path, layout: DiskLayout, root: Path, epoch: int) -> None:
    """Write the tree at ``root`` as an ext4 filesystem at the layout's offset of ``disk``.

    Raises :class:`DefinitionInvalid` when the tree does not fit the size that the definition gives.
    """
    configuration = disk.with_name("mke2fs.conf")
    configuration.write_text(_CONFIGURATION)
    options = f"offset={layout.root_offset},hash_seed={layout.hash_seed},lazy_itable_init=1,nodiscard,root_owner=0:0"
    inodes = ["-I", str(_INODE_BYTES), "-N", str(layout.root_size // _BYTES_PER_INODE)]
    argv = [
        *(program, "-q", "-F", "-t", "ext4", "-T", "ext4", "-O", _FEATURES, "-b", "4096", "-m", "1", *inodes),
        *("-L", "root", "-U", layout.root_uuid, "-E", options, "-d", os.fspath(root), os.fspath(disk)),
        f"{layout.root_size // 1024}k",
    ]
    clock = {"SOURCE_DATE_EPOCH": str(epoch), "E2FSPROGS_FAKE_TIME": str(epoch)}
    try:
        run_isolated(argv, environment=clock | {"MKE2FS_CONFIG": os.fspath(configuration)})
    except ToolFailed as problem:
        if "Could not allocate" in problem.detail or "No free space" in problem.detail:
            raise DefinitionInvalid(
                f"the packages do not fit a root of {layout.root_size >> 20} MiB",
                hint="give a larger 'size' in imagekit.toml",
            ) from problem
        raise
    reset_write_counter(disk, layout)
