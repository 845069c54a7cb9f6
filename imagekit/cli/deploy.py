"""``imagekit deploy``: a new system for a machine that runs, which goes back by itself when it does not answer."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imagekit.cli.options import find_project, json_option, make_settings, read_place
from imagekit.cli.output import escape_control, print_json
from imagekit.progress import Event, Progress

if TYPE_CHECKING:
    from imagekit.deliver.deploy.deployment import Plan
    from imagekit.pipeline.deploy import Outcome
    from imagekit.pipeline.options import BuildOptions

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("name")
@click.argument("host")
@click.option("--builder", metavar="BUILDER", help="Where Nix builds: local, remote, vagrant, or ssh://USER@HOST.")
@click.option("--timeout", "seconds", default=300, show_default=True, type=click.IntRange(5, 3600),
              help="Seconds until the machine must answer after the switch.")  # fmt: skip
@click.option("--query", "queries", multiple=True, metavar="NAME",
              help="A name that DNS must resolve afterwards (repeatable; default: example.com).")  # fmt: skip
@click.option("--own-name", default="pi.hole", show_default=True, help="A name that the machine knows itself.")
@click.option("--blocked", default="", metavar="NAME", help="A name that DNS must block afterwards.")
@click.option("--no-health-check", is_flag=True, help="Keep the system when it can still be entered.")
@click.option("--identity", type=_FILE, help="The private key to enter with.")
@click.option("--ssh-config", type=_FILE, help="Read this instead of ~/.ssh/config.")
@click.option("--dns-port", default=53, show_default=True, type=click.IntRange(1, 65535),
              help="The port that DNS is asked at.")  # fmt: skip
@click.option("--target-root", default="/", hidden=True)  # for tests: where its /run and /nix are
@click.option("--dry-run", is_flag=True, help="Build, say what would change and be sent, and stop.")
@click.option("--yes", is_flag=True, help="Do not ask before the machine is changed.")
@json_option
@click.pass_context
def deploy(
    ctx: click.Context, *, name: str, host: str, builder: str | None, seconds: int, queries: tuple[str, ...],
    own_name: str, blocked: str, no_health_check: bool, identity: Path | None, ssh_config: Path | None, dns_port: int,
    target_root: str, dry_run: bool, yes: bool, as_json: bool,
) -> None:  # fmt: skip
    """Bring the system of image NAME to the running machine HOST (ssh://admin@192.168.0.53), and see that it answers.

    Only what is missing there is sent. The new system is tried first: a watchdog on the machine goes back to the old
    one unless it is told otherwise in time, whatever happens to this command or the connection. When DNS answers by
    UDP and TCP and no unit failed, the new system becomes the one that is started.

    \b
      imagekit deploy pihole ssh://admin@192.168.0.53 --dry-run
      imagekit deploy pihole ssh://admin@192.168.0.53
    """
    from imagekit.cli.bar import show_progress
    from imagekit.deliver.deploy.health import HealthPolicy
    from imagekit.deliver.deploy.target import TargetPaths
    from imagekit.host.ssh_target import SshTarget
    from imagekit.pipeline.deploy import DeployOptions, deploy_image, describe_outcome, make_timing

    machine = SshTarget.parse(host if "://" in host else f"ssh://{host}", identity=identity)
    policy = HealthPolicy(own_name, queries or ("example.com",), blocked, dns_port, float(seconds))
    options = DeployOptions(
        _read_place(ctx, builder), None if no_health_check else policy, make_timing(seconds),
        TargetPaths.below(target_root), ssh_config,
    )  # fmt: skip
    settings, project = make_settings(), find_project()

    screen = contextlib.ExitStack()  # the bar, which must be gone while somebody is asked
    draw: list[Progress] = []

    def progress(event: Event) -> None:
        if not draw:
            draw.append(screen.enter_context(show_progress()))
        draw[0](event)

    def agree(machine_name: str, plan: "Plan") -> bool:
        screen.close()
        draw.clear()
        _print_plan(machine_name, plan)
        if dry_run:
            return False
        return yes or click.confirm(f"Switch {machine_name} to the new system?", abort=True, err=True)

    with screen:
        outcome = deploy_image(name, machine, project, settings, options, agree=agree, progress=progress)
    if as_json:
        print_json(describe_outcome(outcome))
    else:
        _print_outcome(outcome)


def _read_place(ctx: click.Context, text: str | None) -> "BuildOptions":
    """Return the options of a build where ``--builder`` says."""
    from imagekit.pipeline.options import BuildOptions

    if text is None:
        return BuildOptions()
    if (found := read_place(text)) is None:
        raise click.UsageError(f"{text!r} is no builder: there are local, remote, vagrant and ssh://USER@HOST", ctx)
    return BuildOptions(place=found[0], host=found[1])


def _print_plan(machine: str, plan: "Plan") -> None:
    """Say on standard error what is about to happen."""
    from imagekit.pipeline.deploy import list_changes

    click.echo(f"{machine} runs {escape_control(plan.running.path)}", err=True)
    changes = list_changes(plan)
    for change in changes:
        versions = f"{', '.join(change.before) or 'none'} → {', '.join(change.after) or 'none'}"
        click.echo(f"  {escape_control(f'{change.name}: {versions}')}", err=True)
    if not changes:
        click.echo("  no package has another version", err=True)
    click.echo(f"to send: {plan.shipment}", err=True)


def _print_outcome(outcome: "Outcome") -> None:
    if outcome.plan.nothing_to_do:
        click.echo(f"note: {outcome.machine} runs this system already", err=True)
    elif outcome.done is not None:
        click.echo(f"{outcome.machine} answers; its generation {outcome.done.generation} is the new system", err=True)
    click.echo(escape_control(outcome.path))
