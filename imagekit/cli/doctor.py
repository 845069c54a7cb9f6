"""``imagekit doctor``: what this machine can do, before a build finds out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from imagekit.cli.options import find_project, json_option, make_settings
from imagekit.cli.output import escape_control, print_json, print_table

if TYPE_CHECKING:
    from imagekit.host.ability import Ability

_BESIDE = 100  # characters


@click.command()
@click.option(
    "--cluster", is_flag=True, help="Look at the Proxmox cluster instead: rights, storages, ids, certificate."
)
@json_option
@click.pass_context
def doctor(ctx: click.Context, *, cluster: bool, as_json: bool) -> None:
    """Say what this machine can do, what is missing, and how to get it.

    Exit code 9 when something is missing without which no template can be built or booted here, which on macOS is
    left to other machines. With --cluster: 8 when the
    Packer build of the default image could not go well there, 3 when no cluster is configured.
    """
    from imagekit.doctor import examine_configured_cluster, examine_machine
    from imagekit.errors import ExitCode
    from imagekit.pipeline.builders import examine_builders

    if cluster:
        abilities = examine_configured_cluster(find_project())
    else:
        settings = make_settings()
        abilities = (*examine_machine(settings), *examine_builders(settings))
    if as_json:
        print_json({"abilities": [{"subject": one.subject, "ok": one.ok, "found": one.found, "note": one.note,
                                   "required": one.required} for one in abilities]})  # fmt: skip
    else:
        _print(abilities, beside=0 if cluster else _BESIDE)
    if not all(one.ok for one in abilities if one.required):
        ctx.exit(ExitCode.HOST if cluster else ExitCode.MISSING)


def _print(abilities: Sequence["Ability"], *, beside: int) -> None:
    """Print the rows, with notes of up to ``beside`` characters in them, and longer ones (commands, lines) below."""
    rows, below = [], []
    for one in abilities:
        mark = "ok" if one.ok else "MISSING" if one.required else "no"
        fits = len(one.note) <= beside and "\n" not in one.note
        rows.append((mark, one.subject, one.found, *((one.note if fits else "see below",) if beside else ())))
        if one.note and not fits:
            below.append(one)
    print_table(("", "WHAT", "FOUND", *(("NOTE",) if beside else ())), rows)
    for one in below:
        click.echo(f"\n{escape_control(one.subject)}:")
        for line in one.note.splitlines():
            click.echo(f"  {escape_control(line)}")
