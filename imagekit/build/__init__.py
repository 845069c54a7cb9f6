"""From a definition to a disk: the local builder makes it of packages, without a device, a mount or an image."""

from imagekit.build.local import build_local, plan_root
from imagekit.build.workspace import open_workspace

__all__ = ["build_local", "open_workspace", "plan_root"]
