"""From a definition to a stored version: build → verify → prove by booting → store."""

# Each verb imports its room when it is used: a build needs no clones, a plan no checks.

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from imagekit.errors import DefinitionInvalid, VerificationFailed
from imagekit.host import find_tool
from imagekit.image import BuiltImage, BuiltTemplate
from imagekit.machine.accelerator import require_architecture
from imagekit.machine.firmware import find_firmware
from imagekit.pipeline.options import BuildOptions, choose_definition
from imagekit.pipeline.verify import make_policy, prove_disk, verify_built
from imagekit.progress import Event, Progress, silent
from imagekit.report import Profile, Report, Severity, VerifiedImage, VerifiedTemplate
from imagekit.settings import Settings
from imagekit.store import Store, Stored, open_store

if TYPE_CHECKING:
    from imagekit.definition import ImageDefinition, Project
    from imagekit.pipeline.nix import NixBuilder
    from imagekit.pipeline.packer import PackerBuilder


class ImageUnfit(VerificationFailed):
    """Verification found what must not be cloned; ``report`` says what, ``kept`` where the disk was put aside."""

    def __init__(self, report: Report, kept: Path | None, where: str = "") -> None:
        failures = sum(finding.severity is Severity.FAIL for finding in report.findings)
        use = "flashed" if report.profile == Profile.SD_IMAGE else "cloned"
        where = where or (f"the disk is kept as {kept}" if kept else "add --keep to keep it for a look")
        counted = "1 check" if failures == 1 else f"{failures} checks"
        unseen = f", {len(report.not_observed)} could not be made" if report.not_observed else ""
        super().__init__(f"{report.target} is not fit to be {use}: {counted} failed{unseen}", hint=where)
        self.report = report
        self.kept = kept


def build_image(
    name: str, project: "Project", settings: Settings, options: BuildOptions, progress: Progress = silent
) -> Stored:
    """Build image ``name``, prove it and store it; content that is stored already gives the version that has it.

    A stored version of these very bytes that was booted is not booted again; one that was not gains this run's proof.
    An image that is built on the cluster stays there as a template; its configuration is checked, and its place
    recorded as the version. Raises :class:`ImageUnfit` with the report when a check fails; nothing is stored then.
    """
    from imagekit.build import open_workspace
    from imagekit.definition import Builder
    from imagekit.verify.catalogue import require_known

    definition = choose_definition(name, project, options)
    _require_channel(definition, options.promote_to)
    require_known(make_policy(definition))  # a check that there is not shall not be found after the build
    builder = _open_builder(definition, project, settings, options, progress)
    boot_test = options.boot_test and definition.boot_test and not builder.on_cluster
    if boot_test:  # a missing emulator shall not be found after the build
        for tool in ("qemu-system-x86_64", "qemu-img"):
            find_tool(tool)
        find_firmware()
        require_architecture(definition.architecture)
    store = open_store(settings.store)
    with store.lock_build(name), open_workspace(settings.cache, name) as workspace:
        built = builder.build(workspace)
        if not isinstance(built, BuiltImage):
            from imagekit.pipeline.packer import PackerBuilder

            assert isinstance(builder, PackerBuilder)  # nobody else leaves a template on the cluster
            return _record(builder, *built, store, options)
        report = verify_built(definition, built, progress)
        if boot_test and not report.failed and not is_proven(store, built, name):
            report = prove_disk(
                built.disk.path, report, settings, allow_users=make_policy(definition).allow_users,
                scratch=built.disk.path.parent, progress=progress,
            )  # fmt: skip
        # What could not be seen on our own disk has not passed; on one that a flake made, the report says so.
        unseen = report.not_observed and definition.builder is not Builder.NIX
        if report.failed or unseen:
            raise ImageUnfit(report, _keep(built, settings) if options.keep else None)
        progress(Event("storing the version"))
        verified = VerifiedImage(built, report)
        return store.add(verified, promote_to=options.promote_to, move=True, progress=progress)


@dataclass(frozen=True, slots=True)
class LocalBuilder:
    """The local builder for one image."""

    definition: "ImageDefinition"
    project: Path | None
    settings: Settings
    progress: Progress
    on_cluster = False

    def build(self, workspace: Path) -> BuiltImage:
        """Build the image as ``workspace/disk.raw``."""
        from imagekit.build import build_local

        return build_local(
            self.definition, workspace, self.settings.cache, mke2fs=str(self.settings.mke2fs or "mke2fs"),
            project=self.project, progress=self.progress,
        )  # fmt: skip


def _open_builder(
    definition: "ImageDefinition", project: "Project", settings: Settings, options: BuildOptions, progress: Progress
) -> "LocalBuilder | PackerBuilder | NixBuilder":
    from imagekit.definition import Builder

    if definition.builder is Builder.NIX:
        from imagekit.pipeline.nix import NixBuilder

        return NixBuilder(definition, project.path, settings, options, progress)
    if definition.builder is Builder.LOCAL:
        return LocalBuilder(definition, project.path, settings, progress)
    from imagekit.pipeline.leftovers import remove_dead_builds
    from imagekit.pipeline.packer import open_packer

    builder = open_packer(definition, project, settings, keep=options.keep, progress=progress, source=options.source)
    remove_dead_builds(settings, progress)
    return builder


def _record(
    builder: "PackerBuilder", built: BuiltTemplate, report: Report, store: Store, options: BuildOptions
) -> Stored:
    """Record a template that a build left on the cluster; one that is unfit is removed there, unless it is kept."""
    if report.failed:
        if not options.keep:
            builder.discard(built)
        where = f"it is kept as {built.place}" if options.keep else ""
        raise ImageUnfit(report, None, where)
    builder.release(built)
    return store.record(VerifiedTemplate(built, report), promote_to=options.promote_to)


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


def _keep(built: BuiltImage, settings: Settings) -> Path:
    """Move a disk that failed out of the workspace, for the operator to look at."""
    kept = settings.state / "kept" / f"{built.provenance.definition['name']}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.raw"
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(built.disk.path, kept)
    return kept
