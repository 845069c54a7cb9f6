"""The flow as one screen of verbs: build → verify → prove by booting → store, then a clone of what was stored."""

# A clone needs neither the builder nor the checks, and a build no clones: each verb imports its room when it is used.

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from imagekit.errors import DefinitionInvalid, VerificationFailed
from imagekit.host import find_tool
from imagekit.image import Architecture, BuiltImage, Firmware, Reference
from imagekit.machine.accelerator import Accelerator, explain_accelerator, require_architecture
from imagekit.machine.firmware import find_firmware
from imagekit.progress import Event, Progress, silent
from imagekit.report import Report, Severity, VerifiedImage
from imagekit.settings import AcceleratorChoice, Settings
from imagekit.store import Store, Stored, Version, open_store

if TYPE_CHECKING:
    from imagekit.definition import ImageDefinition, Project, VerifyPolicy
    from imagekit.deliver.clone import Clone
    from imagekit.verify import Policy, VmConfig


class ImageUnfit(VerificationFailed):
    """Verification found what must not be cloned; ``report`` says what, ``kept`` where the disk was put aside."""

    def __init__(self, report: Report, kept: Path | None) -> None:
        failures = sum(finding.severity is Severity.FAIL for finding in report.findings)
        where = f"the disk is kept as {kept}" if kept else "add --keep to keep the disk for a look"
        counted = "1 check" if failures == 1 else f"{failures} checks"
        unseen = f", {len(report.not_observed)} could not be made" if report.not_observed else ""
        super().__init__(f"{report.target} is not fit to be cloned: {counted} failed{unseen}", hint=where)
        self.report = report
        self.kept = kept


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What one run asks for: the boot proof or not, a disk kept on failure, a channel for the result."""

    boot_test: bool = True
    keep: bool = False
    promote_to: str | None = None


def build_image(
    name: str, project: "Project", settings: Settings, options: BuildOptions, progress: Progress = silent
) -> Stored:
    """Build image ``name``, prove it and store it; content that is stored already gives the version that has it.

    A stored version of these very bytes that was booted is not booted again; one that was not gains this run's proof.
    Raises :class:`ImageUnfit` with the report when a check fails; nothing is stored then.
    """
    from imagekit.build import build_local, open_workspace

    definition = project.find_image(name)
    _require_channel(definition, options.promote_to)
    boot_test = options.boot_test and definition.boot_test
    if boot_test:  # a missing emulator shall not be found after the build
        for tool in ("qemu-system-x86_64", "qemu-img"):
            find_tool(tool)
        find_firmware()
        require_architecture(definition.architecture)
    store = open_store(settings.store)
    with store.lock_build(name), open_workspace(settings.cache, name) as workspace:
        built = build_local(
            definition, workspace, settings.cache, mke2fs=str(settings.mke2fs or "mke2fs"), project=project.path,
            progress=progress,
        )  # fmt: skip
        report = verify_built(definition, built, progress)
        if boot_test and not report.failed and not is_proven(store, built, name):
            report = prove_disk(
                built.disk.path, report, settings, allow_users=make_policy(definition).allow_users,
                scratch=built.disk.path.parent, progress=progress,
            )  # fmt: skip
        if report.failed or report.not_observed:  # what could not be seen on our own disk has not passed
            raise ImageUnfit(report, _keep(built, settings) if options.keep else None)
        progress(Event("storing the version"))
        verified = VerifiedImage(built, report)
        return store.add(verified, promote_to=options.promote_to, move=True, progress=progress)


def _require_channel(definition: "ImageDefinition", channel: str | None) -> None:
    """Refuse a channel that the image does not have before the build, not after it."""
    if channel is not None and channel not in definition.channels:
        raise DefinitionInvalid(
            f"image {definition.name} has no channel {channel!r}", hint=f"it has {', '.join(definition.channels)}"
        )


def is_proven(store: Store, built: BuiltImage, name: str) -> bool:
    """Say whether two clones of these very bytes were booted before: the store keeps that proof with their version."""
    same = (version for version in store.list_versions(name) if version.digest == built.disk.digest)
    return any(version.report.boot is not None for version in same)


def make_policy(definition: "ImageDefinition") -> "Policy":
    """Return what verification lets pass and forbids in an image of this definition."""
    users = tuple(user.name for user in definition.users)
    return _make_policy(definition.verify, users, definition.firmware, definition.architecture)


def _make_policy(
    rules: "VerifyPolicy", users: tuple[str, ...], firmware: Firmware, architecture: Architecture
) -> "Policy":
    from imagekit.verify import Policy

    return Policy(
        allow_users=tuple(dict.fromkeys((*users, *rules.allow_users))),
        firmware=firmware,
        architecture=architecture,
        profile=rules.profile,
        allow=rules.allow,
        severity=rules.severity,
        forbid_paths=rules.forbid_paths,
        forbid_text=rules.forbid_text,
    )


def verify_built(definition: "ImageDefinition", built: BuiltImage, progress: Progress) -> Report:
    """Check the disk offline, against what its own definition allows."""
    from imagekit.verify import verify_disk

    progress(Event("verifying"))
    report = verify_disk(built.disk.path, make_policy(definition), progress=progress)
    return replace(report, target=definition.name)


def prove_disk(
    disk: Path, report: Report, settings: Settings, *, allow_users: tuple[str, ...] = (), scratch: Path | None = None,
    progress: Progress = silent,
) -> Report:  # fmt: skip
    """Boot two clones of a raw disk and return the report with what they showed.

    Keys and overlays are made in ``scratch``, which something sweeps after a crash; the boot logs' place without it.
    Raises :class:`NotADisk` for a disk in a container: the clones lie over the file's own bytes.
    """
    from imagekit.disk.containers.raw import open_raw
    from imagekit.verify.boot.prove import prove_clones

    open_raw(disk).close()
    accelerator = choose_accelerator(settings, progress)
    proof = prove_clones(
        disk,
        accelerator=accelerator,
        firmware=find_firmware(),
        workdir=settings.state / "boot-logs",
        scratch=scratch,
        timeout_seconds=settings.boot_timeout,
        allow_users=allow_users,
        progress=progress,
    )
    return replace(
        report,
        findings=(*report.findings, *proof.findings),
        passed=(*report.passed, *proof.passed),
        not_observed=(*report.not_observed, *proof.not_observed),
        boot=proof.facts,
        duration_seconds=report.duration_seconds + proof.duration_seconds,
    )


def choose_accelerator(settings: Settings, progress: Progress = silent) -> Accelerator:
    """Return what runs machines here, tried with a tiny guest unless the operator has decided."""
    if settings.accelerator is not AcceleratorChoice.AUTO:
        return Accelerator(settings.accelerator.value)
    probe = explain_accelerator(settings.cache)
    if probe.accelerator is Accelerator.TCG:
        progress(Event("preparing to boot", detail=f"software emulation, a minute or two: {probe.why}"))
    return probe.accelerator


def _keep(built: BuiltImage, settings: Settings) -> Path:
    """Move a disk that failed out of the workspace, for the operator to look at."""
    kept = settings.state / "kept" / f"{built.provenance.definition['name']}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.raw"
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(built.disk.path, kept)
    return kept


def find_disk(reference: Reference, settings: Settings, *, default_channel: str | None) -> tuple[Version, Path]:
    """Return a stored version and its disk; a bare name means ``default_channel``, or the newest when that is None."""
    store = open_store(settings.store)
    version = store.find(reference, default_channel=default_channel)
    return version, store.disk_path(version)


def recall_policy(version: Version) -> "Policy":
    """Return what the definition of a stored version allowed when it was built."""
    from msgspec import ValidationError, convert

    from imagekit.definition import VerifyPolicy

    kept = version.provenance.definition
    users = kept.get("users")
    names = tuple(str(user["name"]) for user in users if isinstance(user, dict)) if isinstance(users, list) else ()
    try:
        rules = convert(kept.get("verify", {}), VerifyPolicy)
    except ValidationError as problem:
        raise DefinitionInvalid(f"the definition kept with {version.reference} cannot be read: {problem}") from None
    return _make_policy(rules, names, version.firmware, version.architecture)


def verify_stored(
    reference: Reference, settings: Settings, *, adjust: Callable[["Policy"], "Policy"] = lambda policy: policy,
    vm_config: "VmConfig | None" = None, progress: Progress = silent,
) -> Report:  # fmt: skip
    """Check a stored version's disk again, by what its own definition allowed when it was built, as ``adjust`` has it.

    A bare name means its newest version.
    """
    from imagekit.verify import verify_disk

    version, disk = find_disk(reference, settings, default_channel=None)
    report = verify_disk(disk, adjust(recall_policy(version)), vm_config=vm_config, progress=progress)
    return replace(report, target=str(version.reference))


def plan_build(name: str, project: "Project", settings: Settings) -> dict[str, object]:
    """Return what a build would take, from the current package indexes; nothing is built or stored."""
    from imagekit.build import plan_root

    definition = project.find_image(name)
    plan, room = plan_root(definition, settings.cache)
    missing = [package for package in plan.all_files if not (room.archives / package.file).is_file()]
    return {
        "image": name,
        "release": f"debian {definition.base.release}",
        "packages": len(plan.all_files),
        "to_fetch": len(missing),
        "to_fetch_bytes": sum(package.size for package in missing),
        "disk_bytes": definition.size,
        "boot_test": definition.boot_test,
    }


def make_local_clone(
    reference: Reference, name: str, settings: Settings, *, ssh_keys: tuple[str, ...], cpus: int, memory_mib: int,
    disk_bytes: int, user: str, user_data: bytes | None,
) -> "Clone":  # fmt: skip
    """Make a stopped clone of a stored version under QEMU here; a bare name means ``stable``, else the newest."""
    from imagekit.deliver.local import create_clone

    store = open_store(settings.store)
    stable = "stable" if "stable" in store.channels(reference.name) else None
    version = store.find(reference, default_channel=stable)
    require_architecture(version.architecture)
    return create_clone(
        store.disk_path(version), name, reference=str(version.reference), digest=str(version.digest),
        clones_dir=settings.clones, accelerator=choose_accelerator(settings), firmware=find_firmware(),
        ssh_keys=ssh_keys, user=user, memory_mib=memory_mib, cpus=cpus, disk_bytes=disk_bytes, user_data=user_data,
    )  # fmt: skip
