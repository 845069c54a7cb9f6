"""What verification is asked for: of a disk just built, of a stored version, of two clones of either."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from imagekit.errors import DefinitionInvalid
from imagekit.image import Architecture, BuiltImage, Firmware, Reference
from imagekit.machine.accelerator import Accelerator, explain_accelerator
from imagekit.machine.firmware import find_firmware
from imagekit.progress import Event, Progress, silent
from imagekit.report import Report
from imagekit.settings import AcceleratorChoice, Settings
from imagekit.store import Version, open_store

_DEFAULT_USERS = ("debian", "ubuntu", "alpine")
_OWN_SERVICES = ("docker-pihole.service", "docker-unbound.service")  # nix/pihole

if TYPE_CHECKING:
    from imagekit.definition import ImageDefinition, VerifyPolicy
    from imagekit.verify import Policy, VmConfig


def make_policy(definition: "ImageDefinition") -> "Policy":
    """Return what verification lets pass and forbids in an image of this definition."""
    users = tuple(user.name for user in definition.users)
    if definition.site is None:
        return _make_policy(definition.verify, users, definition.firmware, definition.architecture)
    policy = _make_policy(
        definition.verify, (*users, definition.site.admin), definition.firmware, definition.architecture
    )
    # Our own flake's services are known; what another one starts is its own matter.
    return replace(policy, site=definition.site, services=_OWN_SERVICES if definition.nix.flake is None else ())


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
        user=read_default_user(disk),
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


def read_default_user(disk: Path) -> str:
    """Return the account that cloud-init makes on clones of ``disk``: the distribution's, by its name in os-release.

    Source: cloud-init's ``default_user`` in the configuration that each of these distributions ships.
    """
    from imagekit.disk.system import open_system

    with open_system(disk) as tree:
        told = (tree.read("/etc/os-release") or b"").decode(errors="replace").splitlines()
    named = [line.partition("=")[2].strip("\"'") for line in told if line.startswith("ID=")]
    return named[0] if named and named[0] in _DEFAULT_USERS else _DEFAULT_USERS[0]


def choose_accelerator(settings: Settings, progress: Progress = silent) -> Accelerator:
    """Return what runs machines here, tried with a tiny guest unless the operator has decided."""
    if settings.accelerator is not AcceleratorChoice.AUTO:
        return Accelerator(settings.accelerator.value)
    probe = explain_accelerator(settings.cache)
    if probe.accelerator is Accelerator.TCG:
        progress(Event("preparing to boot", detail=f"software emulation, a minute or two: {probe.why}"))
    return probe.accelerator


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
