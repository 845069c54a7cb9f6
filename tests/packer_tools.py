"""The real Packer that tests drive: what ``.ci/packer-tools --tests`` built; a test that needs it fails without it."""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from imagekit.host import run

_SCRIPT = Path(__file__).parent.parent / ".ci" / "packer-tools"
# As it was when this module was loaded: every test gets a home of its own, and the tools are in the real one.
_NAMES = ("HOME", "PATH", "XDG_CACHE_HOME", "IMAGEKIT_CACHE")
_PLACES = {name: os.environ[name] for name in _NAMES if name in os.environ}


@dataclass(frozen=True, slots=True)
class PackerTools:
    """``packer``, what users get as ``plugins`` (qemu, ansible), and ``plugins_test``: those, and Proxmox 1.1.1."""

    packer: Path
    plugins: Path
    plugins_test: Path


@cache
def find_packer_tools() -> PackerTools:
    """Return the tools that this checkout pins.

    Raises :class:`imagekit.errors.ToolFailed` with the command that builds them when that has not been done.
    """
    found = run([os.fspath(_SCRIPT), "--tests", "--print"], environment=_PLACES).output.decode().strip()
    directory = Path(found)
    return PackerTools(directory / "bin/packer", directory / "plugins", directory / "plugins-test")
