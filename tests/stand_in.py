"""Stand-ins for the two slow verbs of the flow: a builder that copies a disk, and a proof that boots nothing."""

import hashlib
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from imagekit.definition import ImageDefinition, describe_image
from imagekit.host import run
from imagekit.image import Architecture, BuiltImage, DiskImage, Firmware
from imagekit.image import Digest as ImageDigest
from imagekit.progress import Event, Progress
from imagekit.report import Finding, Severity
from imagekit.verify.boot.prove import BootProof
from tests.store.samples import make_provenance
from tests.verify.clean_tree import ROOT_OFFSET


@dataclass
class StandIn:
    """What the next build gives, and what was asked for: ``disk`` is copied, ``boot_findings`` are what booting shows.

    ``workspaces`` and ``booted`` collect the places of builds and the digests of disks that were booted.
    """

    disk: Path
    boot_findings: tuple[Finding, ...] = ()
    workspaces: list[Path] = field(default_factory=list)
    booted: list[str] = field(default_factory=list)

    def build(
        self, definition: ImageDefinition, workspace: Path, cache: Path, *, progress: Progress, **_: object
    ) -> BuiltImage:
        """Copy the disk into the workspace, as the local builder would have written it there."""
        self.workspaces.append(workspace)
        progress(Event("writing the disk"))
        path = Path(shutil.copy(self.disk, workspace / "disk.raw"))
        digest = ImageDigest(hashlib.sha256(path.read_bytes()).hexdigest())
        image = DiskImage(path, path.stat().st_size, digest, Architecture.AMD64, Firmware.OVMF)
        described = {key: value for key, value in describe_image(definition).items() if key != "name"}
        return BuiltImage(image, make_provenance(definition.name, **described))

    def prove(self, disk: Path, *, progress: Progress, **_: object) -> BootProof:
        """Return what booting is said to have shown."""
        self.booted.append(hashlib.sha256(disk.read_bytes()).hexdigest())
        progress(Event("booting two clones", done=1, unit="s"))
        facts: dict[str, object] = {"clone-a": {"machine_id": "a"}, "clone-b": {"machine_id": "b"}}
        return BootProof(self.boot_findings, ("boot-ssh",), (), facts, 1.0)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> "StandIn":
        """Take the place of builder and proof until the test ends."""
        monkeypatch.setattr("imagekit.build.build_local", self.build)
        monkeypatch.setattr("imagekit.verify.boot.prove.prove_clones", self.prove)
        monkeypatch.setenv("IMAGEKIT_ACCELERATOR", "tcg")
        return self


def make_boot_finding() -> Finding:
    """Return what a clone that cannot be entered shows."""
    return Finding("boot-ssh", Severity.FAIL, "clone-a", "stopped in stage kernel\x1b[31m", "why", "fix")


def make_dirty(disk: Path, place: Path, machine_id: str = "0123456789abcdef0123456789abcdef") -> Path:
    """Return a copy of the clean ``disk`` in directory ``place`` with a machine id left in it."""
    copy, given = place / "dirty.raw", place / "machine-id"
    shutil.copy(disk, copy)
    given.write_text(f"{machine_id}\n")
    script = f"rm /etc/machine-id\nwrite {given} /etc/machine-id\n"
    run(["debugfs", "-w", "-f", "-", f"{copy}?offset={ROOT_OFFSET}"], stdin=script.encode())
    return copy
