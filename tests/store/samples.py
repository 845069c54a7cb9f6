"""Small verified images for the tests of the store, and programs of their own that use them."""

import hashlib
import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from imagekit.build.namespace import namespace_command
from imagekit.host import run
from imagekit.image import (
    Architecture,
    BuiltImage,
    BuiltTemplate,
    ClusterPlace,
    Digest,
    DiskImage,
    Firmware,
    Package,
    Provenance,
)
from imagekit.report import Finding, NotObserved, Report, Severity, VerifiedImage, VerifiedTemplate

MIB = 1 << 20
DISK_BYTES = 2 * MIB
PROJECT = Path(__file__).parents[2]


def at(day: int, hour: int = 12, *, month: int = 7) -> Callable[[], datetime]:
    """Return a clock that stands still on a day of July 2026, UTC."""
    return lambda: datetime(2026, month, day, hour, tzinfo=UTC)


def make_disk(path: Path, seed: int = 0, size: int = DISK_BYTES) -> DiskImage:
    """Write a sparse raw disk whose content depends on ``seed``: data, a hole, data, a hole up to the end."""
    block = hashlib.shake_256(str(seed).encode()).digest(65536)
    with path.open("wb") as file:
        file.write(block)
        file.seek(MIB + 4096)
        file.write(block[::-1])
        file.truncate(size)
    digest = Digest(hashlib.sha256(path.read_bytes()).hexdigest())
    return DiskImage(path, size, digest, Architecture.AMD64, Firmware.OVMF)


def make_provenance(name: str = "template", **definition: object) -> Provenance:
    """Return a provenance as the local builder would leave it."""
    return Provenance(
        builder="local",
        definition={"name": name, "channels": ["candidate", "stable"], "size": 2 << 30} | definition,
        packages=(Package("bash", "5.2.15-2+b7", "amd64"), Package("libc6", "2.36-9+deb12u10", "amd64")),
        tools={"mke2fs": "1.47.0"},
        inputs={"snapshot": "sha256:" + "0" * 64},
        git_commit=None,
        git_dirty=False,
        reproducible=False,
        reproducible_note="mke2fs 1.47.0 writes the time",
    )


def make_report(*severities: Severity, check: str = "machine-id") -> Report:
    """Return a report with a finding of each of ``severities``."""
    return Report(
        target="disk.raw",
        view="disk",
        profile="template",
        tool_version="0.1.0",
        started=datetime(2026, 7, 1, 11, 59, 30, 250000, tzinfo=UTC),
        duration_seconds=1.5,
        findings=tuple(
            Finding(check, severity, "/etc/machine-id", "32 digits", "why", "fix") for severity in severities
        ),
        not_observed=(NotObserved("ssh-config", "no sshd"),),
        passed=("partition-table", "fstab"),
        boot={"clone-a": {"machine_id": "1", "seconds": 21.5}},
    )


def make_verified(path: Path, seed: int = 0, name: str = "template", **definition: object) -> VerifiedImage:
    """Return a new verified image whose disk is the file ``path``."""
    built = BuiltImage(make_disk(path, seed), make_provenance(name, **definition))
    return VerifiedImage(built, make_report(Severity.WARN))


def make_place(seed: int = 0, vm_id: int = 9100) -> ClusterPlace:
    """Return the place of a template whose mark depends on ``seed``."""
    return ClusterPlace("pve.example:8006", "node1", vm_id, f"5b1e3f7a-0000-4000-8000-{seed:012d}")


def make_template(place: ClusterPlace, name: str = "template", **definition: object) -> VerifiedTemplate:
    """Return a verified template on a cluster that does not exist."""
    provenance = make_provenance(name, **definition)
    built = BuiltTemplate(place, Architecture.AMD64, Firmware.OVMF, 8 << 30, provenance)
    return VerifiedTemplate(built, make_report(Severity.WARN))


def list_tree(root: Path) -> list[str]:
    """Return every path below ``root``."""
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))


def run_program(program: str, *arguments: str | Path, mount: str | None = None) -> dict[str, object]:
    """Run a Python program in a process of its own and return the JSON object that it prints.

    ``mount`` is a shell command that runs first, in a mount namespace of its own where it is root.
    """
    argv = [sys.executable, "-c", program, *(os.fspath(argument) for argument in arguments)]
    if mount is not None:
        argv = [*namespace_command(), "sh", "-c", f'set -e; {mount}; exec "$@"', "sh", *argv]
    said = json.loads(run(argv, directory=PROJECT, timeout=60).output)
    assert isinstance(said, dict)
    return said
