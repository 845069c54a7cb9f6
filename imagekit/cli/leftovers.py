"""``imagekit leftovers``: what dead and kept builds with Packer left here and on the cluster, and its removal."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from imagekit.cli.bar import show_progress
from imagekit.cli.options import find_project, json_option, make_settings
from imagekit.cli.output import escape_control, print_json, print_table, show_problem
from imagekit.errors import ImagekitError, Refused

if TYPE_CHECKING:
    from imagekit.cluster.leftovers import Leftover
    from imagekit.definition import Project
    from imagekit.pipeline import BuildOptions
    from imagekit.pipeline.leftovers import Left, LeftBuild
    from imagekit.settings import ClusterSettings, Settings


@click.command()
@click.option("--remove", "removes", is_flag=True, help="Remove what can be removed, asking for each build.")
@click.option("--yes", is_flag=True, help="Do not ask before removing.")
@click.option("--others", is_flag=True,
              help="Also what other machines' builds left on the cluster: see that none runs.")  # fmt: skip
@json_option
@click.pass_context
def leftovers(ctx: click.Context, *, removes: bool, yes: bool, others: bool, as_json: bool) -> None:
    """List what dead and kept builds with Packer left on this machine and on the cluster, or remove it.

    Builds that go on are left alone. What is not certainly a build's is shown with the reason, and never removed. Exit
    code 7 when --remove can ask nobody, 8 when the cluster cannot be looked at or something cannot be removed.
    """
    from imagekit.pipeline.leftovers import find_left, remove_left

    if removes and as_json:
        raise click.UsageError("--json is for the list", ctx)
    if yes and not removes:
        raise click.UsageError("--yes is for --remove", ctx)
    left = find_left(make_settings(), find_project(), others=others)
    if as_json:
        print_json(_describe(left))
    else:
        _print(left)
    problems: list[ImagekitError] = []
    if removes:
        removable = [build for build in left.builds if _list_rows(build)]
        if removable and not yes and not is_asked():
            raise Refused("nobody is at a terminal to be asked what may be removed", hint="--yes removes it unasked")
        for build in left.builds:
            if build.empty:
                remove_left(build, left.cluster)
        problems += offer_removal(removable, left.cluster, yes=yes)
    problems += [left.problem] if left.problem is not None else []
    for problem in problems[1:]:
        show_problem(problem)
    if problems:
        raise problems[0]


def is_asked() -> bool:
    """Say whether somebody is there who can answer."""
    return sys.stdin is not None and sys.stdin.isatty()


def offer_removal(
    builds: "Sequence[LeftBuild]", cluster: "ClusterSettings | None", *, yes: bool = False
) -> list[ImagekitError]:
    """Ask for each build whether what it left may go, remove it, and return what went wrong."""
    from imagekit.pipeline.leftovers import remove_left

    problems = []
    for build in builds:
        what = escape_control("; ".join(row[2] for row in _list_rows(build)))
        if not yes and not click.confirm(f"Remove what build {build.build_id} left ({what})?", err=True):
            continue
        try:
            with show_progress() as progress:
                remove_left(build, cluster, progress)
        except ImagekitError as problem:
            problems.append(problem)
        else:
            stays = "".join(f", but for {row[2]}" for row in _list_doubtful(build))
            click.echo(f"what build {build.build_id} left is removed{stays}", err=True)
    return problems


def offer_leftovers(name: str, project: "Project", settings: "Settings", options: "BuildOptions") -> None:
    """Before a build that goes to the cluster: offer to remove what dead builds left there; failing stops nothing."""
    from imagekit.pipeline.leftovers import find_left_for, remove_left

    left = find_left_for(name, project, settings, options)
    if left is None:
        return
    problems = [] if left.problem is None else [left.problem]
    there = []
    for build in left.builds:
        if build.leftovers and not (build.remains and build.remains.record.kept):
            there.append(build)
        elif build.empty:
            remove_left(build, left.cluster)
    if there and is_asked():
        problems += offer_removal(there, left.cluster)
    elif there:
        count = sum(len(build.leftovers) for build in there)
        counted = "1 leftover" if count == 1 else f"{count} leftovers"
        click.echo(f"note: {counted} on the cluster: imagekit leftovers --remove", err=True)
    for problem in problems:
        click.echo(f"warning: leftovers: {escape_control(problem.message)}", err=True)


def _print(left: "Left") -> None:
    rows = [row for build in left.builds for row in (*_list_rows(build), *_list_doubtful(build))]
    rows += [(one.build_id or "-", one.node, _name(one), one.note) for one in left.untouchable]
    print_table(("BUILD", "WHERE", "WHAT", "NOTE"), rows)
    if not rows:
        click.echo("no build left anything", err=True)


def _list_rows(build: "LeftBuild") -> list[tuple[str, str, str, str]]:
    """Return build, place, thing and note of everything that a build left and that can be removed."""
    rows = []
    if (remains := build.remains) is not None:
        note = f"kept: {remains.record.kept}" if remains.record.kept else ""
        if parts := remains.list_parts():
            rows.append((build.build_id, "here", ", ".join(parts), note))
    return rows + [(build.build_id, one.node, _name(one), "") for one in build.leftovers]


def _list_doubtful(build: "LeftBuild") -> list[tuple[str, str, str, str]]:
    """Return what a build's record names on the cluster, while it is neither proven to be the build's nor gone."""
    if build.remains is None or build.gone:
        return []
    record = build.remains.record
    machine = f"VM {record.vm_id}" if record.vm_id else ""
    what = ", ".join(part for part in (machine, record.seed_volume) if part)
    return [(build.build_id, record.node or "cluster", what, "its record names it; whether it is there is not known")]


def _name(leftover: "Leftover") -> str:
    if leftover.vm_id is None:
        return leftover.volume
    return f"VM {leftover.vm_id} ({', '.join(part for part in (leftover.name, leftover.status) if part)})"


def _describe(left: "Left") -> dict[str, object]:
    return {
        "builds": [_describe_build(build) for build in left.builds if not build.empty],
        "untouchable": [_describe_leftover(one) for one in left.untouchable],
        "cluster": None if left.cluster is None else left.cluster.access.url,
        "problem": None if left.problem is None else left.problem.message,
    }


def _describe_build(build: "LeftBuild") -> dict[str, object]:
    remains = build.remains
    record = None if remains is None else remains.record
    return {
        "build_id": build.build_id,
        "began": None if record is None else datetime.fromtimestamp(record.began, UTC).isoformat(timespec="seconds"),
        "kept": "" if record is None else record.kept,
        "processes": [] if remains is None else list(remains.processes),
        "directories": [] if remains is None else [str(path) for path in remains.directories],
        "on_cluster": [_describe_leftover(one) for one in build.leftovers],
    }


def _describe_leftover(one: "Leftover") -> dict[str, object]:
    return {
        "kind": one.kind.value, "build_id": one.build_id or None, "node": one.node, "name": one.name,
        "vm_id": one.vm_id, "status": one.status, "volume": one.volume or None, "note": one.note,
    }  # fmt: skip
