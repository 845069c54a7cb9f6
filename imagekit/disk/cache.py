"""Small reads from a disk, served from a few large pieces: inode tables and FATs are read entry by entry."""

from imagekit.disk.window import Readable, check_range


class CachedReader:
    """A :class:`Readable` over another one that keeps the last ``keep`` pieces of ``piece`` bytes."""

    def __init__(self, source: Readable, *, piece: int = 64 << 10, keep: int = 128) -> None:
        self._source = source
        self._piece = piece
        self._keep = keep
        self._pieces: dict[int, bytes] = {}

    @property
    def size(self) -> int:
        """Return the number of bytes."""
        return self._source.size

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes from ``offset``; raises :class:`ImageDamaged` when they are not inside."""
        index, start = divmod(offset, self._piece)
        if start + length <= self._piece and offset >= 0 <= length:
            piece = self._pieces.get(index)
            if piece is None:
                piece = self._load(index)
            if start + length <= len(piece):
                return piece[start : start + length]
        check_range(offset, length, self.size, "this part of the disk")
        return self._source.read(offset, length)

    def _load(self, index: int) -> bytes:
        """Read one piece and forget the oldest; the order of loading is near enough to the order of use here."""
        begin = index * self._piece
        piece = self._source.read(begin, max(0, min(self._piece, self.size - begin))) if begin < self.size else b""
        if len(self._pieces) >= self._keep:
            del self._pieces[next(iter(self._pieces))]
        self._pieces[index] = piece
        return piece
