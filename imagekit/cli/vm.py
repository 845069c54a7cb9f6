"""``imagekit vm``: the VM that builds NixOS images where this machine cannot, started and stopped by hand."""

import sys
from typing import TYPE_CHECKING

import click

from imagekit.cli.bar import show_progress
from imagekit.cli.options import json_option, make_settings
from imagekit.cli.output import print_json

if TYPE_CHECKING:
    from imagekit.build.vagrant import VmStatus
    from imagekit.settings import Settings

_PROVIDER = "vmware_desktop, virtualbox, parallels, libvirt, qemu or utm (IMAGEKIT_VAGRANT_PROVIDER)."


@click.group()
def vm() -> None:
    """Run the VM that NixOS images are built in: start it, look at it, enter, halt or remove it.

    Where this machine cannot build for a Raspberry Pi, `imagekit build` starts this VM by itself with Vagrant and halts
    it afterwards. Its Nix store stays on its disk for the next build.
    """


@vm.command()
@click.option("--provider", metavar="NAME", help=_PROVIDER)
def up(provider: str | None) -> None:
    """Start the VM and leave it up; the first time, make it: that fetches a box, and Nix.

    Builds then use it as it is and do not halt it. Exit code 8 when it does not come up, 9 when Vagrant or a provider
    is missing.
    """
    from imagekit.pipeline.vm import start_vm

    with show_progress() as progress:
        status = start_vm(make_settings(vagrant_provider=provider), progress)
    click.echo(_say(status), err=True)


@vm.command()
def halt() -> None:
    """Halt the VM; it keeps its disk. Exit code 8 while a build is using it."""
    from imagekit.pipeline.vm import halt_vm

    with show_progress() as progress:
        there = halt_vm(make_settings(), progress)
    click.echo("the VM is halted" if there else "there is no VM", err=True)


@vm.command()
@json_option
def status(*, as_json: bool) -> None:
    """Say how the VM is: absent, stopped or running. In JSON also the provider, its own word, and the directory."""
    from imagekit.pipeline.vm import read_vm_settings, read_vm_status

    settings = make_settings()
    found = read_vm_status(settings)
    if as_json:
        directory = read_vm_settings(settings).directory
        print_json(
            {
                "state": found.state.value,
                "provider": None if found.provider is None else found.provider.value,
                "provider_state": found.said or None,
                "directory": str(directory),
            }
        )
    else:
        click.echo(_say(found))


@vm.command(context_settings={"ignore_unknown_options": True})
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def ssh(command: tuple[str, ...]) -> int:
    """Enter the running VM, or run COMMAND there; ends with its exit code.

    What looks like an option of COMMAND needs -- in front.
    """
    from imagekit.host.terminal import run_on_terminal
    from imagekit.pipeline.vm import find_ssh_config

    config, alias = find_ssh_config(make_settings())
    return run_on_terminal(["ssh", "-F", str(config), alias, *(["--", *command] if command else [])])


@vm.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def destroy(*, yes: bool) -> None:
    """Remove the VM with its disk and the Nix store on it; the next build makes it anew.

    Exit code 7 when nobody is there to be asked, 8 while a build is using it.
    """
    from imagekit.pipeline.vm import destroy_vm

    settings = make_settings()
    with show_progress() as progress:
        there = destroy_vm(settings, agreed=yes or _ask(settings), progress=progress)
    click.echo("the VM is removed" if there else "there is no VM", err=True)


def _ask(settings: "Settings") -> bool:
    from imagekit.pipeline.vm import read_vm_status

    if not sys.stdin.isatty() or read_vm_status(settings).state.value == "absent":
        return False
    if not click.confirm("Remove the VM with its disk and the Nix store on it?", err=True):
        raise click.Abort
    return True


def _say(found: "VmStatus") -> str:
    word = f", as {found.provider} says: {found.said}" if found.said not in ("", found.state.value) else ""
    by = f" ({found.provider}{word})" if found.provider is not None else ""
    return f"the VM is {found.state}{by}"
