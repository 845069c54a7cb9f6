"""``imagekit images``, ``show``, ``log``, ``promote``, ``rollback``: what is stored, and where the channels point."""

from typing import TYPE_CHECKING

import click

from imagekit.cli.options import json_option, make_settings, store_option
from imagekit.cli.output import escape_control, print_json, print_table
from imagekit.image import format_bytes

if TYPE_CHECKING:
    from imagekit.store import Store, Version

reason_option = click.option("--reason", default="", help="Why, for the history.")


def _open(store: str | None) -> "Store":
    from imagekit.store import open_store

    return open_store(make_settings(store=store).store)


@click.command()
@click.argument("name", required=False)
@store_option
@json_option
def images(*, name: str | None, store: str | None, as_json: bool) -> None:
    """List all images, or every version of image NAME, the newest first."""
    from imagekit.image import parse_name
    from imagekit.store import summarize_version

    opened = _open(store)
    if name is not None:
        opened.require_image(parse_name(name))
    found = [image for image in opened.list_images() if name in (None, image.name)]
    if as_json:
        document = [
            {
                "name": image.name,
                "channels": {channel: str(version) for channel, version in image.channels.items()},
                "versions": [summarize_version(version) for version in image.versions],
            }
            for image in found
        ]
        print_json({"images": document})
        return
    rows = []
    for image in found:
        for version in image.versions if name else image.versions[:1]:
            channels = ", ".join(channel for channel, target in image.channels.items() if target == version.id)
            rows.append(
                (str(version.reference), channels or "-", version.short_digest, format_bytes(version.size_bytes),
                 _tell_where(version), str(len(version.packages)), f"{version.created:%Y-%m-%d %H:%M}")
            )  # fmt: skip
    print_table(("VERSION", "CHANNELS", "DIGEST", "SIZE", "STORED", "PACKAGES", "CREATED (UTC)"), rows)
    if not rows:
        click.echo("no image is stored yet; imagekit build template makes one", err=True)


def _tell_where(version: "Version") -> str:
    """Return the space that a version takes in the store, or which VM of the cluster has its bytes."""
    if version.place is None:
        return format_bytes(version.stored_bytes)
    return str(version.place) if version.replaced_by is None else f"gone (was {version.place})"


@click.command()
@click.argument("reference")
@store_option
@json_option
def show(*, reference: str, store: str | None, as_json: bool) -> None:
    """Show one version: what it is, how it was made, what verification and booting showed.

    REFERENCE is NAME (its newest version), NAME@VERSION, NAME@CHANNEL or NAME@sha256:HEX.
    """
    from imagekit.image import Reference
    from imagekit.store import describe_version

    opened = _open(store)
    version = opened.find(Reference.parse(reference), default_channel=None)
    path = None if version.place else str(opened.disk_path(version))
    if as_json:
        print_json({**describe_version(version), "path": path})
        return
    _show_version(version, [channel for channel, at in opened.channels(version.name).items() if at == version.id])
    if path is not None:
        click.echo(f"disk          {path}")


def _show_version(version: "Version", channels: list[str]) -> None:
    """Print one version for a person."""
    from imagekit.verify.formats.document import count_report

    provenance, report = version.provenance, version.report
    counts = ", ".join(f"{number} {what}" for what, number in count_report(report).items())
    commit = f"{provenance.git_commit}{' with uncommitted changes' if provenance.git_dirty else ''}"
    repeatable = "yes" if provenance.reproducible else f"no: {provenance.reproducible_note}"
    place = version.place
    stored = f"{format_bytes(version.stored_bytes)} stored" if place is None else "nothing stored here"
    lines = {
        "reference": str(version.reference),
        "channels": ", ".join(channels) or "-",
        "digest": str(version.digest or "-"),
        "created": f"{version.created:%Y-%m-%d %H:%M:%S} UTC by {version.created_by}",
        "disk size": f"{format_bytes(version.size_bytes)}, {stored}",
        "machine": f"{version.architecture}, {version.firmware}",
        "builder": f"{provenance.builder} ({', '.join(f'{tool} {is_}' for tool, is_ in provenance.tools.items())})",
        "commit": commit if provenance.git_commit else "-",
        "reproducible": repeatable,
        "packages": str(len(version.packages)),
        "verification": counts,
        "boot proof": "two clones booted" if report.boot is not None else "not made",
    }
    if place is not None:
        lines["on cluster"] = f"{place} of {place.cluster}" + (f", marked {place.mark}" if place.mark else "")
    if version.replaced_by is not None:
        lines["replaced by"] = f"{version.replaced_by}, which has that VM id now; this template is gone"
    for key, value in lines.items():
        click.echo(f"{key:<13} {escape_control(value)}")


@click.command()
@click.argument("name")
@store_option
@json_option
def log(*, name: str, store: str | None, as_json: bool) -> None:
    """Show how the channels of image NAME moved: when, who, from where to where, and why."""
    from imagekit.image import parse_name
    from imagekit.store import describe_history

    opened = _open(store)
    opened.require_image(parse_name(name))
    entries = opened.history(name)
    if as_json:
        print_json({"name": name, "history": [describe_history(entry) for entry in entries]})
        return
    rows = [
        (f"{entry.when:%Y-%m-%d %H:%M:%S}", str(entry.action), entry.channel,
         str(entry.previous or "-"), str(entry.version), entry.who, entry.reason or "-")
        for entry in reversed(entries)
    ]  # fmt: skip
    print_table(("WHEN (UTC)", "ACTION", "CHANNEL", "FROM", "TO", "WHO", "REASON"), rows)


@click.command()
@click.argument("reference")
@click.argument("channel")
@reason_option
@store_option
@json_option
def promote(*, reference: str, channel: str, reason: str, store: str | None, as_json: bool) -> None:
    """Move CHANNEL to the version that REFERENCE means, and print that version."""
    from imagekit.image import Reference

    _print_moved(_open(store).promote(Reference.parse(reference), channel, reason), channel, as_json=as_json)


@click.command()
@click.argument("name")
@click.argument("channel", default="stable")
@reason_option
@store_option
@json_option
def rollback(*, name: str, channel: str, reason: str, store: str | None, as_json: bool) -> None:
    """Move CHANNEL of image NAME back to the version it had before, and print that version.

    The channel is stable when none is given. Once more goes further back.
    """
    from imagekit.image import parse_name

    _print_moved(_open(store).rollback(parse_name(name), channel, reason), channel, as_json=as_json)


def _print_moved(version: "Version", channel: str, *, as_json: bool) -> None:
    from imagekit.store import describe_place

    if as_json:
        digest = None if version.digest is None else str(version.digest)
        place = describe_place(version)
        print_json({"reference": str(version.reference), "channel": channel, "digest": digest, "place": place})
    else:
        click.echo(str(version.reference))
