"""A new system for a machine that runs: built as an image's system is, sent, tried, and kept when it answers."""

import base64
import binascii
import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from imagekit.build import open_workspace
from imagekit.build.nix.closure import list_packages
from imagekit.build.nix.session import build_system
from imagekit.deliver.deploy.deployment import Deployed, Deployment, Plan, deploy, plan_deployment
from imagekit.deliver.deploy.health import HealthPolicy, find_address
from imagekit.deliver.deploy.push import Road, Source, can_enter
from imagekit.deliver.deploy.switch import Timing
from imagekit.deliver.deploy.target import Target, TargetPaths, has_address
from imagekit.errors import DefinitionInvalid, ImagekitError
from imagekit.host.here import ThisMachine
from imagekit.host.openssh import OpenSshHost
from imagekit.host.openssh_login import SshLogin
from imagekit.host.ssh_target import SshTarget
from imagekit.image import ClosurePath
from imagekit.pipeline.nix import NixBuilder
from imagekit.pipeline.options import BuildOptions
from imagekit.progress import Progress, silent
from imagekit.settings import Settings
from imagekit.store.difference import Contents, PackageChange, compare_contents

if TYPE_CHECKING:
    from imagekit.definition import ImageDefinition, Project
    from imagekit.host.host import Host

_HOST_KEY = "/etc/ssh/ssh_host_ed25519_key.pub"


@dataclass(frozen=True, slots=True)
class DeployOptions:
    """What one deployment asks for; ``health`` is ``None`` when only the connection has to stand the switch.

    ``ssh_config`` is read instead of the user's own; ``paths`` says where the target has things.
    """

    build: BuildOptions = field(default_factory=BuildOptions)
    health: HealthPolicy | None = field(default_factory=HealthPolicy)
    timing: Timing = field(default_factory=Timing)
    paths: TargetPaths = field(default_factory=TargetPaths)
    ssh_config: Path | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was planned, and how it ended; ``done`` is ``None`` when nothing was to be changed."""

    machine: str
    path: str
    plan: Plan
    done: Deployed | None


def deploy_image(
    name: str, machine: SshTarget, project: "Project", settings: Settings, options: DeployOptions, *,
    agree: Callable[[str, Plan], bool], progress: Progress = silent,
) -> Outcome:  # fmt: skip
    """Build the system of image ``name`` and bring it to ``machine``.

    ``agree`` hears the machine's name and the plan before anything is sent, and says whether to go on. Raises
    :class:`DefinitionInvalid` for an image that is no SD image, what a build raises, and what
    :func:`~imagekit.deliver.deploy.deployment.deploy` raises.
    """
    from imagekit.definition import Kind

    definition = project.find_image(name)
    if definition.kind is not Kind.SD_IMAGE:
        raise DefinitionInvalid(
            f"image {name} is a template, and no machine of it is changed from here",
            hint="imagekit clone makes a machine of it; deploy is for NixOS images",
        )
    with _open_target(machine, options) as (target, login):
        # Before minutes are spent on a build.
        address, next_address = _find_addresses(definition, machine, target, options)
        builder = NixBuilder(definition, project.path, settings, options.build, progress)
        with open_workspace(settings.cache, name) as workspace, builder.open(workspace) as session:
            path, _closure = build_system(session)
            source = Source(session.host, session.nix.environment)
            deployment = Deployment(
                path, source, target, address, next_address, _find_road(source, machine, login), options.health,
                options.timing,
            )  # fmt: skip
            plan = plan_deployment(deployment, progress)
            if plan.nothing_to_do or not agree(target.name, plan):
                return Outcome(target.name, path, plan, None)
            return Outcome(target.name, path, plan, deploy(deployment, plan, progress))


@contextlib.contextmanager
def _open_target(machine: SshTarget, options: DeployOptions) -> Iterator[tuple[Target, SshLogin]]:
    """Yield the machine, and the login that nix(1) uses too; every connection that was opened is closed."""
    opened: list[OpenSshHost] = []
    key = ""

    def connect(address: str) -> "Host":
        # The same machine elsewhere has the same key: nobody else is let in under the new address.
        at = replace(machine, host=address, host_key=machine.host_key or key) if address else machine
        host = OpenSshHost(SshLogin(at, config=options.ssh_config))
        opened.append(host)
        return host

    with contextlib.ExitStack() as stack:
        stack.callback(_close_all, opened)
        target = Target(connect, options.paths)
        first = target.host
        assert isinstance(first, OpenSshHost)
        key = _read_fingerprint(first)
        yield target, first.login


def _close_all(opened: list[OpenSshHost]) -> None:
    for host in opened:
        host.close()


def _read_fingerprint(host: OpenSshHost) -> str:
    """Return the fingerprint of the machine's own key, empty when it cannot be had."""
    try:
        return format_fingerprint(host.read_file(_HOST_KEY, limit=1000))
    except ImagekitError:
        return ""


def format_fingerprint(line: bytes) -> str:
    """Return a public key's fingerprint as ssh-keygen(1) shows it, ``SHA256:…``; empty when it is no such line."""
    try:
        digest = hashlib.sha256(base64.b64decode(line.split()[1], validate=True)).digest()
    except (IndexError, binascii.Error):
        return ""
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def _find_addresses(
    definition: "ImageDefinition", machine: SshTarget, target: Target, options: DeployOptions
) -> tuple[str, str]:
    """Return where DNS answers now, and where it has to answer afterwards."""
    wanted = str(definition.site.address.ip) if definition.site is not None else ""
    if wanted and (machine.host == wanted or has_address(target, wanted)):
        return wanted, wanted
    target.run(["true"])
    now = find_address(machine.host) if options.health is not None else machine.host
    return now, wanted or now


def _find_road(source: Source, machine: SshTarget, login: SshLogin) -> Road | None:
    """Return how the source's own Nix enters the machine; ``None`` when it cannot.

    Nix splits its options at blanks, and its URLs have no place for an IPv6 address.
    """
    if ":" in machine.host:
        return None
    if isinstance(source.host, ThisMachine):
        options = login.arguments
        fits = not any(" " in word for word in options)
        return Road(f"ssh-ng://{login.destination}", options) if fits else None
    user = f"{machine.user}@" if machine.user else ""
    words = ("-p", str(machine.port)) if machine.port else ()
    if can_enter(source, (*words, f"{user}{machine.host}")):
        return Road(f"ssh-ng://{user}{machine.host}", words)
    return None


def make_timing(health_seconds: float) -> Timing:
    """Return how long the machine's watchdog waits for our word: the checks, and a minute to say it."""
    return Timing(patience=int(health_seconds) + 60)


def list_changes(plan: Plan) -> tuple[PackageChange, ...]:
    """Return the packages that have other versions in the new system than in the one that runs."""
    before, after = (
        Contents("", 0, list_packages(ClosurePath(path, 0) for path in paths)) for paths in (plan.before, plan.after)
    )
    return compare_contents(before, after).packages


def describe_outcome(outcome: Outcome) -> dict[str, object]:
    """Return an outcome as JSON has it."""
    plan = outcome.plan
    return {
        "machine": outcome.machine,
        "before": plan.running.path,
        "after": outcome.path,
        "deployed": outcome.done is not None,
        "unchanged": plan.nothing_to_do,
        "generation": outcome.done.generation if outcome.done else plan.running.generation,
        "paths": len(plan.shipment.sizes),
        "bytes": plan.shipment.bytes,
        "packages": [
            {"name": each.name, "before": list(each.before), "after": list(each.after)} for each in list_changes(plan)
        ],
    }
