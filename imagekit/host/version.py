"""What version an external program tells: one question, asked in the way that program understands."""

import re
from pathlib import Path

from imagekit.host.local import run

_OPTION = {"mke2fs": "-V", "debugfs": "-V", "ssh": "-V"}
_VERSION = re.compile(r"\d+\.\d+[\w.~+-]*")


def read_version(name: str) -> str:
    """Return the version that program ``name`` tells, or an empty string when it tells none."""
    said = run([name, _OPTION.get(Path(name).name, "--version")], check=False, timeout=20)
    match = _VERSION.search(said.output.decode(errors="replace") + said.errors)
    return match.group() if match else ""
