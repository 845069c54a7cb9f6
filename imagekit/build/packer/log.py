"""The log of a build that is kept: copied from Packer's own while it runs, masked, and readable by its owner alone.

Packer's own log holds secrets in clear, so it lies in the build's private directory and goes with it.
"""

import codecs
import os
from pathlib import Path

from imagekit.build.packer.mask import Masker, MaskStream

_CHUNK = 1 << 20
_TURNS = 2
_LARGEST = 256 << 20


class GrowingFile:
    """Reads a file while it is written; one that is not there yet is empty."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def read(self) -> bytes:
        """Return what was written since the last time, 1 MiB at most."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                data = file.read(_CHUNK)
        except FileNotFoundError:
            return b""
        self._read += len(data)
        return data


class MaskedLog:
    """Follows ``source``, which need not exist yet, and writes it masked to ``target``, mode 0600.

    A crash leaves the masked beginning. Of a log over 256 MiB the beginning is kept. A disk too full for the log does
    not stop the build: what is missing is said by ``problem``.
    """

    def __init__(self, source: Path, target: Path, masker: Masker) -> None:
        """Raises :class:`OSError` when ``target`` cannot be made; a link in its place is not followed."""
        self.path = target
        self.problem = ""
        self._source = GrowingFile(source)
        self._stream = MaskStream(masker)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._left = _LARGEST
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        self._target = os.open(target, flags, 0o600)
        os.fchmod(self._target, 0o600)

    def pump(self) -> None:
        """Copy what Packer has written since the last time, a few MiB at most: a flood must not hold up the caller."""
        for _turn in range(_TURNS):
            if not (data := self._source.read()):
                return
            self._write(self._stream.feed(self._decoder.decode(data)))

    def close(self) -> None:
        """Copy the rest and close; may be called twice."""
        if self._target < 0:
            return
        try:
            while self._left and (data := self._source.read()):
                self._write(self._stream.feed(self._decoder.decode(data)))
            self._write(self._stream.feed(self._decoder.decode(b"", final=True)) + self._stream.close())
        finally:
            os.close(self._target)
            self._target = -1

    def _write(self, text: str) -> None:
        data = text.encode(errors="replace")[: self._left]
        self._left -= len(data)
        while data and not self.problem:
            try:
                data = data[os.write(self._target, data) :]
            except OSError as problem:
                self.problem = f"the log could not be written any further: {problem.strerror}"
        if not self._left and not self.problem:
            self.problem = f"the log was cut after {_LARGEST >> 20} MiB"
