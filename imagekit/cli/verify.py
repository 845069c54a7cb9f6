"""``imagekit verify``: the checks on a disk, a directory, a stored version, a running machine, a VM's configuration."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imagekit.cli.options import find_project, json_option, make_settings, store_option
from imagekit.cli.output import print_json, print_table

if TYPE_CHECKING:
    from imagekit.progress import Progress
    from imagekit.report import Report
    from imagekit.verify import Policy, VmConfig

_PROFILES = ("template", "clone", "sd-image", "container")


@click.command()
@click.argument("target", required=False)
@click.option("--profile", type=click.Choice(_PROFILES),
              help="What to judge TARGET as; by default what its definition says, and over SSH a clone.")  # fmt: skip
@click.option("--image", metavar="NAME", help="Judge a file or directory by what [images.NAME.verify] says.")
@click.option("--strict", is_flag=True, help="Fail on warnings too, and on what could not be looked at.")
@click.option("--deep", is_flag=True, help="Search deleted files and slack for secrets too; takes seconds.")
@click.option("--boot", is_flag=True, help="Boot two clones too, and compare what they show.")
@click.option("--vm-config", "vm_configs", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
              help="A saved configuration of the VM with this disk; repeat it to compare VMs.")  # fmt: skip
@click.option("--format", "style", type=click.Choice(["text", "json", "junit", "markdown"]), default="text",
              show_default=True, help="How the report is written.")  # fmt: skip
@json_option
@click.option("--print-fix", is_flag=True, help="Write a shell script that would mend what was found.")
@click.option("--list-checks", is_flag=True, help="List every check instead.")
@click.option("--explain", "check_id", metavar="CHECK", help="Say why a check exists and how to mend what it finds.")
@click.option("--against", metavar="ssh://…", help="A second machine that TARGET must not be a twin of.")
@click.option("-i", "--identity", type=click.Path(path_type=Path), metavar="FILE", help="The SSH key to enter with.")
@click.option("--host-key", default="", metavar="SHA256:…", help="The only SSH host key to accept.")
@click.option("--accept-new", is_flag=True, help="Record the SSH host key of a host that is not known yet.")
@store_option
@click.pass_context
def verify(
    ctx: click.Context, *, target: str | None, profile: str | None, image: str | None, strict: bool, deep: bool,
    boot: bool, vm_configs: tuple[Path, ...], style: str, as_json: bool, print_fix: bool, list_checks: bool,
    check_id: str | None, against: str | None, identity: Path | None, host_key: str, accept_new: bool,
    store: str | None,
) -> None:  # fmt: skip
    """Find what makes TARGET unfit to be cloned; nothing is mounted or changed.

    TARGET is a disk image (raw, qcow2, vmdk, vhdx, or a raw one in zst, xz, gz), a directory, a reference such as
    template@stable, ssh://user@host for a machine that runs, or vm:FILE for a saved configuration of a Proxmox VM.
    Exit code 5 when a check fails.

    \b
      imagekit verify template@candidate --strict
      imagekit verify debian.qcow2 --print-fix
      imagekit verify ssh://debian@192.0.2.7
      imagekit verify vm:9000.json
    """
    from imagekit import verify as room
    from imagekit.cli.bar import show_progress
    from imagekit.errors import ExitCode

    style = "json" if as_json else style
    if check_id is not None:
        click.echo(room.explain(check_id))
        return
    if list_checks:
        _list_checks(profile, style)
        return
    if target is None:
        raise click.UsageError("say what to verify: a disk file, a directory, a reference, ssh://… or vm:FILE", ctx)
    adjust = _make_adjustment(profile, deep=deep)
    with show_progress() as progress:
        wanted = _Wanted(target, image, adjust, store, _read_vm_configs(vm_configs), progress)
        if target.startswith("ssh://"):
            login = {"identity": identity, "host_key": host_key, "accept_new": accept_new}
            report = _verify_ssh(wanted, profile, against, login)
        elif target.startswith("vm:"):
            report = _verify_vm(wanted)
        else:
            report = _verify_image(wanted, boot=boot)
    if boot and report.boot is None and not report.failed:
        raise click.UsageError("--boot needs a raw disk file or a stored version", ctx)
    _print_report(report, "fixes" if print_fix else style)
    if report.failed or (strict and report.failed_strictly):
        ctx.exit(ExitCode.VERIFICATION)


class _Wanted:
    """What the operator asked for, as every kind of target needs it."""

    def __init__(
        self, target: str, image: str | None, adjust: Callable[["Policy"], "Policy"], store: str | None,
        vm_config: "VmConfig | None", progress: "Progress",
    ) -> None:  # fmt: skip
        self.target = target
        self.adjust = adjust
        self.store = store
        self.vm_config = vm_config
        self.progress = progress
        self._image = image

    def make_policy(self) -> "Policy":
        """Return the policy of the image that was named, or the one without exceptions."""
        from imagekit.verify import Policy

        if self._image is None:
            return self.adjust(Policy())
        from imagekit.pipeline import make_policy  # here: it takes as long to load as a quick run takes

        return self.adjust(make_policy(find_project().find_image(self._image)))


def _make_adjustment(profile: str | None, *, deep: bool) -> Callable[["Policy"], "Policy"]:
    from imagekit.verify import parse_profile

    chosen = None if profile is None else parse_profile(profile)
    return lambda policy: replace(policy, profile=chosen or policy.profile, deep=deep)


def _read_vm_configs(paths: tuple[Path, ...]) -> "VmConfig | None":
    from imagekit.verify import read_vm_config

    if not paths:
        return None
    first, *others = (read_vm_config(path) for path in paths)
    return replace(first, others=tuple(others))


def _verify_image(wanted: _Wanted, *, boot: bool) -> "Report":
    """Verify a path when TARGET has a slash or exists here, a stored version otherwise."""
    from imagekit import verify as room

    path = Path(wanted.target)
    if "/" not in wanted.target and not path.exists():
        return _verify_version(wanted, boot=boot)
    policy = wanted.make_policy()
    if path.is_dir():
        return room.verify_directory(path, policy, progress=wanted.progress)
    report = room.verify_disk(path, policy, vm_config=wanted.vm_config, progress=wanted.progress)
    return _prove(path, report, policy.allow_users, wanted) if boot and not report.failed else report


def _verify_version(wanted: _Wanted, *, boot: bool) -> "Report":
    from imagekit import pipeline
    from imagekit.image import Reference

    reference, settings = Reference.parse(wanted.target), make_settings(store=wanted.store)
    report = pipeline.verify_stored(
        reference, settings, adjust=wanted.adjust, vm_config=wanted.vm_config, progress=wanted.progress
    )
    if not boot or report.failed:
        return report
    version, disk = pipeline.find_disk(reference, settings, default_channel=None)
    return _prove(disk, report, pipeline.recall_policy(version).allow_users, wanted)


def _prove(disk: Path, report: "Report", users: tuple[str, ...], wanted: _Wanted) -> "Report":
    from imagekit.pipeline import prove_disk

    settings = make_settings(store=wanted.store)
    return prove_disk(disk, report, settings, allow_users=users, progress=wanted.progress)


def _verify_ssh(wanted: _Wanted, profile: str | None, against: str | None, login: dict[str, Any]) -> "Report":
    from imagekit import verify as room
    from imagekit.host.ssh_target import SshTarget
    from imagekit.verify.ssh.run import verify_ssh

    address = SshTarget.parse(wanted.target, **login)
    # a fingerprint is one machine's; how to enter is the same for both
    other = None if against is None else SshTarget.parse(against, **{**login, "host_key": ""})
    policy = wanted.make_policy()
    if profile is None:  # a machine that runs has an identity, and is none to be cloned
        policy = replace(policy, profile=room.Profile.CLONE)
    return verify_ssh(address, policy, against=other, progress=wanted.progress)


def _verify_vm(wanted: _Wanted) -> "Report":
    from imagekit import verify as room
    from imagekit.errors import DefinitionInvalid

    name = wanted.target.removeprefix("vm:")
    if name.isdecimal():
        raise DefinitionInvalid(
            f"vm:{name} would have to be asked from a cluster, and none is configured",
            hint=f"pvesh get /nodes/NODE/qemu/{name}/config --output-format json > {name}.json, then vm:{name}.json",
        )
    config = room.read_vm_config(Path(name))
    if wanted.vm_config is not None:
        config = replace(config, others=(wanted.vm_config, *wanted.vm_config.others))
    return room.verify_vm_config(config, wanted.make_policy(), progress=wanted.progress)


def _list_checks(profile: str | None, style: str) -> None:
    from imagekit import verify as room

    checks = room.list_checks(profile)
    match style:
        case "json":
            print_json({"checks": [room.describe_check(check) for check in checks]})
        case "markdown":
            from imagekit.verify.formats.markdown import render_checks

            click.echo(render_checks(checks), nl=False)
        case "junit":
            raise click.UsageError("a list of checks is no JUnit document; use text, json or markdown")
        case _:
            print_table(("CHECK", "SEVERITY", "WHY"), [(one.id, str(one.severity), one.why) for one in checks])


def _print_report(report: "Report", style: str) -> None:
    match style:
        case "json":
            from imagekit.verify.formats.document import render_json

            print_json(render_json(report))
            return
        case "junit":
            from imagekit.verify.formats.junit import render_junit as render
        case "markdown":
            from imagekit.verify.formats.markdown import render_markdown as render
        case "fixes":
            from imagekit.verify.formats.fixes import render_fixes as render
        case _:
            from imagekit.verify.formats.text import render_text as render
    click.echo(render(report), nl=False)
