"""``imagekit diff``: what two images differ in, as a table or a document."""

import re
from typing import TYPE_CHECKING

import click

from imagekit.cli.options import json_option, make_settings, store_option
from imagekit.cli.output import escape_control, print_json, print_table
from imagekit.image import format_bytes

if TYPE_CHECKING:
    from imagekit.store.difference import Contents, Difference, PackageChange

_LONGEST = 72
_DIGEST = re.compile(r"(sha256:[0-9a-f]{12})[0-9a-f]{52}")
# What every build has of its own, and what the table tells already; the document has them all.
_HIDDEN = re.compile(r"derivation|store-path|image|image-digest|built-on|nixpkgs\.rev|.+\.narHash")


@click.command()
@click.argument("before")
@click.argument("after")
@store_option
@json_option
def diff(*, before: str, after: str, store: str | None, as_json: bool) -> None:
    """Show what image AFTER has, lacks or has in another version than image BEFORE.

    Each is a reference (NAME is its newest version, NAME@VERSION, NAME@CHANNEL, NAME@sha256:HEX) or an image file: raw,
    qcow2, or packed as zst, xz or gz. Packages of Debian and NixOS images are compared, the kernel, the nixpkgs
    revision, sizes, and what went into the build. Nothing is booted or mounted.

    \b
      imagekit diff pihole@stable pihole@candidate
      imagekit diff pihole ./nixos-image.img.zst
    """
    from imagekit.cli.bar import show_progress
    from imagekit.pipeline.diff import compare_images

    settings = make_settings(store=store)
    with show_progress() as progress:
        found = compare_images(before, after, settings, progress)
    for side in (found.before, found.after):
        if side.problem:
            click.echo(f"note: {escape_control(side.problem)}", err=True)
    if as_json:
        print_json(_describe(found))
    elif found.same:
        click.echo("nothing differs", err=True)
    else:
        _print_difference(found)


def _describe(found: "Difference") -> dict[str, object]:
    """Return the difference as JSON-ready values; sizes in bytes."""
    from imagekit.store.difference import Change

    closure = found.closure_bytes
    return {
        "before": _describe_side(found.before),
        "after": _describe_side(found.after),
        "same": found.same,
        "facts": [{"name": each.name, "before": each.before, "after": each.after} for each in found.facts],
        "inputs": [{"name": each.name, "before": each.before, "after": each.after} for each in found.inputs],
        "packages": [
            {
                "name": each.name,
                "change": str(each.change),
                "before": list(each.before),
                "after": list(each.after),
                "before_bytes": each.size_before,
                "after_bytes": each.size_after,
            }
            for each in found.packages
        ],
        "counts": {str(change): found.count(change) for change in Change}
        | {"rebuilt": found.rebuilt, "unversioned": found.unversioned},
        "closure_bytes": None if closure is None else {"before": closure[0], "after": closure[1]},
    }


def _describe_side(side: "Contents") -> dict[str, object]:
    return {
        "label": side.label,
        "digest": side.digest or None,
        "size_bytes": side.size_bytes,
        "facts": dict(side.facts),
        "problem": side.problem or None,
    }


def _print_difference(found: "Difference") -> None:
    """Print what differs in the whole, then a line for each package."""
    from imagekit.store.difference import Change

    rows: list[tuple[str, str]] = []
    sizes = found.before.size_bytes, found.after.size_bytes
    if sizes[0] != sizes[1]:
        rows.append(("disk size", _format_sizes(*sizes)))
    if closure := found.closure_bytes:
        rows.append(("closure", _format_sizes(*closure)))
    rows += [(each.name, f"{each.before} → {each.after}") for each in found.facts]
    rows += [
        (f"input {each.name}", f"{_shorten(each.before)} → {_shorten(each.after)}")
        for each in found.inputs
        if not _HIDDEN.fullmatch(each.name)
    ]
    click.echo(escape_control(f"{found.before.label} → {found.after.label}"))
    click.echo()
    width = max((len(name) for name, _ in rows), default=0)
    for name, values in rows:
        click.echo(escape_control(f"{name:<{width}}  {values}"))
    counts = [f"{number} {change}" for change in Change if (number := found.count(change))]
    if found.rebuilt:
        counts.append(f"{found.rebuilt} rebuilt in the same version")
    if found.unversioned:
        counts.append(f"{found.unversioned} files without a version differ")
    click.echo(f"packages: {', '.join(counts) or 'the same'}")
    sized = any(each.growth is not None for each in found.packages)
    header = ("CHANGE", "PACKAGE", "BEFORE", "AFTER", "SIZE")[: 5 if sized else 4]
    print_table(header, [_make_row(each)[: len(header)] for each in found.packages])


def _make_row(each: "PackageChange") -> tuple[str, ...]:
    growth = "" if each.growth is None else _format_growth(0, each.growth)
    return str(each.change), each.name, ", ".join(each.before) or "-", ", ".join(each.after) or "-", growth


def _format_sizes(before: int, after: int) -> str:
    return f"{format_bytes(before)} → {format_bytes(after)} ({_format_growth(before, after)})"


def _format_growth(before: int, after: int) -> str:
    """Return the difference of two sizes with its sign."""
    return f"{'-' if after < before else '+'}{format_bytes(abs(after - before))}"


def _shorten(value: str) -> str:
    """Return a value with digests cut short, and no more of it than a table has room for."""
    value = _DIGEST.sub(r"\1", value) or "-"
    return value if len(value) <= _LONGEST else f"{value[: _LONGEST - 1]}…"
