"""The private directory of one Packer run: its log, sockets, uploaded scripts and seed CD, gone afterwards."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

PREFIX = "imagekit-packer-"
# Plugins listen on $TMPDIR/packer-plugin plus up to ten digits; sun_path has 108 bytes (104 on macOS) with its NUL.
_LONGEST = (103 if sys.platform == "darwin" else 107) - len("/packer-plugin0123456789")


@contextlib.contextmanager
def open_room(workspace: Path, note: Callable[[Path], None] | None = None) -> Iterator[Path]:
    """Yield an empty directory, mode 0700, for one run of Packer, and remove it however the block is left.

    It lies in ``workspace`` or, when that path is too long for a socket, in the system's temporary directory; ``note``
    hears which before anything is written there. After a crash it goes with the workspace, or with what ``note`` kept.
    """
    place = workspace.absolute()
    if len(os.fsencode(place / "pk-00000000")) > _LONGEST:
        place = Path(tempfile.gettempdir())
    directory = Path(tempfile.mkdtemp(prefix="pk-" if place == workspace.absolute() else PREFIX, dir=place))
    try:
        if note is not None:
            note(directory)
        (directory / "config").mkdir()
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
