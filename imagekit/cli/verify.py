"""``imagekit verify``: the checks on a disk file, a directory, or a stored version."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from imagekit.cli.options import json_option, make_settings, store_option
from imagekit.cli.output import print_json, print_table

if TYPE_CHECKING:
    from imagekit.report import Report


@click.command()
@click.argument("target", required=False)
@click.option("--format", "style", type=click.Choice(["text", "json", "junit"]), default="text", show_default=True,
              help="How the report is written.")  # fmt: skip
@json_option
@click.option("--list-checks", is_flag=True, help="List every check instead.")
@click.option("--explain", "check_id", metavar="CHECK", help="Say why a check exists and how to mend what it finds.")
@store_option
@click.pass_context
def verify(
    ctx: click.Context, *, target: str | None, style: str, as_json: bool, list_checks: bool, check_id: str | None,
    store: str | None,
) -> None:  # fmt: skip
    """Find what makes TARGET unfit to be cloned; nothing is booted, mounted or changed.

    TARGET is a raw disk file, a directory, or a reference such as template@stable. Exit code 5 when a check fails.
    """
    from imagekit import verify as room
    from imagekit.errors import ExitCode

    if check_id is not None:
        click.echo(room.explain(check_id))
        return
    if list_checks:
        checks = room.list_checks()
        if as_json:
            print_json({"checks": [{"check": one.id, "severity": str(one.severity), "subject": str(one.subject),
                                    "why": one.why, "fix": one.fix} for one in checks]})  # fmt: skip
        else:
            print_table(("CHECK", "SEVERITY", "WHY"), [(one.id, str(one.severity), one.why) for one in checks])
        return
    if target is None:
        raise click.UsageError("say what to verify: a disk file, a directory, or a reference", ctx)
    report = _verify_target(target, store)
    if as_json or style == "json":
        print_json(room.render_json(report))
    else:
        click.echo((room.render_junit(report) if style == "junit" else room.render_text(report)).rstrip("\n"))
    if report.failed:
        ctx.exit(ExitCode.VERIFICATION)


def _verify_target(target: str, store: str | None) -> "Report":
    """Decide what TARGET is: a path when it has a slash or exists here, a stored reference otherwise."""
    from imagekit import verify as room
    from imagekit.image import Reference
    from imagekit.pipeline import verify_stored

    path = Path(target)
    if "/" in target or path.exists():
        return room.verify_directory(path) if path.is_dir() else room.verify_disk(path)
    return verify_stored(Reference.parse(target), make_settings(store=store))
