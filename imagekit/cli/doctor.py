"""``imagekit doctor``: what this machine can do, before a build finds out."""

import click

from imagekit.cli.options import json_option, make_settings
from imagekit.cli.output import print_json, print_table


@click.command()
@json_option
@click.pass_context
def doctor(ctx: click.Context, *, as_json: bool) -> None:
    """Say what this machine can do, what is missing, and how to get it.

    Exit code 9 when something is missing without which no template can be built or booted.
    """
    from imagekit.doctor import examine_machine
    from imagekit.errors import ExitCode

    abilities = examine_machine(make_settings())
    if as_json:
        print_json({"abilities": [{"subject": one.subject, "ok": one.ok, "found": one.found, "note": one.note,
                                   "required": one.required} for one in abilities]})  # fmt: skip
    else:
        marks = {True: "ok", False: "no"}
        rows = [
            (marks[one.ok] if one.ok or not one.required else "MISSING", one.subject, one.found, one.note)
            for one in abilities
        ]
        print_table(("", "WHAT", "FOUND", "NOTE"), rows)
    if not all(one.ok for one in abilities if one.required):
        ctx.exit(ExitCode.MISSING)
