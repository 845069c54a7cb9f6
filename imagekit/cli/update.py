"""``imagekit update``: newer versions of what the project has locked."""

from typing import TYPE_CHECKING

import click

from imagekit.cli.options import find_project, json_option
from imagekit.cli.output import escape_control, print_json, print_table

if TYPE_CHECKING:
    from imagekit.build.update.change import Renewal
    from imagekit.pipeline.update import Update


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Show what is newer, and change nothing.")
@json_option
@click.pass_context
def update(ctx: click.Context, *, names: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Move locked sources to their newest versions, and show which.

    Looks after the images NAME, or all of imagekit.toml: inputs of flakes (flake.lock), containers (tag and digest in
    images.json), checksums of media whose address stays while its content moves. Locks of imagekit's own flake are kept
    in imagekit.lock beside imagekit.toml. Nothing else is changed, and nothing is built.

    A source that cannot be looked up stays as it is; the others are moved, and the exit code is that of the first
    problem.

    \b
      imagekit update --dry-run
      imagekit update pihole
    """
    from imagekit.cli.bar import show_progress
    from imagekit.cli.output import show_problem
    from imagekit.pipeline.update import find_updates, write_updates

    project = find_project()
    with show_progress() as progress:
        found = find_updates(names, project, progress)
        written = () if dry_run else write_updates(found, progress)
    for note in (*found.notes, *(each.note for one in found.renewals for each in one.changes if each.note)):
        click.echo(f"note: {escape_control(note)}", err=True)
    if as_json:
        print_json(_describe(found, written, dry_run=dry_run))
    else:
        _print_found(found, written, dry_run=dry_run)
    for problem in found.problems:
        show_problem(problem)
    if found.problems:
        ctx.exit(found.problems[0].exit_code)


def _print_found(found: "Update", written: tuple["Renewal", ...], *, dry_run: bool) -> None:
    rows = [
        (each.name, each.before or "-", each.after or "-", str(one.path))
        for one in (found.renewals if dry_run else written)
        for each in one.changes
    ]
    print_table(("SOURCE", "BEFORE", "AFTER", "FILE"), rows)
    if not found.sources and not found.problems:
        click.echo("nothing is locked here that could be moved", err=True)
    elif not rows and not found.problems:
        click.echo("everything is at its newest version already", err=True)
    elif rows and dry_run:
        click.echo("nothing was changed; without --dry-run these files would be", err=True)


def _describe(found: "Update", written: tuple["Renewal", ...], *, dry_run: bool) -> dict[str, object]:
    """Return what was found as JSON-ready values."""
    return {
        "dry_run": dry_run,
        "sources": found.sources,
        "files": [
            {
                "path": str(one.path),
                "written": one in written,
                "changes": [
                    {"name": each.name, "before": each.before, "after": each.after, "note": each.note or None}
                    for each in one.changes
                ],
            }
            for one in found.renewals
        ],
        "problems": [
            {"message": each.message, "hint": each.hint, "exit_code": int(each.exit_code)} for each in found.problems
        ],
        "notes": found.notes,
    }
