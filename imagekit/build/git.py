"""git says which commit a definition was built from, and whether it had changes that no commit holds."""

import os
from pathlib import Path

from imagekit.host import find_tool, run


def read_commit(directory: Path) -> tuple[str | None, bool]:
    """Return the commit checked out around ``directory`` and whether files differ; ``(None, False)`` without one."""
    if not find_tool("git", required=False):
        return None, False
    at = ["git", "-C", os.fspath(directory)]
    head = run([*at, "rev-parse", "--verify", "--quiet", "HEAD"], check=False)
    if head.status != 0:
        return None, False
    changes = run([*at, "status", "--porcelain", "--untracked-files=no"], check=False)
    return head.output.decode().strip(), bool(changes.output.strip())
