"""Runs of equal bits or bytes, and ranges ``(offset, length)`` that are cut out of one another.

Ranges are in bytes, rising and without overlap. Everything here works on whole bitmaps at once: a loop over the blocks
of a disk would take seconds.
"""

from collections.abc import Iterable, Iterator

Range = tuple[int, int]


def find_zero_bits(bitmap: bytes, count: int) -> Iterator[Range]:
    """Yield first and number of each run of zero bits among the first ``count``, bit 0 of byte 0 being the first."""
    # A bit beyond the end keeps the leading zeros; the text is turned around so that bit 0 comes first.
    number = int.from_bytes(bitmap[: -(-count // 8)], "little") & (1 << count) - 1 | 1 << count
    return _find_runs(f"{number:b}"[:0:-1], "0", "1")


def find_zero_bytes(flags: bytes) -> Iterator[Range]:
    """Yield first and number of each run of zero bytes; every other byte must be 1."""
    return _find_runs(flags.decode("ascii"), "\0", "\1")


def _find_runs(text: str, wanted: str, other: str) -> Iterator[Range]:
    begin = text.find(wanted)
    while begin >= 0:
        end = text.find(other, begin)
        if end < 0:
            yield begin, len(text) - begin
            return
        yield begin, end - begin
        begin = text.find(wanted, end)


def merge(ranges: Iterable[Range]) -> Iterator[Range]:
    """Yield sorted ``ranges`` with neighbours and overlaps made one."""
    begin = end = -1
    for offset, length in ranges:
        if offset > end:
            if end > begin:
                yield begin, end - begin
            begin = offset
        if offset + length > end:
            end = offset + length
    if end > begin:
        yield begin, end - begin


def subtract(ranges: Iterable[Range], holes: Iterable[Range]) -> Iterator[Range]:
    """Yield what is left of ``ranges`` without ``holes``; both rise."""
    others = iter(holes)
    hole = next(others, None)
    for offset, length in ranges:
        begin, end = offset, offset + length
        while hole is not None and hole[0] + hole[1] <= begin:
            hole = next(others, None)
        while hole is not None and hole[0] < end:
            if hole[0] > begin:
                yield begin, hole[0] - begin
            begin = hole[0] + hole[1]
            if begin >= end:
                break
            hole = next(others, None)
        if begin < end:
            yield begin, end - begin


def intersect(ranges: Iterable[Range], others: Iterable[Range]) -> Iterator[Range]:
    """Yield what ``ranges`` and ``others`` have in common; both rise."""
    second = iter(others)
    other = next(second, None)
    for offset, length in ranges:
        end = offset + length
        while other is not None and other[0] < end:
            begin, stop = max(offset, other[0]), min(end, other[0] + other[1])
            if begin < stop:
                yield begin, stop - begin
            if other[0] + other[1] > end:
                break
            other = next(second, None)
