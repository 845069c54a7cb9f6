"""``imagekit flash`` and ``imagekit devices``: a stored version or an image file on a card."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imagekit.cli.options import json_option, make_settings, store_option
from imagekit.cli.output import escape_control, print_json, print_table
from imagekit.image import format_bytes

if TYPE_CHECKING:
    from imagekit.pipeline.flash import FlashPlan, KnownDevice


@click.command()
@store_option
@json_option
def devices(*, store: str | None, as_json: bool) -> None:
    """List the disks of this machine, and whether each may be flashed, with the reason.

    Nothing is opened, and no root is needed.
    """
    from imagekit.pipeline.flash import list_devices

    found = list_devices(make_settings(store=store))
    if as_json:
        print_json({"devices": [one.describe() for one in found]})
        return
    rows = [
        (str(one.device.path), format_bytes(one.device.size_bytes) if one.device.size_bytes else "-",
         str(one.device.bus), one.device.model or one.device.backing_file or "-", one.device.serial or "-",
         _summarise(one), "no: it " + "; it ".join(each.sentence for each in one.refusals) if one.refusals else "yes")
        for one in found
    ]  # fmt: skip
    print_table(("DEVICE", "SIZE", "BUS", "MODEL", "SERIAL", "HOLDS", "MAY BE FLASHED"), rows)


def _summarise(known: "KnownDevice") -> str:
    """Return the partitions in a few words: ``FIRMWARE (vfat), NIXOS_SD (ext4)``."""
    words = []
    for part in known.device.partitions:
        label, filesystem = part.label or part.name, f" ({part.filesystem})" if part.filesystem else ""
        words.append(f"{label}{filesystem}")
    return ", ".join(words) or "-"


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="[IMAGE] DEVICE")
@click.option("--yes", is_flag=True, help="Do not ask; a card needs --serial then, a loop device does not.")
@click.option("--serial", default="", metavar="SERIAL", help="The serial number that the card must have.")
@click.option("--dry-run", is_flag=True, help="Say what would be written where, and every reason against it.")
@click.option("--unmount", is_flag=True, help="Unmount what is mounted from the card first.")
@click.option("--verify/--no-verify", default=True, show_default=True, help="Read everything back from the medium.")
@store_option
@json_option
@click.pass_context
def flash(
    ctx: click.Context, *, words: tuple[str, ...], yes: bool, serial: str, dry_run: bool, unmount: bool, verify: bool,
    store: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Write IMAGE to the card DEVICE, read it back, and say what was proven.

    IMAGE is a reference such as pihole@stable, which is the default, or a file: raw, qcow2, or a raw one in zst, xz,
    gz, bz2. Everything on DEVICE is lost. The disks of this system, disks in use and disks that are built in are
    refused with exit code 7; see imagekit devices.

    \b
      imagekit flash /dev/sdb
      imagekit flash card.img.zst /dev/mmcblk0 --unmount
      imagekit flash pihole@candidate /dev/sdb --yes --serial 0123456789AB
    """
    from imagekit.cli.bar import show_progress
    from imagekit.pipeline.flash import DEFAULT_IMAGE, flash_image, require_agreement

    if len(words) > 2:
        raise click.UsageError("give IMAGE and DEVICE, or DEVICE alone; one card at a time, so far", ctx)
    *given, device = words
    settings = make_settings(store=store)
    plans: list[FlashPlan] = []

    def agree(plan: "FlashPlan") -> None:
        plans.append(plan)
        if not as_json or not yes:
            _show_plan(plan)
        if dry_run:
            return
        if yes:
            require_agreement(plan, serial)
        else:
            _ask(plan)

    with show_progress() as progress:
        flashed = flash_image(
            given[0] if given else DEFAULT_IMAGE, Path(device), settings,
            serial=serial, unmount=unmount, verify=verify, dry_run=dry_run, agree=agree, progress=progress,
        )  # fmt: skip
    for note in () if flashed is None else flashed.notes:
        click.echo(f"note: {note}", err=True)
    if as_json:
        (plan,) = plans
        described = {"image": plan.image.name, **plan.target.describe()} if flashed is None else flashed.describe()
        print_json({"dry_run": dry_run, **described})
    elif flashed is None:
        click.echo(f"{plans[0].target.device.path} may be flashed; nothing was written")
    else:
        click.echo(escape_control(f"{flashed.device.path} holds {flashed.image} ({flashed.digest})"))
        click.echo(flashed.explain())


def _show_plan(plan: "FlashPlan") -> None:
    """Show what is on the card and what will be, on standard error."""
    device = plan.target.device
    about = ", ".join(part for part in (device.title, format_bytes(device.size_bytes), str(device.bus)) if part)
    lines = [f"{device.path}: {about}"]
    for part in device.partitions:
        kind = " ".join(word for word in (part.filesystem, part.label) if word)
        lines.append(f"  {part.name}: {format_bytes(part.size_bytes)}{f', {kind}' if kind else ''}")
    lines += [f"  mounted at {mount.point}: will be unmounted" for mount in plan.target.mounts]
    size = f" ({format_bytes(plan.size_bytes)})" if plan.size_bytes is not None else ""
    lines.append(f"  gets {plan.image.name}{size}; everything on it is lost")
    for line in lines:
        click.echo(escape_control(line), err=True)


def _ask(plan: "FlashPlan") -> None:
    """Let a person type the device's name; raises :class:`Refused` for anything else, and where nobody can."""
    from imagekit.errors import Refused

    name = plan.target.device.name
    if not sys.stdin.isatty():
        raise Refused(
            f"nobody is here to agree that {plan.target.device.path} is overwritten; nothing was written",
            hint="run it on a terminal, or add --yes and, for a card, --serial",
        )
    if click.prompt(f"Type {name} to overwrite it", err=True, default="", show_default=False).strip() not in (
        name,
        str(plan.target.device.path),
    ):
        raise Refused(f"that was not {name}; nothing was written")
