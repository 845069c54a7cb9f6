"""What is on the disk and in no file: free blocks, the ends of files' last blocks, and space outside of partitions."""

from bisect import bisect_right
from collections.abc import Iterator
from typing import TYPE_CHECKING

from imagekit.report import Severity
from imagekit.verify.check import MACHINES, Check, Policy, Profile, Seen, Subject
from imagekit.verify.view import CannotSee, View, fact

if TYPE_CHECKING:
    from imagekit.disk.block_map import FreeRange
    from imagekit.disk.containers.open import Disk
    from imagekit.verify.secrets.patterns import Secret

_PIECE = 64 << 10
_BUDGET = 256  # pieces, 16 MiB: what a verification that is not deep reads of the free blocks
_WORTH_NOTING = 1 << 20  # bytes; less is what any file that was written and removed leaves


@fact
def _list_free(view: View) -> "tuple[FreeRange, ...]":
    from imagekit.disk.block_map import list_free_ranges

    return list_free_ranges(view.disk())


def find_ghost_data(view: View, policy: Policy) -> Iterator[Seen]:
    """Look what free blocks still hold; a deep verification reads all of them, and slack, in search of secrets."""
    yield from _search_free(view, policy)
    if blind := _list_blind(view):
        raise CannotSee(f"which blocks are free is not known for {', '.join(blind[:3])}")


def _search_free(view: View, policy: Policy) -> Iterator[Seen]:
    from imagekit.disk.runs import intersect, merge

    disk, free = view.disk(), _list_free(view)
    places = list(intersect(list(merge((each.offset, each.length) for each in free)), list(merge(disk.data_ranges()))))
    if not policy.deep:
        used, step = _sample(view, places)
        if used >= _WORTH_NOTING:
            more = f" (in a sample; in all about {_mebibytes(used * step)})" if step > 1 else ""
            at_least = "at least " if step > 1 else ""
            yield Seen("free blocks", f"{at_least}{_mebibytes(used)} of free blocks hold old data{more}")
        return
    yield from _search_deeply(view, places, free)


def _list_blind(view: View) -> list[str]:
    """Name the partitions with a filesystem whose bitmaps are not read, or are not to be believed as they are."""
    from imagekit.disk.ext4.filesystem import Ext4
    from imagekit.disk.fat.filesystem import Fat
    from imagekit.disk.probe import FilesystemKind

    known = {each.partition for each in _list_free(view)}
    blind = []
    for volume in view.volumes():
        if (volume.partition.number if volume.partition is not None else 0) in known:
            continue
        match volume.filesystem:
            case Ext4() as ext4:
                full = ext4.free_blocks == 0
            case Fat() as fat:
                full = not fat.dirty
            case _:
                full = volume.kind in (FilesystemKind.UNKNOWN, FilesystemKind.SWAP, FilesystemKind.LUKS)
        if not full:
            blind.append(volume.device)
    return blind


def _mebibytes(size: int) -> str:
    return f"{size / (1 << 20):.0f} MiB"


def _sample(view: View, places: list[tuple[int, int]]) -> tuple[int, int]:
    """Return how many bytes are in use in every n-th piece of ``places``, and n: 1 when all of it was read."""
    from imagekit.verify.secrets.scan import count_used

    disk = view.disk()
    pieces = [(offset + at, min(_PIECE, length - at)) for offset, length in places for at in range(0, length, _PIECE)]
    step = -(-len(pieces) // _BUDGET) or 1
    return sum(count_used(disk.read(*piece)) for piece in pieces[::step]), step


def _search_deeply(view: View, places: list[tuple[int, int]], free: "tuple[FreeRange, ...]") -> Iterator[Seen]:
    from imagekit.verify.secrets.scan import scan_ranges

    disk = view.disk()
    scanned = scan_ranges(disk, places)
    begins = [each.offset for each in free]
    for secret in scanned.secrets:
        partition = free[bisect_right(begins, secret.offset) - 1].partition
        where = {None: "outside of partitions", 0: "whole disk"}.get(partition, f"partition {partition}")
        place = f"{where}, free space at byte {secret.offset}"
        if _is_constant(disk, secret):
            yield Seen(place, f"{secret}; it looks like a program's built-in test key", Severity.INFO)
        else:
            yield Seen(place, str(secret), Severity.FAIL)
    for device, slack in _list_slack(view):
        for secret in scan_ranges(disk, slack).secrets:
            yield Seen(f"{device}, behind the end of a file at byte {secret.offset}", str(secret), Severity.FAIL)
    if scanned.used_bytes >= _WORTH_NOTING:
        yield Seen("free blocks", f"{_mebibytes(scanned.used_bytes)} of free blocks hold old data")


def _is_constant(disk: "Disk", secret: "Secret") -> bool:
    """Tell a key in a program's data (GnuTLS and OpenSSL test themselves with some) from one in a file of its own.

    A constant follows the NUL of the one before it, at any place; a file begins with a sector.
    """
    if not secret.kind.startswith("private key") or secret.offset % 512 == 0:
        return False
    return disk.read(secret.offset - 1, 1) == b"\0"


def _list_slack(view: View) -> Iterator[tuple[str, Iterator[tuple[int, int]]]]:
    """Yield a device's name and its files' slack, at offsets of the disk."""
    from imagekit.disk.ext4.filesystem import Ext4

    for volume in view.volumes():
        if isinstance(volume.filesystem, Ext4) and (volume.partition is not None or len(view.volumes()) == 1):
            base = volume.partition.offset if volume.partition is not None else 0
            yield volume.device, ((base + offset, length) for offset, length in volume.filesystem.slack_ranges())


CHECKS = (
    Check(
        id="ghost-data",
        severity=Severity.INFO,
        subject=Subject.DISK,
        why="deleted keys and logs can be read from any clone, and old data makes the image larger",
        fix="`fstrim -av`, with discard on for the virtual disk; a secret that was found must be replaced as well",
        find=find_ghost_data,
        profiles=(*MACHINES, Profile.SD_IMAGE),
    ),
)
