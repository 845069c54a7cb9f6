"""Where a command runs: this machine through sh, another one through paramiko; the only room that starts processes."""

from imagekit.host.local import Completed, run, start
from imagekit.host.tools import find_tool
from imagekit.host.version import read_version

__all__ = ["Completed", "find_tool", "read_version", "run", "start"]
