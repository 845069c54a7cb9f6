"""What surrounds one build with Packer, whatever its source."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from imagekit.build.packer.tool import PackerTool
from imagekit.progress import Event, Progress, silent


@dataclass(frozen=True, slots=True)
class Session:
    """Packer, imagekit's places, the project's file, and what one run asks for.

    ``keep`` leaves the machine of a failed build for a look. ``environment`` is what a template directory of the user's
    own may expect from the shell it is usually run in; it may hold secrets, and only Packer gets it.
    """

    tool: PackerTool
    cache: Path
    state: Path
    project: Path | None = None
    keep: bool = False
    mke2fs: str = "mke2fs"
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    progress: Progress = silent

    def warn(self, sentence: str) -> None:
        """Let the operator read ``sentence`` before the build goes on."""
        self.progress(Event("checking the template", note=f"warning: {sentence}"))

    def name_log(self, image: str, build_id: str) -> Path:
        """Return where the log of a build is kept."""
        return self.state / "packer-logs" / f"{image}-{build_id}.log"
