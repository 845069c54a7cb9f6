"""``imagekit build``: the whole way from a definition to a stored, proven version."""

from collections.abc import Mapping
from typing import Any

import click

from imagekit.cli.bar import show_progress
from imagekit.cli.options import find_project, json_option, make_settings, read_place, store_option
from imagekit.cli.output import escape_control, print_json
from imagekit.cli.timings import Timings, describe_timings, render_timings


@click.command()
@click.argument("name")
@click.option("--builder", metavar="BUILDER",
              help="local or packer; for an SD image where Nix builds: local, remote, vagrant, or ssh://USER@HOST "
              "(default: as defined, and the nearest that can).")  # fmt: skip
@click.option("--source", type=click.Choice(["qemu", "proxmox-iso", "proxmox-clone"]),
              help="What Packer builds it with; implies --builder packer.")  # fmt: skip
@click.option("--boot-test/--no-boot-test", default=True, help="Boot two clones before storing (default: as defined).")
@click.option("--promote", "promote_to", metavar="CHANNEL", help="Move this channel to the result.")
@click.option("--keep", is_flag=True, help="Keep what failed for a look: the disk, or Packer's machine.")
@click.option("--keep-up", is_flag=True, help="Leave the Vagrant VM running after the build.")
@click.option("--verify-rebuild", is_flag=True, help="Have Nix build twice, and say what differs.")
@click.option("--dry-run", is_flag=True, help="Say what would be built and how, check it, and stop.")
@click.option("--timings", "show_timings", is_flag=True, help="Say afterwards how long each step took.")
@store_option
@json_option
@click.pass_context
def build(
    ctx: click.Context, *, name: str, builder: str | None, source: str | None, boot_test: bool, promote_to: str | None,
    keep: bool, keep_up: bool, verify_rebuild: bool, dry_run: bool, show_timings: bool, store: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Build image NAME, verify it offline, prove it by booting two clones, and store it as a version.

    An SD image (`imagekit build pihole`) is built by Nix, on this machine, another one or in a Vagrant VM; it is
    verified offline, and not booted.

    Prints the version's reference. Content that is stored already gives the version that has it. A failed check stops
    with exit code 5 and a table of findings; nothing is stored then.
    """
    from imagekit.definition import Builder, PackerSource
    from imagekit.pipeline import BuildOptions, ImageUnfit, build_image, choose_definition, plan_build
    from imagekit.store import summarize_version
    from imagekit.verify.formats.document import render_json
    from imagekit.verify.formats.text import render_text

    if source is not None and builder == "local":
        raise click.UsageError("--source is Packer's", ctx)
    settings, project = make_settings(store=store), find_project()
    options = BuildOptions(
        boot_test=boot_test, keep=keep, promote_to=promote_to,
        source=None if source is None else PackerSource(source), keep_up=keep_up, rebuild=verify_rebuild,
        **_read_builder(ctx, builder),
    )  # fmt: skip
    if dry_run:
        with show_progress() as progress:
            plan = plan_build(name, project, settings, options, progress)
        if as_json:
            print_json(plan)
        else:
            _print_plan(plan)
        return
    if choose_definition(name, project, options).builder is Builder.PACKER:
        from imagekit.cli.leftovers import offer_leftovers

        offer_leftovers(name, project, settings, options)
    timings = Timings()
    try:
        with show_progress() as progress:
            stored = build_image(name, project, settings, options, timings.wrap(progress))
    except ImageUnfit as problem:
        if as_json:
            print_json({"report": render_json(problem.report)})
        else:
            click.echo(render_text(problem.report).rstrip("\n"), err=True)
        raise
    finally:
        steps = timings.end()
        if show_timings:
            click.echo(render_timings(steps), err=True)
    version = stored.version
    if not version.provenance.reproducible:
        click.echo(f"note: this build cannot be repeated bit for bit: {version.provenance.reproducible_note}", err=True)
    if stored.proof_attached:
        click.echo("note: the same content is stored already; it has its boot proof now", err=True)
    elif not stored.added:
        click.echo("note: the same content is stored already; nothing was added", err=True)
    if as_json:
        timed = {"timings": describe_timings(steps)} if show_timings else {}
        proven = version.report.boot is not None
        print_json({**summarize_version(version), "added": stored.added, "proven": proven, **timed})
    else:
        click.echo(str(version.reference))


def _read_builder(ctx: click.Context, text: str | None) -> dict[str, Any]:
    """Return the options that ``--builder`` stands for: what builds a template, or where Nix builds an SD image."""
    from imagekit.definition import Builder

    if text is None:
        return {}
    if text == "packer":
        return {"builder": Builder.PACKER}
    if (found := read_place(text)) is None:
        raise click.UsageError(
            f"{text!r} is no builder: there are local, packer, remote, vagrant and ssh://USER@HOST", ctx
        )
    local = {"builder": Builder.LOCAL} if text == "local" else {}
    return {"place": found[0], "host": found[1], **local}


def _print_plan(plan: Mapping[str, object]) -> None:
    for key, value in plan.items():
        if isinstance(value, list):
            click.echo(f"{key}: {len(value) or 'none'}")
            for line in value:
                click.echo(f"  {escape_control(str(line))}")
        elif isinstance(value, dict):
            click.echo(f"{key}: {escape_control(', '.join(f'{name} {is_}' for name, is_ in value.items()) or 'none')}")
        else:
            click.echo(f"{key}: {escape_control(str(value))}")
