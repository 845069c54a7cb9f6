"""imagekit with the real Packer that tests use, and what its builds may leave."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imagekit.build.packer.processes import MARK
from tests.integration.conftest import Program
from tests.packer_tools import find_packer_tools

# Read at import: every test then gets a home of its own.
_BUILT = os.environ.get("IMAGEKIT_TEST_PACKER", "")
_SETTLE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class PackerProgram(Program):
    """imagekit that finds the Packer that tests use."""

    def environment(self) -> Mapping[str, str]:
        """Return the places of the program, and where Packer is."""
        tools = Path(_BUILT) if _BUILT else find_packer_tools().plugins.parent
        places = {"IMAGEKIT_PACKER": tools / "bin/packer", "PACKER_PLUGIN_PATH": tools / "plugins"}
        return {**Program.environment(self), **{name: os.fspath(place) for name, place in places.items()}}

    @property
    def state(self) -> Path:
        """Return where the program keeps its state."""
        return self.home / "state" / "imagekit"

    def define(self, text: str) -> None:
        """Write the project's definition."""
        (self.directory / "imagekit.toml").write_text(text)

    def list_left(self) -> list[str]:
        """Return what builds have left: records, workspaces, private directories, processes, once they have settled."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        while True:
            records = [path.name for path in (self.state / "packer").glob("*.json")]
            builds = [path.name for path in (self.cache / "builds").glob("*") if path.is_dir()]
            left = [*records, *builds, *_list_processes(self.home, self.cache)]
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.2)


def _list_processes(*places: Path) -> list[str]:
    """Return every process with the mark of a build or with one of ``places`` in its arguments."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes()
            if int(process.name) != os.getpid() and any(os.fsencode(place) in arguments for place in places):
                found.append(f"{process.name}: {arguments[:200]!r}")
        except OSError:
            continue
    return found


def find_marked(build_id: str) -> list[int]:
    """Return the processes of one build, Packer's and QEMU's."""
    mark = f"{MARK}={build_id}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
        except OSError:
            continue
    return found
