"""``imagekit clone``: a machine of a stored version; here, under QEMU on this machine."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imagekit.cli.bar import show_progress
from imagekit.cli.options import json_option, make_settings, store_option
from imagekit.cli.output import print_json, print_table

if TYPE_CHECKING:
    from imagekit.deliver.clone import Clone
    from imagekit.settings import Settings

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("reference", required=False)
@click.argument("name", metavar="VMNAME", required=False)
@click.option("--local", is_flag=True, help="Run the clone under QEMU on this machine.")
@click.option("--ssh-key", "ssh_keys", multiple=True, type=_FILE,
              help="A public key file that may enter (repeatable); without one, a key is made.")  # fmt: skip
@click.option("--cores", default=2, show_default=True, type=click.IntRange(1, 256), help="Processors.")
@click.option("--memory", default=1024, show_default=True, type=click.IntRange(256), help="Memory in MiB.")
@click.option("--disk", metavar="SIZE", help="The clone's disk, such as 20G; the image's size without it.")
@click.option("--user", default="debian", show_default=True, help="The account that cloud-init makes.")
@click.option("--user-data", type=_FILE, help="A cloud-config file, merged with what imagekit gives.")
@click.option("--no-start", is_flag=True, help="Make the clone without starting it.")
@click.option("--list", "list_all", is_flag=True, help="List the local clones.")
@click.option("--start", metavar="VMNAME", help="Start a stopped clone, and wait until it is up.")
@click.option("--stop", metavar="VMNAME", help="Press a clone's power button.")
@click.option("--remove", metavar="VMNAME", help="Stop a clone and delete it with its disk.")
@click.option("--yes", is_flag=True, help="Do not ask before removing.")
@store_option
@json_option
@click.pass_context
def clone(
    ctx: click.Context, *, reference: str | None, name: str | None, local: bool, ssh_keys: tuple[Path, ...], cores: int,
    memory: int, disk: str | None, user: str, user_data: Path | None, no_start: bool, list_all: bool, start: str | None,
    stop: str | None, remove: str | None, yes: bool, store: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Make a machine called VMNAME of the version that REFERENCE means, and wait until it is proven up.

    A bare image name means its stable version, or the newest while nothing is stable. Prints the clone's name, its
    port, and the command that enters it. The clone goes on when imagekit has ended.
    """
    from imagekit.deliver import local as clones

    if not local:
        raise click.UsageError("clones on a cluster are not made yet; add --local to run it on this machine", ctx)
    if sum(map(bool, (list_all, start, stop, remove, reference))) != 1:
        raise click.UsageError("give REFERENCE and VMNAME, or one of --list, --start, --stop, --remove", ctx)
    settings = make_settings(store=store)
    if list_all:
        _list(settings, as_json=as_json)
    elif start:
        _start(clones.open_clone(settings.clones, start), settings, as_json=as_json)
    elif stop:
        found = clones.open_clone(settings.clones, stop)
        clones.stop_clone(found)
        click.echo(f"{stop} is stopped", err=True)
        if as_json:
            print_json(clones.find_status(found).describe())
    elif remove:
        found = clones.open_clone(settings.clones, remove)
        if not yes:
            click.confirm(f"Delete clone {remove} of {found.reference} with its disk?", abort=True, err=True)
        clones.remove_clone(found)
        click.echo(f"{remove} is removed", err=True)
        if as_json:
            print_json({"name": remove, "state": "removed"})
    else:
        if name is None:
            raise click.UsageError("give the clone a name: imagekit clone REFERENCE VMNAME --local", ctx)
        made = _make(str(reference), name, settings, ssh_keys, cores, memory, disk, user, user_data)
        if no_start:
            _print(made, as_json=as_json)
        else:
            _start(made, settings, as_json=as_json)


def _make(
    reference: str, name: str, settings: "Settings", ssh_keys: tuple[Path, ...], cores: int, memory: int,
    disk: str | None, user: str, user_data: Path | None,
) -> "Clone":  # fmt: skip
    """Make a stopped clone of a stored version."""
    from imagekit.image import Reference
    from imagekit.pipeline import make_local_clone

    return make_local_clone(
        Reference.parse(reference), name, settings,
        ssh_keys=tuple(key for path in ssh_keys for key in _read_public_keys(path)),
        cpus=cores, memory_mib=memory, disk_bytes=_parse_disk(disk) if disk else 0, user=user,
        user_data=user_data.read_bytes() if user_data else None,
    )  # fmt: skip


def _read_public_keys(path: Path) -> list[str]:
    """Return the keys of a ``.pub`` or ``authorized_keys`` file; a private key must never reach a disk."""
    from imagekit.definition.accounts import parse_ssh_key
    from imagekit.definition.problems import Wrong

    lines = path.read_text(errors="replace").splitlines()
    try:
        return [parse_ssh_key(line) for line in lines if line.strip() and not line.startswith("#")]
    except Wrong as problem:
        raise click.BadParameter(f"{path}: {problem}", param_hint="'--ssh-key'") from None


def _parse_disk(text: str) -> int:
    """Return a size in bytes; raises :class:`click.BadParameter` when ``text`` is none."""
    from imagekit.definition.size import parse_size

    try:
        return parse_size(text)
    except ValueError as problem:
        raise click.BadParameter(str(problem), param_hint="'--disk'") from None


def _start(made: "Clone", settings: "Settings", *, as_json: bool) -> None:
    """Start a clone and wait until it is proven up; Ctrl-C while waiting stops it and says how to start it again."""
    from imagekit.deliver import local as clones
    from imagekit.pipeline import choose_accelerator

    with show_progress() as progress:
        started = clones.start_clone(made, accelerator=choose_accelerator(settings, progress))
        try:
            clones.wait_until_up(started, timeout_seconds=settings.boot_timeout, progress=progress)
        except KeyboardInterrupt:
            clones.stop_clone(started, patience=0)
            click.echo(f"{started.name} is stopped; imagekit clone --local --start {started.name}", err=True)
            raise
    _print(started, as_json=as_json)


def _list(settings: "Settings", *, as_json: bool) -> None:
    from imagekit.deliver import local as clones

    found = clones.list_clones(settings.clones)
    if as_json:
        print_json({"clones": [status.describe() for status in found]})
        return
    rows = [
        (one.clone.name, str(one.state), one.clone.reference, str(one.clone.port), shlex.join(one.clone.ssh_command()))
        for one in found
    ]
    print_table(("NAME", "STATE", "VERSION", "PORT", "SSH"), rows)


def _print(made: "Clone", *, as_json: bool) -> None:
    from imagekit.deliver.local import find_status

    if as_json:
        print_json(find_status(made).describe())
    else:
        click.echo(f"{made.name}\n{shlex.join(made.ssh_command())}\nport {made.port}")
