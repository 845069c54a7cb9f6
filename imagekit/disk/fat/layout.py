"""Where things are on a FAT filesystem: the boot sector and the chains of clusters.

Source: Microsoft, "FAT: General Overview of On-Disk Format" 1.03. Which width the table has is decided as Linux does
it: a table size in the 32-bit field alone means FAT32, else the number of clusters decides.
"""

from dataclasses import dataclass

from imagekit.disk.cache import CachedReader
from imagekit.disk.window import Readable
from imagekit.errors import ImageDamaged

_SIZES = (512, 1024, 2048, 4096)


@dataclass(frozen=True, slots=True)
class BootSector:
    """The checked boot sector: offsets and sizes in bytes; clusters are numbered from 2 to ``clusters + 1``.

    ``root_cluster`` is 0 on FAT12 and FAT16, whose root directory has a fixed place.
    """

    bits: int
    cluster_size: int
    clusters: int
    fat_offset: int
    root_offset: int
    root_size: int
    root_cluster: int
    data_offset: int
    serial: str
    label: str
    dirty: bool


def read_boot_sector(window: Readable) -> BootSector:
    """Read and check sector 0; raises :class:`ImageDamaged` naming what cannot be right."""
    if window.size < 512:
        raise ImageDamaged(f"{window.size} bytes are too few for a FAT filesystem")
    data = window.read(0, 512)

    def number(offset: int, length: int) -> int:
        return int.from_bytes(data[offset : offset + length], "little")

    sector, per_cluster, reserved, fats = number(11, 2), data[13], number(14, 2), data[16]
    if data[510:] != b"\x55\xaa" or sector not in _SIZES or per_cluster == 0 or per_cluster & (per_cluster - 1):
        raise ImageDamaged("there is no FAT boot sector")
    if reserved == 0 or not 1 <= fats <= 2:
        raise ImageDamaged(f"the FAT boot sector claims {reserved} reserved sectors and {fats} tables")
    wide = number(22, 2) == 0
    fat_sectors = number(36, 4) if wide else number(22, 2)
    sectors = number(19, 2) or number(32, 4)
    root_size = 0 if wide else number(17, 2) * 32
    root_offset = (reserved + fats * fat_sectors) * sector
    data_offset = root_offset + -(-root_size // sector) * sector
    if fat_sectors == 0 or sectors * sector > window.size or data_offset >= sectors * sector:
        raise ImageDamaged(f"the FAT filesystem claims {sectors} sectors of {sector} bytes in {window.size} bytes")
    clusters = (sectors * sector - data_offset) // (sector * per_cluster)
    bits = 32 if wide else 12 if clusters < 4085 else 16
    # A table that is too short bounds the clusters that can be used, as in Linux.
    clusters = min(clusters, fat_sectors * sector * 8 // bits - 2)
    if not 1 <= clusters <= {12: 0xFF4, 16: 0xFFF4, 32: 0x0FFFFFF5}[bits]:
        raise ImageDamaged(f"a FAT{bits} filesystem cannot have {clusters} clusters")
    extra = 64 if wide else 36  # drive number, state, signature, serial, label
    signature = data[extra + 2]
    serial = number(extra + 3, 4) if signature in (0x28, 0x29) else 0
    label = data[extra + 7 : extra + 18].decode("cp437").rstrip(" \0") if signature == 0x29 else ""
    return BootSector(
        bits=bits,
        cluster_size=sector * per_cluster,
        clusters=clusters,
        fat_offset=reserved * sector,
        root_offset=root_offset,
        root_size=root_size,
        root_cluster=number(44, 4) & 0x0FFFFFFF if wide else 0,
        data_offset=data_offset,
        serial=f"{serial >> 16:04X}-{serial & 0xFFFF:04X}",
        label="" if label == "NO NAME" else label,
        dirty=bool(data[extra + 1] & 1),
    )


class Clusters:
    """The first file allocation table: follows chains and reads clusters."""

    def __init__(self, window: Readable, boot: BootSector) -> None:
        self._window = window
        self._boot = boot
        self._table = CachedReader(window)

    def entry(self, cluster: int) -> int:
        """Return the table's value for ``cluster``, which the caller has checked to exist."""
        boot = self._boot
        match boot.bits:
            case 12:
                pair = int.from_bytes(self._table.read(boot.fat_offset + cluster + cluster // 2, 2), "little")
                return pair >> 4 if cluster & 1 else pair & 0xFFF
            case 16:
                return int.from_bytes(self._table.read(boot.fat_offset + 2 * cluster, 2), "little")
            case _:
                return int.from_bytes(self._table.read(boot.fat_offset + 4 * cluster, 4), "little") & 0x0FFFFFFF

    def chain(self, first: int, wanted: int) -> list[int]:
        """Return up to ``wanted`` clusters from ``first`` on; raises :class:`ImageDamaged` for a loop or a bad link."""
        end = {12: 0xFF8, 16: 0xFFF8, 32: 0x0FFFFFF8}[self._boot.bits]
        chain: list[int] = []
        seen: set[int] = set()
        cluster = first
        while len(chain) < wanted and cluster < end:
            if not 2 <= cluster < self._boot.clusters + 2:
                raise ImageDamaged(f"the cluster chain from {first} leads to {cluster} of {self._boot.clusters}")
            if cluster in seen:
                raise ImageDamaged(f"the cluster chain from {first} comes back to {cluster}")
            seen.add(cluster)
            chain.append(cluster)
            cluster = self.entry(cluster)
        return chain

    def read(self, chain: list[int], length: int) -> bytes:
        """Return the first ``length`` bytes of a chain; neighbouring clusters are read at once."""
        size = self._boot.cluster_size
        content = bytearray()
        position = 0
        while position < len(chain) and len(content) < length:
            following = position + 1
            while following < len(chain) and chain[following] == chain[following - 1] + 1:
                following += 1
            count = min((following - position) * size, length - len(content))
            content += self._window.read(self._boot.data_offset + (chain[position] - 2) * size, count)
            position = following
        return bytes(content)
